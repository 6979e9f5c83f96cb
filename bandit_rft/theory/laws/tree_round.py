"""One round on a tree of decisions, in many runs at once: questions, responses, rewards, signals.

What one round hands to the next is kept here as well: the epoch of questions, each question's window of scores, and
signals that are not heard yet.
"""

from __future__ import annotations

import functools
import math
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
from scipy import stats
from scipy.special import gammaln, xlogy

from bandit_rft import signals
from bandit_rft.theory.response_tree import ResponseTree
from bandit_rft.theory.update_settings import UpdateSettings

__all__ = ["Drawn", "Groups", "RoundDraws", "idle_probability", "last_groups", "pick"]

_AT_ONCE = 2**22  # rewards whose signals are taken in one call


class Drawn(NamedTuple):
    """A round in R runs, L leaves.

    Attributes:
        onto: float64 [R, L], how much each run learns from each leaf: signals over the rollouts that are learned from.
        rewarded: float64 [R], mean reward of the groups that are learned from.
        responses: float64 [R], how many were drawn, those of dead groups among them.
        earned: float64 [R], the mean of `rewarded` given the policy; NaN where no group is drawn again.
        missed: float64 [R], of the responses drawn, how many are expected to be wrong, by the policy on their question.
    """

    onto: np.ndarray
    rewarded: np.ndarray
    responses: np.ndarray
    earned: np.ndarray
    missed: np.ndarray


class Groups(NamedTuple):
    """The groups that are learned from, n responses of each of B questions: leaf int and rewards float32 [R, B n], the
    groups drawn of each float64 [R, B], and by run [R] the mean reward expected of them.
    """

    leaf: np.ndarray
    rewards: np.ndarray
    drawn: np.ndarray
    earned: np.ndarray


