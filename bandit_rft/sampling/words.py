"""Random bits by element and attempt, kept in memory for all that read them, and the numbers made of them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from bandit_rft.keys import as_key
from bandit_rft.sampling.arithmetic import (
    COSINE,
    EXPONENT_OF_ONE,
    MANTISSA,
    SINE,
    bits_of,
    float_of,
    log,
    once,
    polynomial,
)

ROTATIONS = ((16, 42, 12, 31), (16, 32, 24, 21))

Arrays = tuple[jax.Array, ...]


def threefry2x64(key: Arrays, count: Arrays) -> Arrays:
    """Threefry-2x64 with 20 rounds (Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3"),
    elementwise, so that it fuses with what reads it: the key and counter of two uint64 arrays each give two more.
    """
    schedule = (*key, key[0] ^ key[1] ^ jnp.uint64(0x1BD11BDAA9FC1A22))
    x0, x1 = count[0] + schedule[0], count[1] + schedule[1]
    for group in range(5):
        for rotation in ROTATIONS[group % 2]:
            x0 = x0 + x1
            x1 = ((x1 << jnp.uint64(rotation)) | (x1 >> jnp.uint64(64 - rotation))) ^ x0
        x0 = x0 + schedule[(group + 1) % 3]
        x1 = x1 + (schedule[(group + 2) % 3] + jnp.uint64(group + 1))
    return x0, x1


def key_words(key: jax.Array) -> Arrays:
    """A Threefry key, two uint64 scalars, of a whole number, or of a JAX key of whatever implementation."""
    typed = jnp.issubdtype(getattr(key, "dtype", np.int64), jax.dtypes.prng_key)
    data = jax.random.key_data(key if typed else as_key(key))
    if data.shape != (2,):
        data = jax.random.bits(key, (2,), jnp.uint32)
    high, low = data[0].astype(jnp.uint64), data[1].astype(jnp.uint64)
    return (high << jnp.uint64(32)) | low, jnp.zeros_like(low)


def random_words(key: Arrays, element: jax.Array, attempt: jax.Array) -> Arrays:
    """Two uint64 [n] of random bits (bit 62 is 0 and bit 61 is 1, the others are random) of counter (element, attempt).

    They leave a loop, so that they are kept in memory, not evaluated anew by each of their readers; as one complex
    number, the one kind of element that holds both; with the exponent bits of a normal float, which nothing rewrites.
    """
    size = element.shape[0]
    half = -(-size // 2)

    def block(element: jax.Array) -> jax.Array:
        count = (element.astype(jnp.uint64), attempt.astype(jnp.uint64))
        first, second = (
            float_of((word & jnp.uint64(2**64 - 1 - 2**62)) | jnp.uint64(2**61)) for word in threefry2x64(key, count)
        )
        return lax.complex(first, second)

    both = lax.map(block, jnp.pad(element, (0, 2 * half - size)).reshape(2, half)).ravel()[:size]
    return bits_of(both.real), bits_of(both.imag)


def exponential_normals_uniform(words: Arrays) -> Arrays:
    """(E, N1, N2, U) [n] of `random_words`: independent N1, N2 standard normal and U uniform on (0, 1); E = (N1² +
    N2²)/2 ~ Exp(1), independent of U (Box and Muller 1958).
    """
    first, second = words
    # −ln of a uniform on (0, 1], 52 bits; the cell at one takes its mean.
    uniform = 2 - float_of((first & jnp.uint64(MANTISSA)) | jnp.uint64(EXPONENT_OF_ONE))
    exponential = jnp.maximum(-log(uniform), 2.0**-53)
    radius = once(jnp.sqrt(2 * exponential))
    # 30 bits turn by up to π/4 either way; two more reflect that quarter onto the others.
    turn = float_of(((second << jnp.uint64(22)) & jnp.uint64(MANTISSA)) | jnp.uint64(EXPONENT_OF_ONE))
    angle = (turn - (1.5 - 2.0**-31)) * (np.pi / 2)
    square = angle * angle
    sine = angle + angle * square * polynomial(SINE, square)
    cosine = 1 - 0.5 * square + square * square * polynomial(COSINE, square)
    cosine = float_of(bits_of(cosine) ^ (first & jnp.uint64(2**63)))
    upright = (first & jnp.uint64(2**52)) == 0
    # The other 31 bits of the second word above 8 of the first.
    rest = ((second >> jnp.uint64(30)) & jnp.uint64(2**31 - 1)) << jnp.uint64(21)
    rest = rest | (((first >> jnp.uint64(53)) & jnp.uint64(2**8 - 1)) << jnp.uint64(13))
    acceptance = float_of(rest | jnp.uint64(EXPONENT_OF_ONE)) - (1 - 2.0**-40)
    first_normal = radius * jnp.where(upright, cosine, sine)
    second_normal = radius * jnp.where(upright, sine, cosine)
    return exponential, first_normal, second_normal, acceptance
