"""A verifier without structure: each sequence is correct or not by a hash of its tokens."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from bandit_rft import arguments
from bandit_rft.errors import InputError
from bandit_rft.verifiers.verifier import as_reward, is_whole

ENUMERABLE = 2**16  # sets up to this size are counted one by one where no formula counts them


@dataclass(frozen=True)
class HashFraction:
    """Each sequence is correct with chance `fraction`, decided for ever by a 64-bit hash of its tokens: no structure.

    The hash is two lanes of uint32, which wrap alike whether x64 is on or off: the same sequence has the same answer
    in both. Each lane sums a mixed (token, position, salt) over the positions (H > 1 and any length), then both are
    mixed again.

    Args:
        fraction: in (0, 1); compared as fraction · 2^64.
        salt: a whole number below 2^32; another salt is another correct set.

    Raises:
        InputError: values outside these ranges.

    Example:
        >>> from bandit_rft import verifiers
        >>> round(verifiers.HashFraction(0.25).fraction, 2)
        0.25
    """

    fraction: float
    salt: int = 0

    def __post_init__(self) -> None:
        if not 0 < arguments.number("HashFraction's fraction", self.fraction) < 1:
            raise InputError(f"HashFraction's fraction is {self.fraction}: give a number strictly between 0 and 1.")
        if not (is_whole(self.salt) and 0 <= self.salt < 2**32):
            raise InputError(f"HashFraction's salt is {self.salt}: give a whole number from 0 to 2^32 − 1.")

    @property
    def name(self) -> str:
        return f"HashFraction({self.fraction}, salt={self.salt})"

    @property
    def modulus(self) -> None:
        return None

    def check(self, vocabulary_size: int, length: int) -> None:
        del vocabulary_size, length

    def reward(self, tokens: jax.Array) -> jax.Array:
        position = jnp.arange(tokens.shape[-1], dtype=jnp.uint32)
        token = tokens.astype(jnp.uint32)
        lanes = []
        for offset in (0x9E3779B9, 0x7F4A7C15):
            seed = _mix(_mix(position + _u32(offset)) + _u32(self.salt))
            lanes.append(jnp.sum(_mix(_mix(token + seed) ^ seed), axis=-1, dtype=jnp.uint32))
        high = _mix(lanes[0] ^ _mix(lanes[1] + _u32(0x85EBCA77)))
        low = _mix(lanes[1] ^ _mix(high + _u32(0xC2B2AE3D)))
        threshold = min(int(self.fraction * 2.0**64), 2**64 - 1)
        top, bottom = _u32(threshold >> 32), _u32(threshold & 0xFFFFFFFF)
        return as_reward((high < top) | ((high == top) & (low < bottom)))

    def log_correct(self, vocabulary_size: int, length: int) -> float:
        """ln of the number of correct sequences: counted where there are at most 2^16 (−inf if none), else expected."""
        if length * math.log(vocabulary_size) > math.log(ENUMERABLE) + 1e-9:
            return length * math.log(vocabulary_size) + math.log(self.fraction)
        tokens = np.asarray(list(itertools.product(range(vocabulary_size), repeat=length)), np.int32)
        count = int(np.sum(np.asarray(self.reward(jnp.asarray(tokens)))))
        return math.log(count) if count else -math.inf

    def required(self, length: int) -> None:
        """No list of tokens decides."""


def _u32(value: int) -> jax.Array:
    return jnp.asarray(value, jnp.uint32)


def _mix(x: jax.Array) -> jax.Array:
    """A bijection of uint32 with near-ideal avalanche (C. Wellons' lowbias32, github.com/skeeto/hash-prospector)."""
    x = (x ^ (x >> 16)) * _u32(0x7FEB352D)
    x = (x ^ (x >> 15)) * _u32(0x846CA68B)
    return x ^ (x >> 16)
