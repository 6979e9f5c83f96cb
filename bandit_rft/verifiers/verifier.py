"""What token arms ask of a verifier, and what all verifiers share."""

from __future__ import annotations

from typing import Any, Protocol

import jax
import numpy as np


class Verifier(Protocol):
    """What token arms ask of a verifier (see the package's table)."""

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


def is_whole(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, (int, np.integer))


def as_reward(correct: jax.Array) -> jax.Array:
    return correct.astype(float)
