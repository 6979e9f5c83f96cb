"""What every token policy offers, and the exact arithmetic that they share.

A policy here is a distribution over the V^H token sequences whose parameters move by exact policy gradient:

    params ← params + Σ_g coefficient_g ∇ log π(tokens_g),   coefficient_g = step_size · signal_g / G

and whose success probability p and gradient gap κ = ‖∇ logit p‖² (docs/derivations.md) are computed, not sampled,
where the verifier has a structure that allows it. Probabilities travel as (ln p, ln(1 − p)), each summed from positive
terms.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from bandit_rft import arguments
from bandit_rft.errors import InputError
from bandit_rft.verifiers import Verifier

EMPTY = 2**31 - 1  # a slot that holds no token; sorts behind every token
LARGEST_STATE = 2**28  # numbers in one seed's parameters (2 GiB of float64)

LogPair = tuple[jax.Array, jax.Array]


class TokenPolicy(NamedTuple):
    """A policy bound to (V, H), a verifier and a base mass: pure functions over a pytree of parameters.

    Attributes:
        init: () -> params, the base policy.
        sample: (key, params, rollouts) -> tokens int32 [G, H], independent draws; the key is consumed.
        log_prob: (params, tokens [G, H]) -> float [G], natural logarithms.
        step: (params, tokens [G, H], coefficient [G]) -> params, the exact gradient step above.
        log_success: params -> (ln p, ln(1 − p)) float scalars, or None where no closed form is known.
        kappa: params -> κ, a float scalar, or None.
        overflowed: params -> bool scalar, whether more was touched than there is room for (the parameters are then
            void).
        needed_log_odds: params -> float [N], logit of the probability of each token that a correct sequence needs,
            given those before it; None where positions share parameters or no list of tokens makes a sequence correct.
    """

    init: Callable[[], Any]
    sample: Callable[[jax.Array, Any, int], jax.Array]
    log_prob: Callable[[Any, jax.Array], jax.Array]
    step: Callable[[Any, jax.Array, jax.Array], Any]
    log_success: Callable[[Any], LogPair] | None
    kappa: Callable[[Any], jax.Array] | None
    overflowed: Callable[[Any], jax.Array]
    needed_log_odds: Callable[[Any], jax.Array] | None = None


class TokenPolicyFactory(Protocol):
    """A frozen choice of parametrisation; `bind` closes a `TokenPolicy` over the sequences and the verifier."""

    @property
    def name(self) -> str: ...

    def bind(
        self,
        vocabulary_size: int,
        length: int,
        verifier: Verifier | None = None,
        p0: float | None = None,
        *,
        touches: int | None = None,
    ) -> TokenPolicy:
        """The policy over V^H.

        Args:
            vocabulary_size: V ≥ 2.
            length: H ≥ 1.
            verifier: gives p and κ their closed form; None leaves them out.
            p0: mass that the base policy gives to the verifier's correct set; None is the uniform policy.
            touches: rollouts of the whole run that may move parameters; it sizes the lazily grown parts.

        Raises:
            InputError: a p0 that this parametrisation has no one base policy for, or parameters beyond memory.
        """
        ...


# -------------------------------------------------------------------------------------------------------- base policies


def log_odds_of_needed_token(p0: float, needed: np.ndarray) -> float:
    """logit of the probability q that each needed token starts with: q = p0^(1/n), n tokens needed, all alike."""
    log_q = math.log(p0) / int(np.sum(needed >= 0))
    return log_q - math.log(-math.expm1(log_q))


def needed_tokens(verifier: Verifier | None, length: int, p0: float | None, policy: str) -> np.ndarray | None:
    """`verifier.required(H)`, after refusing a p0 that no list of needed tokens supports.

    Raises:
        InputError: p0 outside (0, 1), or given for a verifier whose correct set has no one base policy of that mass.
    """
    needed = None if verifier is None else verifier.required(length)
    if p0 is None:
        return needed
    if not 0 < arguments.number("p0", p0) < 1:
        raise InputError(f"p0 is {p0}: the base policy's mass on the correct set must lie strictly between 0 and 1.")
    if needed is None:
        kind = "no verifier" if verifier is None else verifier.name
        raise InputError(
            f"p0 sets the base policy of a {policy} policy only for verifiers that name the tokens they need (Needle, "
            f"AnswerToken), not for {kind}: leave p0 out."
        )
    return needed


def require_room(numbers: int, what: str) -> None:
    """Refuse parameters beyond memory. Raises InputError."""
    if numbers > LARGEST_STATE:
        raise InputError(
            f"{what} would need {numbers:.3g} parameters, above the limit of {LARGEST_STATE:.3g}: shorten the run or "
            "the sequences, or set row_capacity."
        )


# ----------------------------------------------------------------------------------------------------------- arithmetic


def log1mexp(x: jax.Array) -> jax.Array:
    """ln(1 − e^x) for x ≤ 0, accurate at both ends."""
    near_zero = x > -math.log(2.0)
    # Each branch sees only arguments that it is accurate for, and none that it would make a NaN of.
    return jnp.where(
        near_zero,
        jnp.log(-jnp.expm1(jnp.where(near_zero, x, -1.0))),
        jnp.log1p(-jnp.exp(jnp.where(near_zero, -1.0, x))),
    )


def all_needed(log_odds: jax.Array, needed: jax.Array) -> LogPair:
    """(ln p, ln(1 − p)) of independent positions that must all hold their token.

    Args:
        log_odds: float [..., H], logit of the probability of the needed token at each position.
        needed: bool [..., H], positions that count.
    """
    log_p = -jnp.sum(jnp.where(needed, jax.nn.softplus(-log_odds), 0.0), axis=-1)
    return log_p, log1mexp(log_p)


def convolve(left: jax.Array, right: jax.Array) -> jax.Array:
    """Circular convolution of [..., M] and [..., M] along the last axis, by sums of products (no FFT: no
    cancellation).
    """
    modulus = left.shape[-1]
    index = np.arange(modulus)
    shifted = right[..., (index[None, :] - index[:, None]) % modulus]  # [k, c] = right[c − k]
    return jnp.sum(left[..., :, None] * shifted, axis=-2)


def residue_success(mass: jax.Array, residue: jax.Array | int) -> LogPair:
    """(ln p, ln(1 − p)) of a sum of independent positions being `residue` modulo M.

    Args:
        mass: float [H, M], probability of each residue at each position.
        residue: int scalar.
    """
    while mass.shape[0] > 1:
        if mass.shape[0] % 2:
            identity = jnp.zeros_like(mass[:1]).at[0, 0].set(1.0)
            mass = jnp.concatenate([mass, identity])
        mass = convolve(mass[0::2], mass[1::2])
    wrong = jnp.sum(jnp.where(jnp.arange(mass.shape[-1], dtype=jnp.int32) == residue, 0.0, mass[0]))
    return jnp.log(mass[0, residue]), jnp.log(wrong)


def residue_gap(mass: jax.Array, residue: jax.Array | int) -> jax.Array:
    """[E(success | position h has residue c) − p] / (p(1 − p)), float [H, M], for a sum of independent positions.

    Differences are taken between residues, Σ_c' mass(c')[L(c) − L(c')], which keeps its digits as p nears 0 or 1.
    """
    positions, modulus = mass.shape
    identity = jnp.zeros((1, modulus), mass.dtype).at[0, 0].set(1.0)
    before = jnp.concatenate([identity, jax.lax.associative_scan(convolve, mass)[:-1]])
    after = jnp.concatenate([jax.lax.associative_scan(convolve, mass, reverse=True)[1:], identity])
    others = convolve(before, after)  # [H, M]: the sum of all positions but h
    index = np.arange(modulus, dtype=np.int32)
    success_given = others[np.arange(positions)[:, None], (residue - index)[None, :] % modulus]
    difference = jnp.sum(mass[:, None, :] * (success_given[:, :, None] - success_given[:, None, :]), axis=-1)
    log_p, log_q = residue_success(mass, residue)
    return difference / jnp.exp(log_p + log_q)


def unused_token(rank: jax.Array, used: jax.Array) -> jax.Array:
    """The token of that rank among those not in `used`.

    Args:
        rank: int32 [...], 0 … V − n − 1.
        used: int32 [..., R], ascending, EMPTY behind the n tokens in use.
    """
    # The j-th used token lies below the answer exactly if at most `rank` unused ones precede it.
    below = used - jnp.arange(used.shape[-1], dtype=jnp.int32) <= rank[..., None]
    return rank + jnp.sum(below & (used != EMPTY), axis=-1, dtype=jnp.int32)
