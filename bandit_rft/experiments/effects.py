"""Effects with intervals: Student's t over units, tests against a margin, Holm's correction, seeds still needed.

A unit is what the result is to hold for in general: a question, or on a table a seed. Seeds of one question are
averaged before: they say how well that question is known, and nothing of others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from bandit_rft.errors import InputError

MOST_UNITS = 100_000  # more than that are no advice


@dataclass(frozen=True)
class Effect:
    """An estimated mean with its standard error.

    Attributes:
        value: the estimate.
        standard_error: of it; NaN with fewer than two units.
        freedom: degrees of freedom of that error.
        units: how many units stand behind it.
    """

    value: float
    standard_error: float
    freedom: float
    units: int

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Student's t interval; infinite with fewer than two units."""
        if not math.isfinite(self.standard_error):
            return -math.inf, math.inf
        reach = self.standard_error * float(stats.t.ppf((1 + confidence) / 2, self.freedom))
        return self.value - reach, self.value + reach

    def above(self, threshold: float) -> float:
        """One-sided p-value of "the mean is at most the threshold"; 1 where nothing can be said."""
        return self._tail(self.value - threshold)

    def below(self, threshold: float) -> float:
        """One-sided p-value of "the mean is at least the threshold"."""
        return self._tail(threshold - self.value)

    def _tail(self, distance: float) -> float:
        if not math.isfinite(self.standard_error):
            return 1.0
        if self.standard_error == 0:  # all units alike: certain, but for a distance of nothing
            return 0.0 if distance > 0 else 1.0
        return float(stats.t.sf(distance / self.standard_error, self.freedom))

    def units_needed(self, distance: float, confidence: float = 0.95) -> int | None:
        """How many units of this spread would make the interval's half-width at most `distance`; None: no number."""
        if not math.isfinite(self.standard_error) or not distance > 0:
            return None
        spread = self.standard_error * math.sqrt(self.units)

        def wide(units: int) -> bool:
            return spread / math.sqrt(units) * float(stats.t.ppf((1 + confidence) / 2, units - 1)) > distance

        low, high = max(2, self.units), MOST_UNITS
        if wide(high):
            return None
        while low < high:  # the half-width falls as units are added
            middle = (low + high) // 2
            low, high = (middle + 1, high) if wide(middle) else (low, middle)
        return low


def mean_effect(values: Sequence[float] | np.ndarray) -> Effect:
    """The mean of one number per unit; NaN units (of which nothing was measured) are left out.

    Raises:
        InputError: no unit at all.
    """
    found = np.asarray(values, np.float64).reshape(-1)
    found = found[np.isfinite(found)]
    if not found.size:
        raise InputError("An effect got no unit with a finite number: run the conditions that it compares.")
    error = float(found.std(ddof=1) / math.sqrt(found.size)) if found.size > 1 else math.nan
    return Effect(float(found.mean()), error, max(found.size - 1, 1), found.size)


def difference(left: Sequence[float] | np.ndarray, right: Sequence[float] | np.ndarray) -> Effect:
    """Mean of `left` minus mean of `right`, whose units are not the same ones (Welch 1947)."""
    one, other = mean_effect(left), mean_effect(right)
    squares = one.standard_error**2, other.standard_error**2
    total = sum(squares)
    freedom = 1.0
    if total > 0:
        freedom = total**2 / (squares[0] ** 2 / one.freedom + squares[1] ** 2 / other.freedom)
    return Effect(one.value - other.value, math.sqrt(total), freedom, one.units + other.units)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down p-values (1979): each at most .05 where a family-wise error of .05 is kept."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted, least = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(order):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = least
    return adjusted


def wilson(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's interval (1927) of a share."""
    found = stats.binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    return float(found.low), float(found.high)
