"""Where the variance of a final test Pass@1 comes from: the training question, the training seed, the evaluation.

y_qs = m + question_q + seed_qs + evaluation_qs, random effects of mean 0, seeds within questions. Questions of several
base models or tasks have an m for each: how these differ is no part of the question's variance. The variances are
found by the method of moments (analysis of variance; Searle, Casella & McCulloch 1992, ch. 3), none of them cut off at
0, so that each is unbiased.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence

import numpy as np

from bandit_rft.errors import InputError
from bandit_rft.experiments.effects import Effect, mean_effect
from bandit_rft.experiments.outcomes import Outcome

COMPONENTS = ("question", "seed", "evaluation")


def components(outcomes: Sequence[Outcome], cells: Sequence[Hashable] | None = None) -> dict[str, Effect]:
    """By name of `COMPONENTS`, the variance, with a standard error by leaving out one question at a time (jackknife).

    Args:
        outcomes: one for each training question of a condition, with test questions and two seeds at least.
        cells: of each outcome, the base model and task that it is of, or any other name of what has a mean of its own;
            None: they are all of one.

    Raises:
        InputError: no cell of two questions, or a question without two seeds and a test.
    """
    final = [outcome.final_test() for outcome in outcomes]
    names: list[Hashable] = [None] * len(final) if cells is None else list(cells)
    cell = np.array([names.index(name) for name in names])
    if len(set(names)) == len(final) or any(seeds.size < 2 or not np.isfinite(seeds).all() for seeds in final):
        raise InputError(
            "A variance is split by outcomes of at least 2 questions of a base model and task, each with 2 seeds and a "
            "test: run more of them."
        )
    size = np.array([seeds.size for seeds in final])
    mean = np.array([seeds.mean() for seeds in final])
    within = np.array([seeds.var(ddof=1) for seeds in final])
    evaluation = np.array([outcome.evaluation_variance() for outcome in outcomes])

    def between(kept: np.ndarray) -> float:
        # Squares of the questions' means about their cell's hold the variance of a mean over seeds, each as often as
        # its question counts in them: 1 - 1/n in a cell of n.
        squares, freedom = 0.0, kept.size - np.unique(cell[kept]).size
        for one in np.unique(cell[kept]):
            some = kept[cell[kept] == one]
            noise = (within[some] / size[some]).sum() * (1 - 1 / some.size)
            squares += float(((mean[some] - mean[some].mean()) ** 2).sum() - noise)
        return squares / freedom if freedom else math.nan

    return {
        "question": _jackknife(between, len(final)),
        "seed": mean_effect(within - evaluation),
        "evaluation": mean_effect(evaluation),
    }


def _jackknife(statistic: Callable[[np.ndarray], float], units: int) -> Effect:
    """The statistic of all units, with the standard error of its pseudo-values (Tukey 1958); NaN where the statistic
    of all units but one is not known."""
    every = np.arange(units)
    whole = statistic(every)
    pseudo = np.array([units * whole - (units - 1) * statistic(np.delete(every, unit)) for unit in every])
    if not np.isfinite(pseudo).all():
        return Effect(whole, math.nan, 1, units)
    spread = mean_effect(pseudo)
    return Effect(whole, spread.standard_error, spread.freedom, units)
