"""UCB-V: upper confidence bounds with empirical variances (Audibert, Munos, Szepesvári 2009, equation 4).

    index(a) = mean + sqrt(2 V(a) E_t / n(a)) + 3 c b E_t / n(a),   E_t = ζ ln t,   ∞ for an arm never pulled
V is the empirical variance (divided by n) and b the range of the rewards.
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
class UCBV(IndexLearner):
    """UCB-V on a table; starts from ignorance and ignores the arm set's base policy. One pull per round.

    Args:
        zeta: ζ > 0; the paper's logarithmic bound wants more than 1.
        c: weight of the bias term.
        reward_range: b, largest minus smallest possible reward.

    Raises:
        InputError: an argument that is not positive and finite, or a product of all three above 1e300.

    Example:
        >>> from bandit_rft import arms, learners, run
        >>> table = arms.Bernoulli(means=[0.2, 0.8])
        >>> run(table, learners.UCBV(), rounds=20, seeds=2, key=0).rewards.shape
        (2, 20, 1)
    """

    zeta: float = 1.2
    c: float = 1.0
    reward_range: float = 1.0
    extra_statistic: ClassVar[dict[str, float]] = {"squares": 0.0}

    def __post_init__(self) -> None:
        for name in ("zeta", "c", "reward_range"):
            arguments.positive(name, getattr(self, name))
        arguments.between("zeta * c * reward_range", self.zeta * self.c * self.reward_range, 0.0, 1e300)

    def index(self, key: jax.Array, arm: Arm, time: jax.Array, rows: Rows, setting: Setting) -> jax.Array:
        return variance_bound(arm, self.zeta * jnp.log(time), self.c * self.reward_range)

    def observe_extra(self, before: Arm, rewards: jax.Array) -> Statistic:
        return {"squares": before.extra["squares"] + rewards**2}


def variance_bound(arm: Arm, exploration: jax.Array, bias: float) -> jax.Array:
    """mean + sqrt(2 V E / n) + 3 bias E / n, [R]."""
    pulls = jnp.maximum(arm.pulls, 1)
    variance = jnp.maximum(arm.extra["squares"] / pulls - arm.mean**2, 0.0)
    return arm.mean + jnp.sqrt(2 * variance * exploration / pulls) + 3 * bias * exploration / pulls
