"""Discounted UCB for means that change (Kocsis & Szepesvári 2006; Garivier & Moulines 2011, section 3).

    N(a) = Σ_s γ^(t−s) 1[a_s = a],   index(a) = Σ_s γ^(t−s) r_s 1[a_s = a] / N(a) + 2B sqrt(ξ ln Σ_b N(b) / N(a)),
∞ for an arm never pulled. B is the range of the rewards, and γ = 1 forgets nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp

from bandit_rft import arguments
from bandit_rft.arms.lumped_arms import LumpedArms
from bandit_rft.errors import InputError
from bandit_rft.learners.index import Arm, IndexLearner, Setting
from bandit_rft.learners.tabular_update import Lesson, State, Statistic, TabularUpdate
from bandit_rft.rows import Pulls, Rows

_FAINT = 1e-200
_BEYOND = 1e200  # above every index of a count that is not faint


@dataclass(frozen=True)
class DiscountedUCB(IndexLearner):
    """Discounted UCB on a table; starts from ignorance and ignores the arm set's base policy. One pull per round.

    Args:
        discount: γ in (0, 1]. The paper takes 1 − sqrt(changes / T) / (4B) for a horizon T.
        xi: ξ > 0; the paper's bound wants more than 1/2. At 1/2 the width without discount is UCB1's.
        reward_range: B, largest minus smallest possible reward.

    Raises:
        InputError: discount outside (0, 1], xi or reward_range not positive and finite, or reward_range * sqrt(xi)
            above 1e300.

    Example:
        >>> from bandit_rft import arms, learners, run
        >>> table = arms.Drifting(arms.Bernoulli([0.9, 0.1]), changes=(200,))
        >>> run(table, learners.DiscountedUCB(discount=0.98), rounds=400, seeds=8, key=0).rewards.shape
        (8, 400, 1)
    """

    discount: float
    xi: float = 0.6
    reward_range: float = 1.0
    extra_statistic: ClassVar[dict[str, float]] = {"idle": 0.0}  # rounds since N was put down for the last time

    def __post_init__(self) -> None:
        for name in ("discount", "xi", "reward_range"):
            arguments.positive(name, getattr(self, name))
        arguments.between("reward_range * sqrt(xi)", self.reward_range * math.sqrt(self.xi), 0.0, 1e300)
        if self.discount > 1:
            raise InputError(f"discount is {self.discount}: give a number above 0, and at most 1.")

    def index(self, key: jax.Array, arm: Arm, time: jax.Array, rows: Rows, setting: Setting) -> jax.Array:
        # All arms that were ever pulled are alone in their rows, so a sum over rows is one over arms.
        pulls = jnp.where(arm.pulls > 0, arm.pulls, 1.0)
        level = self.xi * jnp.log(jnp.maximum(jnp.sum(arm.pulls), 1.0))
        index = arm.total / pulls + 2 * self.reward_range * jnp.sqrt(level / pulls)
        # Below the floats' range the width alone counts, and of such arms the one of the smallest N comes first.
        log_pulls = jnp.log(pulls) + arm.extra["idle"] * math.log(self.discount)
        return jnp.where((arm.extra["idle"] > 0) & (level > 0), -_BEYOND * log_pulls, index)

    def observe_extra(self, before: Arm, rewards: jax.Array) -> Statistic:
        return {"idle": jnp.zeros_like(before.pulls)}

    def rule(self, table: LumpedArms, rounds: int, arms: int | None = None) -> TabularUpdate:
        rule = super().rule(table, rounds, arms)

        def learn(state: State, pulls: Pulls, rewards: jax.Array) -> Lesson:
            before = state.statistic
            # A count that faded to 0 would be that of an arm never pulled: it stays where it is, and its rounds count.
            faint = (before["pulls"] > 0) & (before["pulls"] < _FAINT)
            faded = {name: jnp.where(faint, 1.0, self.discount) * before[name] for name in ("pulls", "total")}
            faded["idle"] = before["idle"] + faint.astype(before["idle"].dtype)
            return rule.learn(state, pulls, rewards)._replace(statistic=faded)

        return rule._replace(learn=learn)
