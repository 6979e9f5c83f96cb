"""Groups of rollouts and verifiable rewards: extremes of the numerics, limits, identities, and what is refused.

The audit holds the formulas against simulation; here stands what it does not reach.
"""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from scipy.integrate import quad

from bandit_rft import signals, theory
from bandit_rft.errors import InputError
from bandit_rft.theory.policy_gradient.group_flow import GroupFlowLaw

pytestmark = pytest.mark.filterwarnings("error")


@pytest.mark.parametrize("p0", [1e-300, 1e-9, 0.05, 0.5, 1 - 1e-12])
@pytest.mark.parametrize("step_size", [1e-6, 0.5, 1e2])
@pytest.mark.parametrize("rounds", [50, 10**9])
def test_constant_multipliers_give_pg_ode(p0, step_size, rounds):
    """Catches a quadrature or interpolation that loses digits at an end, and a regret that forgets the rollouts."""
    exact = theory.pg_ode(p0, step_size, rounds, optimal=2, log_arms=5.0, rollouts=4)
    for signal in ("raw", "rloo"):
        found = theory.pg_group(signal, p0, step_size, rounds, 4, 2, 5.0)
        np.testing.assert_array_equal(found.at, exact.at)
        np.testing.assert_allclose(found.value, exact.value, rtol=1e-9)
        np.testing.assert_allclose(found.regret, exact.regret, rtol=1e-9)
    doubled = theory.pg_group("signed", p0, step_size / 2, rounds, 1, kappa=0.7)
    np.testing.assert_allclose(doubled.value, theory.pg_ode(p0, step_size, rounds, kappa=0.7).value, rtol=1e-9)


def test_large_groups_approach_the_closed_form():
    """Catches either curve, and the flag that tells small groups from large ones."""
    closed = theory.grpo_flow(0.3, 0.01, 500, 10_000)
    summed = theory.pg_group("grpo", 0.3, 0.01, 500, 10_000, ddof=0)
    np.testing.assert_allclose(closed.value, summed.value, rtol=1e-3)
    np.testing.assert_allclose(closed.regret, summed.regret, rtol=1e-3)
    assert closed.flags == ()
    assert "pg_group" in theory.grpo_flow(0.3, 0.01, 500, 8).flags[0]
    assert "large" in theory.grpo_flow(0.3, 5.0, 5, 10**6).flags[0]


def test_grpo_flow_limits():
    """Half-way time, finite total regret and 1/t^2 tail, at p0 where a difference of exponentials has no digits."""
    p0, rate = 1e-12, 0.02
    flow = theory.grpo_flow(p0, rate, 10**9, 3, kappa=1.0)
    assert flow.mean_hitting_time(0.5) == pytest.approx(2 / (rate * math.sqrt(p0)), rel=1e-6)
    late = theory.grpo_flow(0.01, rate, 10**9, 3, kappa=1.0)
    assert late.regret[-1] == pytest.approx(3 * 2 * math.sqrt(99) / rate, rel=1e-5)
    assert late.at is not None
    shown = late.at[-1000]
    assert 1 - late.value[-1000] == pytest.approx(4 / (rate * shown) ** 2, rel=1e-3)
    early = theory.grpo_flow(1e-300, 1e2, 10**9)
    assert early.at is not None
    assert np.all(early.value == pytest.approx(1e-300, rel=1e-6))
    np.testing.assert_allclose(early.regret, 1e6 * (early.at + 1.0), rtol=1e-9)


@pytest.mark.parametrize("group", [8, 10_000])
def test_hitting_times_by_adaptive_quadrature(group):
    """Catches panels too wide for the bend of GRPO's multiplier around p = 1/G."""

    def inverse_speed(z):
        p = 1 / (1 + math.exp(-z))
        return 1 / (0.02 * p * (1 - p) * theory.drift_multiplier("grpo", p, group, 0))

    flow = theory.pg_group("grpo", 1e-4, 0.02, 5, group, kappa=1.0, ddof=0)
    assert isinstance(flow.law, GroupFlowLaw)
    start = math.log(1e-4 / (1 - 1e-4))
    edges = np.linspace(start, math.log(9), 9)
    exact = sum(quad(inverse_speed, low, high, epsrel=1e-12)[0] for low, high in itertools.pairwise(edges))
    assert flow.law.time_to(0.9) == pytest.approx(exact, rel=1e-9)
    assert flow.mean_hitting_time(0.9) == math.ceil(exact) == flow.hitting_time_quantile(0.9, 0.1)
    assert flow.mean_hitting_time(1e-5) == 0.0


