"""Contexts: B prompts, one policy each, independent or coupled through shared features (a contextual bandit of
sequences).

    objective (1/B) Σ_i p_i,     dz_i/dt = (η/B) Σ_j ⟨δ_i, δ_j⟩ p_j(1 − p_j),   z = logit p, δ = ∇z

Prompt i's policy is a product policy with logits linear in its features x_i, so that a step on prompt j moves the
logits of prompt i by kernel[i, j] = ⟨x_i, x_j⟩ times the step that prompt j takes by itself. Negative entries of
⟨δ_i, δ_j⟩ are interference. `gram` gives that matrix exactly; docs/theory.md, section "Many prompts", has the curves.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bandit_rft import arguments
from bandit_rft.arms.token_sequences import require_shape, require_verifier
from bandit_rft.errors import InputError
from bandit_rft.keys import as_key
from bandit_rft.policies.prompt_policies import PromptPolicies
from bandit_rft.verifiers import Verifier

LARGEST_DENSE_PROMPTS = 2**12


class Responses(NamedTuple):
    """N responses and the prompts that they answer.

    Attributes:
        prompt: int32 [N].
        tokens: int32 [N, H].
    """

    prompt: jax.Array
    tokens: jax.Array


@dataclass(frozen=True, init=False)
class Contexts:
    """B prompts over V^H, each with its own correct set.

    Args:
        vocabulary_size: V, from 2.
        length: H, from 1.
        verifiers: B verifiers, one per prompt.
        kernel: [B, B] inner products of the prompts' features, symmetric and positive semi-definite; None is the
            identity (independent prompts).
        batch: "one" draws one prompt a round, evenly, and G rollouts of it; "all" takes every prompt each round, G
            rollouts of each (paper B), their gradients averaged.
        p0: base mass of each prompt's correct set, one number for all or one each; None is the uniform policy.

    Raises:
        InputError: V or H out of range, no verifier or one that does not fit, a kernel that is not one, another
            batch, a p0 outside (0, 1) or for a verifier that names no tokens.

    Left out: parametrisations other than the product policy.

    Example:
        >>> from bandit_rft import arms, verifiers
        >>> questions = [verifiers.Needle((1, 2)), verifiers.Needle((1, 3))]
        >>> arms.Contexts(10, 2, questions, p0=0.05).jittable
        True
    """

    vocabulary_size: int
    length: int
    verifiers: tuple[Verifier, ...]
    kernel: tuple[tuple[float, ...], ...] | None
    batch: str
    p0: tuple[float | None, ...]

    def __init__(
        self,
        vocabulary_size: int,
        length: int,
        verifiers: Sequence[Verifier],
        *,
        kernel: Sequence[Sequence[float]] | np.ndarray | None = None,
        batch: str = "one",
        p0: float | Sequence[float] | None = None,
    ) -> None:
        vocabulary_size, length = require_shape(vocabulary_size, length)
        if not isinstance(verifiers, Sequence) or isinstance(verifiers, str | bytes):
            raise InputError(f"verifiers is {arguments.shown(verifiers)}: give a list, one verifier per prompt.")
        if not 1 <= len(verifiers) <= LARGEST_DENSE_PROMPTS:
            raise InputError(
                f"There are {len(verifiers)} verifiers: give one per prompt, 1 to {LARGEST_DENSE_PROMPTS}."
            )
        for verifier in verifiers:
            require_verifier(verifier, vocabulary_size, length)
        if batch not in ("one", "all"):
            raise InputError(f"batch is {batch!r}: choose one (a prompt a round) or all (every prompt each round).")
        several = isinstance(p0, Iterable) and not isinstance(p0, str | bytes) and getattr(p0, "ndim", 1) > 0
        masses = list(p0) if several else [p0] * len(verifiers)  # type: ignore[arg-type]
        if len(masses) != len(verifiers):
            raise InputError(
                f"p0 has {len(masses)} entries for {len(verifiers)} prompts: give one number, or one each."
            )
        object.__setattr__(self, "vocabulary_size", vocabulary_size)
        object.__setattr__(self, "length", length)
        object.__setattr__(self, "verifiers", tuple(verifiers))
        object.__setattr__(self, "kernel", None if kernel is None else _checked_kernel(kernel, len(verifiers)))
        object.__setattr__(self, "batch", batch)
        base = (None if mass is None else arguments.fraction("p0", mass) for mass in masses)
        object.__setattr__(self, "p0", tuple(base))
        self.policies(touches=0).init()

    @property
    def prompts(self) -> int:
        """B."""
        return len(self.verifiers)

    @property
    def jittable(self) -> bool:
        return True

    @property
    def best_mean(self) -> float:
        return 1.0

    def policies(self, *, touches: int) -> PromptPolicies:
        """The B base policies, with room for `touches` moving rollouts."""
        kernel = np.eye(self.prompts) if self.kernel is None else np.asarray(self.kernel)
        return PromptPolicies(self.vocabulary_size, self.length, self.verifiers, kernel, self.p0, touches)

    def pull(self, key: jax.Array, arms: Responses) -> jax.Array:
        """Rewards [N] float, 0 or 1, each under its own prompt's verifier; deterministic, so the key goes unused."""
        as_key(key)
        return self.mean(arms)

    def mean(self, arms: Responses) -> jax.Array:
        """The same rewards: each response's mean is its reward. O(B · N · H)."""
        every = jnp.stack([verifier.reward(arms.tokens) for verifier in self.verifiers])
        return every[arms.prompt, jnp.arange(arms.prompt.shape[0])]


def _checked_kernel(kernel: Sequence[Sequence[float]] | np.ndarray, prompts: int) -> tuple[tuple[float, ...], ...]:
    matrix = arguments.array("kernel", kernel)
    if matrix.shape != (prompts, prompts) or not np.all(np.isfinite(matrix)):
        raise InputError(
            f"The kernel has shape {matrix.shape}: give finite numbers, {prompts} × {prompts}, one row per prompt."
        )
    scale = max(1.0, float(np.abs(matrix).max()))
    if np.abs(matrix - matrix.T).max() > 1e-9 * scale or np.linalg.eigvalsh((matrix + matrix.T) / 2)[0] < -1e-9 * scale:
        raise InputError(
            "The kernel is not symmetric positive semi-definite: give the inner products of feature vectors."
        )
    return tuple(tuple(row) for row in matrix.tolist())
