"""Linear contexts: in each round K arms with features, whose mean rewards are linear in them.

    r = ⟨θ, x_a⟩ + sigma · normal,   x_1 … x_K ~ uniform on the unit sphere, drawn anew each round,   ‖θ‖ = 1
θ is hidden and differs by seed unless it is given. The features are all that tells arms apart: these are no classes of
alike arms, and nothing is lumped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bandit_rft import arguments
from bandit_rft.errors import InputError
from bandit_rft.keys import as_key


class Featured(NamedTuple):
    """The arm pulled in a round, G = 1.

    Attributes:
        features: float [G, d].
        mean: float [G], its true mean reward: the arm set's to read, never the learner's.
    """

    features: jax.Array
    mean: jax.Array


@dataclass(frozen=True, init=False)
class LinearContexts:
    """K arms a round with features in R^d, mean rewards ⟨θ, x⟩ and normal noise.

    Args:
        arms: K ≥ 1, arms a round.
        dimension: d ≥ 1.
        sigma: standard deviation of a reward, at least 0.
        theta: d finite numbers, the hidden parameter of every seed; None draws one on the unit sphere for each seed.

    Raises:
        InputError: K or d below 1, sigma negative, or a theta that is not d finite numbers.

    The best mean differs by round: the history's `best_mean` is an array.

    Example:
        >>> from bandit_rft import arms, learners, run
        >>> table = arms.LinearContexts(arms=5, dimension=3, sigma=0.1)
        >>> run(table, learners.LinUCB(), rounds=50, seeds=4, key=0).rewards.shape
        (4, 50, 1)
    """

    arms: int
    dimension: int
    sigma: float
    theta: tuple[float, ...] | None

    def __init__(
        self, arms: int, dimension: int, sigma: float = 0.5, theta: Sequence[float] | np.ndarray | None = None
    ) -> None:
        object.__setattr__(self, "arms", arguments.whole("arms", arms))
        object.__setattr__(self, "dimension", arguments.whole("dimension", dimension))
        object.__setattr__(self, "sigma", arguments.at_least("sigma", sigma, 0.0))
        given = None if theta is None else arguments.numbers("theta", theta)
        if given is not None and (given.shape != (self.dimension,) or not np.all(np.isfinite(given))):
            raise InputError(f"theta must hold {self.dimension} finite numbers, one for each feature.")
        object.__setattr__(self, "theta", None if given is None else tuple(given.tolist()))

    @property
    def jittable(self) -> bool:
        return True

    @property
    def best_mean(self) -> None:
        """It differs by round: None."""
        return None

    @property
    def theta_norm(self) -> float:
        """‖θ‖, which the confidence ellipsoid of a learner needs to know a bound of."""
        return 1.0 if self.theta is None else float(np.linalg.norm(self.theta))

    def start(self, key: jax.Array) -> jax.Array:
        """θ [d] of one seed; the key is consumed."""
        if self.theta is not None:
            return jnp.asarray(self.theta, dtype=float)
        return _on_the_sphere(as_key(key), (self.dimension,))

    def features(self, key: jax.Array) -> jax.Array:
        """float [K, d], the arms of one round; the key is consumed."""
        return _on_the_sphere(as_key(key), (self.arms, self.dimension))

    def pull(self, key: jax.Array, arms: Featured) -> jax.Array:
        """Rewards [G] float; the key is consumed."""
        return arms.mean + self.sigma * jax.random.normal(as_key(key), arms.mean.shape, dtype=arms.mean.dtype)

    def mean(self, arms: Featured) -> jax.Array:
        """True means [G] float of the arms pulled."""
        return arms.mean


def _on_the_sphere(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    normal = jax.random.normal(key, shape, dtype=float)
    return normal / jnp.linalg.norm(normal, axis=-1, keepdims=True)
