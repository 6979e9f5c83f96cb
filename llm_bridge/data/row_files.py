"""Rows of question data by index, from parquet, JSON lines, a JSON array or CSV; nothing in a file is run.

Each reader has the columns that its file has (of JSON, the keys of all its rows), the number of rows, and `row(index)`.
Parquet is read a row group at a time and JSON lines a line at a time, so that memory does not grow with the data; a
JSON array and a CSV file are held whole, and are bounded. Parquet's floats of 32 and 16 bits are read as the decimals
that they were written from: the nearest to 0.1 is 0.1, and not 0.10000000149011612.
"""

from __future__ import annotations

import io
import itertools
import json
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from bandit_rft.errors import InputError, reason

SUFFIXES = (".parquet", ".jsonl", ".ndjson", ".json", ".csv", ".tsv")
_PACKED = (".gz", ".bz2", ".xz", ".zst", ".zip", ".tar", ".tgz", ".7z")
LONGEST_LINE = 1 << 24  # bytes of a line of JSON
LARGEST_WHOLE = 1 << 30  # bytes of a file that is held whole


class RowFile(Protocol):
    """One file's rows."""

    @property
    def columns(self) -> Sequence[str]: ...

    @property
    def length(self) -> int: ...

    def row(self, index: int, columns: Sequence[str]) -> dict[str, Any]:
        """The values of these columns at a row, from 0; those that the file lacks are left out."""
        ...


def open_rows(path: Path) -> RowFile:
    """The reader of a file, by its ending; parquet where the ending says nothing.

    Raises:
        InputError: the file cannot be read as that.
    """
    suffix = path.suffix.lower()
    if suffix in (".csv", ".tsv"):
        return _Csv(path, "\t" if suffix == ".tsv" else ",")
    if suffix in (".jsonl", ".ndjson", ".json"):
        try:
            with path.open("rb") as file:
                begins = file.read(256).lstrip(b"\xef\xbb\xbf \t\r\n")
        except OSError as error:
            raise InputError(f"{path} cannot be read ({error.strerror or error}): check the file.") from None
        return _JsonArray(path) if begins.startswith(b"[") else _JsonLines(path)
    if suffix in _PACKED:
        raise InputError(f"{path} is packed ({suffix}): unpack it, and give the file that was in it.")
    return _Parquet(path)


class _Parquet:
    def __init__(self, path: Path) -> None:
        import pyarrow
        import pyarrow.parquet

        self._errors = (pyarrow.ArrowException, OSError)
        try:
            self._file = pyarrow.parquet.ParquetFile(path)
        except self._errors as error:
            raise InputError(f"{path} is not a readable parquet file: give a whole one in verl's layout.") from error
        sizes = [self._file.metadata.row_group(group).num_rows for group in range(self._file.num_row_groups)]
        self._ends = list(itertools.accumulate(sizes))
        self._held: tuple[int, Any] | None = None
        self.path, self.length = path, sum(sizes)
        self.columns = self._file.schema_arrow.names

    def row(self, index: int, columns: Sequence[str]) -> dict[str, Any]:
        group = next(place for place, end in enumerate(self._ends) if index < end)
        start = self._ends[group - 1] if group else 0
        _refuse_twice(self.columns, columns, self.path)
        wanted = [column for column in columns if column in self.columns]
        try:
            if self._held is None or self._held[0] != group:
                self._held = (group, self._file.read_row_group(group, columns=wanted))
            found = self._held[1].slice(index - start, 1).to_pylist()[0]
            return {name: _shortest(value, self._held[1].schema.field(name).type) for name, value in found.items()}
        except (*self._errors, ValueError) as error:  # a ValueError: text that is not UTF-8
            raise InputError(f"{self.path} is damaged near row {index}: fetch it again.") from error


def _shortest(value: Any, kind: Any) -> Any:
    """A value of parquet with its floats of fewer than 64 bits as the shortest decimals that round to them."""
    import pyarrow.types as types

    if types.is_dictionary(kind):
        kind = kind.value_type
    if isinstance(value, float | np.floating) and (types.is_float32(kind) or types.is_float16(kind)):
        return float(str((np.float32 if types.is_float32(kind) else np.float16)(value)))
    if isinstance(value, dict) and types.is_struct(kind):
        return {name: _shortest(one, kind.field(name).type) for name, one in value.items()}
    if isinstance(value, list) and (types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)):
        return [_shortest(one, kind.value_type) for one in value]
    return value


