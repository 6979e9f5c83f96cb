"""Weights of 16 bits: what is summed, squared or kept from step to step is of float32."""

from functools import partial
from typing import Any

import flax.nnx as nnx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from llm_bridge import FineTune
from llm_bridge.language_model import LanguageModel
from llm_bridge.models.decoder import Decoder
from llm_bridge.training import gradient_clip, optimizers, policy_gradient
from llm_bridge.training.policy_gradient import Objective
from tests.llm_bridge import toy

HALVES = (jnp.bfloat16, jnp.float16)
PLAIN: dict[str, Any] = {
    "numbers": {name: jnp.float32(1.0) for name in ("temperature", "kl_coefficient", "entropy_coefficient")},
    "objective": Objective(clipped=False, dual_clipped=False, kl=None, remat=False),
}


def one_row(weight: float) -> dict[str, Any]:
    """A response of three tokens of this weight, as `loss_and_gradient` takes it."""
    return {
        "prompt": jnp.asarray([3, 4], jnp.int32),
        "prompt_lengths": jnp.asarray(2, jnp.int32),
        "tokens": jnp.asarray([[5, 6, 7]], jnp.int32),
        "lengths": jnp.asarray([3], jnp.int32),
        "weights": jnp.full((1, 3), weight, jnp.float32),
        "signal": jnp.ones((1,), jnp.float32),
        "old_log_probs": jnp.zeros((1, 3), jnp.float32),
        "ref_log_probs": None,
        "fresh": None,
    }


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("name", ["adamw", "muon", "sgd"])
def test_the_updates_are_those_of_float32(name: optimizers.Optimizer, dtype: jnp.dtype) -> None:
    """A large gradient and then 300 small ones. Catches a second moment that never decays since it is rounded to the
    nearest (bfloat16), and 0/0 where the square of a gradient is below the smallest number (float16).
    """
    made = optimizers.in_float32(optimizers.named(name, 1e-3, 0.0, (0.9, 0.999), 1e-8))
    weights = {"w": jnp.full((1, 2, 3), 0.5, dtype), "b": jnp.full((3,), 0.5, dtype)}
    wide = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), weights)
    state, other = made.init(weights), made.init(wide)
    places = {name: jnp.arange(leaf.size, dtype=jnp.float32) for name, leaf in weights.items()}
    assert {leaf.dtype for leaf in jax.tree.leaves(state) if leaf.ndim} <= {jnp.dtype(jnp.float32)}

    @jax.jit
    def step(size, state, other):
        gradient = {name: (at * size).reshape(weights[name].shape).astype(dtype) for name, at in places.items()}
        with jax.numpy_dtype_promotion("standard"):
            update, state = made.update(gradient, state, weights)
            right, other = made.update(optimizers.wide(gradient), other, wide)
        return update, right, state, other

    for place in range(301):
        update, right, state, other = step(jnp.float32(1e-4 if place else 1.0), state, other)
    for one, two in zip(jax.tree.leaves(update), jax.tree.leaves(right), strict=True):
        assert jnp.isfinite(one).all()
        np.testing.assert_array_equal(one, two)


def test_the_moments_of_a_run_are_as_wide_as_its_setting_says() -> None:
    """Catches `moment_dtype` that says float32 of moments in the weights' own bfloat16."""
    graphdef, params = nnx.split(Decoder(toy.config(), rngs=nnx.Rngs(0), param_dtype=jnp.bfloat16))
    model = LanguageModel(name="toy", config=toy.config(), graphdef=graphdef, params=params, tokenizer=None)
    for kind in ("float32", "bfloat16"):
        start = FineTune(model, max_tokens=4, learning_rate=1e-2, moment_dtype=kind).transformation().init
        moments = {leaf.dtype for leaf in jax.tree.leaves(jax.eval_shape(start, model.trained)) if leaf.ndim}
        assert moments == {jnp.dtype(kind)}


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_a_clipped_gradient_keeps_its_small_numbers(name: optimizers.Optimizer, dtype: jnp.dtype) -> None:
    """One number of 3e4 beside others of 1e-4, under a bound of 1. Catches a clip in the weights' own dtype: in float16
    it left 0 of the others, whose weights stood still under AdamW too, and bfloat16 rounded the factor."""
    graphdef, params = nnx.split(Decoder(toy.config(), rngs=nnx.Rngs(0), param_dtype=dtype))
    model = LanguageModel(name="toy", config=toy.config(), graphdef=graphdef, params=params, tokenizer=None)
    settings = FineTune(model, max_tokens=4, learning_rate=1e-2, optimizer=name, adam_eps=1e-30, weight_decay=0)
    made = settings.transformation()
    gradient = jax.tree.map(lambda leaf: jnp.full(leaf.shape, 1e-4, leaf.dtype), params)
    gradient["final_norm"].set_value(gradient["final_norm"][...].at[0].set(3e4))
    with jax.numpy_dtype_promotion("standard"):
        update, _ = jax.jit(made.update)(gradient, made.init(params), params)
    largest, small = (float(gradient["final_norm"][...][place]) for place in (0, 1))
    wanted = -1e-2 if name == "adamw" else -1e-2 * small / largest
    np.testing.assert_allclose(update["final_norm"][...][1:], wanted, rtol=1e-4)


