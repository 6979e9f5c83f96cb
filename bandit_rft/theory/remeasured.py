"""What other measurements of the same size would have predicted: the error of measuring, for half-times and verdicts.

A prediction is drawn again from what was measured (the bootstrap): its law on trees of as many responses, drawn from
the measured ones with replacement; or, where only p0 and κ are known, with p0 from its Jeffreys posterior and κ
log-normal with the mean and the standard error that were measured, drawn independently of p0. Responses of a kind that
the measurement never saw are in no resample.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from bandit_rft.theory.forests import ForestSample
from bandit_rft.theory.laws.tree_law import TreeJumpLaw
from bandit_rft.theory.laws.tree_rounds_law import TreeRoundsLaw
from bandit_rft.theory.prediction import Means, Prediction
from bandit_rft.theory.sampled_tree import TreeSample
from bandit_rft.theory.summary import Summary

__all__ = ["RESAMPLES", "remeasured", "resampled_laws"]

RESAMPLES = 40
_DRAWS = {TreeJumpLaw: 32, TreeRoundsLaw: 128}  # walks or runs behind the mean curve of each resample


@functools.lru_cache(maxsize=2)
def resampled_laws(
    law: TreeJumpLaw | TreeRoundsLaw, sample: TreeSample | ForestSample
) -> tuple[TreeJumpLaw | TreeRoundsLaw | None, ...]:
    """The law on trees of as many responses, drawn from these with replacement; None where such a tree has no decision.

    Equal arguments give the same laws, which keep what they have drawn.
    """
    generator = np.random.default_rng(0)
    trees = [sample.resampled(generator) for _ in range(RESAMPLES)]
    return tuple(None if tree is None else law.on(tree, _DRAWS[type(law)]) for tree in trees)


def remeasured(
    found: Prediction, summary: Summary, predict: Callable[[Summary], Prediction]
) -> Callable[[], tuple[Means, ...]] | None:
    """How to compute the mean curves that other measurements would have predicted; None where nothing was measured.

    Args:
        found: the prediction; one that does not show every round has none.
        summary: what it was made of.
        predict: the same prediction for another p0 and κ.
    """
    if found.value.size != found.rounds:
        return None
    if isinstance(found.law, (TreeJumpLaw, TreeRoundsLaw)):
        return None if summary.sample is None else functools.partial(_of_trees, found.law, summary.sample, found.rounds)
    return functools.partial(_of_numbers, summary, predict) if summary.responses else None


def _of_trees(law: TreeJumpLaw | TreeRoundsLaw, sample: TreeSample | ForestSample, rounds: int) -> tuple[Means, ...]:
    flat = np.full(rounds, float(round(law.tree.p0)))  # no decision: what is all right or all wrong stays so
    still = Means(flat, law.pulls * np.cumsum(1.0 - flat), None)
    return tuple(still if other is None else other.means(rounds) for other in resampled_laws(law, sample))


def _of_numbers(summary: Summary, predict: Callable[[Summary], Prediction]) -> tuple[Means, ...]:
    generator = np.random.default_rng(0)
    right = summary.p0 * summary.responses
    p0 = generator.beta(right + 0.5, summary.responses - right + 0.5, RESAMPLES)
    relative = summary.kappa_standard_error / summary.kappa
    spread = math.sqrt(math.log1p(relative**2)) if math.isfinite(relative) else 0.0
    kappa = summary.kappa * np.exp(spread * generator.standard_normal(RESAMPLES) - spread**2 / 2.0)
    # Far in the tails p0 may come out as 0 or 1, from which no law starts.
    log_p0 = np.log(np.clip(p0, 1e-300, 1.0 - 1e-12))
    others = (predict(replace(summary, log_p0=float(p), kappa=float(k))) for p, k in zip(log_p0, kappa, strict=True))
    return tuple(Means(one.value, one.regret, one.reward) for one in others)
