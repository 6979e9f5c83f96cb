"""Whole files, written or not at all, and JSON that no text of a model and no damage turns into a traceback."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bandit_rft.errors import InputError

# What a full, read-only or failing disk says.
_DISK_ERRORS = {getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EIO") if hasattr(errno, name)}
_DEEPEST = 100  # levels of a JSON text; the deepest of this package's own has fewer than ten
PARTIAL = ".*.partial"  # the names of files that are being written
_LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")


def write_atomically(path: Path, data: str | bytes) -> None:
    """Write a whole file, or nothing: temporary file beside it, flush to disk, rename.

    Raises:
        InputError: no room or no access there.
    """
    if not path.name:
        raise InputError(f"{str(path)!r} names no file: give the name of one.")
    content = data.encode() if isinstance(data, str) else data
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        try:
            # "x" with the user's own umask: a temporary file's 0600 would hide the file from colleagues, a fixed 0644
            # would show it to those from whom the user hides everything.
            with partial.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
        except BaseException:
            with contextlib.suppress(OSError):
                partial.unlink()
            raise
    except OSError as error:
        raise InputError(
            f"{path} cannot be written ({error.strerror or error}): make room, or give another place."
        ) from error


def check_place(path: str | Path, option: str) -> None:
    """Raises InputError where no file of that name can be written, before any work is done for it."""
    file = Path(path)
    if file.is_dir():
        raise InputError(f"{option} is {str(path)!r}, a folder: give the name of a file.")
    if not file.parent.is_dir():
        raise InputError(f"{option} is {str(path)!r}, and {file.parent} is no folder: make it, or give another name.")
    trial = file.with_name(f".{file.name}.{secrets.token_hex(4)}.partial")
    try:  # what may be written to says the attempt alone: root may do all, and a folder of the kernel's refuses
        trial.touch(exist_ok=False)
        trial.unlink()
    except OSError as error:
        raise InputError(
            f"{option} is {str(path)!r}, which cannot be written ({error.strerror or error}): give another name."
        ) from None


def dumps(value: Any, **how: Any) -> str:
    """JSON of plain values: NaN and infinities, which JSON lacks, become null.

    A lone surrogate, which UTF-8 lacks, is written as its escape (backslash, u, four digits) and read back as it was;
    a high one with a low one behind it are one character to JSON, and are read back as that.
    """
    text = json.dumps(finite(value), ensure_ascii=False, allow_nan=False, **how)
    return text if text.isascii() else _LONE_SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def loads(text: str | bytes) -> Any:
    """The value of a JSON text from anywhere. Raises ValueError where it is none, or is nested more deeply than what
    this package can write again.
    """
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    held = [value]
    for _ in range(_DEEPEST + 1):  # level by level: what recurs is at the end of Python's stack before the parser is
        held = [entry for entry in held if isinstance(entry, dict | list)]
        if not held:
            return value
        held = [inner for entry in held for inner in (entry.values() if isinstance(entry, dict) else entry)]
    raise ValueError("nested too deeply")


def to_json(value: Any) -> str:
    """A file's JSON; see `dumps`."""
    return dumps(value, indent=1) + "\n"


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file. Raises InputError where it is missing or is none."""
    try:
        value = loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror or error}): name a run folder or its {path.name}."
        ) from None
    except ValueError:
        raise InputError(f"{path} is not JSON: restore it, or choose another folder.") from None
    if not isinstance(value, dict):
        raise InputError(f"{path} holds no JSON object: restore it, or choose another folder.")
    return value


def finite(value: Any) -> Any:
    """Plain values without NaN and infinities: None in their place; names of mappings as text, tuples as lists."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): finite(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [finite(entry) for entry in value]
    return value


@contextlib.contextmanager
def explain_disk_errors(path: Path, *, any_error: bool = False) -> Iterator[None]:
    """Turns an OSError of a full, read-only or failing disk (or `any_error`) into a sentence about this path.

    Raises:
        InputError: in its place.
    """
    try:
        yield
    except OSError as error:
        if not any_error and error.errno not in _DISK_ERRORS:
            raise
        raise InputError(
            f"{error.filename or path} cannot be written ({error.strerror or error}): make room or access there; the "
            "same command then continues."
        ) from error
