"""Draws from a list of weights by inverse transform, written for the CPU: every step is one pass or a small table, none
a loop over the entries.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

LANES = 16  # entries summed side by side: a multiple of every vector register's width in float64
DIRECT = 32  # up to so many entries a prefix sum is a table of entries × entries


def choose(uniform: jax.Array, weight: jax.Array) -> tuple[jax.Array, jax.Array]:
    """G entries drawn with probability ∝ weight.

    Entries stand in `LANES` columns: a column is chosen by the columns' sums, then the entry inside it by the same
    means. Rounding may push a uniform past the last cumulative weight: the last entry with any weight then takes
    it, never an entry of weight zero and never an index past the end.

    Args:
        uniform: float [G] in [0, 1].
        weight: float [R], at least 0 and not all 0.

    Returns:
        int32 [G] entries, and the sum of the weights.
    """
    total = jnp.sum(lanes(weight), axis=0)
    total = jnp.sum(total)
    entry = _descend(uniform * total, jnp.broadcast_to(weight, (*uniform.shape, *weight.shape)))
    return entry.astype(jnp.int32), total


def lanes(values: jax.Array) -> jax.Array:
    """[ceil(R / LANES), LANES], zeros past the end: a sum or maximum over axis 0 runs in vector registers, as one along
    the entries themselves would not.
    """
    return jnp.pad(values, (0, -values.shape[0] % LANES)).reshape(-1, LANES)


def largest(values: jax.Array) -> jax.Array:
    """The maximum of float [R], as `lanes` lets it run fast."""
    padded = jnp.pad(values, (0, -values.shape[0] % LANES), constant_values=-jnp.inf)
    return jnp.max(jnp.max(padded.reshape(-1, LANES), axis=0))


def _descend(target: jax.Array, weight: jax.Array) -> jax.Array:
    """int [G]: for each target, the first entry of its own weight [G, R] whose cumulative weight exceeds it."""
    entries = weight.shape[-1]
    if entries <= DIRECT:
        return _first_above(_cumulative(weight), target)
    table = jnp.pad(weight, ((0, 0), (0, -entries % LANES))).reshape(weight.shape[0], -1, LANES)
    ends = _cumulative(jnp.sum(table, axis=1))
    lane = _first_above(ends, target)
    pick = jax.vmap(lambda values, index: values[..., index])
    start = jnp.where(lane > 0, pick(ends, jnp.maximum(lane - 1, 0)), jnp.zeros_like(target))
    return _descend(target - start, pick(table, lane)) * LANES + lane


def _cumulative(weight: jax.Array) -> jax.Array:
    """Inclusive prefix sums along the last axis of [G, N], N small."""
    entries = weight.shape[-1]
    before = jnp.arange(entries)[:, None] <= jnp.arange(entries)
    return jnp.sum(jnp.where(before, weight[:, :, None], 0.0), axis=1)


def _first_above(cumulative: jax.Array, target: jax.Array) -> jax.Array:
    """int [G], first index whose cumulative weight exceeds the target, at most the last index that adds weight."""
    last = jnp.sum(cumulative < cumulative[:, -1:], axis=1)
    return jnp.minimum(jnp.sum(cumulative <= target[:, None], axis=1), last)
