"""Growth exponents and constants against SciPy; intervals by how often they miss a truth that is known exactly.

A simulated miss rate is held to the 99.9% range of its binomial count (fixed generators, so that a pass is a pass);
a test of n such counts raises a false alarm with probability below n/1000 for a fresh generator.
"""

import math

import numpy as np
import pytest
from scipy import stats

from bandit_rft.errors import InputError
from bandit_rft.regret import (
    growth_exponent,
    log_constant,
    scaling_exponent,
)
from tests.bandit_rft.histories import misses_allowed


def power_walks(generator, seeds, rounds, exponent, spread):
    """Curves whose mean is exactly t^exponent: random increments, times a log-normal factor a seed of mean 1."""
    step = np.diff(np.arange(rounds + 1.0) ** exponent)
    factor = np.exp(generator.normal(0.0, spread, (seeds, 1)) - spread**2 / 2)
    return factor * np.cumsum(generator.exponential(1.0, (seeds, rounds)) * step, axis=1)


@pytest.mark.parametrize("method", ["jackknife", "bootstrap"])
def test_an_exact_power_has_its_exponent_and_no_error(method):
    curves = np.tile(3.0 * np.arange(1, 1001) ** 0.7, (25, 1))
    found = growth_exponent(curves, method=method)
    assert found.slope == pytest.approx(0.7, abs=1e-12)
    assert found.low == pytest.approx(0.7, abs=1e-6)
    assert found.high == pytest.approx(0.7, abs=1e-6)
    assert math.exp(found.intercept) == pytest.approx(3.0, rel=1e-10)
    assert (found.at[0], found.at[-1], found.misfit < 1e-10) == (100, 1000, True)


def test_the_line_is_scipys():
    """The window's ends, counted from 1, and the intercept, against linregress on the same points."""
    curves = power_walks(np.random.default_rng(6), 12, 400, 0.5, 0.3)
    found = growth_exponent(curves, window=(20, 300))
    assert (found.at[0], found.at[-1]) == (20, 300)
    oracle = stats.linregress(np.log(found.at), np.log(curves.mean(axis=0)[found.at.astype(int) - 1]))
    np.testing.assert_allclose((found.slope, found.intercept), (oracle.slope, oracle.intercept), rtol=1e-10)
    constant = log_constant(curves, window=(1, 400))
    oracle = stats.linregress(np.log(constant.at), curves.mean(axis=0)[constant.at.astype(int) - 1])
    np.testing.assert_allclose((constant.slope, constant.intercept), (oracle.slope, oracle.intercept), rtol=1e-10)
    slopes = [stats.linregress(np.log(constant.at), c[constant.at.astype(int) - 1]).slope for c in curves]
    expected = stats.ttest_1samp(slopes, 0.0).confidence_interval(0.95)
    np.testing.assert_allclose((constant.low, constant.high), expected, rtol=1e-9)


def test_jackknife_against_leaving_seeds_out_one_by_one():
    curves = power_walks(np.random.default_rng(7), 7, 60, 0.5, 0.5)
    found = growth_exponent(curves, window=(5, 60))
    slopes = [growth_exponent(np.delete(curves, s, axis=0), window=(5, 60)).slope for s in range(7)]
    expected = math.sqrt(6 / 7 * np.sum((slopes - np.mean(slopes)) ** 2))
    assert found.standard_error == pytest.approx(expected, rel=1e-10)
    assert found.high - found.slope == pytest.approx(stats.t.ppf(0.975, 6) * expected, rel=1e-10)


def test_the_bootstraps_two_ends_against_a_plain_one():
    """Skewed seeds: the upper quantile of the studentised slope belongs to the lower end, not to the upper one."""
    rare = np.random.default_rng(23).pareto(2.0, (40, 1))  # a few seeds whose regret is linear
    curves = 10 * np.arange(1, 61) ** 0.3 + rare * np.arange(1, 61)
    found = growth_exponent(curves, window=(6, 60), method="bootstrap", draws=8000)
    at = found.at.astype(int) - 1
    x = np.log(found.at) - np.log(found.at).mean()

    def slope_and_error(sample):
        mean = sample.mean(axis=0)
        return x @ np.log(mean) / (x @ x), np.std(sample @ (x / mean)) / (x @ x) / math.sqrt(len(sample))

    slope, error = slope_and_error(curves[:, at])
    generator = np.random.default_rng(24)
    resampled = [slope_and_error(curves[generator.integers(40, size=40)][:, at]) for _ in range(8000)]
    high, low = np.quantile([(other - slope) / spread for other, spread in resampled], [0.025, 0.975])
    expected = slope - low * error, slope - high * error
    assert (expected[1] - slope) / (slope - expected[0]) > 1.4  # skewed indeed, or the test would see nothing
    np.testing.assert_allclose((found.low - slope, found.high - slope), np.subtract(expected, slope), rtol=0.08)


