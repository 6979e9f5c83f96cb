"""Laws of a window of scores and of dead groups drawn again: limits, identities, and runs of the real thing.

Catches a window that multiplies the pulls, pulls that are not counted, a past that is not the window's, and a law that
`theory.predict` picks where it does not hold.
"""

from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

from bandit_rft import NoLawError, arms, learners, policies, run, summarize, theory, verifiers
from bandit_rft.errors import InputError
from bandit_rft.theory.policy_gradient.group_flow import GroupFlowLaw


def test_in_the_limit_of_small_steps_the_window_is_a_group_as_large() -> None:
    slow = theory.pg_window(0.05, 0.004, 6000, 2, 16)
    flow = theory.pg_group("grpo", 0.05, 0.004, 6000, 2, window=16)
    np.testing.assert_allclose(slow.value, flow.value, rtol=4e-3)
    assert slow.mean_hitting_time(0.5) == pytest.approx(flow.mean_hitting_time(0.5), rel=2e-3)
    assert slow.regret[-1] == pytest.approx(flow.regret[-1], rel=2e-3)
    whole = theory.pg_group("grpo", 0.05, 0.004, 6000, 16)
    np.testing.assert_allclose(flow.value, whole.value, rtol=1e-12)
    np.testing.assert_allclose(8 * flow.regret, whole.regret, rtol=1e-12)
    # A window of this round alone is no window.
    own = theory.pg_window(0.05, 0.05, 50, 8, 8).value
    z = np.log(own) - np.log1p(-own)
    drift = 0.05 * own * (1 - own) * theory.drift_multiplier("grpo", own, 8)
    np.testing.assert_allclose(np.diff(z), drift[:-1], rtol=1e-9)


def test_the_older_the_scores_the_more_they_are_of_the_start() -> None:
    """Met once in 10^4 rounds a question has the scores of its first meeting alone: groups of G."""
    fresh, stale, never = (theory.pg_window(0.1, 0.1, 100, 4, 16, period=every).value for every in (1, 10, 10_000))
    own = theory.pg_window(0.1, 0.1, 100, 4, 4).value
    np.testing.assert_allclose(never, own, rtol=1e-12)
    assert (own[11:] < stale[11:]).all()
    assert np.abs(np.log(fresh / stale)).max() > 0.02


def test_drawn_again_the_way_to_a_level_costs_the_same_pulls() -> None:
    """The number of groups drawn multiplies drift and pulls alike. Catches either of them alone."""
    plain, again = (theory.pg_group("grpo", 0.03, 0.02, 10, 4, dynamic_sampling=most).law for most in (0, 9))
    assert isinstance(plain, GroupFlowLaw)
    assert isinstance(again, GroupFlowLaw)
    for level in (0.1, 0.5, 0.9):
        slow, fast = plain.time_to(level), again.time_to(level)
        assert fast < 0.8 * slow
        regret = [float(law.regret(np.array([time]))[0]) for law, time in ((plain, slow), (again, fast))]
        assert regret[0] == pytest.approx(regret[1], rel=1e-6)


def test_rewards_of_the_last_groups_drawn() -> None:
    """Against the binomial law of a group, drawn up to three times."""
    law = theory.pg_group("rloo", 0.2, 0.05, 40, 3, dynamic_sampling=2).law
    assert isinstance(law, GroupFlowLaw)
    at = np.array([0, 7, 39])
    found = law.sample(np.random.default_rng(0), 2, at)
    earned = []
    for p in law.value(np.arange(40.0)):
        chance, right = binom.pmf(np.arange(4), 3, p), np.arange(4) / 3
        alive, dead = np.arange(4) % 3 > 0, chance[[0, 3]].sum()
        mean = sum(dead**n * (chance * right)[alive].sum() for n in range(3)) + dead**2 * chance[3]
        earned.append(mean)
    np.testing.assert_allclose(found.total_reward[1], np.cumsum(earned)[at], rtol=1e-9)


