"""Adam on a raw 0/1 reward: the jump of a rare success, and the flow once successes are common."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, log_expit

from bandit_rft import arguments
from bandit_rft.errors import InputError
from bandit_rft.theory.catalogue import entry
from bandit_rft.theory.checks import check_rate, check_start
from bandit_rft.theory.laws.curve_law import CurveLaw, curve_prediction, growth, solve_rise
from bandit_rft.theory.prediction import Prediction

__all__ = ["SPREADS", "AdamFlow", "adam_flow", "adam_jump"]

SPREADS = ("response", "class")
_MOST_TERMS = 10_000_000
_TINY = float(np.finfo(np.float64).tiny)
_SECTION = "`adam_jump` and `adam_flow`"


@entry(
    formula=r"\sum_{k\ge0} \mathrm{lr}\,\frac{(1-\beta_1)\beta_1^k}{1-\beta_1^{n+k}}"
    r"\sqrt{\frac{1-\beta_2^{n+k}}{(1-\beta_2)\beta_2^k}}\ \to\ "
    r"\mathrm{lr}\,\frac{1-\beta_1}{\sqrt{1-\beta_2}\,(1-\beta_1/\sqrt{\beta_2})}\quad (n \to \infty)",
    assumptions=(
        "The gradient is zero before the success and after it (1/p far above 1/(1-beta2) rounds between successes).",
        "eps is far below |gradient| sqrt(1-beta2); no weight decay, no clipping.",
        "Bias correction as in Kingma and Ba; beta1 < sqrt(beta2).",
    ),
    source="derived here (docs/derivations.md) from Kingma and Ba, arXiv 1412.6980, algorithm 1",
    units={
        "learning_rate": "lr, above 0",
        "beta1": "decay of the first moment, in [0, sqrt(beta2))",
        "beta2": "decay of the second moment, in (0, 1)",
        "step": "n, the optimizer's step at which the success comes, counted from 1; None: late, beyond 1/(1-beta2)",
    },
    section="F6",
    kind="quantity",
    derivation=_SECTION,
)
def adam_jump(learning_rate: float, beta1: float = 0.9, beta2: float = 0.999, step: int | None = None) -> float:
    """How far in all an isolated success moves each coordinate under Adam, whatever the gradient's size.

    Returns:
        Displacement in units of the parameters, in the direction of the gradient's sign.

    Raises:
        InputError: an argument out of range, beta1 >= sqrt(beta2) (the sum diverges), or over 1e7 terms to add.

    Example:
        >>> from bandit_rft import theory
        >>> round(float(theory.adam_jump(learning_rate=0.01)), 4)
        0.3177
    """
    rate, second = arguments.positive("learning_rate", learning_rate), arguments.fraction("beta2", beta2)
    first = arguments.number("beta1", beta1)
    if not 0.0 <= first < math.sqrt(second):
        raise InputError(f"beta1 is {first}: give a number from 0 to below sqrt(beta2) = {math.sqrt(second):.6g}.")
    first = max(first, _TINY)
    ratio = first / math.sqrt(second)
    scale = rate * (1.0 - first) / math.sqrt(1.0 - second)
    if step is None:
        return scale / (1.0 - ratio)
    step = arguments.whole("step", step)
    terms = math.ceil(math.log(_TINY) / math.log(ratio))
    if terms > _MOST_TERMS:
        raise InputError("beta1 is so near sqrt(beta2) that over 1e7 terms would have to be added: lower beta1.")
    k = np.arange(terms, dtype=np.float64)
    correction = np.sqrt(-np.expm1((step + k) * math.log(second))) / -np.expm1((step + k) * math.log(first))
    return float(scale * np.sum(ratio**k * correction))


@dataclass(frozen=True, kw_only=True)
class AdamFlow(CurveLaw):
    """dz/dt = rate sqrt(p) (1-p) (spread "response"), or rate sqrt(p) ("class").

    Attributes:
        p0: at the start.
        rate: learning rate x kappa_adam.
        spread: one of SPREADS.
    """

    p0: float
    rate: float
    spread: str

    @property
    def start(self) -> float:
        """z at the start."""
        return math.log(self.p0) - math.log1p(-self.p0)

    def _gained(self, rise: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(u, -1/u + 1/u0, atanh u - atanh u0), u = sqrt(p); no digit is lost where little has moved."""
        start = math.sqrt(self.p0)
        now = np.exp(log_expit(self.start + rise) / 2.0)
        reciprocal = -math.exp(-self.start) * np.expm1(-rise) / (1.0 / start + 1.0 / now)
        # atanh u = ln(1 + u) - ln(1 - p)/2, and u - u0 = u u0 (1/u0 - 1/u).
        atanh = np.log1p(start * now * reciprocal / (1.0 + start)) + growth(self.start, rise) / 2.0
        return now, reciprocal, atanh

    def _wasted(self, rise: np.ndarray) -> np.ndarray:
        """rate x regret: -2/u + 2 atanh u, or -2/u."""
        _, reciprocal, atanh = self._gained(rise)
        return 2.0 * reciprocal + (2.0 * atanh if self.spread == "response" else 0.0)

    def _progress(self, rise: np.ndarray) -> np.ndarray:
        """rate x time: -2/u + 3 atanh u + u/(1-p), or -2/u + 2 atanh u."""
        now, reciprocal, atanh = self._gained(rise)
        if self.spread == "class":
            return 2.0 * (reciprocal + atanh)
        # u/(1-p) = u (1 + e^z).
        tail = math.sqrt(self.p0) * now * reciprocal / expit(-self.start) - now * np.exp(self.start + rise) * np.expm1(
            -rise
        )
        return 2.0 * reciprocal + 3.0 * atanh + tail

    def rise(self, time: np.ndarray) -> np.ndarray:
        """z(t) - z0 at each time."""
        elapsed = self.rate * np.asarray(time, dtype=np.float64)
        found, moves = np.zeros(elapsed.shape), elapsed > 0.0
        if not np.any(moves):
            return found
        elapsed = elapsed[moves]
        # Below: while z rises by at most 1, dz/dt >= rate sqrt(p0) (1-p0)/e. Above: the fastest growing term alone.
        log_low = np.log(elapsed / math.e) + math.log(math.sqrt(self.p0)) + log_expit(-self.start)
        if self.spread == "response":
            high = np.logaddexp(0.0, np.log(elapsed) - self.start - math.log(math.sqrt(self.p0)))
        else:
            high = elapsed - math.log(self.p0)
        found[moves] = solve_rise(self._progress, elapsed, np.minimum(log_low, 0.0), np.log(high))
        return found

    def value(self, time: np.ndarray) -> np.ndarray:
        """p(t)."""
        return expit(self.start + self.rise(time))

    def regret(self, time: np.ndarray) -> np.ndarray:
        """Integral of 1 - p from 0 to t."""
        return self._wasted(self.rise(time)) / self.rate

    def time_to(self, level: float) -> float:
        """The time at which p reaches the level."""
        rise = math.log(level) - math.log1p(-level) - self.start
        return float(self._progress(np.array([rise]))[0] / self.rate) if rise > 0.0 else 0.0


