"""Explore until the first success, then pull that arm for ever: the benchmark that every learner on K ≥ T arms must
beat.

    before a success: draw from the base policy, with or without replacement;   after it: the arm that succeeded
THEORY.md E. For deterministic 0/1 rewards its expected regret with replacement is (1 − p0)(1 − (1 − p0)^T)/p0: no
learner finds a correct arm sooner than sampling does, and none exploits it better than never leaving it.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from bandit_rft import rows as row_table
from bandit_rft.contract import Info, Learner
from bandit_rft.errors import InputError
from bandit_rft.learners.tabular import require_count, require_table


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class State:
    """Attributes: rows, the arms not yet drawn (all of them with replacement); found: int32, class of the arm kept, or
    −1.
    """

    rows: row_table.Rows
    found: jax.Array


@dataclass(frozen=True)
class ExploreUntilSuccess:
    """Sample the arm set's base policy (uniform where it has none) until a reward above 0; keep that arm.

    Args:
        replacement: True draws every arm afresh from the base policy; False never draws an arm twice (after the last
            one it starts over).
        rollouts: G, pulls a round; with several successes in a round the first is kept. Without replacement G must be
            1.

    Raises:
        InputError: rollouts below 1, or above 1 without replacement.
    """

    replacement: bool = True
    rollouts: int = 1

    def __post_init__(self) -> None:
        require_count("rollouts", self.rollouts)
        if not self.replacement and self.rollouts != 1:
            raise InputError("ExploreUntilSuccess without replacement pulls one arm a round: set rollouts=1.")

    def bind(self, arms: object, *, rounds: int, row_capacity: int | None = None) -> Learner:
        """The learner on a table of arms; it never splits a row. Raises InputError where `arms` is not a table."""
        del rounds
        table = require_table(arms, "ExploreUntilSuccess")
        log_counts = np.asarray(table.log_counts)
        capacity = len(log_counts) if row_capacity is None else row_capacity
        base_logit = np.zeros(max(capacity, len(log_counts)))
        base_logit[: len(log_counts)] = np.asarray(table.base_log_mass) - log_counts
        rollouts, replacement = self.rollouts, self.replacement

        def init(key: jax.Array) -> State:
            del key
            return State(rows=row_table.Rows.of(log_counts, capacity), found=jnp.full((), -1, jnp.int32))

        def act(key: jax.Array, state: State) -> tuple[row_table.Pulls, Info]:
            log_weight = state.rows.log_multiplicity + jnp.asarray(base_logit, dtype=float)
            pulls, probability = row_table.draw(key, state.rows, log_weight, rollouts)
            committed = state.found >= 0
            mean = jnp.asarray(table.mean_of_class, dtype=float)
            exploring_value = jnp.sum(probability * mean[state.rows.class_index])
            value = jnp.where(committed, mean[jnp.maximum(state.found, 0)], exploring_value)
            kept = jnp.full((rollouts,), 0, jnp.int32) + state.found
            pulls = row_table.Pulls(
                row=jnp.where(committed, kept, pulls.row),  # classes and rows share their order: nothing ever splits
                first=jnp.where(committed, jnp.zeros_like(pulls.first), pulls.first),
                class_index=jnp.where(committed, kept, pulls.class_index),
            )
            return pulls, Info(value=value)

        def update(state: State, pulls: row_table.Pulls, rewards: jax.Array) -> State:
            success = rewards > 0
            hit = pulls.class_index[jnp.argmax(success)]
            found = jnp.where((state.found < 0) & jnp.any(success), hit, state.found)
            if replacement:
                return State(rows=state.rows, found=found)
            rows = state.rows.remove(pulls.row, jnp.where(state.found < 0, 1, 0).astype(jnp.int32)[None])
            exhausted = jnp.all(rows.log_multiplicity == -jnp.inf)
            fresh = row_table.Rows.of(log_counts, capacity)
            rows = jax.tree.map(functools.partial(jnp.where, exhausted), fresh, rows)
            return State(rows=rows, found=found)

        return Learner(init=init, act=act, update=update, rollouts=rollouts)
