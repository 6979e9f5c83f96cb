"""Simulations that the bounds are held against."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bandit_rft import arms, run
from simulations.theory_audit.case import Measured, joined, of_seeds

ROUNDS = "rounds T"
REGRET = "pseudo-regret, in rewards"

# Three arms, a textbook's worth of gap: .3 and .4 below the best.
MEANS = (0.9, 0.6, 0.5)
GAPS = np.array([0.3, 0.4])
ARMS = arms.Bernoulli(MEANS)
TEXT = "Bernoulli .9, .6, .5"
# The same means in noise that no reward in [0, 1] can have.
NOISY = arms.Gaussian(MEANS, sigma=3.0)
# Whose best arm changes places, so that no fixed arm is best.
MOVING = arms.Drifting(ARMS, changes=tuple(range(100, 4000, 100)))


def regret_curve(table: Any, learner: Any, at: Sequence[int], seeds: int, key: int) -> Measured:
    """Pseudo-regret after each T of `at`, of one run."""
    history = run(table, learner, rounds=max(at), seeds=seeds, key=key)
    return of_seeds(history.regret()[:, np.asarray(at) - 1])


def regret_of_runs(
    table: Any, learner_for: Callable[[int], Any], horizons: Sequence[int], seeds: int, key: int
) -> Measured:
    """Pseudo-regret at the end of a run of each length: for learners that are tuned to their horizon."""
    ends = [regret_curve(table, learner_for(rounds), (rounds,), seeds, key) for rounds in horizons]
    return joined(ends)


def upto(rounds: Sequence[float]) -> np.ndarray:
    """Where a bound's arrays hold these rounds, all of 1 .. max being shown."""
    return np.asarray(rounds, dtype=int) - 1
