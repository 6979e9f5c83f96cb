"""The best of many normal draws, in the tail where no table reaches."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.scipy.special import log_ndtr

from bandit_rft.keys import as_key

NEWTON_STEPS = 12


def best_normal(key: jax.Array, log_number: jax.Array) -> jax.Array:
    """The largest of exp(log_number) independent standard normals, exact in law.

    Its distribution function is Φ(z)^n; with E = −ln U exponential, ln Φ(z) = −E/n, so ln Φ(−z) = ln(−expm1(−E/n)).

    Args:
        key: consumed.
        log_number: float array, ln n ≥ 0; 0 gives an ordinary normal.

    Returns:
        Array of the same shape and dtype.
    """
    exponential = jax.random.exponential(as_key(key), log_number.shape, log_number.dtype)
    rate = exponential * jnp.exp(-log_number)
    # −expm1(−x) → x below the smallest number that exp can give: there its logarithm is ln E − ln n itself.
    tiny = log_number > 600
    log_tail = jnp.where(tiny, jnp.log(exponential) - log_number, jnp.log(-jnp.expm1(-jnp.where(tiny, 1.0, rate))))
    return -normal_quantile_of_log(log_tail)


def normal_quantile_of_log(log_probability: jax.Array) -> jax.Array:
    """z with ln Φ(z) = log_probability (≤ 0), by Newton's method on ln Φ, which is concave: from below it never passes
    the root. Probabilities from e^-(10^10) to 1 − 1e-16.
    """
    log_probability = jnp.minimum(log_probability, -1e-17)
    # Upper half: solve for the other tail, where the logarithm is well conditioned.
    upper = log_probability > -0.6931471805599453
    target = jnp.where(upper, jnp.log(-jnp.expm1(jnp.where(upper, log_probability, -1.0))), log_probability)
    start = -jnp.sqrt(-2 * target)  # Φ(−x) ≤ exp(−x²/2)/2 < exp(−x²/2): this lies below the root

    def step(_: int, z: jax.Array) -> jax.Array:
        log_cdf = log_ndtr(z)
        log_density = -0.5 * z**2 - 0.9189385332046727
        return z - (log_cdf - target) * jnp.exp(log_cdf - log_density)

    z = jax.lax.fori_loop(0, NEWTON_STEPS, step, start)
    return jnp.where(upper, -z, z)
