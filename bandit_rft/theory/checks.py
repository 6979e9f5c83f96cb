"""Input checks shared by the predictions: each raises InputError with one sentence that says what to change."""

from __future__ import annotations

import math
import operator

from bandit_rft.errors import InputError

__all__ = ["check_count", "check_log_arms", "check_positive", "check_probability", "log_count"]


def check_probability(name: str, value: float) -> float:
    """A float strictly between 0 and 1."""
    number = _as_float(name, value)
    if not 0.0 < number < 1.0:
        raise InputError(f"{name} must lie strictly between 0 and 1, but is {value!r}.")
    return number


def check_positive(name: str, value: float) -> float:
    """A finite float above 0."""
    number = _as_float(name, value)
    if not (number > 0.0 and math.isfinite(number)):
        raise InputError(f"{name} must be a finite number above 0, but is {value!r}.")
    return number


def check_count(name: str, value: int, minimum: int = 1) -> int:
    """An integer of at least `minimum` (NumPy integers pass, floats do not)."""
    try:
        number = operator.index(value)
    except TypeError:
        raise InputError(f"{name} must be a whole number, but is {value!r}.") from None
    if number < minimum:
        raise InputError(f"{name} must be at least {minimum}, but is {number}.")
    return number


def check_log_arms(log_arms: float | None, optimal: int = 1) -> float:
    """ln K as a float, infinity for None; there must be at least one arm that is not optimal."""
    if log_arms is None:
        return math.inf
    number = _as_float("log_arms", log_arms)
    if not number > 0.0:
        raise InputError(f"log_arms is ln K and must be above 0 (two arms or more), but is {log_arms!r}.")
    if number - log_count(optimal) <= 0.0:
        raise InputError(
            f"optimal = {optimal} leaves no suboptimal arm among K = exp({number:.6g}): give fewer optimal arms."
        )
    return number


def log_count(count: int) -> float:
    """ln of a positive integer of any size (10^100000 included)."""
    return math.log(count)


def _as_float(name: str, value: float) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise InputError(f"{name} must be a number, but is {value!r}.") from None
