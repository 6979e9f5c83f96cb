"""A prior over instances: every seed draws a bandit of its own, so that the mean over seeds is Bayesian regret."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bandit_rft import arguments
from bandit_rft.arms.lumped_arms import LumpedArms
from bandit_rft.arms.priors import prior_of
from bandit_rft.errors import InputError
from bandit_rft.keys import as_key


@dataclass(frozen=True, init=False)
class Instances(LumpedArms):
    """K arms whose means are drawn independently from a prior, anew for each seed.

    Args:
        means: the prior: "uniform", `Beta(a, b)`, `TwoPoint(probability, high, low)`, or a quantile function.
        arms: K ≥ 1. O(K) memory a seed.
        sigma: None for Bernoulli rewards, else the standard deviation of a reward around its mean.

    The history's `best_mean` is an array: each seed is measured against the best of its own arms.

    Raises:
        InputError: arms below 1, no distribution, one that leaves [0, 1] under Bernoulli rewards, or sigma negative.

    Example:
        >>> from bandit_rft import arms
        >>> arms.Instances("uniform", arms=10).jittable
        True
    """

    means: Any
    arms: int
    sigma: float | None

    def __init__(self, means: Any = "uniform", arms: int = 10, sigma: float | None = None) -> None:
        prior = prior_of(means)
        arms = arguments.whole("arms", arms)
        sigma = None if sigma is None else arguments.at_least("sigma", sigma, 0.0)
        if sigma is None and (prior.low < 0 or prior.supremum > 1):
            raise InputError("The prior's means leave [0, 1]: give sigma, or means that are probabilities.")
        object.__setattr__(self, "means", means)
        object.__setattr__(self, "arms", arms)
        object.__setattr__(self, "sigma", sigma)

    @property
    def log_counts(self) -> tuple[float, ...]:  # type: ignore[override]
        return (0.0,) * self.arms

    @property
    def base_log_mass(self) -> tuple[float, ...]:  # type: ignore[override]
        return (-float(np.log(self.arms)),) * self.arms

    @property
    def best_mean(self) -> None:
        return None

    def means_within(self, low: float, high: float) -> bool:
        prior = prior_of(self.means)
        return prior.low >= low and prior.supremum <= high

    def start(self, key: jax.Array) -> jax.Array:
        uniform = jax.random.uniform(as_key(key), (self.arms,), dtype=float)
        return prior_of(self.means).quantile(jnp.maximum(uniform, jnp.finfo(uniform.dtype).tiny))

    def class_means(self, world: jax.Array) -> jax.Array:
        return world

    def best(self, world: jax.Array) -> jax.Array:
        return jnp.max(world)
