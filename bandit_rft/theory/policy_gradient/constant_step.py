"""Softmax policy gradient from sampled rewards at a constant step: what the step does to the regret's growth."""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import root_scalar
from scipy.special import hyp1f1

from bandit_rft import arguments
from bandit_rft.errors import InputError
from bandit_rft.theory.catalogue import entry
from bandit_rft.theory.checks import check_log_arms

__all__ = ["regret_per_log_round", "two_arm_regret_exponent", "two_arm_step_threshold"]

REWARDS = ("bernoulli", "deterministic")

_UNITS = {
    "best_mean": "mean reward of the better arm, in [0, 1]",
    "other_mean": "mean reward of the other, in [0, best_mean)",
    "rollouts": "G, rollouts a round, their updates averaged",
    "baseline": "b, the constant that rewards are compared with, in [0, 1]",
    "reward": "law of the rewards: 'bernoulli' (0 or 1) or 'deterministic' (always the mean)",
}
_TWO_ARMS = (
    "Two arms, a softmax policy with one logit each, plain gradient steps of one size.",
    "Signals r - b with a constant baseline b; rewards are Bernoulli, or always their mean.",
    "Many rounds: the first ones, while neither arm is nearly certain, follow no power.",
)


@entry(
    formula=r"\eta^*:\quad E\left[e^{-2\eta^*(r_1-b)/G}\right] - 1 + \frac{2\eta^*(\mu_2-b)}{G} = 0;\qquad"
    r"\eta < \eta^*:\ E[R_T] \sim \tfrac{G}{2\eta}\ln T;\qquad "
    r"\text{small gaps: }\eta^* \approx \frac{G\Delta}{E[(r_1-b)^2]}",
    assumptions=_TWO_ARMS,
    source="derived here (docs/derivations.md); that there is a sharp threshold of the order of the gap, logarithmic "
    "regret below it and polynomial above: Baudry et al. 2025; that the baseline decides where the policy commits: "
    "Chung et al. 2021 (arXiv 2008.13773); their constants were not at hand",
    units=_UNITS,
    section="A5",
    kind="quantity",
    derivation="`two_arm_step_threshold`, `two_arm_regret_exponent` and `regret_per_log_round`",
)
def two_arm_step_threshold(
    best_mean: float, other_mean: float, *, rollouts: int = 1, baseline: float = 0.0, reward: str = "bernoulli"
) -> float:
    """The step size above which the regret of two arms grows as a power of the horizon, not as its logarithm.

    Returns:
        eta*, logit per unit gradient; infinity where no step is too large (a policy that is at the worse arm then
        drifts away from it by itself).

    Raises:
        InputError: an argument out of range, or arms of equal means.

    Example:
        >>> from bandit_rft import theory
        >>> round(float(theory.two_arm_step_threshold(0.7, 0.5)), 4)
        0.3577
    """
    best = arguments.between("best_mean", best_mean, 0.0, 1.0)
    other = arguments.between("other_mean", other_mean, 0.0, 1.0)
    rollouts = arguments.whole("rollouts", rollouts)
    baseline = arguments.between("baseline", baseline, 0.0, 1.0)
    if other >= best:
        raise InputError(f"other_mean = {other:g} is not below best_mean = {best:g}: name the better arm first.")
    if reward not in REWARDS:
        raise InputError(f"There is no law of rewards {reward!r}: choose {' or '.join(REWARDS)}.")
    if reward == "bernoulli":
        chances, signals = np.array([best, 1.0 - best]), np.array([1.0 - baseline, -baseline])
        chances, signals = chances[chances > 0], signals[chances > 0]
    else:
        chances, signals = np.ones(1), np.array([best - baseline])
    # With no better arm's failure to punish and nothing gained at the worse arm, nothing holds a policy there.
    if other <= baseline and np.all(signals >= 0):
        return math.inf

    # (E[e^{-2x a}] - 1 + 2x(mu2 - b)) / 2x. Its first-order terms, near at small x, are cancelled by hand.
    def excess(x: float) -> float:
        u = 2.0 * x * signals
        if np.max(np.abs(u)) < 1.0:
            return float(np.sum(chances * x * signals**2 * hyp1f1(1.0, 3.0, -u))) - (best - other)
        with np.errstate(over="ignore"):
            return float(np.sum(chances * np.expm1(-u))) / (2.0 * x) + (other - baseline)

    low = high = (best - other) / float(np.sum(chances * signals**2))
    while excess(low) > 0:
        low /= 2.0
    while excess(high) < 0:
        high *= 2.0
        if math.isinf(high):
            return math.inf
    if low < high:
        low = root_scalar(excess, bracket=(low, high), method="brentq", xtol=1e-300, rtol=1e-14).root
    return rollouts * float(low)


