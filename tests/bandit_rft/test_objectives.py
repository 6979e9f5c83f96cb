"""Objectives against hand-written formulas in numpy (float64) and against finite differences."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bandit_rft import objectives
from bandit_rft.errors import InputError


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def _draw(seed: int, rollouts: int = 4, tokens: int = 5, gap: float = 0.6):
    """(log π, log π_old, signals, mask) with ratios on both sides of the clip and a ragged mask."""
    rng = np.random.default_rng(seed)
    log_probs = -rng.exponential(2.0, (rollouts, tokens))
    old = log_probs + rng.uniform(-gap, gap, (rollouts, tokens))
    signals = np.array([1.0, -1.0, 0.0, 0.7])[:rollouts]
    lengths = rng.integers(1, tokens + 1, rollouts)
    return log_probs, old, signals, np.arange(tokens) < lengths[:, None]


def _brute_aggregate(x, mask, mode, length):
    rows = [[x[i, t] for t in range(x.shape[1]) if mask[i, t]] for i in range(x.shape[0])]
    total, count = sum(sum(r) for r in rows), sum(len(r) for r in rows)
    return {
        "token-sum": total,
        "token-mean": total / count,
        "seq-mean-token-sum": sum(sum(r) for r in rows) / len(rows),
        "seq-mean-token-sum-norm": sum(sum(r) / length for r in rows) / len(rows),
        "seq-mean-token-mean": sum(sum(r) / len(r) for r in rows) / len(rows),
    }[mode]


@pytest.mark.parametrize("mode", objectives.AGGREGATIONS)
@pytest.mark.parametrize("seed", range(3))
def test_aggregate_is_the_formula_token_by_token(mode, seed):
    x, _, _, mask = _draw(seed)
    for length in (None, 11):
        got = objectives.aggregate(jnp.asarray(x), jnp.asarray(mask), mode, length)
        assert float(got) == pytest.approx(_brute_aggregate(x, mask, mode, length or x.shape[1]), rel=1e-12)


@pytest.mark.parametrize("mode", objectives.AGGREGATIONS)
def test_aggregate_never_reads_padding(mode):
    x, _, _, mask = _draw(0)
    poisoned = jnp.where(mask, x, jnp.nan)
    value, gradient = jax.value_and_grad(lambda y: objectives.aggregate(y, jnp.asarray(mask), mode))(poisoned)
    assert float(value) == float(objectives.aggregate(jnp.asarray(x), jnp.asarray(mask), mode))
    assert np.all(np.asarray(gradient)[~mask] == 0)
    assert np.all(np.isfinite(np.asarray(gradient)))


@pytest.mark.parametrize("mode", objectives.AGGREGATIONS)
def test_aggregate_of_nothing_is_zero(mode):
    assert float(objectives.aggregate(jnp.ones((2, 3)), jnp.zeros((2, 3), bool), mode)) == 0.0


def test_ppo_clip_is_the_formula_token_by_token():
    log_probs, old, signals, _ = _draw(1)
    for dual_clip, low, high in itertools.product((None, 1.2), (0.2, 0.05), (0.2, 0.3, math.inf)):
        got = objectives.ppo_clip(*map(jnp.asarray, (log_probs, old, signals)), low, high, dual_clip)
        for i, t in np.ndindex(log_probs.shape):
            ratio, signal = math.exp(log_probs[i, t] - old[i, t]), signals[i]
            want = min(ratio * signal, min(max(ratio, 1 - low), 1 + high) * signal)
            if dual_clip is not None and signal < 0:
                want = max(want, dual_clip * signal)
            assert float(got[i, t]) == pytest.approx(want, rel=1e-12)


def test_dual_clip_binds_and_matches_verl_sign():
    """A negative signal with a ratio far above c: the surrogate stays at c·A (verl's loss: min(−A·c, max(…)))."""
    got = objectives.ppo_clip(jnp.array([[2.0]]), jnp.array([[0.0]]), jnp.array([-1.0]), dual_clip=3.0)
    assert float(got[0, 0]) == -3.0
    without = objectives.ppo_clip(jnp.array([[2.0]]), jnp.array([[0.0]]), jnp.array([-1.0]))
    assert float(without[0, 0]) == pytest.approx(-math.exp(2.0))


def test_ratio_clamp():
    ratio = objectives.importance_ratio(jnp.array([50.0, -50.0]), jnp.zeros(2))
    np.testing.assert_allclose(ratio, np.exp([20.0, -20.0]))
    assert np.isinf(objectives.importance_ratio(jnp.array([1e4]), jnp.zeros(1), clamp=None)[0])


def test_on_policy_gradient_of_ppo_clip_is_reinforce():
    """At ratio 1 the two gradients agree for every signal, whichever branch of the minimum a tie takes."""
    log_probs, _, signals, mask = map(jnp.asarray, _draw(2))

    def clipped(x):
        return objectives.aggregate(objectives.ppo_clip(x, log_probs, signals), mask)

    def plain(x):
        return objectives.aggregate(objectives.reinforce(x, signals), mask)

    np.testing.assert_allclose(jax.grad(clipped)(log_probs), jax.grad(plain)(log_probs), rtol=1e-14)
    want = np.where(mask, np.asarray(signals)[:, None], 0.0) / log_probs.shape[0]
    np.testing.assert_allclose(jax.grad(plain)(log_probs), want, rtol=1e-14)


def _finite_difference(function, x, step=1e-6):
    gradient = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[index] += step
        down[index] -= step
        gradient[index] = (float(function(jnp.asarray(up))) - float(function(jnp.asarray(down)))) / (2 * step)
    return gradient


@pytest.mark.parametrize("mode", objectives.AGGREGATIONS)
@pytest.mark.parametrize("name", ["reinforce", "ppo_clip", "dual_clip", "k1", "k2", "k3"])
def test_gradients_by_finite_differences(mode, name):
    log_probs, old, signals, mask = _draw(3)
    per_token = {
        "reinforce": lambda x: objectives.reinforce(x, jnp.asarray(signals)),
        "ppo_clip": lambda x: objectives.ppo_clip(x, jnp.asarray(old), jnp.asarray(signals)),
        "dual_clip": lambda x: objectives.ppo_clip(x, jnp.asarray(old), jnp.asarray(signals), dual_clip=1.2),
        **{k: lambda x, k=k: objectives.kl(x, jnp.asarray(old), k) for k in objectives.KL_ESTIMATORS},
    }[name]

    def scalar(x):
        return objectives.aggregate(per_token(x), jnp.asarray(mask), mode)

    got = jax.grad(scalar)(jnp.asarray(log_probs))
    np.testing.assert_allclose(got, _finite_difference(scalar, log_probs), atol=1e-8)


def test_no_gradient_flows_into_the_sampling_policy_the_reference_or_the_signal():
    log_probs, old, signals, _ = map(jnp.asarray, _draw(4))
    for function in (
        lambda o: objectives.ppo_clip(log_probs, o, signals).sum(),
        lambda o: objectives.kl(log_probs, o, "k3").sum(),
    ):
        assert not np.any(jax.grad(function)(old))
    assert not np.any(jax.grad(lambda s: objectives.ppo_clip(log_probs, old, s).sum())(signals))
    assert not np.any(jax.grad(lambda s: objectives.reinforce(log_probs, s).sum())(signals))


def test_clipped_tokens_are_those_without_gradient():
    log_probs, old, signals, _ = map(jnp.asarray, _draw(5))
    gradient = jax.grad(lambda x: objectives.ppo_clip(x, old, signals).sum())(log_probs)
    outside = objectives.outside_clip(log_probs, old, signals)
    assert outside.any()
    live = np.broadcast_to(np.asarray(signals)[:, None] != 0, outside.shape)
    np.testing.assert_array_equal(np.asarray(gradient == 0)[live], np.asarray(outside)[live])
    assert not np.any(np.asarray(outside)[~live])


def test_kl_estimators_are_schulmans_and_exact_in_expectation():
    """Summed over a whole categorical under π, k1 and k3 give the KL and k2 its second-order form; gradients as
    documented."""
    logits = jnp.array([0.3, -1.0, 0.8, 0.1])
    reference = jax.nn.log_softmax(jnp.array([0.0, 0.5, 0.2, -0.4]))
    log_pi = jax.nn.log_softmax(logits)
    pi = jnp.exp(log_pi)
    exact = float(jnp.sum(pi * (log_pi - reference)))
    for name in ("k1", "k3"):
        assert float(jnp.sum(pi * objectives.kl(log_pi, reference, name))) == pytest.approx(exact, rel=1e-12)
    second = float(jnp.sum(pi * 0.5 * (log_pi - reference) ** 2))
    assert float(jnp.sum(pi * objectives.kl(log_pi, reference, "k2"))) == pytest.approx(second, rel=1e-12)

    def expected_gradient(name):  # tokens drawn from π held fixed, as in a loss over samples
        return jax.grad(lambda z: jnp.sum(pi * objectives.kl(jax.nn.log_softmax(z), reference, name)))(logits)

    forward = jax.grad(lambda z: jnp.sum(jax.nn.softmax(z) * (jax.nn.log_softmax(z) - reference)))(logits)
    reverse = jax.grad(lambda z: jnp.sum(jnp.exp(reference) * (reference - jax.nn.log_softmax(z))))(logits)
    np.testing.assert_allclose(expected_gradient("k1"), 0.0, atol=1e-15)
    np.testing.assert_allclose(expected_gradient("k2"), forward, rtol=1e-10)
    np.testing.assert_allclose(expected_gradient("k3"), reverse, rtol=1e-10)


def test_k3_keeps_its_leading_term_in_float32():
    """e^d − 1 − d by plain subtraction gives 0 or garbage for d = 1e-4 in float32; the truth is d²/2 = 5e-9."""
    small = objectives.kl(jnp.array([1e-4], jnp.float32), jnp.zeros(1, jnp.float32), "k3")
    assert small.dtype == jnp.float32
    assert float(small[0]) == pytest.approx(5e-9, rel=1e-2)


def test_k3_clamps():
    far = jnp.array([-100.0, 100.0])
    np.testing.assert_allclose(objectives.kl(far, jnp.zeros(2), "k3"), [10.0, 10.0])
    np.testing.assert_allclose(objectives.kl(far[1:], jnp.zeros(1), "k3", clamp=(20.0, 1e9)), math.exp(-20) + 19)
    np.testing.assert_allclose(objectives.kl(far[1:], jnp.zeros(1), "k3", clamp=None), [99.0])


def test_unknown_names_are_refused():
    with pytest.raises(InputError, match="k4"):
        objectives.kl(jnp.zeros(1), jnp.zeros(1), "k4")  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="batch-mean"):
        objectives.aggregate(jnp.zeros((1, 1)), jnp.ones((1, 1), bool), "batch-mean")  # pyright: ignore[reportArgumentType]
