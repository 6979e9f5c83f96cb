"""The Beta, Gamma and best-normal draws against SciPy's laws, their bits against Random123's known answers.

Each statistical test has a fixed seed and level 1e-4 (its false-alarm rate over seeds); tests of tails are exact
binomial tests. Bugs they catch: a refused proposal kept or dropped, a retry written to a wrong element, reused random
bits, a softplus approximated too early, an angle that misses part of the circle.
"""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from bandit_rft import sampling
from bandit_rft.errors import InputError
from bandit_rft.sampling.arithmetic import log
from bandit_rft.sampling.rejection import elements
from bandit_rft.sampling.words import exponential_normals_uniform, key_words, random_words
from bandit_rft.sampling_normal import best_normal

LEVEL = 1e-4
DRAWS = 60_000
GRID = [
    (1, 1), (1, 2), (2, 1), (2, 2), (1, 7), (7, 1), (3, 5), (40, 2), (1.5, 1.25), (2.75, 60.5), (300, 700.5),
    (1e6, 3), (3, 1e6), (1, 1e6), (1e6, 1), (1e6, 1e6), (1e15, 2.5), (0.5, 0.4),
]  # fmt: skip


@pytest.fixture(autouse=True)
def float64() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def full(value: float, draws: int = DRAWS) -> jax.Array:
    return jnp.full(draws, float(value), jnp.float64)


draw = jax.jit(sampling.log_minus_log_beta)


def scores(seed: int, alpha: float, beta: float, draws: int = DRAWS) -> np.ndarray:
    return np.asarray(draw(jax.random.key(seed), full(alpha, draws), full(beta, draws)))


def log_odds(score: np.ndarray) -> np.ndarray:
    """ln((1 − θ)/θ) = ln(expm1(−ln θ)) of ln(−ln θ), accurate at both ends."""
    return score + np.log(special.exprel(np.exp(score)))


@pytest.mark.parametrize(("alpha", "beta"), GRID)
def test_beta_has_its_law(alpha: float, beta: float) -> None:
    """On the scale of ln((1 − θ)/θ), where neither tail is squeezed: 1/(1 + e^x) and 1/(1 + e^−x) are θ and 1 − θ."""
    x = log_odds(scores(int(alpha + beta), alpha, beta))
    assert np.all(np.isfinite(x))

    def cdf(x: np.ndarray) -> np.ndarray:  # P(ln odds ≤ x) = P(1 − θ ≤ expit(x)), 1 − θ ~ Beta(beta, alpha)
        return np.where(
            x < 0, special.betainc(beta, alpha, special.expit(x)), special.betaincc(alpha, beta, special.expit(-x))
        )

    assert stats.kstest(x, cdf).pvalue > LEVEL


@pytest.mark.parametrize(("alpha", "beta"), [(1, 1), (1, 2), (2, 3), (5, 1.5), (60, 2), (1e4, 30)])
@pytest.mark.parametrize("tail", [1e-3, 1e-4])
def test_both_tails(alpha: float, beta: float, tail: float) -> None:
    """Counts beyond SciPy's 1e-3 and 1e-4 quantiles among 2e6 draws, exact binomial tests."""
    draws = 2_000_000
    x = log_odds(scores(int(17 * alpha + beta), alpha, beta, draws))
    theta_low, rest_low = stats.beta(alpha, beta).ppf(tail), stats.beta(beta, alpha).ppf(tail)
    low = int(np.sum(x > np.log1p(-theta_low) - np.log(theta_low)))
    high = int(np.sum(x < np.log(rest_low) - np.log1p(-rest_low)))
    for count in (low, high):
        assert stats.binomtest(count, draws, tail).pvalue > LEVEL


