"""Audit of best-arm identification: the characteristic time by plain optimisation, its bound, sequential halving."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import rel_entr

from bandit_rft import arms
from bandit_rft.best_arm import LUCB, SequentialHalving, TrackAndStop, identify
from simulations.theory_audit.case import Case, Measured, exact, of_seeds

_FOUR = (0.5, 0.45, 0.43, 0.4)  # the first instance of Garivier & Kaufmann's section 6
_PAIRS = ((0.5, 0.4), (0.9, 0.1), (0.6, 0.59))
_NUMBERS = (1, 10, 10**4)
_CLEAR = (0.8, 0.4, 0.3)
_HUGE = 10**100
_SMALL_TABLE = arms.Classes(log_counts=np.log([1, 5, 13]).tolist(), means=[0.9, 0.5, 0.3])


def _d(low: float, high: float) -> float:
    return float(rel_entr(low, high) + rel_entr(1 - low, 1 - high))


def _cost(best: float, rival: float, share: float) -> float:
    mean = (best + share * rival) / (1 + share)
    return _d(best, mean) + share * _d(rival, mean)


def _alike(best: float, rival: float, number: int) -> float:
    """T* with `number` rivals of one mean: the least of (1 + n x)/g(x)."""

    def pulls(log_share: float) -> float:
        return (1 + number * math.exp(log_share)) / _cost(best, rival, math.exp(log_share))

    # Bracketed so widely that the search is for the minimum alone.
    found: Any = minimize_scalar(pulls, bounds=(-12.0, 5.0), method="bounded", options={"xatol": 1e-11})
    return float(found.fun)


def _together(means: tuple[float, ...]) -> float:
    """T* by a general optimiser over the logarithms of the rivals' shares."""

    def pulls(logs: np.ndarray) -> float:
        share = np.exp(logs)
        return (1 + share.sum()) / min(_cost(means[0], mean, x) for mean, x in zip(means[1:], share, strict=True))

    start = np.zeros(len(means) - 1)
    for _ in range(20):
        start = minimize(pulls, start, method="Nelder-Mead", options={"xatol": 1e-10, "fatol": 1e-10}).x
    return pulls(start)


def _confidence(delta: float) -> float:
    return _d(delta, 1 - delta)


def _pulls(rule: TrackAndStop | LUCB, seeds: int, key: int) -> Measured:
    return of_seeds(np.array(identify(arms.Bernoulli(_CLEAR), rule, seeds=seeds, key=key).pulls, float))


def _errors(key: int, table: arms.Classes, budgets: tuple[int, ...], seeds: int) -> Measured:
    wrong = [~identify(table, SequentialHalving(budget), seeds=seeds, key=key).correct for budget in budgets]
    return of_seeds(np.array(wrong, float).T)


def _by_hand(budget: int) -> float:
    """The theorem on the small table, with one gap an arm."""
    gaps = [0.4] * 5 + [0.6] * 13
    hardest = max(place / gap**2 for place, gap in enumerate(gaps, 2))
    return 3 * math.log2(19) * math.exp(-budget / (8 * hardest * math.log2(19)))


_BY_HAND = (1_000, 5_000, 10_000, 20_000)
_BUDGETS = (5_000, 10_000, 20_000)
_HUGE_BUDGETS = tuple(_HUGE * pulls for pulls in (32_000, 40_000))

