"""Explicit tables of Bernoulli arms, played by many seeds at once: what the rules of a fixed confidence share.

Seed s draws its arms' order and one uniform number a pull from a generator of its own, so that a seed does not depend
on its neighbours. The order is uniform, hence a tie that falls to the first arm is a tie broken at random.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bandit_rft.arms.classes import Classes
from bandit_rft.errors import InputError

MOST_ARMS = 1000
_BLOCK = 512


class Play:
    """S seeds' counts. Every array is of the seeds still running, in the order of `running`.

    Attributes:
        mean: float64 [S, K], true means in each seed's order of the arms.
        pulls, total: float64 [S, K], pulls and summed rewards of each arm.
        running: int [S], which seeds these are.
    """

    def __init__(self, means: np.ndarray, seeds: int, key: int) -> None:
        self._generators = [np.random.default_rng([key, seed]) for seed in range(seeds)]
        self.mean = np.stack([generator.permutation(means) for generator in self._generators])
        self.pulls, self.total = np.zeros_like(self.mean), np.zeros_like(self.mean)
        self.running = np.arange(seeds)
        self._uniform, self._used = np.empty((seeds, 0)), 0

    @property
    def empirical(self) -> np.ndarray:
        """float64 [S, K], the empirical means; 0 where nothing was pulled."""
        return self.total / np.maximum(self.pulls, 1)

    @property
    def time(self) -> float:
        """Pulls so far: of every seed the same."""
        return float(self.pulls[0].sum())

    def pull(self, arm: np.ndarray) -> None:
        """Pull one arm a seed, int [S]."""
        if self._used == self._uniform.shape[1]:
            self._uniform = np.stack([self._generators[seed].random(_BLOCK) for seed in self.running])
            self._used = 0
        every = np.arange(arm.size)
        reward = self._uniform[:, self._used] < self.mean[every, arm]
        self._used += 1
        self.pulls[every, arm] += 1
        self.total[every, arm] += reward

    def keep(self, going: np.ndarray) -> None:
        """Only these seeds go on, bool [S]."""
        self.mean, self.pulls, self.total = self.mean[going], self.pulls[going], self.total[going]
        self.running, self._uniform = self.running[going], self._uniform[going]


def means_of(arms: Any, rule: str) -> np.ndarray:
    """float64 [K], the means of an explicit Bernoulli table.

    Raises:
        InputError: no table of Bernoulli arms with fixed means, more than 1000 arms, fewer than two, or two best ones.
    """
    if not isinstance(arms, Classes) or arms.sigma is not None:
        raise InputError(f"{rule} is for Bernoulli arms with fixed means (Bernoulli, Classes): give such a table.")
    if arms.log_arms > np.log(MOST_ARMS) + 1e-9:
        raise InputError(
            f"{rule} has to pull every arm to be sure of the best, and there are 10^{arms.log_arms / np.log(10):.4g} "
            f"of them: give at most {MOST_ARMS}, or take SequentialHalving."
        )
    counts = np.rint(np.exp(np.asarray(arms.log_counts))).astype(int)
    means = np.repeat(np.asarray(arms.means, dtype=np.float64), counts)
    if means.size < 2:
        raise InputError(f"{rule} looks for the best of at least two arms: this table has one.")
    if np.sum(means == means.max()) > 1:
        raise InputError(f"{rule} stops when one arm is best, and the largest mean is that of several: give one.")
    return means


def until_stopped(
    play: Play, step: Callable[[Play], tuple[np.ndarray, list[np.ndarray]]], most_pulls: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Play until every seed has stopped.

    Args:
        play: the seeds, each arm pulled once.
        step: play -> (bool [S], which seeds stop; the arms to pull next in each seed, one int [S] array a pull).
        most_pulls: pulls after which a seed is given up.

    Returns:
        int64 [S] pulls, bool [S] whether the arm of the largest empirical mean is the best, bool [S] whether the rule
        stopped by itself.
    """
    seeds = play.running.size
    pulls, correct, stopped = np.zeros(seeds, np.int64), np.zeros(seeds, bool), np.zeros(seeds, bool)
    while play.running.size:
        stop, choices = step(play)
        time = play.time
        over = stop | (time + len(choices) > most_pulls)
        named = np.argmax(play.empirical, axis=1)
        right = play.mean[np.arange(named.size), named] == play.mean.max(axis=1)
        ended = play.running[over]
        pulls[ended], correct[ended], stopped[ended] = int(time), right[over], stop[over]
        play.keep(~over)
        if play.running.size:
            for arm in choices:
                play.pull(arm[~over])
    return pulls, correct, stopped