@pytest.mark.parametrize(("alpha", "log_arms"), [(1.0, np.log(50)), (1.0, 100_000 * np.log(10)), (4.0, 3.5)])
def test_the_best_of_many(alpha: float, log_arms: float) -> None:
    """ln(−ln θ_max) + ln(alpha n) is ln E, E ~ Exp(1): for 10^100000 arms as for fifty."""
    score = draw(jax.random.key(5), full(alpha), full(1), full(log_arms))
    exponential = np.exp(np.asarray(score) + log_arms + np.log(alpha))
    assert stats.kstest(exponential, "expon").pvalue > LEVEL
    assert np.all(exponential > 0)
    if log_arms < 100:
        theta = np.exp(-np.exp(np.asarray(score)))
        assert stats.kstest(theta, lambda x: x ** (alpha * np.exp(log_arms))).pvalue > LEVEL


@pytest.mark.parametrize("log_number", [0.0, np.log(50), 100 * np.log(10), 100_000 * np.log(10)])
def test_the_best_of_many_normals(log_number: float) -> None:
    """−n ln Φ(z_max) ~ Exp(1), whichever way ln n is put to use: a number of draws ignored or miscounted would show."""
    z = np.asarray(best_normal(jax.random.key(8), full(log_number)))
    log_rate = np.log(-special.log_ndtr(z)) if log_number < 5 else special.log_ndtr(-z)
    assert stats.kstest(np.exp(log_rate + log_number), "expon").pvalue > LEVEL


def test_rows_of_no_arm_lose_and_rows_of_one_are_plain_draws() -> None:
    alpha, beta = full(3.0, 1000), full(2.0, 1000)
    key = jax.random.key(1)
    assert np.all(np.asarray(draw(key, alpha, beta, full(-np.inf, 1000))) == np.inf)
    np.testing.assert_array_equal(draw(key, alpha, beta, full(0.0, 1000)), draw(key, alpha, beta))


def test_mixed_parameters_stay_with_their_elements() -> None:
    """Every element its own (alpha, beta), refusals everywhere: the probability transforms are uniform over the whole
    array and within each part of it, so a retry that landed on a wrong element would show.
    """
    rng = np.random.default_rng(0)
    alpha, beta = rng.choice([1.0, 1.5, 2.0, 30.0, 1e5], 50_000), rng.choice([1.0, 1.2, 3.0, 700.0], 50_000)
    score = np.asarray(draw(jax.random.key(9), jnp.asarray(alpha), jnp.asarray(beta)))
    uniform = special.betainc(beta, alpha, special.expit(log_odds(score)))
    for part in (slice(None), slice(0, 5000), slice(-5000, None), alpha == 1.0, alpha == 1e5, beta == 1.2):
        assert stats.kstest(uniform[part], "uniform").pvalue > LEVEL


@pytest.mark.parametrize("size", [1, 64, 65, 1025])
def test_any_size_and_a_refusal_rate_beyond_the_buffer(size: int) -> None:
    """Parameters of 0.34 refuse about half of the proposals: buffers overflow several times, and nothing is lost."""
    alpha = jnp.broadcast_to(full(0.34, size), (40, size))
    keys = jax.random.split(jax.random.key(size), 40)
    score = np.asarray(jax.jit(jax.vmap(sampling.log_minus_log_beta))(keys, alpha, alpha))
    assert score.shape == (40, size)
    assert np.all(np.isfinite(score))
    x = log_odds(score)
    transformed = np.where(
        x < 0, special.betainc(0.34, 0.34, special.expit(x)), special.betaincc(0.34, 0.34, special.expit(-x))
    )
    assert stats.kstest(transformed.ravel(), "uniform").pvalue > LEVEL


