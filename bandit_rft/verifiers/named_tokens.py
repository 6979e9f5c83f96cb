"""Verifiers that name the tokens they need: a whole sequence, or one position of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from bandit_rft.errors import InputError
from bandit_rft.verifiers.verifier import as_reward, is_whole


@dataclass(frozen=True)
class Needle:
    """One correct sequence among V^H.

    Args:
        target: its H tokens.

    Raises:
        InputError: the target is empty or holds something that is not a whole number of at least 0.

    Example:
        >>> from bandit_rft import verifiers
        >>> round(verifiers.Needle((1, 2, 3)).log_correct(10, 3), 3)
        0.0
    """

    target: tuple[int, ...]

    def __post_init__(self) -> None:
        target = tuple(self.target)
        if not target or not all(is_whole(token) and token >= 0 for token in target):
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
        return as_reward(jnp.all(tokens == jnp.asarray(self.target, tokens.dtype), axis=-1))

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

    Example:
        >>> from bandit_rft import verifiers
        >>> round(verifiers.AnswerToken(7).log_correct(10, 3), 3)
        4.605
    """

    token: int
    position: int = -1

    def __post_init__(self) -> None:
        if not (is_whole(self.token) and self.token >= 0 and is_whole(self.position)):
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
        return as_reward(tokens[..., self.position] == self.token)

    def log_correct(self, vocabulary_size: int, length: int) -> float:
        self.check(vocabulary_size, length)
        return (length - 1) * math.log(vocabulary_size)

    def required(self, length: int) -> np.ndarray:
        needed = np.full(length, -1, np.int32)
        needed[self.position] = self.token
        return needed
