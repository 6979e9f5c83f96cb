"""Audit of the asymptotic rates: Lai and Robbins, Thompson sampling."""

from __future__ import annotations

from decimal import Decimal, localcontext

import numpy as np
from scipy.special import rel_entr

from bandit_rft import arms, learners
from simulations.theory_audit.bounds_runs import (
    AT,
    GAPS,
    MEANS,
    TEXT,
    TIME,
    curve,
    formula,
    simulated,
    upto,
)
from simulations.theory_audit.case import Case, exact

# Lai and Robbins: the divergence in sixty digits
_SMALL = (1e-9, 1e-4, 0.02, 0.1, 0.4)


def _divergence(worse: Decimal, best: Decimal) -> Decimal:
    return worse * (worse / best).ln() + (1 - worse) * ((1 - worse) / (1 - best)).ln()


def _constants() -> list[float]:
    with localcontext() as context:
        context.prec = 60
        worse = Decimal("0.5")
        # Of the means as floats hold them: .5 + 1e-9 is a little off.
        best = [Decimal(0.5 + gap) for gap in _SMALL]
        return [float(3 * (mean - worse) / _divergence(worse, mean)) for mean in best]


_CLOSE = (0.52, 0.5, 0.49)


def _close_constant() -> float:
    with localcontext() as context:
        context.prec = 60
        best, *others = (Decimal(mean) for mean in _CLOSE)
        return float(sum((best - worse) / _divergence(worse, best) for worse in others))


_KL = rel_entr(0.9 - GAPS, 0.9) + rel_entr(0.1 + GAPS, 0.1)
_CONSTANT = float(np.sum(GAPS / _KL))

CASES = (
    Case(
        entry="lai_robbins_constant",
        instance="three arms of mean .5 below one that is better by little or much, in 60 digits",
        x=_SMALL,
        x_label="gap",
        y_label="constant, in rewards",
        predict=lambda f: [f([0.5 + gap, 0.5], counts=[1, 3]) for gap in _SMALL],
        measure=lambda key: exact(_constants()),
    ),
    Case(
        entry="lai_robbins_constant",
        instance="normal rewards: 2 sigma^2 / gap",
        x=(0.5, 1.0, 3.0),
        x_label="sigma",
        y_label="constant, in rewards",
        predict=lambda f: [f([2.0, 1.5, 1.0], sigma=sigma) for sigma in (0.5, 1.0, 3.0)],
        measure=lambda key: exact([2 * sigma**2 * (1 / 0.5 + 1 / 1.0) for sigma in (0.5, 1.0, 3.0)]),
    ),
    formula(
        "lai_robbins", f"the formula, {TEXT}", lambda f: f(MEANS, 2000).uncapped[upto(AT)], _CONSTANT * np.log(TIME)
    ),
    curve(
        "lai_robbins",
        "the formula, gaps of .02 and .03: nearly 2 mu (1 - mu) / gap",
        lambda f: f(_CLOSE, 2000).uncapped[upto(AT)],
        measure=lambda key: exact(_close_constant() * np.log(TIME)),
    ),
    formula(
        "lai_robbins",
        "the formula, normal rewards of standard deviation 3",
        lambda f: f([2.0, 1.5], 2000, sigma=3.0).uncapped[upto(AT)],
        2 * 9 / 0.5 * np.log(TIME),
    ),
    curve(
        "lai_robbins",
        f"UCB1, {TEXT}",
        lambda f: f(MEANS, 2000).value[upto(AT)],
        measure=simulated(learners.UCB1()),
        relation="lower",
    ),
    curve(
        "lai_robbins",
        f"KL-UCB, {TEXT}",
        lambda f: f(MEANS, 2000).value[upto(AT)],
        measure=simulated(learners.KLUCB()),
        relation="lower",
        inside=False,
        why="T is finite: a learner that is optimal as T grows may lie below the curve before.",
    ),
    formula(
        "thompson_bound",
        f"the formula with epsilon = 1/4, {TEXT}",
        lambda f: f(MEANS, 2000, 0.25).uncapped[upto(AT)],
        1.25 * _CONSTANT * np.log(TIME),
    ),
    curve(
        "thompson_bound",
        "the limit, gaps of .02 and .03: nearly 2 mu (1 - mu) / gap",
        lambda f: f(_CLOSE, 2000).uncapped[upto(AT)],
        measure=lambda key: exact(_close_constant() * np.log(TIME)),
    ),
    curve(
        "thompson_bound",
        f"Thompson sampling, {TEXT}",
        lambda f: f(MEANS, 2000).value[upto(AT)],
        measure=simulated(learners.ThompsonBeta()),
        relation="upper",
    ),
    curve(
        "thompson_bound",
        "Thompson sampling, one arm pays always, the other half the time",
        lambda f: f([1.0, 0.5], 2000).value[upto(AT)],
        measure=simulated(learners.ThompsonBeta(), arms.Bernoulli([1.0, 0.5])),
        relation="upper",
        inside=False,
        why="The term that does not grow with T is left out, and here it is all.",
    ),
)