def test_draws_are_independent_and_keys_differ() -> None:
    """Correlations between neighbours, along an array and between the keys of successive rounds."""
    keys = jax.vmap(lambda r: jax.random.fold_in(jax.random.key(3), r))(jnp.arange(400, dtype=jnp.uint32))
    draws = jax.jit(jax.vmap(lambda k: sampling.log_minus_log_beta(k, full(1.5, 500), full(2.0, 500))))(keys)
    uniform = special.betainc(1.5, 2.0, np.exp(-np.exp(np.asarray(draws))))
    assert len(np.unique(uniform)) == uniform.size
    for first, second in (
        (uniform[:, 1:], uniform[:, :-1]),
        (uniform[1:], uniform[:-1]),
        (uniform[:, 125:], uniform[:, :-125]),  # one buffer apart
        (uniform[:, :250], uniform[:, 250:]),
    ):
        for power in (1, 2):  # values, and distances from the middle
            a, b = (np.abs(part.ravel() - 0.5 * (power - 1)) for part in (first, second))
            assert stats.pearsonr(a, b).pvalue > LEVEL
    again = jax.jit(sampling.log_minus_log_beta)(keys[7], full(1.5, 500), full(2.0, 500))
    np.testing.assert_allclose(draws[7], again, rtol=1e-12, atol=1e-12)  # vmapped or alone: the same but for rounding


