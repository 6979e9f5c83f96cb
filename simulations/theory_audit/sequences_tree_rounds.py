"""Audit of what a round of the tree law draws and compares: windows of scores, dead groups drawn again, rollouts for
the baseline, the spread of a batch.

The policy of `sequences_tree` is trained in NumPy on its weights, group by group as the definitions say; of two
questions the second has features of its own, partly those of the first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from bandit_rft.theory.forests import forest
from bandit_rft.theory.response_tree import ResponseTree
from simulations.theory_audit.case import Case, Measured, of_seeds
from simulations.theory_audit.sequences_tree import (
    AT,
    FEATURES,
    PATHS,
    RIGHT,
    ROUNDS,
    START,
    TEST_FEATURES,
    VISITS,
    cross_kernel,
    log_q_of,
    tree_of,
)

EPS = 1e-6


class _Runs(NamedTuple):
    """Float64 [S, 41] each: mean Pass@1 of the questions before a round, its responses, and its mean reward."""

    value: np.ndarray
    pulls: np.ndarray
    rewarded: np.ndarray


@dataclass(frozen=True, kw_only=True)
class _World:
    """How the policy is trained: B of Q questions a round. `full` begins with windows of the first policy's scores,
    `elsewhere` takes any question in place of one whose group is dead.
    """

    step: float
    signal: str = "grpo"
    rollouts: int = 2
    extra: int = 0
    window: int | None = None
    most: int = 0
    batch: bool = False
    asked: int = 1
    questions: int = 1
    bent: bool = False
    full: bool = False
    elsewhere: bool = False

    @property
    def features(self) -> tuple[np.ndarray, ...]:
        return (FEATURES, TEST_FEATURES)[: self.questions]

    def signals(self, rewards: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """[S, B, n] of rewards [S, B, n] beside scores [S, B, N], these among them; NaN: no score yet."""
        group = rewards.shape[2]
        if self.signal == "pass_at_2":
            return 2 * rewards * (group - rewards.sum(axis=2, keepdims=True)) / (group - 1)
        held = ~np.isnan(scores)
        count = held.sum(axis=2, keepdims=True)
        mean = np.where(held, scores, 0.0).sum(axis=2, keepdims=True) / count
        centred = rewards - mean
        if self.signal == "rloo":
            return centred * group / (group - 1)
        square = (np.where(held, scores - mean, 0.0) ** 2).sum(axis=2, keepdims=True)
        spread = np.sqrt(square / np.maximum(count - 1, 1))
        if self.batch:
            spread = rewards.std(axis=(1, 2), ddof=1, keepdims=True)
        return np.where(spread > 0, centred / (spread + EPS), 0.0)

    def drawn(self, generator: np.random.Generator, path: np.ndarray, asked: np.ndarray) -> tuple[np.ndarray, ...]:
        """(leaf int, reward) [S, B, n] of the asked questions [S, B], from leaves' probabilities [S, Q, 7]."""
        own = np.take_along_axis(path, asked[..., None], axis=1).cumsum(axis=2)
        uniform = generator.random((*asked.shape, self.rollouts + self.extra, 1))
        leaf = (own[:, :, None, :] < uniform).sum(axis=3).clip(max=6)
        return leaf, (generator.random(leaf.shape) < RIGHT[leaf]).astype(float)

    def trained(self, key: int, seeds: int) -> _Runs:
        """The runs of so many seeds."""
        generator, rows = np.random.default_rng(key), np.arange(seeds)[:, None]
        weights, size = np.repeat(START[None], seeds, axis=0), self.rollouts + self.extra
        windows = np.full((seeds, self.questions, self.window or 0), np.nan)
        found, order, place = _Runs(*np.empty((3, seeds, max(ROUNDS) + 1))), np.empty((seeds, 0), np.int64), 0
        for t in range(found.value.shape[1]):
            bases = np.stack([weights @ one.T for one in self.features], axis=1)
            edges = np.stack([log_q_of(np.sin(one) if self.bent else one) for one in bases.swapaxes(0, 1)], axis=1)
            path = np.exp(edges @ PATHS.T)
            found.value[:, t] = (path @ RIGHT).mean(axis=1)
            if not t and self.full:
                windows = (generator.random(windows.shape) < (path @ RIGHT)[..., None]).astype(float)
            if place + self.asked > order.shape[1]:  # an epoch of questions is over
                order, place = generator.random((seeds, self.questions)).argsort(axis=1), 0
            asked, place = order[:, place : place + self.asked], place + self.asked
            leaf, rewards = self.drawn(generator, path, asked)
            found.pulls[:, t] = self.asked * size
            for _ in range(self.most):
                dead = np.ptp(rewards, axis=2) == 0
                if self.elsewhere:
                    asked = np.where(dead, generator.integers(0, self.questions, asked.shape), asked)
                anew, earned = self.drawn(generator, path, asked)
                leaf, rewards = (np.where(dead[..., None], *pair) for pair in ((anew, leaf), (earned, rewards)))
                found.pulls[:, t] += size * dead.sum(axis=1)
            found.rewarded[:, t] = rewards.mean(axis=(1, 2))
            scores = rewards
            if self.window is not None:
                scores = np.concatenate([rewards, windows[rows, asked]], axis=2)[:, :, : self.window]
                windows[rows, asked] = scores
            signal, move = self.signals(rewards, scores), np.zeros_like(weights)
            for group, question in enumerate(asked.T):
                for g in range(self.rollouts):
                    taken, own = leaf[:, group, g], (rows[:, 0], question)
                    score = PATHS[taken] - VISITS[taken] * np.exp(edges[own])
                    slope = np.cos(bases[own]) if self.bent else 1.0
                    gradient = np.einsum("se,sew->sw", score * slope, np.stack(self.features)[question])
                    move += signal[:, group, g, None] * gradient / (self.asked * self.rollouts)
            weights = weights + self.step * move
        return found


