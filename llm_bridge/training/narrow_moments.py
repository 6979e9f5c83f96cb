"""Moments of an optimiser kept in bfloat16: half the memory of float32, rounded so that their mean is right.

Rounding to the nearest would stop them: with β₂ = .999 a step changes the second moment by a thousandth at most where
gradients are small, and bfloat16 has 2⁻⁸ of a number between it and the next, so the moment would never decay. Each
number is therefore rounded up with the probability of its distance from the one below (stochastic rounding; Gupta et
al. 2015, arXiv 1502.02551): the expectation of what is stored is what was computed in float32.

The random bits are a hash (the finaliser of MurmurHash3) of a number's place and of a word that the count of steps
gives: a run that continues rounds alike, and the seeds of one run share them. A hash of the place is computed where it
is used; bits of a key would first be laid out in memory, for more than narrow moments save. Left out: 8-bit moments
with a scale a block.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from bandit_rft.keys import as_key

Array = jax.Array
PyTree = Any


class Narrow(NamedTuple):
    """State of an optimiser whose moments are narrow.

    Attributes:
        steps: int32, taken so far.
        inner: the optimiser's own state, floating-point arrays of one axis or more in bfloat16.
    """

    steps: Array
    inner: PyTree


@lru_cache(maxsize=64)
def narrow_moments(optimizer: optax.GradientTransformation) -> optax.GradientTransformation:
    """The optimiser with its floating-point state in bfloat16 between steps, and float32 within one.

    Cached, because jit recognises an optimiser by identity.
    """

    def init(params: PyTree) -> Narrow:
        inner = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16) if _narrows(leaf) else leaf, optimizer.init(params))
        return Narrow(steps=jnp.zeros((), jnp.int32), inner=inner)

    def update(updates: PyTree, state: Any, params: PyTree = None) -> tuple[PyTree, Narrow]:
        wide = jax.tree.map(lambda leaf: leaf.astype(jnp.float32) if _narrows(leaf) else leaf, state.inner)
        updates, wide = optimizer.update(updates, wide, params)
        key = jax.random.fold_in(as_key(0), state.steps)
        leaves, tree = jax.tree.flatten(wide)
        stored = [
            rounded(leaf, jax.random.fold_in(key, place)) if _narrows(leaf) else leaf
            for place, leaf in enumerate(leaves)
        ]
        return updates, Narrow(steps=state.steps + 1, inner=jax.tree.unflatten(tree, stored))

    return optax.GradientTransformation(init, update)


def rounded(x: Array, key: Array) -> Array:
    """float32 x in bfloat16, up or down at random with x as its mean; what is not finite as it is."""
    x = x.astype(jnp.float32)
    bits = jax.lax.bitcast_convert_type(x, jnp.uint32)
    noise = jnp.right_shift(_hashed(x.shape, jax.random.bits(key, (), jnp.uint32)), jnp.uint32(16))
    # bfloat16 is the upper half of float32: a carry out of the lower half is the next number away from zero.
    upper = jnp.right_shift(bits + noise, jnp.uint32(16)).astype(jnp.uint16)
    return jnp.where(jnp.isfinite(x), jax.lax.bitcast_convert_type(upper, jnp.bfloat16), x.astype(jnp.bfloat16))


def _hashed(shape: tuple[int, ...], word: Array) -> Array:
    """uint32 of this shape, each as good as random and another for another word."""
    place, stride = jnp.zeros((), jnp.uint32), 1
    for axis in reversed(range(len(shape))):
        place = place + jax.lax.broadcasted_iota(jnp.uint32, shape, axis) * jnp.uint32(stride % 2**32)
        stride *= shape[axis]
    mixed = place * jnp.uint32(0x9E3779B1) ^ word
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        mixed = (mixed ^ jnp.right_shift(mixed, jnp.uint32(shift))) * jnp.uint32(factor)
    return mixed ^ jnp.right_shift(mixed, jnp.uint32(16))


def _narrows(leaf: Any) -> bool:
    return leaf.ndim > 0 and jnp.issubdtype(leaf.dtype, jnp.floating)
