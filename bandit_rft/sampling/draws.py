"""The laws themselves: what is proposed for each element, and when it is refused."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from bandit_rft.errors import InputError
from bandit_rft.sampling.arithmetic import log, once
from bandit_rft.sampling.rejection import settle_all
from bandit_rft.sampling.words import Arrays, exponential_normals_uniform, key_words, random_words


def log_minus_log_beta(
    key: jax.Array, alpha: jax.Array, beta: jax.Array, log_arms: jax.Array | None = None
) -> jax.Array:
    """ln(−ln θ) of independent θ ~ Beta(alpha, beta), or of the largest of n = exp(log_arms) such draws.

    The larger θ, the smaller the value, with full relative accuracy however close θ is to zero or one.

    With E ~ Exp(1), where beta = 1 the best of n draws has −ln θ = E/(alpha n): nothing is refused, and ln n may be
    any float. Elsewhere θ = X/(X + Y) of two Gamma variables, −ln θ = ln(1 + Y/X), each by Marsaglia and Tsang (2000,
    "A simple method for generating gamma variables"): of a normal n, X = d(1 + cn)³ with d = α − 1/3, c = 1/(3√d), is
    accepted with probability h(n) = exp(d g(cn)), g(y) = 3 ln(1 + y) + 3y²/2 − 3y − y³ ≤ 0. The pair is accepted by
    one uniform below h(n_X) h(n_Y), which leaves X and Y independent and each with its law.

    Exact up to the grid of the uniforms (2^-52 for E and the normals' radius, 2^-32 for their angle, 2^-39 for
    acceptance) and float64 rounding.

    Args:
        key: a JAX key, consumed.
        alpha, beta: float64, one shape [..., n], parameters from 1 to 1e150 (exact above 1/3, NaN below; unchecked).
        log_arms: float64 of the same shape, or None for one draw each. ln n other than 0 needs beta = 1 there
            (unchecked); −inf, no arm at all, gives +inf.

    Returns:
        float64 of the same shape.

    Raises:
        InputError: not float64, or shapes that differ.
    """
    _require_float64("log_minus_log_beta", alpha, beta, *(() if log_arms is None else (log_arms,)))
    parameters = (alpha, beta) if log_arms is None else (alpha, beta, log_arms)
    words_key = key_words(key)

    def propose(element: jax.Array, attempt: jax.Array, parameters: Arrays) -> jax.Array:
        alpha, beta = parameters[:2]
        exponential, normal_x, normal_y, uniform = exponential_normals_uniform(
            random_words(words_key, element, attempt)
        )
        d_x, root_x, log_accept_x = _marsaglia_tsang(alpha, normal_x)
        d_y, root_y, log_accept_y = _marsaglia_tsang(beta, normal_y)
        odds = once(d_y * root_y**3 / (d_x * root_x**3))
        direct = beta == 1
        if log_arms is not None:
            direct |= parameters[2] == -jnp.inf
        score = log(jnp.where(direct, once(exponential / alpha), log(1 + odds, odds)))
        if log_arms is not None:
            score -= jnp.where(direct, parameters[2], 0.0)
        # A comparison with NaN is false: bad parameters are accepted, as NaN, and make no endless loop.
        refused = ~direct & (uniform >= jnp.exp(log_accept_x + log_accept_y))
        return jnp.where(refused, -jnp.inf, jnp.where((alpha > 1 / 3) & (beta > 1 / 3), score, jnp.nan))

    flat = tuple(entry.ravel() for entry in parameters)
    return settle_all(propose, flat).reshape(alpha.shape)


def log_gamma(key: jax.Array, shape_parameter: jax.Array) -> jax.Array:
    """ln of Gamma(shape, 1) variables, by the method of `log_minus_log_beta`.

    Args:
        key: a JAX key, consumed.
        shape_parameter: float64 [...], at least 1 (exact above 1/3, NaN below; unchecked).

    Returns:
        float64 of the same shape.

    Raises:
        InputError: not float64.
    """
    _require_float64("log_gamma", shape_parameter)
    words_key = key_words(key)

    def propose(element: jax.Array, attempt: jax.Array, parameters: Arrays) -> jax.Array:
        _, normal, _, uniform = exponential_normals_uniform(random_words(words_key, element, attempt))
        d, root, log_accept = _marsaglia_tsang(parameters[0], normal)
        score = jnp.where(parameters[0] > 1 / 3, log(d) + 3 * log(root), jnp.nan)
        return jnp.where(uniform >= jnp.exp(log_accept), -jnp.inf, score)

    flat = shape_parameter.ravel()
    return settle_all(propose, (flat,)).reshape(shape_parameter.shape)


def first_minimum(score: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(int32 index of the first smallest entry, its value) of float [n]; `jnp.argmin` at a third of its cost on a CPU.

    NaN entries make the index n.
    """
    size = score.shape[0]
    smallest = jnp.min(score)
    return jnp.min(jnp.where(score == smallest, jnp.arange(size, dtype=jnp.int32), size)), smallest


# ------------------------------------------------------------------------------------------------------------ proposals


def _require_float64(name: str, *arrays: jax.Array) -> None:
    for array in arrays:
        if array.dtype != np.float64 or array.shape != arrays[0].shape:
            raise InputError(
                f"{name} was given {array.dtype} {array.shape}: give float64 arrays of one shape, under "
                "jax.enable_x64(True)."
            )


def _marsaglia_tsang(shape_parameter: jax.Array, normal: jax.Array) -> Arrays:
    """(d, 1 + cn, ln h(n)) [n]; ln h is −inf where 1 + cn ≤ 0, and 1 + cn is positive everywhere."""
    d = shape_parameter - 1 / 3
    # Within 1e-15 of the edge h is below 1e-29: refused either way.
    y = jnp.maximum(normal / (3 * jnp.sqrt(d)), -1 + 1e-15)
    log_accept = d * (3 * log(1 + y, y) + y * (y * (1.5 - y) - 3))
    return d, 1 + y, jnp.where(y <= -1 + 1e-15, -jnp.inf, log_accept)
