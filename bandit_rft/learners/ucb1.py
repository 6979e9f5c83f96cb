"""UCB1 (Auer, Cesa-Bianchi, Fischer 2002, figure 1).

    index(a) = total(a)/n(a) + sqrt(2 ln t / n(a)),   ∞ for an arm never pulled;   pull the largest, ties uniform over
    arms
with t the number of pulls so far. Optimism for rewards in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from bandit_rft.learners.index import RootIndexLearner


@dataclass(frozen=True)
class UCB1(RootIndexLearner):
    """UCB1 on a table; starts from ignorance and ignores the arm set's base policy. One pull per round.

    With K ≥ the number of rounds it only sweeps fresh arms, as every index learner does.

    Example:
        >>> from bandit_rft import arms, learners, run
        >>> table = arms.Bernoulli(means=[0.2, 0.8])
        >>> run(table, learners.UCB1(), rounds=20, seeds=2, key=0).rewards.shape
        (2, 20, 1)
    """

    def scale(self, time: jax.Array) -> jax.Array:
        return jnp.sqrt(2 * jnp.log(time))
