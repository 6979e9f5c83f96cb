"""Draws from a list of weights by inverse transform, and ties: one pass over the entries each, written for the CPU."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

DIRECT = 32  # up to so many entries are searched as one block
# A comparison in a sum is a branch for XLA's CPU code, taken or not at random; a product and a maximum are not.
_STEEP = 1e300


def choose(
    uniform: jax.Array, weight: jax.Array, value: jax.Array | None = None
) -> tuple[jax.Array, jax.Array, jax.Array | None]:
    """G entries drawn with probability ∝ weight, and the expected value of a draw.

    The cumulative sum has two levels, over blocks of about sqrt(R) entries and inside the block drawn, so that a draw
    costs one pass over the weights. Rounding may push a uniform past the last cumulative weight: the last entry with
    any weight then takes it, never an entry of weight zero and never an index past the end.

    Args:
        uniform: float [G] in [0, 1].
        weight: float [R], at least 0 and not all 0. It is read at both levels: the caller sees to it that XLA does not
            compute it twice where it is dear.
        value: float [R], or None.

    Returns:
        int32 [G] entries, the sum of the weights, and Σ weight · value / Σ weight (None without values).
    """
    entries = weight.shape[0]
    block = entries if entries <= DIRECT else math.ceil(math.sqrt(entries))
    blocks = _in_blocks(weight, block)
    block_end = jnp.cumsum(jnp.sum(blocks, axis=1))
    total = block_end[-1]
    target = uniform * total
    chosen = _first_above(block_end[None], target)
    start = jnp.where(chosen > 0, block_end[jnp.maximum(chosen - 1, 0)], jnp.zeros_like(target))
    entry = chosen * block + _first_above(jnp.cumsum(blocks[chosen], axis=1), target - start)
    # Added up by blocks: a dot product of each seed's own is several times as slow on a CPU.
    expected = None if value is None else jnp.sum(jnp.sum(blocks * _in_blocks(value, block), axis=1)) / total
    return entry.astype(jnp.int32), total, expected


def _in_blocks(values: jax.Array, block: int) -> jax.Array:
    return jnp.pad(values, (0, -values.shape[0] % block)).reshape(-1, block)


def _first_above(cumulative: jax.Array, target: jax.Array) -> jax.Array:
    """int [G], first index whose cumulative weight [G or 1, N] exceeds the target, at most the last that adds any."""
    last = jnp.sum(cumulative < cumulative[:, -1:], axis=1)
    return jnp.minimum(jnp.sum(cumulative <= target[:, None], axis=1), last)


def at_the_top(values: jax.Array) -> jax.Array:
    """1 where an entry of float [R] equals the largest, else 0, float [R].

    Infinities are taken as ±1e300; entries within 1e-300 of the largest count as equal.
    """
    bounded = jnp.clip(values, -_STEEP, _STEEP)
    return jnp.maximum(1 - (jnp.max(bounded) - bounded) * _STEEP, 0.0)
