"""Dynamic sampling: the drift where groups whose rewards are all equal are drawn again."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from bandit_rft import arguments, signal_checks, signals
from bandit_rft.errors import InputError
from bandit_rft.theory.catalogue import entry
from bandit_rft.theory.checks import check_probabilities
from bandit_rft.theory.policy_gradient.groups import check_group, multiplier

__all__ = ["dynamic_sampling_drift", "dynamic_sampling_pulls", "groups_drawn", "last_group_reward"]


@entry(
    formula=r"M' = M \sum_{n=0}^{N} d^n = M\,\frac{1-d^{N+1}}{1-d},\quad d = p^G + (1-p)^G,"
    "\n"
    r"M' \to \frac{M}{1-p^G-(1-p)^G}\ (N \to \infty),\quad E[\text{groups drawn}] = \sum_{n=0}^{N} d^n",
    assumptions=(
        "Independent rollouts of one policy, deterministic 0/1 rewards; all G of a group are learned from.",
        "The policy stands still while a round's groups are drawn, and the last group drawn is learned from.",
        "Only the mean of the update is described.",
    ),
    source="derived here (docs/derivations.md); after DAPO, arXiv 2503.14476, which draws other prompts instead",
    units={
        "signal": f"one of {', '.join(signals.CENTRED)}",
        "p": "probability of a correct answer, in (0, 1), any shape",
        "rollouts": "G, rollouts a group, at least 2",
        "most": "N, further draws of a round at most; None: until a group is alive",
        "ddof": "1: sample standard deviation, 0: population (grpo)",
        "eps": "added to the standard deviation, at least 0 (grpo)",
    },
    section="B9",
    kind="quantity",
    derivation="`dynamic_sampling_drift`",
)
def dynamic_sampling_drift(
    signal: str,
    p: ArrayLike,
    rollouts: int,
    most: int | None = None,
    ddof: int = 1,
    eps: float = 0.0,
) -> float | np.ndarray:
    """Drift of a round over the raw reward's where dead groups are drawn again: the signal's own times the mean number
    of groups drawn. A pull is worth what it was worth before; under rloo (M = 1) it is that number itself.

    Returns:
        M', a float for scalar p, otherwise float64 of p's shape.

    Raises:
        InputError: an argument out of range, a group of one, or a signal under which a dead group teaches.

    Example:
        >>> from bandit_rft import theory
        >>> round(float(theory.dynamic_sampling_drift("grpo", 0.1, rollouts=8)), 4)
        3.8231
    """
    rollouts, eps = check_group(signal, rollouts, ddof, eps)
    signal_checks.check_dynamic_sampling(most=1, signal=signal, group=rollouts, window=None)
    if most is not None:
        most = arguments.whole("most", most, 0)
    probability = check_probabilities(p)
    log_p, log_q = np.log(probability), np.log1p(-probability)
    drawn = groups_drawn(log_p, log_q, rollouts, most)
    result = multiplier(signal, log_p, log_q, rollouts, ddof, eps) * drawn
    if not np.all(np.isfinite(result)):
        raise InputError("A group is practically never alive at this p: give most, or a p further from 0 and 1.")
    return float(result) if result.ndim == 0 else result


@entry(
    formula=r"E[\text{pulls}] = G\sum_{n=0}^{N} d^n = G\,\frac{1-d^{N+1}}{1-d},\quad d = p^G + (1-p)^G",
    assumptions=(
        "Independent rollouts of one policy, 0/1 rewards.",
        "The policy stands still while a round's groups are drawn; a group is drawn again while all its rewards are "
        "equal, up to N times.",
    ),
    source="derived here (docs/derivations.md)",
    units={
        "p": "probability of a correct answer, in (0, 1), any shape",
        "rollouts": "G, rollouts a group, at least 2",
        "most": "N, further draws of a round at most; None: until a group is alive",
    },
    section="B9.1",
    kind="quantity",
    derivation="`dynamic_sampling_drift`",
)
def dynamic_sampling_pulls(p: ArrayLike, rollouts: int, most: int | None = None) -> float | np.ndarray:
    """Mean number of pulls of a round in which dead groups are drawn again.

    Returns:
        A float for scalar p, otherwise float64 of p's shape.

    Raises:
        InputError: an argument out of range, or a group of one.

    Example:
        >>> from bandit_rft import theory
        >>> round(float(theory.dynamic_sampling_pulls(0.1, rollouts=8, most=4)), 3)
        13.839
    """
    rollouts = arguments.whole("rollouts", rollouts, 2)
    if most is not None:
        most = arguments.whole("most", most, 0)
    probability = check_probabilities(p)
    result = rollouts * groups_drawn(np.log(probability), np.log1p(-probability), rollouts, most)
    if not np.all(np.isfinite(result)):
        raise InputError("A group is practically never alive at this p: give most, or a p further from 0 and 1.")
    return float(result) if result.ndim == 0 else result


def groups_drawn(log_p: np.ndarray, log_q: np.ndarray, rollouts: int, most: int | None) -> np.ndarray:
    """The mean number of groups of a round, the sum of d^n for n up to N; float64 of the arguments' shape.

    It is taken by ln d, which keeps the digits of groups that are nearly always dead.
    """
    log_dead = np.logaddexp(rollouts * log_p, rollouts * log_q)
    every = np.ones(log_dead.shape) if most is None else -np.expm1((most + 1) * log_dead)
    with np.errstate(over="ignore"):
        return every / -np.expm1(log_dead)


def last_group_reward(log_p: np.ndarray, log_q: np.ndarray, rollouts: int, most: int) -> np.ndarray:
    """Mean reward of a rollout in the last group drawn: (p - p^G) times the groups drawn, and 1 where all are right."""
    all_right = np.exp(rollouts * log_p)
    never_alive = np.exp(most * np.logaddexp(rollouts * log_p, rollouts * log_q))
    return (np.exp(log_p) - all_right) * groups_drawn(log_p, log_q, rollouts, most) + never_alive * all_right