def test_a_run_drawn_from_the_law_is_the_curve():
    """Catches regret or rewards of a round counted per rollout in one place and per round in the other."""
    flow = theory.pg_group("grpo", 0.2, 0.1, 40, 6)
    at = np.arange(40)
    assert flow.law is not None
    curves = flow.law.sample(np.random.default_rng(0), 2, at)
    np.testing.assert_allclose(curves.regret[1], flow.regret, rtol=1e-9)
    np.testing.assert_allclose(curves.total_reward[0], at + 1 - flow.regret / 6, rtol=1e-9)
    np.testing.assert_allclose(flow.value_band()[0], flow.value, rtol=1e-9)


@pytest.mark.parametrize("signal", signals.NAMES)
@pytest.mark.parametrize("group", [1, 2, 7, 10_000])
@pytest.mark.parametrize("p", [1e-300, 0.2, 1 - 1e-12])
def test_moments_agree_with_the_multiplier(signal, group, p):
    """|E u|^2 = kappa (p (1-p) M)^2 by two different sums, and never above E |u|^2."""
    moments = theory.update_second_moment(signal, p, group, kappa=0.3, trace_correct=2.0, trace_wrong=1.0, eps=0.01)
    expected = 0.3 * (p * (1 - p) * theory.drift_multiplier(signal, p, group, eps=0.01)) ** 2
    # Signed rewards at G = 10,000 cancel 1e4-fold; mean squares below 1e-308 are 0.
    assert moments.mean_square == pytest.approx(expected, rel=1e-6, abs=1e-22)
    assert moments.mean_square <= moments.second_moment * (1 + 1e-9)


def test_snr2_is_the_limit_of_the_moments():
    """The diffuse formula is the exact ratio on a table with very many arms of both classes."""
    for p in (0.01, 0.3, 0.9):
        for signal, baseline in (("raw", 0.0), ("psr", 0.0), ("signed", 0.5), ("nsr", 1.0)):
            exact = theory.update_second_moment(signal, p, 1, 10**9, math.log(3e9))
            ratio = exact.mean_square / exact.second_moment
            assert theory.snr2(p, 1e-9 + 5e-10, baseline) == pytest.approx(ratio, rel=1e-6)


@pytest.mark.parametrize(("signal", "baseline"), [("raw", 0.0), ("psr", 0.0), ("signed", 0.5), ("nsr", 1.0)])
def test_snr2_of_a_group_of_one_is_that_of_its_baseline(signal, baseline):
    """Catches traces of other scores than those of norm 1."""
    p = np.array([0.05, 0.3, 0.8])
    np.testing.assert_allclose(theory.snr2(p, 0.4, signal=signal), theory.snr2(p, 0.4, baseline), rtol=1e-12)


@pytest.mark.parametrize("signal", ["raw", "rloo", "grpo", "maxrl", "pass_at_k"])
def test_snr2_of_a_group_at_small_p_is_g_times_the_raw_one(signal):
    """A rare success is alone in its group: the signal then scales the whole update, and no ratio."""
    found = theory.snr2(1e-7, 0.4, signal=signal, rollouts=8)
    assert found == pytest.approx(8 * float(theory.snr2(1e-7, 0.4)), rel=0.2)


def test_snr2_orders_the_baselines():
    p = np.array([0.01, 0.2, 0.25, 0.3, 0.9])
    raw, mean, signed = (np.asarray(theory.snr2(p, 1.0, b)) for b in (0.0, p, 0.5))
    np.testing.assert_allclose(raw, p * (1 - p) ** 2)
    np.testing.assert_allclose(mean, p * (1 - p))
    np.testing.assert_allclose(signed, 4 * p**2 * (1 - p) ** 2)
    assert list(signed > raw * (1 + 1e-12)) == [False, False, False, True, True]
    assert np.all(mean >= np.maximum(raw, signed) * (1 - 1e-12))
    assert theory.snr2(1e-300, 1.0) == pytest.approx(1e-300)
    assert theory.snr2(1e-300, 1.0, 0.5) == 0.0


