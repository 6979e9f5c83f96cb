"""The tree law's own error under AdamW, along rounds that the model itself has gone.

Adam has momentum and a memory of squared gradients, so that it matters at which rounds successes come, and a round
without one moves the weights too. So the model is trained round by round: whether a round is a success, and which
response it is, is drawn by the model's own probabilities, and the law hears of the same responses at the same rounds.
Compared are the rounds until Pass@1, over the correct responses that the measurement showed, is at the level. The law
draws no rounds of its own, so that one that is too slow has the successes of a model that is not: in a run of its own
its error is larger.

Two laws are followed: that of the measurement, and the one in which scores stay what they are at the start.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bandit_rft.theory import ResponseTree
from bandit_rft.theory.sampled_tree import TreeSample
from bandit_rft.theory.sequences.tree import rounds_law
from bandit_rft.theory.update_settings import UpdateSettings
from llm_bridge.language_model import LanguageModel
from llm_bridge.measuring.measure import Measurement
from llm_bridge.training import optimizers, policy_gradient
from simulations.prediction_audit.design import Condition, Tier, named, run_key
from simulations.prediction_audit.half_times import LATE
from simulations.prediction_audit.paths import SEQUENCES, Model, finite, leaf_of, start_of, unseen

PyTree = Any

MOST = 600  # rounds of a sequence
BETAS, EPS = (0.9, 0.999), 1e-8  # of `FineTune`


def crossing(values: Sequence[float], level: float) -> float:
    """Rounds until the values, one before each round, are at the level, between two rounds in proportion; inf where
    they never are."""
    for t, value in enumerate(values):
        if value >= level:
            return float(t) if t == 0 else t - 1 + (level - values[t - 1]) / (value - values[t - 1])
    return math.inf


class AdamLaw:
    """The tree law along given rounds. leaves: of each response the leaf that it ends at, None where off the tree."""

    def __init__(self, tree: ResponseTree, leaves: Sequence[int | None], learning_rate: float) -> None:
        settings = UpdateSettings(step_size=learning_rate, optimizer="adam", adam=(*BETAS, EPS))
        self.tree, self._leaves, self._logits = tree, leaves, tree.log_prob[None]
        self._move = rounds_law(tree, settings).move(tree, 1)

    @property
    def value(self) -> float:
        """p."""
        return float(min(1.0, (self.tree.walks(self._logits).path @ self.tree.leaf_reward)[0]))

    def hear(self, which: int | None) -> None:
        """A round whose response was the correct one of that number, or none of them."""
        leaf = None if which is None else self._leaves[which]
        score = np.zeros((1, self.tree.edges))
        if leaf is not None:
            score = self.tree.score(self.tree.walks(self._logits), np.array([leaf]))
        self._logits = self._logits + self._move(score)


def first_step(sample: TreeSample, tree: ResponseTree) -> dict[str, float | None]:
    """Of Adam's first step on a success, along the sign of its mean gradient g: `farther`, how many times as far it
    goes as a gradient step for the same gain, sqrt(D) |g|_2 / |g|_1; `drawn`, what the weights drawn at random have of
    |g|_1, over their share of all. None where scores were not measured once more.
    """
    if sample.moved is None or sample.coordinates is None:
        return {"farther": None, "drawn": None}
    walks = tree.walks(tree.log_prob[None])
    right = walks.path[0] * tree.leaf_reward
    score = right / right.sum() @ (tree.paths - tree.visits * np.exp(walks.log_q))
    farther = math.sqrt(sample.dimension * float(score @ tree.gram @ score)) * sample.moved.reach
    return {"farther": farther, "drawn": sample.moved.share * sample.dimension / sample.coordinates.shape[1]}


def adam_path(
    tier: Tier, model: LanguageModel, task: str, question: int, condition: Condition, measured: Measurement
) -> dict[str, Any]:
    """Mean rounds to the level under AdamW, raw reward and one rollout: of the model itself, and of the law.

    Returns:
        What names the run; `itself`, `law` and `still` (the law in which scores stay), mean rounds to the level over
        `sequences`, and with `_late` to three quarters, where most rows under AdamW are held; None where it is not
        reached. `unseen`, as in `paths.path`; `farther` and `drawn`, of `first_step`.

    Raises:
        InputError: no success in the measurement, or too little of the policy in the tree.
    """
    _, sample, tree, level, responses, own = start_of(model, task, question, measured)
    grown = sample.grown()
    place = {int(edge): row for row, edge in enumerate(tree.leaves)}
    edges = [leaf_of(grown, one) for one in responses]
    leaves = [None if edge is None else place[edge] for edge in edges]
    still = dataclasses.replace(tree, turned=None, toward=None, stands_for=None)
    key = run_key(model.name, task, question, condition)
    levels, times = (level, LATE), []
    for number in range(SEQUENCES):
        laws = [AdamLaw(one, leaves, condition.step) for one in (tree, still)]
        times.append(_times(own, model.params, laws, condition.step, levels, np.random.default_rng((key, number))))
    found = np.mean(times, axis=0)
    names = ("itself", "law", "still", "itself_late", "law_late", "still_late")
    return {
        **named(tier, model, task, question, condition),
        "p0": tree.p0,
        "level": level,
        "sequences": SEQUENCES,
        **{name: finite(float(value)) for name, value in zip(names, found.ravel(), strict=True)},
        "unseen": unseen(sample),
        **first_step(sample, tree),
    }


def _times(
    own: Model,
    params: PyTree,
    laws: Sequence[AdamLaw],
    rate: float,
    levels: Sequence[float],
    generator: np.random.Generator,
) -> list[list[float]]:
    """By level, rounds to it of the model and of each law in one sequence."""
    optimizer = optimizers.named("adamw", rate, 0.0, BETAS, EPS)
    state = optimizer.init(params)
    courses: list[list[float]] = [[] for _ in range(1 + len(laws))]
    for _ in range(MOST):
        chances = own.probabilities(params)
        for course, value in zip(courses, (float(chances.sum()), *(law.value for law in laws)), strict=True):
            course.append(value)
        if all(max(course) >= max(levels) for course in courses):
            break
        success = generator.random() < courses[0][-1]
        which = int(generator.choice(chances.size, p=chances / chances.sum())) if success else None
        slope = None if which is None else jax.tree.map(jnp.negative, own.slope(params, which))
        params, state = policy_gradient.step_kept(params, state, slope, optimizer=optimizer)
        for law in laws:
            law.hear(which)
    return [[crossing(course, level) for course in courses] for level in levels]
