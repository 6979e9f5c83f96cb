"""Explore, then commit (Lattimore & Szepesvári 2020, algorithm 1).

    every arm is pulled m times, those pulled least first;   then the arm of the largest mean, for ever
A tie at the end of the exploration is broken once, uniformly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp

from bandit_rft import arguments
from bandit_rft.learners.index import Arm, IndexLearner, Setting
from bandit_rft.learners.tabular_update import Statistic
from bandit_rft.rows import Rows


@dataclass(frozen=True)
class ExploreThenCommit(IndexLearner):
    """Explore-then-commit on a table; ignores the arm set's base policy. One pull per round.

    Args:
        pulls_per_arm: m ≥ 1.

    Raises:
        InputError: pulls_per_arm below 1.

    Example:
        >>> from bandit_rft import arms, learners, run
        >>> table = arms.Bernoulli(means=[0.2, 0.8])
        >>> run(table, learners.ExploreThenCommit(), rounds=20, seeds=2, key=0).rewards.shape
        (2, 20, 1)
    """

    pulls_per_arm: int = 1
    delayable: ClassVar[bool] = False
    extra_statistic: ClassVar[dict[str, float]] = {"judged": 0.0}

    def __post_init__(self) -> None:
        object.__setattr__(self, "pulls_per_arm", arguments.whole("pulls_per_arm", self.pulls_per_arm))

    def index(self, key: jax.Array, arm: Arm, time: jax.Array, rows: Rows, setting: Setting) -> jax.Array:
        exploring = jnp.any((rows.log_multiplicity > -jnp.inf) & (arm.pulls < self.pulls_per_arm))
        # The one arm with more than m pulls is the one committed to.
        committed = jnp.where(arm.pulls > self.pulls_per_arm, jnp.inf, arm.extra["judged"])
        return jnp.where(exploring, -arm.pulls, committed)

    def observe_extra(self, before: Arm, rewards: jax.Array) -> Statistic:
        judged = (before.total + rewards) / (before.pulls + 1)
        return {"judged": jnp.where(before.pulls < self.pulls_per_arm, judged, before.extra["judged"])}
