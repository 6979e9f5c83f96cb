"""Policy gradient whose rewards come late: the drift of stale pulls under the policy of the day."""

from __future__ import annotations

import bisect
import math

import numpy as np
from scipy.interpolate import CubicHermiteSpline
from scipy.special import expit

from bandit_rft import arguments
from bandit_rft.theory.catalogue import about, entry
from bandit_rft.theory.checks import check_rate, check_start
from bandit_rft.theory.policy_gradient.softmax import table_kappa
from bandit_rft.theory.prediction import Prediction, rounds_shown

__all__ = ["pg_delayed"]

_STEPPED = 1_000_000  # rounds up to which the recursion itself is run
_CLIMB, _GROWTH = 0.003, 0.01  # of the logit, and of its slope, within a step of the flow


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
        "rounds": "horizon T, rounds",
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

    Returns:
        Curves of value and regret: by the recursion up to 1e6 rounds, each of them shown; beyond, up to 1e9 and more,
        by the delayed flow dz/dt = eta kappa p(t - tau)(1 - p(t)) in adaptive steps, at some rounds, to about 1e-3.

    Raises:
        InputError: an argument out of range.

    Example:
        >>> from bandit_rft import theory
        >>> round(float(theory.pg_delayed(p0=0.05, step_size=0.5, rounds=100, delay=4).value[-1]), 4)
        0.9248
    """
    p0, rounds = check_start(p0), arguments.whole("rounds", rounds)
    delay, rollouts = arguments.whole("delay", delay, 0), arguments.whole("rollouts", rollouts)
    gain = check_rate(step_size, table_kappa(1, log_arms))
    if rounds <= _STEPPED:
        at, logit = None, _stepped(p0, gain, delay, rounds)
        regret = np.cumsum(expit(-logit))
    else:
        at = rounds_shown(rounds)
        logit, regret = _far(p0, gain, delay, at)
    flags = (f"eta kappa = {gain:.3g} is no small step: the mean over seeds lags behind.",) if gain > 0.2 else ()
    return Prediction(
        **about("pg_delayed"),
        at=at,
        value=expit(logit),
        regret=rollouts * regret,
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


def _stepped(p0: float, gain: float, delay: int, rounds: int) -> np.ndarray:
    """z_0 .. z_{rounds-1}."""
    start = math.log(p0) - math.log1p(-p0)
    logit = [start] * min(delay + 1, rounds)
    for t in range(len(logit) - 1, rounds - 1):
        logit.append(logit[t] + gain * _logistic(logit[t - delay]) * _logistic(-logit[t]))
    return np.asarray(logit)


def _logistic(z: float) -> float:
    return 1.0 / (1.0 + math.exp(-z)) if z > -700.0 else 0.0


def _far(p0: float, gain: float, delay: int, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Logit, and regret including the round, at the rounds `at`.

    Heun's steps, so short that the logit climbs by 0.003 and its slope changes by 1%; what a step needs of its own
    course, where it is longer than the delay, is taken along its slope.
    """
    start, end = math.log(p0) - math.log1p(-p0), float(at[-1]) + 1.0
    times, logits, slopes = [0.0, float(delay)], [start, start], [0.0, gain * p0 * (1.0 - p0)]
    if delay == 0:
        times, logits, slopes = times[1:], logits[1:], slopes[1:]

    def past(time: float) -> float:
        place = bisect.bisect_right(times, time) - 1
        if place < 0:
            return start
        since = time - times[place]
        if since == 0.0:
            return logits[place]
        if place == len(times) - 1:
            return logits[place] + since * slopes[place]
        # The course between two nodes as a parabola: its slope there is known at both ends.
        length = times[place + 1] - times[place]
        bend = (logits[place + 1] - logits[place] - length * slopes[place]) / length**2
        return logits[place] + since * (slopes[place] + since * bend)

    while times[-1] < end:
        now, z, slope = times[-1], logits[-1], slopes[-1]
        length = max(min(_CLIMB / slope if slope > 0.0 else math.inf, end - now), 1.0)
        while True:
            later = gain * _logistic(past(now + length - delay)) * _logistic(-z - length * slope)
            if length <= 1.0 or abs(later - slope) <= _GROWTH * max(slope, later):
                break
            length = max(length / 2.0, 1.0)
        climbed = z + length * (slope + later) / 2.0
        times.append(now + length)
        logits.append(climbed)
        slopes.append(gain * _logistic(past(now + length - delay)) * _logistic(-climbed))
    course = CubicHermiteSpline(times, logits, slopes)
    gap = CubicHermiteSpline(times, expit(-np.asarray(logits)), -np.asarray(slopes) * _density(np.asarray(logits)))
    # A sum over rounds differs from the integral by less than one reward.
    total = gap.antiderivative()
    return course(at.astype(np.float64)), total(at + 1.0) - total(0.0)


def _density(logit: np.ndarray) -> np.ndarray:
    return expit(logit) * expit(-logit)