def pick(weights: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """int [W, G]: columns of weights [W, L] drawn in proportion, by uniform [W, G]."""
    total = np.cumsum(weights, axis=1)
    drawn = uniform * total[:, -1:]
    return np.minimum((total[:, None, :] <= drawn[:, :, None]).sum(axis=2), weights.shape[1] - 1)


class RoundDraws:
    """Draws the rounds of some runs, one after the other.

    Args:
        tree: of the policy.
        settings: of the learner.
        runs: R.
    """

    def __init__(self, tree: ResponseTree, settings: UpdateSettings, runs: int) -> None:
        self.tree, self.settings = tree, settings
        self._questions = np.unique(tree.root_of_leaf).size if settings.questions else 1
        self._order, self._place = np.empty((runs, 0), np.int64), 0
        self._late: deque[np.ndarray] = deque()
        self._signal = _signal_of(settings)
        if settings.window is not None:
            self._past = np.zeros((runs, self._questions, settings.window - settings.rollouts), np.float32)
            self._seen = np.zeros((runs, self._questions), np.int32)

    def next(self, path: np.ndarray, generator: np.random.Generator) -> Drawn:
        """The next round, of policies with leaves' probabilities `path` [R, L]."""
        runs, settings = path.shape[0], self.settings
        asked = self._asked(runs, generator)
        draw = self._alive if settings.dynamic_sampling else self._once
        paths = self._paths(path, asked)
        groups = draw(paths, generator)
        by_question = (runs, -1, settings.group)
        weight = self._signals(groups.rewards.reshape(by_question), asked) / settings.learned
        # Of each group the first G are learned from; the others were only there for the signals.
        learned = groups.leaf.reshape(by_question)[:, :, : settings.rollouts].reshape(runs, -1)
        onto = np.zeros(path.shape)
        np.add.at(onto, (np.arange(runs)[:, None], learned), weight[:, :, : settings.rollouts].reshape(runs, -1))
        if settings.delay:
            self._late.append(onto)
            onto = self._late.popleft() if len(self._late) > settings.delay else np.zeros_like(onto)
        right = np.stack([(own @ self.tree.leaf_truth) / own.sum(axis=1) for own in paths], axis=1)
        wrong = np.maximum(1.0 - right, 0.0)
        missed, drawn = (groups.drawn * wrong).sum(axis=1), groups.drawn.sum(axis=1)
        return Drawn(onto, groups.rewards.mean(axis=1), drawn * settings.group, groups.earned, missed * settings.group)

    def _asked(self, runs: int, generator: np.random.Generator) -> np.ndarray | None:
        """int [R, B], the questions of the round, in a new order each epoch, what is left at its end left out; None
        where there is one question.
        """
        taken = self.settings.questions
        if not taken:
            return None
        if self._place + taken > self._order.shape[1]:
            self._order, self._place = generator.random((runs, self._questions)).argsort(axis=1), 0
        self._place += taken
        return self._order[:, self._place - taken : self._place]

    def _paths(self, path: np.ndarray, asked: np.ndarray | None) -> list[np.ndarray]:
        """The leaves' weights [R, L] of each question of the round."""
        if asked is None:
            return [path]
        return [path * (self.tree.root_of_leaf == question[:, None]) for question in asked.T]

    def _once(self, paths: list[np.ndarray], generator: np.random.Generator) -> Groups:
        """Each group is drawn once."""
        runs, group = paths[0].shape[0], self.settings.group
        leaf = np.concatenate([pick(own, generator.random((runs, group))) for own in paths], axis=1)
        rewards = (generator.random(leaf.shape) < self.tree.leaf_reward[leaf]).astype(np.float32)
        return Groups(leaf, rewards, np.ones((runs, len(paths))), np.full(runs, np.nan))

    def _alive(self, paths: list[np.ndarray], generator: np.random.Generator) -> Groups:
        """A dead group is drawn again up to N times."""
        group, most, reward = self.settings.group, self.settings.dynamic_sampling, self.tree.leaf_reward
        parts = [last_groups(own, reward, group, most, generator) for own in paths]
        leaf, rewards, drawn, earned = zip(*parts, strict=True)
        of_all = (np.concatenate(part, axis=1) for part in (leaf, rewards, drawn))
        return Groups(*of_all, earned=np.mean(earned, axis=0))

    def _signals(self, rewards: np.ndarray, asked: np.ndarray | None) -> np.ndarray:
        """float64 [R, B, n] of rewards float32 [R, B, n]; a window takes them up."""
        window = self.settings.window
        if window is None:
            return np.asarray(self._signal(rewards), np.float64)
        runs = rewards.shape[0]
        rows = np.arange(runs)[:, None]
        where = (rows, np.zeros((runs, 1), np.int64) if asked is None else asked)
        past, seen = self._past[where], self._seen[where]
        kept = past.shape[-1]
        self._past[where] = np.concatenate([rewards[:, :, ::-1], past], axis=2)[:, :, :kept]
        self._seen[where] = np.minimum(seen + rewards.shape[2], kept)
        return np.asarray(self._signal(rewards, past, seen), np.float64)


def last_groups(
    path: np.ndarray, leaf_reward: np.ndarray, group: int, most: int, generator: np.random.Generator
) -> Groups:
    """The groups that are learned from where a dead one, of equal rewards, is drawn again.

    Before a living group come so many dead ones as a geometric law says, and what is learned from is a group that is
    known to live, or after the last further draw to be dead. Drawn by that, a round takes the same work for any `most`.

    Args:
        path: float64 [R, L], weights of the leaves in each run.
        leaf_reward: float64 [L], the chance of a reward of 1.
        group: n, at least 2. most: further draws.
        generator: to draw from.
    """
    runs = path.shape[0]
    right, wrong = path * leaf_reward, path * (1.0 - leaf_reward)
    chance = np.stack([right.sum(axis=1), wrong.sum(axis=1)])
    p, q = chance / chance.sum(axis=0)
    number = np.arange(group + 1.0)
    # ln of the probability of so many correct responses in a group, but for what all have in common.
    log_number = xlogy(number, p[:, None]) + xlogy(group - number, q[:, None])
    log_number = log_number - gammaln(number + 1.0) - gammaln(group - number + 1.0)
    lives = (number > 0) & (number < group)
    log_dead = np.logaddexp(xlogy(group, p), xlogy(group, q))
    with np.errstate(divide="ignore", invalid="ignore"):
        dead_before = np.where(log_dead < 0.0, np.log1p(-generator.random(runs)) / log_dead, np.inf)
    alive = np.floor(dead_before) <= most
    drawn = np.minimum(np.floor(dead_before), most) + 1.0

    def of(kind: np.ndarray | bool) -> np.ndarray:
        """Weights of the numbers, float64 [R, n + 1], of living groups (kind True) or dead ones."""
        kept = np.where(kind == lives, log_number, -np.inf)
        return np.exp(kept - np.maximum(kept.max(axis=1, keepdims=True), -1e300))

    def mean(weights: np.ndarray) -> np.ndarray:
        """Of the rewards, float64 [R]."""
        return weights @ number / group / np.maximum(weights.sum(axis=1), 1e-300)

    count = pick(of(alive[:, None]), generator.random((runs, 1)))
    success = generator.random((runs, group)).argsort(axis=1) < count
    uniform = generator.random((runs, group))
    leaf = np.where(success, pick(right, uniform), pick(wrong, uniform))
    living, dead = mean(of(True)), mean(of(False))
    never = np.exp((most + 1) * log_dead)
    return Groups(leaf, success.astype(np.float32), drawn[:, None], living + never * (dead - living))


def idle_probability(settings: UpdateSettings, p: float) -> float:
    """Probability that a round of one question teaches nothing: all signals that are learned from are 0.

    By the signal itself, of every number of correct responses that it can see. Rewards are 0 or 1, independent and
    right with probability p; a window is taken to be full of scores of the same policy.
    """
    learned, seen = settings.rollouts, settings.group if settings.window is None else settings.window
    right = np.arange(seen + 1)
    signal, ends = _signal_of(settings), []
    for some in np.array_split(right, math.ceil((seen + 1) * seen / _AT_ONCE)):
        rewards = (np.arange(seen) < some[:, None]).astype(np.float32)[:, None]
        # All scores of the window as if new: each then has its signal, and the round's are any of them.
        past = () if settings.window is None else (rewards[..., :0], np.zeros((some.size, 1), np.int32))
        ends.append(np.asarray(signal(rewards, *past))[:, 0, [0, -1]])
    # Signals of a group are the same for equal rewards: that of a right response stands first, of a wrong one last.
    right_idle, wrong_idle = (np.concatenate(ends) == 0.0).T
    all_wrong = stats.binom.pmf(right, seen - learned, p) * (1.0 - p) ** learned
    all_right = stats.binom.pmf(right - learned, seen - learned, p) * p**learned
    both = np.maximum(stats.binom.pmf(right, seen, p) - all_wrong - all_right, 0.0)
    once = float(all_wrong @ wrong_idle + all_right @ right_idle + both @ (right_idle & wrong_idle))
    return once ** (settings.dynamic_sampling + 1)  # only groups that teach nothing are drawn again


@functools.lru_cache(maxsize=8)
def _signal_of(settings: UpdateSettings) -> Callable[..., jax.Array]:
    """Signals [R, B, n] of rewards float32 [R, B, n]; of a window also past [R, B, W - G] and seen int32 [R, B]."""
    spread = {"ddof": settings.ddof, "eps": settings.eps}
    if settings.window is not None:
        one = functools.partial(signals.windowed, normalised=settings.signal == "grpo", **spread)
        return jax.jit(jax.vmap(jax.vmap(one)))
    if settings.normalise == "batch":
        return jax.jit(jax.vmap(functools.partial(signals.batch_normalised, **spread)))
    each = jax.jit(jax.vmap(signals.make(settings.signal, k=settings.k, **spread)))
    return lambda rewards: each(rewards.reshape(-1, settings.group)).reshape(rewards.shape)
