"""ScaleRL's sigmoid (arXiv 2510.13786): its exponent, which is fitted there, follows from p0 and the signal."""

import math

import numpy as np
from scipy.optimize import curve_fit

from bandit_rft import arms, summarize, theory
from bandit_rft.experiments import Claim, Effect, Results, mean_effect
from simulations.reproduction.experiments import exponents
from simulations.reproduction.tables import P0, TABLE

BLOCKS = 16  # of seeds, each with a mean curve of its own: the units; fewer of fewer seeds


def exponent(curve: np.ndarray) -> float:
    """B of R(t) = R(0) + (1 - R(0)) / (1 + (mid / t)^B), by least squares over the rounds from the first on.

    NaN of a curve that never is half-way, and where no sigmoid fits.
    """
    rounds, half_way = np.arange(1, curve.size), curve >= (1 + curve[0]) / 2
    if not half_way.any():
        return math.nan

    def sigmoid(t: np.ndarray, log_mid: float, b: float) -> np.ndarray:
        return curve[0] + (1 - curve[0]) / (1 + np.exp(b * (log_mid - np.log(t))))

    half = max(1, int(np.argmax(half_way)))
    try:
        (_, found), _ = curve_fit(sigmoid, rounds, curve[1:], p0=(np.log(half), 3.0))
    except RuntimeError:  # as SciPy says that the fit did not converge
        return math.nan
    return float(found) if found > 0 else math.nan


def from_theory(condition: str, rounds: int) -> float:
    """The exponent of the mean-field curve, which knows p0, kappa, the step and the signal."""
    setting = exponents.setting(condition)
    needle = arms.Needle(log10_arms=100, p0=P0[setting.p0])
    step = setting.step / summarize(needle).kappa
    law = theory.pg_group(
        setting.signal, P0[setting.p0], step, rounds, setting.rollouts, log_arms=needle.log_arms, eps=1e-6
    )
    return exponent(np.asarray(law.value))


def measure(results: Results) -> dict[str, Effect]:
    """log2 of the fitted exponent over that of the theory, by condition, on tables."""
    found = {}
    for condition in exponents.conditions:
        outcomes = results.outcomes(exponents, condition, {"model": TABLE})
        for outcome in outcomes.values():
            said = from_theory(condition, outcome.train.shape[1])
            blocks = np.array_split(outcome.train, min(BLOCKS, len(outcome.train)))
            found[condition] = mean_effect([np.log2(exponent(block.mean(axis=0)) / said) for block in blocks])
    return found


CLAIM = Claim(
    id="D3",
    statement="The exponent of the sigmoid fitted to a mean reward curve is that of the mean-field law, unfitted.",
    source="the law of this project, held against ScaleRL's form (arXiv 2510.13786)",
    experiments=(exponents,),
    effect="log2 of the fitted exponent over the predicted one",
    measure=measure,
    direction="within",
    margin=0.2,
    tiers=("simulation",),
)
