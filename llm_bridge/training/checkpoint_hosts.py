"""A checkpoint that several processes write, each the parts of the arrays that it holds, with a checksum of each file.

A checksum of an array would need all of it in one place. The files of a checkpoint together are all of its arrays, so
their checksums find the same damage, whoever reads them: one process or another number of processes, on any mesh. Each
process computes those of its share of the files. Process 0 makes the folder, writes meta.json and renames the whole
into place when all are done, so a process killed at any moment leaves the checkpoint whole or absent.

The folder must be one that all processes see.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from llm_bridge import hosts
from llm_bridge.training import checkpoint_files

FILES = "files"  # in meta.json: path below `state` -> [bytes, CRC-32]
_AT_ONCE = 1 << 24  # bytes


def write(target: Path, header: dict[str, Any], arrays: Mapping[str, Any], before: Callable[[Path], None]) -> None:
    """A checkpoint under its final name, or not at all; all processes call it with their arrays.

    Args:
        target: its folder.
        header: meta.json but for what is computed here.
        arrays: name -> array; one that only this process has must be the same in all.
        before: given the folder of all checkpoints, by process 0, to clear what others left.

    Raises:
        InputError: process 0 cannot write.
        OSError: this process cannot.
    """
    folder = target.parent

    def begin() -> str:
        folder.mkdir(parents=True, exist_ok=True)
        before(folder)
        temporary = folder / f".{target.name}.{secrets.token_hex(4)}"
        temporary.mkdir()
        return temporary.name

    temporary = folder / hosts.first(begin)
    try:
        checkpoint_files.write(temporary / "state", {name: _one_place(leaf) for name, leaf in arrays.items()})
        files = checksums(temporary / "state")

        def end() -> None:
            whole = {**header, FILES: files}
            with (temporary / "meta.json").open("w", encoding="utf-8") as file:
                file.write(json.dumps({**whole, "crc32": checkpoint_files.header_crc32(whole)}, indent=1))
                file.flush()
                os.fsync(file.fileno())
            if target.exists():
                os.replace(target, temporary / "replaced")
                shutil.rmtree(temporary / "replaced")
            os.replace(temporary, target)
            checkpoint_files.sync(folder)

        hosts.first(end)
    except BaseException:
        if hosts.index() == 0:
            checkpoint_files.remove(temporary)
        raise


def seen_by_all(folder: Path, rounds: Callable[[], list[int]]) -> None:
    """Wait until every process sees the checkpoint of every round that one of them sees: a process that went on from an
    older one than the others would compute another run with them.

    Args:
        folder: of the checkpoints.
        rounds: those of which this process sees one now.

    Raises:
        InputError: in all processes, where one does not come to see it.
    """
    if hosts.count() == 1:
        return
    told = [json.loads(text) for text in hosts.texts(json.dumps(rounds()))]
    holder = {round: process for process, seen in reversed(list(enumerate(told))) for round in seen}

    def look() -> str:
        lacking = sorted(holder.keys() - set(rounds()))
        if not lacking:
            return ""
        newest = lacking[-1]
        return (
            f"does not see the checkpoint of round {newest} in {folder}, which process {holder[newest]} sees: put "
            "the run folder on a file system that all hosts share, and start all processes again."
        )

    hosts.until_seen(look)


def checksums(folder: Path) -> dict[str, list[int]]:
    """Path below the folder -> [bytes, CRC-32] of every file in it; each process reads its share."""
    names = hosts.first(lambda: sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()))
    own = {name: _checksum(folder / name) for name in names[hosts.index() :: hosts.count()]}
    found: dict[str, list[int]] = {}
    for told in hosts.texts(json.dumps(own)):
        found |= json.loads(told)
    return {name: found[name] for name in names}


def check(folder: Path, files: Mapping[str, Any]) -> None:
    """Raises OSError, in all processes alike, where the files below the folder are not these."""
    own = sorted(files)[hosts.index() :: hosts.count()]
    lost = next((name for name in own if _checksum(folder / name, missing=True) != list(files[name])), "")
    differing = next((told for told in hosts.texts(lost) if told), None)
    if differing is not None:
        raise OSError(f"{differing} differs from what was written")


def _checksum(path: Path, *, missing: bool = False) -> list[int]:
    crc = size = 0
    try:
        with path.open("rb") as file:
            while part := file.read(_AT_ONCE):
                crc, size = zlib.crc32(part, crc), size + len(part)
    except OSError:
        if not missing:
            raise
        return []
    return [size, crc]


def _one_place(leaf: Any) -> Any:
    """An array for Orbax: what only this process holds as one of the host, which process 0 writes for all."""
    return np.asarray(leaf) if isinstance(leaf, jax.Array) and leaf.is_fully_addressable else leaf
