"""Distributions of arm means: what a reservoir's arms, or a prior over instances, are drawn from."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
from scipy import integrate, special

from bandit_rft import arguments
from bandit_rft.arms.lumped_arms import constant
from bandit_rft.errors import InputError

NODES = 4097  # of a tabulated quantile function
_SMALLEST = 1e-290  # SciPy's inverses end near 1e-308
_NO_PRIOR = "{!r} is no distribution of means: give 'uniform', Beta(a, b), TwoPoint(p) or a quantile function."


@dataclass(frozen=True)
class Prior:
    """A distribution of means.

    Attributes:
        quantile: float array in (0, 1) → float array, the quantile function, traceable by JAX.
        supremum: the least upper bound of the means, infinity where there is none.
        average: their expectation.
        low: their greatest lower bound, −infinity where there is none.
    """

    quantile: Callable[[jax.Array], jax.Array]
    supremum: float
    average: float
    low: float = 0.0


@dataclass(frozen=True)
class Beta:
    """Beta(a, b) means; a = b = 1 is uniform.

    Args:
        a, b: positive.

    Raises:
        InputError: a or b not positive and finite.

    Example:
        >>> from bandit_rft import arms
        >>> arms.Reservoir(arms.Beta(1.0, 2.0)).best_mean
        1.0
    """

    a: float
    b: float

    def __post_init__(self) -> None:
        for name in ("a", "b"):
            arguments.positive(f"{name} of a Beta prior", getattr(self, name))


@dataclass(frozen=True)
class TwoPoint:
    """Mean `high` with probability `probability`, else `low`: the needle's reservoir.

    Raises:
        InputError: probability outside (0, 1), high or low not finite, or high not above low.

    Example:
        >>> from bandit_rft import arms
        >>> arms.Reservoir(arms.TwoPoint(0.01)).best_mean
        1.0
    """

    probability: float
    high: float = 1.0
    low: float = 0.0

    def __post_init__(self) -> None:
        arguments.fraction("probability", self.probability)
        if not arguments.finite("high", self.high) > arguments.finite("low", self.low):
            raise InputError(f"high is {self.high} and low {self.low}: high must exceed low.")


def prior_of(source: object) -> Prior:
    """The prior that a user names.

    Args:
        source: "uniform" (on [0, 1]), a `Beta`, a `TwoPoint`, a `Prior`, or a function that takes float arrays in
            (0, 1) to quantiles (JAX operations; non-decreasing). At 0 and 1 it gives the means' bounds, infinite where
            there is none.

    Raises:
        InputError: something else, a function that does not rise, or one that is NaN at 0 or 1 and moves near it.
    """
    try:
        return _prior_of(source)
    except TypeError:  # a list, say, which no cache can hold
        raise InputError(_NO_PRIOR.format(source)) from None


@functools.lru_cache(maxsize=64)
def _prior_of(source: object) -> Prior:
    if isinstance(source, Prior):
        return source
    if source == "uniform":
        return Prior(quantile=lambda u: u, supremum=1.0, average=0.5)
    if isinstance(source, Beta):
        return _beta(source.a, source.b)
    if isinstance(source, TwoPoint):
        low, high, probability = source.low, source.high, source.probability
        average = low + (high - low) * probability
        return Prior(
            quantile=lambda u: jnp.where(u > 1 - probability, high, low), supremum=high, average=average, low=low
        )
    if callable(source):
        return _tabulated_moments(cast("Callable[[jax.Array], jax.Array]", source))
    raise InputError(_NO_PRIOR.format(source))


def _beta(a: float, b: float) -> Prior:
    """Closed forms where one of the parameters is 1; else cubic interpolation of SciPy's quantiles on a grid that is
    dense at both ends, and the tails' own power laws beyond the grid (error checked below 1e-6 by the tests).
    """
    average = a / (a + b)
    if b == 1.0:
        return Prior(quantile=lambda u: u ** (1 / a), supremum=1.0, average=average)
    if a == 1.0:
        return Prior(quantile=lambda u: -jnp.expm1(jnp.log1p(-u) / b), supremum=1.0, average=average)
    # In logit(u) the quantile's own logit is nearly straight: linear at both ends with slopes 1/a and 1/b.
    grid = np.linspace(-60.0, 60.0, NODES)
    small = special.expit(-np.abs(grid))
    lower = special.betaincinv(a, b, small)
    upper = special.betaincinv(b, a, small)
    near = np.where(grid <= 0, lower, upper)  # the quantile or its complement, whichever the tail at hand is of
    told = (near > _SMALLEST) & (near < 1 - 1e-6)  # neither underflown nor rounded to 1
    near = np.where(told, near, 0.5)
    logit = np.where(grid <= 0, 1.0, -1.0) * (np.log(near) - np.log1p(-near))
    if not told.all():
        logit = np.where(told, logit, _extreme_logit(a, b, grid))
    step = grid[1] - grid[0]

    def quantile(u: jax.Array) -> jax.Array:
        x = jnp.log(u) - jnp.log1p(-u)
        position = jnp.clip((x - grid[0]) / step, 0.0, NODES - 1.001)
        return jax.nn.sigmoid(_cubic(constant(logit), position))

    return Prior(quantile=quantile, supremum=1.0, average=average)


def _extreme_logit(a: float, b: float, grid: np.ndarray) -> np.ndarray:
    """float64 [N], the logit of the quantile at expit(grid), where quantiles may lie below any float or round to 1."""
    small = special.expit(-np.abs(grid))

    def logs(a: float, b: float, grid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(the quantile x at expit(grid), ln x from x itself); below the floats' range F(x) = x^a/(a B(a, b))."""
        x = np.where(grid <= 0, special.betaincinv(a, b, small), special.betainccinv(a, b, small))
        power = (special.log_expit(grid) + np.log(a) + special.betaln(a, b)) / a
        return x, np.where(x > _SMALLEST, np.log(np.maximum(x, _SMALLEST)), power)

    (x, log_x), (rest, log_rest) = logs(a, b, grid), logs(b, a, -grid)
    log_x = np.where(x <= 0.5, log_x, np.log1p(-np.minimum(rest, 0.5)))
    log_rest = np.where(rest <= 0.5, log_rest, np.log1p(-np.minimum(x, 0.5)))
    return np.clip(log_x - log_rest, -1e300, 1e300)


