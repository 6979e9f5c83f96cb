"""Explore until the first success, against simulation on real arms, binomial coefficients and closed forms."""

import math

import numpy as np
import pytest

from bandit_rft import theory
from bandit_rft.errors import InputError


def simulate(arms, optimal, rounds, replacement, rollouts, seeds, seed):
    """Arms by number, 0 .. optimal-1 correct. Returns value and regret, [seeds, rounds] each."""
    rng = np.random.default_rng(seed)
    value = np.ones((seeds, rounds))
    for run in range(seeds):
        order = rng.permutation(arms)
        for t in range(rounds):
            if replacement:
                value[run, t] = optimal / arms
                pulled = rng.integers(arms, size=rollouts)
            else:
                value[run, t] = (order[t:] < optimal).mean()
                pulled = order[t : t + 1]
            if (pulled < optimal).any():
                break
    return value, rollouts * np.cumsum(1 - value, axis=1)


@pytest.mark.parametrize(("replacement", "rollouts"), [(True, 1), (True, 4), (False, 1)])
def test_moments_against_simulation(replacement, rollouts):
    """4,000 runs of 40 arms, 3 correct; |z| < 5 over 60 rounds and two curves: false alarm below 2e-4."""
    rounds, seeds = 60, 4000
    value, regret = simulate(40, 3, rounds, replacement, rollouts, seeds, seed=2)
    got = theory.explore_until_success(None, rounds, replacement, math.log(40), 3, rollouts)
    for runs, mean, sd in ((value, got.value, got.value_sd), (regret, got.regret, got.regret_sd)):
        live = sd > 1e-3
        z = np.abs(runs.mean(0) - mean)[live] / sd[live] * math.sqrt(seeds)
        assert z.max() < 5
        assert (np.abs(runs.mean(0) - 1.2 * mean)[live] / sd[live] * math.sqrt(seeds)).max() > 10
        busy = sd > 0.1  # where enough runs are still exploring for the sample's own spread to be accurate
        np.testing.assert_allclose(runs.std(0)[busy], sd[busy], rtol=0.15)
    hit = (value >= 0.9).argmax(axis=1)[value[:, -1] >= 0.9]
    if len(hit) == seeds:
        assert abs(hit.mean() - got.mean_hitting_time(0.9)) < 5 * hit.std() / math.sqrt(seeds)


def test_without_replacement_equals_binomial_coefficients():
    arms, optimal = 30, 4
    got = theory.explore_until_success(rounds=40, replacement=False, log_arms=math.log(arms), optimal=optimal)
    none = [math.comb(arms - optimal, t) / math.comb(arms, t) if t <= arms else 0.0 for t in range(41)]
    np.testing.assert_allclose(got.regret, np.cumsum(none[1:]), rtol=1e-12)
    assert got.regret[-1] == pytest.approx((arms - optimal) / (optimal + 1), rel=1e-12)
    assert got.value[-1] == 1.0


def test_with_replacement_closed_forms():
    p0, rounds, rollouts = 0.07, 50, 4
    got = theory.explore_until_success(p0, rounds, rollouts=rollouts)
    group = 1 - (1 - p0) ** rollouts
    expected = rollouts * (1 - p0) * (1 - (1 - group) ** np.arange(1, rounds + 1)) / group
    np.testing.assert_allclose(got.regret, expected, rtol=1e-12)
    assert got.mean_hitting_time(0.5) == pytest.approx(1 / group)
    survival = (1 - group) ** np.arange(200)
    assert got.hitting_time_quantile(0.5, 0.5) == np.argmax(1 - survival >= 0.5)


def test_hitting_times_without_replacement():
    """E[position of the first success] = (K + 1)/(m + 1), by the definition of order statistics."""
    got = theory.explore_until_success(rounds=5, replacement=False, log_arms=math.log(200), optimal=9)
    assert got.mean_hitting_time(0.99) == pytest.approx(201 / 10, rel=1e-9)
    none = np.array([math.comb(191, t) / math.comb(200, t) for t in range(192)])
    assert got.hitting_time_quantile(0.99, 0.5) == np.argmax(1 - none >= 0.5)


def test_any_number_of_arms():
    huge = theory.explore_until_success(rounds=30, replacement=False, log_arms=1e5 * math.log(10), optimal=10**99_999)
    same = theory.explore_until_success(0.1, 30)
    np.testing.assert_allclose(huge.regret, same.regret, rtol=1e-9)
    tiny = theory.explore_until_success(1e-300, 5)
    np.testing.assert_allclose(tiny.value, 1e-300 * np.arange(1, 6))
    np.testing.assert_allclose(tiny.regret, [1, 2, 3, 4, 5])
    # K = 10^9, one optimal arm: regret of T rounds is T(1 - (T+1)/(2K)), the difference kept to all its digits.
    large = theory.explore_until_success(rounds=1000, replacement=False, log_arms=math.log(1e9), optimal=1)
    assert 1000 - large.regret[-1] == pytest.approx(1000 * 1001 / 2e9, rel=1e-6)


@pytest.mark.parametrize(
    "arguments",
    [
        {"p0": 0.0},
        {"p0": None},
        {"p0": 0.1, "rounds": 0},
        {"p0": 0.1, "replacement": False},
        {"p0": 0.1, "replacement": False, "log_arms": 5.0, "rollouts": 2},
        {"optimal": 3},
        {"optimal": 8, "log_arms": math.log(8)},
        {"p0": 0.2, "optimal": 1, "log_arms": math.log(10)},
        {"optimal": 1, "log_arms": 1e6},
        {"p0": 0.05, "replacement": False, "log_arms": math.log(3)},  # no arm of three is optimal
        {"p0": 0.25, "replacement": False, "log_arms": math.log(10)},  # two and a half of ten
    ],
)
def test_bad_input(arguments):
    with pytest.raises(InputError):
        theory.explore_until_success(**{"rounds": 5, **arguments})


def test_horizons_of_a_billion_rounds() -> None:
    """The closed form agrees with the sum at the rounds that both show. Catches an array of 10^9 numbers, too."""
    near = theory.explore_until_success(1e-6, 10_000_000)
    far = theory.explore_until_success(1e-6, 1_000_000_000)
    both = far.at[far.at < 10_000_000]
    for curve in ("value", "regret", "value_sd"):
        np.testing.assert_allclose(getattr(far, curve)[: both.size], getattr(near, curve)[both], rtol=1e-9)
    assert far.rounds == 1_000_000_000
    assert far.regret[-1] == pytest.approx((1 - 1e-6) / 1e-6, rel=1e-12)
    rare = theory.explore_until_success(1e-300, 1_000_000_000, rollouts=10_000)
    assert rare.value[-1] == pytest.approx(1e-300 * (1 + 1e13), rel=1e-9)
    with pytest.raises(InputError, match="without replacement"):
        theory.explore_until_success(rounds=10**9, replacement=False, log_arms=100.0, optimal=1)
