"""UCB-F: UCB-V on a fixed number of arms, for infinitely many (Wang, Audibert, Munos 2008, section 2).

    K' = T^(β/2) if β < 1 and the best mean is below 1, else T^(β/(β+1)) arms, drawn from all;   on them UCB-V with
    E_t = 2 ln(10 ln t)
β says how rare good arms are: P(mean > best − ε) ~ ε^β. Uniform means have β = 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp

from bandit_rft import arguments
from bandit_rft.learners.index import Arm, IndexLearner, Setting, whole_part
from bandit_rft.learners.tabular_update import Statistic
from bandit_rft.learners.ucb_v import variance_bound
from bandit_rft.rows import Rows


@dataclass(frozen=True)
class UCBF(IndexLearner):
    """UCB-F on a table; starts from ignorance and ignores the arm set's base policy. One pull per round.

    Args:
        beta: β > 0.
        best_mean_is_one: whether the best arm pays always, which asks for more arms where β < 1.

    Raises:
        InputError: beta not positive and finite, best_mean_is_one neither True nor False.

    The number of arms is rounded down, at least 1, and K where there are no more. Left out: UCB-AIR, which needs no
    horizon.

    Example:
        >>> from bandit_rft import arms, learners, run
        >>> table = arms.Bernoulli(means=[0.2, 0.8])
        >>> run(table, learners.UCBF(), rounds=20, seeds=2, key=0).rewards.shape
        (2, 20, 1)
    """

    beta: float = 1.0
    best_mean_is_one: bool = True
    extra_statistic: ClassVar[dict[str, float]] = {"squares": 0.0}

    def __post_init__(self) -> None:
        arguments.positive("beta", self.beta)
        arguments.flag("best_mean_is_one", self.best_mean_is_one)

    def subsample_size(self, setting: Setting) -> int | None:
        few = self.beta < 1 and not self.best_mean_is_one
        exponent = self.beta / 2 if few else self.beta / (self.beta + 1)
        size = max(1, whole_part(setting.rounds**exponent))
        return size if size < setting.arms else None

    def index(self, key: jax.Array, arm: Arm, time: jax.Array, rows: Rows, setting: Setting) -> jax.Array:
        # ln(10 ln t) is negative for the first round alone, where no arm has been pulled twice.
        exploration = 2 * jnp.log(jnp.maximum(10 * jnp.log(time), 1.0))
        return variance_bound(arm, exploration, 1.0)

    def observe_extra(self, before: Arm, rewards: jax.Array) -> Statistic:
        return {"squares": before.extra["squares"] + rewards**2}
