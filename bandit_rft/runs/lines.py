"""Files of one JSON record per line, appended to as a run goes on; a kill can leave only the last line half written."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bandit_rft import arguments
from bandit_rft.errors import InputError
from bandit_rft.runs.files import dumps, explain_disk_errors, loads, write_atomically

Fields = Mapping[str, type]


def read_lines(path: Path, fields: Fields = MappingProxyType({})) -> list[dict[str, Any]]:
    """The records of a .jsonl file, [] where it is missing; a last line that a kill cut short is dropped.

    Args:
        path: the file.
        fields: name -> type that every record must hold there (float: any number).

    Raises:
        InputError: the file cannot be read, or a line before the last is damaged or lacks a field.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise unreadable(path, error) from None
    # What follows the last newline is empty, or half a line.
    records = [read_line(line, number, path) for number, line in enumerate(lines[:-1], start=1)]
    for number, record in enumerate(records, start=1):
        if not has_fields(record, fields):
            raise damaged(number, path)
    return records


def has_fields(record: Mapping[str, Any], fields: Fields) -> bool:
    """Whether the record holds these fields, each of its type."""

    checks = {float: arguments.is_number, int: arguments.is_whole}

    def fits(value: Any, kind: type) -> bool:
        return checks[kind](value) if kind in checks else isinstance(value, kind)

    return all(name in record and fits(record[name], kind) for name, kind in fields.items())


def read_line(line: bytes, number: int, path: Path) -> dict[str, Any]:
    """The record of a whole line. Raises InputError where it is none."""
    try:
        record = loads(line)
    except ValueError:
        record = None
    if not isinstance(record, dict):
        raise damaged(number, path)
    return record


def damaged(number: int, path: Path) -> InputError:
    """What to raise of a damaged line, counted from 1."""
    return InputError(f"Line {number} of {path} is damaged: restore the file, or start over in another folder.")


def unreadable(path: Path, error: OSError) -> InputError:
    """What to raise of a file that is there but cannot be read."""
    return InputError(f"{path} cannot be read ({error.strerror or error}): restore the file, or give access to it.")


def rewrite_lines(path: Path, records: Sequence[Mapping[str, Any]]) -> None:
    """Replace a .jsonl file by these records, atomically."""
    write_atomically(path, "".join(to_line(record) for record in records))


def cut_lines(
    path: Path, keep: Callable[[Mapping[str, Any]], bool], fields: Fields = MappingProxyType({})
) -> dict[str, Any] | None:
    """Cut a .jsonl file before its first record that is not to be kept, or that a kill left half written.

    One record is in memory at a time. A file that is missing stays so.

    Returns:
        The last record that is left, None where there is none.

    Raises:
        InputError: a line before that one is damaged or lacks a field, or the file cannot be changed.
    """
    last, end = None, 0
    try:
        file = path.open("r+b")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unreadable(path, error) from None
    with file, explain_disk_errors(path, any_error=True):
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                break
            record = read_line(line, number, path)
            if not has_fields(record, fields):
                raise damaged(number, path)
            if not keep(record):
                break
            last, end = record, end + len(line)
        file.truncate(end)
    return last


def to_line(record: Mapping[str, Any]) -> str:
    """A record as one line of JSON; see `files.dumps`."""
    return dumps(record, separators=(",", ":")) + "\n"


class LineWriter:
    """Appends records to a .jsonl file; each is on its way to the disk when `write` returns.

    Raises:
        InputError: at construction and in `write` and `sync`, no room or no access; the file then ends in whole lines.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._explained():
            self.file = path.open("ab", buffering=0)

    def write(self, record: Mapping[str, Any]) -> None:
        line = to_line(record).encode()
        with self._explained():
            start = self.file.seek(0, os.SEEK_END)
            try:
                rest = memoryview(line)
                while rest:
                    rest = rest[self.file.write(rest) :]
            except OSError:
                with contextlib.suppress(OSError):
                    self.file.truncate(start)
                raise

    def sync(self) -> None:
        """Wait until everything written is on the disk: a checkpoint must never be newer than its history."""
        with self._explained():
            os.fsync(self.file.fileno())

    def close(self) -> None:
        self.file.close()

    def _explained(self) -> contextlib.AbstractContextManager[None]:
        return explain_disk_errors(self.path, any_error=True)
