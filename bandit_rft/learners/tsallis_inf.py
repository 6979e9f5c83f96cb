"""Tsallis-INF, follow the regularised leader with 1/2-Tsallis entropy (Zimmert & Seldin 2021, algorithm 1).

    p(a) = 4 / (η_t (L(a) − x))²,   x such that Σ p = 1,   η_t = 2/sqrt(t),   L(a_t) ← L(a_t) + (1 − r_t)/p(a_t)
Importance-weighted losses; near-optimal on stochastic and on adversarial rewards alike, without knowing which.

Rows (docs/lumping.md): only the pulled arm's loss moves. With v = η_t (min L − x)/2 and u(a) = v + η_t (L(a) − min L)/2
the probability is u(a)^−2; everything is kept as a logarithm, so that sqrt(10^100000) is a number like any other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from bandit_rft.contract import Learner
from bandit_rft.learners import tabular
from bandit_rft.learners.index import require_unit_rewards
from bandit_rft.learners.tabular_update import Lesson, State, Statistic, TabularUpdate
from bandit_rft.rows import Pulls, relative_weight

NEWTON_STEPS = 24


@dataclass(frozen=True)
class TsallisINF:
    """Tsallis-INF on a table, for rewards in [0, 1]; starts from equal probabilities and ignores the base policy. One
    pull a round.

    Left out: the reduced-variance loss estimator.

    Example:
        >>> from bandit_rft import arms, learners, run
        >>> table = arms.Bernoulli(means=[0.2, 0.8])
        >>> run(table, learners.TsallisINF(), rounds=20, seeds=2, key=0).rewards.shape
        (2, 20, 1)
    """

    def bind(self, arms: object, *, rounds: int, row_capacity: int | None = None) -> Learner:
        """The learner on a table of arms. Raises InputError where `arms` is no table or can pay outside [0, 1]."""
        table = tabular.require_table(arms, "TsallisINF")
        require_unit_rewards(table, "TsallisINF")

        def weight(key: jax.Array, state: State) -> jax.Array:
            del key
            return relative_weight(state.rows.log_multiplicity + log_probability(state))

        def learn(state: State, pulls: Pulls, rewards: jax.Array) -> Lesson:
            loss = jnp.log(jnp.maximum(1 - rewards, 1e-300)) - log_probability(state)[pulls.row]

            def observe(before: Statistic) -> Statistic:
                grown = jnp.logaddexp(before["log_loss"], loss)
                return {"log_loss": jnp.where(rewards < 1, grown, before["log_loss"])}

            return Lesson(observe=observe, keep=rewards < 1)

        rule = TabularUpdate(weight=weight, learn=learn, initial={"log_loss": -math.inf}, delayable=False)
        return tabular.bind(arms, rule, name="TsallisINF", rounds=rounds, row_capacity=row_capacity)


def log_probability(state: State) -> jax.Array:
    """ln p of one arm of each row, [R]; −inf where a row has no arm."""
    log_multiplicity = state.rows.log_multiplicity
    inhabited = log_multiplicity > -jnp.inf
    log_loss = jnp.where(inhabited, state.statistic["log_loss"], jnp.inf)
    smallest = -jnp.max(-log_loss)
    log_half_rate = -0.5 * jnp.log((state.time + 1).astype(log_loss.dtype))  # ln(η_t / 2)
    excess = jnp.where(inhabited, _log_difference(log_loss, smallest) + log_half_rate, 0.0)

    # Σ u^−2 − 1 is convex and falling in v: Newton from below, where the sum is at least 1, rises to the root and never
    # passes it. The rows at the smallest loss alone give such a start.
    at_best = jnp.where(inhabited & (log_loss <= smallest), log_multiplicity, -jnp.inf)
    start = 0.5 * jax.nn.logsumexp(at_best)

    def step(_: int, log_v: jax.Array) -> jax.Array:
        log_u = jnp.logaddexp(log_v, excess)
        weight = jnp.where(inhabited, log_multiplicity - 2 * log_u, -jnp.inf)
        log_sum = jax.nn.logsumexp(weight)
        slope = 2 * jnp.sum(jnp.exp(weight - log_sum + jnp.where(inhabited, log_v - log_u, 0.0)))
        return log_v + jnp.log1p(-jnp.expm1(-log_sum) / slope)

    log_v = jax.lax.fori_loop(0, NEWTON_STEPS, step, start)
    return jnp.where(inhabited, -2 * jnp.logaddexp(log_v, excess), -jnp.inf)


def _log_difference(larger: jax.Array, smaller: jax.Array) -> jax.Array:
    """ln(exp(larger) − exp(smaller)) for larger ≥ smaller; −inf where they are equal or the larger is 0."""
    gap = jnp.where(jnp.isfinite(larger), larger, 0.0) - jnp.where(jnp.isfinite(smaller), smaller, 0.0)
    apart = larger > smaller
    known = jnp.where(apart & jnp.isfinite(smaller), gap, 1.0)
    both = jnp.where(jnp.isfinite(larger), larger, 0.0) + jnp.log(-jnp.expm1(-known))
    return jnp.where(apart, jnp.where(jnp.isfinite(smaller), both, larger), -jnp.inf)
