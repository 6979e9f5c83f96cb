"""MOSS, minimax optimal strategy in the stochastic case (Audibert & Bubeck 2009, figure 1).

    index(a) = total(a)/n(a) + sqrt(max(ln(T/(K n(a))), 0) / n(a)),   ∞ for an arm never pulled
T is the horizon and K the number of arms.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from bandit_rft.learners.index import Arm, IndexLearner, Setting
from bandit_rft.rows import Rows


@dataclass(frozen=True)
class MOSS(IndexLearner):
    """MOSS on a table; starts from ignorance and ignores the arm set's base policy. One pull per round.

    The horizon is the run's number of rounds. Left out: the anytime version.

    Example:
        >>> from bandit_rft import arms, learners, run
        >>> table = arms.Bernoulli(means=[0.2, 0.8])
        >>> run(table, learners.MOSS(), rounds=20, seeds=2, key=0).rewards.shape
        (2, 20, 1)
    """

    def index(self, key: jax.Array, arm: Arm, time: jax.Array, rows: Rows, setting: Setting) -> jax.Array:
        pulls = jnp.maximum(arm.pulls, 1)
        excess = math.log(setting.rounds) - setting.log_arms - jnp.log(pulls)
        return arm.mean + jnp.sqrt(jnp.maximum(excess, 0.0) / pulls)
