"""Hitting times by hand, under censoring; intervals by how often they miss a truth that is known exactly.

A simulated miss rate is held to the 99.9% range of its binomial count (fixed generators, so that a pass is a pass);
a test of n such counts raises a false alarm with probability below n/1000 for a fresh generator.
"""

import math

import numpy as np
import pytest
from scipy import stats

from bandit_rft import arms, learners, run
from bandit_rft.errors import InputError
from bandit_rft.regret import (
    HittingTime,
    hitting_time,
)
from tests.bandit_rft.histories import make_history, misses_allowed, valued


def test_hitting_times_by_hand():
    """Rounds completed before the value is there: 0 from the start, infinity where it never is; the first passage."""
    found = hitting_time(
        valued([[0.5, 0.1, 0.9], [0.1, 0.2, 0.5], [0.1, 0.6, 0.2], [0.1, 0.2, 0.3]], best_mean=1.0), 0.5
    )
    np.testing.assert_array_equal(found.rounds, [0, 2, 1, np.inf])
    np.testing.assert_array_equal(found.hit, [True, True, True, False])
    np.testing.assert_allclose(found.survival(), [0.75, 0.5, 0.25])
    assert (found.hit_share, found.mean()) == (0.75, math.inf)
    assert found.restricted_mean()[0] == (0 + 2 + 1 + 3) / 4
    assert [found.quantile(q)[0] for q in (0.25, 0.5, 0.75, 0.76)] == [0, 1, 2, math.inf]
    assert "reached by 3 of 4 seeds within 3 rounds" in found.report()
    one = hitting_time(valued([[0.1, 0.9]], best_mean=1.0), 0.5)
    assert one.restricted_mean()[0] == 1.0
    assert np.isnan(one.restricted_mean()[1])


def test_a_geometric_law_under_censoring():
    """Explore until success: P(time > t) = q^t, q = 1 − p0; over T rounds E min(time, T) = (1 − q^T) / p0.

    Taking censored seeds for T − 1, or leaving them out, is off by more than the interval of 99.9%.
    """
    history = run(arms.Needle(100, p0=0.02), learners.ExploreUntilSuccess(replacement=True), 60, seeds=4000, key=1)
    found = hitting_time(history, 1.0)
    exact = (1 - 0.98**60) / 0.02
    mean, low, high = found.restricted_mean(confidence=0.999)
    assert low < exact < high
    assert found.rounds[found.hit].mean() < low
    error = np.abs(found.survival() - 0.98 ** np.arange(60))
    assert error.max() < 4.5 * math.sqrt(0.25 / 4000)
    assert found.mean() == math.inf
    assert mean == pytest.approx(found.survival().sum(), rel=1e-12)


@pytest.mark.parametrize("q", [0.03, 0.1, 0.5, 0.9, 0.97])
def test_ranks_of_a_quantiles_interval_are_the_closest_that_cover(q):
    """Times 1 … 25 are their own ranks: each end leaves at most 5% of Binomial(25, q) out, the next would not."""
    times = np.arange(1.0, 26.0)
    found = HittingTime(level=1.0, rounds=times, hit=times > 0, horizon=30)
    _, low, high = found.quantile(q, confidence=0.9)
    below, above = stats.binom(25, q).cdf, stats.binom(25, q).sf
    assert below(low - 1) <= 0.05 < below(low)
    high = min(high, 26.0)  # no rank: unbounded
    assert above(high - 1) <= 0.05 < above(high - 2)


def test_coverage_of_quantiles_is_at_least_as_stated():
    """1,000 experiments of 25 geometric times, a third of them censored: misses of the true quantile at 90%."""
    generator = np.random.default_rng(12)
    for q in (0.1, 0.5, 0.9):
        truth = stats.geom.ppf(q, 0.05)
        missed = 0
        for _ in range(1000):
            times = generator.geometric(0.05, 25).astype(float)
            hit = times < 22
            found = HittingTime(level=1.0, rounds=np.where(hit, times, np.inf), hit=hit, horizon=22)
            _, low, high = found.quantile(q, confidence=0.9)
            seen = truth if truth < 22 else math.inf  # all that censoring leaves to be known of it
            missed += not low <= seen <= high
        assert missed <= misses_allowed(1000, 0.1)


def test_bad_hitting_times():
    history = make_history()
    with pytest.raises(InputError, match="level is nan"):
        hitting_time(history, math.nan)
    with pytest.raises(InputError, match="unknown"):
        hitting_time(make_history(value=np.full((3, 5), np.nan)), 0.5)
    found = hitting_time(history, 0.5)
    with pytest.raises(InputError, match="q is 1"):
        found.quantile(1.0)
    with pytest.raises(InputError, match="confidence is 0"):
        found.restricted_mean(confidence=0.0)
