"""The law of policy gradient on a tree of decisions for any signal and number of rollouts: simulated rounds."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from bandit_rft.errors import InputError
from bandit_rft.theory.laws.jump_law import ChainCurves
from bandit_rft.theory.laws.tree_law import DRAWN, check_length
from bandit_rft.theory.laws.tree_round import RoundDraws
from bandit_rft.theory.prediction import Curves, Means
from bandit_rft.theory.response_tree import ResponseTree, Walks
from bandit_rft.theory.update_settings import UpdateSettings

__all__ = ["TreeRoundsLaw"]

_RUNS = 1024  # simulated runs behind the law


class _Played(NamedTuple):
    """Rounds of R runs, float64 [R, T] each: p before the update, the mean reward of the groups that are learned from,
    and how many of the responses drawn were to be expected wrong; where groups are drawn again also what was to be
    expected of that reward, and responses drawn, else [R, 0].
    """

    value: np.ndarray
    rewarded: np.ndarray
    missed: np.ndarray
    earned: np.ndarray
    responses: np.ndarray


class TreeRoundsLaw:
    """Any signal and number of rollouts, by simulated rounds of the policy on the tree: 1,024 runs of it.

    Args:
        tree: the policy at the start.
        move: for a tree and so many runs, a function from the mean update score [runs, E] to the move of the logits
            [runs, E].
        settings: of the learner. Its delay: a response's score is taken when its reward is heard. Its epochs: each step
            has the scores of its moment, without an importance ratio. Its questions: the edges of the root, in a new
            order each epoch, what is left at its end left out.
        runs: simulated.
    """

    searched = 4096  # rounds in which the way to a level is looked for: each is simulated in every run

    def __init__(
        self,
        tree: ResponseTree,
        move: Callable[[ResponseTree, int], Callable[[np.ndarray], np.ndarray]],
        settings: UpdateSettings,
        *,
        runs: int = _RUNS,
    ) -> None:
        self.tree, self.move, self.settings, self.runs = tree, move, settings, runs
        self._generator = np.random.default_rng(DRAWN)
        self._logits = np.repeat(tree.log_prob[None], runs, axis=0)
        self._step = move(tree, runs)
        self._draws = RoundDraws(tree, settings, runs)
        self._played = _Played(*np.empty((5, runs, 0)))

    @property
    def pulls(self) -> int:
        """A round, before a dead group is drawn again."""
        return self.settings.pulls

    def on(self, tree: ResponseTree, draws: int) -> TreeRoundsLaw:
        """The same learner's law on another tree, by so many simulated runs."""
        return TreeRoundsLaw(tree, self.move, self.settings, runs=draws)

    def played(self, rounds: int) -> _Played:
        """The first rounds of the simulated runs.

        Raises:
            InputError: more than 100,000 rounds.
        """
        check_length(rounds)
        have = self._played.value.shape[1]
        if rounds > have:
            found, self._logits = self._play(self._logits, self._step, self._generator, rounds - have, self._draws)
            self._played = _Played(*(np.concatenate(pair, axis=1) for pair in zip(self._played, found, strict=True)))
        return _Played(*(part[:, :rounds] for part in self._played))

    def values(self, rounds: int) -> np.ndarray:
        """p before each round, float64 [runs, rounds]; raises as `played`."""
        return self.played(rounds).value

    def _play(
        self,
        logits: np.ndarray,
        step: Callable[[np.ndarray], np.ndarray],
        generator: np.random.Generator,
        rounds: int,
        draws: RoundDraws,
    ) -> tuple[_Played, np.ndarray]:
        """(the rounds of R runs, their logits [R, E] afterwards)."""
        tree, beta = self.tree, self.settings.kl_coefficient
        runs, again = logits.shape[0], self.settings.dynamic_sampling > 0
        kept = (True, True, True, again, again)
        played = _Played(*(np.empty((runs, rounds if part else 0)) for part in kept))
        for t in range(rounds):
            walks = tree.walks(logits)
            played.value[:, t] = np.minimum(walks.path @ tree.leaf_truth, 1.0)
            drawn = draws.next(walks.path, generator)
            played.rewarded[:, t], played.missed[:, t] = drawn.rewarded, drawn.missed
            if again:
                played.earned[:, t], played.responses[:, t] = drawn.earned, drawn.responses
            for epoch in range(self.settings.epochs):
                if epoch:
                    walks = tree.walks(logits)
                pull = drawn.onto
                if beta:
                    pull = pull - beta * walks.path * self._drifted(walks)
                logits = logits + step(pull @ tree.paths - np.exp(walks.log_q) * (pull @ tree.visits))
        return played, logits

    def _drifted(self, walks: Walks) -> np.ndarray:
        """ln of the leaves' probabilities over those at the start, [R, L]."""
        return (walks.log_q - self.tree.log_prob) @ self.tree.paths.T

    def _regret(self, played: _Played) -> np.ndarray:
        """Cumulative, of every response drawn, float64 [R, T]."""
        return np.cumsum(played.missed, axis=1)

    def scores(self, at: np.ndarray, runs: int | None = None) -> np.ndarray:
        """Sum of the updates' mean scores before the rounds `at` (increasing), float64 [runs, len(at), E], of so many
        runs (None: as many as the law has).

        Under plain gradient steps they move the logits of any other tree by η × its cross-kernel with this one.
        """
        runs, generator = runs or self.runs, np.random.default_rng(DRAWN)
        logits, step = np.repeat(self.tree.log_prob[None], runs, axis=0), self.move(self.tree, runs)
        total = np.zeros((runs, self.tree.edges))
        found = np.empty((runs, len(at), self.tree.edges))

        def counted(score: np.ndarray) -> np.ndarray:
            nonlocal total
            total = total + score
            return step(score)

        done, draws = 0, RoundDraws(self.tree, self.settings, runs)
        for column, round_ in enumerate(at):
            _, logits = self._play(logits, counted, generator, int(round_) - done, draws)
            done, found[:, column] = int(round_), total
        return found

    def curves(self, rounds: int) -> ChainCurves:
        """Means over the simulated runs."""
        played = self.played(rounds)
        value, regret = played.value, self._regret(played)
        deviation = value - value.mean(axis=0)
        variance = (deviation**2).mean(axis=0)
        jump = np.divide((np.abs(deviation) ** 3).mean(axis=0), variance, out=np.zeros(rounds), where=variance > 1e-300)
        return ChainCurves(None, value.mean(axis=0), regret.mean(axis=0), np.sqrt(variance), regret.std(axis=0), jump)

    def means(self, rounds: int) -> Means:
        """Over the simulated runs, of so many rounds."""
        played = self.played(rounds)
        return Means(played.value.mean(axis=0), self._regret(played).mean(axis=0), self.earned(rounds))

    def earned(self, rounds: int) -> np.ndarray | None:
        """Mean reward of the groups that are learned from, float64 [rounds]; None where it is the value.

        Groups that were drawn until they live are not like all groups.
        """
        return self.played(rounds).earned.mean(axis=0) if self.settings.dynamic_sampling else None

    def pulled(self, rounds: int) -> np.ndarray:
        """Mean number of responses drawn in each round, float64 [rounds]."""
        again = self.settings.dynamic_sampling > 0
        return self.played(rounds).responses.mean(axis=0) if again else np.full(rounds, float(self.settings.pulls))

    def mean_time(self, level: float, most: int) -> float:
        """First round of the first `most` at which the mean over runs of p is at the level, else inf."""
        rounds = min(max(32, self._played.value.shape[1]), most)
        while True:
            reached = self.values(rounds).mean(axis=0) >= level
            if reached.any() or rounds >= most:
                return float(np.argmax(reached)) if reached.any() else math.inf
            rounds = min(math.ceil(1.5 * rounds), most)

    def hits(self, level: float, within: int, share: float = 1.0) -> np.ndarray:
        """First round at the level of each run, inf where it is none of the first `within`, or none before so large a
        share of the runs is there: no round beyond is simulated.
        """
        rounds = min(max(32, self._played.value.shape[1]), within)
        while True:
            reached = self.values(rounds) >= level
            hit = reached.any(axis=1)
            if hit.mean() >= share or rounds >= within:
                return np.where(hit, reached.argmax(axis=1), math.inf)
            rounds = min(math.ceil(1.5 * rounds), within)

    def mean_hitting_time(self, level: float) -> float:
        """The mean over the simulated runs.

        Raises:
            InputError: some have not arrived after 4,096 rounds.
        """
        times = self.arrivals(level)
        if not np.isfinite(times).all():
            raise InputError(
                f"level is {level:g} and {np.isinf(times).mean():.1%} of the simulated runs are below it for "
                f"{self.searched:,} rounds, beyond which none is followed: ask for a lower level, or a quantile."
            )
        return float(times.mean())

    def arrivals(self, level: float) -> np.ndarray:
        """First round at the level of each simulated run, inf where it is none of the first 4,096."""
        return self.hits(level, self.searched)

    def mean_pulls(self, level: float) -> float:
        """Mean number of responses that are drawn before the level; inf where some runs have not arrived."""
        times = self.arrivals(level)
        if not self.settings.dynamic_sampling or not np.isfinite(times).all():
            return self.pulls * float(times.mean())
        rounds = int(times.max())
        before = np.arange(rounds) < times[:, None]
        return float((self.played(rounds).responses * before).sum(axis=1).mean())

    def hitting_time_quantile(self, level: float, q: float) -> float:
        """Of the simulated runs; inf where that is none of the first 4,096 rounds."""
        return float(np.quantile(self.hits(level, self.searched, q), q, method="inverted_cdf"))

    def sample(self, generator: np.random.Generator, seeds: int, at: np.ndarray) -> Curves:
        """`seeds` new runs; more than the law has simulated are drawn from those, with replacement."""
        rounds = int(at[-1]) + 1
        check_length(rounds)
        if seeds > self.runs:
            chosen = generator.integers(0, self.runs, seeds)
            played = _Played(*(part[chosen] for part in self.played(rounds)))
        else:
            start = np.repeat(self.tree.log_prob[None], seeds, axis=0)
            draws = RoundDraws(self.tree, self.settings, seeds)
            played, _ = self._play(start, self.move(self.tree, seeds), generator, rounds, draws)
        regret, rewarded = self._regret(played), np.cumsum(played.rewarded, axis=1)
        return Curves(played.value[:, at], regret[:, at], rewarded[:, at])

    def value_quantile(self, q: float, at: np.ndarray) -> np.ndarray:
        """Of the simulated runs."""
        return np.quantile(self.drawn_values(at), q, axis=0, method="inverted_cdf")

    def drawn_values(self, at: np.ndarray) -> np.ndarray:
        """p before the update of the rounds `at` (increasing) in the simulated runs, float64 [runs, len(at)]; raises as
        `played`.
        """
        return self.values(int(at[-1]) + 1)[:, at]

    def value_given_rewards(self, rewards: np.ndarray) -> np.ndarray | None:
        """None: the tree is a sample of the policy."""
        del rewards
