"""Reward classes: the general table of arms, any number of them.

An arm set is C classes; class c holds exp(log_counts[c]) interchangeable arms with mean reward means[c]. Rewards are
Bernoulli (deterministic 0/1 where a mean is 0 or 1), Gaussian or deterministic. `Bernoulli`, `Gaussian`,
`Deterministic` and `Needle` are special cases.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import jax
import numpy as np

from bandit_rft import arguments
from bandit_rft.arms.lumped_arms import LumpedArms, check_means, constant
from bandit_rft.errors import InputError
from bandit_rft.pools import LARGEST_COUNT


@dataclass(frozen=True, init=False)
class Classes(LumpedArms):
    """C classes of interchangeable arms.

    Args:
        log_counts: C natural logarithms of the numbers of arms. Arms come whole: a count below 2^31 is rounded to the
            nearest whole number, and the attribute holds that number's logarithm.
        means: C mean rewards; in [0, 1] where rewards are Bernoulli.
        base_log_mass: C logarithms of the probability that the base policy gives to each class as a whole (spread
            evenly inside it); normalised here. None is the uniform policy over arms. Only learners that start from a
            policy read it; index learners start from ignorance.
        sigma: None for Bernoulli rewards; else each reward is the mean plus sigma times a standard normal, and sigma 0
            makes rewards deterministic.

    Raises:
        InputError: lengths differ, no class, a mean outside [0, 1] under Bernoulli rewards, sigma negative, a
            count below one, a mass that is not finite.

    Example:
        >>> from bandit_rft import arms
        >>> arms.Classes(log_counts=[0.0, 50.0], means=[0.9, 0.5]).best_mean
        0.9
    """

    log_counts: tuple[float, ...]
    means: tuple[float, ...]
    base_log_mass: tuple[float, ...]
    sigma: float | None

    def __init__(
        self,
        log_counts: Sequence[float],
        means: Sequence[float],
        base_log_mass: Sequence[float] | None = None,
        sigma: float | None = None,
    ) -> None:
        log_count = arguments.numbers("log_counts", log_counts)
        mean = check_means(means, sigma)
        if log_count.shape != mean.shape:
            raise InputError(
                f"log_counts has shape {log_count.shape} and means {mean.shape}: give two lists of one length, one "
                "entry a class."
            )
        if not np.all(np.isfinite(log_count)) or np.any(log_count < -1e-12):
            raise InputError("log_counts must be finite and at least 0: every class needs one arm or more.")
        small = log_count <= math.log(LARGEST_COUNT)
        log_count = np.where(
            small, np.log(np.maximum(np.rint(np.exp(np.where(small, log_count, 0.0))), 1.0)), log_count
        )
        mass = log_count if base_log_mass is None else arguments.numbers("base_log_mass", base_log_mass)
        if mass.shape != log_count.shape or np.any(np.isnan(mass)) or np.any(mass == np.inf) or np.all(mass == -np.inf):
            raise InputError(
                "base_log_mass must hold one logarithm of a probability for each class, not all −inf, none NaN or +inf."
            )
        mass = mass - (np.max(mass) + np.log(np.sum(np.exp(mass - np.max(mass)))))
        object.__setattr__(self, "log_counts", tuple(log_count.tolist()))
        object.__setattr__(self, "means", tuple(mean.tolist()))
        object.__setattr__(self, "base_log_mass", tuple(mass.tolist()))
        object.__setattr__(self, "sigma", None if sigma is None else float(sigma))

    @classmethod
    def of(cls, counts: Mapping[float, int]) -> Classes:
        """A table of Bernoulli arms from how many there are of each mean, such as {0.5: 999_000, 0.9: 1_000}.

        Raises:
            InputError: no mean, one outside [0, 1], or a count that is no whole number of at least 1.

        Example:
            >>> from bandit_rft import arms
            >>> table = arms.Classes.of({0.5: 999_000, 0.9: 1_000})
            >>> round(table.average_mean, 4), table.best_mean
            (0.5004, 0.9)
        """
        if not isinstance(counts, Mapping):
            raise InputError(f"counts is {arguments.shown(counts)}: give a dict, such as {{0.5: 999, 0.9: 1}}.")
        log_counts = [math.log(arguments.whole("a count", count, most=None)) for count in counts.values()]
        return Classes(log_counts, list(counts))

    @property
    def best_mean(self) -> float:
        return max(self.means)

    @property
    def average_mean(self) -> float:
        log_count = np.asarray(self.log_counts)
        return float(np.exp(log_count - self.log_arms) @ self.mean_of_class)

    @property
    def p0(self) -> float:
        """Mass that the base policy gives to the arms of the best mean."""
        best = np.asarray(self.means) == self.best_mean
        return float(np.sum(np.exp(np.asarray(self.base_log_mass)[best])))

    @cached_property
    def mean_of_class(self) -> np.ndarray:
        """float64 [C]."""
        return np.asarray(self.means, dtype=np.float64)

    @property
    def can_pay(self) -> np.ndarray:
        always = self.sigma is not None and self.sigma > 0
        return np.full(self.mean_of_class.shape, True) if always else self.mean_of_class != 0

    @property
    def fixed_means(self) -> np.ndarray:
        return self.mean_of_class

    def class_means(self, world: object) -> jax.Array:
        del world
        return constant(self.mean_of_class)
