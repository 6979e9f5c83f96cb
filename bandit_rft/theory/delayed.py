"""Policy gradient whose rewards come late: the drift of stale pulls under the policy of the day (THEORY F11)."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import expit

from bandit_rft import arguments
from bandit_rft.errors import InputError
from bandit_rft.theory.catalogue import about, entry
from bandit_rft.theory.prediction import Prediction
from bandit_rft.theory.softmax import table_kappa

__all__ = ["pg_delayed"]

_MOST_ROUNDS = 10_000_000


@entry(
    formula=r"z_{t+1} = z_t + \eta\kappa\,p_{t-\tau}\,(1-p_t),\quad z_t = z_0 \text{ for } t \le \tau",
    assumptions=(
        "One correct arm, all wrong arms alike; raw 0/1 reward that is deterministic given the arm.",
        "A reward is heard tau rounds after its pull, and its gradient is taken at the policy of that later round.",
        "Small steps (or large groups): the mean over seeds follows its own drift. At large steps it does not.",
        "Plain gradient ascent at a constant step size.",
    ),
    source="derived here (docs/derivations.md)",
    units={
        "p0": "probability of a correct answer at the start (Pass@1), in (0, 1)",
        "step_size": "eta, logit per unit gradient, above 0",
        "rounds": "horizon T, rounds, at most 1e7",
        "delay": "tau, rounds from a pull to its reward, at least 0",
        "log_arms": "ln K, K the number of arms; None: infinitely many",
        "rollouts": "pulls a round, which multiply the regret",
    },
    section="F11",
    kind="prediction",
    derivation="`pg_delayed`: rewards that come late",
)
def pg_delayed(
    p0: float, step_size: float, rounds: int, delay: int, log_arms: float | None = None, *, rollouts: int = 1
) -> Prediction:
    """Mean-field curve of policy gradient with delayed rewards, whose pulls are stale and whose scores are not.

    Raises:
        InputError: an argument out of range.
    """
    p0, rounds = arguments.fraction("p0", p0), arguments.whole("rounds", rounds)
    delay, rollouts = arguments.whole("delay", delay, 0), arguments.whole("rollouts", rollouts)
    gain = arguments.positive("step_size", step_size) * table_kappa(1, log_arms)
    if rounds > _MOST_ROUNDS:
        raise InputError(f"rounds is {rounds}: every round is stepped through; give at most {_MOST_ROUNDS:,}.")
    logit = np.full(rounds, math.log(p0) - math.log1p(-p0))
    for t in range(delay, rounds - 1):
        logit[t + 1] = logit[t] + gain * expit(logit[t - delay]) * expit(-logit[t])
    flags = (f"eta kappa = {gain:.3g} is no small step: the mean over seeds lags behind.",) if gain > 0.2 else ()
    return Prediction(
        **about("pg_delayed"),
        value=expit(logit),
        regret=np.cumsum(rollouts * expit(-logit)),
        flags=flags,
        parameters={
            "p0": p0,
            "step_size": step_size,
            "rounds": rounds,
            "delay": delay,
            "log_arms": log_arms,
            "rollouts": rollouts,
        },
    )
