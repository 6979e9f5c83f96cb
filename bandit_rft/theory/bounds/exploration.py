"""Explore-then-commit: m pulls of every arm, then the arm of the largest mean for ever."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bandit_rft import arguments
from bandit_rft.errors import InputError
from bandit_rft.theory.bound import Bound
from bandit_rft.theory.bounds.common import COUNTS, MEANS, ROUNDS, bounded, horizons, instance_of
from bandit_rft.theory.catalogue import entry

__all__ = ["explore_then_commit_bound", "tuned_explore_then_commit_bound"]

_SIGMA = "sub-Gaussian constant of the rewards: the standard deviation of normal ones, 1/2 for rewards in [0, 1]"


@entry(
    formula=r"E[R_T] \le m \sum_a \Delta_a + (T - mK)_+ \sum_a \Delta_a \exp\Big(-\frac{m \Delta_a^2}{4\sigma^2}\Big)",
    assumptions=(
        "Rewards of an arm are independent, identically distributed and sigma-sub-Gaussian.",
        "The learner pulls every arm m times, then the arm of the largest mean; m does not depend on the rewards.",
    ),
    source="Lattimore & Szepesvari 2020, theorem 6.1 (sigma = 1), read in a draft of the book",
    units={
        "means": MEANS,
        "rounds": ROUNDS,
        "pulls_per_arm": "m, pulls of each arm before committing",
        "sigma": _SIGMA,
        "counts": COUNTS,
    },
    section="D6",
    kind="bound",
    derivation="`explore_then_commit_bound`, `tuned_explore_then_commit_bound`",
)
def explore_then_commit_bound(
    means: Sequence[float],
    rounds: int,
    pulls_per_arm: int,
    sigma: float = 1.0,
    counts: Sequence[float] | None = None,
) -> Bound:
    """Explore-then-commit's regret: the price of exploring, and that of committing to a wrong arm.

    Returns:
        Upper bound of the pseudo-regret after T = 1 .. rounds, in rewards.

    Raises:
        InputError: no mean, one that is not finite, counts that do not fit, pulls_per_arm or rounds below 1, sigma not
            positive.

    Example:
        >>> from bandit_rft import theory
        >>> bound = theory.explore_then_commit_bound([0.2, 0.8], rounds=1000, pulls_per_arm=20)
        >>> round(float(bound.value[-1]), 2)
        107.21
    """
    found, at = instance_of(means, counts, unit=False), horizons(rounds)
    pulls, sigma = float(arguments.whole("pulls_per_arm", pulls_per_arm)), arguments.positive("sigma", sigma)
    with np.errstate(over="ignore"):
        wrong = np.exp(-pulls * (found.gap / sigma) ** 2 / 4)
    committed = np.maximum(at - pulls * found.arms, 0.0)
    return bounded(
        "explore_then_commit_bound",
        at,
        pulls * found.total(found.gap) + committed * found.total(found.gap * wrong),
        largest_gap=found.largest_gap,
        parameters={
            "means": means,
            "rounds": rounds,
            "pulls_per_arm": pulls_per_arm,
            "sigma": sigma,
            "counts": counts,
        },
    )


@entry(
    formula=r"E[R_T] \le \min\Big\{T\Delta,\ \Delta + \frac{4\sigma^2}{\Delta}\Big(1 + \max\Big\{0, "
    r"\ln\frac{T\Delta^2}{4\sigma^2}\Big\}\Big)\Big\},\quad "
    r"m = \max\Big\{1, \Big\lceil \frac{4\sigma^2}{\Delta^2} \ln\frac{T\Delta^2}{4\sigma^2} \Big\rceil\Big\}",
    assumptions=(
        "Two arms; rewards are independent, identically distributed and sigma-sub-Gaussian.",
        "The learner explores m times as in the formula: it knows the horizon T and the gap, and each T is a run of "
        "its own.",
    ),
    source="Lattimore & Szepesvari 2020, section 6.1, equations 6.5 and 6.6 (sigma = 1; their numbers from memory); "
    "derived again here",
    units={
        "gap": "difference of the two means, in rewards",
        "rounds": ROUNDS,
        "sigma": _SIGMA,
    },
    section="D6",
    kind="bound",
    derivation="`explore_then_commit_bound`, `tuned_explore_then_commit_bound`",
)
def tuned_explore_then_commit_bound(gap: float, rounds: int, sigma: float = 1.0) -> Bound:
    """Explore-then-commit's regret on two arms when the number of pulls is tuned to gap and horizon.

    Returns:
        Upper bound of the pseudo-regret of runs of length T = 1 .. rounds, in rewards.

    Raises:
        InputError: gap or sigma not positive, rounds below 1.

    Example:
        >>> from bandit_rft import theory
        >>> round(float(theory.tuned_explore_then_commit_bound(gap=0.5, rounds=1000).value[-1]), 2)
        41.58
    """
    gap, sigma, at = arguments.positive("gap", gap), arguments.positive("sigma", sigma), horizons(rounds)
    unit = gap / sigma
    if not (unit > 1e-150 and unit < 1e150):
        raise InputError(f"gap/sigma is {unit:g}: give a ratio between 1e-150 and 1e150.")
    logarithm = np.maximum(np.log(at) + 2 * np.log(unit) - np.log(4), 0.0)
    return bounded(
        "tuned_explore_then_commit_bound",
        at,
        gap + 4 * sigma / unit * (1 + logarithm),
        largest_gap=gap,
        parameters={"gap": gap, "rounds": rounds, "sigma": sigma},
        tuned=True,
    )
