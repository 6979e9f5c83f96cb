"""ε-greedy (Sutton & Barto, ch. 2.2), constant or decaying (Auer, Cesa-Bianchi, Fischer 2002, figure 3).

    ε_t = min(1, ε t^(−decay)),   with probability ε_t an arm drawn uniformly from all, else the arm of the largest mean
(`initial_value` for an arm never pulled; ties uniform). Auer et al. 2002 is decay = 1 with ε = cK/d².
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from bandit_rft import arguments
from bandit_rft.choice import at_the_top
from bandit_rft.contract import Learner
from bandit_rft.errors import InputError
from bandit_rft.learners import tabular
from bandit_rft.learners.tabular_update import Lesson, State, Statistic, TabularUpdate
from bandit_rft.rows import Pulls


@dataclass(frozen=True)
class EpsilonGreedy:
    """ε-greedy on a table; starts from ignorance and ignores the arm set's base policy. One pull per round.

    Args:
        epsilon: ε ≥ 0; at most 1 where decay is 0.
        decay: exponent by which ε falls with the round t = 1, 2, …; 0 keeps it constant.
        initial_value: what an arm is taken to be worth before its first pull; infinity pulls every arm once first.

    Raises:
        InputError: ε or decay negative or not finite, a constant ε above 1, initial_value NaN or no number.

    Example:
        >>> from bandit_rft import arms, learners, run
        >>> table = arms.Bernoulli(means=[0.2, 0.8])
        >>> run(table, learners.EpsilonGreedy(epsilon=0.1), rounds=20, seeds=2, key=0).rewards.shape
        (2, 20, 1)
    """

    epsilon: float
    decay: float = 0.0
    initial_value: float = 0.0

    def __post_init__(self) -> None:
        if self.decay == 0:
            arguments.between("epsilon", self.epsilon, 0.0, 1.0)
        arguments.between("epsilon", self.epsilon, 0.0, 1e300)
        arguments.between("decay", self.decay, 0.0, 1e3)
        if math.isnan(arguments.number("initial_value", self.initial_value)):
            raise InputError("initial_value is NaN: give a number, or infinity to pull every arm once first.")

    def bind(self, arms: object, *, rounds: int, row_capacity: int | None = None) -> Learner:
        """The learner on a table of arms. Raises InputError where `arms` is no table."""
        table = tabular.require_table(arms, "EpsilonGreedy")

        def weight(key: jax.Array, state: State) -> jax.Array:
            del key
            log_multiplicity = state.rows.log_multiplicity
            pulls, total = state.statistic["pulls"], state.statistic["total"]
            value = jnp.where(pulls > 0, total / jnp.maximum(pulls, 1), self.initial_value)
            value = jnp.where(log_multiplicity > -jnp.inf, value, -jnp.inf)
            best = state.rows.multiplicity_among(at_the_top(value))
            time = (state.time + 1).astype(total.dtype)
            epsilon = jnp.minimum(self.epsilon * time**-self.decay, 1.0)
            return (1 - epsilon) * best / jnp.sum(best) + epsilon * state.rows.share(table.log_arms)

        def learn(state: State, pulls: Pulls, rewards: jax.Array) -> Lesson:
            del state, pulls

            def observe(before: Statistic) -> Statistic:
                return {"pulls": before["pulls"] + 1, "total": before["total"] + rewards}

            return Lesson(observe=observe)

        rule = TabularUpdate(
            weight=weight,
            learn=learn,
            initial={"pulls": 0.0, "total": 0.0},
            sweeps=self.initial_value == math.inf and self.epsilon == 0,
        )
        return tabular.bind(arms, rule, name="EpsilonGreedy", rounds=rounds, row_capacity=row_capacity)
