"""Scores of branches, ∇ log π(token | prefix): whole or folded, and at the weights that laws of Adam follow.

Also where Adam goes: the sign of a success's mean gradient, and the weights once all have gone some way along it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bandit_rft.theory.sampled_tree import Branch
from llm_bridge.measuring.kept_scores import KeptScores
from llm_bridge.models import placement
from llm_bridge.sampling import scoring
from llm_bridge.sampling.buckets import bucket

if TYPE_CHECKING:
    from llm_bridge.language_model import LanguageModel

Array = jax.Array
PyTree = Any
Kept = Literal["whole", "sketch", "nothing"]  # of a score, beside its entries at the chosen weights

SKETCH = 1 << 18  # numbers that a folded score has
_SCORED_AT_ONCE = 8
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
    model: LanguageModel,
    params: PyTree,
    prompt: np.ndarray,
    branches: Sequence[Branch],
    temperature: float,
    chosen: Chosen,
    remat: bool,
    tell: Callable[[int, int], None],
    store: KeptScores | None,
    *,
    picks_only: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """(features [K, D or F], scores at the chosen weights [K, J]), both float32.

    tell: (done, all). store: scores that were made before, and where each is kept; None: nowhere. picks_only: features
    are [K, 0].
    """
    sketched, within = chosen.signs is not None, [jnp.asarray(one) for one in chosen.within]
    kept: Kept = "nothing" if picks_only else "sketch" if sketched else "whole"
    width = {"nothing": 0, "sketch": SKETCH, "whole": chosen.dimension}[kept]
    features = np.empty((len(branches), width), np.float32)
    at = np.empty((len(branches), chosen.coordinates), np.float32)
    # Models whose scores fit are scored several at a time; larger ones one by one.
    together = 1 if sketched else min(_SCORED_AT_ONCE, max(1, len(branches)))
    order = sorted(range(len(branches)), key=lambda k: len(branches[k].prefix))
    found = {} if store is None else store.read()
    for k, numbers in found.items():
        features[k], at[k] = numbers[: features.shape[1]], numbers[features.shape[1] :]
    for start in range(0, len(order), together):
        rows = order[start : start + together]
        if found.keys() >= set(rows):
            continue
        filled = rows + [rows[0]] * (together - len(rows))
        tokens = np.zeros((together, bucket(max(len(branches[k].prefix) for k in filled) + 1, smallest=16)), np.int32)
        place = np.zeros(together, np.int32)
        for row, k in enumerate(filled):
            token = branches[k].token
            assert token is not None
            tokens[row, : len(branches[k].prefix) + 1] = (*branches[k].prefix, token)
            place[row] = len(branches[k].prefix)
        folded, picked = _scores(
            params,
            jnp.asarray(prompt),
            jnp.asarray(tokens),
            jnp.asarray(place),
            chosen.signs if kept == "sketch" else None,
            within,
            model.graphdef,
            temperature,
            remat,
            kept,
        )
        features[rows], at[rows] = (placement.on_host(one)[: len(rows)] for one in (folded, picked))
        if store is not None:
            for k in rows:
                store.add(k, np.concatenate([features[k], at[k]]))
        tell(start + len(rows), len(order))
    return features, at


@partial(jax.jit, static_argnums=(6, 7, 8, 9))
def _scores(
    params: PyTree,
    prompt: Array,
    tokens: Array,
    place: Array,
    signs: list[Array] | None,
    within: list[Array],
    graphdef: Any,
    temperature: float,
    remat: bool,
    kept: Kept,
) -> tuple[Array, Array]:
    """Of ∇ log π(token at `place` | those before) for each row of tokens [B, T]: (features [B, ·], picks [B, J])."""

    def one(row: Array, at: Array) -> tuple[Array, Array]:
        def log_prob(weights: PyTree) -> Array:
            found = scoring.token_log_probs(
                graphdef, weights, prompt, row[None], at[None] + 1, temperature=temperature, remat=remat
            )
            return found[0, at]

        leaves = [leaf.astype(jnp.float32).reshape(-1) for leaf in jax.tree.leaves(jax.grad(log_prob)(params))]
        picked = _picked(leaves, within)
        if kept == "nothing":
            return jnp.zeros(0, jnp.float32), picked
        if signs is None:
            return jnp.concatenate(leaves), picked
        total, offset = jnp.zeros(SKETCH, jnp.float32), 0
        for leaf, sign in zip(leaves, signs, strict=True):
            signed = jnp.pad(leaf * sign.astype(jnp.float32), (0, -leaf.size % SKETCH))
            # Each leaf starts where the last one ended, so that small ones do not share their places.
            total += jnp.roll(signed.reshape(-1, SKETCH).sum(axis=0), offset)
            offset = (offset + leaf.size) % SKETCH
        return total, picked

    return jax.vmap(one)(tokens, place)


def _picked(leaves: Sequence[Array], within: Sequence[Array]) -> Array:
    return jnp.concatenate([leaf.reshape(-1)[index] for leaf, index in zip(leaves, within, strict=True)])


def toward(
    model: LanguageModel,
    params: PyTree,
    prompt: np.ndarray,
    correct: Sequence[np.ndarray],
    log_probs: Sequence[float],
    temperature: float,
    remat: bool,
    chosen: Chosen,
) -> tuple[PyTree, float, np.ndarray]:
    """(the sign of each weight's slope of ln p as the correct responses have it, the way along them that raises ln p by
    1 to first order, float32 [J] the slopes at the chosen weights): where Adam's first step on a success goes.

    correct: [R] responses, their tokens. log_probs: [R] of each, whole.
    """
    shares = np.exp(np.asarray(log_probs) - np.logaddexp.reduce(log_probs))
    total: PyTree = None
    for tokens, share in zip(correct, shares, strict=True):
        padded = np.zeros((1, bucket(tokens.size, smallest=16)), np.int32)
        padded[0, : tokens.size] = tokens
        rows = (jnp.asarray(padded), jnp.asarray([tokens.size], jnp.int32), jnp.float32(share))
        total = _slope(params, total, jnp.asarray(prompt), *rows, model.graphdef, temperature, remat)
    at = np.asarray(placement.on_host(_at(total, [jnp.asarray(one) for one in chosen.within])), np.float32)
    signs, size = _signs(total)
    return signs, 1.0 / float(placement.on_host(size)), at


@partial(jax.jit, static_argnums=(6, 7, 8), donate_argnums=(1,))
def _slope(
    params: PyTree,
    total: PyTree,
    prompt: Array,
    tokens: Array,
    lengths: Array,
    share: Array,
    graphdef: Any,
    temperature: float,
    remat: bool,
) -> PyTree:
    """total (None: 0) and the share of ∇ log π(response)."""

    def log_prob(weights: PyTree) -> Array:
        found = scoring.token_log_probs(
            graphdef, weights, prompt, tokens, lengths, temperature=temperature, remat=remat
        )
        return jnp.where(jnp.arange(tokens.shape[1]) < lengths[:, None], found, 0.0).sum()

    slope = jax.tree.map(lambda leaf: share * leaf.astype(jnp.float32), jax.grad(log_prob)(params))
    return slope if total is None else jax.tree.map(jnp.add, total, slope)


@partial(jax.jit, donate_argnums=(0,))
def _signs(slope: PyTree) -> tuple[PyTree, Array]:
    size = sum(jnp.sum(jnp.sum(jnp.abs(leaf), axis=-1)) for leaf in jax.tree.leaves(slope))
    return jax.tree.map(jnp.sign, slope), jnp.asarray(size)


@jax.jit
def gone(params: PyTree, signs: PyTree, reach: Array) -> PyTree:
    """The weights, each moved by so much along its sign."""
    return jax.tree.map(lambda weight, sign: weight + reach.astype(weight.dtype) * sign, params, signs)


@jax.jit
def _at(leaves: PyTree, within: list[Array]) -> Array:
    return _picked(jax.tree.leaves(leaves), within)
