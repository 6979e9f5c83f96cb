"""A verifier that counts modulo something: every position matters, and none alone tells anything."""

from __future__ import annotations

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from bandit_rft.errors import InputError
from bandit_rft.verifiers.verifier import as_reward, is_whole


@dataclass(frozen=True)
class ModularSum:
    """Correct where the tokens' sum is `residue` modulo `modulus`: every position matters, and none alone tells
    anything.

    Args:
        modulus: at least 2 (the exact forms cost O(H · modulus²)).
        residue: 0 … modulus − 1.

    Raises:
        InputError: values outside these ranges.

    Example:
        >>> from bandit_rft import verifiers
        >>> round(verifiers.ModularSum(2).log_correct(10, 3), 3)
        6.215
    """

    modulus: int
    residue: int = 0

    def __post_init__(self) -> None:
        if not (is_whole(self.modulus) and is_whole(self.residue) and 2 <= self.modulus < 2**15):
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
        return as_reward(jnp.sum(tokens % self.modulus, axis=-1) % self.modulus == self.residue)

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


def residue_counts(vocabulary_size: int, modulus: int) -> list[int]:
    """How many of the tokens 0 … V − 1 have each residue.

    Example:
        >>> from bandit_rft import verifiers
        >>> verifiers.residue_counts(10, 3)
        [4, 3, 3]
    """
    return [(vocabulary_size - 1 - residue) // modulus + 1 for residue in range(modulus)]


def _convolve_whole(left: list[int], right: list[int]) -> list[int]:
    out = [0] * len(left)
    for i, a in enumerate(left):
        for j, b in enumerate(right):
            out[(i + j) % len(left)] += a * b
    return out
