"""K arms given one by one: the textbook bandits. O(K) memory, as the name of their argument says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bandit_rft import arguments
from bandit_rft.arms.classes import Classes
from bandit_rft.arms.lumped_arms import mass_of


def _listed(arms: Classes, means: Sequence[float], base_mass: Sequence[float] | None, sigma: float | None) -> None:
    mean = arguments.numbers("means", means)
    Classes.__init__(arms, np.zeros_like(mean).tolist(), mean.tolist(), mass_of(base_mass, mean.size), sigma)


@dataclass(frozen=True, init=False)
class Bernoulli(Classes):
    """K arms of reward 0 or 1 with the given means, each a class of one arm.

    Args:
        means: K means in [0, 1].
        base_mass: K probabilities of the base policy, or None for uniform.

    Raises:
        InputError: no arm, a mean outside [0, 1], or base masses that are not K positive numbers.

    Example:
        >>> from bandit_rft import arms
        >>> arms.Bernoulli(means=[0.2, 0.8]).best_mean
        0.8
    """

    def __init__(self, means: Sequence[float], base_mass: Sequence[float] | None = None) -> None:
        _listed(self, means, base_mass, None)


@dataclass(frozen=True, init=False)
class Gaussian(Classes):
    """K arms with normal rewards of the given means and one standard deviation.

    Args:
        means: K finite means.
        sigma: standard deviation of a reward, at least 0.
        base_mass: K probabilities of the base policy, or None for uniform.

    Raises:
        InputError: no arm, a mean that is not finite, sigma negative, or base masses that are not K positive numbers.

    Example:
        >>> from bandit_rft import arms
        >>> arms.Gaussian(means=[0.0, 0.5], sigma=2.0).best_mean
        0.5
    """

    def __init__(self, means: Sequence[float], sigma: float = 1.0, base_mass: Sequence[float] | None = None) -> None:
        _listed(self, means, base_mass, arguments.at_least("sigma", sigma, 0.0))


@dataclass(frozen=True, init=False)
class Deterministic(Classes):
    """K arms that always pay their mean.

    Args:
        means: K finite rewards.
        base_mass: K probabilities of the base policy, or None for uniform.

    Raises:
        InputError: no arm, a reward that is not finite, or base masses that are not K positive numbers.

    Example:
        >>> from bandit_rft import arms
        >>> arms.Deterministic(means=[0.0, 1.0]).best_mean
        1.0
    """

    def __init__(self, means: Sequence[float], base_mass: Sequence[float] | None = None) -> None:
        _listed(self, means, base_mass, 0.0)
