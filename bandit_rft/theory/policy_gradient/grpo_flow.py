"""The flow of GRPO with very large groups, in closed form."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from bandit_rft import arguments
from bandit_rft.theory.catalogue import about, entry
from bandit_rft.theory.checks import check_rate, check_start
from bandit_rft.theory.laws.curve_law import GroupCurve
from bandit_rft.theory.policy_gradient.group_flow import ASSUMPTIONS, UNITS, large_step, logit_of
from bandit_rft.theory.policy_gradient.softmax import table_kappa
from bandit_rft.theory.prediction import Prediction, rounds_shown

__all__ = ["LargeGroupLaw", "grpo_flow"]

_MANY = 10.0  # of either answer in a group, for which a group counts as large


@dataclass(frozen=True, kw_only=True)
class LargeGroupLaw(GroupCurve):
    """dz/dt = rate sqrt(p(1-p)) from p0: with u = sinh(z/2), u(t) = u(0) + rate t/4."""

    p0: float
    rate: float
    rollouts: int

    @property
    def start(self) -> float:
        """sinh(z0/2)."""
        return math.sinh(logit_of(self.p0) / 2.0)

    def value(self, time: np.ndarray) -> np.ndarray:
        """p(t)."""
        return expit(2.0 * np.arcsinh(self.start + self.rate * time / 4.0))

    def regret(self, time: np.ndarray) -> np.ndarray:
        """rollouts x 2 (e^{-z0/2} - e^{-z/2}) / rate, as a ratio of sums: the difference has no digits early on."""
        u, u0 = self.start + self.rate * time / 4.0, self.start
        small = _exp_minus_asinh(u) + _exp_minus_asinh(np.asarray(u0))
        return self.rollouts * time * small / (2.0 * (np.hypot(1.0, u) + np.hypot(1.0, u0)))

    def time_to(self, level: float) -> float:
        """t at which p reaches the level."""
        return max(4.0 * (math.sinh(logit_of(level) / 2.0) - self.start) / self.rate, 0.0)


def _exp_minus_asinh(u: np.ndarray) -> np.ndarray:
    """e^{-asinh u} = sqrt(1 + u^2) - u, without cancellation."""
    size = np.exp(np.arcsinh(np.abs(u)))
    return np.where(u > 0.0, np.reciprocal(size), size)


@entry(
    formula=r"4\sinh(z/2) = \eta\kappa t + \mathrm{const},\quad t_{1/2} = -4\sinh(z_0/2)/(\eta\kappa) \approx "
    r"\frac{2}{\eta\kappa\sqrt{p_0}},\quad \mathrm{regret} = \frac{2G}{\eta\kappa}\,[-e^{-z/2}]_{z_0}^{z_T}",
    assumptions=(
        *ASSUMPTIONS,
        "Groups so large that both answers are in every one: G p >> 1 and G (1 - p) >> 1 along the whole curve.",
        "GRPO: rewards centred and divided by their standard deviation, with eps = 0.",
    ),
    source="derived here (docs/derivations.md)",
    units=UNITS,
    section="B2",
    kind="prediction",
    derivation="`pg_group` and `grpo_flow`",
)
def grpo_flow(
    p0: float,
    step_size: float,
    rounds: int,
    rollouts: int = 1_000_000,
    optimal: int = 1,
    log_arms: float | None = None,
    *,
    kappa: float | None = None,
) -> Prediction:
    """GRPO with very large groups, in closed form: pg_group in the limit of infinitely many rollouts.

    The rollouts only multiply the regret, which has a limit: 2 G sqrt((1-p0)/p0) / (eta kappa).

    Raises:
        InputError: an argument out of range.

    Example:
        >>> from bandit_rft import theory
        >>> round(float(theory.grpo_flow(p0=0.05, step_size=0.1, rounds=100).value[-1]), 4)
        0.6898
    """
    rounds, rollouts = arguments.whole("rounds", rounds), arguments.whole("rollouts", rollouts)
    constant = table_kappa(optimal, log_arms) if kappa is None else arguments.positive("kappa", kappa)
    rate = check_rate(step_size, constant)
    law = LargeGroupLaw(p0=check_start(p0), rate=rate, rollouts=rollouts)
    at = rounds_shown(rounds)
    value = law.value(at.astype(np.float64))
    return Prediction(
        **about("grpo_flow"),
        at=at,
        value=value,
        regret=law.regret(at + 1.0),
        parameters={
            "p0": p0,
            "step_size": step_size,
            "rounds": rounds,
            "rollouts": rollouts,
            "optimal": optimal,
            "log_arms": log_arms,
            "kappa": constant,
        },
        law=law,
        flags=(*large_step(rate), *_small_group(rollouts, float(value[0]), float(value[-1]))),
    )


def _small_group(rollouts: int, first: float, last: float) -> tuple[str, ...]:
    if rollouts * first >= _MANY and rollouts * (1.0 - last) >= _MANY:
        return ()
    return (f"Somewhere on the curve a group holds fewer than {_MANY:g} of the rarer answer: use pg_group.",)
