"""How many seeds tell two designs apart: the power of Welch's t test, by drawing single runs of both.

Few seeds estimate their own spread badly, and Pass@1 over seeds is far from normal where some runs have taken off and
others have not: a z test with a known spread promises .96 with three seeds where Welch's test finds .66 (`plan` of the
raw reward from p0 = .18 against GRPO with 8 rollouts).
"""

from __future__ import annotations

import bisect
import math
from typing import NamedTuple

import numpy as np
from scipy import special

__all__ = ["LEAST_SEEDS", "TEST", "Design", "power", "seeds_for"]

TEST = "Welch's t test, two-sided at 5%"
LEAST_SEEDS = 2  # of each design: one has no spread
MOST_SEEDS = 10_000
_LEVEL = 0.05
_DRAWN = 64  # seeds up to which tests are made of drawn runs; means of more are normal
_TESTS = 4096  # the power's standard error is below .008
_DRAWS = np.random.SeedSequence(16).spawn(2)  # of one design and the other


class Design(NamedTuple):
    """What single runs of a design come to: mean and standard deviation, and drawn runs, float64 [N]."""

    mean: float
    sd: float
    runs: np.ndarray


def power(one: Design, two: Design, seeds: int) -> float:
    """Probability that `TEST` of so many seeds of each, at least two, tells the designs apart.

    Up to 64 seeds by 4,096 tests of drawn runs, which are moved so that their mean is the design's; of more seeds by
    normal means, with Satterthwaite's degrees of freedom. The same draws serve every number of seeds.
    """
    if one.sd == two.sd == 0:
        return float(one.mean != two.mean)
    if seeds > _DRAWN:
        error = math.hypot(one.sd, two.sd) / math.sqrt(seeds)
        shift, cut = abs(one.mean - two.mean) / error, float(_cut(one.sd**2, two.sd**2, seeds))
        return float(special.ndtr(shift - cut) + special.ndtr(-shift - cut))
    (mean, variance), (other_mean, other_variance) = (
        _moments(design, seeds, np.random.default_rng(draws)) for design, draws in zip((one, two), _DRAWS, strict=True)
    )
    difference, error = np.abs(mean - other_mean), np.sqrt((variance + other_variance) / seeds)
    with np.errstate(invalid="ignore"):  # seeds without any spread: whatever differs then is told apart
        apart = difference > np.where(error > 0, _cut(variance, other_variance, seeds) * error, 0.0)
    return float(apart.mean())


def seeds_for(one: Design, two: Design, wanted: float) -> int | None:
    """The fewest seeds of each that give such a power; None where more than 10,000."""
    numbers = range(LEAST_SEEDS, MOST_SEEDS + 1)
    place = bisect.bisect_left(numbers, True, key=lambda seeds: power(one, two, seeds) >= wanted)
    return numbers[place] if place < len(numbers) else None


def _moments(design: Design, seeds: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Sample means and variances of so many drawn runs, float64 [tests] each."""
    drawn = generator.choice(design.runs - design.runs.mean() + design.mean, (_TESTS, _DRAWN))[:, :seeds]
    first = drawn[:, :1]  # taken away, so that equal runs have a variance of exactly 0
    return first[:, 0] + (drawn - first).mean(axis=1), (drawn - first).var(axis=1, ddof=1)


def _cut(variance: np.ndarray | float, other: np.ndarray | float, seeds: int) -> np.ndarray:
    """Of |t|, by Satterthwaite's degrees of freedom."""
    freedom = (seeds - 1) * np.square(variance + other) / (np.square(variance) + np.square(other))
    return special.stdtrit(freedom, 1 - _LEVEL / 2)
