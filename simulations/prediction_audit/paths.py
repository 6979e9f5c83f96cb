"""The tree law's own error, without chance: success by success, the model itself against the law.

A row's half-time is that of a few seeds, so that it says little of an error below a quarter. But all chance in a run of
one rollout and the raw reward is in the waits, which are Geometric(p_n), and in which correct response comes next. So
the model is taken along sequences of correct responses, each drawn by its own probabilities, with the update of the
run; before each of them its p_n is computed, as the sum over the correct responses that the measurement showed. The
law is taken along the same sequences. Compared is what the waits take in the mean until Pass@1 is at the level,
the sum of 1/p_n below it, of the law over that of the model. A difference has three possible causes:

- *The step is finite.* The same with a quarter of the step.
- *The kernel drifts.* The tree is measured anew half-way, on the weights of each sequence, and the law goes on from it.
- *The tree is pruned.* It is what is left where neither of the two helps.

Adam's steps depend on the rounds between successes too: `adam_paths` has them.

Of correct responses that no sample showed neither side knows; `unseen` estimates their share of p0 by those that were
drawn once (Good and Turing).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bandit_rft.errors import InputError
from bandit_rft.keys import as_key
from bandit_rft.theory import ResponseTree
from bandit_rft.theory.sampled_tree import GrownTree, TreeSample
from llm_bridge.bandits.question_arms import PromptArms, verifier_of
from llm_bridge.data import datasets
from llm_bridge.language_model import LanguageModel
from llm_bridge.measuring.measure import Measurement
from llm_bridge.measuring.response_tree import measure_tree
from llm_bridge.sampling import scoring
from llm_bridge.sampling.buckets import bucket
from simulations.prediction_audit.design import MEASURE_KEY, Condition, Tier, named, run_key
from simulations.prediction_audit.half_times import level_of

PyTree = Any

SEQUENCES = 4  # of correct responses; one where the measurement shows only one
MOST = 600  # successes in a sequence
FINER = 4  # by which the step is divided
LARGE = math.log2(1.05)  # of an error, from which on its causes are looked for


class Course(NamedTuple):
    """What a sequence showed: p before each of its N successes and after the last, float64 [N + 1]."""

    law: np.ndarray
    itself: np.ndarray


def waiting(values: np.ndarray, level: float) -> float:
    """Mean rounds until Pass@1 is at the level: the sum of 1/p_n below it, the last of them in proportion to how far
    into its step the level is; inf where it is not reached. values: float64 [N + 1]."""
    reached = np.flatnonzero(values >= level)
    if not reached.size:
        return math.inf
    n = int(reached[0])
    if n == 0:
        return 0.0
    part = (level - values[n - 1]) / (values[n] - values[n - 1])
    return float((1.0 / values[: n - 1]).sum() + part / values[n - 1])


def leaf_of(grown: GrownTree, tokens: Sequence[int]) -> int | None:
    """The edge at which a response ends in a tree; None where it leaves the tree at a token that is no decision."""
    node = 0
    while True:
        edges = np.flatnonzero(grown.node == node)
        prefix = grown.branches[edges[0]].prefix
        if tuple(tokens[: len(prefix)]) != prefix or len(tokens) == len(prefix):
            return None
        token = tokens[len(prefix)]
        taken = [edge for edge in edges if grown.branches[edge].token == token]
        taken = taken or [edge for edge in edges if grown.branches[edge].token is None]
        if not taken:
            return None
        if grown.child[taken[0]] < 0:
            return int(taken[0])
        node = int(grown.child[taken[0]])


class Model:
    """The model on the correct responses that a measurement showed: their probabilities, and a step on one of them."""

    def __init__(self, model: LanguageModel, prompt: np.ndarray, responses: Sequence[Sequence[int]]) -> None:
        width = bucket(max(map(len, responses)), smallest=16)
        tokens = np.zeros((len(responses), width), np.int32)
        for row, one in enumerate(responses):
            tokens[row, : len(one)] = one
        lengths = jnp.asarray([len(one) for one in responses], jnp.int32)
        self._tokens, self._lengths = jnp.asarray(tokens), lengths
        asked = jnp.asarray(prompt)

        def log_probs(params: PyTree, tokens: jax.Array, lengths: jax.Array) -> jax.Array:
            found = scoring.token_log_probs(model.graphdef, params, asked, tokens, lengths, temperature=1.0)
            return jnp.where(jnp.arange(tokens.shape[1]) < lengths[:, None], found, 0.0).sum(axis=1)

        def slope(params: PyTree, tokens: jax.Array, length: jax.Array) -> PyTree:
            return jax.grad(lambda weights: log_probs(weights, tokens[None], length[None])[0])(params)

        def step(params: PyTree, tokens: jax.Array, length: jax.Array, size: jax.Array) -> PyTree:
            slopes = slope(params, tokens, length)
            return jax.tree.map(lambda weight, one: weight + size.astype(weight.dtype) * one, params, slopes)

        self._log_probs, self._slope, self._step = jax.jit(log_probs), jax.jit(slope), jax.jit(step)

    def probabilities(self, params: PyTree) -> np.ndarray:
        """float64 [R]."""
        return np.exp(np.asarray(self._log_probs(params, self._tokens, self._lengths), np.float64))

    def slope(self, params: PyTree, which: int) -> PyTree:
        """The gradient of the log-probability of one of the responses."""
        return self._slope(params, self._tokens[which], self._lengths[which])

    def learnt(self, params: PyTree, which: int, size: float) -> PyTree:
        """The weights after a gradient step on the log-probability of one of the responses."""
        return self._step(params, self._tokens[which], self._lengths[which], jnp.float32(size))


class Law:
    """The tree law along given responses.

    Args:
        sample: what was measured. responses: those that may come. step_size: eta.
    """

    def __init__(self, sample: TreeSample, responses: Sequence[Sequence[int]], step_size: float) -> None:
        self.tree: ResponseTree = sample.tree()
        place = {int(edge): row for row, edge in enumerate(self.tree.leaves)}
        grown = sample.grown()
        edges = [leaf_of(grown, one) for one in responses]
        self._leaves = [None if edge is None else place[edge] for edge in edges]
        self._kernel, self._logits = step_size * self.tree.gram, self.tree.log_prob[None]

    @property
    def value(self) -> float:
        """p."""
        return float(min(1.0, (self.tree.walks(self._logits).path @ self.tree.leaf_reward)[0]))

    def hear(self, which: int) -> None:
        """Learn from a success. One that is not on the tree moves nothing."""
        leaf = self._leaves[which]
        if leaf is not None:
            walks = self.tree.walks(self._logits)
            self._logits = self._logits + self.tree.score(walks, np.array([leaf])) @ self._kernel


def follow(
    model: Model,
    params: PyTree,
    law: Law,
    step_size: float,
    level: float,
    generator: np.random.Generator,
) -> Course:
    """One sequence, until both are at the level."""
    seen, said = [], []
    for _ in range(MOST + 1):
        chances = model.probabilities(params)
        seen.append(float(chances.sum()))
        said.append(law.value)
        if min(seen[-1], said[-1]) >= level:
            break
        which = int(generator.choice(chances.size, p=chances / chances.sum()))
        params = model.learnt(params, which, step_size)
        law.hear(which)
    return Course(np.array(said), np.array(seen))


def unseen(sample: TreeSample) -> float:
    """The estimated share of p0 that is in correct responses which the sample does not hold."""
    right = [count for count, reward in zip(sample.counts, sample.rewards, strict=True) if reward > 0.5]
    return sum(count == 1 for count in right) / sum(right)


class Start(NamedTuple):
    """What a path begins with: the question, what was measured of it, and the model among its correct responses."""

    example: Any
    sample: TreeSample
    tree: ResponseTree
    level: float
    responses: list[tuple[int, ...]]
    own: Model


def start_of(model: LanguageModel, task: str, question: int, measured: Measurement) -> Start:
    """Raises InputError where there is no success in the measurement, or too little of the policy in its tree."""
    tree = measured.summary().tree
    assert measured.tree is not None
    assert tree is not None
    tree.refuse()
    sample = measured.tree.sample
    example = datasets.load(task, "train").example(question)
    prompt = PromptArms(model, example.prompt, verifier_of(None, example)).prompt_tokens
    responses = [one for one, reward in zip(sample.tokens, sample.rewards, strict=True) if reward > 0.5]
    return Start(example, sample, tree, level_of(tree.p0), responses, Model(model, prompt, responses))


def path(
    tier: Tier, model: LanguageModel, task: str, question: int, condition: Condition, measured: Measurement
) -> dict[str, Any]:
    """The law's own error under SGD and the raw reward, and from `LARGE` on what its causes would show.

    Returns:
        What names the run; `law` and `itself`, mean rounds to the level by the law and by the model itself; `finer_law`
        and `finer_itself`, the same with a quarter of the step; `anew`, the model's own rounds for half of the
        successes and from there the law's, by trees measured there; None where they were not looked for, or the level
        is not reached. `unseen`; `sequences`, how many; `successes`, their mean length.

    Raises:
        InputError: no success in the measurement, or too little of the policy in the tree.
    """
    example, sample, tree, level, responses, own = start_of(model, task, question, measured)
    step = condition.step / tree.kappa
    count = 1 if len(responses) == 1 else SEQUENCES
    key = run_key(model.name, task, question, condition)
    courses = functools.partial(_courses, own, model.params, sample, responses, level, key, count)
    found = courses(step)
    said, seen = _times(found, level)
    result: dict[str, Any] = {
        **named(tier, model, task, question, condition),
        "p0": tree.p0,
        "level": level,
        "sequences": count,
        "successes": float(np.mean([one.itself.size - 1 for one in found])),
        "law": finite(said),
        "itself": finite(seen),
        "finer_law": None,
        "finer_itself": None,
        "anew": None,
        "unseen": unseen(sample),
    }
    if math.isfinite(said) and math.isfinite(seen) and abs(math.log2(said / seen)) < LARGE:
        return result
    finer = courses(step / FINER)
    result["finer_law"], result["finer_itself"] = map(finite, _times(finer, level))
    result["anew"] = _anew(tier, model, example, own, responses, found, step, level, key)
    return result


def _times(courses: Sequence[Course], level: float) -> tuple[float, float]:
    """Mean rounds to the level, by the law and by the model itself."""
    said = np.mean([waiting(course.law, level) for course in courses])
    return float(said), float(np.mean([waiting(course.itself, level) for course in courses]))


def finite(value: float) -> float | None:
    """None in place of inf, which JSON has not."""
    return value if math.isfinite(value) else None


def _courses(
    own: Model,
    params: PyTree,
    sample: TreeSample,
    responses: Sequence[Sequence[int]],
    level: float,
    key: int,
    count: int,
    step: float,
) -> list[Course]:
    return [
        follow(own, params, Law(sample, responses, step), step, level, np.random.default_rng((key, number)))
        for number in range(count)
    ]


def _anew(
    tier: Tier,
    model: LanguageModel,
    example: Any,
    own: Model,
    responses: Sequence[Sequence[int]],
    found: Sequence[Course],
    step: float,
    level: float,
    key: int,
) -> float | None:
    """Mean rounds to the level where the law goes on from a tree that is measured anew half-way."""
    times = []
    for number, course in enumerate(found):
        half = (course.itself.size - 1) // 2
        params, generator = model.params, np.random.default_rng((key, number))
        for _ in range(half):
            chances = own.probabilities(params)
            params = own.learnt(params, int(generator.choice(chances.size, p=chances / chances.sum())), step)
        again = measure_tree(
            model,
            example.prompt,
            verifier_of(None, example),
            key=jax.random.fold_in(as_key(MEASURE_KEY), 20_000 + number),
            max_tokens=tier.max_tokens,
            rollouts=tier.responses,
            batch=min(64, tier.batch),
            params=params,
        )
        try:
            law = Law(again.sample, responses, step)
        except InputError:  # every response takes the same path: it stays as it is
            return None
        rest = follow(own, params, law, step, level, generator)
        times.append(float((1.0 / course.itself[:half]).sum()) + waiting(rest.law, level))
    return finite(float(np.mean(times)))
