"""Successive elimination (Even-Dar, Mannor, Mansour 2006; here in the regret form of Slivkins 2019, algorithm 1.3).

    radius(a) = sqrt(2 ln T / n(a));   an arm whose mean + radius falls below the largest mean − radius of any arm is
    dropped for good;   of the others, pull one that was pulled least, ties uniform
T is the horizon; an arm never pulled has an infinite radius.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from bandit_rft.arms.lumped_arms import LumpedArms
from bandit_rft.contract import Learner
from bandit_rft.learners import tabular
from bandit_rft.learners.tabular_update import Lesson, State, Statistic, TabularUpdate
from bandit_rft.rows import Pulls, relative_weight


@dataclass(frozen=True)
class SuccessiveElimination:
    """Successive elimination on a table; starts from ignorance and ignores the base policy. One pull per round.

    The largest lower bound is remembered once reached, which is what "for good" means: a dropped arm is not pulled, so
    its upper bound stays below it. Rewards are taken to lie in [0, 1] (or to be 1/2-sub-Gaussian). Where that fails, or
    means change, every arm may be dropped: those of the largest upper bound then stay.

    Example:
        >>> from bandit_rft import arms, learners, run
        >>> table = arms.Bernoulli(means=[0.2, 0.8])
        >>> run(table, learners.SuccessiveElimination(), rounds=20, seeds=2, key=0).rewards.shape
        (2, 20, 1)
    """

    def bind(self, arms: object, *, rounds: int, row_capacity: int | None = None) -> Learner:
        """The learner on a table of arms. Raises InputError where `arms` is no table."""
        name = "SuccessiveElimination"
        rule = self.rule(tabular.require_table(arms, name), rounds)
        return tabular.bind(arms, rule, name=name, rounds=rounds, row_capacity=row_capacity)

    def rule(self, table: LumpedArms, rounds: int) -> TabularUpdate:
        """The rule on the rows of this table."""
        del table
        spread = 2 * math.log(rounds)

        def mean_and_radius(pulls: jax.Array, total: jax.Array) -> tuple[jax.Array, jax.Array]:
            return total / jnp.maximum(pulls, 1), jnp.sqrt(spread / jnp.maximum(pulls, 1))

        def weight(key: jax.Array, state: State) -> jax.Array:
            del key
            pulls = state.statistic["pulls"]
            mean, radius = mean_and_radius(pulls, state.statistic["total"])
            log_multiplicity = state.rows.log_multiplicity
            upper = jnp.where(pulls == 0, jnp.inf, mean + radius)
            upper = jnp.where(log_multiplicity > -jnp.inf, upper, -jnp.inf)
            active = upper >= jnp.minimum(state.memory["floor"], jnp.max(upper))
            active &= log_multiplicity > -jnp.inf
            least = -jnp.max(jnp.where(active, -pulls, -jnp.inf))
            return relative_weight(jnp.where(active & (pulls == least), log_multiplicity, -jnp.inf))

        def learn(state: State, pulls: Pulls, rewards: jax.Array) -> Lesson:
            count = state.statistic["pulls"][pulls.row] + 1
            total = state.statistic["total"][pulls.row] + rewards
            mean, radius = mean_and_radius(count, total)
            floor = jnp.maximum(state.memory["floor"], jnp.max(mean - radius))

            def observe(before: Statistic) -> Statistic:
                return {"pulls": before["pulls"] + 1, "total": before["total"] + rewards}

            return Lesson(observe=observe, memory={"floor": floor})

        return TabularUpdate(
            weight=weight,
            learn=learn,
            initial={"pulls": 0.0, "total": 0.0},
            memory={"floor": -math.inf},
            sweeps=True,
        )
