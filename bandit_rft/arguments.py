"""Checks of a user's arguments, shared by arm sets, learners, the loop and the theory.

Each returns the value in its proper type, or raises InputError with one sentence: the argument's name, what it is, and
what to give instead. None of them lets a text or a NaN through as a traceback of someone else's.
"""

from __future__ import annotations

import difflib
import math
import operator
from collections.abc import Iterable
from typing import Any, TypeGuard

import numpy as np

from bandit_rft.errors import InputError

_MOST = 2**62  # beyond it int64 is near its end


def is_whole(value: Any) -> TypeGuard[int]:
    """Whether a value of JSON is a whole number written as one: neither true nor 1.0."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> TypeGuard[float]:
    """Whether a value of JSON is a number, NaN and infinity included."""
    return isinstance(value, float) or is_whole(value)


def whole(name: str, value: Any, least: int = 1, most: int | None = _MOST) -> int:
    """An int from `least` to `most` (None: of any size); a whole float passes, a bool does not. Raises InputError."""
    number = None
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        if isinstance(value, float | np.floating) and float(value).is_integer():
            number = int(value)
    if number is None or number < least:
        raise InputError(f"{name} is {shown(value)}: give a whole number of at least {least}.")
    if most is not None and number > most:
        large = f"{number:,}" if number < 10**12 else f"about 10^{_digits(number) - 1}"
        raise InputError(f"{name} is {large}: give a whole number of at most {most:,}.")
    return number


def _digits(number: int) -> int:
    """Decimal digits of a positive number, also of one that Python would not print."""
    return int(number.bit_length() * math.log10(2)) + 1


def integer(name: str, value: Any, least: int = 1) -> int:
    """As `whole`, of any integer type: no bool, and no float, whole or not. Raises InputError."""
    kind = getattr(getattr(value, "dtype", None), "kind", "b" if isinstance(value, bool) else "i")
    try:
        number = operator.index(value) if kind in "iu" else None
    except TypeError:
        number = None
    if number is None or number < least:
        raise InputError(f"{name} is {shown(value)}: give a whole number of at least {least}, as an integer.")
    return whole(name, number, least)


def number(name: str, value: Any) -> float:
    """A float, NaN and infinity included. Raises InputError for what is no number, a bool included."""
    try:
        if isinstance(value, str | bytes | bool | np.bool_) or getattr(value, "ndim", 0) != 0:
            raise TypeError
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{name} is {shown(value)}: give a number that a float can hold.") from None


def positive(name: str, value: Any) -> float:
    """A finite float above 0. Raises InputError."""
    found = number(name, value)
    if not (found > 0 and math.isfinite(found)):
        raise InputError(f"{name} is {value}: give a positive finite number.")
    return found


def at_least(name: str, value: Any, least: float) -> float:
    """A finite float of at least `least`. Raises InputError."""
    found = number(name, value)
    if not (found >= least and math.isfinite(found)):
        raise InputError(f"{name} is {value}: give a finite number of at least {least:g}.")
    return found


def between(name: str, value: Any, low: float, high: float) -> float:
    """A float in [low, high]. Raises InputError."""
    found = number(name, value)
    if not low <= found <= high:
        raise InputError(f"{name} is {value}: give a number between {low:g} and {high:g}.")
    return found


def fraction(name: str, value: Any) -> float:
    """A float strictly between 0 and 1. Raises InputError."""
    found = number(name, value)
    if not 0 < found < 1:
        raise InputError(f"{name} is {value}: give a number strictly between 0 and 1.")
    return found


def finite(name: str, value: Any) -> float:
    """A finite float. Raises InputError."""
    found = number(name, value)
    if not math.isfinite(found):
        raise InputError(f"{name} is {found}: give a finite number.")
    return found


def flag(name: str, value: Any) -> bool:
    """A bool. Raises InputError for anything else: the text "no" would be true."""
    if not isinstance(value, bool | np.bool_):
        raise InputError(f"{name} is {shown(value)}: give True or False.")
    return bool(value)


def require(name: str, value: Any, kinds: type | tuple[type, ...], give: str) -> None:
    """Raises InputError where a value is of none of the kinds; `give` says what to give instead."""
    if not isinstance(value, kinds):
        raise InputError(f"{name} is of type {type(value).__name__}: give {give}.")


def numbers(name: str, values: Any) -> np.ndarray:
    """float64 [N], N ≥ 1; a single number is a list of one. Raises InputError."""
    try:
        found = np.atleast_1d(np.asarray(values, dtype=np.float64))
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{name} must be a list of numbers, but is {shown(values)}.") from None
    if found.ndim != 1:
        raise InputError(f"{name} has shape {found.shape}: give one list of numbers.")
    if found.size == 0:
        raise InputError(f"{name} is empty: give one number or more.")
    return found


def array(name: str, values: Any) -> np.ndarray:
    """float64 of any shape, one number included. Raises InputError for what holds anything else than numbers."""
    try:
        found = np.asarray(values)
        if found.dtype.kind in "SUmMc":
            raise TypeError
        return found.astype(np.float64, copy=False)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{name} is {shown(values)}: give numbers.") from None


def shown(value: Any) -> str:
    """The value as a message shows it, 60 characters at most."""
    try:
        text = repr(value)
    except ValueError:  # more digits than Python prints
        text = "a number of very many digits"
    if "\n" in text:  # of an array; a message is one line
        text = " ".join(text.split())
    return text if len(text) <= 60 else text[:57] + "..."


def nearest(name: Any, known: Iterable[Any]) -> str:
    """ " (did you mean X?)" where one of the known names is near to a mistyped one, for the middle of a sentence; else
    the empty text. Case, hyphens and underscores do not count.
    """
    if not isinstance(name, str):
        return ""
    plain = {str(one).lower().replace("_", "-"): str(one) for one in known}
    close = difflib.get_close_matches(name[:80].lower().replace("_", "-"), plain, n=1, cutoff=0.6)
    return f" (did you mean {plain[close[0]]}?)" if close else ""
