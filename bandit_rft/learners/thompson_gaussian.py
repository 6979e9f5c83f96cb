"""Thompson sampling with Gaussian posteriors (Agrawal & Goyal 2013, "Further optimal regret bounds", section 3).

    θ_a ~ N(m_a, v_a),   1/v_a = 1/v_0 + n(a)/σ²,   m_a = v_a (m_0/v_0 + total(a)/σ²);   pull argmax_a θ_a
Prior N(m_0, v_0) and noise σ; the paper's own is m_0 = 0, v_0 = σ = 1.

Rows (docs/lumping.md): a row of n untouched arms is represented by the best of n draws: with U uniform, its standard
normal is z where ln Φ(−z) = ln(−expm1(ln U / n)), so that the best of 10^100000 draws has its exact law.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp

from bandit_rft import arguments
from bandit_rft.learners.index import Arm, IndexLearner, Setting
from bandit_rft.rows import Rows
from bandit_rft.sampling_normal import best_normal


@dataclass(frozen=True)
class ThompsonGaussian(IndexLearner):
    """Gaussian Thompson sampling on a table; starts from ignorance and ignores the base policy. One pull per round.

    Args:
        sigma: σ, the standard deviation that the learner believes rewards to have, from 1e-100 to 1e100.
        prior_mean: m_0, from -1e100 to 1e100.
        prior_variance: v_0, from 1e-200 to 1e200.

    Raises:
        InputError: an argument outside its range, beyond which no float holds 1/v_0, n/σ² and their products.

    The probability of each arm has no closed form: the pulled arm's true mean stands in for the policy's value.

    Example:
        >>> from bandit_rft import arms, learners, run
        >>> table = arms.Bernoulli(means=[0.2, 0.8])
        >>> run(table, learners.ThompsonGaussian(), rounds=20, seeds=2, key=0).rewards.shape
        (2, 20, 1)
    """

    sigma: float = 1.0
    prior_mean: float = 0.0
    prior_variance: float = 1.0
    untouched_first: ClassVar[bool] = False
    sweeps: ClassVar[bool] = False
    random: ClassVar[bool] = True

    def __post_init__(self) -> None:
        arguments.between("sigma", arguments.positive("sigma", self.sigma), 1e-100, 1e100)
        variance = arguments.positive("prior_variance", self.prior_variance)
        arguments.between("prior_variance", variance, 1e-200, 1e200)
        arguments.between("prior_mean", self.prior_mean, -1e100, 1e100)

    def index(self, key: jax.Array, arm: Arm, time: jax.Array, rows: Rows, setting: Setting) -> jax.Array:
        variance = 1 / (1 / self.prior_variance + arm.pulls / self.sigma**2)
        mean = variance * (self.prior_mean / self.prior_variance + arm.total / self.sigma**2)
        one_key, many_key = jax.random.split(key)
        # One arm's draw for rows that hold one; only the first rows can hold more.
        normal = jax.random.normal(one_key, mean.shape, mean.dtype)
        if rows.heads:
            head = jnp.maximum(rows.log_multiplicity[: rows.heads], 0.0)
            normal = normal.at[: rows.heads].set(best_normal(many_key, head))
        return mean + jnp.sqrt(variance) * normal
