"""JAX's own random numbers, bit for bit, at a fraction of their cost in a small round on a CPU.

On a CPU JAX computes Threefry-2x32 as a loop of five steps, each of a dozen small operations: five calls a round (two
splits, a fold and two uniforms) are most of a round at ten arms. Written out, a call is one fused operation. On other
backends JAX writes it out itself.

Without it, 10^4 rounds of 64 seeds at ten arms take 1.6 times as long by UCB1 or softmax, and 1.1 times by Thompson
sampling, once compiled; it compiles in the same time (`python benchmarks/own_code.py ucb1 softmax thompson`).
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.random import define_prng_impl

ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))

Words = tuple[jax.Array, jax.Array]


def threefry2x32(key: jax.Array, count: Words) -> Words:
    """Threefry-2x32 with 20 rounds (Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3").

    Args:
        key: uint32 [2].
        count: two uint32 arrays of one shape.

    Returns:
        Two uint32 arrays of that shape.
    """
    schedule = (key[0], key[1], key[0] ^ key[1] ^ jnp.uint32(0x1BD11BDA))
    x0, x1 = count[0] + schedule[0], count[1] + schedule[1]
    for group in range(5):
        for rotation in ROTATIONS[group % 2]:
            x0 = x0 + x1
            x1 = ((x1 << jnp.uint32(rotation)) | (x1 >> jnp.uint32(32 - rotation))) ^ x0
        x0 = x0 + schedule[(group + 1) % 3]
        x1 = x1 + (schedule[(group + 2) % 3] + jnp.uint32(group + 1))
    return x0, x1


def _numbered(shape: tuple[int, ...]) -> Words:
    """The places of an array counted in row-major order, as high and low words."""
    size = math.prod(shape)
    if size >= 2**32:  # the high word would no longer be 0
        raise ValueError(f"{size} random numbers are asked for at once: fewer than 2^32 can be had.")
    low = jnp.arange(size, dtype=jnp.uint32).reshape(shape)
    return jnp.zeros_like(low), low


def _seed(seed: jax.Array) -> jax.Array:
    return jax.random.key_data(jax.random.key(seed, impl="threefry2x32"))


def _split(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    return jnp.stack(threefry2x32(key, _numbered(tuple(shape))), axis=-1)


def _fold_in(key: jax.Array, data: Any) -> jax.Array:
    low = jnp.asarray(data).astype(jnp.uint32)
    return jnp.stack(threefry2x32(key, (jnp.zeros_like(low), low)))


def _random_bits(key: jax.Array, bit_width: int, shape: tuple[int, ...]) -> jax.Array:
    high, low = threefry2x32(key, _numbered(tuple(shape)))
    if bit_width == 64:
        return (high.astype(jnp.uint64) << jnp.uint64(32)) | low.astype(jnp.uint64)
    return (high ^ low).astype({8: jnp.uint8, 16: jnp.uint16, 32: jnp.uint32}[bit_width])


_WRITTEN_OUT = define_prng_impl(
    key_shape=(2,), seed=_seed, split=_split, random_bits=_random_bits, fold_in=_fold_in, name="threefry", tag="thr"
)
# The implementations of these random numbers: JAX's, and the one here.
THREEFRY = ("threefry2x32", _WRITTEN_OUT)


def quick(key: jax.Array) -> jax.Array:
    """The same keys in the form whose numbers cost least here; theirs are the same bits.

    Keys of another implementation than JAX's default, or under jax_threefry_partitionable = False (other bits), or off
    the CPU, are returned as they are.
    """
    default = jax.random.key_impl(key) == "threefry2x32"
    partitionable = jax.config.jax_threefry_partitionable  # type: ignore[attr-defined]
    if not (default and partitionable and jax.default_backend() == "cpu"):
        return key
    return jax.random.wrap_key_data(jax.random.key_data(key), impl=_WRITTEN_OUT)


def plain(tree: Any) -> Any:
    """The tree with every key that `quick` made as JAX's own again."""

    def one(leaf: Any) -> Any:
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) and jax.random.key_impl(leaf) == _WRITTEN_OUT:
            return jax.random.wrap_key_data(jax.random.key_data(leaf), impl="threefry2x32")
        return leaf

    return jax.tree.map(one, tree)