@entry(
    formula=r"\frac{dz}{dt} = \mathrm{lr}\,\sqrt p\,(1-p)\sum_j \frac{\delta_j^2}{\sigma_j},\ "
    r"\sigma_j^2 = E[s_j^2 \mid \mathrm{correct}]:\quad \sigma_j\ \mathrm{constant},\ "
    r"\kappa_A = \sum_j \delta_j^2/\sigma_j:\ "
    r"\mathrm{lr}\,\kappa_A t = \Big[-\tfrac{2}{\sqrt p} + 3\,\mathrm{artanh}\sqrt p + \tfrac{\sqrt p}{1-p}\Big]_0^t;"
    r"\quad "
    r"\sigma_j = (1-p)|\delta_j|,\ \kappa_A = \sum_j|\delta_j|:\ "
    r"\mathrm{lr}\,\kappa_A t = \Big[-\tfrac{2}{\sqrt p} + 2\,\mathrm{artanh}\sqrt p\Big]_0^t",
    assumptions=(
        "Adam on the raw 0/1 reward, one rollout a round, eps negligible, no weight decay or clipping.",
        "Successes are common: p far above 1-beta2 all the time (below it each success is a jump: adam_jump).",
        "p changes little within 1/(1-beta2) and 1/(1-beta1) rounds: the learning rate is small.",
        "delta is constant, and the scores of correct responses spread as `spread` says.",
    ),
    source="derived here (docs/derivations.md)",
    units={
        "p0": "probability of a correct answer at the start, in (0, 1)",
        "learning_rate": "lr, above 0",
        "kappa_adam": "kappa_A: sum_j delta_j^2/sigma_j for spread=response, sum_j |delta_j| for spread=class",
        "rounds": "horizon T, rounds",
        "spread": "response: scores of correct responses spread, coordinate by coordinate, far beyond their mean; "
        "class: they are all alike (a table with one correct arm)",
        "beta2": "decay of the second moment, in (0, 1); it enters only the check that successes are common",
    },
    section="F6.1",
    kind="prediction",
    derivation=_SECTION,
)
def adam_flow(
    p0: float, learning_rate: float, kappa_adam: float, rounds: int, *, spread: str = "response", beta2: float = 0.999
) -> Prediction:
    """Mean course of Adam on a raw reward once successes are common, in closed form.

    Returns:
        Curves of value and regret, and the deterministic law; a flag where p0 is below 10 (1-beta2).

    Raises:
        InputError: an argument out of range, or an unknown spread.

    Example:
        >>> from bandit_rft import theory
        >>> round(float(theory.adam_flow(p0=0.1, learning_rate=0.01, kappa_adam=5.0, rounds=100).value[-1]), 4)
        0.3847
    """
    rounds, p0 = arguments.whole("rounds", rounds), check_start(p0)
    if spread not in SPREADS:
        raise InputError(f"spread is {spread!r}: choose one of {', '.join(SPREADS)}.")
    rate = check_rate(learning_rate, kappa_adam, "kappa_adam", "learning_rate")
    rare = p0 < 10.0 * (1.0 - arguments.fraction("beta2", beta2))
    law = AdamFlow(p0=p0, rate=rate, spread=spread)
    parameters = {
        "p0": p0,
        "learning_rate": learning_rate,
        "kappa_adam": kappa_adam,
        "rounds": rounds,
        "spread": spread,
        "beta2": beta2,
    }
    flags = (f"Successes are rare at the start: p0 = {p0:.3g} is not far above 1-beta2.",) if rare else ()
    return curve_prediction("adam_flow", law, rounds, parameters, flags)
