"""Entropy of a policy under policy gradient: its rate of change, and its value for a symmetric bandit."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import xlog1py, xlogy

from bandit_rft import arguments
from bandit_rft.errors import InputError
from bandit_rft.theory.catalogue import entry
from bandit_rft.theory.checks import check_log_arms, check_probabilities, log_count

__all__ = ["entropy_rate", "symmetric_entropy"]


@entry(
    formula=r"\frac{dH}{dt} = -\eta\,\mathrm{Cov}_\pi(\ln\pi, \pi A) = -\eta\Big[\sum_a \pi_a^2 A_a \ln\pi_a - "
    r"\sum_a \pi_a\ln\pi_a \sum_a \pi_a^2 A_a\Big],\quad A_a = r_a - \sum_b \pi_b r_b",
    assumptions=(
        "A tabular softmax; exact gradients (the mean update) in the limit of small steps.",
        "The raw reward or any signal of drift multiplier 1; a multiplier M multiplies the rate.",
    ),
    source="derived here (docs/derivations.md); the covariance is that of Cui et al., arXiv 2505.22617",
    units={
        "policy": "probabilities of the arms [K], summing to 1",
        "rewards": "mean rewards of the arms [K]",
        "step_size": "eta, logit per unit gradient, above 0",
    },
    section="F9",
    kind="quantity",
    derivation="`entropy_rate`",
)
def entropy_rate(policy: ArrayLike, rewards: ArrayLike, step_size: float) -> float:
    """Change of the policy's entropy per round of exact policy gradient, in nats.

    Returns:
        A float; negative where likely arms have an advantage.

    Raises:
        InputError: probabilities that are negative or do not sum to 1, lists of different lengths, a bad step size.

    Example:
        >>> from bandit_rft import theory
        >>> round(float(theory.entropy_rate([0.3, 0.7], rewards=[1.0, 0.0], step_size=0.1)), 4)
        0.0075
    """
    share, reward = arguments.numbers("policy", policy), arguments.numbers("rewards", rewards)
    if share.shape != reward.shape:
        raise InputError(f"policy has {share.size} arms and rewards {reward.size}: give one reward an arm.")
    if not (np.all(share >= 0.0) and abs(math.fsum(share) - 1.0) <= 1e-9):
        raise InputError(f"policy must hold probabilities that sum to 1, but their sum is {math.fsum(share):.6g}.")
    if not np.all(np.isfinite(reward)):
        raise InputError("rewards must be finite.")
    step_size = arguments.positive("step_size", step_size)
    pushed = share * (reward - share @ reward)
    log_weighted = xlogy(share, share)
    return float(-step_size * (log_weighted @ pushed - log_weighted.sum() * (share @ pushed)))


@entry(
    formula=r"H = h(p) + p\ln m + (1-p)\ln(K-m),\quad h(p) = -p\ln p - (1-p)\ln(1-p)",
    assumptions=("The m correct arms are equally likely, and so are the K - m wrong ones.",),
    source="elementary (the chain rule of entropy)",
    units={
        "p": "probability of a correct answer, in (0, 1), any shape",
        "optimal": "m, number of optimal arms",
        "log_arms": "ln K, K the number of arms",
    },
    section="F9.1",
    kind="quantity",
    derivation="`symmetric_entropy`",
)
def symmetric_entropy(p: ArrayLike, optimal: int, log_arms: float) -> float | np.ndarray:
    """Entropy of a symmetric bandit's policy as a function of Pass@1, in nats.

    Returns:
        A float for scalar p, otherwise float64 of its shape.

    Raises:
        InputError: p outside (0, 1), no suboptimal arm left, infinitely many arms.

    Example:
        >>> from bandit_rft import theory
        >>> round(float(theory.symmetric_entropy(0.5, optimal=1, log_arms=2.3)), 4)
        1.7903
    """
    probability = check_probabilities(p)
    optimal = arguments.whole("optimal", optimal, most=None)
    log_arms = check_log_arms(log_arms, optimal)
    if math.isinf(log_arms):
        raise InputError("log_arms is infinite: the entropy of evenly likely wrong arms then is too.")
    log_optimal = log_count(optimal)
    log_wrong = log_arms + math.log(-math.expm1(log_optimal - log_arms))
    wrong = 1.0 - probability
    result = probability * log_optimal + wrong * log_wrong - xlogy(probability, probability)
    result = result - xlog1py(wrong, -probability)
    return float(result) if result.ndim == 0 else result
