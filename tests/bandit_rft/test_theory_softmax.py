"""The jump chain and the gradient flow against simulation, enumeration and numerical integration."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.special import expit, logit

from bandit_rft import theory
from bandit_rft.errors import InputError
from bandit_rft.theory.laws import geometric_waits
from bandit_rft.theory.laws.jump_law import JumpLaw


def simulate_table(p0, step, rounds, arms, seeds, seed):
    """Softmax policy gradient on all K logits, arm 0 correct: knows no jump chain. value [seeds, rounds]."""
    rng = np.random.default_rng(seed)
    logits = np.zeros((seeds, arms))
    logits[:, 0] = logit(p0) + math.log(arms - 1)
    value = np.empty((seeds, rounds))
    for t in range(rounds):
        policy = np.exp(logits - logits.max(axis=1, keepdims=True))
        policy /= policy.sum(axis=1, keepdims=True)
        value[:, t] = policy[:, 0]
        arm = (rng.random((seeds, 1)) > np.cumsum(policy, axis=1)[:, :-1]).sum(axis=1)
        reward = (arm == 0).astype(float)
        logits += step * reward[:, None] * (np.eye(arms)[arm] - policy)
    return value


def enumerate_chain(p0, gain, rounds):
    """Mean and sd of value and cumulative regret over all 2^rounds reward sequences."""
    moments = np.zeros((4, rounds))
    for rewards in itertools.product((0, 1), repeat=rounds):
        z, weight, regret = logit(p0), 1.0, 0.0
        path = []
        for reward in rewards:
            p = expit(z)
            regret += 1 - p
            path.append((p, p * p, regret, regret * regret))
            weight *= p if reward else 1 - p
            z += gain * (1 - p) * reward
        moments += weight * np.array(path).T
    value, value2, regret, regret2 = moments
    return value, np.sqrt(np.maximum(value2 - value**2, 0)), regret, np.sqrt(np.maximum(regret2 - regret**2, 0))


@pytest.mark.parametrize(
    ("p0", "step", "log_arms"), [(0.05, 0.5, math.log(3)), (0.3, 2.0, None), (0.9, 0.2, math.log(50))]
)
def test_jump_moments_equal_enumeration_of_all_reward_sequences(p0, step, log_arms):
    rounds = 11
    gain = step * (1.0 if log_arms is None else math.exp(log_arms) / (math.exp(log_arms) - 1))
    value, value_sd, regret, regret_sd = enumerate_chain(p0, gain, rounds)
    got = theory.pg_jump_single(p0, step, rounds, log_arms)
    np.testing.assert_allclose(got.value, value, rtol=1e-12)
    np.testing.assert_allclose(got.regret, regret, rtol=1e-12)
    np.testing.assert_allclose(got.value_sd, value_sd, rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(got.regret_sd, regret_sd, rtol=1e-7, atol=1e-7)
    assert got.value_sd[0] == 0.0
    assert got.regret_sd[0] == 0.0


def test_jump_prediction_equals_softmax_policy_gradient_on_a_table():
    """K = 3, so that K/(K-1) = 1.5 matters. 4,000 seeds, |z| < 5 at 60 rounds: false alarm below 1e-4."""
    rounds, seeds = 60, 4000
    value = simulate_table(0.1, 0.6, rounds, 3, seeds, seed=1)
    right = theory.pg_jump_single(0.1, 0.6, rounds, log_arms=math.log(3))

    def largest_z(prediction):
        curves = (
            (value, prediction.value, prediction.value_sd),
            (np.cumsum(1 - value, 1), prediction.regret, prediction.regret_sd),
        )
        return max(np.max(np.abs(runs.mean(0) - mean)[5:] / sd[5:]) * math.sqrt(seeds) for runs, mean, sd in curves)

    assert largest_z(right) < 5
    assert largest_z(theory.pg_jump_single(0.1, 0.6, rounds)) > 10  # without K/(K-1)
    assert largest_z(theory.pg_jump_single(0.1, 0.6 * 1.2, rounds, log_arms=math.log(3))) > 10
    assert largest_z(theory.pg_jump_single(0.1 * 1.2, 0.6, rounds, log_arms=math.log(3))) > 10


def test_trimming_of_negligible_states_changes_nothing():
    """Against the untrimmed recursion over all states; p0 = 0.4 trims thousands of states by round 2,000."""
    p0, gain, rounds = 0.4, 0.7, 2000
    p = expit(JumpLaw(p0=p0, gain=gain).logits(rounds + 1))
    state = np.zeros(rounds + 1)
    state[0] = 1.0
    value = np.empty(rounds)
    for t in range(rounds):
        value[t] = state @ p
        moving = state * p
        state = state - moving
        state[1:] += moving[:-1]
    np.testing.assert_allclose(theory.pg_jump_single(p0, gain, rounds).value, value, rtol=1e-12)


@pytest.mark.parametrize("p0", [1e-15, 1e-12, 1e-9])
def test_the_spread_of_a_rare_start_is_no_rounding(p0: float) -> None:
    """Against all paths of four rounds in exact fractions: by differences of 1 - p the spread was 2e-16, at p0 = 1e-12
    three hundred times too large.
    """
    found = theory.pg_jump_single(p0, 0.5, 4)
    success = [Fraction(float(value)) for value in expit(JumpLaw(p0=p0, gain=0.5).logits(5))]
    paths = [(Fraction(1), 0, Fraction(0))]  # probability, successes, regret
    for t in range(4):
        paths = [(weight, n, regret + 1 - success[n]) for weight, n, regret in paths]
        for spread, of in ((found.value_sd, lambda n, regret: success[n]), (found.regret_sd, lambda n, regret: regret)):
            mean = sum(weight * of(n, regret) for weight, n, regret in paths)
            variance = sum(weight * (of(n, regret) - mean) ** 2 for weight, n, regret in paths)
            assert spread[t] == pytest.approx(math.sqrt(variance), rel=1e-9, abs=0.0)
        paths = [
            after
            for weight, n, regret in paths
            for after in ((weight * success[n], n + 1, regret), (weight * (1 - success[n]), n, regret))
        ]


def test_the_spread_of_a_wait_of_1e300_rounds_is_finite() -> None:
    """Its square has no float."""
    spread = JumpLaw(p0=1e-300, gain=0.5).sd_hitting_time(0.5)
    assert spread == pytest.approx(theory.pg_cold_start(1e-300, 0.5).sd, rel=1e-9)


def test_hitting_times_against_simulated_chains():
    """20,000 runs: mean within 5 standard errors; P(T <= quantile) brackets q within 5 binomial standard errors."""
    law = JumpLaw(p0=0.05, gain=0.5)
    curves = law.sample(np.random.default_rng(3), 20_000, np.arange(600))
    prediction = theory.pg_jump_single(0.05, 0.5, 10)
    for level in (0.04, 0.3, 0.9):
        reached = curves.value >= level
        assert reached[:, -1].all()
        time = reached.argmax(axis=1)
        error = max(law.sd_hitting_time(level), 1e-12) / math.sqrt(20_000)
        assert abs(time.mean() - prediction.mean_hitting_time(level)) <= 5 * error
        if level > 0.05:
            assert abs(time.mean() - 1.2 * prediction.mean_hitting_time(level)) > 5 * error
            assert time.std() == pytest.approx(law.sd_hitting_time(level), rel=0.05)
        for q in (0.1, 0.5, 0.95):
            quantile = prediction.hitting_time_quantile(level, q)
            slack = 5 * math.sqrt(q * (1 - q) / 20_000)
            assert np.mean(time <= quantile) >= q - slack
            assert np.mean(time < quantile) <= q + slack


def test_both_quantile_algorithms_agree():
    law = JumpLaw(p0=0.02, gain=0.3)
    p = law.successes_to(0.8)
    for q in (0.01, 0.5, 0.999):
        powers = law.hitting_time_quantile(0.8, q)
        assert geometric_waits.quantile_by_rounds(p, q) == powers


@pytest.mark.parametrize("gain", [0.1, 1.0, 4.0])
def test_rare_start_limits(gain):
    """E[T] p0 -> 1/(1 - e^-gain) and CV -> sqrt(tanh(gain/2)), for p0 = 1e-9 within 1e-5."""
    law = JumpLaw(p0=1e-9, gain=gain)
    assert law.mean_hitting_time(0.5) * 1e-9 == pytest.approx(1 / (1 - math.exp(-gain)), rel=1e-5)
    assert law.sd_hitting_time(0.5) / law.mean_hitting_time(0.5) == pytest.approx(
        math.sqrt(math.tanh(gain / 2)), rel=1e-5
    )


def test_one_huge_step_makes_the_wait_geometric():
    prediction = theory.pg_jump_single(1e-6, 100.0, 10)
    assert prediction.hitting_time_quantile(0.5, 0.5) == math.ceil(math.log(0.5) / math.log1p(-1e-6))


def test_expected_regret_to_a_level_is_its_failures():
    law = JumpLaw(p0=0.05, gain=0.5)
    curves = law.sample(np.random.default_rng(5), 20_000, np.arange(500))
    hit = (curves.value >= 0.5).argmax(axis=1)
    regret = curves.regret[np.arange(20_000), hit - 1]
    assert abs(regret.mean() - law.mean_regret_to(0.5)) < 5 * regret.std() / math.sqrt(20_000)


def test_scales_beyond_floats():
    huge = theory.pg_jump_single(0.05, 0.5, 50, log_arms=1e6)
    np.testing.assert_array_equal(huge.value, theory.pg_jump_single(0.05, 0.5, 50).value)
    tiny = theory.pg_jump_single(1e-300, 0.5, 20)
    np.testing.assert_allclose(tiny.value, 1e-300)
    np.testing.assert_allclose(tiny.regret, np.arange(1, 21))
    assert tiny.mean_hitting_time(0.5) * 1e-300 == pytest.approx(1 / (1 - math.exp(-0.5)), rel=1e-9)
    assert math.isfinite(tiny.hitting_time_quantile(0.5, 0.5))
    certain = theory.pg_jump_single(1 - 1e-12, 0.5, 3)
    np.testing.assert_allclose(certain.regret, 1e-12 * np.arange(1, 4), rtol=1e-3)


def test_kappa_and_signal_scale_multiply_the_step():
    base = theory.pg_jump_single(0.1, 0.6, 40).value
    np.testing.assert_allclose(theory.pg_jump_single(0.1, 0.3, 40, signal_scale=2.0).value, base, rtol=1e-13)
    np.testing.assert_allclose(theory.pg_jump_single(0.1, 0.2, 40, kappa=3.0).value, base, rtol=1e-13)


def test_long_horizon_is_finite_and_monotone():
    long = theory.pg_jump_single(0.05, 0.5, 10_000)
    assert np.all(np.isfinite(long.regret_sd))
    assert np.all(np.diff(long.value) > 0)
    # The tail: 1 - p ~ 1/(gain t).
    assert (1 - long.value[-1]) * 0.5 * 10_000 == pytest.approx(1.0, rel=0.05)


@pytest.mark.parametrize(("p0", "optimal", "arms"), [(0.05, 1, 3), (0.3, 4, 10), (1e-4, 1, 10_000)])
def test_ode_equals_numerical_integration(p0, optimal, arms):
    step, rounds = 0.5, 400
    kappa = 1 / optimal + 1 / (arms - optimal)

    def flow(time, state):
        p = expit(state[0])
        return [step * kappa * p * (1 - p), 1 - p]

    solved = solve_ivp(flow, (0, rounds), [logit(p0), 0.0], rtol=1e-11, atol=1e-13, t_eval=np.arange(rounds + 1.0))
    got = theory.pg_ode(p0, step, rounds, optimal, math.log(arms), rollouts=3)
    np.testing.assert_allclose(got.value, expit(solved.y[0][:-1]), rtol=1e-7)
    np.testing.assert_allclose(got.regret, 3 * solved.y[1][1:], rtol=1e-7)
    wrong = theory.pg_ode(p0, step * 1.2, rounds, optimal, math.log(arms), rollouts=3)
    assert np.max(np.abs(wrong.value / got.value - 1)) > 1e-3


def test_ode_is_the_small_step_limit_of_exact_gradient_ascent():
    """Exact gradients on all K logits with a step of 0.01: agreement to the step's order."""
    arms, optimal, step, rounds = 6, 2, 0.01, 3000
    logits = np.zeros(arms)
    value = []
    for _ in range(rounds):
        policy = np.exp(logits) / np.exp(logits).sum()
        p = policy[:optimal].sum()
        value.append(p)
        logits = logits + step * policy * ((np.arange(arms) < optimal) - p)
    np.testing.assert_allclose(theory.pg_ode(1 / 3, step, rounds, optimal, math.log(arms)).value, value, atol=2e-3)


