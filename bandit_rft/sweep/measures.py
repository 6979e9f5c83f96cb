"""What a sweep measures of a history: one number a seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from bandit_rft.errors import InputError
from bandit_rft.history import History
from bandit_rft.regret import regret_curve

Measure = Callable[[History], Any]


def final_regret(history: History) -> np.ndarray:
    """Cumulative pseudo-regret after the last round, float64 [S]."""
    return regret_curve(history)[:, -1]


def measures_of(measure: Any) -> dict[str, Measure]:
    """Name -> function, of either. Raises InputError where it is neither."""
    if callable(measure):
        return {"regret" if measure is final_regret else "value": measure}
    if not isinstance(measure, Mapping) or not measure or not all(callable(function) for function in measure.values()):
        raise InputError("measure is neither a function of a history nor name -> functions: give one of the two.")
    return {str(name): function for name, function in measure.items()}


def measured(function: Measure, name: str, history: History) -> np.ndarray:
    """float64 [S] of a history. Raises InputError where it is of another shape."""
    given = function(history)
    try:
        sample = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"the measure {name!r} gave what is no number: give one number a seed.") from None
    if sample.shape != (history.seeds,):
        raise InputError(
            f"the measure {name!r} gave shape {sample.shape}: give one number a seed, of shape ({history.seeds},)."
        )
    return sample
