"""The tree of decisions that a model's sampled responses show, with the kernel of their scores.

    sample = measure_tree(model, prompt, verifier, key=0, max_tokens=32)
    theory.tree_jump(sample.tree(), step_size=0.01, rounds=300)

The score of a branch is ∇ log π(token | prefix), one backward pass; `theory.grow` says which branches need one. Scores
are compared exactly where K × D float32 fit the memory given, else by a sketch: each score times random signs, folded
to F numbers, which keeps inner products up to a relative error of 1/√F of the two norms.

For laws of Adam the scores are also kept at some weights, and measured there once more after all weights have gone some
way along the sign of a success's gradient. Adam moves every weight by about the same, so that for the same gain in ln π
it goes much farther than a gradient step does, and the scores turn on its way.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from bandit_rft.theory import ForestSample, ResponseTree
from bandit_rft.theory.sampled_tree import MovedScores, TreeSample, grow
from llm_bridge.bandits.text_rewards import Verifier
from llm_bridge.measuring import branch_scores
from llm_bridge.measuring.kept_scores import KeptScores, digest_of
from llm_bridge.measuring.prompt_scores import PromptScores
from llm_bridge.measuring.sampled import Response, sampled

if TYPE_CHECKING:
    from llm_bridge.bandits.response_arms import Prompt
    from llm_bridge.language_model import LanguageModel

Array = jax.Array
PyTree = Any

MEMORY = 1 << 30  # bytes that exact scores may take
_FAR = 2.0  # times what a share is in the mean, beyond which it is taken for that


@dataclass(frozen=True, eq=False)
class MeasuredTree:
    """A sample of responses, and the features of its branches' scores, from which kernels with other trees follow.

    Attributes:
        sample: responses with their kernel.
        features: float32 [K, D], or [K, F] where they are sketched.
    """

    sample: TreeSample
    features: np.ndarray

    def tree(self) -> ResponseTree:
        """The tree with its kernel. Raises InputError where there is no decision in it."""
        return self.sample.tree()

    def cross(self, train: MeasuredTree) -> np.ndarray:
        """float64 [E, E'], inner products of this tree's edges with those of another, for `theory.tree_transfer`."""
        between = _products(self.features, train.features)
        own, other = (one.sample.rows(one.sample.grown()) for one in (self, train))
        return own @ between @ other.T


def forest_of(measured: Sequence[MeasuredTree]) -> ResponseTree:
    """The tree of several questions of one model, drawn with equal chances (`theory.forest`), with the kernel between
    them: its laws are those of a batch of questions.

    Raises:
        InputError: no question in whose responses there is a decision.
    """
    return forest_sample(measured).tree()


def forest_sample(measured: Sequence[MeasuredTree]) -> ForestSample:
    """The responses to several questions of one model with the kernel between their branches, for a file and for the
    bootstrap.
    """
    between = {
        (i, j): _products(measured[i].features, measured[j].features) for i in range(len(measured)) for j in range(i)
    }
    return ForestSample(tuple(one.sample for one in measured), between)


def measure_tree(
    model: LanguageModel,
    prompt: Prompt,
    verifier: Verifier,
    *,
    coordinates: int = 0,
    memory: int = MEMORY,
    sketched: bool | None = None,
    remat: bool = False,
    **sampling: Any,
) -> MeasuredTree:
    """Sample responses to a prompt and measure the tree of their decisions.

    Args:
        model, prompt, verifier, remat: as `measure` takes them.
        coordinates: weights drawn at random at which scores are kept for laws of Adam; 0: none. They are measured once
            more where Adam goes (`MovedScores`), unless the weights have 16 bits, which round such a way off.
        memory: bytes that exact scores may take, K × D × 4; above, they are sketched.
        sketched: whether they are, whatever their size; None: by `memory`. Trees that are to be compared need the same.
        sampling: key, max_tokens, rollouts, batch, temperature, params and progress, as `measure` takes them; the same
            key samples the same responses.

    Raises:
        InputError: a count below 1, or a prompt that does not fit the model's context.
    """
    sample = sampled(model, prompt, verifier, what="A tree", phases=2, **sampling)
    return tree_of(
        model,
        sample.prompt,
        sample.responses,
        params=sample.params,
        temperature=sampling.get("temperature", 1.0),
        coordinates=coordinates,
        memory=memory,
        sketched=sketched,
        remat=remat,
        batch=sampling.get("batch", 32),
        tell=partial(sample.tell, 1),
    )


def tree_of(
    model: LanguageModel,
    prompt: np.ndarray,
    responses: Sequence[Response],
    *,
    params: PyTree,
    temperature: float = 1.0,
    coordinates: int = 0,
    memory: int = MEMORY,
    sketched: bool | None = None,
    remat: bool = False,
    batch: int = 32,
    turning: bool = True,
    tell: Callable[[int, int], None] = lambda done, total: None,
    kept: Path | None = None,
) -> MeasuredTree:
    """The tree of responses that were sampled before; arguments as `measure_tree` takes them, `tell` (done, all).

    turning: whether scores at coordinates are measured once more where Adam goes.
    kept: a file in which sketched scores stand as they come (1 MB each), to be found by a measurement that is repeated
        after it was killed; None: none. Scores that are not sketched are those of small models, and quickly made again.
    """
    prompt = np.asarray(prompt, np.int32)
    longest = max((one.tokens.size for one in responses), default=1)
    scores = PromptScores(
        model=model, prompt=prompt, longest=longest, temperature=temperature, remat=remat, batch=batch
    )
    log_probs = scores.log_probs(params, [one.tokens for one in responses])
    tokens = [tuple(map(int, one.tokens)) for one in responses]
    rewards, counts = [float(one.correct) for one in responses], [one.count for one in responses]
    branches = grow(tokens, rewards, counts, log_probs).scored
    dimension = sum(leaf.size for leaf in jax.tree.leaves(params))
    if sketched is None:
        sketched = len(branches) * dimension * 4 > memory
    chosen = branch_scores.choose(params, coordinates, sketched)
    correct = [(one.tokens, float(log.sum())) for one, log in zip(responses, log_probs, strict=True) if one.correct]
    floats = all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(params))
    twice = bool(turning and coordinates and correct and branches and floats)
    known = (prompt, *log_probs, [(one.prefix, one.token) for one in branches], dimension, coordinates, temperature)
    digest = digest_of(known) if kept is not None and sketched else None

    def scored(weights: PyTree, moved: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        store = None
        if kept is not None and digest is not None:
            path = kept.with_name(f"{kept.stem}-moved{kept.suffix}") if moved else kept
            store = KeptScores(path, digest, branch_scores.numbers_kept(chosen, moved))

        def told(done: int, total: int) -> None:
            tell(done + total * moved, total * (1 + twice))

        return branch_scores.branch_scores(scores, weights, branches, chosen, told, store, picks_only=moved)

    features, at, _ = scored(params, False)
    moved = None
    if twice:
        right, logs = zip(*correct, strict=True)
        signs, reach, slope = branch_scores.toward(scores, params, right, logs, chosen)
        there = branch_scores.gone(params, signs, jnp.float32(reach))
        even, share = slope.size / dimension, float(np.abs(slope).sum()) * reach
        # So far from the mean that few weights were chosen, of which the largest are there or missing by chance.
        share = share if even / _FAR < share < even * _FAR else even
        del signs
        _, turned, log_there = scored(there, True)
        moved = MovedScores(reach, np.sign(slope), turned, log_there.astype(np.float64), share)
    sample = TreeSample(
        tokens=tuple(tokens),
        rewards=tuple(rewards),
        counts=tuple(counts),
        log_probs=tuple(log_probs),
        branches=branches,
        kernel=_products(features, features),
        kernel_error=1 / math.sqrt(branch_scores.SKETCH) if sketched else 0.0,
        coordinates=at if coordinates else None,
        dimension=dimension if coordinates else 0,
        moved=moved,
    )
    return MeasuredTree(sample, features)


def _products(a: np.ndarray, b: np.ndarray, block: int = 1 << 14) -> np.ndarray:
    """a @ b.T in float64, a block of columns at a time.

    Of a decision that is all but certain the score of what is left is a sum of others', a thousand times as large,
    which nearly cancel: products of single precision gave such sums a squared norm below 0.
    """
    found = np.zeros((a.shape[0], b.shape[0]))
    for start in range(0, a.shape[1], block):
        one, other = (part[:, start : start + block].astype(np.float64) for part in (a, b))
        found += one @ other.T
    return found
