"""Reward classes: the general table of arms, any number of them.

An arm set is C classes; class c holds exp(log_counts[c]) interchangeable arms with mean reward means[c]. Rewards are
Bernoulli (deterministic 0/1 where a mean is 0 or 1). `Bernoulli` and `Needle` are special cases.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np

from bandit_rft.errors import InputError
from bandit_rft.rows import LARGEST_COUNT, Pulls


@dataclass(frozen=True, init=False)
class Classes:
    """C classes of interchangeable Bernoulli arms.

    Args:
        log_counts: C natural logarithms of the numbers of arms. Arms come whole: a count below 2^31 is rounded to the
            nearest whole number, and the attribute holds that number's logarithm.
        means: C mean rewards in [0, 1].
        base_log_mass: C logarithms of the probability that the base policy gives to each class as a whole (spread
            evenly inside it); normalised here. None is the uniform policy over arms. Only learners that start from a
            policy read it; index learners start from ignorance.

    Raises:
        InputError: lengths differ, no class, a mean outside [0, 1], a count below one, a mass that is not
            finite.
    """

    log_counts: tuple[float, ...]
    means: tuple[float, ...]
    base_log_mass: tuple[float, ...]

    def __init__(
        self, log_counts: Sequence[float], means: Sequence[float], base_log_mass: Sequence[float] | None = None
    ) -> None:
        log_count = np.asarray(log_counts, dtype=np.float64)
        mean = np.asarray(means, dtype=np.float64)
        if log_count.ndim != 1 or log_count.shape != mean.shape or log_count.size == 0:
            raise InputError(
                f"log_counts has shape {log_count.shape} and means {mean.shape}: give two lists of one length, one "
                "entry a class."
            )
        if not np.all((mean >= 0) & (mean <= 1)):
            raise InputError(f"means holds {mean[~((mean >= 0) & (mean <= 1))][0]}: every mean must lie in [0, 1].")
        if not np.all(np.isfinite(log_count)) or np.any(log_count < -1e-12):
            raise InputError("log_counts must be finite and at least 0: every class needs one arm or more.")
        small = log_count <= math.log(LARGEST_COUNT)
        log_count = np.where(
            small, np.log(np.maximum(np.rint(np.exp(np.where(small, log_count, 0.0))), 1.0)), log_count
        )
        mass = log_count if base_log_mass is None else np.asarray(base_log_mass, dtype=np.float64)
        if mass.shape != log_count.shape or np.any(np.isnan(mass)) or np.any(mass == np.inf) or np.all(mass == -np.inf):
            raise InputError(
                "base_log_mass must hold one logarithm of a probability for each class, not all −inf, none NaN or +inf."
            )
        mass = mass - (np.max(mass) + np.log(np.sum(np.exp(mass - np.max(mass)))))
        object.__setattr__(self, "log_counts", tuple(log_count.tolist()))
        object.__setattr__(self, "means", tuple(mean.tolist()))
        object.__setattr__(self, "base_log_mass", tuple(mass.tolist()))

    @property
    def jittable(self) -> bool:
        return True

    @property
    def best_mean(self) -> float:
        return max(self.means)

    @property
    def log_arms(self) -> float:
        """ln K, the natural logarithm of the number of arms."""
        log_count = np.asarray(self.log_counts)
        top = np.max(log_count)
        return float(top + np.log(np.sum(np.exp(log_count - top))))

    @property
    def p0(self) -> float:
        """Mass that the base policy gives to the arms of the best mean."""
        best = np.asarray(self.means) == self.best_mean
        return float(np.sum(np.exp(np.asarray(self.base_log_mass)[best])))

    @cached_property
    def mean_of_class(self) -> np.ndarray:
        """float64 [C]."""
        return np.asarray(self.means, dtype=np.float64)

    def pull(self, key: jax.Array, arms: Pulls) -> jax.Array:
        """Rewards [G] float, 0 or 1; two pulls of one arm are independent draws. The key is consumed."""
        mean = self.mean(arms)
        return (jax.random.uniform(key, mean.shape, dtype=mean.dtype) < mean).astype(mean.dtype)

    def mean(self, arms: Pulls) -> jax.Array:
        """True means [G] float of the arms pulled."""
        return jnp.asarray(self.mean_of_class, dtype=float)[arms.class_index]