class _JsonLines:
    def __init__(self, path: Path) -> None:
        self.path = path
        self._starts, self._numbers = array("Q"), array("Q")
        try:
            self._file = path.open("rb")
            place = 0
            columns: dict[str, None] = {}
            for number, line in enumerate(self._lines(), start=1):
                if line.strip():
                    self._starts.append(place)
                    self._numbers.append(number)
                    columns.update(dict.fromkeys(_object(line, f"line {number} of {path}")))
                place += len(line)
        except OSError as error:
            raise InputError(f"{path} cannot be read ({error.strerror or error}): check the file.") from None
        self.length = len(self._starts)
        self.columns = list(columns)

    def row(self, index: int, columns: Sequence[str]) -> dict[str, Any]:
        found = self._read(index)
        return {column: found[column] for column in columns if column in found}

    def _lines(self) -> Any:
        while line := self._file.readline(LONGEST_LINE + 1):
            if len(line) > LONGEST_LINE:
                raise InputError(f"{self.path} has a line of over {LONGEST_LINE >> 20} MiB: give a row per line.")
            yield line

    def _read(self, index: int) -> dict[str, Any]:
        self._file.seek(self._starts[index])
        line = self._file.readline(LONGEST_LINE)
        return _object(line, f"line {self._numbers[index]} of {self.path}")


class _JsonArray:
    def __init__(self, path: Path) -> None:
        try:
            found = json.loads(_whole(path), parse_constant=float, object_pairs_hook=_each_key_once)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path} is not readable JSON ({reason(error)}): give a list of rows.") from None
        if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
            raise InputError(f"{path} is not a list of rows with named columns: give one, or a row per line.")
        self._rows, self.length = found, len(found)
        self.columns = list(dict.fromkeys(key for row in found for key in row))

    def row(self, index: int, columns: Sequence[str]) -> dict[str, Any]:
        return {column: self._rows[index][column] for column in columns if column in self._rows[index]}


class _Csv:
    """Every cell is a text; an empty one is none."""

    def __init__(self, path: Path, delimiter: str) -> None:
        import csv

        # The csv module's own limit of 131,072 characters a field is less than a prompt may have.
        csv.field_size_limit(LONGEST_LINE)
        try:
            lines = io.StringIO(_whole(path).decode("utf-8-sig"), newline="")
            reader = csv.reader(lines, delimiter=delimiter, strict=True)
            self.columns = [name.strip() for name in next(reader, [])]
            self._rows: list[list[str]] = []
            for cells in reader:
                if cells and len(cells) != len(self.columns):
                    raise InputError(
                        f"Line {reader.line_num} of {path} has {len(cells)} cells and its first line "
                        f"{len(self.columns)}: mend the line."
                    )
                if cells:
                    self._rows.append(cells)
        except UnicodeDecodeError as error:
            raise InputError(f"{path} is not readable CSV ({reason(error)}): write it in UTF-8.") from None
        except csv.Error as error:
            raise InputError(f"{path} is not readable CSV ({reason(error)}): mend its quotes.") from None
        self.path, self.length = path, len(self._rows)

    def row(self, index: int, columns: Sequence[str]) -> dict[str, Any]:
        _refuse_twice(self.columns, columns, self.path)
        found = dict(zip(self.columns, self._rows[index], strict=True))
        return {column: found[column] or None for column in columns if column in found}


def _object(line: bytes, where: str) -> dict[str, Any]:
    try:
        found = json.loads(line.removeprefix(b"\xef\xbb\xbf"), object_pairs_hook=_each_key_once)
    except (ValueError, RecursionError) as error:
        if line.strip() == b"{":
            raise InputError(
                f"{where} begins an object that goes on in the next line: write each row in one line, or all rows as "
                "one list in [ and ]."
            ) from None
        raise InputError(f"{where} is not readable JSON ({reason(error)}): mend the line.") from None
    if not isinstance(found, dict):
        raise InputError(f"{where} holds a {type(found).__name__}: give an object with named columns per line.")
    return found


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON. Raises ValueError for a key that is there twice, of which the later would win unsaid."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"an object has the key {next(key for key in keys if keys.count(key) > 1)!r} twice")
    return found


def _refuse_twice(held: Sequence[str], wanted: Sequence[str], path: Path) -> None:
    """Raises InputError where a column that is wanted stands in a file twice."""
    for column in wanted:
        if held.count(column) > 1:
            raise InputError(f"{path} has two columns {column!r}: give each a name of its own.")


def _whole(path: Path) -> bytes:
    try:
        if path.stat().st_size > LARGEST_WHOLE:
            raise InputError(
                f"{path} is over {LARGEST_WHOLE >> 30} GiB: give parquet or JSON lines, which are read by part."
            )
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}): check the file.") from None
