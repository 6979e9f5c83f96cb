"""Laws of policy gradient on a tree of decisions: by successes for one rollout of the raw reward, else by rounds.

A success takes a path of the tree; its score moves the logits x of all edges through the kernel, x += η A u with u the
sum over the path's decisions of (edge taken) − q. Both laws average over random paths (or rounds) that they draw from a
generator of their own, always the same: that is how they integrate, as others do by quadrature.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from bandit_rft.errors import InputError
from bandit_rft.theory.laws.jump_law import ChainCurves, chain_moments, chain_sample
from bandit_rft.theory.prediction import Curves
from bandit_rft.theory.response_tree import ResponseTree, Walks

__all__ = ["LONGEST", "TreeJumpLaw", "TreeRoundsLaw"]

_WALKS = 256  # random sequences of successes that the jump law averages over
_WAITS = 16_384  # draws of the waits, for quantiles, spread over the walks
_RUNS = 1024  # simulated runs behind the law by rounds
_MOST_STATES = 200_000
_TRIM = 1e-20  # probability below which a state is left out
LONGEST = 100_000  # rounds that are stepped through
_DRAWN = np.random.SeedSequence(12)


def _pick(weights: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """int [W, G]: columns of weights [W, L] drawn in proportion, by uniform [W, G]."""
    total = np.cumsum(weights, axis=1)
    drawn = uniform * total[:, -1:]
    return np.minimum((total[:, None, :] <= drawn[:, :, None]).sum(axis=2), weights.shape[1] - 1)


class TreeJumpLaw:
    """One rollout a round, raw reward: p after n successes along random paths, and Geometric(p_n) waits between them.

    Args:
        tree: the policy at the start.
        step_size: η.
        walks: random paths.
    """

    searched = 20_000  # rounds in which a mean curve's way to a level is looked for

    def __init__(self, tree: ResponseTree, step_size: float, *, walks: int = _WALKS) -> None:
        if np.count_nonzero(tree.leaf_reward) == 1:
            walks = 1  # every success takes the same path, and so would all walks
        self.tree, self.step_size, self._walks = tree, step_size, walks
        self._table = np.empty((walks, 0))
        self._logits = np.repeat(tree.log_prob[None], walks, axis=0)
        self._generator = np.random.default_rng(_DRAWN)

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
            leaf = _pick(right, uniform(logits.shape[0])[:, None])[:, 0]
            logits = logits + self.tree.score(walks, leaf) @ kernel
        return found, logits

    def curves(self, rounds: int) -> ChainCurves:
        """Every round.

        Raises:
            InputError: more than 100,000 rounds.
        """
        _check_length(rounds)
        success = self.success(rounds + 1)
        found = chain_moments(success, 1.0 - success, rounds)
        return ChainCurves(None, found.value, np.cumsum(found.gap), found.value_sd, found.regret_sd, found.value_jump)

    def mean_time(self, level: float, most: int) -> float:
        """First round of the first `most` at which the mean over runs of p is at the level, else inf: the recursion of
        `curves` for the mean alone, that ends when it is there.
        """
        states = 64
        success, state = self.success(states), np.zeros((self._walks, states + 1))
        state[:, 0] = 1.0 / self._walks
        low, high = 0, 1
        for t in range(most):
            if high > states:
                state = np.pad(state, ((0, 0), (0, states)))
                states *= 2
                success = self.success(states)
            p, live = success[:, low:high], state[:, low:high]
            if np.vdot(live, p) >= level:
                return float(t)
            moving = live * p
            live -= moving
            state[:, low + 1 : high + 1] += moving
            high += state[:, high].max() >= _TRIM
            low += state[:, low].max() < _TRIM and low < high - 1
        return math.inf

    def _before(self, level: float) -> np.ndarray:
        """p of the states below the level, float64 [walks, N], and NaN where a walk is already there."""
        count = 64
        while True:
            success = self.success(count)
            below = np.maximum.accumulate(success, axis=1) < level
            if not below[:, -1].any():
                return np.where(below, success, np.nan)
            if count >= _MOST_STATES:
                raise InputError(
                    f"level = {level!r} needs over {_MOST_STATES} successes at this step size: ask for a lower level."
                )
            count = min(4 * count, _MOST_STATES)

    def mean_hitting_time(self, level: float) -> float:
        """The mean over walks of the sum of 1/p_n below the level."""
        return float(np.nansum(1.0 / self._before(level), axis=1).mean())

    def hitting_time_quantile(self, level: float, q: float) -> float:
        """By 16,384 draws of the waits."""
        return float(np.quantile(self._waited(self._before(level)), q, method="inverted_cdf"))

    def hits(self, level: float, within: int, share: float = 1.0) -> np.ndarray:
        """First round at the level of 16,384 drawn runs, inf where it is none of the first `within`."""
        del share
        success = self.success(within + 1)
        below = np.maximum.accumulate(success, axis=1) < level
        times = self._waited(np.where(below, success, np.nan))
        return np.where(times < within, times, math.inf)

    def _waited(self, states: np.ndarray) -> np.ndarray:
        """Sums of geometric waits in the states [walks, N], NaN where a walk has none; [draws, walks]."""
        draws = max(1, _WAITS // self._walks)
        times = np.zeros((draws, states.shape[0]))
        generator = np.random.default_rng(_DRAWN)
        for column in range(states.shape[1]):
            p = states[:, column]
            live = np.flatnonzero(np.isfinite(p))
            if not live.size:
                break
            times[:, live] += np.ceil(np.log1p(-generator.random((draws, live.size))) / np.log1p(-p[live]))
        return times

    def sample(self, generator: np.random.Generator, seeds: int, at: np.ndarray) -> Curves:
        """`seeds` independent runs, each along a path of its own."""
        _check_length(int(at[-1]) + 1)
        start = np.repeat(self.tree.log_prob[None], seeds, axis=0)
        success, _ = self._advance(start, generator.random, int(at[-1]) + 2)
        return chain_sample(success, 1.0 - success, generator, seeds, at)

    def value_quantile(self, q: float, at: np.ndarray) -> np.ndarray:
        """By 4,096 draws."""
        _check_length(int(at[-1]) + 1)
        drawn = 16 if self._walks > 1 else 4096
        success = np.repeat(self.success(int(at[-1]) + 2), drawn, axis=0)
        found = chain_sample(success, 1.0 - success, np.random.default_rng(_DRAWN), success.shape[0], at)
        return np.quantile(found.value, q, axis=0, method="inverted_cdf")

    def value_given_rewards(self, rewards: np.ndarray) -> np.ndarray | None:
        """None: the tree is a sample of the policy."""
        del rewards


@dataclass
class _Between:
    """What one round hands to the next: scores that are not heard yet, and the questions of the epoch.

    Attributes:
        late: [R, L] each, oldest first.
        order: int [R, N], the epoch's order; None before the first.
        place: of the next question in it.
    """

    late: deque[np.ndarray] = field(default_factory=deque)
    order: np.ndarray | None = None
    place: int = 0

    def next_questions(self, count: int, taken: int, runs: int, generator: np.random.Generator) -> np.ndarray:
        """int [R, taken], of `count` questions."""
        if self.order is None or self.place + taken > count:
            self.order, self.place = generator.random((runs, count)).argsort(axis=1), 0
        self.place += taken
        return self.order[:, self.place - taken : self.place]


class TreeRoundsLaw:
    """Any signal and number of rollouts, by simulated rounds of the policy on the tree: 1,024 runs of it.

    Args:
        tree: the policy at the start.
        move: for a tree and so many runs, a function from the mean update score [runs, E] to the move of the logits
            [runs, E].
        signal: rewards float [runs, G] -> signals [runs, G].
        rollouts: G.
        kl_coefficient: β of a KL term to the start, by its exact gradient.
        delay: rounds from a response to its reward; its score is taken when the reward is heard.
        epochs: steps on the responses of a round, each with the scores of its moment and without an importance ratio.
        questions: B, of which a round takes so many, all different, with G rollouts each: the edges of the root, in a
            new order each epoch, what is left at its end left out; 0: the root is a decision like any other.
        runs: simulated.
    """

    searched = 4096  # rounds in which the way to a level is looked for: each is simulated in every run

    def __init__(
        self,
        tree: ResponseTree,
        move: Callable[[ResponseTree, int], Callable[[np.ndarray], np.ndarray]],
        signal: Callable[[np.ndarray], np.ndarray],
        rollouts: int,
        *,
        kl_coefficient: float = 0.0,
        delay: int = 0,
        epochs: int = 1,
        questions: int = 0,
        runs: int = _RUNS,
    ) -> None:
        self.tree, self.signal, self.rollouts, self.kl_coefficient = tree, signal, rollouts, kl_coefficient
        self.move, self.delay, self.epochs, self.questions, self.runs = move, delay, epochs, questions, runs
        self._start()

    @property
    def pulls(self) -> int:
        """Responses of a round."""
        return self.rollouts * max(1, self.questions)

    def on(self, tree: ResponseTree, draws: int) -> TreeRoundsLaw:
        """The same learner's law on another tree, by so many simulated runs."""
        return TreeRoundsLaw(
            tree,
            self.move,
            self.signal,
            self.rollouts,
            kl_coefficient=self.kl_coefficient,
            delay=self.delay,
            epochs=self.epochs,
            questions=self.questions,
            runs=draws,
        )

    def _start(self) -> None:
        self._generator = np.random.default_rng(_DRAWN)
        self._logits = np.repeat(self.tree.log_prob[None], self.runs, axis=0)
        self._step = self.move(self.tree, self.runs)
        self._between = _Between()
        self._value, self._rewarded = np.empty((2, self.runs, 0))

    def values(self, rounds: int) -> np.ndarray:
        """p before each round, float64 [runs, rounds].

        Raises:
            InputError: more than 100,000 rounds.
        """
        _check_length(rounds)
        more = rounds - self._value.shape[1]
        if more > 0:
            found, self._logits, rewarded = self._play(self._logits, self._step, self._generator, more, self._between)
            self._value = np.concatenate([self._value, found], axis=1)
            self._rewarded = np.concatenate([self._rewarded, rewarded], axis=1)
        return self._value[:, :rounds]

    def _play(
        self,
        logits: np.ndarray,
        step: Callable[[np.ndarray], np.ndarray],
        generator: np.random.Generator,
        rounds: int,
        between: _Between,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(p before each round [R, T], logits [R, E] after them, mean rewards [R, T]); `between` is handed on."""
        runs, tree, late = logits.shape[0], self.tree, between.late
        value, rewarded = np.empty((2, runs, rounds))
        for t in range(rounds):
            walks = tree.walks(logits)
            value[:, t] = np.minimum(walks.path @ tree.leaf_truth, 1.0)
            leaf = self._leaves(walks.path, generator, between)
            rewards = (generator.random(leaf.shape) < tree.leaf_reward[leaf]).astype(np.float32)
            rewarded[:, t] = rewards.mean(axis=1)
            groups = np.asarray(self.signal(rewards.reshape(-1, self.rollouts)), np.float64)
            weight = groups.reshape(leaf.shape) / self.pulls
            # One row for each run that learns from each leaf: [R, L], so that no [R, G, E] is made.
            onto = np.zeros(walks.path.shape)
            np.add.at(onto, (np.arange(runs)[:, None], leaf), weight)
            if self.delay:
                late.append(onto)
                onto = late.popleft() if len(late) > self.delay else np.zeros_like(onto)
            for epoch in range(self.epochs):
                if epoch:
                    walks = tree.walks(logits)
                pull = onto
                if self.kl_coefficient:
                    pull = onto - self.kl_coefficient * walks.path * self._drifted(walks)
                logits = logits + step(pull @ tree.paths - np.exp(walks.log_q) * (pull @ tree.visits))
        return value, logits, rewarded

    def _leaves(self, path: np.ndarray, generator: np.random.Generator, between: _Between) -> np.ndarray:
        """int [R, B G], where the round's responses end, those of a question together."""
        if not self.questions:
            return _pick(path, generator.random((path.shape[0], self.rollouts)))
        which = between.next_questions(np.unique(self.tree.root_of_leaf).size, self.questions, path.shape[0], generator)
        own = [path * (self.tree.root_of_leaf == which[:, place, None]) for place in range(self.questions)]
        return np.concatenate([_pick(one, generator.random((path.shape[0], self.rollouts))) for one in own], axis=1)

    def _drifted(self, walks: Walks) -> np.ndarray:
        """ln of the leaves' probabilities over those at the start, [R, L]."""
        return (walks.log_q - self.tree.log_prob) @ self.tree.paths.T

    def scores(self, at: np.ndarray, runs: int | None = None) -> np.ndarray:
        """Sum of the updates' mean scores before the rounds `at` (increasing), float64 [runs, len(at), E], of so many
        runs (None: as many as the law has).

        Under plain gradient steps they move the logits of any other tree by η × its cross-kernel with this one.
        """
        runs, generator = runs or self.runs, np.random.default_rng(_DRAWN)
        logits, step = np.repeat(self.tree.log_prob[None], runs, axis=0), self.move(self.tree, runs)
        total = np.zeros((runs, self.tree.edges))
        found = np.empty((runs, len(at), self.tree.edges))

        def counted(score: np.ndarray) -> np.ndarray:
            nonlocal total
            total = total + score
            return step(score)

        done, between = 0, _Between()
        for column, round_ in enumerate(at):
            _, logits, _ = self._play(logits, counted, generator, int(round_) - done, between)
            done, found[:, column] = int(round_), total
        return found

    def curves(self, rounds: int) -> ChainCurves:
        """Means over the simulated runs."""
        value = self.values(rounds)
        regret = self.pulls * np.cumsum(1.0 - value, axis=1)
        deviation = value - value.mean(axis=0)
        variance = (deviation**2).mean(axis=0)
        jump = np.divide((np.abs(deviation) ** 3).mean(axis=0), variance, out=np.zeros(rounds), where=variance > 1e-300)
        return ChainCurves(None, value.mean(axis=0), regret.mean(axis=0), np.sqrt(variance), regret.std(axis=0), jump)

    def mean_time(self, level: float, most: int) -> float:
        """First round of the first `most` at which the mean over runs of p is at the level, else inf."""
        rounds = min(max(32, self._value.shape[1]), most)
        while True:
            reached = self.values(rounds).mean(axis=0) >= level
            if reached.any() or rounds >= most:
                return float(np.argmax(reached)) if reached.any() else math.inf
            rounds = min(math.ceil(1.5 * rounds), most)

    def hits(self, level: float, within: int, share: float = 1.0) -> np.ndarray:
        """First round at the level of each run, inf where it is none of the first `within`, or none before so large a
        share of the runs is there: no round beyond is simulated.
        """
        rounds = min(max(32, self._value.shape[1]), within)
        while True:
            reached = self.values(rounds) >= level
            hit = reached.any(axis=1)
            if hit.mean() >= share or rounds >= within:
                return np.where(hit, reached.argmax(axis=1), math.inf)
            rounds = min(math.ceil(1.5 * rounds), within)

    def mean_hitting_time(self, level: float) -> float:
        """The mean over the simulated runs; inf where some have not arrived after 4,096 rounds."""
        return float(self.hits(level, self.searched).mean())

    def hitting_time_quantile(self, level: float, q: float) -> float:
        """Of the simulated runs."""
        return float(np.quantile(self.hits(level, self.searched, q), q, method="inverted_cdf"))

    def sample(self, generator: np.random.Generator, seeds: int, at: np.ndarray) -> Curves:
        """`seeds` new runs; more than the law has simulated are drawn from those, with replacement."""
        rounds = int(at[-1]) + 1
        _check_length(rounds)
        if seeds > self.runs:
            chosen = generator.integers(0, self.runs, seeds)
            value, rewarded = self.values(rounds)[chosen], self._rewarded[chosen, :rounds]
        else:
            start = np.repeat(self.tree.log_prob[None], seeds, axis=0)
            value, _, rewarded = self._play(start, self.move(self.tree, seeds), generator, rounds, _Between())
        regret = self.pulls * np.cumsum(1.0 - value, axis=1)
        return Curves(value[:, at], regret[:, at], np.cumsum(rewarded, axis=1)[:, at])

    def value_quantile(self, q: float, at: np.ndarray) -> np.ndarray:
        """Of the simulated runs."""
        return np.quantile(self.values(int(at[-1]) + 1)[:, at], q, axis=0, method="inverted_cdf")

    def value_given_rewards(self, rewards: np.ndarray) -> np.ndarray | None:
        """None: the tree is a sample of the policy."""
        del rewards


def _check_length(rounds: int) -> None:
    if rounds > LONGEST:
        raise InputError(f"rounds is {rounds}: the tree law steps through {LONGEST:,} rounds at most.")
