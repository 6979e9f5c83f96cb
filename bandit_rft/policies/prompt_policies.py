"""Position-wise product policies of B prompts: an independent softmax at every position, π(y) = Π_h softmax(θ_h)[y_h].

    θ_h[v] ← θ_h[v] + Σ_g coefficient_g (1[y_gh = v] − π_h(v))

Lumped (docs/lumping.md): at one position the tokens that were never touched share one logit, so a position is a few
slots (the tokens that a verifier names, and the touched ones) and one lump. Memory goes with what is touched, not with
V: 10^5 tokens at 10^3 positions under a Needle are 10^3 slots. The law is that of the dense [H, V] table, exactly.

The prompts share the slots; `arms.Contexts` has several, `product.Product` one.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
from jax.lax import Precision

from bandit_rft.errors import InputError
from bandit_rft.keys import as_key
from bandit_rft.policies import policy as exact
from bandit_rft.policies.policy import EMPTY, LogPair
from bandit_rft.verifiers import Verifier, residue_counts


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class Params:
    """Logits of B prompts over H positions of R slots and a lump.

    Attributes:
        token: int32 [H, R] ascending, the token of each slot (EMPTY behind the used ones); shared by the prompts.
        used: int32 [H], slots in use.
        logit: float [B, H, R], −∞ where no token is.
        lump: float [B, H], the logit of each token without a slot.
        overflowed: bool scalar, whether a token was refused a slot.
    """

    token: jax.Array
    used: jax.Array
    logit: jax.Array
    lump: jax.Array
    overflowed: jax.Array


@dataclass(frozen=True)
class PromptPolicies:
    """B product policies over V^H in shared slots, coupled by a kernel.

    The step of prompt j moves prompt i by kernel[i, j] times prompt j's own step: exactly the gradient step of a
    policy that is linear in features x_i with ⟨x_i, x_j⟩ = kernel[i, j] (θ_i = Σ_d x_i[d] W_d, W moves by gradient).

    Attributes:
        vocabulary_size, length: V and H.
        verifiers: B verifiers.
        kernel: float64 [B, B].
        p0: B base masses, None for uniform.
        touches: rollouts of the run that can move parameters on tokens that no verifier names.
    """

    vocabulary_size: int
    length: int
    verifiers: Sequence[Verifier | None]
    kernel: np.ndarray
    p0: Sequence[float | None]
    touches: int

    def init(self) -> Params:
        """The base policies; slots for all tokens that any verifier names."""
        token, needed = self._named, self._needed
        prompts, positions = len(self.verifiers), token.shape[0]
        logit = np.where(token == EMPTY, -np.inf, 0.0)[None].repeat(prompts, 0)
        for prompt, (p0, tokens) in enumerate(zip(self.p0, needed, strict=True)):
            if p0 is not None and tokens is not None:
                value = exact.log_odds_of_needed_token(p0, tokens) + math.log(self.vocabulary_size - 1)
                logit[prompt] = np.where(token == tokens[:, None], value, logit[prompt])
        return Params(
            token=jnp.asarray(token, jnp.int32),
            used=jnp.asarray(np.sum(token != EMPTY, axis=1), jnp.int32),
            logit=jnp.asarray(logit, dtype=float),
            lump=jnp.zeros((prompts, positions), dtype=float),
            overflowed=jnp.zeros((), bool),
        )

    @functools.cached_property
    def _needed(self) -> list[np.ndarray | None]:
        pairs = zip(self.verifiers, self.p0, strict=True)
        return [exact.needed_tokens(verifier, self.length, p0, "product") for verifier, p0 in pairs]

    @functools.cached_property
    def _named(self) -> np.ndarray:
        """int32 [H, R]: the named tokens of each position, ascending, and room for what the run can touch."""
        lists = [tokens for tokens in self._needed if tokens is not None]
        table = np.stack(lists, 1) if lists else np.zeros((self.length, 0), np.int32)
        table = np.sort(np.where(table < 0, EMPTY, table).astype(np.int32), axis=1)
        table[:, 1:][table[:, 1:] == table[:, :-1]] = EMPTY
        named = int(np.max(np.sum(table != EMPTY, axis=1), initial=0))
        slots = max(1, min(self.vocabulary_size, named + self.touches))
        exact.require_room(slots * self.length * len(self.verifiers), "The product policy")
        out = np.full((self.length, slots), EMPTY, np.int32)
        out[:, :named] = np.sort(table, axis=1)[:, :named]
        return out

    def _log_lump(self, params: Params) -> jax.Array:
        """ln of the lump's weight as a whole [B, H]; −∞ once every token has a slot."""
        left = (self.vocabulary_size - params.used).astype(params.lump.dtype)
        return jnp.where(left > 0, params.lump + jnp.log(left), -jnp.inf)

    def _log_norm(self, params: Params) -> jax.Array:
        return jnp.logaddexp(jax.nn.logsumexp(params.logit, axis=-1), self._log_lump(params))

    def sample(self, key: jax.Array, params: Params, prompt: jax.Array) -> jax.Array:
        """Tokens int32 [N, H] for prompts int32 [N]; the key is consumed."""
        choice_key, fresh_key = jax.random.split(as_key(key))
        log_norm = self._log_norm(params)[..., None]
        lump = jnp.exp(self._log_lump(params)[..., None] - log_norm)
        # The lump comes first and unused slots last, so that rounding can never pick a slot without a token.
        below = jnp.cumsum(jnp.concatenate([lump, jnp.exp(params.logit - log_norm)], axis=-1), axis=-1)
        shape = (prompt.shape[0], self.length)
        uniform = jax.random.uniform(choice_key, (*shape, 1), dtype=below.dtype) * below[prompt][..., -1:]
        choice = jnp.minimum(jnp.sum(below[prompt] <= uniform, axis=-1, dtype=jnp.int32), params.used)
        unused = self.vocabulary_size - params.used
        rank = jax.random.randint(fresh_key, shape, 0, jnp.maximum(unused, 1), jnp.int32)
        fresh = exact.unused_token(rank, params.token[None])
        kept = params.token[jnp.arange(self.length, dtype=jnp.int32), jnp.maximum(choice - 1, 0)]
        return jnp.where(choice == 0, fresh, kept)

    def log_prob(self, params: Params, prompt: jax.Array, tokens: jax.Array) -> jax.Array:
        """ln π_prompt(tokens) [N]."""
        slot = jnp.sum(params.token < tokens[..., None], axis=-1, dtype=jnp.int32)
        position = jnp.arange(self.length, dtype=jnp.int32)
        inside = jnp.minimum(slot, params.token.shape[1] - 1)
        held = params.token[position, inside] == tokens
        logit = jnp.where(held, params.logit[prompt[:, None], position, inside], params.lump[prompt])
        return jnp.sum(logit - self._log_norm(params)[prompt], axis=-1)

    def step(self, params: Params, prompt: jax.Array, tokens: jax.Array, coefficient: jax.Array) -> Params:
        """θ_i += Σ_n kernel[i, prompt_n] coefficient_n (1[tokens_n] − π_{prompt_n}), tokens [N, H], coefficient [N]."""
        kernel = jnp.asarray(self.kernel, dtype=params.logit.dtype)
        log_norm = self._log_norm(params)
        of_prompt = jnp.zeros_like(params.lump[:, 0]).at[prompt].add(coefficient)
        weight = kernel * of_prompt[None, :]
        mix = functools.partial(jnp.einsum, precision=Precision.HIGHEST)
        logit = params.logit - mix("ij,jhr->ihr", weight, jnp.exp(params.logit - log_norm[..., None]))
        # Once every token has a slot the lump is nobody's logit: outside the norm it would grow without bound.
        of_lump = jnp.where(self.vocabulary_size > params.used, jnp.exp(params.lump - log_norm), 0.0)
        lump = params.lump - mix("ij,jh->ih", weight, of_lump)
        params = replace(params, logit=logit, lump=lump)
        if self.touches > 0:
            params, _ = jax.lax.scan(self._insert, params, (tokens, coefficient != 0))
        slot = jnp.sum(params.token < tokens[..., None], axis=-1, dtype=jnp.int32)  # [N, H]
        gain = (kernel[:, prompt] * coefficient)[:, :, None]
        # Without room to touch, tokens without a slot carry no signal: they add zero, wherever that lands.
        logit = params.logit.at[:, jnp.arange(self.length, dtype=jnp.int32)[None, :], slot].add(gain, mode="drop")
        return Params(token=params.token, used=params.used, logit=logit, lump=params.lump, overflowed=params.overflowed)

    def _insert(self, params: Params, touched: tuple[jax.Array, jax.Array]) -> tuple[Params, None]:
        """Give one sequence's tokens a slot each, at the lump's logit; the policy does not change."""
        tokens, moves = touched
        slots = params.token.shape[1]
        new = moves & ~jnp.any(params.token == tokens[:, None], axis=1)
        place = jnp.sum(params.token < tokens[:, None], axis=1, dtype=jnp.int32)[:, None]
        column = jnp.arange(slots, dtype=jnp.int32)
        stays, is_new = ~new[:, None] | (column < place), new[:, None] & (column == place)

        def shift(old: jax.Array, entry: jax.Array) -> jax.Array:
            moved = jnp.concatenate([old[..., :1], old[..., :-1]], axis=-1)
            return jnp.where(stays, old, jnp.where(is_new, entry[..., None], moved))

        return replace(
            params,
            token=shift(params.token, tokens),
            used=params.used + new.astype(jnp.int32),
            logit=shift(params.logit, params.lump),
            overflowed=params.overflowed | jnp.any(new & (params.used == slots)),
        ), None

    # ----------------------------------------------------------------------------------------------------- closed forms

    @functools.cached_property
    def form(self) -> str | None:
        """ "needed" (all verifiers name tokens), "residue" (all count modulo the same), or None."""
        if all(tokens is not None for tokens in self._needed):
            return "needed"
        moduli = {None if verifier is None else verifier.modulus for verifier in self.verifiers}
        return "residue" if len(moduli) == 1 and None not in moduli else None

    def log_success(self, params: Params) -> LogPair:
        """(ln p, ln(1 − p)), float [B] each. Raises InputError where `form` is None."""
        if self._structure == "needed":
            _, log_rest, log_target = self._target(params)
            return exact.all_needed(log_target - log_rest, jnp.asarray(self.target_table >= 0))
        return jax.vmap(exact.residue_success)(self._residue_mass(params), jnp.asarray(self._residues))

    def gram(self, params: Params) -> jax.Array:
        """⟨δ_i, δ_j⟩ float [B, B], the inner products of ∇ logit p_i and ∇ logit p_j in the shared parameters
        (docs/theory.md, G).
        """
        slot, lump, count = self._gap(params)
        mix = functools.partial(jnp.einsum, precision=Precision.HIGHEST)
        own = mix("ihr,jhr->ij", slot, slot) + mix("hc,ihc,jhc->ij", count, lump, lump)
        return jnp.asarray(self.kernel, dtype=own.dtype) * own

    def needed_log_odds(self, params: Params) -> jax.Array:
        """float [B, H], logit of the needed token's probability; 0 where a position needs none (form "needed")."""
        _, log_rest, log_target = self._target(params)
        return jnp.where(jnp.asarray(self.target_table >= 0), log_target - log_rest, 0.0)

    @property
    def _structure(self) -> str:
        if self.form is None:
            raise InputError("These verifiers leave p without a closed form: estimate it from samples.")
        return self.form

    @functools.cached_property
    def target_table(self) -> np.ndarray:
        """int32 [B, H], the needed token, −1 where a position needs none (form "needed")."""
        return np.stack([tokens for tokens in self._needed if tokens is not None])

    @functools.cached_property
    def _residues(self) -> np.ndarray:
        return np.asarray([getattr(verifier, "residue", 0) for verifier in self.verifiers], np.int32)

    def _target(self, params: Params) -> tuple[jax.Array, jax.Array, jax.Array]:
        """(is target [B, H, R], ln weight of the others [B, H], logit of the target [B, H])."""
        target = params.token[None] == jnp.asarray(self.target_table)[..., None]
        rest = jnp.logaddexp(
            jax.nn.logsumexp(jnp.where(target, -jnp.inf, params.logit), axis=-1), self._log_lump(params)
        )
        return target, rest, jnp.sum(jnp.where(target, params.logit, 0.0), axis=-1)

    def _residue_one_hot(self, params: Params) -> tuple[jax.Array, jax.Array]:
        """(residue of each slot's token, one-hot [H, R, M]; tokens of the lump with each residue, float [H, M])."""
        modulus = self.verifiers[0].modulus if self.verifiers[0] is not None else None
        assert modulus is not None
        held = (params.token != EMPTY)[..., None] & (
            params.token[..., None] % modulus == jnp.arange(modulus, dtype=jnp.int32)
        )
        one_hot = held.astype(params.logit.dtype)
        total = jnp.asarray(residue_counts(self.vocabulary_size, modulus), dtype=params.logit.dtype)
        return one_hot, total - jnp.sum(one_hot, axis=1)

    def _residue_mass(self, params: Params) -> jax.Array:
        one_hot, count = self._residue_one_hot(params)
        log_norm = self._log_norm(params)[..., None]
        slots = jnp.sum(jnp.exp(params.logit - log_norm)[..., None] * one_hot, axis=2)
        return slots + jnp.exp(params.lump[..., None] - log_norm) * count

    def _gap(self, params: Params) -> tuple[jax.Array, jax.Array, jax.Array]:
        """δ = ∇ logit p: (slots [B, H, R], one token of each class of the lump [B, H, C], tokens in that class [H,
        C]).
        """
        log_norm = self._log_norm(params)
        if self._structure == "needed":
            log_q = self.log_success(params)[1][:, None]
            target, log_rest, _ = self._target(params)
            counts = jnp.asarray(self.target_table >= 0)
            other = -jnp.exp(params.logit - (log_norm + log_q)[..., None])
            slot = jnp.where(target, jnp.exp(log_rest - log_norm - log_q)[..., None], other)
            lump = -jnp.exp(params.lump - log_norm - log_q)
            count = (self.vocabulary_size - params.used).astype(lump.dtype)[:, None]
            return jnp.where(counts[..., None], slot, 0.0), jnp.where(counts, lump, 0.0)[..., None], count
        gap = jax.vmap(exact.residue_gap)(self._residue_mass(params), jnp.asarray(self._residues))
        one_hot, count = self._residue_one_hot(params)
        # Gaps are per unit of p(1 − p): times π(v) they are ∂ logit p / ∂θ(v).
        of_slot = jnp.einsum("hrc,bhc->bhr", one_hot, gap, precision=Precision.HIGHEST)
        slot = jnp.exp(params.logit - log_norm[..., None]) * of_slot
        return slot, jnp.exp(params.lump - log_norm)[..., None] * gap, count
