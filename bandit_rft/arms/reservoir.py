"""Infinitely many arms whose means are drawn from a reservoir (Berry et al. 1997; Wang, Audibert, Munos 2008)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from bandit_rft import arguments
from bandit_rft.arms.lumped_arms import LumpedArms, constant
from bandit_rft.arms.priors import Prior, prior_of
from bandit_rft.errors import InputError
from bandit_rft.pools import Pool, ReservoirPool

# ln of a number of arms that no run tells from infinitely many: neither used up nor met twice by chance.
INFINITELY_MANY = 1e9


@dataclass(frozen=True, init=False)
class Reservoir(LumpedArms):
    """Infinitely many arms; each arm's mean is an independent draw, made when the arm is first pulled.

    Args:
        means: "uniform" (on [0, 1]), `Beta(a, b)`, `TwoPoint(probability, high, low)`, or a quantile function of JAX
            operations.
        best_mean: what regret is measured against; None is the reservoir's supremum, the literature's choice. Where
            the means have no supremum it must be given, at least what one arm in 10^12 exceeds.
        sigma: None for Bernoulli rewards, else the standard deviation of a reward around its mean.

    Raises:
        InputError: no distribution, one that leaves [0, 1] under Bernoulli rewards, no best_mean and no supremum,
            best_mean below the supremum or not finite, or sigma negative.

    Only learners that start from ignorance play it: a base policy over infinitely many arms has no uniform form.

    Example:
        >>> from bandit_rft import arms
        >>> arms.Reservoir("uniform").best_mean
        1.0
    """

    means: Any
    reference: float
    sigma: float | None

    def __init__(self, means: Any = "uniform", best_mean: float | None = None, sigma: float | None = None) -> None:
        prior = prior_of(means)
        sigma = None if sigma is None else arguments.at_least("sigma", sigma, 0.0)
        best_mean = None if best_mean is None else arguments.finite("best_mean", best_mean)
        if sigma is None and (prior.low < 0 or prior.supremum > 1):
            raise InputError("The reservoir's means leave [0, 1]: give sigma, or means that are probabilities.")
        if best_mean is None and not math.isfinite(prior.supremum):
            raise InputError(
                "The reservoir's means have no supremum: give best_mean, which regret is measured against."
            )
        least, what = prior.supremum, "the reservoir's supremum"
        if best_mean is not None and not math.isfinite(least):
            with jax.enable_x64(True):
                least, what = float(prior.quantile(constant([1 - 1e-12]))[0]), "what one arm in 10^12 exceeds,"
        if best_mean is not None and not best_mean >= least:
            raise InputError(f"best_mean is {best_mean:g}, below {what} {least:g}: give at least that.")
        object.__setattr__(self, "means", means)
        object.__setattr__(self, "reference", prior.supremum if best_mean is None else best_mean)
        object.__setattr__(self, "sigma", sigma)

    @property
    def prior(self) -> Prior:
        """The distribution of the means."""
        return prior_of(self.means)

    @property
    def reservoir(self) -> bool:  # type: ignore[override]
        return True

    @property
    def log_counts(self) -> tuple[float, ...]:  # type: ignore[override]
        return (INFINITELY_MANY,)

    @property
    def base_log_mass(self) -> tuple[float, ...]:  # type: ignore[override]
        return (0.0,)

    @property
    def best_mean(self) -> float:
        return self.reference

    @property
    def average_mean(self) -> float:
        return self.prior.average

    def means_within(self, low: float, high: float) -> bool:
        return self.prior.low >= low and self.prior.supremum <= high

    def class_means(self, world: Any) -> jax.Array:
        del world
        return jnp.full(1, self.prior.average, dtype=float)

    def pool(self, capacity: int) -> Pool:
        return ReservoirPool(quantile=self.prior.quantile, average=self.prior.average)
