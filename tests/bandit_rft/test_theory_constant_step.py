"""The step above which sampled policy gradient's regret is a power of the horizon (the audit simulates it)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import linregress

from bandit_rft import arms, learners, run, theory
from bandit_rft.errors import InputError


@pytest.mark.parametrize(
    ("best", "other", "baseline"), [(0.9, 0.4, 0.0), (0.9, 0.5, 0.2), (1.0, 0.3, 0.0), (0.6, 0.59, 0.5)]
)
def test_the_threshold_is_the_root_of_its_own_equation(best, other, baseline):
    """Catches a lost term, or the wrong one of the two forms that it is solved in."""
    step = theory.two_arm_step_threshold(best, other, baseline=baseline)
    mean = best * math.exp(-2 * step * (1 - baseline)) + (1 - best) * math.exp(2 * step * baseline)
    assert mean - 1 + 2 * step * (other - baseline) == pytest.approx(0.0, abs=1e-13)
    assert theory.two_arm_step_threshold(best, other, baseline=baseline, rollouts=7) == pytest.approx(7 * step)
    assert theory.two_arm_regret_exponent(best, other, 4 * step, baseline=baseline) == pytest.approx(0.75)
    assert theory.two_arm_regret_exponent(best, other, step / 2, baseline=baseline) == 0.0


def test_the_threshold_at_extremes():
    """Catches differences of near numbers, and searches that overflow or never end."""
    gap = 1e-12
    small = theory.two_arm_step_threshold(0.5, 0.5 - gap, baseline=0.2)
    assert small == pytest.approx((0.5 - (0.5 - gap)) / (0.5 * 0.64 + 0.5 * 0.04), rel=1e-9)
    assert theory.two_arm_step_threshold(0.5, 1e-300) == pytest.approx(0.25e300, rel=1e-9)
    assert math.isinf(theory.two_arm_step_threshold(0.5, 0.0))
    assert math.isinf(theory.two_arm_step_threshold(0.9, 0.8, baseline=0.8, reward="deterministic"))
    assert math.isfinite(theory.two_arm_step_threshold(0.9, 0.8, baseline=0.79, reward="deterministic"))
    # A failure of the better arm that is punished drives the policy away from it, however bad the other is.
    assert math.isfinite(theory.two_arm_step_threshold(0.9, 0.0, baseline=0.5))
    assert theory.two_arm_regret_exponent(0.5, 0.0, 100.0) == 0.0


def test_refused():
    with pytest.raises(InputError, match="name the better arm first"):
        theory.two_arm_step_threshold(0.4, 0.4)
    with pytest.raises(InputError, match="'gaussian'"):
        theory.two_arm_step_threshold(0.5, 0.4, reward="gaussian")
    with pytest.raises(InputError, match="step_size"):
        theory.two_arm_regret_exponent(0.5, 0.4, 0.0)
    with pytest.raises(InputError, match="ln K"):
        theory.regret_per_log_round(0.1, 0.0)


def test_regret_is_what_the_best_logit_gains():
    """The identity behind `regret_per_log_round`, by enumeration of one round of four arms with Bernoulli rewards."""
    generator = np.random.default_rng(0)
    for _ in range(50):
        logit, mean = generator.normal(size=4) * 3, np.sort(generator.random(4))[::-1]
        policy = np.exp(logit) / np.exp(logit).sum()
        moved = np.zeros(4)
        for arm, (chance, success) in enumerate(zip(policy, mean, strict=True)):
            moved += chance * success * (np.eye(4)[arm] - policy)
        assert moved.sum() == pytest.approx(0.0, abs=1e-12)
        assert moved[0] == pytest.approx(policy[0] * (policy @ (mean[0] - mean)), abs=1e-12)


def test_each_rollout_of_a_round_is_regretted():
    """Regret of runs of one rollout and of four, counted by the loop: the same updates in the mean, and four times the
    pulls. Five standard errors (one in a million fails). Catches a constant per round for a regret per pull."""
    table = arms.Bernoulli([0.9, 0.4])
    for rollouts in (1, 4):
        learner = learners.SoftmaxPolicyGradient(step_size=0.5, signal=lambda r: r - 0.5, rollouts=rollouts)
        regret = run(table, learner, rounds=3000, seeds=256, key=1).regret()
        slope = (regret[:, -1] - regret[:, 299]) / math.log(10)
        wanted = theory.regret_per_log_round(0.5, math.log(2), rollouts=rollouts)
        assert slope.mean() == pytest.approx(wanted, abs=5 * slope.std(ddof=1) / 16 + 0.04 * wanted)


def test_exact_gradients_lose_the_same_per_log_round():
    """The mean-field flow of three arms of any gaps ends at (1 - 1/K)/eta; an independent integration."""
    mean, logit, regret, t, step = np.array([0.9, 0.5, 0.2]), np.zeros(3), 0.0, 1.0, 0.3
    found = []
    while t < 1e9:
        policy = np.exp(logit - logit.max())
        policy /= policy.sum()
        width = 0.002 * t
        gap = mean[0] - policy @ mean
        regret += width * gap
        logit = logit + width * step * policy * (mean - policy @ mean)
        t += width
        found.append((math.log(t), regret))
    late = np.array(found[-2000:])
    slope = linregress(late[:, 0], late[:, 1]).slope
    assert slope == pytest.approx(theory.regret_per_log_round(step, math.log(3)), rel=0.005)
