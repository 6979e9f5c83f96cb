"""Scores of branches, ∇ log π(token | prefix): whole or folded, and at the weights that laws of Adam follow.

Also where Adam goes: the sign of a success's mean gradient, and the weights once all have gone some way along it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bandit_rft.theory.sampled_tree import Branch
from llm_bridge.measuring.kept_scores import KeptScores
from llm_bridge.measuring.prompt_scores import Part, PromptScores, add, nothing
from llm_bridge.models import placement

Array = jax.Array
PyTree = Any

SKETCH = 1 << 18  # numbers that a folded score has
_SIGNS = 0  # seed of the sketch's signs and of the weights chosen for Adam: the same for all trees of a model


class Chosen(NamedTuple):
    """What is kept of a score of D numbers, the same for all trees of a model.

    Attributes:
        signs: int8 of each leaf's size, for a sketch; None: scores are kept whole.
        within: int [J_i], places in each flattened leaf of the weights whose entries are kept for Adam.
        dimension: D.
    """

    signs: list[np.ndarray] | None
    within: list[np.ndarray]
    dimension: int

    @property
    def coordinates(self) -> int:
        """J."""
        return sum(one.size for one in self.within)


def choose(params: PyTree, coordinates: int, sketched: bool) -> Chosen:
    """Of these weights, so many coordinates, all where there are fewer."""
    sizes = [leaf.size for leaf in jax.tree.leaves(params)]
    dimension = sum(sizes)
    generator = np.random.default_rng(_SIGNS)
    signs = [generator.integers(0, 2, size, np.int8) * 2 - 1 for size in sizes] if sketched else None
    chosen = np.sort(generator.choice(dimension, min(coordinates, dimension), replace=False))
    within = [
        chosen[(chosen >= end - size) & (chosen < end)] - (end - size)
        for end, size in zip(np.cumsum(sizes), sizes, strict=True)
    ]
    return Chosen(signs, within, dimension)


def branch_scores(
    scores: PromptScores,
    params: PyTree,
    branches: Sequence[Branch],
    chosen: Chosen,
    tell: Callable[[int, int], None],
    store: KeptScores | None,
    *,
    picks_only: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(features [K, D or F], scores at the chosen weights [K, J], ln π(token | prefix) [K]), all float32.

    tell: (done, all). store: scores that were made before, and where each is kept; None: nowhere. picks_only: features
    are [K, 0].
    """
    within = [jnp.asarray(one) for one in chosen.within]
    width = 0 if picks_only else chosen.dimension if chosen.signs is None else SKETCH
    found = np.empty((len(branches), width + chosen.coordinates + 1), np.float32)
    kept = {} if store is None else store.read()
    for k, numbers in kept.items():
        found[k] = numbers
    done = set(kept)
    for some in scores.gradients(params, [_single(branch) for branch in branches], known=kept):
        parts = [_picked(some.slopes, within), some.values[:, None]]
        if not picks_only:
            parts.insert(0, _flat(some.slopes) if chosen.signs is None else _folded(some.slopes, chosen.signs))
        found[some.rows] = np.concatenate([placement.on_host(part)[: len(some.rows)] for part in parts], axis=1)
        if store is not None:
            for k in some.rows:
                store.add(k, found[k])
        done.update(some.rows)
        del some, parts  # before there are other scores
        tell(len(done), len(branches))
    return found[:, :width], found[:, width:-1], found[:, -1]


def numbers_kept(chosen: Chosen, picks_only: bool) -> int:
    """float32 that `branch_scores` keeps of a sketched branch."""
    return (0 if picks_only else SKETCH) + chosen.coordinates + 1


def _single(branch: Branch) -> Part:
    """The last of a prefix's tokens and one more."""
    assert branch.token is not None
    tokens = np.asarray((*branch.prefix, branch.token), np.int32)
    weights = np.zeros(tokens.size, np.float32)
    weights[-1] = 1.0
    return Part(tokens, weights)


@jax.jit
def _flat(slopes: PyTree) -> Array:
    """float32 [B, D]."""
    leaves = jax.tree.leaves(slopes)
    return jnp.concatenate([leaf.astype(jnp.float32).reshape(leaf.shape[0], -1) for leaf in leaves], axis=1)


@jax.jit
def _folded(slopes: PyTree, signs: list[Array]) -> Array:
    """float32 [B, F], the sketch."""

    def one(row: PyTree) -> Array:
        total, offset = jnp.zeros(SKETCH, jnp.float32), 0
        for leaf, sign in zip(jax.tree.leaves(row), signs, strict=True):
            signed = leaf.astype(jnp.float32).reshape(-1) * sign.astype(jnp.float32)
            padded = jnp.pad(signed, (0, -leaf.size % SKETCH))
            # Each leaf starts where the last one ended, so that small ones do not share their places.
            total += jnp.roll(padded.reshape(-1, SKETCH).sum(axis=0), offset)
            offset = (offset + leaf.size) % SKETCH
        return total

    return jax.vmap(one)(slopes)


@jax.jit
def _picked(slopes: PyTree, within: list[Array]) -> Array:
    """float32 [B, J]."""
    pairs = zip(jax.tree.leaves(slopes), within, strict=True)
    return jnp.concatenate(
        [leaf.reshape(leaf.shape[0], -1)[:, index].astype(jnp.float32) for leaf, index in pairs], axis=1
    )


def toward(
    scores: PromptScores,
    params: PyTree,
    correct: Sequence[np.ndarray],
    log_probs: Sequence[float],
    chosen: Chosen,
) -> tuple[PyTree, float, np.ndarray]:
    """(the sign of each weight's slope of ln p as the correct responses have it, the way along them that raises ln p by
    1 to first order, float32 [J] the slopes at the chosen weights): where Adam's first step on a success goes.

    correct: [R] responses, their tokens. log_probs: [R] of each, whole.
    """
    shares = np.exp(np.asarray(log_probs) - np.logaddexp.reduce(log_probs))
    total = nothing(scores.model, params)
    parts = [Part(tokens, np.full(tokens.size, share)) for tokens, share in zip(correct, shares, strict=True)]
    for some in scores.gradients(params, parts):
        total = add(total, some.slopes, some.of_rows(np.ones(len(some.rows))))
        del some
    within = [jnp.asarray(one) for one in chosen.within]
    at = placement.on_host(_picked(jax.tree.map(lambda leaf: leaf[None], total), within))[0]
    signs, size = _signs(total)
    return signs, 1.0 / float(placement.on_host(size)), np.asarray(at, np.float32)


@partial(jax.jit, donate_argnums=(0,))
def _signs(slope: PyTree) -> tuple[PyTree, Array]:
    size = sum(jnp.sum(jnp.sum(jnp.abs(leaf), axis=-1)) for leaf in jax.tree.leaves(slope))
    return jax.tree.map(jnp.sign, slope), jnp.asarray(size)


@jax.jit
def gone(params: PyTree, signs: PyTree, reach: Array) -> PyTree:
    """The weights, each moved by so much along its sign."""
    return jax.tree.map(lambda weight, sign: weight + reach.astype(weight.dtype) * sign, params, signs)
