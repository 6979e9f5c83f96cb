"""Checks of ln K and of probabilities that the predictions share (`arguments` has the rest)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from bandit_rft import arguments
from bandit_rft.errors import InputError

__all__ = ["check_log_arms", "check_probabilities", "check_rate", "check_start", "log_count"]

_LEAST_P0 = 1e-300  # below it 1/p0 overflows
_ROUNDED = 1e-3  # by which ln 2 may have been rounded
_RATES = (1e-100, 1e100)  # of the step size times kappa


def check_log_arms(log_arms: float | None, optimal: int = 1) -> float:
    """ln K as a float, infinity for None; there must be at least one arm that is not optimal, two arms in all."""
    if log_arms is None:
        return math.inf
    number = arguments.number("log_arms", log_arms)
    if not number > math.log(2) - _ROUNDED:
        raise InputError(f"log_arms is ln K and must be at least ln 2 = .693 (two arms or more), but is {log_arms!r}.")
    if number - log_count(optimal) <= 0.0:
        raise InputError(
            f"optimal = {arguments.shown(optimal)} leaves no suboptimal arm among K = exp({number:.6g}): give fewer "
            "optimal arms."
        )
    return number


def log_count(count: int) -> float:
    """ln of a positive integer of any size (10^100000 included)."""
    return math.log(count)


def check_start(p0: float) -> float:
    """p0 as a float. Raises InputError outside (0, 1), and where its inverse overflows."""
    if arguments.fraction("p0", p0) < _LEAST_P0:
        raise InputError(f"p0 is {p0}: below {_LEAST_P0} its inverse has no float.")
    return float(p0)


def check_rate(step_size: float, kappa: float, name: str = "kappa", step: str = "step_size") -> float:
    """Their product. Raises InputError for one that is not positive, and for a product that no float follows."""
    step_size, kappa = arguments.positive(step, step_size), arguments.positive(name, kappa)
    rate = step_size * kappa
    if not _RATES[0] <= rate <= _RATES[1]:
        raise InputError(
            f"{step} is {step_size:g} and {name} is {kappa:g}: their product is outside the range of "
            f"{_RATES[0]:g} to {_RATES[1]:g} that a float follows."
        )
    return rate


def check_probabilities(p: ArrayLike) -> np.ndarray:
    """p as float64 of its shape. Raises InputError unless 0 < p < 1 everywhere."""
    try:
        probability = np.asarray(p, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"p must be a number or an array of numbers, but is {p!r}.") from None
    if not np.all((probability > 0.0) & (probability < 1.0)):
        raise InputError("p must lie strictly between 0 and 1 everywhere.")
    return probability
