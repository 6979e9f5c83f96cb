"""Signals: G rewards of a round in, G learning signals out. Tables and LLMs call the same functions.

| name | signal of rollout g | source |
| --- | --- | --- |
| raw | r_g | arXiv 2601.14599, the minimalist configuration |
| signed | 2 r_g − 1: −1 for wrong, +1 for correct | arXiv 2601.14599, negative rewards |
| mean_baseline | r_g − mean(r); a group of one: 0 | Dr.GRPO, arXiv 2503.20783 (no division by the spread) |
| rloo | G/(G−1) · (r_g − mean(r)); a group of one: r_g | RLOO, arXiv 2402.14740; singleton as in verl |
| grpo | (r_g − mean(r)) / (std_ddof(r) + eps); group of one: r_g/(1 + eps) | GRPO, arXiv 2402.03300; singleton: verl |

They are verl's but for two things. Of a group of one, verl's Dr.GRPO (norm_adv_by_std_in_grpo=False) learns from the
raw reward, and `mean_baseline` gives 0: the mean of one reward is that reward, and the theory's drift 1 − 1/G counts on
it. And a group whose rewards are equal but for rounding has the signal exactly 0 under the last three, where verl's is
the rounding left of the mean, divided by eps and a spread of the same size.

Each takes rewards [G] float and returns [G] of the same dtype. Left out: baselines that carry state from round to
round.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from bandit_rft.errors import InputError

Signal = Callable[[jax.Array], jax.Array]

# Rewards are equal where they differ by so many roundings of the largest at most: sums in another order do that much.
ROUNDINGS = 4.0


def raw(rewards: jax.Array) -> jax.Array:
    """The reward itself."""
    return rewards


def signed(rewards: jax.Array) -> jax.Array:
    """2r − 1, for rewards in [0, 1]: a wrong response is pushed down as hard as a correct one is pushed up."""
    return 2 * rewards - 1


def _dead(rewards: jax.Array) -> jax.Array:
    """bool scalar: the rewards [G] are equal, but for rounding of their own size. Of float32 rewards near 1 those are
    that differ by less than 5e-7; all others have verl's signals.
    """
    spread = jnp.max(rewards) - jnp.min(rewards)
    return spread <= ROUNDINGS * jnp.finfo(rewards.dtype).eps * jnp.max(jnp.abs(rewards))


def _centred(rewards: jax.Array) -> jax.Array:
    """r − mean(r); exactly 0 for a dead group, where the mean's own rounding would be left."""
    return jnp.where(_dead(rewards), jnp.zeros_like(rewards), rewards - jnp.mean(rewards))


def mean_baseline(rewards: jax.Array) -> jax.Array:
    """r − mean(r). A group of one gives 0: its own reward is its baseline, and nothing is learnt (verl's Dr.GRPO gives
    the raw reward there).
    """
    return _centred(rewards)


def rloo(rewards: jax.Array) -> jax.Array:
    """Leave-one-out baseline, r_g − mean of the others. A group of one gives the raw reward, as verl does."""
    rollouts = rewards.shape[-1]
    if rollouts == 1:
        return rewards
    return _centred(rewards) * (rollouts / (rollouts - 1))


def grpo(rewards: jax.Array, *, ddof: int = 1, eps: float = 1e-6) -> jax.Array:
    """(r − mean) / (std + eps). A dead group (all rewards equal, but for rounding) gives exact zeros, also at eps = 0.

    Args:
        rewards: [G] float.
        ddof: 1 for the sample standard deviation (verl, TRL, Tunix), 0 for the population's (open-instruct).
        eps: added to the standard deviation (verl 1e-6, TRL 1e-4, open-instruct 1e-8).
    """
    rollouts = rewards.shape[-1]
    if rollouts == 1:
        return rewards / (1 + eps)
    centred = _centred(rewards)
    # Rounding of the mean must not read as spread: a dead group is recognised by its rewards, not by its std.
    variance = jnp.sum(centred**2) / (rollouts - ddof)
    return centred / (jnp.sqrt(jnp.where(_dead(rewards), jnp.ones_like(variance), variance)) + eps)


NAMES = ("raw", "signed", "mean_baseline", "rloo", "grpo")


def make(name: str | Signal, *, ddof: int = 1, eps: float = 1e-6) -> Signal:
    """The signal of that name (a callable passes through); `ddof` and `eps` reach GRPO alone.

    Raises:
        InputError: unknown name, ddof not 0 or 1, or eps negative.
    """
    if callable(name):
        return name
    if ddof not in (0, 1):
        raise InputError(f"ddof is {ddof}: give 0 (population) or 1 (sample standard deviation).")
    if not eps >= 0:
        raise InputError(f"eps is {eps}: give a number of at least 0.")
    if name == "grpo":
        return lambda rewards: grpo(rewards, ddof=ddof, eps=eps)
    table: dict[str, Signal] = {"raw": raw, "signed": signed, "mean_baseline": mean_baseline, "rloo": rloo}
    if name not in table:
        raise InputError(f"Signal {name!r} is unknown: choose one of {', '.join(NAMES)}.")
    return table[name]
