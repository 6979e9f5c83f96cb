"""UCB1 (Auer, Cesa-Bianchi, Fischer 2002, figure 1).

    index(a) = total(a)/n(a) + sqrt(2 ln t / n(a)),   ∞ for an arm never pulled;   pull the largest, ties uniform over
    arms
with t the number of pulls so far. Optimism for rewards in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from bandit_rft import rows as row_table
from bandit_rft.contract import Info, Learner
from bandit_rft.learners.tabular import capacity_for, require_table


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class State:
    """Attributes: rows; pulls: int32 [R] and total: float [R], pulls and summed reward of one arm of each row; time:
    int32.
    """

    rows: row_table.Rows
    pulls: jax.Array
    total: jax.Array
    time: jax.Array


@dataclass(frozen=True)
class UCB1:
    """UCB1 on a table; starts from ignorance and ignores the arm set's base policy. One pull a round.

    With K ≥ the number of rounds it only sweeps fresh arms, as every index learner does.
    """

    def bind(self, arms: object, *, rounds: int, row_capacity: int | None = None) -> Learner:
        """The learner on a table of arms. Raises InputError where `arms` is not one."""
        table = require_table(arms, "UCB1")
        capacity = capacity_for(table, rounds, row_capacity)
        log_counts = np.asarray(table.log_counts)

        def init(key: jax.Array) -> State:
            del key
            rows = row_table.Rows.of(log_counts, capacity)
            return State(
                rows=rows,
                pulls=jnp.zeros(capacity, jnp.int32),
                total=jnp.zeros(capacity, float),
                time=jnp.zeros((), jnp.int32),
            )

        def act(key: jax.Array, state: State) -> tuple[row_table.Pulls, Info]:
            log_multiplicity = state.rows.log_multiplicity
            count = jnp.maximum(state.pulls, 1).astype(state.total.dtype)
            time = jnp.maximum(state.time, 1).astype(state.total.dtype)
            bonus = jnp.sqrt(2 * jnp.log(time) / count)
            index = jnp.where(state.pulls > 0, state.total / count + bonus, jnp.inf)
            index = jnp.where(log_multiplicity > -jnp.inf, index, -jnp.inf)
            tied = jnp.where(index == jnp.max(index), log_multiplicity, -jnp.inf)
            pulls, probability = row_table.draw(key, state.rows, tied, 1)
            mean = jnp.asarray(table.mean_of_class, dtype=float)[state.rows.class_index]
            return pulls, Info(value=jnp.sum(probability * mean))

        def update(state: State, pulls: row_table.Pulls, rewards: jax.Array) -> State:
            rows, place = row_table.split(state.rows, pulls, keep=jnp.ones_like(pulls.row, dtype=bool))
            return State(
                rows=rows,
                pulls=row_table.move(state.pulls, pulls, place).at[place].add(1, mode="drop"),
                total=row_table.move(state.total, pulls, place).at[place].add(rewards, mode="drop"),
                time=state.time + 1,
            )

        return Learner(init=init, act=act, update=update, overflowed=lambda state: state.rows.overflowed)