def test_an_own_optimizers_state_keeps_its_types() -> None:
    """Its moments were as narrow as the weights until micro-batches were summed, in float32. Catches a scan over rounds
    that ends in a TypeError, and a step that is compiled twice."""
    graphdef, params = nnx.split(Decoder(toy.config(), rngs=nnx.Rngs(0), param_dtype=jnp.bfloat16))
    model = LanguageModel(name="toy", config=toy.config(), graphdef=graphdef, params=params, tokenizer=None)
    own = FineTune(model, max_tokens=4, optimizer=optax.adam(1e-2)).transformation()
    before = jax.eval_shape(own.init, params)
    for gradient in (params, optimizers.wide(params)):
        _, after = jax.eval_shape(partial(policy_gradient._step, optimizer=own), params, before, gradient)
        assert after == before


def test_micro_batches_add_up_to_the_gradient_of_the_whole() -> None:
    """One row of weight 1/256, 256 times, against weight 1. Catches a sum in bfloat16, which ends where a part is below
    the rounding of what is there: it had two thirds of its length."""
    decoder = Decoder(toy.config(layers=1), rngs=nnx.Rngs(0), param_dtype=jnp.bfloat16)
    graphdef, params = nnx.split(decoder)
    many, given = 256, {**PLAIN, "graphdef": graphdef}
    row = one_row(1.0)
    sums, whole = policy_gradient.loss_and_gradient(params, **row, **given)
    parts = jax.tree.map(lambda leaf: jnp.repeat(leaf[None], many, axis=0), row) | {
        "weights": jnp.full((many, 1, 3), 1.0 / many, jnp.float32)
    }
    _, summed = policy_gradient.accumulated(params, parts, many, None, **given)
    assert {leaf.dtype for leaf in jax.tree.leaves(summed)} == {jnp.dtype(jnp.float32)}
    length = policy_gradient.norm(summed) / policy_gradient.norm(whole)
    assert float(length) == pytest.approx(1.0, abs=0.01)
    again = policy_gradient.total_of(
        params, jax.tree.map(lambda leaf: leaf[:1], parts), 1, (jax.tree.map(jnp.zeros_like, sums), whole), **given
    )
    assert {leaf.dtype for leaf in jax.tree.leaves(again[1])} == {jnp.dtype(jnp.float32)}


@pytest.mark.parametrize("param_dtype", [jnp.float32, jnp.float16])
def test_a_gradient_in_float16_does_not_vanish_with_its_weight(param_dtype: jnp.dtype) -> None:
    """Weights of a mean over a million tokens against weights of 1. Catches a gradient below float16's smallest number,
    6e-8: two thirds of its length were lost."""
    decoder = Decoder(toy.config(), rngs=nnx.Rngs(0), dtype=jnp.float16, param_dtype=param_dtype)
    graphdef, params = nnx.split(decoder)
    found, wanted = (
        np.concatenate(
            [
                np.asarray(leaf, np.float64).ravel() / weight
                for leaf in jax.tree.leaves(
                    policy_gradient.loss_and_gradient(params, **one_row(weight), **PLAIN, graphdef=graphdef)[1]
                )
            ]
        )
        for weight in (1e-6, 1.0)
    )
    assert np.linalg.norm(found - wanted) < 0.01 * np.linalg.norm(wanted)


@pytest.mark.parametrize("size", [1e-4, 3.0])
def test_a_norm_is_of_float32(size: float) -> None:
    """Catches squares that are 0 or infinite in float16, and a metric that differs from what the clip goes by."""
    tree = [jnp.full((100, 100), size, jnp.float16), jnp.full((7,), size, jnp.float16)]
    right = np.sqrt(10_007) * float(np.float16(size))
    assert float(policy_gradient.norm(tree)) == pytest.approx(right, rel=1e-5)
    assert float(gradient_clip.norm(tree)) == pytest.approx(right, rel=1e-5)