CASES = (
    *(
        Case(
            entry="best_arm_complexity",
            instance=f"{number} rivals of one mean, three pairs of means: the least of one variable",
            x=range(len(_PAIRS)),
            x_label="pairs .5/.4, .9/.1, .6/.59",
            y_label="T*, in pulls per nat",
            predict=lambda f, number=number: [f(pair, counts=[1, number]) for pair in _PAIRS],
            measure=lambda key, number=number: exact([_alike(*pair, number) for pair in _PAIRS]),
            tolerance=1e-6,
            why="The search for the least is good to that.",
        )
        for number in _NUMBERS
    ),
    Case(
        entry="best_arm_complexity",
        instance="four arms of the paper: Nelder-Mead over the weights",
        x=(4,),
        x_label="arms",
        y_label="T*, in pulls per nat",
        predict=lambda f: [f(_FOUR)],
        measure=lambda key: exact([_together(_FOUR)]),
        tolerance=1e-4,
        why="The general optimiser is good to that.",
    ),
    Case(
        entry="best_arm_complexity",
        instance="10^100 rivals: n / KL(rival, best)",
        x=(1e100,),
        x_label="rivals",
        y_label="T*, in pulls per nat",
        predict=lambda f: [f((0.5, 0.4), counts=[1, 1e100])],
        measure=lambda key: exact([1e100 / _d(0.4, 0.5)]),
    ),
    Case(
        entry="identification_lower",
        instance="the formula, two arms .5 and .4",
        x=(0.3, 0.1, 0.001),
        x_label="delta",
        y_label="pulls",
        predict=lambda f: [f((0.5, 0.4), delta) for delta in (0.3, 0.1, 0.001)],
        measure=lambda key: exact([_alike(0.5, 0.4, 1) * _confidence(delta) for delta in (0.3, 0.1, 0.001)]),
        tolerance=1e-6,
        why="The search for the least is good to that.",
    ),
    Case(
        entry="identification_lower",
        instance="the formula, 10^4 rivals of one mean, three pairs of means",
        x=range(len(_PAIRS)),
        x_label="pairs .5/.4, .9/.1, .6/.59",
        y_label="pulls",
        predict=lambda f: [f(pair, 0.1, counts=[1, 10**4]) for pair in _PAIRS],
        measure=lambda key: exact([_alike(*pair, 10**4) * _confidence(0.1) for pair in _PAIRS]),
        tolerance=1e-6,
        why="The search for the least is good to that.",
    ),
    Case(
        entry="identification_lower",
        instance="the formula, four arms of the paper: Nelder-Mead over the weights",
        x=(0.1,),
        x_label="delta",
        y_label="pulls",
        predict=lambda f: [f(_FOUR, 0.1)],
        measure=lambda key: exact([_together(_FOUR) * _confidence(0.1)]),
        tolerance=1e-4,
        why="The general optimiser is good to that.",
    ),
    Case(
        entry="identification_lower",
        instance="track-and-stop, Bernoulli .8, .4, .3",
        x=(0.1,),
        x_label="delta",
        y_label="pulls",
        predict=lambda f: [f(_CLEAR, 0.1)],
        measure=lambda key: _pulls(TrackAndStop(delta=0.1), 200, key),
        relation="lower",
    ),
    Case(
        entry="identification_lower",
        instance="LUCB, Bernoulli .8, .4, .3",
        x=(0.1,),
        x_label="delta",
        y_label="pulls",
        predict=lambda f: [f(_CLEAR, 0.1)],
        measure=lambda key: _pulls(LUCB(delta=0.1), 200, key),
        relation="lower",
    ),
    Case(
        entry="identification_lower",
        instance="LUCB with epsilon = .5: it may name an arm that is not best",
        x=(0.1,),
        x_label="delta",
        y_label="pulls",
        predict=lambda f: [f((0.5, 0.45, 0.44), 0.1)],
        measure=lambda key: of_seeds(
            np.array(
                identify(arms.Bernoulli([0.5, 0.45, 0.44]), LUCB(0.1, epsilon=0.5), seeds=200, key=key).pulls, float
            )
        ),
        relation="lower",
        inside=False,
        why="The rule is not delta-correct for the best arm: an arm within epsilon of it will do.",
    ),
    Case(
        entry="sequential_halving_bound",
        instance="the theorem arm by arm, nineteen arms",
        x=_BY_HAND,
        x_label="budget, in pulls",
        y_label="probability of a wrong arm",
        predict=lambda f: [f([0.9, 0.5, 0.3], budget, [1, 5, 13]) for budget in _BY_HAND],
        measure=lambda key: exact([min(1.0, _by_hand(budget)) for budget in _BY_HAND]),
    ),
    Case(
        entry="sequential_halving_bound",
        instance="sequential halving, nineteen arms",
        x=_BUDGETS,
        x_label="budget, in pulls",
        y_label="probability of a wrong arm",
        predict=lambda f: [f([0.9, 0.5, 0.3], budget, [1, 5, 13]) for budget in _BUDGETS],
        measure=lambda key: _errors(key, _SMALL_TABLE, _BUDGETS, 400),
        relation="upper",
    ),
    Case(
        entry="sequential_halving_bound",
        instance="sequential halving, one arm of mean .9 among 10^100 of mean .1",
        x=tuple(float(budget) for budget in _HUGE_BUDGETS),
        x_label="budget, in pulls",
        y_label="probability of a wrong arm",
        predict=lambda f: [f([0.9, 0.1], float(budget), [1, 1e100]) for budget in _HUGE_BUDGETS],
        measure=lambda key: _errors(
            key, arms.Classes(log_counts=[0.0, 100 * math.log(10)], means=[0.9, 0.1]), _HUGE_BUDGETS, 40
        ),
        relation="upper",
    ),
)
