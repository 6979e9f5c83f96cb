"""Thompson sampling with Beta posteriors (Thompson 1933; Kaufmann, Korda, Munos 2012), prior Beta(1, 1).

    θ_a ~ Beta(1 + successes(a), 1 + failures(a)),   pull argmax_a θ_a

Rows (THEORY.md C): a row of n untouched arms is represented by the best of n uniform draws, −ln θ_max = E/n with E ~
Exp(1). Everything is compared as ln(−ln θ), so that the best of 10^100000 draws, within 10^-100000 of one, still has
its exact law. For a touched arm θ = X/(X + Y) with X ~ Gamma(α), Y ~ Gamma(β), hence −ln θ = softplus(ln Y − ln X).
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from bandit_rft import rows as row_table
from bandit_rft.contract import Info, Learner
from bandit_rft.learners.tabular import capacity_for, require_table
from bandit_rft.sampling import log_gamma


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class State:
    """Attributes: rows; alpha, beta: float [R], posterior parameters of one arm of each row (whole numbers from 1)."""

    rows: row_table.Rows
    alpha: jax.Array
    beta: jax.Array


@dataclass(frozen=True)
class ThompsonBeta:
    """Thompson sampling for 0/1 rewards on a table; starts from ignorance and ignores the arm set's base policy.

    The probability of each arm has no closed form: `Info.value` is None and the pulled arm's true mean stands in for
    it. One pull a round.
    """

    def bind(self, arms: object, *, rounds: int, row_capacity: int | None = None) -> Learner:
        """The learner on a table of arms. Raises InputError where `arms` is not one."""
        table = require_table(arms, "ThompsonBeta")
        capacity = capacity_for(table, rounds, row_capacity)
        log_counts = np.asarray(table.log_counts)

        def init(key: jax.Array) -> State:
            del key
            rows = row_table.Rows.of(log_counts, capacity)
            return State(rows=rows, alpha=jnp.ones(capacity, float), beta=jnp.ones(capacity, float))

        def act(key: jax.Array, state: State) -> tuple[row_table.Pulls, Info]:
            sample_key, draw_key = jax.random.split(key)
            log_multiplicity = state.rows.log_multiplicity
            score = _log_minus_log_theta(sample_key, state.alpha, state.beta, log_multiplicity)
            score = jnp.where(log_multiplicity > -jnp.inf, score, jnp.inf)
            chosen = jnp.arange(capacity) == jnp.argmin(score)
            pulls, _ = row_table.draw(draw_key, state.rows, jnp.where(chosen, 0.0, -jnp.inf), 1)
            return pulls, Info(value=None)

        def update(state: State, pulls: row_table.Pulls, rewards: jax.Array) -> State:
            rows, place = row_table.split(state.rows, pulls, keep=jnp.ones_like(pulls.row, dtype=bool))
            return State(
                rows=rows,
                alpha=row_table.move(state.alpha, pulls, place).at[place].add(rewards, mode="drop"),
                beta=row_table.move(state.beta, pulls, place).at[place].add(1 - rewards, mode="drop"),
            )

        return Learner(init=init, act=act, update=update, overflowed=lambda state: state.rows.overflowed)


def _log_minus_log_theta(key: jax.Array, alpha: jax.Array, beta: jax.Array, log_multiplicity: jax.Array) -> jax.Array:
    """ln(−ln θ) [R] of the best arm of each row: small is good.

    A row of several arms is always untouched (a pulled arm has a row of its own), so its arms are Beta(1, 1).
    """
    x_key, y_key = jax.random.split(key)
    log_x = log_gamma(x_key, alpha)
    log_y = log_gamma(y_key, beta)
    difference = log_y - log_x
    # softplus(d) → e^d as d → −∞: there its logarithm is d itself, without underflow.
    touched = jnp.where(difference < -36.0, difference, jnp.log(jax.nn.softplus(jnp.maximum(difference, -36.0))))
    # For α = 1, ln X is the logarithm of an Exp(1) variable already: it serves as E.
    untouched = log_x - log_multiplicity
    return jnp.where(log_multiplicity > 0.5, untouched, touched)
