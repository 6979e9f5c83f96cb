"""Softmax policy gradient beside the single correct arm: extremes, limits and identities outside the audit."""

import math

import numpy as np
import pytest
from scipy.special import expit, logit

from bandit_rft import theory
from bandit_rft.errors import InputError
from bandit_rft.theory.policy_gradient.explosion import Explosion
from bandit_rft.theory.policy_gradient.share_flow import _path


@pytest.mark.parametrize("step", [1e-6, 1e-3, 0.19, 0.21, 0.29, 0.31, 1.0, 20.0, 100.0])
def test_one_rare_arm_is_the_cold_start(step):
    """Both forms of the law against the sums of q^n and q^2n; catches lost digits on either side of each switch."""
    many, one = theory.pg_monopoly(1e-3, step), theory.pg_cold_start(1e-3, step)
    assert many.mean == pytest.approx(one.mean, rel=1e-7)
    assert many.sd == pytest.approx(one.sd, rel=1e-6)


def test_the_numbers_of_the_theory_map():
    found = [theory.pg_monopoly(1e-6, 1.0, m).mean * 1e-6 / m for m in (1, 10, 100, 1000)]
    np.testing.assert_allclose(found, [1.58, 0.471, 0.214, 0.116], rtol=5e-3)


@pytest.mark.parametrize("step", [0.3, 0.6, 1.0])
def test_sum_and_integral_agree_where_both_hold(step):
    law = Explosion(step)
    for log_tilt in (-1.0, 0.5, 2.0, 3.0):
        tilt = math.exp(log_tilt)
        y = law.point(log_tilt).y
        spread = float(1.0 + law._sum(0, tilt) - law._sum(1, tilt))
        assert law._contour(tilt, y, spread) == pytest.approx(law._series(y), rel=1e-8)


def test_euler_maclaurin_equals_the_sum_term_by_term():
    """step .29 is below the switch: against 3,000 terms for each order, at a real and a complex place."""
    law, n = Explosion(0.29), np.arange(3000)
    for s in (0.3, 50.0, 2.0 + 9.0j):
        w = s * np.exp(-0.29 * n)
        share = w / (1 + w)
        assert abs(law._sum(-1, s) - np.log1p(w).sum()) < 1e-11
        assert abs(law._sum(0, s) - share.sum()) < 1e-11
        assert abs(law._sum(1, s) - (share * (1 - share)).sum()) < 1e-11


def test_small_steps_approach_the_flow_as_the_square_root_of_step_log_m():
    """1/(eta c p0) times 1 - sqrt(eta ln m), to its own next order; catches a wrong regime claimed for pg_ode."""
    for step, optimal in ((1e-6, 1000), (1e-5, 10**6)):
        ratio = theory.pg_monopoly(1e-3, step, optimal).mean * step * 1e-3 / optimal
        assert 1 - ratio == pytest.approx(math.sqrt(step * math.log(optimal)), rel=0.2)


def test_no_step_size_beats_the_first_success():
    for optimal in (1, 30, 10**6):
        assert theory.pg_monopoly(1e-3, 150.0, optimal).mean == pytest.approx(1e3, rel=1e-6)


def test_survival_and_quantile_are_inverse_and_keep_their_range():
    for step, optimal in ((1e-3, 50), (0.3, 10**6), (5.0, 3)):
        law = theory.pg_monopoly(1e-4, step, optimal)
        for q in (1e-6, 0.3, 0.999):
            assert float(law.survival(law.quantile(q))[0]) == pytest.approx(1 - q, rel=1e-6)
        np.testing.assert_array_equal(law.survival([0.0, 1e-3 * law.mean, 1e6 * law.mean])[[0, 2]], [1.0, 0.0])


def test_monopoly_at_extremes():
    assert theory.pg_monopoly(1e-300, 1.0, 1000).mean == pytest.approx(0.116474e303, rel=1e-4)
    assert theory.pg_monopoly(0.2, 1.0).flags
    assert not theory.pg_monopoly(1e-3, 1.0).flags
    for arguments, text in (
        ((1e-300, 1.0, 10**10), "m/p0"),
        ((1e-3, 1e-9), "step sizes from"),
        ((1e-3, 1.0, 10**13), "correct arms"),
        ((0.0, 1.0), "p0"),
        ((1e-3, 1.0, 0), "optimal"),
    ):
        with pytest.raises(InputError, match=text):
            theory.pg_monopoly(*arguments)  # type: ignore[arg-type]


def test_cold_start_at_extremes():
    slow = theory.pg_cold_start(1e-300, 1e-6)
    assert slow.mean == pytest.approx(1e306, rel=1e-5)
    assert slow.coefficient_of_variation == pytest.approx(math.sqrt(5e-7), rel=1e-6)
    fast = theory.pg_cold_start(1e-3, 100.0)
    assert fast.mean == fast.floor == 1e3
    with pytest.raises(InputError, match="kappa"):
        theory.pg_cold_start(1e-3, 1.0, kappa=0.0)


