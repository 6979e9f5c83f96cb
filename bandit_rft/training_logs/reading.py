"""Files of trainers, untrusted, as records of numbers by name: bounded in size, JSON and text alone, nothing executed.

trl     trainer_state.json: its log_history (Trainer.state), each a mean over the steps since the one before
verl    console lines "step:3 - critic/score/mean:0.25 - …" with whatever stands before them, or the lines of its
        file logger {"step": 3, "data": {…}}
tunix   lines of JSON {"step": 3, "train/rewards/overall": …}, or comma-separated values as Weights & Biases exports
csv     comma-separated values with a line of names; tabs or semicolons may stand in place of the commas
all     TensorBoard's event files (or their folder), where tensorboardX is installed

The text files may be compressed by gzip.
"""

from __future__ import annotations

import csv
import gzip
import io
import math
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from bandit_rft import arguments
from bandit_rft.errors import InputError
from bandit_rft.runs.files import loads

__all__ = ["FORMATS", "Record", "records"]

FORMATS = ("trl", "verl", "tunix", "csv")
MOST_BYTES = 256 * 2**20
_MOST_COLUMNS = 20_000
_GZIP = b"\x1f\x8b"
_VERL = re.compile(r"(?:^|[^\w/])step:(\d{1,15})(?: - |\s*$)")
_COLOUR = re.compile(r"\x1b\[[0-9;]{0,20}m")
_NUMPY = re.compile(r"np\.\w{1,20}\((.{1,40})\)\Z")


@dataclass(frozen=True)
class Record:
    """One record of a log.

    Attributes:
        place: where it stands, as an error names it ("line 3").
        values: number as text or float, by name; the step among them where there is one.
        step: where the format says it beside the values; else None.
    """

    place: str
    values: dict[str, Any]
    step: float | None = None


def records(path: Path, form: str) -> list[Record]:
    """The records of a log.

    Raises:
        InputError: a file that is missing, too large, or not of the format; the sentence names the line.
    """
    if form not in FORMATS:
        raise InputError(f"format is {arguments.shown(form)}: give {', '.join(FORMATS[:-1])} or {FORMATS[-1]}.")
    if path.is_dir() or "tfevents" in path.name:
        return _events(path)
    text = _text(path)
    if not text.strip():
        raise InputError(f"{path} is empty: name a log that a trainer has written.")
    found = list(_READERS[form](text, path))
    if not found:
        raise InputError(f"{path} has no record of the {form} format: name another file or --format.")
    return found


def _text(path: Path) -> str:
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise InputError(
                f"{path} has {size / 2**20:,.0f} MiB, and logs of up to {MOST_BYTES / 2**20:.0f} are read: cut it."
            )
        with path.open("rb") as file:
            content = file.read(MOST_BYTES)  # a pipe has no size, and a file may grow
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}): name a log file.") from None
    if content.startswith(_GZIP):
        content = _unpacked(content, path)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise InputError(f"Line {line} of {path} is no UTF-8 text: name a log file, not a binary one.") from None


def _unpacked(content: bytes, path: Path) -> bytes:
    try:
        found = gzip.GzipFile(fileobj=io.BytesIO(content)).read(MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error):
        raise InputError(f"{path} is a damaged gzip file: restore it, or name the log itself.") from None
    if len(found) > MOST_BYTES:
        raise InputError(f"{path} holds over {MOST_BYTES / 2**20:.0f} MiB, and logs up to that are read: cut it.")
    return found


def _trl(text: str, path: Path) -> Iterator[Record]:
    try:
        state = loads(text)
    except ValueError as error:
        line = getattr(error, "lineno", 1)
        raise InputError(
            f"Line {line} of {path} is no JSON: give the trainer_state.json that TRL wrote, or another --format."
        ) from None
    history = state.get("log_history") if isinstance(state, dict) else state
    if not isinstance(history, list):
        raise InputError(f"Line 1 of {path} begins no trainer_state.json: its log_history is missing.")
    for number, entry in enumerate(history, start=1):
        if not isinstance(entry, dict):
            raise InputError(
                f"Record {number} of log_history in {path} is no object: give the trainer_state.json that TRL wrote."
            )
        yield Record(f"record {number} of log_history", entry)


