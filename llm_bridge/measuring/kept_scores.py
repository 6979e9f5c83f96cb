"""Scores of branches on the disk while a tree is being measured, so that a measurement that was killed goes on.

A file is empty, or has 32 bytes that say of what it is, then a record for each score: its row, its numbers, and a
checksum. Half a record, or one that does not check, ends what is read; so does another measurement's file, which is
begun anew.

Of several processes the first has the file, and the others are told what is in it.
"""

from __future__ import annotations

import contextlib
import hashlib
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from llm_bridge import hosts

_PATTERN = "scores-*.part"


def path_of(folder: Path, question: int = 0) -> Path:
    """Where a run folder keeps the scores of a question's branches, by its place among those measured."""
    return folder / f"scores-{question}.part"


def discard(folder: Path) -> None:
    """Remove what a folder has kept: its measurement is written."""
    for path in folder.glob(_PATTERN):
        path.unlink(missing_ok=True)


def digest_of(parts: Iterable[object]) -> bytes:
    """32 bytes that differ where any of the parts does, each told apart by its `repr` or, for an array, its bytes."""
    found = hashlib.sha256()
    for part in parts:
        found.update(part.tobytes() if isinstance(part, np.ndarray) else repr(part).encode())
        found.update(b"\0")
    return found.digest()


class KeptScores:
    """A file of float32 records; each write is on its way to the disk before the next score is computed.

    Args:
        path: the file, in a folder that exists.
        digest: of all that the scores depend on.
        numbers: float32 in a record.
    """

    def __init__(self, path: Path, digest: bytes, numbers: int) -> None:
        self._path, self._digest = path, digest
        self._record = struct.calcsize("<I") + 4 * numbers + struct.calcsize("<I")

    def read(self) -> dict[int, np.ndarray]:
        """The records by their row, float32 each; the file is cut behind the last whole one, or begun."""
        own = self._read() if hosts.index() == 0 else {}
        if hosts.count() == 1:
            return own
        nothing = np.zeros(self._record // 4 - 2, np.float32)
        return {row: hosts.gathered(own.get(row, nothing))[0] for row in hosts.first(lambda: sorted(own))}

    def _read(self) -> dict[int, np.ndarray]:
        found: dict[int, np.ndarray] = {}
        with contextlib.suppress(OSError):
            whole = len(self._digest)
            with self._path.open("ab+") as file:
                file.seek(0)
                if file.read(whole) != self._digest:
                    file.truncate(0)
                    return {}
                while len(record := file.read(self._record)) == self._record:
                    body, (checksum,) = record[:-4], struct.unpack("<I", record[-4:])
                    if zlib.crc32(body) != checksum:
                        break
                    found[struct.unpack("<I", body[:4])[0]] = np.frombuffer(body, np.float32, offset=4)
                    whole += self._record
                file.truncate(whole)
        return found

    def add(self, row: int, numbers: np.ndarray) -> None:
        """Write a record. A disk that refuses ends the keeping alone: what writes the result will say so."""
        if hosts.index() != 0:
            return
        body = struct.pack("<I", row) + np.ascontiguousarray(numbers, np.float32).tobytes()
        with contextlib.suppress(OSError), self._path.open("ab") as file:
            if not file.tell():  # empty until there is a score: it is then no result of a run that could not begin
                file.write(self._digest)
            file.write(body + struct.pack("<I", zlib.crc32(body)))
