"""What the bounds share: an instance's gaps, the rounds shown, and the cap at T times the largest gap."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from bandit_rft import arguments
from bandit_rft.errors import InputError
from bandit_rft.theory.bound import Bound
from bandit_rft.theory.catalogue import about
from bandit_rft.theory.prediction import rounds_shown

__all__ = [
    "COUNTS",
    "MEANS",
    "ROUNDS",
    "Instance",
    "arms_of",
    "bernoulli_divergence",
    "bounded",
    "horizons",
    "instance_of",
]

MEANS = "list of mean rewards"
COUNTS = "number of arms of each mean; one each where left out"
ROUNDS = "T, number of rounds"
_LARGEST = 1e300


class Instance(NamedTuple):
    """A stochastic bandit by its means.

    Attributes:
        best: the largest mean.
        worse: float64 [N], the suboptimal means; gap: best - worse; number: how many arms have each.
        arms: K, all arms; largest_gap: 0 where no arm is suboptimal.
    """

    best: float
    worse: np.ndarray
    gap: np.ndarray
    number: np.ndarray
    arms: float
    largest_gap: float

    def total(self, values: np.ndarray) -> float:
        """The sum of `values` [N] over the suboptimal arms, kept finite: so large a bound is vacuous anyway."""
        with np.errstate(over="ignore"):
            return min(float(np.sum(self.number * values)), _LARGEST)


def instance_of(means: Any, counts: Any = None, *, unit: bool = True) -> Instance:
    """The instance, its arguments checked.

    Raises:
        InputError: no mean, one that is not finite or (where `unit`) outside [0, 1], or counts that do not fit.
    """
    mean = arguments.numbers("means", means)
    if unit and not np.all((mean >= 0) & (mean <= 1)):
        raise InputError(f"means holds {mean[~((mean >= 0) & (mean <= 1))][0]}: every mean must lie in [0, 1].")
    if not np.all(np.isfinite(mean)):
        raise InputError(f"means holds {mean[~np.isfinite(mean)][0]}: every mean must be finite.")
    count = np.ones_like(mean) if counts is None else arguments.numbers("counts", counts)
    if count.shape != mean.shape or not np.all((count >= 1) & np.isfinite(count)):
        raise InputError(f"counts must hold {mean.size} finite numbers of at least 1, the number of arms of each mean.")
    best = float(mean.max())
    is_worse = mean < best
    gap = best - mean[is_worse]
    return Instance(best, mean[is_worse], gap, count[is_worse], float(count.sum()), float(gap.max(initial=0.0)))


def bernoulli_divergence(low: Any, gap: Any, rest: Any, short: Any) -> np.ndarray:
    """KL(Bernoulli(low), Bernoulli(low + gap)), float64, for gap >= 0; infinite where low + gap is 1 and low is not.

    Small gaps have their own form: the logarithms cancel to gap^2, which the integral of gap^2 s / (t(1 - t)) over
    s in (0, 1), t = low + gap s, gives without cancellation.

    Args:
        low, gap: as above.
        rest, short: 1 - low and 1 - low - gap, with the digits that are known of them: a difference of floats near 1
            has few, or is 0 where the divergence is finite.
    """
    parts = (np.asarray(part, np.float64) for part in (low, gap, rest, short))
    low, gap, rest, short = np.broadcast_arrays(*parts)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        fallen = np.where(gap < rest / 2, np.log1p(-gap / rest), np.log(short) - np.log(rest))
        direct = -rest * fallen - np.where(low > 0, low * np.log1p(gap / low), 0.0)
        node, weight = np.polynomial.legendre.leggauss(20)
        step = gap[..., None] * (node + 1) / 2
        near = (
            gap
            / 4
            * np.sum(weight * (node + 1) * gap[..., None] / (low[..., None] + step) / (rest[..., None] - step), axis=-1)
        )
    return np.where(gap < 0.1 * np.minimum(low, short), near, np.where(gap > 0, direct, 0.0))


def arms_of(arms: Any, least: int = 2) -> tuple[float, float]:
    """(K, ln K) of a whole number of arms of any size; K is infinite beyond floats. Raises InputError."""
    number = arguments.whole("arms", arms, least, most=None)
    return float(number) if number.bit_length() < 1024 else math.inf, math.log(number)


def horizons(rounds: Any) -> np.ndarray:
    """int64 [N], the rounds T at which a bound is given: 1 .. rounds, thinned out beyond a million."""
    return rounds_shown(arguments.whole("rounds", rounds)) + 1


def bounded(
    name: str,
    at: np.ndarray,
    uncapped: Any,
    *,
    largest_gap: float,
    parameters: Mapping[str, Any],
    kind: str = "upper",
    **more: Any,
) -> Bound:
    """The bound of the entry `name`, beside the trivial one: T times the largest gap above, 0 below."""
    time = at.astype(np.float64)
    return Bound(
        **about(name),
        kind=kind,
        at=at,
        uncapped=np.broadcast_to(np.asarray(uncapped, dtype=np.float64), at.shape),
        trivial=largest_gap * time if kind == "upper" else np.zeros_like(time),
        cap=largest_gap * time,
        parameters=parameters,
        **more,
    )
