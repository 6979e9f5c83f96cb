"""Best-arm identification: pulls that no rule of a confidence can go below, and what sequential halving promises."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.optimize import root_scalar

from bandit_rft import arguments
from bandit_rft.errors import InputError
from bandit_rft.theory.bounds.common import COUNTS, MEANS, Instance, bernoulli_divergence, instance_of
from bandit_rft.theory.catalogue import entry

__all__ = ["best_arm_complexity", "identification_lower", "sequential_halving_bound"]

_SAME = (
    "Rewards are Bernoulli with fixed means strictly between 0 and 1.",
    "One arm is best, all others are worse.",
)


@entry(
    formula=r"1/T^*(\mu) = \max_{w}\, \min_{a \ne 1} \left[ w_1\, d(\mu_1, m_a) + w_a\, d(\mu_a, m_a) \right],\quad "
    r"m_a = \frac{w_1 \mu_1 + w_a \mu_a}{w_1 + w_a}",
    assumptions=_SAME,
    source="Garivier & Kaufmann 2016 (arXiv 1602.04589), theorems 1 and 5",
    units={"means": MEANS, "counts": COUNTS},
    section="D15",
    kind="quantity",
    derivation="`best_arm_complexity` and `identification_lower`",
)
def best_arm_complexity(means: Sequence[float], counts: Sequence[float] | None = None) -> float:
    """Characteristic time of best-arm identification: pulls per unit of evidence, T*.

    Returns:
        T*, in pulls per nat. With n alike rivals it tends to n / KL(rival, best): it grows with the number of arms.

    Raises:
        InputError: fewer than two means, one outside (0, 1), several best arms, or counts that do not fit.

    Example:
        >>> from bandit_rft import theory
        >>> round(theory.best_arm_complexity([0.5, 0.45, 0.43, 0.4]), 1)
        989.8
    """
    found = _single_best(means, counts)
    rest = 1 - found.best

    def costs(share: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """d(best, m) and d(rival, m) of each rival at w_a / w_1 = share."""
        gap = found.gap / (1 + share)
        risen = share * gap
        top = bernoulli_divergence(rest, risen, found.best, found.worse + gap)
        return top, bernoulli_divergence(found.worse, gap, 1 - found.worse, rest + risen)

    def evidence(share: np.ndarray) -> np.ndarray:
        top, rival = costs(share)
        return top + share * rival

    nearest = int(np.argmin(found.gap))

    def shares(of_nearest: float) -> np.ndarray:
        """What makes every rival's evidence the nearest one's: those farther away need less.

        The evidence is concave in the share, and its slope is the rival's divergence: Newton's method from 0 rises to
        the root.
        """
        wanted = evidence(np.full_like(found.gap, of_nearest))[nearest]
        share, risen = np.zeros_like(found.gap), True
        while risen:
            top, rival = costs(share)
            step = np.minimum(share + (wanted - top - share * rival) / rival, of_nearest)
            risen = bool(np.any(step > share * (1 + 1e-15)))
            share = np.maximum(share, step)
        return share

    def excess(of_nearest: float) -> float:
        top, rival = costs(shares(of_nearest))
        return float(np.sum(found.number * (top / rival))) - 1

    high = 1.0
    while excess(high) < 0:
        high *= 2.0
    low = high
    while excess(low) > 0:
        low /= 2.0
    if low < high:
        low = root_scalar(excess, bracket=(low, high), method="brentq", xtol=1e-300, rtol=1e-14).root
    share = shares(low)
    return float((1 + np.sum(found.number * share)) / evidence(share)[nearest])


@entry(
    formula=r"E[\tau_\delta] \ge T^*(\mu)\, \mathrm{kl}(\delta, 1 - \delta)",
    assumptions=(
        *_SAME,
        "The rule is delta-correct: on every such table it stops, and it errs with probability delta at most.",
    ),
    source="Garivier & Kaufmann 2016 (arXiv 1602.04589), theorem 1",
    units={"means": MEANS, "delta": "probability of naming a wrong arm, strictly between 0 and 1/2", "counts": COUNTS},
    section="D15.1",
    kind="quantity",
    derivation="`best_arm_complexity` and `identification_lower`",
)
def identification_lower(means: Sequence[float], delta: float, counts: Sequence[float] | None = None) -> float:
    """Least expected number of pulls of a rule that names the best arm with probability 1 - delta on every table.

    Returns:
        The lower bound, in pulls.

    Raises:
        InputError: as `best_arm_complexity`, or delta outside (0, 1/2).

    Example:
        >>> from bandit_rft import theory
        >>> round(theory.identification_lower([0.9, 0.5, 0.5], delta=0.05), 1)
        36.7
    """
    delta = arguments.fraction("delta", delta)
    if delta >= 0.5:
        raise InputError(f"delta is {delta:g}: give a probability of error strictly between 0 and 1/2.")
    # kl(delta, 1 - delta); of 1 - delta - delta = 1 a divergence from certainty would be infinite.
    odds = math.log1p((1 - 2 * delta) / delta) if delta > 1e-3 else math.log1p(-delta) - math.log(delta)
    return best_arm_complexity(means, counts) * (1 - 2 * delta) * odds


@entry(
    formula=r"P(\mathrm{wrong}) \le 3 \log_2 K\, \exp\left(-\frac{T}{8 H_2 \log_2 K}\right),\quad "
    r"H_2 = \max_{i \ge 2} i\, \Delta_i^{-2}",
    assumptions=(
        "Sequential halving; rewards lie in [0, 1], with fixed means.",
        "One arm is best, and arms are counted from the best down: the i-th has gap Delta_i.",
    ),
    source="Karnin, Koren & Somekh 2013, theorem 4.1; from memory",
    units={"means": MEANS, "budget": "T, pulls in all", "counts": COUNTS},
    section="D16",
    kind="quantity",
    derivation="`sequential_halving_bound`",
)
def sequential_halving_bound(means: Sequence[float], budget: float, counts: Sequence[float] | None = None) -> float:
    """Probability that sequential halving names a wrong arm, from above; 1 where the theorem says no less.

    Returns:
        The bound, at most 1.

    Raises:
        InputError: as `best_arm_complexity`, or budget below 1.

    Example:
        >>> from bandit_rft import theory
        >>> round(theory.sequential_halving_bound([0.9, 0.1, 0.1, 0.1], budget=400), 4)
        0.1099
    """
    found = _single_best(means, counts)
    budget = arguments.at_least("budget", budget, 1.0)
    near = np.argsort(found.gap)
    rank = 1 + np.cumsum(found.number[near])
    hardest = float(np.max(rank / found.gap[near] / found.gap[near]))
    stages = math.log2(found.arms)
    return min(1.0, 3 * stages * math.exp(-budget / hardest / (8 * stages)))


def _single_best(means: Sequence[float], counts: Sequence[float] | None) -> Instance:
    found = instance_of(means, counts)
    worst = found.best - found.largest_gap
    if not found.gap.size or not (worst > 0 and found.best < 1):
        raise InputError("means must be two or more different numbers strictly between 0 and 1.")
    listed = np.asarray(means, dtype=np.float64) == found.best
    number = listed if counts is None else np.asarray(counts, dtype=np.float64)[listed]
    if np.sum(number) > 1:
        raise InputError(f"The largest mean is that of {np.sum(number):g} arms: one arm has to be best.")
    if found.gap.min() < 1e-100 or found.arms > 1e150:
        raise InputError("The gaps must be at least 1e-100, and the arms at most 1e150, to be told apart in floats.")
    return found