def test_noise_reduces_to_what_is_known() -> None:
    for p in (0.05, 0.4):
        of_window = theory.update_second_moment("grpo", p, 3, 2, np.log(9), window=10)
        whole = theory.update_second_moment("grpo", p, 10, 2, np.log(9))
        assert of_window.mean_square == pytest.approx(whole.mean_square, rel=1e-9)
        assert of_window.second_moment > whole.second_moment
        own = theory.update_second_moment("grpo", p, 3, 2, np.log(9), window=3)
        assert own == pytest.approx(theory.update_second_moment("grpo", p, 3, 2, np.log(9)))
        drawn = theory.dynamic_sampling_pulls(p, 4, 5) / 4
        plain, again = (theory.snr2(p, 0.2, signal="grpo", rollouts=4, dynamic_sampling=most) for most in (0, 5))
        assert again == pytest.approx(drawn * plain, rel=1e-12)
        assert theory.dynamic_sampling_drift("rloo", p, 4, 5) == pytest.approx(drawn, rel=1e-12)


@pytest.mark.parametrize(
    ("setting", "law"), [({"window": 64}, "pg_window"), ({"dynamic_sampling": 4, "eps": 0.0}, "pg_group")]
)
def test_the_law_that_is_picked_agrees_with_runs_on_a_table_and_on_a_token_policy(setting: dict, law: str) -> None:
    """Small steps and groups of 16: within 3% of mean Pass@1 at all rounds."""
    token = arms.TokenSequences(4, 1, verifiers.Needle((2,)), policies.PrefixTree(), p0=0.1)
    for world in (arms.Bernoulli((1.0, 0.0), base_mass=(0.1, 0.9)), token):
        learner = learners.SoftmaxPolicyGradient(step_size=0.04, signal="grpo", rollouts=16, **setting)
        history = run(world, learner, rounds=120, seeds=200, key=3)
        told: dict[str, Any] = {"step_size": 0.04, "rounds": 120, "signal": "grpo", "rollouts": 16}
        found = theory.predict(summarize(world), **told, **setting)
        assert found.name == law
        assert law in found.why
        np.testing.assert_allclose(history.value.mean(axis=0), found.value, rtol=0.03)
        other = theory.predict(summarize(world), **told)
        assert np.abs(history.value.mean(axis=0) / other.value - 1).max() > 0.03


LUMPED = arms.Needle(log10_arms=3, optimal=3, p0=0.2)
NEEDLE = arms.Needle(log10_arms=100, p0=0.1)


@pytest.mark.parametrize(
    ("call", "error", "word"),
    [
        (lambda: theory.pg_group("raw", 0.1, 0.1, 10, 4, window=8), InputError, "mean_baseline and grpo"),
        (lambda: theory.pg_group("grpo", 0.1, 0.1, 10, 4, window=8, dynamic_sampling=2), InputError, "leave out"),
        (lambda: theory.pg_group("raw", 0.1, 0.1, 10, 4, dynamic_sampling=2), InputError, "teaches"),
        (lambda: theory.pg_window(0.1, 0.1, 10, 4, 3), InputError, "window is 3"),
        (lambda: theory.pg_window(0.1, 0.1, 10, 1, 1), InputError, "window is 1"),
        (lambda: theory.pg_window(0.1, 0.1, 10, 2, 8, "maxrl"), InputError, "mean_baseline and grpo"),
        (lambda: theory.pg_window(0.1, 0.1, 10**6, 2, 8), InputError, "at most 100,000"),
        (lambda: theory.pg_window(0.1, 0.1, 10, 2, 8, period=0), InputError, "period is 0"),
        (lambda: theory.update_second_moment("grpo", 0.1, 4, past=0.2), InputError, "no window"),
        (lambda: theory.snr2(0.1, 0.5, window=8), InputError, "give a signal"),
        (lambda: theory.dynamic_sampling_pulls(0.1, 1), InputError, "rollouts is 1"),
        (lambda: predicted(LUMPED, window=8), NoLawError, "grpo moves wrong arms"),
        (lambda: predicted(NEEDLE, window=8, optimizer="adam"), NoLawError, "a scale of its own"),
        (lambda: predicted(NEEDLE, dynamic_sampling=2, epochs=2), NoLawError, "grpo moves wrong arms"),
        (lambda: predicted(arms.Delayed(NEEDLE, rounds=3), window=8), NoLawError, "grpo moves wrong arms"),
        (lambda: predicted(NEEDLE, window=2), InputError, "window is 2"),
    ],
)
def test_what_makes_no_sense_or_has_no_law_is_refused(call, error: type, word: str) -> None:
    with pytest.raises(error, match=word):
        call()


def predicted(world, **settings) -> theory.Prediction:
    return theory.predict(summarize(world), step_size=0.1, rounds=10, signal="grpo", rollouts=4, **settings)
