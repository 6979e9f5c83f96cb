"""Random numbers that the learners need and JAX draws slowly.

`jax.random.loggamma` runs one rejection loop an element, one element after another on a CPU; here the whole array
shares a few rejection rounds.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp


def log_gamma(key: jax.Array, shape_parameter: jax.Array) -> jax.Array:
    """ln of Gamma(shape, 1) variables, exact in law (Marsaglia and Tsang 2000, "A simple method for generating gamma
    variables").

    Args:
        key: consumed.
        shape_parameter: float array, every entry at least 1 (unchecked under a trace; below 1/3 the result is NaN).

    Returns:
        Array of the same shape and dtype.
    """
    d = shape_parameter - 1 / 3
    c = 1 / jnp.sqrt(9 * d)

    def pending(carry: tuple[jax.Array, jax.Array, jax.Array]) -> jax.Array:
        return ~jnp.all(carry[2])

    def propose(carry: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array, jax.Array]:
        key, log_cube, accepted = carry
        key, normal_key, uniform_key = jax.random.split(key, 3)
        normal = jax.random.normal(normal_key, d.shape, d.dtype)
        root = 1 + c * normal
        # A root ≤ 0 is refused; ln is taken of 1 there so that no NaN is made on the way.
        positive = root > 0
        proposal = 3 * jnp.log(jnp.where(positive, root, 1.0))
        log_uniform = -jax.random.exponential(uniform_key, d.shape, d.dtype)
        accept = positive & (log_uniform < 0.5 * normal**2 + d * (1 - jnp.exp(proposal) + proposal))
        # An accepted value stays: later rounds draw for the refused ones alone.
        return key, jnp.where(accepted, log_cube, proposal), accepted | accept

    start = (key, jnp.zeros_like(d), jnp.zeros(d.shape, bool))
    _, log_cube, _ = jax.lax.while_loop(pending, propose, start)
    return jnp.log(d) + log_cube
