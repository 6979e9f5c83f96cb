"""Softmax policy gradient with the raw 0/1 reward: the exact jump chain, and the gradient flow of exact gradients."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from bandit_rft import arguments
from bandit_rft.errors import InputError
from bandit_rft.theory.catalogue import entry
from bandit_rft.theory.checks import check_log_arms, check_rate, check_start, log_count
from bandit_rft.theory.laws.chain import chain_prediction
from bandit_rft.theory.laws.curve_law import GroupCurve, curve_prediction
from bandit_rft.theory.laws.jump_law import JumpLaw
from bandit_rft.theory.prediction import Prediction

__all__ = ["FlowLaw", "pg_jump_single", "pg_ode", "table_kappa"]

_UNITS = {
    "p0": "probability of a correct answer at the start (Pass@1), in (0, 1)",
    "step_size": "eta, logit per unit gradient, above 0",
    "rounds": "horizon T, rounds",
    "log_arms": "ln K, K the number of arms; None: infinitely many",
    "kappa": "squared gradient gap |grad logit p|^2; None: the table's own constant",
}


def table_kappa(optimal: int, log_arms: float | None) -> float:
    """c = 1/m + 1/(K - m), the constant kappa of a tabular softmax with symmetric arms; K = exp(log_arms) of any size.

    Raises:
        InputError: no suboptimal arm is left, or optimal < 1.
    """
    optimal = arguments.whole("optimal", optimal, most=None)
    log_arms = check_log_arms(log_arms, optimal)
    log_optimal = log_count(optimal)
    # 1/m + 1/(K - m) = (1/m) K/(K - m) = (1/m) / (1 - m/K).
    found = math.exp(-log_optimal) / -math.expm1(log_optimal - log_arms)
    if found == 0.0:
        raise InputError("kappa = 1/optimal is too small for a float: a table of so many correct arms never learns.")
    return found


@entry(
    formula=r"z_{n+1} = z_n + \eta\,\kappa\,(1-p_n),\quad \text{wait}_n \sim \mathrm{Geometric}(p_n),"
    r"\quad \kappa = K/(K-1)",
    assumptions=(
        "One rollout a round.",
        "The raw 0/1 reward is the signal (a failure's signal is 0 and moves nothing), deterministic given the arm.",
        "One correct arm; all wrong arms start with equal logits (kappa=None).",
        "Plain gradient ascent at a constant step size (no Adam, momentum or clipping).",
        "With kappa given (a model that is no table): kappa stays constant, so the law is an approximation.",
    ),
    source="derived here (docs/derivations.md)",
    units={**_UNITS, "signal_scale": "the signal of a success; M replays in one gradient step: M"},
    section="A3",
    kind="prediction",
    derivation="`pg_jump_single`: one correct arm, one rollout, raw reward",
)
def pg_jump_single(
    p0: float,
    step_size: float,
    rounds: int,
    log_arms: float | None = None,
    *,
    kappa: float | None = None,
    signal_scale: float = 1.0,
) -> Prediction:
    """One correct arm, one rollout a round: the exact law of softmax policy gradient.

    Args: as in the catalogue (`theory.describe("pg_jump_single")`).

    Returns:
        Mean curves with standard deviations and the law of a run: exact up to 1e6 rounds, each of them shown (work:
        rounds x live states; 1e4 rounds take a quarter of a second, 1e5 seconds unless p0 < 1e-3). Beyond, up to
        1e9 and more, 100 rounds a decade are shown, by inversion, to a relative error of about 1e-4, in seconds.

    Raises:
        InputError: an argument out of range.

    Example:
        >>> from bandit_rft import theory
        >>> round(float(theory.pg_jump_single(p0=0.05, step_size=0.5, rounds=400).value[-1]), 4)
        0.9938
    """
    rounds = arguments.whole("rounds", rounds)
    constant = table_kappa(1, log_arms) if kappa is None else arguments.positive("kappa", kappa)
    scale = arguments.positive("step_size", step_size) * arguments.positive("signal_scale", signal_scale)
    law = JumpLaw(p0=check_start(p0), gain=check_rate(scale, constant), exact=kappa is None)
    parameters = {
        "p0": p0,
        "step_size": step_size,
        "rounds": rounds,
        "log_arms": log_arms,
        "kappa": constant,
        "signal_scale": signal_scale,
        "rollouts": 1,
    }
    return chain_prediction("pg_jump_single", law, rounds, parameters)


@dataclass(frozen=True, kw_only=True)
class FlowLaw(GroupCurve):
    """dz/dt = rate p(1-p) from p0, a deterministic curve; rate = step size x kappa, `rollouts` pulls a round."""

    p0: float
    rate: float
    rollouts: int = 1

    @property
    def start(self) -> float:
        """z0 = logit p0."""
        return math.log(self.p0) - math.log1p(-self.p0)

    def rise(self, time: np.ndarray) -> np.ndarray:
        """z(t) - z0 at each time, from 2z + 2 sinh z = rate t + const, to full relative precision even where tiny."""
        start = self.start
        elapsed = self.rate * time
        total = 2.0 * start + 2.0 * math.sinh(start) + elapsed
        size = np.abs(total)
        # 2z + 2 sinh z is odd, and convex for z > 0: Newton from asinh(y/2) >= z comes down monotonically.
        z = np.arcsinh(size / 2.0)
        for _ in range(12):
            z = z - (2.0 * z + 2.0 * np.sinh(z) - size) / (2.0 + 2.0 * np.cosh(z))
        rise = np.maximum(np.sign(total) * z - start, 0.0)
        # The difference z - z0 loses its digits where the curve has hardly moved: polish it in its own equation.
        for _ in range(4):
            value = 2.0 * rise + 4.0 * np.cosh(start + rise / 2.0) * np.sinh(rise / 2.0) - elapsed
            rise = np.maximum(rise - value / (2.0 + 2.0 * np.cosh(start + rise)), 0.0)
        return rise

    def value(self, time: np.ndarray) -> np.ndarray:
        """p(t)."""
        return expit(self.start + self.rise(time))

    def regret(self, time: np.ndarray) -> np.ndarray:
        """rollouts x integral of 1 - p from 0 to t = rollouts [z - e^{-z}] / rate."""
        rise = self.rise(time)
        return self.rollouts * (rise - math.exp(-self.start) * np.expm1(-rise)) / self.rate

    def time_to(self, level: float) -> float:
        """The time at which p reaches the level."""
        goal = math.log(level) - math.log1p(-level)
        rise = goal - self.start
        if rise <= 0.0:
            return 0.0
        return (2.0 * rise + 2.0 * (math.sinh(goal) - math.sinh(self.start))) / self.rate


@entry(
    formula=r"2z + 2\sinh z = \eta\kappa t + \mathrm{const},"
    r"\quad \mathrm{regret} = [z - e^{-z}]_{z_0}^{z_T}/(\eta\kappa),\quad \kappa = 1/m + 1/(K-m)",
    assumptions=(
        "Exact gradients of the expected reward, in the limit of small steps: no sampling noise. With sampled rollouts "
        "the mean over seeds does not follow this curve; use pg_jump_single.",
        "The optimal arms start with equal logits, and so do the others (kappa=None).",
        "Plain gradient ascent at a constant step size.",
    ),
    source="derived here (docs/derivations.md). The 1/t tail agrees with Mei et al. 2020",
    units={**_UNITS, "optimal": "m, number of optimal arms", "rollouts": "pulls a round, which multiply the regret"},
    section="A1",
    kind="prediction",
    derivation="`pg_ode`: exact gradients",
)
def pg_ode(
    p0: float,
    step_size: float,
    rounds: int,
    optimal: int = 1,
    log_arms: float | None = None,
    *,
    kappa: float | None = None,
    rollouts: int = 1,
) -> Prediction:
    """Gradient flow of softmax policy gradient with exact gradients, in closed form.

    The half-way time is `prediction.mean_hitting_time(0.5)`, about 1/(eta kappa p0) for small p0. Regret up to
    and including round t is the integral over [0, t + 1].

    Raises:
        InputError: an argument out of range.

    Example:
        >>> from bandit_rft import theory
        >>> round(float(theory.pg_ode(p0=0.05, step_size=0.5, rounds=400).value[-1]), 4)
        0.994
    """
    rounds, rollouts = arguments.whole("rounds", rounds), arguments.whole("rollouts", rollouts)
    constant = table_kappa(optimal, log_arms) if kappa is None else arguments.positive("kappa", kappa)
    rate = check_rate(step_size, constant)
    law = FlowLaw(p0=check_start(p0), rate=rate, rollouts=rollouts)
    parameters = {
        "p0": p0,
        "step_size": step_size,
        "rounds": rounds,
        "optimal": optimal,
        "log_arms": log_arms,
        "kappa": constant,
        "rollouts": rollouts,
    }
    return curve_prediction("pg_ode", law, rounds, parameters)
