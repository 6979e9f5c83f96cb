"""Arms that are token sequences: V^H responses to one prompt under a verifier, V to 10^5 and H to 10^3 and beyond.

A table cannot learn among 10^100 correct arms (docs/theory.md, `pg_monopoly`), for each success would reinforce one arm
of very many. Here the policy is over tokens, so that responses share parameters, as an LLM's do. Rewards are
deterministic, 0 or 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import jax

from bandit_rft import arguments
from bandit_rft.errors import InputError
from bandit_rft.keys import as_key
from bandit_rft.policies import Product, TokenPolicyFactory
from bandit_rft.verifiers import Verifier


def require_shape(vocabulary_size: int, length: int) -> tuple[int, int]:
    """V and H as ints. Refuse those that make no sequences, or that int32 token ids and positions cannot hold. Raises
    InputError.
    """
    vocabulary_size = arguments.whole("vocabulary_size", vocabulary_size, 2)
    if vocabulary_size >= 2**30:
        raise InputError(f"vocabulary_size is {vocabulary_size}: give a whole number from 2 to 2^30 − 1.")
    length = arguments.whole("length", length)
    if length >= 2**30:
        raise InputError(f"length is {length}: give a whole number from 1 to 2^30 − 1.")
    return vocabulary_size, length


def require_made(name: str, value: Any, method: str, give: str) -> None:
    """Refuse what has no such method, or is the class of what is wanted. Raises InputError."""
    if isinstance(value, type) or not hasattr(value, method):
        raise InputError(f"{name} is {arguments.shown(value)}: give {give}.")


def require_verifier(verifier: Any, vocabulary_size: int, length: int) -> None:
    """Refuse what is no verifier, or does not fit the sequences. Raises InputError."""
    require_made("verifier", verifier, "log_correct", "one of bandit_rft.verifiers, such as verifiers.AnswerToken(7)")
    verifier.check(vocabulary_size, length)


@dataclass(frozen=True)
class TokenSequences:
    """V^H token sequences under one verifier, and the token policy that learns on them.

    Args:
        vocabulary_size: V, from 2.
        length: H, from 1.
        verifier: one of `bandit_rft.verifiers`.
        policy: parametrisation, one of `bandit_rft.policies`.
        p0: mass that the base policy gives to the correct sequences as a whole, where the policy has one base policy
            of that mass; None is the uniform policy.

    Raises:
        InputError: V or H out of range, a verifier or policy that is none, a verifier that does not fit V and H (a
            target token outside the vocabulary, say), or a p0 that the policy cannot start from.

    Example:
        >>> from bandit_rft import verifiers
        >>> arms = TokenSequences(50_000, 20, verifiers.AnswerToken(7), p0=0.05)
        >>> round(arms.log_arms, 2), round(arms.verifier.log_correct(50_000, 20), 2)
        (216.4, 205.58)
    """

    vocabulary_size: int
    length: int
    verifier: Verifier
    policy: TokenPolicyFactory = field(default_factory=Product)
    p0: float | None = None

    def __post_init__(self) -> None:
        vocabulary_size, length = require_shape(self.vocabulary_size, self.length)
        object.__setattr__(self, "vocabulary_size", vocabulary_size)
        object.__setattr__(self, "length", length)
        object.__setattr__(self, "p0", None if self.p0 is None else arguments.fraction("p0", self.p0))
        require_verifier(self.verifier, vocabulary_size, length)
        require_made("policy", self.policy, "bind", "one of bandit_rft.policies, such as policies.Product()")
        self.policy.bind(self.vocabulary_size, self.length, self.verifier, self.p0, touches=0)

    @property
    def jittable(self) -> bool:
        return True

    @property
    def best_mean(self) -> float:
        return 1.0

    @property
    def log_arms(self) -> float:
        """ln K = H ln V."""
        return self.length * math.log(self.vocabulary_size)

    def pull(self, key: jax.Array, arms: jax.Array) -> jax.Array:
        """Rewards [G] float, 0 or 1, of tokens int32 [G, H]; deterministic, so the key goes unused."""
        as_key(key)
        return self.verifier.reward(arms)

    def mean(self, arms: jax.Array) -> jax.Array:
        """The same rewards: each sequence's mean is its reward."""
        return self.verifier.reward(arms)