def test_equal_classes_follow_the_closed_form():
    """Value, regret and half-time of pg_ode, over 10^9 rounds and from p0 = 1e-200."""
    for p0, step, rounds, counts in (
        (0.1, 0.02, 4001, [3, 17]),
        (1e-200, 1e-6, 10**9, [1, 50]),
        (1e-5, 3.0, 10**9, [2, 10]),
    ):
        general = theory.pg_ode_general([p0, 1 - p0], np.log(counts), [True, False], step, rounds, rollouts=2)
        closed = theory.pg_ode(p0, step, rounds, counts[0], math.log(sum(counts)), rollouts=2)
        np.testing.assert_allclose(general.value, closed.value, rtol=1e-7)
        np.testing.assert_allclose(general.regret, closed.regret, rtol=1e-7)
        assert general.mean_hitting_time(0.5) == pytest.approx(closed.mean_hitting_time(0.5), rel=1e-7, abs=1)


def test_splitting_a_class_changes_nothing():
    whole = theory.pg_ode_general([0.1, 0.9], np.log([4, 20]), [True, False], 0.3, 2000)
    split = theory.pg_ode_general([0.025, 0.075, 0.9], np.log([1, 3, 20]), [True, True, False], 0.3, 2000)
    np.testing.assert_allclose(split.value, whole.value, rtol=1e-8)


def test_conserved_quantities_of_the_flow():
    """e^-theta_i - e^-theta_j among correct arms, and the sum of logits: the integration knows neither."""
    counts, mass = np.array([1.0, 2.0, 1.0, 16.0]), np.array([0.04, 0.06, 0.5, 0.4])
    law = theory.pg_ode_general(mass, np.log(counts), [True, True, False, False], 0.5, 10).law
    path, _ = _path(law, math.inf, 4.0)

    def logits(state):
        log_policy = state[:4] + np.log(np.where([True, True, False, False], expit(state[4]), expit(-state[4])))
        return log_policy - (counts @ log_policy) / counts.sum()  # the logits' sum is 0 throughout

    before, after = logits(path.y[:, 0]), logits(path.y[:, -1])
    assert after[0] - after[1] > before[0] - before[1] + 1.0
    assert np.exp(-after[1]) - np.exp(-after[0]) == pytest.approx(np.exp(-before[1]) - np.exp(-before[0]), rel=1e-7)
    # Wrong arms: e^-theta rises alike.
    assert np.exp(-after[3]) - np.exp(-after[2]) == pytest.approx(np.exp(-before[3]) - np.exp(-before[2]), rel=1e-7)


def test_general_flow_at_extremes():
    """Classes of e^(10^6) arms, a lone correct arm among them; catches underflow of kappa and of mass per arm."""
    still = theory.pg_ode_general([1e-5, 1 - 1e-5], [1e6, 1e6], [True, False], 1.0, 10**9)
    np.testing.assert_allclose(still.value, 1e-5, rtol=1e-12)
    with pytest.raises(InputError, match="more rounds than a float holds"):
        still.mean_hitting_time(0.5)
    lone = theory.pg_ode_general([5e-4, 5e-4, 0.999], [0.0, 1e6, 1e6], [True, True, False], 100.0, 10**6)
    assert lone.value[-1] > 0.999
    assert np.all(np.diff(lone.value) >= -1e-9)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (([0.1, 0.8], [0, 1], [True, False]), "add up to"),
        (([0.1, 0.9], [0], [True, False]), "entries"),
        (([0.1, 0.9], [0, -1], [True, False]), "log_counts"),
        (([0.1, 0.9], [0, 1], [True, True]), "one correct and one wrong"),
    ],
)
def test_general_flow_refuses(arguments, text):
    with pytest.raises(InputError, match=text):
        theory.pg_ode_general(*arguments, step_size=1.0, rounds=10)


def test_path_instability_of_ties_and_of_impossible_arms():
    assert theory.path_instability(0.1, 0.1, 0.3, 1.0) == 0.0
    assert theory.path_instability(0.1, 0.2, 0.5, 1.0) == -theory.path_instability(0.2, 0.1, 0.5, 1.0) < 0
    with pytest.raises(InputError, match="exceeds p"):
        theory.path_instability(0.2, 0.2, 0.3, 1.0)


def test_one_epoch_is_never_clipped():
    """The ratio is 1: PPO-clip is policy gradient, whatever the clip; catches a clip applied to the update."""
    plain = theory.pg_jump_single(0.05, 3.0, 200, math.log(7))
    clipped = theory.ppo_jump_single(0.05, 3.0, 200, math.log(7), clip=0.01, epochs=1)
    np.testing.assert_allclose(clipped.value, plain.value, rtol=1e-13)
    assert clipped.regret_sd is not None
    assert plain.regret_sd is not None
    np.testing.assert_allclose(clipped.regret_sd, plain.regret_sd, rtol=1e-10)


