"""Beta and Gamma draws, exact in law and quick on a CPU inside `jit`, `vmap` and `scan`.

JAX's own run one rejection loop an element, one element after another on a CPU. Here every element makes one proposal
in a few fused, vectorised passes; the few per cent that are refused are gathered into a small buffer and tried again
there, and so on until none is left: nothing is ever dropped, so the law is that of the rejection method.

What makes it quick, measured on XLA's CPU backend (jaxlib 0.10): float64 log, sin and erf_inv are scalar calls of 7 to
20 ns there, so that logarithm, sine and cosine are polynomials here; and XLA evaluates a random word, or a quotient,
again in every fused loop that reads it, which `_words` and `_once` prevent.

Float64 only: use it under `jax.enable_x64`, as `bandit_rft.run` does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from bandit_rft.errors import InputError

ROTATIONS = ((16, 42, 12, 31), (16, 32, 24, 21))
SMALL = 64  # elements that are redrawn together rather than gathered
BLOCK = 1024  # elements that are drawn at a time
SHARE = 8  # a buffer holds one element in so many: 1.3 times the highest share that is ever refused
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

Arrays = tuple[jax.Array, ...]
# (element uint32 [n], attempt uint32, parameters [n] each) -> value [n], −inf where refused.
Propose = Callable[[jax.Array, jax.Array, Arrays], jax.Array]


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
    words_key = _key_words(key)

    def propose(element: jax.Array, attempt: jax.Array, parameters: Arrays) -> jax.Array:
        alpha, beta = parameters[:2]
        exponential, normal_x, normal_y, uniform = _exponential_normals_uniform(_words(words_key, element, attempt))
        d_x, root_x, log_accept_x = _marsaglia_tsang(alpha, normal_x)
        d_y, root_y, log_accept_y = _marsaglia_tsang(beta, normal_y)
        odds = _once(d_y * root_y**3 / (d_x * root_x**3))
        direct = beta == 1
        if log_arms is not None:
            direct |= parameters[2] == -jnp.inf
        score = _log(jnp.where(direct, _once(exponential / alpha), _log(1 + odds, odds)))
        if log_arms is not None:
            score -= jnp.where(direct, parameters[2], 0.0)
        # A comparison with NaN is false: bad parameters are accepted, as NaN, and make no endless loop.
        refused = ~direct & (uniform >= jnp.exp(log_accept_x + log_accept_y))
        return jnp.where(refused, -jnp.inf, jnp.where((alpha > 1 / 3) & (beta > 1 / 3), score, jnp.nan))

    flat = tuple(entry.ravel() for entry in parameters)
    return _settle_all(propose, flat).reshape(alpha.shape)


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
    words_key = _key_words(key)

    def propose(element: jax.Array, attempt: jax.Array, parameters: Arrays) -> jax.Array:
        _, normal, _, uniform = _exponential_normals_uniform(_words(words_key, element, attempt))
        d, root, log_accept = _marsaglia_tsang(parameters[0], normal)
        score = jnp.where(parameters[0] > 1 / 3, _log(d) + 3 * _log(root), jnp.nan)
        return jnp.where(uniform >= jnp.exp(log_accept), -jnp.inf, score)

    flat = shape_parameter.ravel()
    return _settle_all(propose, (flat,)).reshape(shape_parameter.shape)


def first_minimum(score: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(int32 index of the first smallest entry, its value) of float [n]; `jnp.argmin` at a third of its cost on a CPU.

    NaN entries make the index n.
    """
    size = score.shape[0]
    smallest = jnp.min(score)
    return jnp.min(jnp.where(score == smallest, jnp.arange(size, dtype=jnp.int32), size)), smallest


def threefry2x64(key: Arrays, count: Arrays) -> Arrays:
    """Threefry-2x64 with 20 rounds (Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3"),
    elementwise, so that it fuses with what reads it: the key and counter of two uint64 arrays each give two more.
    """
    schedule = (*key, key[0] ^ key[1] ^ jnp.uint64(0x1BD11BDAA9FC1A22))
    x0, x1 = count[0] + schedule[0], count[1] + schedule[1]
    for group in range(5):
        for rotation in ROTATIONS[group % 2]:
            x0 = x0 + x1
            x1 = ((x1 << jnp.uint64(rotation)) | (x1 >> jnp.uint64(64 - rotation))) ^ x0
        x0 = x0 + schedule[(group + 1) % 3]
        x1 = x1 + (schedule[(group + 2) % 3] + jnp.uint64(group + 1))
    return x0, x1


# ------------------------------------------------------------------------------------------------------------ proposals


def _require_float64(name: str, *arrays: jax.Array) -> None:
    for array in arrays:
        if array.dtype != np.float64 or array.shape != arrays[0].shape:
            raise InputError(
                f"{name} was given {array.dtype} {array.shape}: give float64 arrays of one shape, under "
                "jax.enable_x64(True)."
            )