def test_noisy_verifier_limits():
    """A perfect verifier is drift_multiplier; a coin teaches nothing; a liar unlearns at the same speed."""
    p = np.array([1e-300, 0.01, 0.5, 1 - 1e-12])
    for signal in signals.NAMES:
        exact = theory.drift_multiplier(signal, p, 8)
        np.testing.assert_allclose(theory.noisy_verifier(1.0, 0.0, signal, p, 8), exact, rtol=1e-12)
        if signal in ("raw", "signed", "mean_baseline", "rloo", "grpo", "psr", "nsr"):
            np.testing.assert_allclose(theory.noisy_verifier(0.0, 1.0, signal, p, 8), -np.asarray(exact), rtol=1e-12)
        else:  # successes and failures change places, and M is not the same at p and 1 - p
            swapped = -theory.drift_multiplier(signal, 0.7, 8)
            assert theory.noisy_verifier(0.0, 1.0, signal, 0.3, 8) == pytest.approx(swapped, rel=1e-12)
        for rate in (0.0, 0.4, 1.0):
            assert np.all(theory.noisy_verifier(rate, rate, signal, p, 8) == 0.0)
    # Rare successes lose GRPO's gain sqrt(G - 1) to false positives: the spread is that of the noise.
    clean, noisy = theory.drift_multiplier("grpo", 1e-6, 64), theory.noisy_verifier(1.0, 0.1, "grpo", 1e-6, 64)
    assert clean == pytest.approx(math.sqrt(63) * math.sqrt(63 / 64), rel=1e-3)
    assert noisy == pytest.approx(0.9 * theory.drift_multiplier("grpo", 0.1, 64), rel=1e-3)
    assert theory.noisy_verifier(0.8, 0.3) == pytest.approx(0.5)


def test_mroueh_map_ends():
    """No overflow where a jump is 1e150 logits, and the rest point of the fixed map is the one derived."""
    assert list(theory.mroueh_map(1e-300, 1e-6, 4)) == [1e-300, 1.0, 1.0, 1.0, 1.0]
    assert theory.mroueh_map(1 - 1e-16, 1.0, 50, "fixed")[-1] == 1.0
    rest = theory.mroueh_map(0.1, 5.0, 500, "fixed")[-1]
    z = math.log(rest / (1 - rest))
    assert z == pytest.approx(math.log(1 / 9) + 2 * math.cosh(z / 2) / 5.0, rel=1e-9)
    # Above the threshold on z0 there is no rest point; just below there is.
    beta = 2.0
    threshold = 2 * math.asinh(beta) - 2 * math.sqrt(1 + beta**2) / beta
    above, below = (1 / (1 + math.exp(-threshold - shift)) for shift in (0.05, -0.05))
    assert theory.mroueh_map(above, beta, 2000, "fixed")[-1] == 1.0
    assert theory.mroueh_map(below, beta, 2000, "fixed")[-1] < 0.99
    slow = theory.mroueh_map(0.01, 1e6, 3, eps=0.01)
    assert np.all(np.diff(slow) > 0)


def test_kl_optimum_ends():
    np.testing.assert_allclose(theory.kl_optimum(np.array([0.2, 0.9]), 1e9), [0.2, 0.9], rtol=1e-8)
    assert theory.kl_optimum(0.2, 1e-300) == 1.0
    assert theory.kl_optimum(1e-300, 0.01) == pytest.approx(1e-300 * math.exp(100.0), rel=1e-9)
    # One iteration of the map with unit spread is the optimum of the plain reward at another beta.
    assert theory.mroueh_map(0.5, 1.0, 1)[1] == pytest.approx(theory.kl_optimum(0.5, 0.5), rel=1e-12)


def test_pass_at_k_estimate_in_exact_arithmetic():
    """Catches a ratio of binomials that overflows or loses digits, and the two orders of its factors."""
    for n, c, k in [(5, 0, 2), (5, 5, 1), (7, 3, 5), (4000, 3, 1500), (4000, 1500, 3), (10**9, 7, 10**8), (64, 60, 10)]:
        failed = Fraction(1)
        for j in range(min(c, k)):
            failed *= 1 - Fraction(max(c, k), n - j)
        expected = 1.0 if n - c < k else float(1 - failed)
        assert theory.pass_at_k_estimate(n, c, k) == pytest.approx(expected, rel=1e-12, abs=0)
    assert theory.pass_at_k(1e-300, 10**9) == pytest.approx(1e-291, rel=1e-12)
    assert theory.pass_at_k(0.5, 10**9) == 1.0
    np.testing.assert_allclose(theory.pass_at_k([0.1, 0.2], 1), [0.1, 0.2], rtol=1e-14)


