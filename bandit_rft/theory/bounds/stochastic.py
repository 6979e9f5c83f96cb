"""Upper bounds, gap by gap, of learners that keep confidence intervals; rewards in [0, 1]."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize
from scipy.special import boxcox

from bandit_rft import arguments
from bandit_rft.theory.bound import Bound
from bandit_rft.theory.bounds.common import (
    COUNTS,
    MEANS,
    ROUNDS,
    Instance,
    bernoulli_divergence,
    bounded,
    horizons,
    instance_of,
)
from bandit_rft.theory.catalogue import entry

__all__ = ["kl_ucb_bound", "successive_elimination_bound", "ucb1_bound", "ucb_alpha_bound"]

_UNITS = {"means": MEANS, "rounds": ROUNDS, "counts": COUNTS}
_IID = "Rewards of an arm are independent and identically distributed in [0, 1]."
# Any point is a bound: the search only looks for a good one.
_SEARCH = {"xatol": 1e-7, "fatol": 1e-12, "maxiter": 4000}
_LARGEST = 1e300


@entry(
    formula=r"E[R_T] \le 8 \sum_{a: \Delta_a > 0} \frac{\ln T}{\Delta_a} + \Big(1 + \frac{\pi^2}{3}\Big) \sum_a "
    r"\Delta_a",
    assumptions=(_IID, "The learner is UCB1: index mean + sqrt(2 ln t / n)."),
    source="Auer, Cesa-Bianchi & Fischer 2002, theorem 1; derived again here",
    units=_UNITS,
    section="D2",
    kind="bound",
    derivation="`ucb1_bound`, `ucb_alpha_bound`",
)
def ucb1_bound(means: Sequence[float], rounds: int, counts: Sequence[float] | None = None) -> Bound:
    """UCB1's regret, at most 8 ln T / gap for each suboptimal arm and a constant.

    Returns:
        Upper bound of the pseudo-regret after T = 1 .. rounds, in rewards.

    Raises:
        InputError: no mean, one outside [0, 1], counts that do not fit, rounds below 1.

    Example:
        >>> from bandit_rft import theory
        >>> round(float(theory.ucb1_bound(means=[0.2, 0.8], rounds=1000).value[-1]), 2)
        94.68
    """
    found, at = instance_of(means, counts), horizons(rounds)
    uncapped = 8 * found.total(1 / found.gap) * np.log(at) + (1 + math.pi**2 / 3) * found.total(found.gap)
    parameters = {"means": means, "rounds": rounds, "counts": counts}
    return bounded("ucb1_bound", at, uncapped, largest_gap=found.largest_gap, parameters=parameters)


@entry(
    formula=r"E[R_T] \le \sum_{a: \Delta_a > 0} \Big( \frac{2\alpha}{\Delta_a} \ln T + \frac{\alpha}{\alpha - 2} \Big)",
    assumptions=(_IID, "The learner is UCB(alpha): index mean + sqrt(alpha ln t / (2n)).", "alpha > 2."),
    source="Bubeck & Cesa-Bianchi 2012 (arXiv 1204.5721), theorem 2.1 and what follows it; derived again here for an "
    "index whose t is the number of pulls so far",
    units=_UNITS | {"alpha": "the learner's exploration constant, above 2; UCB1 is 4"},
    section="D3",
    kind="bound",
    derivation="`ucb1_bound`, `ucb_alpha_bound`",
)
def ucb_alpha_bound(means: Sequence[float], rounds: int, alpha: float, counts: Sequence[float] | None = None) -> Bound:
    """UCB(alpha)'s regret, at most 2 alpha ln T / gap for each suboptimal arm and a constant.

    Returns:
        Upper bound of the pseudo-regret after T = 1 .. rounds, in rewards. At alpha <= 2 the theorem says nothing: the
        bound is infinite and flagged.

    Raises:
        InputError: no mean, one outside [0, 1], counts that do not fit, alpha not positive, rounds below 1.

    Example:
        >>> from bandit_rft import theory
        >>> round(float(theory.ucb_alpha_bound(means=[0.2, 0.8], rounds=1000, alpha=4.0).value[-1]), 2)
        94.1
    """
    found, at, alpha = instance_of(means, counts), horizons(rounds), arguments.positive("alpha", alpha)
    proved = alpha > 2
    constant = alpha / (alpha - 2) if proved else math.inf
    uncapped = 2 * alpha * found.total(1 / found.gap) * np.log(at)
    if found.gap.size:
        uncapped = uncapped + constant * found.total(np.ones_like(found.gap))
    return bounded(
        "ucb_alpha_bound",
        at,
        uncapped,
        largest_gap=found.largest_gap,
        flags=() if proved else (f"alpha = {alpha:g}: the theorem is for alpha > 2, and says nothing here.",),
        parameters={"means": means, "rounds": rounds, "alpha": alpha, "counts": counts},
    )


@entry(
    formula=r"E[R_T] \le \sum_{a: \Delta_a > 0} \Delta_a \min_{\mu_a < x < y < \mu^*} \Big( 1 + \frac{g(T-1)}{d(x, y)} "
    r"+ \frac{1}{e^{d(x, \mu_a)} - 1} + \frac{\sum_{t=K}^{T-1} e^{-g(t)}}{e^{d(y, \mu^*)} - 1} \Big),\quad "
    r"g(t) = \ln t + c \ln \max(\ln t, 1)",
    assumptions=(
        _IID,
        "The learner is KL-UCB with the same c: index max{q: n d(mean, q) <= g(t)}, t the pulls so far.",
    ),
    source="derived here, after the proof of Lattimore & Szepesvari 2020, theorem 10.6 (whose index has ln(1 + t "
    "ln^2 t)). Its leading term is that of Garivier & Cappe 2011 (arXiv 1102.2490), theorem 1, whose constants for "
    "c = 3 are not explicit",
    units=_UNITS | {"c": "the learner's weight of ln ln t, at least 0"},
    section="D4",
    kind="bound",
    derivation="`kl_ucb_bound`",
)
def kl_ucb_bound(means: Sequence[float], rounds: int, c: float = 0.0, counts: Sequence[float] | None = None) -> Bound:
    """KL-UCB's regret at every finite T, with the leading constant of Lai and Robbins' lower bound for c > 1.

    For c <= 1 the last sum grows with T too, so that ln T has a larger constant; c = 0 is proved all the same.

    Returns:
        Upper bound of the pseudo-regret after T = 1 .. rounds, in rewards. The two levels x < y are chosen for the
        horizon.

    Raises:
        InputError: no mean, one outside [0, 1], counts that do not fit, c negative, rounds below 1.

    Example:
        >>> from bandit_rft import theory
        >>> round(float(theory.kl_ucb_bound(means=[0.2, 0.8], rounds=1000).value[-1]), 2)
        75.6
    """
    found, at, c = instance_of(means, counts), horizons(rounds), arguments.at_least("c", c, 0.0)
    before = np.maximum(at - 1, 1).astype(np.float64)
    log_time = np.log(before)
    level = log_time + c * np.log(np.maximum(log_time, 1.0))
    failures = _late_failures(before, found.arms, c)
    uncapped = np.zeros(at.shape)
    for index in range(found.gap.size):
        first, slope, second = _pull_terms(found, index, float(level[-1]), float(failures[-1]))
        uncapped += found.number[index] * found.gap[index] * (1 + first + slope * level + second * failures)
    parameters = {"means": means, "rounds": rounds, "c": c, "counts": counts}
    return bounded("kl_ucb_bound", at, uncapped, largest_gap=found.largest_gap, parameters=parameters)


def _late_failures(last: np.ndarray, arms: float, c: float) -> np.ndarray:
    """Upper bound of the sum of exp(-g(t)) over t = K .. last: the first term, and the integral from there."""

    def integral(log_time: np.ndarray) -> np.ndarray:
        return np.minimum(log_time, 1.0) + boxcox(np.maximum(log_time, 1.0), 1 - c)

    start = np.log(arms)
    term = math.exp(-start - c * np.log(max(start, 1.0)))
    return np.where(last >= arms, term + integral(np.maximum(np.log(last), start)) - integral(start), 0.0)


def _pull_terms(found: Instance, index: int, level: float, failures: float) -> tuple[float, float, float]:
    """What multiplies 1, g(T-1) and the sum, for one suboptimal arm, at the best levels found."""
    worse, gap, best = float(found.worse[index]), float(found.gap[index]), found.best
    if best == 1.0:
        # The best arm's index stays 1; the other is pulled until its first failure.
        return worse / gap, 0.0, 0.0

    def terms(logits: np.ndarray) -> tuple[float, float, float]:
        share = np.exp(np.append(logits, 0.0) - np.logaddexp.reduce(np.append(logits, 0.0)))
        low, high, between = gap * share[0], gap * share[1], gap * share[2]
        with np.errstate(over="ignore", divide="ignore"):
            overshoot = np.expm1(
                bernoulli_divergence(1 - worse - low, low, worse + low, worse)
            )  # d(x, mean), failures counted
            shortfall = np.expm1(bernoulli_divergence(best - high, high, 1 - best + high, 1 - best))
            middle = bernoulli_divergence(worse + low, between, 1 - best + high + between, 1 - best + high)
            # Kept finite, so that no infinite one meets a level of 0.
            return (
                min(float(1 / overshoot), _LARGEST),
                min(float(1 / middle), _LARGEST),
                min(float(1 / shortfall), _LARGEST),
            )

    def total(logits: np.ndarray) -> float:
        first, slope, second = terms(logits)
        return math.log1p(first + slope * level + second * failures)

    return terms(minimize(total, np.zeros(2), method="Nelder-Mead", options=_SEARCH).x)


@entry(
    formula=r"E[R_T] \le \sum_{a: \Delta_a > 0} \Big( \frac{32 \ln T}{\Delta_a} + \Delta_a \Big) + "
    r"\frac{2 K \max_a \Delta_a}{T^2}",
    assumptions=(
        _IID,
        "The learner is successive elimination with radius sqrt(2 ln T / n), tuned to the horizon: each T is a run of "
        "its own.",
    ),
    source="derived here for the learner's own constants, after Slivkins 2019 (arXiv 1904.07272), section 1.3",
    units=_UNITS,
    section="D5",
    kind="bound",
    derivation="`successive_elimination_bound`",
)
def successive_elimination_bound(means: Sequence[float], rounds: int, counts: Sequence[float] | None = None) -> Bound:
    """Successive elimination's regret: 32 ln T / gap for each suboptimal arm, and what a failed interval may cost.

    Returns:
        Upper bound of the pseudo-regret of runs of length T = 1 .. rounds, in rewards.

    Raises:
        InputError: no mean, one outside [0, 1], counts that do not fit, rounds below 1.

    Example:
        >>> from bandit_rft import theory
        >>> round(float(theory.successive_elimination_bound(means=[0.2, 0.8], rounds=1000).value[-1]), 2)
        369.01
    """
    found, at = instance_of(means, counts), horizons(rounds)
    pulled = 32 * found.total(1 / found.gap) * np.log(at) + found.total(found.gap)
    uncapped = pulled + 2 * found.arms * found.largest_gap / at.astype(np.float64) ** 2
    parameters = {"means": means, "rounds": rounds, "counts": counts}
    return bounded(
        "successive_elimination_bound", at, uncapped, largest_gap=found.largest_gap, parameters=parameters, tuned=True
    )
