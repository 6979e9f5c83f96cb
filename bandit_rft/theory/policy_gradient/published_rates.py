"""Rates of softmax policy gradient as papers state them, each with what could be derived of it."""

from __future__ import annotations

import math

import numpy as np

from bandit_rft import arguments
from bandit_rft.errors import InputError
from bandit_rft.theory.bound import Bound
from bandit_rft.theory.catalogue import about, entry
from bandit_rft.theory.checks import check_log_arms, check_rate, check_start
from bandit_rft.theory.prediction import rounds_shown

__all__ = [
    "cold_start_floor",
    "exact_gradient_gap",
    "lattimore_step_size",
    "log_likelihood_time",
    "mei_2020_gap",
]

_GAP_UNITS = {
    "rounds": "horizon, rounds; round t = 1 is the start",
    "smallest_probability": "C, the least probability of the best arm over the run; None: uniform start, C = 1/K",
    "log_arms": "ln K, needed where smallest_probability is None",
}


@entry(
    formula=r"r(a^*) - \pi_t^\top r \le \frac{5}{C^2 t},\quad \eta = 2/5,\ C = \inf_t \pi_t(a^*);\quad"
    r"\text{uniform start: } 5K^2/t",
    assumptions=(
        "Exact gradients of the expected reward; mean rewards in [0, 1].",
        "Softmax policy, one logit an arm, step size 2/5.",
        "C bounds the best arm's probability from below over the whole run (with one correct arm of 0/1 rewards: p0).",
    ),
    source="Mei et al. 2020 (arXiv 2005.06392), quoted from memory; proved here with room to spare "
    "(docs/derivations.md)",
    units=_GAP_UNITS,
    section="A5",
    kind="bound",
    derivation="`exact_gradient_gap` and `mei_2020_gap`",
)
def mei_2020_gap(rounds: int, smallest_probability: float | None = None, *, log_arms: float | None = None) -> Bound:
    """Softmax policy gradient with exact gradients and step 2/5: the value gap falls as 5/(C^2 t).

    Returns:
        An upper bound on the gap of the policy at round t = 1, 2, ... before its update.

    Raises:
        InputError: an argument out of range, or neither C nor the number of arms given.

    Example:
        >>> from bandit_rft import theory
        >>> round(float(theory.mei_2020_gap(rounds=1000, smallest_probability=0.1).value[-1]), 2)
        0.5
    """
    log_least = _log_least(smallest_probability, log_arms)
    at = rounds_shown(arguments.whole("rounds", rounds)) + 1
    return Bound(
        **about("mei_2020_gap"),
        kind="upper",
        quantity="value gap",
        at=at,
        uncapped=_exp(math.log(5.0) - 2.0 * log_least - np.log(at)),
        trivial=np.ones(at.size),
        parameters={"rounds": rounds, "smallest_probability": smallest_probability, "log_arms": log_arms},
    )


@entry(
    formula=r"r(a^*) - \pi_t^\top r \le \frac{1}{1/\delta_1 + C^2\eta(1-\eta/4)(t-1)},\quad 0<\eta<4",
    assumptions=(
        "Exact gradients of the expected reward; mean rewards in [0, 1].",
        "Softmax policy, one logit an arm, a constant step size below 4.",
        "C bounds the best arm's probability from below over the whole run (with one correct arm of 0/1 rewards: p0).",
    ),
    source="derived here (docs/derivations.md), after Mei et al. 2020 (arXiv 2005.06392)",
    units={
        **_GAP_UNITS,
        "step_size": "eta, in (0, 4)",
        "start_gap": "delta_1, the gap of the first policy, in (0, 1]",
    },
    section="A5",
    kind="bound",
    derivation="`exact_gradient_gap` and `mei_2020_gap`",
)
def exact_gradient_gap(
    rounds: int,
    step_size: float,
    smallest_probability: float | None = None,
    *,
    log_arms: float | None = None,
    start_gap: float = 1.0,
) -> Bound:
    """The same at any step size below 4, with the constant that the proof gives.

    Returns:
        An upper bound on the gap of the policy at round t = 1, 2, ... before its update.

    Raises:
        InputError: an argument out of range, or neither C nor the number of arms given.

    Example:
        >>> from bandit_rft import theory
        >>> bound = theory.exact_gradient_gap(rounds=1000, step_size=0.4, smallest_probability=0.1)
        >>> round(float(bound.value[-1]), 3)
        0.218
    """
    step_size = arguments.positive("step_size", step_size)
    if step_size >= 4.0:
        raise InputError(f"step_size = {step_size:g}: the proof holds below 4; give a smaller step.")
    start_gap = arguments.positive("start_gap", arguments.between("start_gap", start_gap, 0.0, 1.0))
    log_least = _log_least(smallest_probability, log_arms)
    at = rounds_shown(arguments.whole("rounds", rounds)) + 1
    gained = math.exp(2.0 * log_least) * step_size * (1.0 - step_size / 4.0)
    return Bound(
        **about("exact_gradient_gap"),
        kind="upper",
        quantity="value gap",
        at=at,
        uncapped=1.0 / (1.0 / start_gap + gained * (at - 1)),
        trivial=np.ones(at.size),
        parameters={
            "rounds": rounds,
            "step_size": step_size,
            "smallest_probability": smallest_probability,
            "log_arms": log_arms,
            "start_gap": start_gap,
        },
    )


