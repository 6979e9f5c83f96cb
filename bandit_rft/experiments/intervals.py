"""Intervals where Student's t has no spread to go by: shares of seeds, and units that are all alike.

Each function takes the chance alpha that the interval misses on either side together: at .05 it is a 95% interval. A
sample without spread has a t interval of width 0, which is overconfident: the next unit may differ.

    wilson            a share (Wilson 1927)
    newcombe_apart    difference of two shares of different seeds (Newcombe 1998, Stat. Med. 17:873, method 10)
    newcombe_paired   difference of two shares of the same seeds (Newcombe 1998, Stat. Med. 17:2635, method 10)
    unseen            a mean of N units that were all alike, none of which shows how often others differ
    apart             difference of two means, from the interval of each (square and add, as Newcombe's)
    scaled            of a multiple of a mean, plus a number
    open_ended        a mean of numbers that are cut off on one side
    largest           the largest of several differences, which one it is being unknown
    less_size         a mean less the size of another that may depend on it
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from scipy import stats

Ends = tuple[float, float]
Interval = Callable[[float], Ends]  # alpha -> both ends


def wilson(alpha: float, successes: int, trials: int) -> Ends:
    """Wilson's score interval of a share; within 0 and 1, and of some width at both ends of them.

    Example:
        >>> from bandit_rft.experiments.intervals import wilson
        >>> [round(end, 4) for end in wilson(0.05, 256, 256)]
        [0.9852, 1.0]
    """
    z2 = float(stats.norm.isf(alpha / 2)) ** 2
    middle = (successes + z2 / 2) / (trials + z2)
    reach = math.sqrt(z2 * (successes * (trials - successes) / trials + z2 / 4)) / (trials + z2)
    return max(0.0, middle - reach), min(1.0, middle + reach)


def newcombe_apart(alpha: float, left: tuple[int, int], right: tuple[int, int]) -> Ends:
    """Of the first share less the second, each (successes, trials), of different seeds.

    Example:
        >>> from bandit_rft.experiments.intervals import newcombe_apart
        >>> [round(end, 4) for end in newcombe_apart(0.05, (56, 70), (48, 80))]
        [0.0524, 0.3339]
    """
    one, other = left[0] / left[1], right[0] / right[1]
    return _squared_and_added(one, wilson(alpha, *left), other, wilson(alpha, *right), 0.0)


def newcombe_paired(alpha: float, both: int, left: int, right: int, neither: int) -> Ends:
    """Of the first share less the second on the same seeds: in how many both succeed, the first alone, the second
    alone, and neither.

    Example:
        >>> from bandit_rft.experiments.intervals import newcombe_paired
        >>> [round(end, 4) for end in newcombe_paired(0.05, 256, 0, 0, 0)]
        [-0.0148, 0.0148]
    """
    trials = both + left + right + neither
    one, other = (both + left) / trials, (both + right) / trials
    spread = (both + left) * (right + neither) * (both + right) * (left + neither)
    together = both * neither - left * right
    # Newcombe's correction for continuity, where the two go together.
    together = max(together - trials / 2, 0.0) if together > 0 else together
    correlation = together / math.sqrt(spread) if spread else 0.0
    ends = wilson(alpha, both + left, trials), wilson(alpha, both + right, trials)
    return _squared_and_added(one, ends[0], other, ends[1], correlation)


def unseen(alpha: float, value: float, units: int, bounds: Ends) -> Ends:
    """Of the mean over units that lie within the bounds, where all of N had the value.

    A share of 1 - (alpha/2)^(1/N) of units may differ unseen (Clopper and Pearson's limit for none of N; 3.7/N at 95%),
    by as much as the bounds let them. Infinite where they do.

    Example:
        >>> from bandit_rft.experiments.intervals import unseen
        >>> [round(end, 4) for end in unseen(0.05, 0.0, 256, (-1.0, 1.0))]
        [-0.0143, 0.0143]
    """
    differ = -math.expm1(math.log(alpha / 2) / units)
    low, high = bounds
    return value - differ * (value - low), value + differ * (high - value)


def apart(alpha: float, left: float, of_left: Interval, right: float, of_right: Interval) -> Ends:
    """Of the first mean less the second, from each one's own interval at the same alpha.

    Example:
        >>> from functools import partial
        >>> from bandit_rft.experiments.intervals import apart, unseen
        >>> sure = partial(unseen, value=1.0, units=100, bounds=(0.0, 1.0))
        >>> [round(end, 4) for end in apart(0.05, 1.0, sure, 1.0, sure)]
        [-0.0362, 0.0362]
    """
    return _squared_and_added(left, of_left(alpha), right, of_right(alpha), 0.0)


def scaled(alpha: float, of: Interval, factor: float, shift: float) -> Ends:
    """Of factor times a mean plus a shift, from the mean's own interval.

    Example:
        >>> from bandit_rft.experiments.intervals import scaled
        >>> scaled(0.05, lambda alpha: (1.0, 2.0), -2.0, 0.5)
        (-3.5, -1.5)
    """
    one, other = (factor * end + shift for end in of(alpha))
    return min(one, other), max(one, other)


def open_ended(alpha: float, of: Interval, below: bool, above: bool) -> Ends:
    """Of a mean of numbers that are cut off above (then it has no upper end), below, or on both sides.

    Example:
        >>> from bandit_rft.experiments.intervals import open_ended
        >>> open_ended(0.05, lambda alpha: (1.0, 2.0), below=False, above=True)
        (1.0, inf)
    """
    low, high = of(alpha)
    return -math.inf if below else low, math.inf if above else high


def largest(alpha: float, of: Sequence[Interval]) -> Ends:
    """Of the largest of N means, from the interval of each: at alpha/N for the lower end (Bonferroni), at alpha for the
    upper one, since the largest is above it only if its own upper end misses it.

    Example:
        >>> from bandit_rft.experiments.intervals import largest
        >>> largest(0.1, [lambda alpha: (1 - alpha, 1 + alpha), lambda alpha: (-1 - alpha, -1 + alpha)])
        (0.95, 1.1)
    """
    return max(one(alpha / len(of))[0] for one in of), max(one(alpha)[1] for one in of)


def less_size(alpha: float, of: Interval, other: Interval) -> Ends:
    """Of a mean less the absolute value of another, each missed with the chance alpha/2.

    Example:
        >>> from bandit_rft.experiments.intervals import less_size
        >>> less_size(0.05, lambda alpha: (3.0, 4.0), lambda alpha: (-0.5, 1.0))
        (2.0, 4.0)
    """
    low, high = of(alpha / 2)
    ends = other(alpha / 2)
    least = 0.0 if ends[0] <= 0 <= ends[1] else min(abs(end) for end in ends)
    return low - max(abs(end) for end in ends), high - least


def _squared_and_added(one: float, of_one: Ends, other: float, of_other: Ends, correlation: float) -> Ends:
    def reach(first: float, second: float) -> float:
        if math.isinf(first) or math.isinf(second):
            return math.inf
        return math.sqrt(max(0.0, first**2 - 2 * correlation * first * second + second**2))

    difference = one - other
    return difference - reach(one - of_one[0], of_other[1] - other), difference + reach(
        of_one[1] - one, other - of_other[0]
    )
