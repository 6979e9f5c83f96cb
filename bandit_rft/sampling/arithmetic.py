"""Float64 arithmetic that XLA fuses on a CPU: logarithm, sine and cosine as polynomials, and floats as bits."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

MANTISSA = 2**52 - 1
EXPONENT_OF_ONE = 0x3FF << 52
SQRT_HALF_BITS = 0x3FE6A09E << 32
# fdlibm's e_log.c (Sun Microsystems 1993): ln m = f − f²/2 + s(f²/2 + R(s²)), s = f/(2 + f), R's seven coefficients.
LN2_HIGH, LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
LOG = (
    1.479819860511658591e-01,
    1.531383769920937332e-01,
    1.818357216161805012e-01,
    2.222219843214978396e-01,
    2.857142874366239149e-01,
    3.999999999940941908e-01,
    6.666666666666735130e-01,
)
# Cephes' sin.c (Moshier 1988) on |angle| ≤ π/4.
SINE = (
    1.58962301576546568060e-10,
    -2.50507477628578072866e-8,
    2.75573136213857245213e-6,
    -1.98412698295895385996e-4,
    8.33333333332211858878e-3,
    -1.66666666666666307295e-1,
)
COSINE = (
    -1.13585365213876817300e-11,
    2.08757008419747316778e-9,
    -2.75573141792967388112e-7,
    2.48015872888517045348e-5,
    -1.38888888888730564116e-3,
    4.16666666666665929218e-2,
)


def float_of(bits: jax.Array) -> jax.Array:
    return lax.bitcast_convert_type(bits, jnp.float64)


def bits_of(value: jax.Array) -> jax.Array:
    return lax.bitcast_convert_type(value, jnp.uint64)


def once(quotient: jax.Array) -> jax.Array:
    """The same value. XLA fuses an expensive operation into its readers only where it has one reader: this one."""
    return jnp.maximum(quotient, -1e300)


def polynomial(coefficients: tuple[float, ...], x: jax.Array) -> jax.Array:
    result: Any = coefficients[0]
    for coefficient in coefficients[1:]:
        result = result * x + coefficient
    return result


def log(x: jax.Array, minus_one: jax.Array | None = None) -> jax.Array:
    """ln x of normal positive float64, to within one unit in the last place; `minus_one`, x − 1 known beyond x's own
    rounding, makes it ln(1 + minus_one).
    """
    bits = bits_of(x) + jnp.uint64(EXPONENT_OF_ONE - SQRT_HALF_BITS)
    # The exponent as a float: its bits set below those of 2^52, which is taken off again.
    exponent = float_of((bits >> jnp.uint64(52)) | jnp.uint64(0x433 << 52)) - (2.0**52 + 1023)
    mantissa = float_of((bits & jnp.uint64(MANTISSA)) + jnp.uint64(SQRT_HALF_BITS))  # in [√½, √2)
    f = mantissa - 1
    if minus_one is not None:
        f = jnp.where(exponent == 0, minus_one, f)
    s = once(f / (2 + f))
    square = s * s
    half = 0.5 * f * f
    low = half - (s * (half + square * polynomial(LOG, square)) + exponent * LN2_LOW)
    return exponent * LN2_HIGH - (low - f)