@entry(
    formula=r"E[R_T] \propto T^{1-\eta^*/\eta},\quad P(\pi_T(\text{best}) < \tfrac12) \propto T^{-\eta^*/\eta}"
    r"\quad (\eta > \eta^*)",
    assumptions=(*_TWO_ARMS, "Below the threshold the exponent is 0: the logarithm of `regret_per_log_round`."),
    source="derived here (docs/derivations.md); polynomial regret above a threshold: Baudry et al. 2025; the best arm "
    "wins in the end at any constant step: Mei et al. 2025 (arXiv 2502.07141)",
    units={**_UNITS, "step_size": "eta, logit per unit gradient"},
    section="A5",
    kind="quantity",
    derivation="`two_arm_step_threshold`, `two_arm_regret_exponent` and `regret_per_log_round`",
)
def two_arm_regret_exponent(
    best_mean: float,
    other_mean: float,
    step_size: float,
    *,
    rollouts: int = 1,
    baseline: float = 0.0,
    reward: str = "bernoulli",
) -> float:
    """The power of the horizon that the mean regret of two arms grows as.

    Returns:
        max(0, 1 - eta*/eta), below 1: policies that are at the worse arm leave it, ever later, at any step size.

    Raises:
        InputError: an argument out of range, or arms of equal means.

    Example:
        >>> from bandit_rft import theory
        >>> round(float(theory.two_arm_regret_exponent(0.7, 0.5, step_size=1.0)), 4)
        0.6423
    """
    step_size = arguments.positive("step_size", step_size)
    threshold = two_arm_step_threshold(best_mean, other_mean, rollouts=rollouts, baseline=baseline, reward=reward)
    return max(0.0, 1.0 - threshold / step_size)


@entry(
    formula=r"\frac{dE[R_T]}{d\ln T} \to G\,\frac{1-1/K}{\eta},\qquad "
    r"E[r(a^*) - \pi_T^\top r] \approx \frac{1-1/K}{\eta T}",
    assumptions=(
        "One best arm; softmax policy with one logit an arm, plain gradient steps of one size, unbiased signals (raw "
        "reward, or less a constant baseline); the updates of a round's rollouts are averaged, and each is regretted.",
        "The step is below the threshold of `two_arm_step_threshold` (with more arms: small enough, not derived).",
        "The horizon is long: every worse arm's probability has begun to fall as 1/T.",
    ),
    source="derived here (docs/derivations.md); the rate O(1/t) at a constant step: Mei et al. 2023 (arXiv 2402.17235)",
    units={"step_size": "eta, logit per unit gradient", "log_arms": "ln K", "rollouts": "G, pulls a round"},
    section="A5",
    kind="quantity",
    derivation="`two_arm_step_threshold`, `two_arm_regret_exponent` and `regret_per_log_round`",
)
def regret_per_log_round(step_size: float, log_arms: float, *, rollouts: int = 1) -> float:
    """Mean regret that each factor e of rounds adds in the end: it depends on no mean reward, only on the step.

    Returns:
        Reward lost per unit of ln T.

    Raises:
        InputError: an argument out of range.

    Example:
        >>> from bandit_rft import theory
        >>> round(float(theory.regret_per_log_round(step_size=0.1, log_arms=0.6931)), 4)
        4.9998
    """
    few = -math.expm1(-check_log_arms(log_arms)) / arguments.positive("step_size", step_size)
    return arguments.whole("rollouts", rollouts) * few
