"""Annealed softmax greedy: a softmax of empirical means whose temperature falls (Overman & Bayati, arXiv 2605.31034).

    every arm is pulled once;   then π(a) ∝ exp(η_t mean(a)),   η_t = scale · t^power

The paper's abstract states the policy and its regret. The schedule here is our own: with m arms of evenly spread means
a softmax loses about 1/η_t a round, so that a power of 1/2 costs about sqrt(T), the rate that the abstract gives.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from bandit_rft import arguments
from bandit_rft.arms.lumped_arms import LumpedArms
from bandit_rft.learners.index import Arm, IndexLearner, Setting
from bandit_rft.learners.tabular_update import State, TabularUpdate
from bandit_rft.rows import Rows, relative_weight


@dataclass(frozen=True)
class AnnealedSoftmax(IndexLearner):
    """Annealed softmax greedy on a table; ignores the arm set's base policy. One pull per round.

    Args:
        scale: > 0, the inverse temperature at t = 1, in units of 1 / reward.
        power: ≥ 0, by which the inverse temperature rises with the number t of pulls so far; 0 keeps it constant.

    Raises:
        InputError: scale not positive and finite, or power negative.

    The paper's m arms of a prior are `Subsampled(AnnealedSoftmax(), size=m)` on any table or reservoir.

    Example:
        >>> from bandit_rft import arms, learners, run
        >>> learner = learners.Subsampled(learners.AnnealedSoftmax(), size=10)
        >>> run(arms.Reservoir(), learner, rounds=100, seeds=8, key=0).rewards.shape
        (8, 100, 1)
    """

    scale: float = 1.0
    power: float = 0.5

    def __post_init__(self) -> None:
        arguments.positive("scale", self.scale)
        arguments.at_least("power", self.power, 0.0)

    def index(self, key: jax.Array, arm: Arm, time: jax.Array, rows: Rows, setting: Setting) -> jax.Array:
        return self.scale * time**self.power * arm.mean

    def rule(self, table: LumpedArms, rounds: int, arms: int | None = None) -> TabularUpdate:
        rule = super().rule(table, rounds, arms)

        def weight(key: jax.Array, state: State) -> jax.Array:
            del key
            pulls, total = state.statistic["pulls"], state.statistic["total"]
            log_multiplicity = state.rows.log_multiplicity
            # An infinite one times a mean of 0 would be no number; at the limit any two means are told apart.
            sharpness = jnp.minimum(self.scale * jnp.maximum(state.time, 1).astype(total.dtype) ** self.power, 1e150)
            untouched = (pulls == 0) & (log_multiplicity > -jnp.inf)
            touched = jnp.where(jnp.any(untouched), -jnp.inf, sharpness * total / jnp.maximum(pulls, 1))
            return relative_weight(jnp.where(untouched, 0.0, touched) + log_multiplicity)

        return rule._replace(weight=weight)
