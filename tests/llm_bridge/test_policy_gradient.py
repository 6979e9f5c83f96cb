"""The objective as a pure function against verl's formulas in torch, gradients included."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bandit_rft import objectives
from llm_bridge.training.policy_gradient import Objective, added, gap_metrics, objective_sums

ROWS, LENGTH = 5, 7
MODES = ("token-mean", "seq-mean-token-sum", "seq-mean-token-mean")


@pytest.mark.parametrize(
    ("aggregation", "kl", "dual_clip", "bonus"),
    list(itertools.product(MODES, [None, "k1", "k3"], [None, 3.0], [0.0, 0.2]))[::3],
)
def test_loss_and_gradients_are_verls(aggregation, kl, dual_clip, bonus):
    """compute_policy_loss with low, high and dual clip, kl_penalty, entropy and agg_loss, written in torch float64.

    Catches a term's sign, a clip on the wrong side, padding that leaks, and terms aggregated by another mode.
    """
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(1)
    lp, ref, h = (rng.normal(-1.5, 0.7, (ROWS, LENGTH)) for _ in range(3))
    old = lp + rng.normal(0, 0.8, (ROWS, LENGTH))
    signal = np.array([1.0, -2.0, 0.5, -0.5, 0.0])
    mask = np.arange(LENGTH) < np.array([7, 1, 3, 5, 6])[:, None]
    low, high, beta = 0.15, 0.3, 0.7

    x, entropy = (torch.tensor(a, requires_grad=True) for a in (lp, h))
    a, m = torch.tensor(signal)[:, None], torch.tensor(mask, dtype=torch.float64)
    ratio = torch.exp(torch.clamp(x - torch.tensor(old), -20, 20))
    first, second = -a * ratio, -a * torch.clamp(ratio, 1 - low, 1 + high)
    losses = torch.maximum(first, second)
    if dual_clip is not None:
        losses = torch.where(a < 0, torch.minimum(-a * dual_clip, losses), losses)

    def agg_loss(matrix):
        if aggregation == "token-mean":
            return (matrix * m).sum() / m.sum()
        rows = (matrix * m).sum(-1)
        return (rows / m.sum(-1) if aggregation == "seq-mean-token-mean" else rows).mean()

    total = agg_loss(losses) - bonus * agg_loss(entropy)
    if kl == "k1":
        total = total + beta * agg_loss(x - torch.tensor(ref))
    elif kl == "k3":
        d = torch.clamp(torch.tensor(ref) - x, -20, 20)
        total = total + beta * agg_loss(torch.clamp(torch.exp(d) - d - 1, -10, 10))
    total.backward()

    f32 = lambda v: jnp.asarray(v, jnp.float32)  # noqa: E731
    objective = Objective(clipped=True, dual_clipped=dual_clip is not None, kl=kl, remat=False, entropy=bonus > 0)
    numbers = {"clip_low": low, "clip_high": high, "dual_clip": dual_clip or 0.0, "kl_coefficient": beta}
    numbers = {name: f32(value) for name, value in (numbers | {"entropy_coefficient": bonus}).items()}
    weights = objectives.aggregation_weights(jnp.asarray(mask), aggregation)
    # Whatever stands in the padding must not matter.
    poison = f32(np.where(mask, 0.0, np.inf))

    def loss(log_probs, entropies):
        return objective_sums(
            objective, log_probs, f32(old) + poison, f32(ref), f32(signal), weights, numbers, entropy=entropies
        )

    (value, sums), gradients = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)(f32(lp), f32(h))
    assert float(value) == pytest.approx(total.item(), rel=1e-5)
    np.testing.assert_allclose(gradients[0], x.grad, atol=2e-6)
    np.testing.assert_allclose(gradients[1], 0.0 if entropy.grad is None else entropy.grad, atol=1e-7)
    with torch.no_grad():
        assert float(sums["clipped"]) == float(((second > first) * m).sum())
        assert float(sums["outside"]) == float((((ratio < 1 - low) | (ratio > 1 + high)) * m).sum())
    assert float(sums["tokens"]) == mask.sum()
    assert float(sums["loss"]) == float(value)


def test_rows_of_an_older_policy_are_left_out_of_the_sampler_trainer_gap():
    """A replayed row's ratio is no disagreement between sampler and trainer."""
    objective = Objective(clipped=True, dual_clipped=False, kl=None, remat=False)
    log_probs, old = jnp.zeros((2, 1)), jnp.array([[0.1], [3.0]])
    numbers = {"clip_low": jnp.float32(0.2), "clip_high": jnp.float32(0.2)}
    rows = (objective, log_probs, old, None, jnp.ones(2), jnp.ones((2, 1)), numbers)
    assert float(gap_metrics(objective_sums(*rows)[1])["sampler_trainer_gap"]) == pytest.approx(3.0)
    fresh = jnp.array([True, False])
    assert float(gap_metrics(objective_sums(*rows, fresh=fresh)[1])["sampler_trainer_gap"]) == pytest.approx(0.1)


def test_gap_and_effective_sample_size_of_parts_are_those_of_the_whole():
    """Against numpy over all tokens at once; the rows come in two parts, as micro-batches do, with poisoned padding.

    Catches a mean of means, a maximum that is summed, padding that counts, and the weights' ratio upside down.
    """
    rng = np.random.default_rng(2)
    trainer = rng.normal(-1.5, 0.7, (ROWS, LENGTH))
    sampler = trainer + rng.normal(0, 0.5, (ROWS, LENGTH))
    mask = np.arange(LENGTH) < np.array([7, 1, 3, 5, 6])[:, None]
    objective = Objective(clipped=False, dual_clipped=False, kl=None, remat=False)
    weights, poisoned = mask.astype(np.float32), np.where(mask, sampler, np.inf)

    def part(rows):
        arrays = (jnp.asarray(a[rows], jnp.float32) for a in (trainer, poisoned))
        return objective_sums(objective, *arrays, None, jnp.ones(len(rows)), jnp.asarray(weights[rows]), {})[1]

    found = gap_metrics(added(part([0, 1]), part([2, 3, 4])))
    gap = (trainer - sampler)[mask]
    w = np.exp(gap)
    assert float(found["sampler_trainer_gap"]) == pytest.approx(np.abs(gap).max(), rel=1e-5)
    assert float(found["sampler_trainer_gap_mean"]) == pytest.approx(np.abs(gap).mean(), rel=1e-5)
    assert float(found["effective_sample_size"]) == pytest.approx(w.sum() ** 2 / (len(w) * (w**2).sum()), rel=1e-5)
    none = objective_sums(objective, *[jnp.zeros((1, 1))] * 2, None, jnp.ones(1), jnp.zeros((1, 1)), {})[1]
    assert all(np.isnan(float(value)) for value in gap_metrics(none).values())