def test_ode_extremes_and_half_time():
    tiny = theory.pg_ode(1e-300, 0.5, 4)
    np.testing.assert_allclose(tiny.value, 1e-300)
    np.testing.assert_allclose(tiny.regret, [1, 2, 3, 4], rtol=1e-12)
    assert tiny.mean_hitting_time(0.5) == pytest.approx(2e300, rel=1e-9)
    late = theory.pg_ode(1 - 1e-15, 0.5, 10)
    assert np.all(np.isfinite(late.regret))
    curve = theory.pg_ode(1e-3, 0.3, 10_000)
    half = int(curve.mean_hitting_time(0.5))
    assert curve.value[half] >= 0.5 > curve.value[half - 1]
    assert half == pytest.approx(1 / (0.3 * 1e-3), rel=0.02)


@pytest.mark.parametrize(
    "call",
    [
        lambda: theory.pg_jump_single(0.0, 0.5, 10),
        lambda: theory.pg_jump_single(1.0, 0.5, 10),
        lambda: theory.pg_jump_single(math.nan, 0.5, 10),
        lambda: theory.pg_jump_single(0.1, 0.0, 10),
        lambda: theory.pg_jump_single(0.1, math.inf, 10),
        lambda: theory.pg_jump_single(0.1, 0.5, 0),
        lambda: theory.pg_jump_single(0.1, 0.5, 2.5),
        lambda: theory.pg_jump_single("x", 0.5, 10),
        lambda: theory.pg_jump_single(0.1, 0.5, 10, log_arms=0.0),
        lambda: theory.pg_jump_single(0.1, 0.5, 10, kappa=-1.0),
        lambda: theory.pg_ode(0.1, 0.5, 10, optimal=5, log_arms=math.log(5)),
        lambda: theory.pg_ode(0.1, 0.5, 10, optimal=0),
        lambda: theory.pg_ode(0.1, 0.5, 10, rollouts=0),
        lambda: theory.pg_jump_single(0.1, 0.5, 10).mean_hitting_time(1.0),
        lambda: theory.pg_jump_single(0.1, 0.5, 10).hitting_time_quantile(0.5, 0.0),
    ],
)
def test_bad_input_is_one_sentence(call):
    with pytest.raises(InputError) as caught:
        call()
    message = str(caught.value)
    assert message.endswith(".")
    assert "\n" not in message
