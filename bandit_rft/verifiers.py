"""Verifiers over token sequences: which of the V^H responses are correct, and how many.

| verifier | correct | ln of their number | p of independent positions |
| --- | --- | --- | --- |
| Needle(target) | one sequence | 0, exact | Π_h π_h(target_h) |
| AnswerToken(token, position) | that position holds that token | (H − 1) ln V, exact | π_position(token) |
| ModularSum(modulus, residue) | Σ tokens ≡ residue | exact, in whole numbers | circular convolution |
| HashFraction(fraction, salt) | a pseudo-random set | H ln V + ln fraction, in expectation | none |

Each is a frozen, hashable value with `reward(tokens)`, which can be traced and takes int tokens [..., H] (H along the
last axis) to 0 or 1 as floats [...] of JAX's default width. Two structures give closed forms: a verifier that names the
tokens it needs (`required`), and one that counts modulo something (`modulus`, `residue`). Tokens are 0 … V − 1.

Probabilities: a pair (ln p, ln(1 − p)), each summed from positive terms alone, so that neither end loses digits.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from bandit_rft.errors import InputError

ENUMERABLE = 2**16  # sets up to this size are counted one by one where no formula counts them


class Verifier(Protocol):
    """What token arms ask of a verifier (see the module's table)."""

    @property
    def name(self) -> str: ...

    def check(self, vocabulary_size: int, length: int) -> None:
        """Raises InputError where the verifier does not fit sequences of `length` tokens below `vocabulary_size`."""
        ...

    def reward(self, tokens: jax.Array) -> jax.Array:
        """Rewards [...] float, 0 or 1, of int tokens [..., H]."""
        ...

    def log_correct(self, vocabulary_size: int, length: int) -> float:
        """ln of the number of correct sequences."""
        ...

    def required(self, length: int) -> np.ndarray | None:
        """int32 [H]: the token needed at each position, −1 where any will do; None if no such list decides."""
        ...

    @property
    def modulus(self) -> int | None: ...


def _is_whole(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, (int, np.integer))


def _as_reward(correct: jax.Array) -> jax.Array:
    return correct.astype(float)


@dataclass(frozen=True)
class Needle:
    """One correct sequence among V^H.

    Args:
        target: its H tokens.

    Raises:
        InputError: the target is empty or holds something that is not a whole number of at least 0.
    """

    target: tuple[int, ...]

    def __post_init__(self) -> None:
        target = tuple(self.target)
        if not target or not all(_is_whole(token) and token >= 0 for token in target):
            raise InputError("Needle's target must be a non-empty list of token ids, whole numbers of at least 0.")
        object.__setattr__(self, "target", tuple(int(token) for token in target))

    @property
    def name(self) -> str:
        return f"Needle({list(self.target)})" if len(self.target) <= 16 else f"Needle({len(self.target)} tokens)"

    @property
    def modulus(self) -> None:
        return None

    def check(self, vocabulary_size: int, length: int) -> None:
        if len(self.target) != length:
            raise InputError(
                f"Needle's target has {len(self.target)} tokens and sequences have {length}: make them equal."
            )
        if max(self.target) >= vocabulary_size:
            raise InputError(
                f"Needle's target holds token {max(self.target)}, outside the vocabulary 0 … {vocabulary_size - 1}: "
                "choose tokens inside it."
            )

    def reward(self, tokens: jax.Array) -> jax.Array:
        return _as_reward(jnp.all(tokens == jnp.asarray(self.target, tokens.dtype), axis=-1))

    def log_correct(self, vocabulary_size: int, length: int) -> float:
        self.check(vocabulary_size, length)
        return 0.0

    def required(self, length: int) -> np.ndarray:
        return np.asarray(self.target[:length], np.int32)


@dataclass(frozen=True)
class AnswerToken:
    """Only one position counts: V^(H−1) correct sequences, as when a response ends in its answer.

    Args:
        token: the correct token.
        position: where it must stand, counted from the end if negative.

    Raises:
        InputError: not whole numbers, or a negative token.
    """

    token: int
    position: int = -1

    def __post_init__(self) -> None:
        if not (_is_whole(self.token) and self.token >= 0 and _is_whole(self.position)):
            raise InputError("AnswerToken needs a token id of at least 0 and a whole position: give two whole numbers.")

    @property
    def name(self) -> str:
        return f"AnswerToken({self.token}, position={self.position})"

    @property
    def modulus(self) -> None:
        return None

    def check(self, vocabulary_size: int, length: int) -> None:
        if not -length <= self.position < length:
            raise InputError(
                f"AnswerToken's position {self.position} lies outside sequences of {length} tokens: move it."
            )
        if self.token >= vocabulary_size:
            raise InputError(
                f"AnswerToken's token {self.token} lies outside the vocabulary 0 … {vocabulary_size - 1}: choose one "
                "inside it."
            )

    def reward(self, tokens: jax.Array) -> jax.Array:
        return _as_reward(tokens[..., self.position] == self.token)

    def log_correct(self, vocabulary_size: int, length: int) -> float:
        self.check(vocabulary_size, length)
        return (length - 1) * math.log(vocabulary_size)

    def required(self, length: int) -> np.ndarray:
        needed = np.full(length, -1, np.int32)
        needed[self.position] = self.token
        return needed


@dataclass(frozen=True)
class ModularSum:
    """Correct where the tokens' sum is `residue` modulo `modulus`: every position matters, and none alone tells
    anything.

    Args:
        modulus: at least 2 (the exact forms cost O(H · modulus²)).
        residue: 0 … modulus − 1.

    Raises:
        InputError: values outside these ranges.
    """

    modulus: int
    residue: int = 0

    def __post_init__(self) -> None:
        if not (_is_whole(self.modulus) and _is_whole(self.residue) and 2 <= self.modulus < 2**15):
            raise InputError(f"ModularSum's modulus is {self.modulus}: give a whole number from 2 to 32767.")
        if not 0 <= self.residue < self.modulus:
            raise InputError(f"ModularSum's residue is {self.residue}: give one of 0 … {self.modulus - 1}.")

    @property
    def name(self) -> str:
        return f"ModularSum(modulus={self.modulus}, residue={self.residue})"

    def check(self, vocabulary_size: int, length: int) -> None:
        if self.log_correct(vocabulary_size, length) == -math.inf:
            raise InputError(
                f"No sequence of {length} tokens below {vocabulary_size} sums to {self.residue} modulo {self.modulus}: "
                "choose a smaller residue."
            )

    def reward(self, tokens: jax.Array) -> jax.Array:
        # Reduced first: a sum of raw tokens could pass the end of int32.
        return _as_reward(jnp.sum(tokens % self.modulus, axis=-1) % self.modulus == self.residue)

    def log_correct(self, vocabulary_size: int, length: int) -> float:
        """ln of the exact count (big integers); −inf where no sequence is correct."""
        modulus = self.modulus
        power = residue_counts(vocabulary_size, modulus)
        total, remaining = [1] + [0] * (modulus - 1), length
        while remaining:  # repeated squaring of a polynomial modulo x^modulus − 1
            if remaining & 1:
                total = _convolve_whole(total, power)
            remaining >>= 1
            power = _convolve_whole(power, power) if remaining else power
        return math.log(total[self.residue]) if total[self.residue] else -math.inf

    def required(self, length: int) -> None:
        """No list of tokens decides."""


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
    """

    fraction: float
    salt: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.fraction < 1:
            raise InputError(f"HashFraction's fraction is {self.fraction}: give a number strictly between 0 and 1.")
        if not (_is_whole(self.salt) and 0 <= self.salt < 2**32):
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
        return _as_reward((high < top) | ((high == top) & (low < bottom)))

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


def residue_counts(vocabulary_size: int, modulus: int) -> list[int]:
    """How many of the tokens 0 … V − 1 have each residue."""
    return [(vocabulary_size - 1 - residue) // modulus + 1 for residue in range(modulus)]


def _convolve_whole(left: list[int], right: list[int]) -> list[int]:
    out = [0] * len(left)
    for i, a in enumerate(left):
        for j, b in enumerate(right):
            out[(i + j) % len(left)] += a * b
    return out
