"""KL-UCB (Garivier & Cappé 2011, algorithm 1), for rewards in [0, 1].

    index(a) = max{q : n(a) d(mean(a), q) ≤ ln t + c ln ln t},   ∞ for an arm never pulled
d is the Bernoulli divergence. The paper's proof takes c = 3 and its experiments c = 0, the default here.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from bandit_rft import arguments
from bandit_rft.arms.lumped_arms import LumpedArms
from bandit_rft.learners.index import Arm, IndexLearner, Setting, require_unit_rewards
from bandit_rft.rows import Rows

NEWTON_STEPS = 12  # from Pinsker's bound the error falls below 1e-12 within these for every mean and level tried


@dataclass(frozen=True)
class KLUCB(IndexLearner):
    """KL-UCB on a table; starts from ignorance and ignores the arm set's base policy. One pull per round.

    Args:
        c: weight of ln ln t, at least 0.

    Raises:
        InputError: c negative; or, on binding, rewards that can leave [0, 1].

    Example:
        >>> from bandit_rft import arms, learners, run
        >>> table = arms.Bernoulli(means=[0.2, 0.8])
        >>> run(table, learners.KLUCB(), rounds=20, seeds=2, key=0).rewards.shape
        (2, 20, 1)
    """

    c: float = 0.0

    def __post_init__(self) -> None:
        arguments.between("c", self.c, 0.0, 1e6)

    def check(self, table: LumpedArms) -> None:
        require_unit_rewards(table, "KLUCB")

    def index(self, key: jax.Array, arm: Arm, time: jax.Array, rows: Rows, setting: Setting) -> jax.Array:
        level = jnp.log(time) + self.c * jnp.log(jnp.maximum(jnp.log(time), 1.0))
        return upper_bound(arm.mean, level / jnp.maximum(arm.pulls, 1))


def upper_bound(mean: jax.Array, level: jax.Array) -> jax.Array:
    """max{q : d(mean, q) ≤ level} for mean in [0, 1] and level ≥ 0."""
    return jnp.where(mean >= 1, 1.0, jnp.where(level <= 0, mean, -jnp.expm1(-depth_of_bound(mean, level))))


def depth_of_bound(mean: jax.Array, level: jax.Array) -> jax.Array:
    """x = −ln(1 − q) of the largest q with d(mean, q) ≤ level, by Newton's method, for mean < 1 and level > 0.

    In x the divergence is convex, so Newton from above falls to the root and never passes it. The start is the smaller
    of two upper bounds: Pinsker's mean + sqrt(level/2), and 1 − (1 − mean) exp(−(level − mean ln mean)/(1 − mean)).
    """
    least = 1e-300
    wrong = jnp.maximum(1 - mean, least)
    entropy = -mean * jnp.log(jnp.maximum(mean, least))
    pinsker = -jnp.log(jnp.maximum(1 - mean - jnp.sqrt(level / 2), least))
    start = jnp.minimum(pinsker, -jnp.log(wrong) + (level + entropy) / wrong)

    def step(_: int, x: jax.Array) -> jax.Array:
        q = -jnp.expm1(-x)
        ratio = mean / jnp.maximum(q, least)
        excess = mean * jnp.log(jnp.maximum(ratio, least)) + wrong * (jnp.log(wrong) + x) - level
        slope = wrong - ratio * jnp.exp(-x)
        return jnp.where((excess > 0) & (slope > 0), x - excess / jnp.where(slope > 0, slope, 1.0), x)

    return jax.lax.fori_loop(0, NEWTON_STEPS, step, start)
