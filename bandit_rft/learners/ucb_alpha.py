"""UCB(α): UCB1 with its exploration constant free (Bubeck & Cesa-Bianchi 2012, section 2.2).

    index(a) = total(a)/n(a) + sqrt(α ln t / (2 n(a))),   ∞ for an arm never pulled
UCB1 is α = 4. SMPyBandits names it UCBalpha.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp

from bandit_rft import arguments
from bandit_rft.learners.index import RootIndexLearner


@dataclass(frozen=True)
class UCB(RootIndexLearner):
    """UCB(α) on a table; starts from ignorance and ignores the arm set's base policy. One pull per round.

    Args:
        alpha: α > 0. Logarithmic regret for rewards in [0, 1] is proved for α > 2.

    Raises:
        InputError: alpha not positive and finite.

    Example:
        >>> from bandit_rft import arms, learners, run
        >>> table = arms.Bernoulli(means=[0.2, 0.8])
        >>> run(table, learners.UCB(alpha=4.0), rounds=20, seeds=2, key=0).rewards.shape
        (2, 20, 1)
    """

    alpha: float

    traced: ClassVar[tuple[str, ...]] = ("alpha",)

    def __post_init__(self) -> None:
        arguments.positive("alpha", self.alpha)

    def scale(self, time: jax.Array) -> jax.Array:
        return jnp.sqrt(self.alpha * jnp.log(time) / 2)
