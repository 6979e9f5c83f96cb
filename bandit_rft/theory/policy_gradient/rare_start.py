"""Softmax policy gradient from a start where a correct answer is rare: how long until the first arm takes over."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from bandit_rft import arguments
from bandit_rft.errors import InputError
from bandit_rft.theory.catalogue import entry
from bandit_rft.theory.checks import check_rate
from bandit_rft.theory.policy_gradient.explosion import Explosion

__all__ = ["ColdStart", "Takeover", "pg_cold_start", "pg_monopoly"]

_SMALL = 0.01
_SMALLEST_STEP, _LARGEST_STEP, _MOST_OPTIMAL = 1e-7, 200.0, 10**12
_LARGEST_LOG = 709.0
_BEYOND = 100.0  # standard deviations: the tails are exponential or thinner


class ColdStart(NamedTuple):
    """The time from p0 to any fixed Pass@1, in rounds.

    Attributes:
        mean, sd: its mean and standard deviation.
        coefficient_of_variation: sd/mean, whatever p0.
        floor: 1/p0, the mean wait for the first success, which no step size beats.
    """

    mean: float
    sd: float
    coefficient_of_variation: float
    floor: float


@dataclass(frozen=True, kw_only=True)
class Takeover:
    """The law of the time T until one of m rare correct arms takes over, in rounds.

    Attributes:
        mean, sd: of T, to a relative 1e-8.
        unit: m/p0, the mean wait for one given correct arm.
        law: of T/unit.
        flags: what the law does not cover at these arguments, one sentence each.
    """

    mean: float
    sd: float
    unit: float
    law: Explosion
    flags: tuple[str, ...] = ()

    def survival(self, rounds: object) -> np.ndarray:
        """P(T > t), float64 [N], at each of the N numbers of rounds; right to an absolute 1e-10."""
        return np.array([self._survival(t) for t in arguments.numbers("rounds", rounds)])

    def quantile(self, q: float) -> float:
        """The t with P(T <= t) = q. Raises InputError where q is not within 1e-12 .. 1 - 1e-12."""
        q = arguments.between("q", q, 1e-12, 1.0 - 1e-12)
        return self.unit * float(self.law.point(self.law.log_tilt_of_survival(math.log1p(-q))).y)

    def _survival(self, rounds: float) -> float:
        if not rounds > 0.0:
            return 1.0
        if rounds > self.mean + _BEYOND * self.sd:
            return 0.0
        return math.exp(self.law.log_survival(self.law.log_tilt_at(rounds / self.unit)))


_UNITS = {
    "p0": "probability of a correct answer at the start (Pass@1), in (0, 1), and small",
    "step_size": "eta, logit per unit gradient, above 0",
}


@entry(
    formula=r"E[T] \to \frac{1}{p_0(1-e^{-g})},\quad \frac{\mathrm{sd}[T]}{E[T]} \to \sqrt{\tanh(g/2)},"
    r"\quad g = \eta\kappa",
    assumptions=(
        "One rollout a round; the raw 0/1 reward is the signal, deterministic given the arm.",
        "One correct arm.",
        "p0 -> 0 at a fixed step size; the rounds from any small p to any level short of 1 are then negligible.",
        "Plain gradient ascent at a constant step size (no Adam, momentum or clipping).",
    ),
    source="derived here (docs/derivations.md)",
    units={**_UNITS, "kappa": "squared gradient gap |grad logit p|^2; 1 for a table of many arms, K/(K-1) for K"},
    section="A3",
    kind="quantity",
    derivation="`pg_jump_single`: one correct arm, one rollout, raw reward",
)
def pg_cold_start(p0: float, step_size: float, *, kappa: float = 1.0) -> ColdStart:
    """How long policy gradient takes from a rare start: mean and spread of the time to any level, one correct arm.

    Returns:
        `ColdStart` (mean, sd, coefficient_of_variation, floor), rounds.

    Raises:
        InputError: an argument out of range.

    Example:
        >>> from bandit_rft import theory
        >>> start = theory.pg_cold_start(p0=0.01, step_size=0.5)
        >>> round(start.mean, 1), round(start.floor, 1)
        (254.1, 100.0)
    """
    p0 = arguments.fraction("p0", p0)
    gain = check_rate(step_size, kappa)
    floor = _finite_wait(1, p0)  # Geometric
    mean = floor / -math.expm1(-gain)
    variation = math.sqrt(math.tanh(gain / 2.0))
    return ColdStart(mean=mean, sd=mean * variation, coefficient_of_variation=variation, floor=floor)


@entry(
    formula=r"P(T > t) \to P(Y > p_0 t/m)^m,\quad Y = \sum_{n\ge0} q^n E_n,\ q = e^{-\eta},\ E_n \sim \mathrm{Exp}(1);"
    r"\quad E[T] \to \frac{m}{p_0}\int_0^\infty P(Y>y)^m\,dy",
    assumptions=(
        "One rollout a round; the raw 0/1 reward is the signal, deterministic given the arm.",
        "The m correct arms start equally likely, and no wrong arm alone has much of the mass (many wrong arms).",
        "p0 -> 0 at fixed m and step size; the rounds from any small p to any level short of 1 are then negligible, "
        "so that T is the time to any of these levels.",
        "Plain gradient ascent at a constant step size (no Adam, momentum or clipping).",
    ),
    source="derived here (docs/derivations.md)",
    units={**_UNITS, "optimal": "m, number of correct arms, up to 1e12"},
    section="A4",
    kind="quantity",
    derivation="`pg_monopoly`: several rare correct arms",
)
def pg_monopoly(p0: float, step_size: float, optimal: int = 1) -> Takeover:
    """The time until one of m rare correct arms takes over: its whole law, as p0 goes to 0.

    Returns:
        `Takeover`: mean, sd, survival(rounds), quantile(q) and unit (m/p0), in rounds. No step size brings the mean
        below 1/p0.

    Raises:
        InputError: an argument out of range, or m/p0 beyond float64.

    Example:
        >>> from bandit_rft import theory
        >>> round(float(theory.pg_monopoly(p0=0.01, step_size=0.5, optimal=3).mean), 1)
        479.8
    """
    p0 = arguments.fraction("p0", p0)
    step_size = arguments.positive("step_size", step_size)
    optimal = arguments.whole("optimal", optimal)
    if not _SMALLEST_STEP <= step_size <= _LARGEST_STEP or optimal > _MOST_OPTIMAL:
        raise InputError(
            f"step_size = {step_size:g}, optimal = {optimal:g}: the law is computed for step sizes from "
            f"{_SMALLEST_STEP:g} to {_LARGEST_STEP:g} and up to {_MOST_OPTIMAL:g} correct arms."
        )
    unit = _finite_wait(optimal, p0)
    law = Explosion(step_size, float(optimal))
    mean, sd = law.smallest()
    flags = ()
    if p0 > _SMALL:
        flags = (f"p0 = {p0:g} is not small: the rounds after the takeover begins are left out.",)
    return Takeover(mean=unit * mean, sd=unit * sd, unit=unit, law=law, flags=flags)


def _finite_wait(optimal: int, p0: float) -> float:
    """m/p0."""
    if math.log(optimal) - math.log(p0) > _LARGEST_LOG:
        raise InputError(f"m/p0 = {optimal}/{p0:g} rounds is more than a float holds: give a larger p0.")
    return optimal / p0
