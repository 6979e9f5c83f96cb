"""Logarithmic regret as T goes to infinity: what no consistent learner beats, and what Thompson sampling reaches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

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

__all__ = ["lai_robbins", "lai_robbins_constant", "thompson_bound"]

_SIGMA = "standard deviation of normal rewards; None for Bernoulli rewards"


@entry(
    formula=r"\sum_{a: \Delta_a > 0} \Delta_a / \mathrm{KL}(\mu_a, \mu^*)",
    assumptions=(
        "Rewards are Bernoulli, or normal with one known standard deviation.",
        "The learner is consistent: on every instance of that family its regret grows slower than any power of T.",
    ),
    source="Lai & Robbins 1985, theorem 1; as in Lattimore & Szepesvari 2020, theorem 16.2",
    units={"means": MEANS, "counts": COUNTS, "sigma": _SIGMA},
    section="D1",
    kind="quantity",
    derivation="`lai_robbins`",
)
def lai_robbins_constant(
    means: Sequence[float], counts: Sequence[float] | None = None, sigma: float | None = None
) -> float:
    """Lai and Robbins' constant: for a consistent learner lim inf E[R_T] / ln T is at least this.

    Returns:
        The constant, in rewards; 0 where every divergence is infinite (the best arm always pays) or no arm is
        suboptimal.

    Raises:
        InputError: no mean, one outside [0, 1] under Bernoulli rewards, counts that do not fit, sigma not positive.

    Example:
        >>> from bandit_rft import theory
        >>> round(float(theory.lai_robbins_constant(means=[0.2, 0.8])), 4)
        0.7213
    """
    found = instance_of(means, counts, unit=sigma is None)
    if sigma is None:
        return _bernoulli_constant(found)
    return found.total(2 * np.square(arguments.between("sigma", sigma, 1e-150, 1e150)) / found.gap)


def _bernoulli_constant(found: Instance) -> float:
    rest = 1 - found.best
    return found.total(found.gap / bernoulli_divergence(found.worse, found.gap, 1 - found.worse, rest))


@entry(
    formula=r"\liminf_{T\to\infty} E[R_T]/\ln T \ge \sum_{a: \Delta_a > 0} \Delta_a / \mathrm{KL}(\mu_a, \mu^*)",
    assumptions=(
        "Rewards are Bernoulli, or normal with one known standard deviation.",
        "The learner is consistent: on every instance of that family its regret grows slower than any power of T.",
        "T goes to infinity: at a finite horizon a consistent learner may lie below the curve.",
    ),
    source="Lai & Robbins 1985, theorem 1; as in Lattimore & Szepesvari 2020, theorem 16.2",
    units={"means": MEANS, "rounds": ROUNDS, "counts": COUNTS, "sigma": _SIGMA},
    section="D1",
    kind="bound",
    derivation="`lai_robbins`",
)
def lai_robbins(
    means: Sequence[float],
    rounds: int,
    counts: Sequence[float] | None = None,
    sigma: float | None = None,
) -> Bound:
    """Asymptotic lower bound of Lai and Robbins: the constant times ln T. With deterministic 0/1 rewards it is 0.

    Returns:
        Lower bound of the pseudo-regret after T = 1 .. rounds, in rewards; asymptotic.

    Raises:
        InputError: as `lai_robbins_constant`, or rounds below 1.

    Example:
        >>> from bandit_rft import theory
        >>> round(float(theory.lai_robbins(means=[0.2, 0.8], rounds=1000).value[-1]), 2)
        4.98
    """
    constant, at = lai_robbins_constant(means, counts, sigma), horizons(rounds)
    largest_gap = instance_of(means, counts, unit=sigma is None).largest_gap
    uncapped = constant * np.log(at)
    impossible = uncapped[-1] > largest_gap * at[-1]
    return bounded(
        "lai_robbins",
        at,
        uncapped,
        kind="lower",
        largest_gap=largest_gap,
        asymptotic=True,
        flags=(f"T = {rounds} is too short: the curve exceeds T times the largest gap.",) if impossible else (),
        parameters={"means": means, "rounds": rounds, "counts": counts, "sigma": sigma},
    )


@entry(
    formula=r"E[R_T] \le (1+\epsilon) \sum_{a: \Delta_a > 0} \frac{\Delta_a \ln T}{\mathrm{KL}(\mu_a, \mu^*)} "
    r"+ O(K/\epsilon^2); \qquad \lim E[R_T]/\ln T = \sum_a \Delta_a / \mathrm{KL}(\mu_a, \mu^*)",
    assumptions=(
        "Thompson sampling with Beta(1, 1) priors, Bernoulli rewards.",
        "T goes to infinity: the additive term has no published constant and is left out.",
    ),
    source="Kaufmann, Korda & Munos 2012 (arXiv 1205.4217), the limit; Agrawal & Goyal 2013 (arXiv 1209.3353), the "
    "form with epsilon and O(sqrt(K T ln T)) without gaps, both without explicit constants; from memory, save the "
    "abstract of the latter",
    units={
        "means": MEANS,
        "rounds": ROUNDS,
        "epsilon": "at least 0; 0 gives the limit",
        "counts": COUNTS,
    },
    section="D7",
    kind="bound",
    derivation="`thompson_bound`",
    confirmed=False,
)
def thompson_bound(
    means: Sequence[float], rounds: int, epsilon: float = 0.0, counts: Sequence[float] | None = None
) -> Bound:
    """Thompson sampling's asymptotic regret on Bernoulli arms: Lai and Robbins' constant, reached.

    Returns:
        Upper bound of the pseudo-regret after T = 1 .. rounds, in rewards, up to a term that does not grow with T.
        Where the best arm always pays the leading term is 0, and the unknown term is all there is.

    Raises:
        InputError: no mean, one outside [0, 1], counts that do not fit, epsilon negative, rounds below 1.

    Example:
        >>> from bandit_rft import theory
        >>> round(float(theory.thompson_bound(means=[0.2, 0.8], rounds=1000, epsilon=0.5).value[-1]), 2)
        7.47
    """
    found, at = instance_of(means, counts), horizons(rounds)
    return bounded(
        "thompson_bound",
        at,
        (1 + arguments.at_least("epsilon", epsilon, 0.0)) * _bernoulli_constant(found) * np.log(at),
        largest_gap=found.largest_gap,
        asymptotic=True,
        confirmed=False,
        parameters={"means": means, "rounds": rounds, "epsilon": epsilon, "counts": counts},
    )