def _json_lines(text: str, path: Path) -> Iterator[Record]:
    lines = text.split("\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            entry = loads(line)
        except ValueError:
            entry = None
            if number == len(lines):
                return  # a kill can cut the last line short
        if not isinstance(entry, dict):
            raise InputError(f"Line {number} of {path} is no JSON object: mend or remove the line.")
        data = entry.get("data")
        if isinstance(data, dict):
            yield Record(f"line {number}", data, _step(entry.get("step"), number, path))
        else:
            yield Record(f"line {number}", entry)


def _step(value: Any, number: int, path: Path) -> float:
    if not arguments.is_number(value):
        raise InputError(f"Line {number} of {path} has no step: mend or remove the line.")
    return float(value)


def _verl(text: str, path: Path) -> Iterator[Record]:
    if text.lstrip().startswith("{"):
        yield from _json_lines(text, path)
        return
    for number, line in enumerate(text.splitlines(), start=1):
        line = _COLOUR.sub("", line)
        found = _VERL.search(line)
        if found is None:
            continue
        values = {}
        for part in line[found.end() :].split(" - "):
            name, colon, value = part.rpartition(":")
            if colon:
                inner = _NUMPY.match(value.strip())
                values[name.strip()] = inner[1] if inner else value.strip()
        yield Record(f"line {number}", values, float(found[1]))


def _csv(text: str, path: Path) -> Iterator[Record]:
    if "\0" in text:
        raise InputError(f"{path} holds bytes that no comma-separated file has: name another file or --format.")
    if text.lstrip().startswith(("{", "[")):
        raise InputError(f"{path} is JSON and no comma-separated file: give another --format.")
    header = text.lstrip().partition("\n")[0]
    divider = next((mark for mark in ",\t;" if mark in header), ",")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=divider, strict=True)
    try:
        names = next(reader)
        if len(names) > _MOST_COLUMNS:
            raise InputError(f"{path} has {len(names):,} columns, and {_MOST_COLUMNS:,} are read: export fewer.")
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise InputError(f"Line 1 of {path} names the column {arguments.shown(twice)} twice: rename one.")
        for row in reader:
            if not row:
                continue
            if len(row) != len(names):
                raise InputError(
                    f"Line {reader.line_num} of {path} has {len(row)} values and line 1 has {len(names)} names: mend "
                    "the line."
                )
            yield Record(
                f"line {reader.line_num}", {name: value for name, value in zip(names, row, strict=True) if value}
            )
    except csv.Error as error:
        raise InputError(f"Line {reader.line_num} of {path} is no comma-separated line ({error}): mend it.") from None


def _tunix(text: str, path: Path) -> Iterator[Record]:
    return _json_lines(text, path) if text.lstrip().startswith("{") else _csv(text, path)


_READERS: dict[str, Callable[[str, Path], Iterator[Record]]] = {
    "trl": _trl,
    "verl": _verl,
    "tunix": _tunix,
    "csv": _csv,
}


def _events(path: Path) -> list[Record]:
    """Scalars of TensorBoard's event files: TFRecords (length, checksum, content, checksum) of Event messages."""
    try:
        from google.protobuf.message import DecodeError

        event_pb2 = import_module("tensorboardX.proto.event_pb2")  # of an extra that need not be there
    except ImportError:
        raise InputError(
            f"{path} is of TensorBoard, and tensorboardX is not installed: pip install tensorboardX, or export the "
            "scalars as CSV."
        ) from None
    files = sorted(path.glob("*tfevents*")) if path.is_dir() else [path]
    if not files:
        raise InputError(f"{path} is a folder without TensorBoard event files: name a log file.")
    # A tag that goes back to an earlier step begins the records of a resumed run.
    passes: list[dict[int, dict[str, Any]]] = [{}]
    last: dict[str, int] = {}

    def keep(step: int, tag: str, value: float) -> None:
        if step <= last.get(tag, -1):
            passes.append({})
            last.clear()
        last[tag] = step
        passes[-1].setdefault(step, {})[tag] = value

    for file in files:
        content = _bytes(file)
        place, number = 0, 0
        while place + 12 <= len(content):
            number += 1
            length = int.from_bytes(content[place : place + 8], "little")
            end = place + 12 + length
            if end + 4 > len(content):
                break  # a kill can cut the last record short
            event = event_pb2.Event()
            try:
                event.ParseFromString(content[place + 12 : end])
            except DecodeError:
                raise InputError(
                    f"Record {number} of {file} is damaged: restore it, or export the scalars as CSV."
                ) from None
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    keep(int(event.step), value.tag, float(value.simple_value))
                elif value.HasField("tensor") and len(value.tensor.float_val) == 1:
                    keep(int(event.step), value.tag, float(value.tensor.float_val[0]))
            place = end + 4
    if not passes[0]:
        raise InputError(f"{path} holds no scalars: name the event file of the training run.")
    return [Record(f"step {step}", values, float(step)) for found in passes for step, values in sorted(found.items())]


def _bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InputError(f"{path} is larger than {MOST_BYTES / 2**20:.0f} MiB: export the scalars as CSV.")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}): name a log file.") from None


def number(value: Any) -> float:
    """A value of a record as a float; NaN for what is no finite number."""
    if isinstance(value, str):
        text = value.strip()
        # Python also takes "1_000" and other scripts' digits, which no trainer writes.
        if len(text) > 40 or not text.isascii() or "_" in text:
            return math.nan
        try:
            value = float(text)
        except ValueError:
            return math.nan
    if not arguments.is_number(value):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.nan
