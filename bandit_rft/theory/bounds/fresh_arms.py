"""Learners that try every arm once before any arm twice: all that they do while rounds do not outnumber arms."""

from __future__ import annotations

import math

import numpy as np

from bandit_rft import arguments
from bandit_rft.errors import InputError
from bandit_rft.theory.catalogue import about, entry
from bandit_rft.theory.checks import check_log_arms
from bandit_rft.theory.prediction import Prediction, rounds_shown

__all__ = ["fresh_arm_sweep"]


@entry(
    formula=r"E[R_T] = T(\mu^* - \bar\mu) = T(1 - m/K) \text{ for } 0/1 \text{ means},\qquad T \le K",
    assumptions=(
        "The learner pulls every arm once before it pulls any arm twice, as all index learners do (UCB1, UCB(alpha), "
        "UCB-V, KL-UCB, MOSS, UCB-F within its subsample), successive elimination and explore-then-commit too.",
        "Ties among untouched arms are broken uniformly.",
        "There are at least as many arms as rounds: T <= K.",
    ),
    source="derived here",
    units={
        "average_mean": "mean reward averaged over the arms, each counted once; m/K for m arms of reward 1 among K",
        "rounds": "T, number of rounds",
        "best_mean": "mean reward of the best arm",
        "log_arms": "ln K, to check T <= K; None where K is known to be large enough",
    },
    section="C1",
    kind="prediction",
    derivation="`fresh_arm_sweep`",
)
def fresh_arm_sweep(
    average_mean: float, rounds: int, best_mean: float = 1.0, *, log_arms: float | None = None
) -> Prediction:
    """What a learner costs that tries fresh arms first, while T <= K: as much as uniform draws, whatever its index.

    Returns:
        Value (the arms' average mean) and regret, float64 [N] each, in rewards. Beyond K rounds the sweep is over: a
        flag says so, and the curves go on as if it were not.

    Raises:
        InputError: an average above the best mean, or an argument out of range.

    Example:
        >>> from bandit_rft import theory
        >>> round(float(theory.fresh_arm_sweep(average_mean=0.5, rounds=400).regret[-1]), 2)
        200.0
    """
    rounds = arguments.whole("rounds", rounds)
    best, average = (
        arguments.at_least("best_mean", best_mean, -math.inf),
        arguments.number("average_mean", average_mean),
    )
    if not (math.isfinite(average) and average <= best):
        raise InputError(f"average_mean is {average}: give a finite number of at most best_mean = {best:g}.")
    log_number = check_log_arms(log_arms)
    flags = ()
    if math.log(rounds) > log_number + 1e-12:
        flags = (f"T = {rounds} rounds outnumber the arms: after the K-th round the learner no longer sweeps.",)
    at = rounds_shown(rounds)
    return Prediction(
        **about("fresh_arm_sweep"),
        at=at,
        value=np.full(at.shape, average),
        regret=(at + 1) * (best - average),
        parameters={"average_mean": average, "rounds": rounds, "best_mean": best, "log_arms": log_arms},
        flags=flags,
    )
