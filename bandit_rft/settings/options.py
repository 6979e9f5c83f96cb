"""Options from the fields of a frozen configuration: one source for names, types, defaults, help and config.json."""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import math
import operator
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from bandit_rft import arguments
from bandit_rft.arguments import shown
from bandit_rft.errors import InputError
from bandit_rft.settings.ranges import MOST_KEY, MOST_ROWS, Wholes

Config = TypeVar("Config")


def option(
    default: Any,
    help: str,
    *,
    type: Callable[[str], Any] | None = None,
    none: bool | None = None,
    choices: Sequence[str] | None = None,
    metavar: str | None = None,
    group: str | None = None,
) -> Any:
    """A dataclass field that is also an option `--its-name`.

    Args:
        default: its value where the option is not given.
        help: what it is, with its unit.
        type: text -> value; raises ArgumentTypeError "give WHAT, not TEXT". None: a float field's number, or the text.
        none: whether the text "none" means None; by default where the default is None.
        choices: the values allowed.
        metavar: what stands for the value in the help; by default as the type says.
        group: title of the help's group that it stands in.
    """
    optional = default is None if none is None else none
    metadata = {"help": help, "type": type, "none": optional, "choices": choices, "metavar": metavar, "group": group}
    return dataclasses.field(default=default, metadata=metadata)


def shared(config: type, name: str, **changed: Any) -> Any:
    """An option of another configuration, as it is there but for what is changed (as `option` names it)."""
    [entry] = [entry for entry in dataclasses.fields(config) if entry.name == name]
    return option(**{"default": entry.default, **entry.metadata, **changed})


def build(config: type[Config], values: Mapping[str, Any], where: str) -> Config:
    """The configuration of these values.

    Raises:
        InputError: a field that the configuration lacks, or a value of another kind than its option's.
    """
    known = {entry.name: entry for entry in dataclasses.fields(config)}  # type: ignore[arg-type]
    found = {}
    for name, value in values.items():
        if name not in known:
            raise InputError(f"{where} has the unknown field {name!r}: choose among {', '.join(known)}.")
        found[name] = _settled(known[name], value, f"{where} has {name} =")
    return config(**found)


def settle(config: Any) -> None:
    """Hold each field of a frozen configuration to its option, and put plain values in the place of numbers of other
    libraries: for `__post_init__`, so that what Python and a file give is held to the same as what is typed.

    Raises:
        InputError: a value of another kind, by its option.
    """
    for entry in dataclasses.fields(config):
        if entry.metadata:
            said = f"--{entry.name.replace('_', '-')} is"
            object.__setattr__(config, entry.name, _settled(entry, getattr(config, entry.name), said))


def _settled(entry: dataclasses.Field, value: Any, said: str) -> Any:
    """The value as the field's option would give it. Raises InputError, which begins with `said`."""
    try:
        return _as_option(entry, value)
    except argparse.ArgumentTypeError as error:
        wanted = str(error).partition(", not ")[0]
    raise InputError(f"{said} {shown(value)}: {wanted}.")


def _as_option(entry: dataclasses.Field, value: Any) -> Any:
    """The same. Raises ArgumentTypeError "give WHAT, not TEXT", as an option's type does."""
    about, annotated = entry.metadata, str(entry.type)
    if value is None and (about["none"] or entry.default is None):
        return None
    if annotated.startswith("bool"):
        if isinstance(value, bool | np.bool_):
            return bool(value)
        raise argparse.ArgumentTypeError("give true or false, not that")
    if about["choices"]:
        if isinstance(value, str) and value in about["choices"]:
            return value
        raise argparse.ArgumentTypeError(f"choose among {', '.join(about['choices'])}, not that")
    if not annotated.startswith(("int", "float")):
        text = os.fspath(value) if isinstance(value, str | os.PathLike) else None
        if not isinstance(text, str):
            raise argparse.ArgumentTypeError("give a text, not that")
        return about["type"](text) if about["type"] else text
    several = value if isinstance(value, list | tuple) and "tuple" in annotated else [value]
    try:
        texts = [_digits(one) for one in several]
    except (TypeError, ValueError, InputError):
        kind = "a number" if annotated.startswith("float") else "a whole number"
        raise argparse.ArgumentTypeError(f"give {kind}, not that") from None
    found = (about["type"] or number)(",".join(texts))
    # A plain number stays as it is, int or float: config.json and the names of folders are made of it.
    return value if type(found) is float and type(value) in (int, float) else found