@pytest.mark.parametrize("shape_parameter", [1.0, 1.5, 2.0, 10.0, 1e4, 1e12, 0.5])
def test_gamma_has_its_law(shape_parameter: float) -> None:
    log_x = np.asarray(sampling.log_gamma(jax.random.key(2), full(shape_parameter).reshape(300, -1)))
    assert log_x.shape == (300, DRAWS // 300)
    assert stats.kstest(log_x.ravel(), lambda x: special.gammainc(shape_parameter, np.exp(x))).pvalue > LEVEL


def test_normals_exponential_and_uniform_have_their_laws_and_are_independent() -> None:
    words = jax.random.bits(jax.random.key(4), (2, 400_000), jnp.uint64)
    parts = [np.asarray(part) for part in exponential_normals_uniform((words[0], words[1]))]
    exponential, first, second, uniform = parts
    np.testing.assert_allclose(exponential, (first**2 + second**2) / 2, rtol=1e-14)
    for part, law in ((exponential, "expon"), (first, "norm"), (second, "norm"), (uniform, "uniform")):
        assert stats.kstest(part, law).pvalue > LEVEL
    angle = np.arctan2(second, first)
    assert stats.kstest(angle, stats.uniform(-np.pi, 2 * np.pi).cdf).pvalue > LEVEL
    for a, b in ((angle, uniform), (exponential, angle), (exponential, uniform)):
        table = np.histogram2d(stats.rankdata(a), stats.rankdata(b), bins=16)[0]
        assert stats.chi2_contingency(table).pvalue > LEVEL


def test_extreme_bits_give_finite_numbers() -> None:
    """All zeros, all ones, and each single bit, in both words."""
    single = [0, 2**64 - 1, *(1 << bit for bit in range(64))]
    first, second = (jnp.asarray(part.ravel(), jnp.uint64) for part in np.meshgrid(*[np.array(single, np.uint64)] * 2))
    exponential, one, two, uniform = (np.asarray(part) for part in exponential_normals_uniform((first, second)))
    assert np.all(exponential > 0)
    assert np.all(np.isfinite(one))
    assert np.all(np.isfinite(two))
    assert np.all((uniform > 0) & (uniform < 1))
    assert exponential.max() == pytest.approx(52 * np.log(2))
    assert exponential.min() == 2.0**-53


def test_log_is_within_a_unit_in_the_last_place() -> None:
    rng = np.random.default_rng(1)
    x = np.concatenate([np.exp(rng.uniform(-700, 700, 20_000)), rng.uniform(0.5, 2, 20_000), [1.0, 2**0.5, 0.5**0.5]])
    np.testing.assert_allclose(log(jnp.asarray(x)), np.log(x), rtol=2.3e-16, atol=0)
    y = np.concatenate([rng.choice([-1, 1], 20_000) * np.exp(rng.uniform(-600, -0.1, 20_000)), [0.0, 1e300]])
    np.testing.assert_allclose(log(jnp.asarray(1 + y), jnp.asarray(y)), np.log1p(y), rtol=5e-16, atol=0)


@pytest.mark.parametrize(
    ("count", "key", "expected"),
    [
        ((0, 0), (0, 0), (0xC2B6E3A8C2C69865, 0x6F81ED42F350084D)),
        ((2**64 - 1,) * 2, (2**64 - 1,) * 2, (0xE02CB7C4D95D277A, 0xD06633D0893B8B68)),
        (
            (0x243F6A8885A308D3, 0x13198A2E03707344),
            (0xA4093822299F31D0, 0x082EFA98EC4E6C89),
            (0x263C7D30BB0F0AF1, 0x56BE8361D3311526),
        ),
    ],
)
def test_threefry_gives_the_known_answers(
    count: tuple[int, int], key: tuple[int, int], expected: tuple[int, int]
) -> None:
    """Random123's own vectors (kat_vectors, threefry2x64 with 20 rounds)."""
    word = lambda value: jnp.asarray(value, jnp.uint64)  # noqa: E731
    bits = sampling.threefry2x64((word(key[0]), word(key[1])), (word(count[0]), word(count[1])))
    assert tuple(int(entry) for entry in bits) == expected


def test_words_are_threefry_of_key_element_and_attempt() -> None:
    """In any order, at any size; every bit but the two that are fixed."""
    key = key_words(jax.random.key(0x123456789ABC))
    assert int(key[0]) == 0x123456789ABC
    for size in (1, 2, 7, 1000):
        element = elements(size)[::-1]
        words = jax.jit(random_words)(key, element, jnp.uint32(3))
        plain = sampling.threefry2x64(key, (element.astype(jnp.uint64), jnp.full(size, 3, jnp.uint64)))
        for ours, expected in zip(words, plain, strict=True):
            np.testing.assert_array_equal(ours, (np.asarray(expected) & ~np.uint64(2**62)) | np.uint64(2**61))
    flips = np.unpackbits(np.asarray(words[0]).view(np.uint8)).reshape(1000, 64).mean(axis=0)
    assert np.sum((flips == 0) | (flips == 1)) == 2


def test_any_kind_of_key() -> None:
    alpha = full(2.0, 60)
    typed = draw(jax.random.key(7), alpha, alpha)
    np.testing.assert_array_equal(draw(jax.random.PRNGKey(7), alpha, alpha), typed)
    keys = jax.random.split(jax.random.key(7, impl="rbg"), 200)
    other = np.asarray(jax.jit(jax.vmap(sampling.log_minus_log_beta, (0, None, None)))(keys, alpha, alpha))
    assert stats.kstest(np.exp(-np.exp(other.ravel())), stats.beta(2, 2).cdf).pvalue > LEVEL


def test_parameters_of_nan_end_as_nan() -> None:
    for size in (10, 500):
        alpha = full(2.0, size).at[3].set(jnp.nan)
        score = np.asarray(draw(jax.random.key(0), alpha, full(2.0, size)))
        assert np.isnan(score[3])
        assert np.isfinite(np.delete(score, 3)).all()


def test_no_nan_on_the_way() -> None:
    with jax.debug_nans(True):
        for alpha, beta in ((1, 1), (2, 1e6), (1e150, 1)):
            assert np.all(np.isfinite(draw(jax.random.key(0), full(alpha, 2000), full(beta, 2000))))


def test_first_minimum_is_argmin() -> None:
    score = jnp.asarray(np.random.default_rng(0).integers(0, 50, (200, 333)).astype(float))
    index, value = jax.vmap(sampling.first_minimum)(score)
    np.testing.assert_array_equal(index, jnp.argmin(score, axis=1))
    np.testing.assert_array_equal(value, score.min(axis=1))
    assert int(sampling.first_minimum(full(np.inf, 5))[0]) == 0


def test_what_cannot_be_drawn_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="log_gamma was given float32"):
        sampling.log_gamma(jax.random.key(0), jnp.ones(3, jnp.float32))
    with pytest.raises(InputError, match="log_minus_log_beta was given"):
        sampling.log_minus_log_beta(jax.random.key(0), full(1, 3), full(1, 4))
