"""Reinforcement fine-tuning from two measured numbers, p0 and kappa; and kappa from a curve."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar

from bandit_rft import arguments
from bandit_rft.errors import InputError
from bandit_rft.theory.catalogue import entry
from bandit_rft.theory.checks import check_rate, check_start
from bandit_rft.theory.laws.chain import chain_prediction
from bandit_rft.theory.laws.jump_law import JumpLaw
from bandit_rft.theory.prediction import Prediction

__all__ = ["kappa_fit", "rft_predict"]

_LOG_GAINS = (math.log(1e-4), math.log(1e2))
_UNITS = {
    "p0": "Pass@1 before fine-tuning, in (0, 1)",
    "kappa": "squared gradient gap |grad logit p|^2, as measured before fine-tuning",
    "step_size": "eta of plain gradient ascent, logit per unit gradient, above 0",
    "rounds": "horizon T, rounds",
}
_ASSUMPTIONS = (
    "One prompt, one rollout a round, raw 0/1 reward that is deterministic given the response.",
    "Plain gradient ascent at a constant step size: no Adam, momentum, clipping, weight decay or length normalisation.",
    "kappa stays what it is at the start, and every correct response moves logit p by eta kappa (1-p): the scores' "
    "spread within a class, seen along delta, is small beside delta, and no single response is learnt by heart.",
)


@entry(
    formula=r"z_{n+1} = z_n + \eta\kappa\,(1-p_n),\quad \text{wait}_n \sim \mathrm{Geometric}(p_n),\quad "
    r"z = \mathrm{logit}\,p",
    assumptions=_ASSUMPTIONS,
    source="derived here (docs/derivations.md)",
    units=_UNITS,
    section="F3",
    kind="prediction",
    derivation="`rft_predict` and `kappa_fit`: two measured numbers",
)
def rft_predict(p0: float, kappa: float, step_size: float, rounds: int) -> Prediction:
    """Training curve of policy-gradient fine-tuning from p0 and kappa, without any fitted parameter.

    Returns:
        Mean curves with standard deviations, and the law of a run, as `pg_jump_single` with that kappa.

    Raises:
        InputError: an argument out of range.

    Example:
        >>> from bandit_rft import theory
        >>> round(float(theory.rft_predict(p0=0.1, kappa=40.0, step_size=0.005, rounds=100).value[-1]), 4)
        0.7508
    """
    rounds = arguments.whole("rounds", rounds)
    law = JumpLaw(p0=check_start(p0), gain=check_rate(step_size, kappa), exact=False)
    parameters = {"p0": p0, "kappa": kappa, "step_size": step_size, "rounds": rounds}
    return chain_prediction("rft_predict", law, rounds, parameters)


@entry(
    formula=r"\hat\kappa = \arg\min_\kappa \sum_t \left(\bar v_t - E_\kappa[p_t]\right)^2,\quad "
    r"t < \mathrm{share}\cdot T",
    assumptions=(
        *_ASSUMPTIONS,
        "values is the mean over runs (or one run) of Pass@1 before each round's update, p0 known.",
    ),
    source="derived here (docs/derivations.md)",
    units={
        "values": "[T] Pass@1 before each round's update, mean over runs",
        "p0": _UNITS["p0"],
        "step_size": _UNITS["step_size"],
        "share": "part of the rounds that is fitted, from the first on, in (0, 1]",
    },
    section="F5",
    kind="quantity",
    derivation="`rft_predict` and `kappa_fit`: two measured numbers",
)
def kappa_fit(values: Any, p0: float, step_size: float, share: float = 0.2) -> float:
    """kappa fitted, alone, to the first part of a training curve: its ratio to the measured one tests the theory.

    Returns:
        kappa, between 1e-4/step_size and 1e2/step_size (beyond, curves no longer tell one kappa from another).

    Raises:
        InputError: fewer than two rounds to fit, a value outside [0, 1], or a curve that no kappa in that range fits.

    Example:
        >>> import numpy as np
        >>> from bandit_rft import theory
        >>> round(float(theory.kappa_fit(np.linspace(0.1, 0.5, 20), p0=0.1, step_size=0.5, share=1.0)), 4)
        1.729
    """
    curve = arguments.numbers("values", values)
    if not np.all((curve >= 0.0) & (curve <= 1.0)):
        raise InputError("values must lie between 0 and 1: give Pass@1 before each round's update.")
    p0, step_size = arguments.fraction("p0", p0), arguments.positive("step_size", step_size)
    share = arguments.between("share", share, 0.0, 1.0)
    rounds = math.ceil(share * curve.size)
    if rounds < 2:
        raise InputError(f"values and share leave {rounds} rounds to fit kappa on: give two or more.")
    fitted = curve[:rounds]

    def misfit(log_gain: float) -> float:
        law = JumpLaw(p0=p0, gain=math.exp(log_gain), exact=False)
        return float(np.sum((fitted - law.moments(rounds).value) ** 2))

    grid = np.linspace(*_LOG_GAINS, num=31)
    misfits = np.array([misfit(x) for x in grid])
    best = int(np.argmin(misfits))
    # Gains beyond about 20 give one and the same curve: a minimum there is rounding.
    if not misfits[best] < (1.0 - 1e-6) * min(misfits[0], misfits[-1]):
        raise InputError("No kappa explains the first rounds of values: they rise too little or too fast from p0.")
    found: Any = minimize_scalar(misfit, bounds=(grid[best - 1], grid[best + 1]), method="bounded")
    return math.exp(float(found.x)) / step_size