@pytest.mark.parametrize(
    ("method", "seeds", "spread", "rate"),
    [
        ("jackknife", 10, 0.0, 0.06),
        ("jackknife", 40, 0.0, 0.06),
        ("jackknife", 10, 1.0, 0.11),
        ("bootstrap", 30, 1.0, 0.09),
    ],
)
def test_false_alarms_of_the_exponent(method, seeds, spread, rate):
    """A stated 5% misses the true 0.5 in at most `rate` of 400 experiments (log-normal seeds: the documented excess).

    Treating the rounds as independent observations, as a plain linregress does, misses most of the time.
    """
    generator = np.random.default_rng(8)
    missed, naive = 0, 0
    for _ in range(400):
        curves = power_walks(generator, seeds, 200, 0.5, spread)
        found = growth_exponent(curves, method=method, draws=300)
        missed += not found.low <= 0.5 <= found.high
        fit = stats.linregress(np.log(np.arange(20, 201)), np.log(curves.mean(axis=0)[19:]))
        naive += abs(fit.slope - 0.5) > stats.t.ppf(0.975, 179) * fit.stderr
    assert missed <= misses_allowed(400, rate)
    assert missed >= stats.binom.ppf(0.001, 400, 0.03)
    assert naive > 250


def test_false_alarms_of_the_log_constant():
    """Mean exactly 2 + 5 ln t: 400 experiments of 10 seeds at a stated 10%."""
    generator = np.random.default_rng(9)
    step = np.diff(np.concatenate([[0.0], 2 + 5 * np.log(np.arange(1, 201))]))
    missed = 0
    for _ in range(400):
        curves = np.cumsum(generator.exponential(1.0, (10, 200)) * step, axis=1)
        found = log_constant(curves, window=(10, 200), confidence=0.9)
        missed += not found.low <= 5.0 <= found.high
    assert stats.binom.ppf(0.001, 400, 0.08) <= missed <= misses_allowed(400, 0.115)


@pytest.mark.parametrize("method", ["jackknife", "bootstrap"])
@pytest.mark.parametrize("paired", [False, True])
def test_false_alarms_of_a_scaling_exponent(method, paired):
    """Means exactly K^0.5 at four K, exponential noise, 400 experiments of 30 seeds at a stated 5%.

    Paired points share a factor: the seed-wise interval must still cover, and be far narrower than treating them apart.
    """
    generator = np.random.default_rng(10)
    values = np.array([10.0, 30.0, 100.0, 1000.0])
    missed, width, apart = 0, 0.0, 0.0
    for _ in range(400):
        noise = generator.exponential(1.0, (4, 30))
        if paired:
            noise = generator.exponential(1.0, 30) * (0.9 + 0.1 * noise)
        samples = noise * np.sqrt(values)[:, None]
        found = scaling_exponent(values, samples, paired=paired, method=method, draws=600)
        missed += not found.low <= 0.5 <= found.high
        width += found.high - found.low
        apart += 2 * 1.96 * scaling_exponent(values, samples).standard_error
    assert stats.binom.ppf(0.001, 400, 0.03) <= missed <= misses_allowed(400, 0.08)
    assert (width < 0.3 * apart) == paired


def test_scaling_by_scipy_and_with_unequal_samples():
    generator = np.random.default_rng(11)
    values = [1.0, 2.0, 5.0]
    samples = [v**1.5 * generator.exponential(1.0, n) for v, n in zip(values, (2000, 50, 400), strict=True)]
    found = scaling_exponent(values, samples)
    oracle = stats.linregress(np.log(values), np.log([s.mean() for s in samples]))
    assert found.slope == pytest.approx(oracle.slope, rel=1e-12)
    x = np.log(values) - np.mean(np.log(values))
    linear = math.sqrt(
        sum((w / (x @ x)) ** 2 * s.var() / s.size / s.mean() ** 2 for w, s in zip(x, samples, strict=True))
    )
    assert found.standard_error == pytest.approx(linear, rel=0.05)
    assert "3 points from 1 to 5" in found.report()
    assert "99.9% interval" in scaling_exponent(values, samples, confidence=0.999).report()  # it was called one of 100%


def test_bad_growth():
    curves = np.cumsum(np.ones((4, 50)), axis=1)
    one_seed = np.zeros((4, 50))
    one_seed[0] = 1.0
    for call, word in [
        (lambda: growth_exponent(curves[:1]), "two seeds"),
        (lambda: growth_exponent(curves[0]), "two seeds"),
        (lambda: growth_exponent(curves, window=(0, 10)), "window is"),
        (lambda: growth_exponent(curves, window=(5, 51)), "window is"),
        (lambda: growth_exponent(curves, window=(7, 7)), "window is"),
        (lambda: growth_exponent(-curves), "not positive at round 5"),
        (lambda: growth_exponent(curves * np.nan), "not finite"),
        (lambda: growth_exponent(curves, method="guess"), "choose jackknife"),
        (lambda: growth_exponent(curves, method="bootstrap"), "4 seeds is erratic"),
        (lambda: growth_exponent(one_seed), "single seed holds all"),
        (lambda: log_constant(curves, confidence=1.0), "confidence is"),
        (lambda: scaling_exponent([1.0], [np.ones(3)]), "1 values"),
        (lambda: scaling_exponent([1.0, 1.0], np.ones((2, 3))), "distinct"),
        (lambda: scaling_exponent([0.0, 1.0], np.ones((2, 3))), "positive"),
        (lambda: scaling_exponent([1.0, 2.0], [np.ones(3), np.ones(1)]), "sample at 2"),
        (lambda: scaling_exponent([1.0, 2.0], [np.ones(3), np.zeros(3)]), "mean at 2"),
        (lambda: scaling_exponent([1.0, 2.0], [np.ones(3), np.ones(4)], paired=True), "one number of seeds"),
        (lambda: scaling_exponent([1.0, 2.0], np.ones((2, 3)), method="guess"), "choose jackknife"),
    ]:
        with pytest.raises(InputError, match=word):
            call()