@entry(
    formula=r"E[T] \ge \frac{1}{1-(1-p_0)^G} \approx \frac{1}{Gp_0}",
    assumptions=(
        "The policy does not move before the first success (raw reward, or a baseline within an all-wrong group).",
        "G independent rollouts a round; the level lies above p0.",
    ),
    source="derived here; the Omega(1/p0) of arXiv 2604.25907 (abstract) under gradient flow, as an exact wait",
    units={"p0": "probability of a correct answer at the start, in (0, 1)", "rollouts": "G, rollouts a round"},
    section="A5",
    kind="quantity",
    derivation="`cold_start_floor` and `log_likelihood_time`",
)
def cold_start_floor(p0: float, rollouts: int = 1) -> float:
    """The mean wait for the first success, in rounds, which no policy that stands still until then undercuts.

    A learner that remembers which arms have failed does: without replacement the wait among K arms with m correct ones
    is (K + 1)/(m + 1) pulls and not K/m (`explore_until_success`). With very many arms the two are one.

    Raises:
        InputError: an argument out of range.

    Example:
        >>> from bandit_rft import theory
        >>> round(float(theory.cold_start_floor(p0=0.01)), 4)
        100.0
    """
    p0, rollouts = check_start(p0), arguments.whole("rollouts", rollouts)
    return 1.0 / -math.expm1(rollouts * math.log1p(-p0))


@entry(
    formula=r"\eta\kappa T = [z + e^z]_{z_0}^{z_T} \approx \ln(1/p_0)",
    assumptions=(
        "Gradient flow on ln p, p the probability of a correct answer: training on the likelihood of given answers.",
        "kappa constant: a table with one correct arm and equal wrong arms (kappa = K/(K-1)).",
    ),
    source="derived here; the Theta(log 1/p0) of arXiv 2604.25907 (abstract) in closed form",
    units={
        "p0": "probability of a correct answer at the start, in (0, 1)",
        "step_size": "eta, logit per unit gradient of the log-likelihood",
        "level": "Pass@1 to reach, in (0, 1)",
        "kappa": "squared gradient gap |grad logit p|^2; K/(K-1) for a table of K arms",
    },
    section="A5",
    kind="quantity",
    derivation="`cold_start_floor` and `log_likelihood_time`",
)
def log_likelihood_time(p0: float, step_size: float, level: float = 0.5, *, kappa: float = 1.0) -> float:
    """Rounds that log-likelihood training takes from p0 to a level: logarithmic in 1/p0; 0 where it is reached.

    Raises:
        InputError: an argument out of range.

    Example:
        >>> from bandit_rft import theory
        >>> round(float(theory.log_likelihood_time(p0=0.01, step_size=0.5)), 4)
        11.17
    """
    p0, level = arguments.fraction("p0", p0), arguments.fraction("level", level)
    rate = check_rate(step_size, kappa)
    if level <= p0:
        return 0.0
    start, goal = (math.log(p) - math.log1p(-p) for p in (p0, level))
    return (goal - start + math.exp(goal) - math.exp(start)) / rate


@entry(
    formula=r"\eta \le \frac{\Delta_{\min}^2}{120\,\Delta_{\max}\,\ln(nk)} \;\Rightarrow\; "
    r"E[R_n] = O(k \ln n \ln k/\eta)",
    assumptions=(
        "One rollout a round, raw rewards in [0, 1], zero initial logits (uniform start).",
        "n >= k rounds; the smallest gap is above 0.",
        "The constant of the O() is not stated: only the step size is a number.",
    ),
    source="Lattimore 2026, arXiv 2603.26547, Theorem 1 (its statement was read in a summary of the paper)",
    units={
        "smallest_gap": "Delta_min, in (0, 1]",
        "largest_gap": "Delta_max, in [Delta_min, 1]",
        "rounds": "n, horizon",
        "log_arms": "ln k",
    },
    section="A5",
    kind="quantity",
)
def lattimore_step_size(smallest_gap: float, largest_gap: float, rounds: int, log_arms: float) -> float:
    """The largest step size that is proved to give logarithmic regret on every bandit with these gaps.

    Raises:
        InputError: an argument out of range, or fewer rounds than arms.

    Example:
        >>> from bandit_rft import theory
        >>> step = theory.lattimore_step_size(smallest_gap=0.1, largest_gap=0.5, rounds=1000, log_arms=1.0)
        >>> float(f'{step:.3g}')
        2.11e-05
    """
    rounds, log_arms = arguments.whole("rounds", rounds), check_log_arms(log_arms)
    smallest = arguments.positive("smallest_gap", arguments.between("smallest_gap", smallest_gap, 0.0, 1.0))
    largest = arguments.between("largest_gap", largest_gap, smallest, 1.0)
    if math.log(rounds) < log_arms - 1e-9:
        raise InputError(f"rounds = {rounds} is below the number of arms, exp({log_arms:g}): the theorem needs n >= k.")
    return smallest * (smallest / largest) / (120.0 * (math.log(rounds) + log_arms))


def _log_least(smallest_probability: float | None, log_arms: float | None) -> float:
    """ln C."""
    if smallest_probability is not None:
        return math.log(arguments.fraction("smallest_probability", smallest_probability))
    if log_arms is None:
        raise InputError("Give smallest_probability (C), or log_arms (ln K) for a uniform start.")
    return -check_log_arms(log_arms)


def _exp(log: np.ndarray) -> np.ndarray:
    """e^log, infinity beyond float64."""
    with np.errstate(over="ignore"):
        return np.exp(log)
