"""Optimisers and schedules against transformers' torch schedules, NumPy written out a layer at a time, and numbers
worked by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from bandit_rft.errors import InputError
from llm_bridge.training import optimizers
from tests.llm_bridge import toy


def rates(kind, rounds, warmup, floor, steps_per_round=1):
    found = optimizers.schedule(
        kind, 0.5, rounds=rounds, warmup_rounds=warmup, floor=floor, steps_per_round=steps_per_round
    )
    assert callable(found)
    return np.array(
        [float(np.asarray(found(jnp.int32(t * steps_per_round + t % steps_per_round)))) for t in range(rounds)]
    )


@pytest.mark.parametrize(("warmup", "floor"), [(0, 0.0), (5, 0.0), (5, 0.1)])
def test_schedules_are_transformers(warmup, floor):
    """verl takes these very functions; the step here is the round, however many optimiser steps a round has."""
    torch = pytest.importorskip("torch")
    theirs = pytest.importorskip("transformers.optimization")

    def curve(make, **more):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
        scheduler = make(optimizer, num_warmup_steps=warmup, **more)
        found = []
        for _ in range(20):
            found.append(scheduler.get_last_lr()[0])
            optimizer.step()
            scheduler.step()
        return np.array(found)

    cosine = curve(theirs.get_cosine_with_min_lr_schedule_with_warmup, num_training_steps=20, min_lr_rate=floor)
    np.testing.assert_allclose(rates("cosine", 20, warmup, floor, steps_per_round=3), cosine, rtol=2e-5, atol=1e-8)
    linear = curve(theirs.get_linear_schedule_with_warmup, num_training_steps=20)
    np.testing.assert_allclose(
        rates("linear", 20, warmup, floor, steps_per_round=2),
        np.where(np.arange(20) < warmup, linear, np.maximum(linear, floor * 0.5)),
        rtol=2e-5,
        atol=1e-8,
    )
    if warmup:
        constant = curve(theirs.get_constant_schedule_with_warmup)
        np.testing.assert_allclose(rates("constant", 20, warmup, floor), constant, rtol=1e-6)


def test_no_schedule_is_a_number():
    assert optimizers.schedule("constant", 0.5, rounds=None, warmup_rounds=0, floor=0.0, steps_per_round=2) == 0.5
    with pytest.raises(InputError, match="more rounds than warmup"):
        optimizers.schedule("linear", 0.5, rounds=4, warmup_rounds=4, floor=0.0, steps_per_round=1)


def orthogonal(matrix):
    """Five quintic Newton–Schulz steps on one matrix, float64 (Jordan 2024)."""
    x = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    x = x / (np.linalg.norm(x) + 1e-8)
    for _ in range(5):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x.T if matrix.shape[0] > matrix.shape[1] else x


@pytest.mark.parametrize("tied", [True, False])
def test_muon_turns_each_layers_matrix_and_leaves_the_rest_to_adamw(tied):
    """Two steps. Catches one Newton–Schulz over the whole stack of layers, and Muon on embedding, head or norms."""
    params = toy.model(layers=3, tied=tied).params
    rng = np.random.default_rng(0)
    leaves, tree = jax.tree.flatten(params)
    gradients = [
        jax.tree.unflatten(tree, [jnp.asarray(rng.normal(size=leaf.shape), jnp.float32) for leaf in leaves])
        for _ in range(2)
    ]
    muon = optimizers.named("muon", 0.01, 0.1, (0.9, 0.99), 1e-8)
    adamw = optax.adamw(0.01, b1=0.9, b2=0.99, eps=1e-8, weight_decay=0.1)

    @jax.jit
    def two_steps(params):
        with jax.numpy_dtype_promotion("standard"):
            found = []
            for optimizer in (muon, adamw):
                moved, state = params, optimizer.init(params)
                for gradient in gradients:
                    updates, state = optimizer.update(gradient, state, moved)
                    moved = optax.apply_updates(moved, updates)
                found.append(moved)
            return found

    got, plain = two_steps(params)
    matrices = 0
    for before, g1, g2, after, other in zip(leaves, *map(jax.tree.leaves, (*gradients, got, plain)), strict=True):
        if before.ndim < 3:
            np.testing.assert_allclose(after, other, rtol=1e-6, atol=1e-7)
            continue
        matrices += 1
        for layer in range(3):
            weights, momentum = np.asarray(before[layer], np.float64), 0.0
            for step, g in enumerate((g1, g2), start=1):
                gradient = np.asarray(g[layer], np.float64)
                momentum = 0.95 * momentum + 0.05 * gradient
                ahead = 0.95 * momentum / (1 - 0.95 ** (step + 1)) + 0.05 * gradient / (1 - 0.95**step)
                update = 0.2 * np.sqrt(max(gradient.shape)) * orthogonal(ahead)
                weights = weights - 0.01 * (update + 0.1 * weights)
            np.testing.assert_allclose(after[layer], weights, atol=2e-5)
    assert matrices == 7


def test_one_settings_is_one_compiled_step():
    """jit recognises an optimiser by identity: equal settings must be the very same object."""
    one, two = (
        optimizers.clipped(
            optimizers.named(
                "muon",
                optimizers.schedule("cosine", 0.1, rounds=9, warmup_rounds=1, floor=0.0, steps_per_round=1),
                0.01,
                (0.9, 0.999),
                1e-8,
            ),
            1.0,
        )
        for _ in range(2)
    )
    assert one is two