def _two() -> ResponseTree:
    """The tree of both questions."""
    return forest([tree_of(FEATURES), tree_of(TEST_FEATURES)], lambda i, j: cross_kernel())


def _value(seeds: int = 2000, **world: Any) -> Callable[[int], Measured]:
    return lambda key: of_seeds(_World(**world).trained(key, seeds).value[:, AT])


def _spread(**world: Any) -> Callable[[int], Measured]:
    """Standard deviation over seeds, of 20 groups of 200."""

    def measure(key: int) -> Measured:
        value = _World(**world).trained(key, 4000).value[:, AT[1:]]
        return of_seeds(value.reshape(20, 200, -1).std(axis=1, ddof=1))

    return measure


def _regret(**world: Any) -> Callable[[int], Measured]:
    def measure(key: int) -> Measured:
        runs = _World(**world).trained(key, 2000)
        return of_seeds(np.cumsum(runs.pulls * (1 - runs.value), axis=1)[:, AT])

    return measure


def _rewards(**world: Any) -> Callable[[int], Measured]:
    return lambda key: of_seeds(_World(**world).trained(key, 4000).rewarded[:, AT])


_PASS: dict[str, Any] = {"entry": "tree_rounds", "x": ROUNDS, "x_label": "round", "y_label": "Pass@1"}
_DRAWN: dict[str, Any] = {"tolerance": 0.02, "why": "The law is itself a mean over runs that it draws."}
_WINDOW: dict[str, Any] = {"step": 0.2, "window": 6}
_AGAIN: dict[str, Any] = {"step": 0.2, "rollouts": 3, "most": 4}
_EXTRA: dict[str, Any] = {"step": 0.3, "signal": "rloo", "extra": 6}

