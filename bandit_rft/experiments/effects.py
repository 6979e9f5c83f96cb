"""Effects with intervals: Student's t over units, tests against a margin, Holm's correction, seeds still needed.

A unit is what the result is to hold for in general: a question, or on a table a seed. Seeds of one question are
averaged before: they say how well that question is known, and nothing of others. Shares of seeds, and units that are
all alike, have intervals of their own (`intervals`): Student's t would have width 0 there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from scipy import optimize, stats

from bandit_rft.errors import InputError
from bandit_rft.experiments import intervals
from bandit_rft.experiments.intervals import Ends, Interval

MOST_UNITS = 100_000  # more than that are no advice
ALIKE = 1e-9  # units that differ by less, of 1 or of the size of the largest, differ by rounding alone
_LEAST_ALPHA = 1e-30  # p-values are not told apart below


@dataclass(frozen=True)
class Effect:
    """An estimated mean with its standard error.

    Attributes:
        value: the estimate.
        standard_error: of it; NaN with fewer than two units.
        freedom: degrees of freedom of that error.
        units: how many units stand behind it.
        alike: whether the units were all alike.
        ends: alpha -> the interval's ends, where it is not Student's t.
    """

    value: float
    standard_error: float
    freedom: float
    units: int
    alike: bool = False
    ends: Interval | None = None

    def interval(self, confidence: float = 0.95) -> Ends:
        """Student's t interval, or the effect's own; infinite with fewer than two units."""
        return self.missing(1 - confidence)

    def missing(self, alpha: float) -> Ends:
        """The interval that misses the mean with the chance alpha."""
        if self.ends is not None:
            return self.ends(alpha)
        if not math.isfinite(self.standard_error):
            return -math.inf, math.inf
        reach = self.standard_error * float(stats.t.isf(alpha / 2, self.freedom))
        return self.value - reach, self.value + reach

    def above(self, threshold: float) -> float:
        """One-sided p-value of "the mean is at most the threshold"; 1 where nothing can be said."""
        return self._tail(self.value - threshold, 0)

    def below(self, threshold: float) -> float:
        """One-sided p-value of "the mean is at least the threshold"."""
        return self._tail(threshold - self.value, 1)

    def _tail(self, distance: float, end: int) -> float:
        if self.ends is not None:
            return self._by_inversion(distance, end)
        if not math.isfinite(self.standard_error):
            return 1.0
        if self.standard_error == 0:  # all units alike, and nothing known of what others can be
            return 0.0 if distance > 0 else 1.0
        return float(stats.t.sf(distance / self.standard_error, self.freedom))

    def _by_inversion(self, distance: float, end: int) -> float:
        """Half of the alpha at which the interval's end is as far from the value as the threshold is."""
        ends = self.ends
        if ends is None or not distance > 0:
            return 1.0

        def beyond(log_alpha: float) -> float:
            return abs(ends(math.exp(log_alpha))[end] - self.value) - distance

        low, high = math.log(_LEAST_ALPHA), -1e-12
        if beyond(low) <= 0:
            return _LEAST_ALPHA / 2
        if beyond(high) >= 0:
            return 0.5
        return math.exp(float(optimize.brentq(beyond, low, high))) / 2  # type: ignore[arg-type]

    def units_needed(self, distance: float, confidence: float = 0.95) -> int | None:
        """How many units of this spread, more than there are, would make the interval's half-width at most `distance`.

        None: no number, as where nothing is known of the spread, or it would be more than `MOST_UNITS`.
        """
        if not math.isfinite(self.standard_error) or not distance > 0:
            return None
        if self.standard_error == 0 and self.ends is not None:
            # What may be unseen among N units goes as 1/N.
            low, high = self.interval(confidence)
            units = self.units * max(self.value - low, high - self.value) / distance
            return None if units > MOST_UNITS else max(self.units + 1, math.ceil(units))
        spread = self.standard_error * math.sqrt(self.units)
        # Of units that are of two kinds, as Welch's are, the degrees of freedom grow as those of one kind do.
        freedom = self.freedom / max(self.units - 1, 1)

        def wide(units: int) -> bool:
            reach = float(stats.t.isf((1 - confidence) / 2, freedom * (units - 1)))
            return spread / math.sqrt(units) * reach > distance

        low, high = self.units + 1, MOST_UNITS
        if wide(high):
            return None
        while low < high:  # the half-width falls as units are added
            middle = (low + high) // 2
            low, high = (middle + 1, high) if wide(middle) else (low, middle)
        return low

    def scaled(self, factor: float, shift: float = 0.0) -> Effect:
        """The effect times a factor, plus a number; its interval and its tests go with it."""
        ends = None if self.ends is None else partial(intervals.scaled, of=self.ends, factor=factor, shift=shift)
        return replace(
            self,
            value=factor * self.value + shift,
            standard_error=abs(factor) * self.standard_error,
            ends=ends,
        )

    def open_ended(self, *, below: bool = False, above: bool = False) -> Effect:
        """The effect with an interval that has no end below, or above: of numbers that are cut off, as the rounds of
        seeds that were stopped, it is known on one side how far the mean may be from what is seen.
        """
        return replace(self, ends=partial(intervals.open_ended, of=self.missing, below=below, above=above))