def _key_words(key: jax.Array) -> Arrays:
    """A Threefry key, two uint64 scalars, of a JAX key of whatever implementation."""
    data = jax.random.key_data(key)
    if data.shape != (2,):
        data = jax.random.bits(key, (2,), jnp.uint32)
    high, low = data[0].astype(jnp.uint64), data[1].astype(jnp.uint64)
    return (high << jnp.uint64(32)) | low, jnp.zeros_like(low)


def _elements(size: int) -> jax.Array:
    return jnp.arange(size, dtype=jnp.uint32)


def _words(key: Arrays, element: jax.Array, attempt: jax.Array) -> Arrays:
    """Two uint64 [n] of random bits (bit 62 is 0 and bit 61 is 1, the others are random) of counter (element, attempt).

    They leave a loop, so that they are kept in memory, not evaluated anew by each of their readers; as one complex
    number, the one kind of element that holds both; with the exponent bits of a normal float, which nothing rewrites.
    """
    size = element.shape[0]
    half = -(-size // 2)

    def block(element: jax.Array) -> jax.Array:
        count = (element.astype(jnp.uint64), attempt.astype(jnp.uint64))
        first, second = (
            _float_of((word & jnp.uint64(2**64 - 1 - 2**62)) | jnp.uint64(2**61)) for word in threefry2x64(key, count)
        )
        return lax.complex(first, second)

    both = lax.map(block, jnp.pad(element, (0, 2 * half - size)).reshape(2, half)).ravel()[:size]
    return _bits_of(both.real), _bits_of(both.imag)


def _exponential_normals_uniform(words: Arrays) -> Arrays:
    """(E, N1, N2, U) [n] of `_words`: independent N1, N2 standard normal and U uniform on (0, 1); E = (N1² + N2²)/2 ~
    Exp(1), independent of U (Box and Muller 1958).
    """
    first, second = words
    # −ln of a uniform on (0, 1], 52 bits; the cell at one takes its mean.
    uniform = 2 - _float_of((first & jnp.uint64(MANTISSA)) | jnp.uint64(EXPONENT_OF_ONE))
    exponential = jnp.maximum(-_log(uniform), 2.0**-53)
    radius = _once(jnp.sqrt(2 * exponential))
    # 30 bits turn by up to π/4 either way; two more reflect that quarter onto the others.
    turn = _float_of(((second << jnp.uint64(22)) & jnp.uint64(MANTISSA)) | jnp.uint64(EXPONENT_OF_ONE))
    angle = (turn - (1.5 - 2.0**-31)) * (np.pi / 2)
    square = angle * angle
    sine = angle + angle * square * _polynomial(SINE, square)
    cosine = 1 - 0.5 * square + square * square * _polynomial(COSINE, square)
    cosine = _float_of(_bits_of(cosine) ^ (first & jnp.uint64(2**63)))
    upright = (first & jnp.uint64(2**52)) == 0
    # The other 31 bits of the second word above 8 of the first.
    rest = ((second >> jnp.uint64(30)) & jnp.uint64(2**31 - 1)) << jnp.uint64(21)
    rest = rest | (((first >> jnp.uint64(53)) & jnp.uint64(2**8 - 1)) << jnp.uint64(13))
    acceptance = _float_of(rest | jnp.uint64(EXPONENT_OF_ONE)) - (1 - 2.0**-40)
    first_normal = radius * jnp.where(upright, cosine, sine)
    second_normal = radius * jnp.where(upright, sine, cosine)
    return exponential, first_normal, second_normal, acceptance


def _marsaglia_tsang(shape_parameter: jax.Array, normal: jax.Array) -> Arrays:
    """(d, 1 + cn, ln h(n)) [n]; ln h is −inf where 1 + cn ≤ 0, and 1 + cn is positive everywhere."""
    d = shape_parameter - 1 / 3
    # Within 1e-15 of the edge h is below 1e-29: refused either way.
    y = jnp.maximum(normal / (3 * jnp.sqrt(d)), -1 + 1e-15)
    log_accept = d * (3 * _log(1 + y, y) + y * (y * (1.5 - y) - 3))
    return d, 1 + y, jnp.where(y <= -1 + 1e-15, -jnp.inf, log_accept)


# ----------------------------------------------------------------------------------------------------------- retries


def _settle_all(propose: Propose, parameters: Arrays) -> jax.Array:
    """Accepted values [n]; more than BLOCK elements go block by block, which keeps what is in use in the cache."""
    size = parameters[0].shape[0]
    blocks = -(-size // BLOCK)
    if blocks <= 1:
        return _settle(propose, _elements(size), jnp.uint32(0), parameters, jnp.ones(size, bool))
    width = -(-size // blocks)

    def cut(array: jax.Array) -> jax.Array:
        return jnp.pad(array, (0, blocks * width - size)).reshape(blocks, width)

    def one_block(block: tuple[jax.Array, jax.Array, Arrays]) -> jax.Array:
        active, element, parameters = block
        return _settle(propose, element, jnp.uint32(0), parameters, active)

    whole = (cut(jnp.ones(size, bool)), cut(_elements(size)), tuple(cut(entry) for entry in parameters))
    return lax.map(one_block, whole).ravel()[:size]


def _settle(
    propose: Propose, element: jax.Array, attempt: jax.Array, parameters: Arrays, active: jax.Array
) -> jax.Array:
    """Values [n] of the first accepted proposal of each element from `attempt` on; 0 where not `active`.

    An element's proposals depend on its own random bits alone (counter = element and attempt), so neither the order
    nor the grouping of retries can touch the law.
    """
    size = element.shape[0]
    if size <= SMALL:
        return _redraw_all(propose, element, attempt, parameters, active)
    value = jnp.where(active, propose(element, attempt, parameters), 0.0)
    words, before, total = _pack(value == -jnp.inf)
    slots = max(SMALL // 4, -(-size // SHARE))

    def unsettled(carry: tuple[jax.Array, jax.Array]) -> jax.Array:
        return carry[0] < total

    def settle_some(carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        start, value = carry
        rank = start + _elements(slots)
        wanted = rank < total
        place = jnp.where(wanted, _place(words, before, rank), 0)
        gathered = tuple(parameter[place] for parameter in parameters)
        settled = _settle(propose, element[place], attempt + jnp.uint32(1), gathered, wanted)
        target = jnp.where(wanted, place, size)  # beyond the end: not written
        return start + jnp.uint32(slots), value.at[target].set(settled, mode="drop")

    return lax.while_loop(unsettled, settle_some, (jnp.uint32(0), value))[1]


def _redraw_all(
    propose: Propose, element: jax.Array, attempt: jax.Array, parameters: Arrays, active: jax.Array
) -> jax.Array:
    def unsettled(carry: tuple[jax.Array, jax.Array]) -> jax.Array:
        return jnp.any(carry[1] == -jnp.inf)

    def again(carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        attempt, value = carry
        return attempt + jnp.uint32(1), jnp.where(value == -jnp.inf, propose(element, attempt, parameters), value)

    return lax.while_loop(unsettled, again, (attempt, jnp.where(active, -jnp.inf, 0.0)))[1]


def _pack(flags: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """bool [n] as (uint32 words [⌈n/32⌉], set flags before each word, set flags in all)."""
    blocks = -(-flags.shape[0] // 32)
    bits = jnp.pad(flags, (0, blocks * 32 - flags.shape[0])).reshape(blocks, 32)
    weight = jnp.uint32(1) << jnp.arange(32, dtype=jnp.uint32)
    words = jnp.sum(jnp.where(bits, weight, jnp.uint32(0)), axis=1, dtype=jnp.uint32)
    counts = lax.population_count(words)
    upto = jnp.cumsum(counts, dtype=jnp.uint32)
    return words, upto - counts, upto[-1]


def _place(words: jax.Array, before: jax.Array, rank: jax.Array) -> jax.Array:
    """int32 index of the rank-th set flag (from 0); anything where there is none."""
    block = jnp.searchsorted(before, rank, side="right", method="compare_all").astype(jnp.int32) - 1
    word, left = words[block], rank - before[block]
    position = jnp.zeros_like(word)
    for width in (16, 8, 4, 2, 1):  # descend to the half that holds it
        in_low_half = lax.population_count((word >> position) & jnp.uint32((1 << width) - 1))
        go_up = left >= in_low_half
        position = jnp.where(go_up, position + jnp.uint32(width), position)
        left = jnp.where(go_up, left - in_low_half, left)
    return block * 32 + position.astype(jnp.int32)


# --------------------------------------------------------------------------------------------------------- arithmetic


def _float_of(bits: jax.Array) -> jax.Array:
    return lax.bitcast_convert_type(bits, jnp.float64)


def _bits_of(value: jax.Array) -> jax.Array:
    return lax.bitcast_convert_type(value, jnp.uint64)


def _once(quotient: jax.Array) -> jax.Array:
    """The same value. XLA fuses an expensive operation into its readers only where it has one reader: this one."""
    return jnp.maximum(quotient, -1e300)


def _polynomial(coefficients: tuple[float, ...], x: jax.Array) -> jax.Array:
    result: Any = coefficients[0]
    for coefficient in coefficients[1:]:
        result = result * x + coefficient
    return result


def _log(x: jax.Array, minus_one: jax.Array | None = None) -> jax.Array:
    """ln x of normal positive float64, to within one unit in the last place; `minus_one`, x − 1 known beyond x's own
    rounding, makes it ln(1 + minus_one).
    """
    bits = _bits_of(x) + jnp.uint64(EXPONENT_OF_ONE - SQRT_HALF_BITS)
    # The exponent as a float: its bits set below those of 2^52, which is taken off again.
    exponent = _float_of((bits >> jnp.uint64(52)) | jnp.uint64(0x433 << 52)) - (2.0**52 + 1023)
    mantissa = _float_of((bits & jnp.uint64(MANTISSA)) + jnp.uint64(SQRT_HALF_BITS))  # in [√½, √2)
    f = mantissa - 1
    if minus_one is not None:
        f = jnp.where(exponent == 0, minus_one, f)
    s = _once(f / (2 + f))
    square = s * s
    half = 0.5 * f * f
    low = half - (s * (half + square * _polynomial(LOG, square)) + exponent * LN2_LOW)
    return exponent * LN2_HIGH - (low - f)