def test_entropy_of_huge_and_tiny_bandits():
    assert theory.symmetric_entropy(1e-300, 1, 1e6) == pytest.approx(1e6, rel=1e-12)
    assert theory.symmetric_entropy(0.25, 1, math.log(4)) == pytest.approx(math.log(4), rel=1e-12)
    assert theory.symmetric_entropy(0.5, 10**30, 100 * math.log(10)) == pytest.approx(
        math.log(2) + 0.5 * 30 * math.log(10) + 0.5 * 100 * math.log(10), rel=1e-12
    )
    assert np.shape(theory.symmetric_entropy(np.array([0.1, 0.2]), 2, 5.0)) == (2,)


def test_entropy_rate_follows_the_symmetric_curve():
    """dH/dt = H'(p) dp/dt with dp/dt = eta kappa p^2 (1-p)^2: two entries and the master identity in one."""
    optimal, number, step = 3, 20, 0.7
    for p in (0.05, 0.4, 0.9):
        policy = np.where(np.arange(number) < optimal, p / optimal, (1 - p) / (number - optimal))
        slope = math.log((1 - p) / p) + math.log(optimal) - math.log(number - optimal)
        speed = step * (1 / optimal + 1 / (number - optimal)) * (p * (1 - p)) ** 2
        rate = theory.entropy_rate(policy, np.arange(number) < optimal, step)
        assert rate == pytest.approx(slope * speed, rel=1e-10)
    assert theory.entropy_rate([0.5, 0.5, 0.0], [1.0, 0.0, 1.0], 1.0) == pytest.approx(0.0, abs=1e-16)


def test_gradient_norm_vanishes_with_the_spread():
    np.testing.assert_allclose(theory.gradient_norm([1e-300, 0.5, 1 - 1e-12], 4.0), [2e-300, 0.5, 2e-12], rtol=1e-3)
    assert theory.gradient_norm(0.5, 1.0) == 0.25


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: theory.pg_group("mean_baseline", 0.1, 0.1, 10, 1), "mean_baseline"),
        (lambda: theory.pg_group("ppo", 0.1, 0.1, 10, 4), "ppo"),
        (lambda: theory.pg_group("grpo", 1e-310, 0.1, 10, 4), "p0"),
        (lambda: theory.pg_group("grpo", 0.1, 0.0, 10, 4), "step_size"),
        (lambda: theory.pg_group("grpo", 0.1, 0.1, 10, 4, 9, math.log(9)), "optimal"),
        (lambda: theory.grpo_flow(0.0, 0.1, 10), "p0"),
        (lambda: theory.update_second_moment("raw", 0.1, trace_wrong=-1.0), "trace_wrong"),
        (lambda: theory.update_second_moment("raw", 1.0), "p is"),
        (lambda: theory.snr2(0.1, 0.0), "kappa"),
        (lambda: theory.snr2(0.1, 2.0, signal="grpo", rollouts=4), "norm 1"),
        (lambda: theory.snr2([0.001, 0.5], 40.0), "norm 1"),  # a share of 5
        (lambda: theory.snr2(0.1, 1.0, 0.5, signal="raw"), "one of them"),
        (lambda: theory.snr2(0.1, 1.0, rollouts=4), "give a signal"),
        (lambda: theory.snr2([0.1, 0.2], 1.0, [0.1, 0.2, 0.3]), "baseline"),
        (lambda: theory.snr2(0.1, 1.0, math.nan), "baseline"),
        (lambda: theory.noisy_verifier(1.1, 0.0), "true_positive"),
        (lambda: theory.noisy_verifier(0.9, 0.1, "grpo", rollouts=8), "give p"),
        (lambda: theory.mroueh_map(0.1, 1.0, 3, "other"), "mirror"),
        (lambda: theory.mroueh_map(0.1, 1.0, 10**9), "iterations"),
        (lambda: theory.kl_optimum(0.1, 0.0), "beta"),
        (lambda: theory.pass_at_k(0.1, 0), "k is"),
        (lambda: theory.pass_at_k_estimate(10, 11, 2), "11"),
        (lambda: theory.pass_at_k_estimate(10**12, 10**8, 10**8), "smaller k"),
        (lambda: theory.entropy_rate([0.5, 0.6], [0, 1], 1.0), "sum"),
        (lambda: theory.entropy_rate([0.5, 0.5], [0, 1, 1], 1.0), "reward"),
        (lambda: theory.entropy_rate([0.5, 0.5], [0, math.inf], 1.0), "finite"),
        (lambda: theory.symmetric_entropy(0.1, 1, math.inf), "infinite"),
        (lambda: theory.gradient_norm([0.5, 1.5], 1.0), "between 0 and 1"),
    ],
)
def test_what_makes_no_sense_is_refused(call, word):
    with pytest.raises(InputError, match=word):
        call()