def test_the_clip_floor_holds_for_every_chain_and_is_reached_by_small_steps():
    for step, epochs, clip, log_arms in ((0.01, 200, 0.2, None), (0.5, 8, 0.1, math.log(3)), (3.0, 50, 0.5, None)):
        law = theory.ppo_jump_single(1e-5, step, 1, log_arms, clip=clip, epochs=epochs)
        for level in (1e-4, 0.3, 0.9):
            floor = theory.ppo_clip_floor(1e-5, step, clip, level, log_arms)
            assert floor <= law.mean_hitting_time(level) * (1 + 1e-12)
    small = theory.ppo_jump_single(1e-6, 1e-3, 1, clip=0.2, epochs=1000).mean_hitting_time(0.5)
    assert small * 1e-6 == pytest.approx(1.2 / 0.2, rel=0.003)
    assert theory.ppo_clip_floor(1e-300, 0.0) == pytest.approx(6e300, rel=1e-12)
    assert theory.ppo_clip_floor(0.6, 0.1) == 0.0


def test_large_steps_beat_the_floor_of_small_steps():
    """(1 + eps)/(eps p0) is no floor: one step of 2 needs less than a fifth of it."""
    assert theory.ppo_jump_single(1e-6, 2.0, 1, clip=0.2, epochs=4).mean_hitting_time(0.5) < 1.2 / 0.2 * 1e6 / 5


def test_ppo_refuses():
    for bad in ({"clip": 0.0}, {"epochs": 0}):
        with pytest.raises(InputError):
            theory.ppo_jump_single(0.1, 0.1, 10, **bad)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="step_size"):
        theory.ppo_clip_floor(0.1, -1.0)


def test_the_derived_rate_is_within_the_published_one():
    for least in (1e-3, 0.2, 0.9):
        published = theory.mei_2020_gap(10**9, least)
        derived = theory.exact_gradient_gap(10**9, 0.4, least)
        assert np.all(derived.uncapped <= published.uncapped)
        np.testing.assert_array_equal(published.at, derived.at)
    assert theory.mei_2020_gap(100, log_arms=1e6).vacuous
    assert theory.exact_gradient_gap(100, 1.0, log_arms=1e6).vacuous


def test_gap_bounds_refuse():
    with pytest.raises(InputError, match="smallest_probability"):
        theory.mei_2020_gap(10)
    with pytest.raises(InputError, match="below 4"):
        theory.exact_gradient_gap(10, 4.0, 0.1)
    with pytest.raises(InputError, match="start_gap"):
        theory.exact_gradient_gap(10, 1.0, 0.1, start_gap=0.0)


def test_third_cumulant_bounds_the_curvature():
    """The proof's step: f'' along y is at most |y|^2/2, over random policies, rewards and directions."""
    generator = np.random.default_rng(0)
    for _ in range(2000):
        policy = generator.dirichlet(np.full(4, 0.3))
        reward, direction = generator.random(4), generator.normal(size=4)
        centred = direction - policy @ direction
        curvature = policy @ ((reward - policy @ reward) * centred**2)
        assert abs(curvature) <= 0.5 * direction @ direction + 1e-12


def test_waits_at_extremes():
    assert theory.cold_start_floor(1e-300, 10**4) == pytest.approx(1e296, rel=1e-9)
    assert theory.cold_start_floor(0.5, 10**4) == 1.0
    assert theory.log_likelihood_time(1e-300, 1.0) == pytest.approx(300 * math.log(10) + 1, rel=1e-9)
    assert theory.log_likelihood_time(0.3, 1.0, 0.2) == 0.0
    assert theory.log_likelihood_time(0.2, 1.0, 0.6) == pytest.approx(logit(0.6) - logit(0.2) + 1.5 - 0.25)


def test_lattimore_step_size_refuses():
    for bad in ((0.0, 0.5, 100, 1.0), (0.5, 0.2, 100, 1.0), (0.1, 0.2, 10, math.log(20))):
        with pytest.raises(InputError):
            theory.lattimore_step_size(*bad)


def test_delayed_rewards() -> None:
    """Without delay it is the flow's own recursion; nothing moves before the first reward is heard; rare starts and
    huge delays keep their digits.
    """
    at_once = theory.pg_delayed(0.1, 0.01, 2000, 0)
    np.testing.assert_allclose(at_once.value, theory.pg_ode(0.1, 0.01, 2000).value, rtol=0.01)
    late = theory.pg_delayed(0.1, 0.01, 2000, 700)
    np.testing.assert_array_equal(late.value[:701], late.value[0])
    assert late.value[702] > late.value[701] > late.value[700]
    never = theory.pg_delayed(1e-300, 1.0, 100, 1000)
    assert never.value[-1] == pytest.approx(1e-300, rel=1e-9)
    assert theory.pg_delayed(0.1, 3.0, 10, 2).flags
    with pytest.raises(InputError, match="delay is -1"):
        theory.pg_delayed(0.1, 1.0, 10, -1)
