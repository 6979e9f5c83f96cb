"""K Bernoulli arms given one by one: the textbook bandit. O(K) memory, as the name of its argument says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bandit_rft.arms.classes import Classes
from bandit_rft.errors import InputError


@dataclass(frozen=True, init=False)
class Bernoulli(Classes):
    """K arms with the given mean rewards, each a class of one arm.

    Args:
        means: K means in [0, 1].
        base_mass: K probabilities of the base policy, or None for uniform.

    Raises:
        InputError: no arm, a mean outside [0, 1], or base masses that are not K positive numbers.
    """

    def __init__(self, means: Sequence[float], base_mass: Sequence[float] | None = None) -> None:
        mean = np.atleast_1d(np.asarray(means, dtype=np.float64))
        if mean.size == 0:
            raise InputError("means is empty: a bandit needs one arm or more.")
        log_mass = None
        if base_mass is not None:
            mass = np.asarray(base_mass, dtype=np.float64)
            if mass.shape != mean.shape or not np.all(mass > 0) or not np.all(np.isfinite(mass)):
                raise InputError(f"base_mass must hold {mean.size} positive finite numbers, one for each arm.")
            log_mass = np.log(mass)
        super().__init__(np.zeros_like(mean).tolist(), mean.tolist(), None if log_mass is None else log_mass.tolist())
