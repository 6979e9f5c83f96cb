"""Objectives and signals against verl's functions written out in NumPy (verl/trainer/ppo/core_algos.py), float64.

Each is the published definition in its own order of operations, loops over groups included; where ours differs by
intent, the difference that a docstring names is what the test asserts.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bandit_rft import objectives, signals

GROUPS, G, T = 3, 4, 6
ROWS = GROUPS * G


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def draw(seed):
    """(log π, log π_old, advantages [R], mask) with ratios far outside the clip on both sides."""
    rng = np.random.default_rng(seed)
    log_probs = -rng.exponential(1.5, (ROWS, T))
    mask = np.arange(T) < rng.integers(1, T + 1, ROWS)[:, None]
    return log_probs, log_probs + rng.normal(0, 1.2, (ROWS, T)), rng.normal(size=ROWS), mask


def agg_loss(loss, mask, mode, horizon):
    """verl's agg_loss in one process; up to version 0.7 the last mode was not divided by the number of sequences."""
    if mode == "token-mean":
        return (loss * mask).sum() / mask.sum()
    by_row = (loss * mask).sum(-1)
    if mode == "seq-mean-token-mean":
        return (by_row / (mask.sum(-1) + 1e-8)).sum() / (mask.sum(-1) > 0).sum()
    mean = by_row.sum() / (mask.sum(-1) > 0).sum()
    return {"seq-mean-token-sum": mean, "seq-mean-token-sum-norm": mean / horizon}[mode]


@pytest.mark.parametrize("mode", ["token-mean", "seq-mean-token-sum", "seq-mean-token-mean", "seq-mean-token-sum-norm"])
@pytest.mark.parametrize("horizon", [T, 11])
def test_aggregation_is_agg_loss(mode, horizon):
    x, _, _, mask = draw(0)
    got = float(objectives.aggregate(jnp.asarray(x), jnp.asarray(mask), mode, horizon))
    assert got == pytest.approx(agg_loss(x, mask, mode, horizon), rel=1e-7)
    if mode == "seq-mean-token-sum-norm":  # of version 0.7 and before
        assert got * ROWS == pytest.approx((x * mask).sum() / horizon, rel=1e-12)


@pytest.mark.parametrize(
    ("low", "high", "dual_clip"), list(itertools.product([0.2, 0.1], [0.2, 0.28], [None, 3.0, 1.3]))
)
def test_clip_and_its_fractions_are_compute_policy_loss(low, high, dual_clip):
    """verl's losses token by token, and pg_clipfrac: over all response tokens, those of a zero advantage included."""
    log_probs, old, advantages, mask = draw(1)
    advantages[::5] = 0.0
    a = advantages[:, None]
    ratio = np.exp(np.clip(log_probs - old, -20, 20))
    first, second = -a * ratio, -a * np.clip(ratio, 1 - low, 1 + high)
    losses = np.maximum(first, second)
    fraction = ((second > first) * mask).sum() / mask.sum()
    if dual_clip is not None:
        losses = np.where(a < 0, np.minimum(-a * dual_clip, losses), losses)
    given = [jnp.asarray(v) for v in (log_probs, old, advantages)]
    np.testing.assert_allclose(-objectives.ppo_clip(*given, low, high, dual_clip), losses, rtol=1e-12)
    binds = np.asarray(objectives.outside_clip(*given, low, high))
    assert (binds & mask).sum() / mask.sum() == pytest.approx(fraction, rel=1e-12)
    assert 0.1 < fraction < 0.9


@pytest.mark.parametrize("name", ["k1", "k2", "k3"])
def test_estimators_are_kl_penalty(name):
    log_probs, reference, _, _ = draw(2)
    reference[0, :2] = log_probs[0, :2] + [30.0, -30.0]  # both clamps of k3
    d = np.clip(reference - log_probs, -20, 20)
    want = {
        "k1": log_probs - reference,
        "k2": 0.5 * (log_probs - reference) ** 2,
        "k3": np.clip(np.exp(d) - d - 1, -10, 10),
    }[name]
    got = objectives.kl(jnp.asarray(log_probs), jnp.asarray(reference), name)
    np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-14)


def by_verl(name, scores):
    """compute_grpo_outcome_advantage (with and without the standard deviation) and compute_rloo_outcome_advantage."""
    n = len(scores)
    if name == "rloo":
        return scores * n / (n - 1) - scores.mean() * n / (n - 1) if n > 1 else scores
    mean, std = (0.0, 1.0) if n == 1 else (scores.mean(), scores.std(ddof=1))
    return (scores - mean) / (std + 1e-6) if name == "grpo" else scores - mean


@pytest.mark.parametrize("name", ["grpo", "mean_baseline", "rloo"])
@pytest.mark.parametrize("size", [1, 2, 5])
def test_signals_are_verls_advantages(name, size):
    """But of one reward, where `mean_baseline` is 0 and verl's Dr.GRPO the reward."""
    rng = np.random.default_rng(3)
    for scores in (rng.normal(size=size), rng.integers(0, 2, size).astype(float), 1 - 1e-4 * rng.normal(size=size)):
        want = by_verl(name, scores)
        if name == "mean_baseline" and size == 1:
            want = np.zeros(1)
        np.testing.assert_allclose(signals.make(name)(jnp.asarray(scores)), want, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["grpo", "mean_baseline", "rloo"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equal_rewards_give_no_signal_whatever_they_are(name, dtype):
    """Catches the rounding of the mean that AdamW and GRPO would blow up: often there was some."""
    rng = np.random.default_rng(4)
    for value in (*rng.normal(size=40), 0.1, -1 / 3, 1e-30, 1e20):
        for size in (3, 7):
            rewards = np.full(size, value, dtype)
            assert not np.any(signals.make(name, eps=0.0)(jnp.asarray(rewards)))
            # The same number added up in another order.
            rewards[0] = np.nextafter(rewards[0], dtype(np.inf))
            assert not np.any(signals.make(name, eps=0.0)(jnp.asarray(rewards)))


def test_small_differences_that_are_no_rounding_keep_verls_signal():
    rewards = np.float32(1.0) - np.float32(1e-5) * np.arange(4, dtype=np.float32)
    got = signals.grpo(jnp.asarray(rewards))
    np.testing.assert_allclose(got, by_verl("grpo", rewards.astype(np.float64)), rtol=2e-2)
