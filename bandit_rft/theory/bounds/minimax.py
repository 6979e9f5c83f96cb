"""What holds whatever the gaps: MOSS from above, every learner from below, Thompson sampling under a prior."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from bandit_rft import arguments
from bandit_rft.errors import InputError
from bandit_rft.theory.bound import Bound
from bandit_rft.theory.bounds.common import COUNTS, MEANS, ROUNDS, arms_of, bounded, horizons, instance_of
from bandit_rft.theory.catalogue import entry

__all__ = ["minimax_lower", "moss_bound", "thompson_bayes_bound"]

_ARMS = "K, number of arms (a whole number of any size)"


@entry(
    formula=r"E[R_T] \le \tfrac{39}{2} \sqrt{KT} + \sum_a \Delta_a",
    assumptions=(
        "Rewards of an arm are independent and identically distributed in [0, 1] (or 1/2-sub-Gaussian).",
        "The learner is MOSS with index mean + sqrt(max(ln(T/(K n)), 0) / n), tuned to the horizon: each T is a run of "
        "its own.",
    ),
    source="Lattimore & Szepesvari 2020, theorem 9.1: 39 sqrt(KT) + sum of gaps for 1-sub-Gaussian rewards and "
    "sqrt(4/n) in place of sqrt(1/n); halving the rewards turns one into the other. Derived again here, with 38.5 for "
    "39. Audibert & Bubeck 2009, whose learner this is, have 49 sqrt(KT) (from memory)",
    units={"means": MEANS, "rounds": ROUNDS, "counts": COUNTS},
    section="D5",
    kind="bound",
    derivation="`moss_bound`",
)
def moss_bound(means: Sequence[float], rounds: int, counts: Sequence[float] | None = None) -> Bound:
    """MOSS's regret, at most of the order of sqrt(KT) whatever the gaps.

    Returns:
        Upper bound of the pseudo-regret of runs of length T = 1 .. rounds, in rewards.

    Raises:
        InputError: no mean, one outside [0, 1], counts that do not fit, rounds below 1.

    Example:
        >>> from bandit_rft import theory
        >>> round(float(theory.moss_bound(means=[0.2, 0.8], rounds=1000).value[-1]), 2)
        600.0
    """
    found, at = instance_of(means, counts), horizons(rounds)
    uncapped = 39 / 2 * math.sqrt(found.arms) * np.sqrt(at) + found.total(found.gap)
    parameters = {"means": means, "rounds": rounds, "counts": counts}
    return bounded("moss_bound", at, uncapped, largest_gap=found.largest_gap, parameters=parameters, tuned=True)


@entry(
    formula=r"\inf_{\text{learner}} \sup_{\mu \in [0, \sigma]^K} E[R_T] \ge \frac{\sigma}{27} \sqrt{(K - 1) T},"
    r"\qquad T \ge K - 1",
    assumptions=(
        "Rewards are normal with standard deviation sigma; means may lie anywhere in [0, sigma].",
        "It bounds the worst instance of each learner, not every instance: (D, 0, ..., 0) with D = sigma/2 "
        "sqrt((K-1)/T), or the same with 2D on the arm pulled least.",
        "K > 1 and T >= K - 1.",
    ),
    source="Lattimore & Szepesvari 2020, theorem 15.2 (sigma = 1), read in a draft",
    units={
        "arms": _ARMS,
        "rounds": ROUNDS,
        "sigma": "standard deviation of the rewards",
    },
    section="D11",
    kind="bound",
    derivation="`minimax_lower`",
)
def minimax_lower(arms: int, rounds: int, sigma: float = 1.0) -> Bound:
    """No learner does better than this on its worst instance.

    Returns:
        Lower bound of the worst instance's pseudo-regret after T = 1 .. rounds, in rewards; 0 for T < K - 1, where the
        theorem says nothing.

    Raises:
        InputError: fewer than two arms, rounds below 1, sigma not positive.

    Example:
        >>> from bandit_rft import theory
        >>> round(float(theory.minimax_lower(arms=10, rounds=1000).value[-1]), 2)
        3.51
    """
    (number, _), at = arms_of(arms), horizons(rounds)
    sigma = arguments.positive("sigma", sigma)
    enough = at >= number - 1
    said = sigma / 27 * np.sqrt(np.where(enough, number - 1, 0.0) * at) if math.isfinite(number) else 0.0
    return bounded(
        "minimax_lower",
        at,
        said,
        kind="lower",
        largest_gap=sigma,
        quantity="pseudo-regret of the worst instance",
        flags=() if enough[-1] else (f"T = {rounds} is below K - 1: the theorem says nothing.",),
        parameters={"arms": arms, "rounds": rounds, "sigma": sigma},
    )


@entry(
    formula=r"E[R_T] \le \sqrt{\tfrac{1}{2} K T\, H(A^*)} \le \sqrt{\tfrac{1}{2} K T \ln K}",
    assumptions=(
        "Rewards lie in [0, 1]; the expectation is over the prior too.",
        "Thompson sampling with the true prior and likelihood (ThompsonBeta: Bernoulli arms of uniform means).",
    ),
    source="Russo & Van Roy 2016 (arXiv 1403.5341), proposition 1 with the information ratio of proposition 3 (their "
    "numbers from memory); Lattimore & Szepesvari 2020, theorems 36.7 and 36.8, read in a draft",
    units={
        "arms": _ARMS,
        "rounds": ROUNDS,
        "entropy": "H(A*), of which arm is best under the prior, in nats; ln K where left out, exact for equal arms",
    },
    section="D7",
    kind="bound",
    derivation="`thompson_bayes_bound`",
)
def thompson_bayes_bound(arms: int, rounds: int, entropy: float | None = None) -> Bound:
    """Thompson sampling's Bayesian regret: half of K T times what is not yet known of the best arm, under a root.

    Returns:
        Upper bound of the Bayesian regret after T = 1 .. rounds, in rewards.

    Raises:
        InputError: fewer than two arms, rounds below 1, entropy outside [0, ln K].

    Example:
        >>> from bandit_rft import theory
        >>> round(float(theory.thompson_bayes_bound(arms=10, rounds=1000).value[-1]), 2)
        107.3
    """
    (number, log_number), at = arms_of(arms), horizons(rounds)
    unknown = log_number if entropy is None else arguments.at_least("entropy", entropy, 0.0)
    if unknown > log_number * (1 + 1e-12):
        raise InputError(
            f"entropy is {unknown:g}: with {arguments.shown(arms)} arms it is at most ln K = {log_number:g}."
        )
    return bounded(
        "thompson_bayes_bound",
        at,
        np.sqrt(unknown * at / 2) * math.sqrt(number) if unknown > 0 else 0.0,
        largest_gap=1.0,
        quantity="Bayesian regret",
        parameters={"arms": arms, "rounds": rounds, "entropy": entropy},
    )
