"""Runs a rule of best-arm identification over seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bandit_rft import arguments
from bandit_rft.best_arm.explicit_table import Play, means_of, until_stopped
from bandit_rft.best_arm.halving import SequentialHalving
from bandit_rft.best_arm.lucb import LUCB
from bandit_rft.best_arm.track_and_stop import TrackAndStop
from bandit_rft.errors import InputError

Rule = LUCB | TrackAndStop | SequentialHalving


@dataclass(frozen=True, kw_only=True, eq=False)
class Identified:
    """What S runs found.

    Attributes:
        correct: bool [S], whether the arm named has the largest mean.
        pulls: S Python integers, pulls made: 10^100 arms need more than an int64 holds.
        stopped: bool [S], whether the rule ended by itself; False where `most_pulls` ended it.
    """

    correct: np.ndarray
    pulls: Sequence[int]
    stopped: np.ndarray

    @property
    def mean_pulls(self) -> float:
        """Average number of pulls of a run; infinity beyond the largest float."""
        try:
            return float(sum(self.pulls) / len(self.pulls))
        except OverflowError:
            return math.inf


def identify(arms: object, rule: Rule, *, seeds: int, key: int, most_pulls: int = 10**6) -> Identified:
    """Look for the best arm in S independent runs.

    Args:
        arms: a table of Bernoulli arms with fixed means: Bernoulli or Classes (and Needle, under SequentialHalving).
        rule: `TrackAndStop`, `LUCB` or `SequentialHalving`.
        seeds: S ≥ 1, independent runs.
        key: a whole number of at least 0; seed s depends on it and on s alone.
        most_pulls: pulls after which a rule of fixed confidence is given up; SequentialHalving has its budget.

    Raises:
        InputError: arms or a rule that do not fit, an argument out of range, or a budget too small for the arms.

    Example:
        >>> from bandit_rft import arms
        >>> from bandit_rft.best_arm import SequentialHalving, identify
        >>> table = arms.Needle(log10_arms=100, p0=0.5)
        >>> bool(identify(table, SequentialHalving(10**103), seeds=2, key=0).correct.all())
        True
    """
    seeds, key = arguments.whole("seeds", seeds), arguments.whole("key", key, 0)
    if isinstance(rule, SequentialHalving):
        runs = [rule.play(arms, np.random.default_rng([key, seed])) for seed in range(seeds)]
        best = getattr(arms, "best_mean")  # noqa: B009 - `play` has seen to it that this is a table
        correct = np.array([mean == best for mean, _ in runs])
        return Identified(correct=correct, pulls=[pulls for _, pulls in runs], stopped=np.ones(seeds, bool))
    if not isinstance(rule, (LUCB, TrackAndStop)):
        raise InputError(
            f"{type(rule).__name__} is no rule for the best arm: give TrackAndStop, LUCB, SequentialHalving."
        )
    means = means_of(arms, type(rule).__name__)
    play = Play(means, seeds, key)
    for arm in range(means.size):
        play.pull(np.full(seeds, arm))
    pulls, correct, stopped = until_stopped(play, rule.step, arguments.whole("most_pulls", most_pulls, means.size))
    return Identified(correct=correct, pulls=pulls.tolist(), stopped=stopped)
