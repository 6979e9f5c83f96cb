"""Sliding-window UCB for means that change (Garivier & Moulines 2011, section 3, rewards in [0, B]).

    index(a) = mean of a's rewards among the last τ + B sqrt(ξ ln min(t, τ) / n(a)),   ∞ where n(a) = 0
with n(a) the number of a's pulls among the last τ rewards. With τ at least the horizon nothing is forgotten.

Rows (docs/lumping.md): the memory names the rows of the last τ pulls, whose arms have left their rows. An arm that the
window has forgotten keeps a row of its own: it ties with the untouched ones, arm by arm.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from bandit_rft import arguments
from bandit_rft.arms.lumped_arms import LumpedArms
from bandit_rft.learners.index import Arm, IndexLearner, Setting
from bandit_rft.learners.tabular_update import Lesson, State, TabularUpdate
from bandit_rft.rows import Pulls, Rows


@dataclass(frozen=True)
class SlidingWindowUCB(IndexLearner):
    """Sliding-window UCB on a table; starts from ignorance and ignores the arm set's base policy. One pull per round.

    Args:
        window: τ ≥ 1, rewards that are remembered. The paper takes 2 B sqrt(T ln T / changes) for a horizon T.
        xi: ξ > 0; the paper's bound wants more than 1/2, and 2 is UCB1's width.
        reward_range: B, largest minus smallest possible reward.

    Raises:
        InputError: window below 1, xi or reward_range not positive and finite, or reward_range * sqrt(xi) above 1e300.

    Memory and a round's time are of the order of the window beside the arms touched: it names the last τ pulls.

    Example:
        >>> from bandit_rft import arms, learners, run
        >>> table = arms.Drifting(arms.Bernoulli([0.9, 0.1]), changes=(200,))
        >>> run(table, learners.SlidingWindowUCB(window=50), rounds=400, seeds=8, key=0).rewards.shape
        (8, 400, 1)
    """

    window: int
    xi: float = 0.6
    reward_range: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "window", arguments.whole("window", self.window))
        for name in ("xi", "reward_range"):
            arguments.positive(name, getattr(self, name))
        arguments.between("reward_range * sqrt(xi)", self.reward_range * math.sqrt(self.xi), 0.0, 1e300)

    def index(self, key: jax.Array, arm: Arm, time: jax.Array, rows: Rows, setting: Setting) -> jax.Array:
        level = self.xi * jnp.log(jnp.minimum(time, float(self.window)))
        return arm.mean + self.reward_range * jnp.sqrt(level / jnp.maximum(arm.pulls, 1))

    def rule(self, table: LumpedArms, rounds: int, arms: int | None = None) -> TabularUpdate:
        rule = super().rule(table, rounds, arms)
        kept = min(self.window, rounds)

        def learn(state: State, pulls: Pulls, rewards: jax.Array) -> Lesson:
            slot = state.time % kept

            def forget(state: State, place: jax.Array) -> State:
                """The reward of τ rounds ago leaves its arm, and the newest takes its slot."""
                memory, statistic = state.memory, state.statistic
                row, heard = memory["row"][slot], memory["heard"][slot]
                left = statistic["pulls"].at[row].add(-heard)
                total = statistic["total"].at[row].add(-heard * memory["reward"][slot])
                # What rounding leaves of a sum of nothing is not kept.
                total = total.at[row].set(jnp.where(left[row] > 0, total[row], 0.0))
                newest = {"row": place[0], "heard": jnp.ones_like(heard), "reward": rewards[0]}
                memory = {name: memory[name].at[slot].set(value) for name, value in newest.items()}
                return dataclasses.replace(state, statistic={**statistic, "pulls": left, "total": total}, memory=memory)

            return rule.learn(state, pulls, rewards)._replace(then=forget)

        return rule._replace(
            learn=learn,
            memory={"row": np.zeros(kept, np.int32), "heard": np.zeros(kept), "reward": np.zeros(kept)},
            # A shorter window forgets arms, which then tie with those never pulled.
            sweeps=self.window >= rounds,
        )