CASES = (
    Case(
        instance="2 rollouts of grpo against a window of 6 scores, three decisions of shared features, step .2",
        predict=lambda f: f(tree_of(FEATURES), 0.2, 41, "grpo", 2, eps=EPS, window=6).value[AT],
        measure=_value(**_WINDOW),
        **_PASS,
        **_DRAWN,
    ),
    Case(
        instance="2 rollouts of grpo against a window of 6 scores, step .2: spread of Pass@1",
        predict=lambda f: f(tree_of(FEATURES), 0.2, 41, "grpo", 2, eps=EPS, window=6).value_sd[AT[1:]],
        measure=_spread(**_WINDOW),
        tolerance=0.1,
        why="The spread of 1,024 drawn runs is good to a few per cent.",
        **(_PASS | {"x": ROUNDS[1:], "y_label": "standard deviation of Pass@1"}),
    ),
    Case(
        instance="one rollout of grpo against windows of 8 scores, one of two questions a round, step .2",
        predict=lambda f: f(_two(), 0.2, 41, "grpo", 1, eps=EPS, window=8, questions=1).value[AT],
        measure=_value(step=0.2, window=8, rollouts=1, questions=2),
        **_PASS,
        **_DRAWN,
    ),
    Case(
        instance="3 rollouts of grpo, dead groups again up to 4 times, three decisions of shared features, step .2",
        predict=lambda f: f(tree_of(FEATURES), 0.2, 41, "grpo", 3, eps=EPS, dynamic_sampling=4).value[AT],
        measure=_value(**_AGAIN),
        **_PASS,
        **_DRAWN,
    ),
    Case(
        instance="3 rollouts of grpo, dead groups again up to 4 times, step .2: regret of all responses",
        predict=lambda f: f(tree_of(FEATURES), 0.2, 41, "grpo", 3, eps=EPS, dynamic_sampling=4).regret[AT],
        measure=_regret(**_AGAIN),
        **(_PASS | {"y_label": "cumulative regret"}),
        **_DRAWN,
    ),
    Case(
        instance="3 rollouts of grpo, dead groups again up to 4 times, step .2: rewards of the last groups",
        predict=lambda f: f(tree_of(FEATURES), 0.2, 41, "grpo", 3, eps=EPS, dynamic_sampling=4).reward[AT],
        measure=_rewards(**_AGAIN),
        **(_PASS | {"y_label": "mean reward of the group that is learned from"}),
        **_DRAWN,
    ),
    Case(
        instance="2 rollouts of rloo with 6 more for the baseline, step .3: regret of all responses",
        predict=lambda f: f(tree_of(FEATURES), 0.3, 41, "rloo", 2, extra_rollouts=6).regret[AT],
        measure=_regret(**_EXTRA),
        **(_PASS | {"y_label": "cumulative regret"}),
        **_DRAWN,
    ),
    Case(
        instance="2 rollouts of rloo with 6 more for the baseline, step .3: spread of Pass@1",
        predict=lambda f: f(tree_of(FEATURES), 0.3, 41, "rloo", 2, extra_rollouts=6).value_sd[AT[1:]],
        measure=_spread(**_EXTRA),
        tolerance=0.1,
        why="The spread of 1,024 drawn runs is good to a few per cent.",
        **(_PASS | {"x": ROUNDS[1:], "y_label": "standard deviation of Pass@1"}),
    ),
    Case(
        instance="4 rollouts of pass_at_k, k = 2, step .2",
        predict=lambda f: f(tree_of(FEATURES), 0.2, 41, "pass_at_k", 4, k=2).value[AT],
        measure=_value(step=0.2, signal="pass_at_2", rollouts=4),
        **_PASS,
        **_DRAWN,
    ),
    Case(
        instance="two questions a round, 4 rollouts of grpo each, by the spread of the batch, step .2",
        predict=lambda f: f(_two(), 0.2, 41, "grpo", 4, eps=EPS, questions=2, normalise="batch").value[AT],
        measure=_value(step=0.2, rollouts=4, questions=2, asked=2, batch=True),
        **_PASS,
        **_DRAWN,
    ),
    Case(
        instance="bent features under 2 rollouts of grpo against a window of 6 scores",
        predict=lambda f: f(tree_of(FEATURES, bent=True), 0.2, 41, "grpo", 2, eps=EPS, window=6).value[AT],
        measure=_value(**_WINDOW, bent=True),
        inside=False,
        why="The kernel does not stay that of the start.",
        **_PASS,
    ),
    Case(
        instance="2 rollouts of grpo against a window of 24 scores that is full at the start, step .4",
        predict=lambda f: f(tree_of(FEATURES), 0.4, 41, "grpo", 2, eps=EPS, window=24).value[AT],
        measure=_value(step=0.4, window=24, full=True),
        inside=False,
        why="The window does not start empty.",
        **_PASS,
    ),
    Case(
        instance="one of two questions a round, a dead group of 2 again up to 6 times, of any question, step .1",
        predict=lambda f: f(_two(), 0.1, 41, "grpo", 2, eps=EPS, questions=1, dynamic_sampling=6).value[AT],
        measure=_value(step=0.1, most=6, questions=2, elsewhere=True),
        inside=False,
        why="A dead group is drawn again of another question.",
        **_PASS,
    ),
)