def _digits(value: Any) -> str:
    """A number as an option's text. Raises TypeError or ValueError where it is none."""
    if isinstance(value, str | bool | np.bool_):
        raise TypeError
    try:
        return str(operator.index(value))
    except TypeError:
        return repr(arguments.number("", value))


def run_name(command: str, model: str, data: str, what: str, config: Mapping[str, Any]) -> str:
    """runs/COMMAND-MODEL-DATA-WHAT-HASH (an empty part is left out), the same for the same configuration."""
    from bandit_rft.runs import config_hash

    named = Path(model).stem if "/" in model else model
    parts = (command, named, Path(data).stem, what, config_hash(config)[:8])
    return str(Path("runs") / re.sub(r"[^\w.-]+", "_", "-".join(filter(None, parts))))


# As the keys of random draws are; what must fit int32 or memory has a range of its own.
count, whole = Wholes(least=1, most=MOST_KEY), Wholes(least=0, most=MOST_KEY)
seed = whole

_PLACE = r"(\d{0,18}:\d{0,18}(:[1-9]\d{0,17})?|\d{1,18})"
_RANGES = rf"{_PLACE}(,{_PLACE})*"


def ranges(text: str) -> str:
    """Places and ranges START:STOP or START:STOP:STEP with commas between them, such as 0:128,300:310,512."""
    if not re.fullmatch(_RANGES, text.replace(" ", "")):
        raise argparse.ArgumentTypeError(
            f"give places and ranges START:STOP with commas between them, such as 0:128,300:310,512, not {shown(text)}"
        )
    return text.replace(" ", "")


def places_of(text: str, length: int | None = None) -> list[int]:
    """The places that `ranges` names, each once, in order.

    Args:
        text: as `ranges` takes it.
        length: of the data; ranges are cut off at it, as slices are. None: a range must say where it stops.

    Raises:
        InputError: nothing is named, or a range does not say where it stops and the length is unknown.
    """
    places: dict[int, None] = {}
    for part in text.split(",") if re.fullmatch(_RANGES, text) else ():
        start, colon, rest = part.partition(":")
        stop, _, step = rest.partition(":")
        if not colon:
            places[int(part)] = None
            continue
        if not stop and length is None:
            raise InputError(f"--indices has the range {part!r}: say where it stops, such as {start or 0}:128.")
        last = length if not stop else int(stop) if length is None else min(int(stop), length)
        named = range(int(start or 0), last or 0, int(step or 1))
        if len(named) > MOST_ROWS:
            raise InputError(f"--indices has the range {part!r} of {len(named):,} places: give {MOST_ROWS:,} at most.")
        places |= dict.fromkeys(named)
    if not places:
        of = "" if length is None else f" of the {length}"
        raise InputError(f"--indices {text[:40]!r} names no question{of}: give START:STOP, such as 0:200, or 3,17,42.")
    return list(places)


def number(text: str) -> float:
    """A finite number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"give a finite number, not {shown(text)}")
    return value


def path(text: str) -> str:
    """The name of a file or folder; an empty one, as of a shell's variable that is not set, is none. A leading ~ is the
    home folder, also where the shell leaves it, as in --out=~/runs.
    """
    if not text or "\0" in text:
        raise argparse.ArgumentTypeError(f"give the name of a file or folder, not {shown(text)}")
    return os.path.expanduser(text)


def picture(text: str) -> str:
    """The name of a PNG file."""
    if Path(text).suffix.lower() != ".png":
        raise argparse.ArgumentTypeError(f"give the name of a file that ends in .png, not {shown(text)}")
    return os.path.expanduser(text)


def moment(text: str) -> str:
    """A date, or a date and time, as ISO 8601 writes it with both."""
    try:
        return datetime.datetime.fromisoformat(text).isoformat()
    except ValueError:
        raise argparse.ArgumentTypeError(f"give a date such as 2026-11-28, not {shown(text)}") from None


def yes_or_no(text: str) -> bool:
    """The words yes and no."""
    if text.lower() not in ("yes", "no"):
        raise argparse.ArgumentTypeError(f"give yes or no, not {shown(text)}")
    return text.lower() == "yes"
