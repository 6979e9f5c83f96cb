"""What every table of arms offers the tabular learners: classes of interchangeable arms, and a world that may differ
from seed to seed or change with time.

    world = table.start(key)            what this seed's instance is (empty for a fixed table)
    table.class_means(world)            [C] true mean of each class now
    world = table.advance(world)        once per round, after the pulls
    table.best(world)                   the best mean now, where it differs by seed or round

Rewards are Bernoulli where `sigma` is None, else the mean plus sigma times a standard normal (sigma 0: deterministic).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bandit_rft import arguments
from bandit_rft.errors import InputError
from bandit_rft.keys import as_key
from bandit_rft.pools import ClassPool, ListedPool, Pool
from bandit_rft.rows import Pulls


class LumpedArms(ABC):
    """C classes of arms; a subclass gives the fields and overrides what differs.

    Attributes:
        log_counts: C natural logarithms of the numbers of arms in each class.
        base_log_mass: C logarithms of the mass that the base policy gives to each class as a whole.
        sigma: standard deviation of a reward around its mean, or None for Bernoulli rewards.
        delay: rounds between a pull and the learner's hearing of its reward.
        moving: whether class means change with time (an untouched arm then keeps a row of its class).
        reservoir: whether there are infinitely many arms, no two alike (there is then no row a class).
    """

    log_counts: tuple[float, ...]
    base_log_mass: tuple[float, ...]
    sigma: float | None = None
    delay: int = 0
    moving: bool = False
    reservoir: bool = False

    @property
    def jittable(self) -> bool:
        return True

    @property
    @abstractmethod
    def best_mean(self) -> float | None:
        """The best arm's mean; None where it differs by seed or round (`best` then knows it)."""

    @property
    def average_mean(self) -> float | None:
        """Average mean over the arms, each counted once; None where it differs by seed or round."""
        return None

    @property
    def log_arms(self) -> float:
        """ln K, the natural logarithm of the number of arms."""
        log_count = np.asarray(self.log_counts)
        top = np.max(log_count)
        return float(top + np.log(np.sum(np.exp(log_count - top))))

    @property
    def uniform_base(self) -> bool:
        """Whether the base policy gives every arm the same mass; where it gives some none (−inf), it does not."""
        per_arm = np.asarray(self.base_log_mass) - np.asarray(self.log_counts)
        if not np.all(np.isfinite(per_arm)):
            return False
        return bool(np.ptp(per_arm) <= 1e-12 * max(1.0, float(np.abs(per_arm).max())))

    @property
    def can_pay(self) -> np.ndarray:
        """bool [C], classes whose arms can give a reward other than 0."""
        return np.ones(len(self.log_counts), dtype=bool)

    @property
    def fixed_means(self) -> np.ndarray | None:
        """float64 [C], the class means where every seed has the same and they never change; else None."""
        return None

    def means_within(self, low: float, high: float) -> bool:
        """Whether every arm's mean lies in [low, high], for certain."""
        means = self.fixed_means
        if means is not None:
            return bool(np.all((means >= low) & (means <= high)))
        return self.sigma is None and low <= 0 and high >= 1  # the means of rewards 0 and 1 are probabilities

    def start(self, key: jax.Array) -> Any:
        """The world of one seed before its first round; the key is consumed."""
        as_key(key)
        return ()

    @abstractmethod
    def class_means(self, world: Any) -> jax.Array:
        """float [C], true mean of each class now."""

    def advance(self, world: Any) -> Any:
        """The world of the next round."""
        return world

    def best(self, world: Any) -> jax.Array | None:
        """float scalar, the best mean of this seed and round; None where `best_mean` serves."""
        del world
        return None

    def pool(self, capacity: int) -> Pool:
        """All arms in one row, at most `capacity` of which are ever taken."""
        if all(log_count == 0.0 for log_count in self.log_counts):
            return ListedPool(arms=len(self.log_counts), capacity=capacity, fixed_mean=self.fixed_means)
        return ClassPool(log_counts=tuple(self.log_counts))

    def pull(self, key: jax.Array, arms: Pulls) -> jax.Array:
        """Rewards [G] float; two pulls of one arm are independent draws. The key is consumed."""
        key = as_key(key)
        if self.sigma is None:
            paid = jax.random.uniform(key, arms.mean.shape, dtype=arms.mean.dtype) < arms.mean
            # The mean of an arm that there is not is NaN, and so must its reward be.
            return jnp.where(jnp.isnan(arms.mean), arms.mean, paid.astype(arms.mean.dtype))
        if self.sigma == 0:
            return arms.mean
        return arms.mean + self.sigma * jax.random.normal(key, arms.mean.shape, dtype=arms.mean.dtype)

    def mean(self, arms: Pulls) -> jax.Array:
        """True means [G] float of the arms pulled."""
        return arms.mean


def innermost(arms: Any) -> Any:
    """The table that delays, noise and drift are wrapped around; of anything else itself."""
    while isinstance(getattr(arms, "arms", None), LumpedArms):
        arms = arms.arms
    return arms


def check_means(means: Any, sigma: float | None) -> np.ndarray:
    """float64 [C], the means checked against the rewards' law.

    Raises:
        InputError: a mean outside [0, 1] under Bernoulli rewards, one that is not finite, or sigma negative.
    """
    mean = arguments.numbers("means", means)
    if sigma is not None:
        arguments.at_least("sigma", sigma, 0.0)
    if sigma is None and not np.all((mean >= 0) & (mean <= 1)):
        raise InputError(f"means holds {mean[~((mean >= 0) & (mean <= 1))][0]}: every mean must lie in [0, 1].")
    if not np.all(np.isfinite(mean)):
        raise InputError(f"means holds {mean[~np.isfinite(mean)][0]}: every mean must be finite.")
    return mean


def mass_of(base_mass: Any, arms: int) -> list[float] | None:
    """Logarithms of K base-policy masses, or None for the uniform policy.

    Raises:
        InputError: not K positive finite numbers.
    """
    if base_mass is None:
        return None
    mass = arguments.numbers("base_mass", base_mass)
    if mass.shape != (arms,) or not np.all(mass > 0) or not np.all(np.isfinite(mass)):
        raise InputError(f"base_mass must hold {arms} positive finite numbers, one for each arm.")
    return np.log(mass).tolist()


def constant(values: Any) -> jax.Array:
    """The values as a float array of the precision in force."""
    return jnp.asarray(np.asarray(values, dtype=np.float64), dtype=float)
