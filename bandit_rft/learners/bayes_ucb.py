"""Bayes-UCB with Beta posteriors (Kaufmann, Cappé, Garivier 2012, algorithm 1), prior Beta(1, 1).

    index(a) = the quantile of order 1 − 1/(t (ln T)^c) of Beta(1 + successes(a), 1 + failures(a)),
with t = pulls so far + 1 and T the horizon. The paper's proof takes c ≥ 5 and its experiments c = 0, the default here.
No arm comes first for being untouched: of its uniform prior the quantile is 1 − 1/t, which one success exceeds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax.scipy.special import betainc, betaln

from bandit_rft import arguments
from bandit_rft.arms.lumped_arms import LumpedArms
from bandit_rft.learners.index import Arm, IndexLearner, Setting, require_unit_rewards
from bandit_rft.learners.kl_ucb import depth_of_bound
from bandit_rft.rows import Rows

NEWTON_STEPS = 8  # from Chernoff's bound the error falls below 1e-9 within these for every posterior and level tried


@dataclass(frozen=True)
class BayesUCB(IndexLearner):
    """Bayes-UCB for rewards in [0, 1] on a table; ignores the arm set's base policy. One pull per round.

    Args:
        c: power of ln T in the quantile's order, from 0 to 100.

    Raises:
        InputError: c outside 0 to 100; or, on binding, rewards that can leave [0, 1].

    A reward strictly between 0 and 1 counts as that much of a success. The horizon matters only where c > 0.

    Example:
        >>> from bandit_rft import arms, learners, run
        >>> run(arms.Bernoulli([0.9, 0.1]), learners.BayesUCB(), rounds=100, seeds=8, key=0).rewards.shape
        (8, 100, 1)
    """

    c: float = 0.0
    untouched_first: ClassVar[bool] = False
    sweeps: ClassVar[bool] = False

    def __post_init__(self) -> None:
        arguments.between("c", self.c, 0.0, 100.0)  # the tail stays within the range of floats

    def check(self, table: LumpedArms) -> None:
        require_unit_rewards(table, "BayesUCB")

    def index(self, key: jax.Array, arm: Arm, time: jax.Array, rows: Rows, setting: Setting) -> jax.Array:
        now = jnp.where(jnp.sum(arm.pulls) > 0, time + 1, 1.0)
        level = jnp.log(now) + self.c * math.log(max(math.log(setting.rounds), 1.0))
        return upper_quantile(arm.total, arm.pulls - arm.total, level)


def upper_quantile(successes: jax.Array, failures: jax.Array, level: jax.Array) -> jax.Array:
    """The q with P(Beta(1 + successes, 1 + failures) ≥ q) = exp(−level), by Newton's method in u = ln(1 − q).

    In u the logarithm of the tail is concave, so Newton from below rises to the root and never passes it. The start is
    Chernoff's: the tail at 1 − q of Beta is a binomial's, at most exp(−(n + 1) d(successes/(n + 1), q)).
    """
    a, b = 1 + successes, 1 + failures
    trials = a + b - 1
    least = 1e-300
    # Its own logarithm: beside q = 1 - 1e-17 a start from 1 - q would be that of q = 1, which no step leads back from.
    start = -depth_of_bound(successes / trials, level / trials)
    normaliser = betaln(a, b)

    def step(_: int, u: jax.Array) -> jax.Array:
        tail = jnp.log(jnp.maximum(betainc(b, a, jnp.exp(u)), least))
        wrong = jnp.maximum(-jnp.expm1(u), least)
        slope = jnp.exp(b * u + (a - 1) * jnp.log(wrong) - normaliser - tail)
        return jnp.where(slope > 0, jnp.minimum(u - (tail + level) / jnp.where(slope > 0, slope, 1.0), 0.0), u)

    u = jax.lax.fori_loop(0, NEWTON_STEPS, step, start)
    return jnp.where(level <= 0, 0.0, -jnp.expm1(u))
