"""The law of policy gradient on a tree of decisions for one rollout of the raw reward, by its successes.

A success takes a path of the tree; its score moves the logits x of all edges through the kernel, x += η A u with u the
sum over the path's decisions of (edge taken) − q. The laws on trees average over random paths (here) or rounds
(`tree_rounds_law`) that they draw from a generator of their own, always the same: that is how they integrate, as others
do by quadrature.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from bandit_rft.errors import InputError
from bandit_rft.theory.laws.jump_law import ChainCurves, Moments, chain_moments, chain_sample
from bandit_rft.theory.laws.tree_round import pick
from bandit_rft.theory.prediction import Curves, Means
from bandit_rft.theory.response_tree import ResponseTree

__all__ = ["DRAWN", "LONGEST", "TreeJumpLaw", "check_length"]

_WALKS = 256  # random sequences of successes that the jump law averages over
_WAITS = 16_384  # draws of the waits, for quantiles, spread over the walks
_MOST_STATES = 200_000
_TRIM = 1e-20  # probability below which a state is left out
LONGEST = 100_000  # rounds that are stepped through
DRAWN = np.random.SeedSequence(12)  # of every law's own generator


class TreeJumpLaw:
    """One rollout a round, raw reward: p after n successes along random paths, and Geometric(p_n) waits between them.

    Args:
        tree: the policy at the start.
        step_size: η.
        walks: random paths.
    """

    pulls = 1  # a round
    searched = 20_000  # rounds in which a mean curve's way to a level is looked for

    def __init__(self, tree: ResponseTree, step_size: float, *, walks: int = _WALKS) -> None:
        if np.count_nonzero(tree.leaf_reward) == 1:
            walks = 1  # every success takes the same path, and so would all walks
        self.tree, self.step_size, self._walks = tree, step_size, walks
        self._moments: Moments | None = None  # of as many rounds as were ever asked for: the first are the same
        self._table = np.empty((walks, 0))
        self._logits = np.repeat(tree.log_prob[None], walks, axis=0)
        self._generator = np.random.default_rng(DRAWN)

    def on(self, tree: ResponseTree, draws: int) -> TreeJumpLaw:
        """The same learner's law on another tree, a mean over so many walks."""
        return TreeJumpLaw(tree, self.step_size, walks=draws)

    def success(self, count: int) -> np.ndarray:
        """p after 0 .. count - 1 successes, float64 [walks, count]."""
        have = self._table.shape[1]
        if have < count:
            more, self._logits = self._advance(self._logits, self._balanced, max(count - have, 32))
            self._table = np.concatenate([self._table, more], axis=1)
        return self._table[:, :count]

    def _balanced(self, walks: int) -> np.ndarray:
        """Uniform [W], one in each W-th of (0, 1) in random order (a Latin hypercube, McKay, Beckman and Conover 1979):
        so the walks' successes are as likely as they should be, where independent ones are so up to 1/√W.
        """
        return (self._generator.permutation(walks) + self._generator.random(walks)) / walks

    def _advance(
        self, logits: np.ndarray, uniform: Callable[[int], np.ndarray], steps: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """(p before each of so many successes [W, steps], logits [W, E] after them)."""
        found = np.empty((logits.shape[0], steps))
        kernel = self.step_size * self.tree.gram
        for n in range(steps):
            walks = self.tree.walks(logits)
            right = walks.path * self.tree.leaf_reward
            found[:, n] = np.minimum(right.sum(axis=1), 1.0)
            leaf = pick(right, uniform(logits.shape[0])[:, None])[:, 0]
            logits = logits + self.tree.score(walks, leaf) @ kernel
        return found, logits

    def curves(self, rounds: int) -> ChainCurves:
        """Every round.

        Raises:
            InputError: more than 100,000 rounds.
        """
        check_length(rounds)
        if self._moments is None or self._moments.value.size < rounds:
            success = self.success(rounds + 1)
            self._moments = chain_moments(success, 1.0 - success, rounds)
        found = Moments(*(part[:rounds] for part in self._moments))
        return ChainCurves(None, found.value, np.cumsum(found.gap), found.value_sd, found.regret_sd, found.value_jump)

    def mean_time(self, level: float, most: int) -> float:
        """First round of the first `most` at which the mean over runs of p is at the level, else inf."""
        if -math.expm1(most * math.log1p(-self.tree.p0)) < level:
            return math.inf  # too many runs have had no success yet
        return next((float(t) for t, p in zip(range(most), self._means(), strict=False) if p >= level), math.inf)

    def means(self, rounds: int) -> Means:
        """Of so many rounds."""
        value = np.fromiter(self._means(), np.float64, rounds)
        return Means(value, np.cumsum(1.0 - value), None)

    def _means(self) -> Iterator[float]:
        """The mean over runs of p, round by round: the recursion of `curves` for the mean alone, as far as asked."""
        states = 64
        success, state = self.success(states), np.zeros((self._walks, states + 1))
        state[:, 0] = 1.0 / self._walks
        low, high = 0, 1
        while True:
            if high > states:
                state = np.pad(state, ((0, 0), (0, states)))
                states *= 2
                success = self.success(states)
            p, live = success[:, low:high], state[:, low:high]
            yield float(np.vdot(live, p))
            moving = live * p
            live -= moving
            state[:, low + 1 : high + 1] += moving
            high += state[:, high].max() >= _TRIM
            low += state[:, low].max() < _TRIM and low < high - 1

    def _below(self, level: float, most: int) -> np.ndarray:
        """p of the states below the level, float64 [walks, N], and NaN where a walk is already there; a walk that takes
        over `most` successes is below in the last of them.
        """
        count = min(64, most)
        while True:
            success = self.success(count)
            below = np.maximum.accumulate(success, axis=1) < level
            if count >= most or not below[:, -1].any():
                return np.where(below, success, np.nan)
            count = min(4 * count, most)

    def mean_hitting_time(self, level: float) -> float:
        """The mean over walks of the sum of 1/p_n below the level.

        Raises:
            InputError: more than 200,000 successes.
        """
        with np.errstate(over="ignore"):  # p below 1e-308
            return float(np.nansum(1.0 / self._before(level), axis=1).mean())

    def hitting_time_quantile(self, level: float, q: float) -> float:
        """By 16,384 draws of the waits; raises as `mean_hitting_time`."""
        return float(np.quantile(self._waited(self._before(level)), q, method="inverted_cdf"))

    def _before(self, level: float) -> np.ndarray:
        """`_below` of walks that all arrive."""
        states = self._below(level, _MOST_STATES)
        if np.isfinite(states[:, -1]).any():
            raise InputError(
                f"level = {level!r} needs over {_MOST_STATES} successes at this step size: ask for a lower level."
            )
        return states

    def arrivals(self, level: float) -> np.ndarray:
        """First round at the level of 16,384 drawn runs, inf where that takes over 20,000 successes."""
        return self._waited(self._below(level, self.searched + 1))

    def mean_pulls(self, level: float) -> float:
        """Responses before the level, one a round; raises as `mean_hitting_time`."""
        return self.mean_hitting_time(level)

    def hits(self, level: float, within: int, share: float = 1.0) -> np.ndarray:
        """First round at the level of 16,384 drawn runs, inf where it is none of the first `within`."""
        del share
        times = self._waited(self._below(level, within + 1))
        return np.where(times < within, times, math.inf)

    def _waited(self, states: np.ndarray) -> np.ndarray:
        """Sums of geometric waits in the states [walks, N], NaN where a walk is at the level, and inf where its last
        state is below; [draws, walks].
        """
        draws = max(1, _WAITS // self._walks)
        times = np.zeros((draws, states.shape[0]))
        late = np.isfinite(states[:, -1])
        times[:, late] = math.inf
        if late.all():
            return times
        generator = np.random.default_rng(DRAWN)
        for column in range(states.shape[1]):
            p = states[:, column]
            live = np.flatnonzero(np.isfinite(p))
            if not live.size:
                break
            with np.errstate(over="ignore"):  # p below 1e-308
                times[:, live] += np.ceil(np.log1p(-generator.random((draws, live.size))) / np.log1p(-p[live]))
        return times

    def sample(self, generator: np.random.Generator, seeds: int, at: np.ndarray) -> Curves:
        """`seeds` independent runs, each along a path of its own."""
        check_length(int(at[-1]) + 1)
        start = np.repeat(self.tree.log_prob[None], seeds, axis=0)
        success, _ = self._advance(start, generator.random, int(at[-1]) + 2)
        return chain_sample(success, 1.0 - success, generator, seeds, at)

    def value_quantile(self, q: float, at: np.ndarray) -> np.ndarray:
        """Of `drawn_values`."""
        return np.quantile(self.drawn_values(at), q, axis=0, method="inverted_cdf")

    def drawn_values(self, at: np.ndarray) -> np.ndarray:
        """p before the update of the rounds `at` (increasing) in 4,096 drawn runs, float64 [runs, len(at)].

        Raises:
            InputError: more than 100,000 rounds.
        """
        check_length(int(at[-1]) + 1)
        drawn = 16 if self._walks > 1 else 4096
        success = np.repeat(self.success(int(at[-1]) + 2), drawn, axis=0)
        return chain_sample(success, 1.0 - success, np.random.default_rng(DRAWN), success.shape[0], at).value

    def value_given_rewards(self, rewards: np.ndarray) -> np.ndarray | None:
        """None: the tree is a sample of the policy."""
        del rewards


def check_length(rounds: int) -> None:
    """Raises InputError for more rounds than a law on a tree steps through."""
    if rounds > LONGEST:
        raise InputError(f"rounds is {rounds}: the tree law steps through {LONGEST:,} rounds at most.")
