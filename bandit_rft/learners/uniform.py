"""Uniform random play: every arm with the same probability, whatever it paid. The floor that a learner must beat.

π(a) = 1/K
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from bandit_rft.contract import Learner
from bandit_rft.learners import tabular
from bandit_rft.learners.tabular_update import Lesson, State, TabularUpdate
from bandit_rft.rows import Pulls, relative_weight


@dataclass(frozen=True)
class Uniform:
    """Draws an arm uniformly each round; ignores the arm set's base policy. One pull per round.

    Example:
        >>> from bandit_rft import arms, learners, run
        >>> table = arms.Bernoulli(means=[0.2, 0.8])
        >>> run(table, learners.Uniform(), rounds=20, seeds=2, key=0).rewards.shape
        (2, 20, 1)
    """

    def bind(self, arms: object, *, rounds: int, row_capacity: int | None = None) -> Learner:
        """The learner on a table of arms; no arm ever leaves its row. Raises InputError where `arms` is no table."""

        def weight(key: jax.Array, state: State) -> jax.Array:
            del key
            return relative_weight(state.rows.log_multiplicity)

        def learn(state: State, pulls: Pulls, rewards: jax.Array) -> Lesson:
            del state, rewards
            return Lesson(observe=lambda before: before, keep=jnp.zeros_like(pulls.row, dtype=bool))

        rule = TabularUpdate(weight=weight, learn=learn, initial={}, most_splits=0)
        return tabular.bind(arms, rule, name="Uniform", rounds=rounds, row_capacity=row_capacity)
