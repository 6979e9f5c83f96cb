"""EXP3-IX, exponential weights with implicit exploration (Neu 2015, algorithm 1).

    p(a) = w(a)/Σw,   w(a_t) ← w(a_t) exp(−η (1 − r_t) / (p(a_t) + γ)),   γ = η/2 unless given
Default η = sqrt(2 ln K / (K T)), Neu's theorem 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from bandit_rft import arguments
from bandit_rft.contract import Learner
from bandit_rft.learners import tabular
from bandit_rft.learners.exp3 import log_learning_rate, loss_step
from bandit_rft.learners.index import require_unit_rewards


@dataclass(frozen=True)
class EXP3IX:
    """EXP3-IX on a table, for rewards in [0, 1]; starts from equal weights and ignores the base policy. One pull a
    round.

    Args:
        learning_rate: η > 0, or None for the default.
        implicit_exploration: γ > 0, or None for η/2.

    Raises:
        InputError: an argument that is not positive and finite.

    Example:
        >>> from bandit_rft import arms, learners, run
        >>> table = arms.Bernoulli(means=[0.2, 0.8])
        >>> run(table, learners.EXP3IX(), rounds=20, seeds=2, key=0).rewards.shape
        (2, 20, 1)
    """

    learning_rate: float | None = None
    implicit_exploration: float | None = None

    def __post_init__(self) -> None:
        for name in ("learning_rate", "implicit_exploration"):
            if getattr(self, name) is not None:
                arguments.positive(name, getattr(self, name))

    def bind(self, arms: object, *, rounds: int, row_capacity: int | None = None) -> Learner:
        """The learner on a table of arms. Raises InputError where `arms` is no table or can pay outside [0, 1]."""
        table = tabular.require_table(arms, "EXP3IX")
        require_unit_rewards(table, "EXP3IX")
        log_rate = log_learning_rate(table.log_arms, rounds, self.learning_rate)
        log_gamma = log_rate - math.log(2) if self.implicit_exploration is None else math.log(self.implicit_exploration)

        def log_denominator(log_probability: jax.Array) -> jax.Array:
            return jnp.logaddexp(log_probability, log_gamma)

        return tabular.bind(
            arms, loss_step(log_rate, log_denominator), name="EXP3IX", rounds=rounds, row_capacity=row_capacity
        )
