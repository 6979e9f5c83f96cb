"""Simulations that the bounds are held against, and the cases that hold them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bandit_rft import arms, run
from simulations.theory_audit.case import Case, Measured, exact, joined, of_seeds

AT = (100, 300, 1000, 2000)
RUNS = (100, 300, 1000)
TIME = np.asarray(AT, dtype=float)
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
NOISE = "Normal rewards of standard deviation 3: they leave [0, 1] and its tails."
MOVES = "The arms change places every 100 rounds, and regret is against the best of the moment."


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


def curve(entry: str, instance: str, predict: Any, **more: Any) -> Case:
    """A case over the rounds AT."""
    return Case(
        entry=entry, instance=instance, **({"x": AT, "x_label": ROUNDS, "y_label": REGRET, "predict": predict} | more)
    )


def formula(entry: str, instance: str, predict: Any, measured: Any) -> Case:
    """A case over the rounds AT against numbers written out."""
    return curve(entry, instance, predict, measure=lambda key: exact(measured))


def simulated(learner: Any, table: Any = ARMS, seeds: int = 100) -> Callable[[int], Measured]:
    """What a learner's regret at AT is, as a case's measure."""
    return lambda key: regret_curve(table, learner, AT, seeds, key)


def anytime_learner(
    entry: str, instance: str, predict: Any, table: Any, learner: Any, seeds: int = 100, **more: Any
) -> Case:
    """A learner without a horizon: its regret at AT."""
    return curve(
        entry,
        instance,
        lambda f: predict(f).value[upto(AT)],
        **({"measure": simulated(learner, table, seeds), "relation": "upper"} | more),
    )


def tuned_learner(
    entry: str, instance: str, predict: Any, table: Any, learner: Any, seeds: int = 100, **more: Any
) -> Case:
    """A learner tuned to its horizon: its regret after a run of each length."""
    factory = learner if not hasattr(learner, "bind") else lambda _: learner
    tuned = {
        "x": RUNS,
        "measure": lambda key: regret_of_runs(table, factory, RUNS, seeds, key),
        "predict": lambda f: predict(f).value[upto(RUNS)],
    }
    return dataclasses.replace(anytime_learner(entry, instance, predict, table, learner, **more), **tuned)