def _cubic(values: jax.Array, position: jax.Array) -> jax.Array:
    """Catmull–Rom interpolation of equally spaced values at float positions."""
    left = jnp.clip(jnp.floor(position).astype(jnp.int32), 1, values.shape[0] - 3)
    t = position - left.astype(position.dtype)
    before, here, after, beyond = (values[left + k] for k in (-1, 0, 1, 2))
    slope, next_slope = (after - before) / 2, (beyond - here) / 2
    return (
        here * (1 + 2 * t) * (1 - t) ** 2
        + after * t**2 * (3 - 2 * t)
        + slope * t * (1 - t) ** 2
        - next_slope * t**2 * (1 - t)
    )


def _tabulated_moments(function: Callable[[jax.Array], jax.Array]) -> Prior:
    """A user's quantile function with its bounds and expectation, found numerically."""
    inside = np.linspace(1e-9, 1 - 1e-12, 1001)
    ends = [0.0, np.finfo(np.float64).tiny, 1 - 2.0**-52, 1.0]
    with jax.enable_x64(True):
        try:
            probe = np.asarray(function(constant(inside)), dtype=np.float64)
            end = np.asarray(function(constant(ends)), dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise InputError(f"The quantile function fails on an array ({str(error).splitlines()[0]}).") from None
        shapes = probe.shape == inside.shape and end.shape == (4,)
        if not shapes or not np.all(np.isfinite(probe)) or np.any(np.diff(probe) < -1e-12):
            raise InputError("The quantile function must give finite, non-decreasing values of its argument's shape.")
        low = _bound(probe[0], end[1], end[0], -1.0)
        supremum = _bound(probe[-1], end[2], end[3], 1.0)
        one = lambda u: float(np.asarray(function(constant(np.asarray([u]))))[0])  # noqa: E731
        average = float(integrate.quad(one, 0.0, 1.0, limit=200, epsabs=1e-9)[0])
    return Prior(quantile=function, supremum=supremum, average=average, low=low)


def _bound(near: float, nearer: float, end: float, side: float) -> float:
    """The least upper (side 1) or greatest lower (side -1) bound of means, from quantiles ever nearer to 1 or 0."""
    place = 1 if side > 0 else 0
    known = [value for value in (near, nearer, end) if not np.isnan(value)]
    if any(side * (after - before) < -1e-12 * max(1.0, abs(before)) for before, after in pairwise(known)):
        raise InputError(f"The quantile function falls towards {place}: its values must not decrease.")
    if np.isnan(end) and not abs(nearer - near) <= 1e-12 * max(1.0, abs(near)):
        raise InputError(
            f"The quantile function is NaN at {place}, and moves near it: let it give the means' bound there, or an "
            "infinity where there is none."
        )
    return float(known[-1])
