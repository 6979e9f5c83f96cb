"""Log-linear policy: positions share parameters through features, π(y) = Π_h softmax(φ_hᵀ θ)[y_h], θ float [d, V].

    θ ← θ + Σ_g coefficient_g Σ_h φ_h ⊗ (1[y_gh = ·] − π_h)

Without features φ_h = 1: one softmax over tokens used at every position. With H needed tokens all alike κ is then H²
times one position's, where the product policy has H times (docs/theory.md, F2). One-hot features give the product
policy back.

Positions with equal features share one row of logits: F distinct rows cost O(F · V) a round, in time and in memory.
Features depend on the position alone, so positions are independent given θ; features of the tokens before it are left
out (p would then be a sum over paths).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.lax import Precision
from scipy.optimize import root_scalar
from scipy.special import logsumexp

from bandit_rft import arguments
from bandit_rft.errors import InputError
from bandit_rft.keys import as_key
from bandit_rft.policies import policy as exact
from bandit_rft.policies.policy import LogPair, TokenPolicy
from bandit_rft.verifiers import Verifier


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class Params:
    """Attributes: theta: float [d, V]."""

    theta: jax.Array


@dataclass(frozen=True, init=False)
class LogLinear:
    """Shared-feature log-linear policy. p and κ are exact for Needle, AnswerToken and ModularSum.

    Base policy: θ = 0, or with p0 θ = b Σ_{h needed} φ_h ⊗ e_(target_h), b the smallest number that gives the correct
    set mass p0. A p0 above what this direction reaches is refused (one softmax for all positions cannot favour H
    different tokens).

    Args:
        features: [H, d] finite numbers, one row a position; None is a single feature of 1.

    Raises:
        InputError: features that are not such a table.

    Example:
        >>> from bandit_rft import arms, policies, verifiers
        >>> arms.TokenSequences(10, 3, verifiers.Needle((1, 2, 3)), policies.LogLinear()).best_mean
        1.0
    """

    features: tuple[tuple[float, ...], ...] | None

    def __init__(self, features: Sequence[Sequence[float]] | np.ndarray | None = None) -> None:
        if features is not None:
            table = arguments.array("features", features)
            if table.ndim != 2 or table.size == 0 or not np.all(np.isfinite(table)):
                raise InputError(f"features has shape {table.shape}: give finite numbers [H, d], one row a position.")
            features = tuple(tuple(row) for row in table.tolist())
        object.__setattr__(self, "features", features)

    @property
    def name(self) -> str:
        return "LogLinear" if self.features is None else f"LogLinear({len(self.features[0])} features)"

    def bind(
        self,
        vocabulary_size: int,
        length: int,
        verifier: Verifier | None = None,
        p0: float | None = None,
        *,
        touches: int | None = None,
    ) -> TokenPolicy:
        """See `TokenPolicyFactory.bind`; `touches` is not needed, θ is dense. Raises InputError where H rows of
        features fail.
        """
        del touches
        table = np.ones((length, 1)) if self.features is None else np.asarray(self.features)
        if table.shape[0] != length:
            raise InputError(f"features has {table.shape[0]} rows and sequences have {length} tokens: make them equal.")
        rows, kind = np.unique(table, axis=0, return_inverse=True)
        kind = kind.reshape(-1).astype(np.int32)
        exact.require_room((len(rows) + table.shape[1]) * vocabulary_size, "The log-linear policy")
        needed = exact.needed_tokens(verifier, length, p0, "log-linear")
        base = np.zeros((table.shape[1], vocabulary_size))
        if p0 is not None and needed is not None:
            base = _base_theta(rows, kind, table, needed, vocabulary_size, p0)
        row_counts = np.bincount(kind, minlength=len(rows)).astype(np.float64)

        def logits(params: Params) -> jax.Array:
            return jnp.matmul(jnp.asarray(rows, dtype=float), params.theta, precision=Precision.HIGHEST)

        def log_policy(params: Params) -> jax.Array:
            return jax.nn.log_softmax(logits(params), axis=-1)

        def sample(key: jax.Array, params: Params, rollouts: int) -> jax.Array:
            below = jnp.cumsum(jnp.exp(log_policy(params)), axis=-1)
            uniform = jax.random.uniform(as_key(key), (rollouts, length), dtype=below.dtype) * below[kind, -1]
            low = jnp.zeros((rollouts, length), jnp.int32)
            high = jnp.full((rollouts, length), vocabulary_size - 1, jnp.int32)

            def halve(_: jax.Array, bounds: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
                low, high = bounds
                middle = (low + high) // 2
                right = below[kind, middle] <= uniform
                return jnp.where(right, jnp.minimum(middle + 1, high), low), jnp.where(right, high, middle)

            return jax.lax.fori_loop(0, vocabulary_size.bit_length(), halve, (low, high))[0]

        def step(params: Params, tokens: jax.Array, coefficient: jax.Array) -> Params:
            log_pi = log_policy(params)
            drawn = jnp.zeros_like(log_pi).at[kind[None, :], tokens].add(coefficient[:, None])
            expected = jnp.asarray(row_counts, dtype=float)[:, None] * jnp.sum(coefficient) * jnp.exp(log_pi)
            return Params(theta=params.theta + _to_theta(rows, drawn - expected))

        log_success, kappa = _closed_forms(verifier, needed, rows, kind, logits)
        return TokenPolicy(
            init=lambda: Params(theta=jnp.asarray(base, dtype=float)),
            sample=sample,
            log_prob=lambda params, tokens: jnp.sum(log_policy(params)[kind, tokens], axis=-1),
            step=step,
            log_success=log_success,
            kappa=kappa,
            overflowed=lambda params: jnp.zeros((), bool),
        )


def _to_theta(rows: np.ndarray, per_row: jax.Array) -> jax.Array:
    """Σ_f φ_f ⊗ per_row_f, float [d, V]."""
    return jnp.matmul(jnp.asarray(rows.T, dtype=per_row.dtype), per_row, precision=Precision.HIGHEST)


def _closed_forms(
    verifier: Verifier | None,
    needed: np.ndarray | None,
    rows: np.ndarray,
    kind: np.ndarray,
    logits: Callable[[Params], jax.Array],
) -> tuple[Callable[[Params], LogPair] | None, Callable[[Params], jax.Array] | None]:
    """(log_success, kappa) where the verifier has structure, else (None, None)."""
    if verifier is not None and needed is not None:
        counts = needed >= 0
        row, token = kind[counts], needed[counts]
        needs = np.bincount(row, minlength=len(rows)).astype(np.float64)

        def odds(params: Params) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
            """(logits, ln of their sum, likeliest token of each row, ln of the sum without it)."""
            logit = logits(params)
            top = jnp.argmax(logit, axis=-1).astype(jnp.int32)
            is_top = jnp.arange(logit.shape[-1], dtype=jnp.int32) == top[:, None]
            log_rest = jax.nn.logsumexp(jnp.where(is_top, -jnp.inf, logit), axis=-1)
            return logit, jax.nn.logsumexp(logit, axis=-1), top, log_rest

        def log_success(params: Params) -> LogPair:
            logit, log_norm, top, log_rest = odds(params)
            log_pi = (logit - log_norm[:, None])[row, token]
            # Only the likeliest token can be near probability 1, where the others must be summed without it.
            by_rest = logit[row, token] - log_rest[row]
            log_odds = jnp.where(top[row] == token, by_rest, log_pi - exact.log1mexp(jnp.minimum(log_pi, -math.log(2))))
            return exact.all_needed(log_odds, jnp.ones(row.shape, bool))

        def kappa(params: Params) -> jax.Array:
            logit, log_norm, top, log_rest = odds(params)
            wanted = jnp.zeros_like(logit).at[row, token].add(1.0)
            expected = jnp.asarray(needs, dtype=logit.dtype)
            every = jnp.arange(len(rows), dtype=jnp.int32)
            gradient = wanted - expected[:, None] * jnp.exp(logit - log_norm[:, None])
            at_top = wanted[every, top] - expected + expected * jnp.exp(log_rest - log_norm)
            gradient = gradient.at[every, top].set(at_top)
            return jnp.sum(_to_theta(rows, gradient / jnp.exp(log_success(params)[1])) ** 2)

        return log_success, kappa

    if verifier is not None and verifier.modulus is not None:
        modulus, residue = verifier.modulus, int(getattr(verifier, "residue"))  # noqa: B009  (absent from the protocol)

        def mass(pi: jax.Array) -> jax.Array:
            missing = -pi.shape[-1] % modulus
            return jnp.pad(pi, ((0, 0), (0, missing))).reshape(pi.shape[0], -1, modulus).sum(1)[kind]

        def log_success_residue(params: Params) -> LogPair:
            return exact.residue_success(mass(jax.nn.softmax(logits(params), axis=-1)), residue)

        def kappa_residue(params: Params) -> jax.Array:
            pi = jax.nn.softmax(logits(params), axis=-1)
            gap = jnp.zeros((len(rows), modulus), pi.dtype).at[kind].add(exact.residue_gap(mass(pi), residue))
            return jnp.sum(_to_theta(rows, pi * gap[:, np.arange(pi.shape[-1]) % modulus]) ** 2)

        return log_success_residue, kappa_residue
    return None, None


def _base_theta(
    rows: np.ndarray, kind: np.ndarray, features: np.ndarray, needed: np.ndarray, vocabulary_size: int, p0: float
) -> np.ndarray:
    """θ = b D with D = Σ_{h needed} φ_h ⊗ e_(target_h), b by root finding: ln p is concave in b, and rises from b = −∞.

    Raises:
        InputError: no b gives mass p0.
    """
    direction = np.zeros((features.shape[1], vocabulary_size))
    at = np.flatnonzero(needed >= 0)
    np.add.at(direction.T, needed[at], features[at])
    logit = rows @ direction
    row, token = kind[at], needed[at]

    def excess(b: float) -> float:
        return float(np.sum(b * logit[row, token] - np.asarray(logsumexp(b * logit, axis=1))[row])) - math.log(p0)

    def slope(b: float) -> float:
        weight = np.exp(b * logit - np.asarray(logsumexp(b * logit, axis=1))[:, None])
        return float(np.sum(logit[row, token] - np.sum(weight * logit, axis=1)[row]))

    low, high, rising = -1.0, 1.0, True
    while excess(low) > 0 and low > -1e6:
        low *= 2
    while excess(high) < 0 and rising:
        rising = slope(high) > 0 and high < 1e6
        high = 2 * high if rising else high
    if excess(high) < 0 and slope(low) > 0:
        high = root_scalar(slope, bracket=(low, high)).root  # the best b there is
    if not excess(low) <= 0 <= excess(high):
        raise InputError(
            f"p0 is {p0}, but these features can give the correct set at most {p0 * math.exp(excess(high)):.3g}: "
            "lower p0, or use the product policy."
        )
    return root_scalar(excess, bracket=(low, high), xtol=1e-14, rtol=1e-14).root * direction