def mean_effect(values: Sequence[float] | np.ndarray, bounds: Ends | None = None) -> Effect:
    """The mean of one number per unit; NaN units (of which nothing was measured) are left out.

    Args:
        values: of the units.
        bounds: between which every unit's number must lie, infinite where nothing is known. Units that are all alike
            then have the interval of what may be unseen (`intervals.unseen`). None: Student's t, of width 0.

    Raises:
        InputError: no unit at all.
    """
    found = np.asarray(values, np.float64).reshape(-1)
    found = found[np.isfinite(found)]
    if not found.size:
        raise InputError("An effect got no unit with a finite number: run what it compares, with more seeds or rounds.")
    alike = found.size > 1 and bool(np.ptp(found) <= ALIKE * max(1.0, np.abs(found).max()))
    error = float(found.std(ddof=1) / math.sqrt(found.size)) if found.size > 1 else math.nan
    value, ends = float(found.mean()), None
    if alike and bounds is not None:
        value, error = float(found[0]), 0.0
        ends = partial(intervals.unseen, value=value, units=found.size, bounds=bounds)
    return Effect(value, error, max(found.size - 1, 1), found.size, alike, ends)


def difference(
    left: Sequence[float] | np.ndarray, right: Sequence[float] | np.ndarray, bounds: Ends | None = None
) -> Effect:
    """Mean of `left` minus mean of `right`, whose units are not the same ones (Welch 1947).

    Args:
        left, right: a number for each unit.
        bounds: as `mean_effect` takes them, of each side; the intervals of both sides are then combined where one of
            them has units that are all alike.
    """
    one, other = mean_effect(left, bounds), mean_effect(right, bounds)
    squares = one.standard_error**2, other.standard_error**2
    total = sum(squares)
    freedom = 1.0
    if total > 0:
        freedom = total**2 / (squares[0] ** 2 / one.freedom + squares[1] ** 2 / other.freedom)
    units, ends = one.units + other.units, None
    if (one.ends or other.ends) and min(one.units, other.units) > 1:
        ends = partial(intervals.apart, left=one.value, of_left=one.missing, right=other.value, of_right=other.missing)
    return Effect(one.value - other.value, math.sqrt(total), freedom, units, one.alike and other.alike, ends)


def widest(groups: Sequence[Sequence[float] | np.ndarray], bounds: Ends | None = None) -> Effect:
    """The largest of the groups' means less the smallest, which of them these are being what the numbers say.

    The interval holds for whichever pair it is: its lower end is the highest of Welch's over all ordered pairs, each
    with the share of the level that Bonferroni leaves it, and its upper end the highest of theirs at the level itself
    (an intersection-union test, Berger 1982: the range is small only if every difference is).

    Args:
        groups: two at least, a number for each unit.
        bounds: as `mean_effect` takes them.

    Raises:
        InputError: a group without a unit.
    """
    ordered = sorted(groups, key=lambda values: float(np.nanmean(values)))
    pairs = [
        difference(one, other, bounds)
        for place, one in enumerate(ordered)
        for number, other in enumerate(ordered)
        if place != number
    ]
    top = difference(ordered[-1], ordered[0], bounds)
    return replace(top, ends=partial(intervals.largest, of=[pair.missing for pair in pairs]))


def less_size(effect: Effect, other: Effect) -> Effect:
    """An effect less the size (absolute value) of another, which may be of the same units.

    The interval takes half of the level for each, whatever their dependence (Bonferroni).
    """
    return Effect(
        effect.value - abs(other.value),
        effect.standard_error + other.standard_error,
        min(effect.freedom, other.freedom),
        effect.units,
        effect.alike and other.alike,
        partial(intervals.less_size, of=effect.missing, other=other.missing),
    )


def share(values: np.ndarray) -> Effect:
    """The share of seeds whose number is 1 rather than 0, with Wilson's interval."""
    plain = mean_effect(values)
    ends = partial(intervals.wilson, successes=round(plain.value * plain.units), trials=plain.units)
    return Effect(plain.value, plain.standard_error, plain.freedom, plain.units, plain.alike, ends)


def share_difference(left: np.ndarray, right: np.ndarray, *, paired: bool) -> Effect:
    """The share of `left` less that of `right`, numbers 0 or 1 of the same seeds in the same order (paired) or of
    different ones, with Newcombe's interval; of pairs those count that have both numbers.
    """
    if paired:
        known = np.isfinite(left) & np.isfinite(right)
        one, other = left[known] > 0, right[known] > 0
        plain = mean_effect(one.astype(float) - other.astype(float))
        counts = {
            "both": int((one & other).sum()),
            "left": int((one & ~other).sum()),
            "right": int((~one & other).sum()),
            "neither": int((~one & ~other).sum()),
        }
        ends = partial(intervals.newcombe_paired, **counts)
    else:
        plain = difference(left, right)
        sides = [(int(side[np.isfinite(side)].sum()), int(np.isfinite(side).sum())) for side in (left, right)]
        ends = partial(intervals.newcombe_apart, left=sides[0], right=sides[1])
    return Effect(plain.value, plain.standard_error, plain.freedom, plain.units, plain.alike, ends)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down p-values (1979): each at most .05 where a family-wise error of .05 is kept."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted, least = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(order):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = least
    return adjusted


def wilson(successes: int, trials: int, confidence: float = 0.95) -> Ends:
    """Wilson's interval (1927) of a share."""
    return intervals.wilson(1 - confidence, successes, trials)
