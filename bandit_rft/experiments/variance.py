"""Where the variance of a final test Pass@1 comes from: the training question, the training seed, the evaluation.

y_qs = m + question_q + seed_qs + evaluation_qs, random effects of mean 0, seeds within questions. Their variances are
found by the method of moments (analysis of variance; Searle, Casella & McCulloch 1992, ch. 3), none of them cut off at
0, so that each is unbiased.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from bandit_rft.errors import InputError
from bandit_rft.experiments.effects import Effect, mean_effect
from bandit_rft.experiments.outcomes import Outcome

COMPONENTS = ("question", "seed", "evaluation")


def components(outcomes: Sequence[Outcome]) -> dict[str, Effect]:
    """By name of `COMPONENTS`, the variance, with a standard error by leaving out one question at a time (jackknife).

    Args:
        outcomes: one for each training question of a condition, with test questions and two seeds at least.

    Raises:
        InputError: fewer than two questions, or one of them without two seeds and a test.
    """
    final = [outcome.final_test() for outcome in outcomes]
    if len(final) < 2 or any(seeds.size < 2 or not np.isfinite(seeds).all() for seeds in final):
        raise InputError(
            "A variance is split by outcomes of at least 2 questions, each with 2 seeds and a test: run more of them."
        )
    size = np.array([seeds.size for seeds in final])
    mean = np.array([seeds.mean() for seeds in final])
    within = np.array([seeds.var(ddof=1) for seeds in final])
    evaluation = np.array([outcome.evaluation_variance() for outcome in outcomes])

    def between(kept: np.ndarray) -> float:
        # The variance of the questions' means holds that of a mean over seeds.
        return float(mean[kept].var(ddof=1) - (within[kept] / size[kept]).mean())

    return {
        "question": _jackknife(between, len(final)),
        "seed": mean_effect(within - evaluation),
        "evaluation": mean_effect(evaluation),
    }


def _jackknife(statistic: Callable[[np.ndarray], float], units: int) -> Effect:
    """The statistic of all units, with the standard error of its pseudo-values (Tukey 1958); NaN below three units."""
    every = np.arange(units)
    whole = statistic(every)
    if units < 3:
        return Effect(whole, float("nan"), 1, units)
    pseudo = [units * whole - (units - 1) * statistic(np.delete(every, unit)) for unit in every]
    spread = mean_effect(pseudo)
    return Effect(whole, spread.standard_error, spread.freedom, units)
