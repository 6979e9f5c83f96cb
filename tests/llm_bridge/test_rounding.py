"""What 16-bit weights round away, against exact sums in fractions; and masters of 32 bits unless asked otherwise."""

from __future__ import annotations

from fractions import Fraction

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from bandit_rft.errors import ModelWarning
from llm_bridge import FineTune, PromptArms, load_model
from llm_bridge.training.rounding import moved_share


@pytest.mark.parametrize("step", [1e-6, 1e-4, 2.0**-10, 3e-2])
def test_the_share_that_moves_is_that_of_exact_sums(step: float) -> None:
    """A weight moves where the exact sum is nearer to another number of bfloat16. Catches a spacing taken on one side
    of a power of two only, and a sum that is rounded on the way."""
    drawn = np.random.default_rng(0).normal(size=400) * 10.0 ** np.random.default_rng(1).uniform(-7, 0, 400)
    weights = np.concatenate([drawn, 2.0 ** -np.arange(1, 30), -(2.0 ** -np.arange(1, 30)), [0.0]])
    weights = weights.astype(ml_dtypes.bfloat16)
    exact = Fraction(float(np.float32(step)))
    moved = 0
    for weight in weights:
        near = np.nextafter(weight, weight.dtype.type(np.inf)), np.nextafter(weight, weight.dtype.type(-np.inf))
        for sum_, other in zip((exact, -exact), near, strict=True):
            half = abs(Fraction(float(other)) - Fraction(float(weight))) / 2
            even = not int(weight.view(np.uint16)) & 1
            moved += abs(sum_) > half or (abs(sum_) == half and not even)
    found = moved_share({"a": jnp.asarray(weights[:200]), "b": jnp.asarray(weights[200:])}, step)
    assert found == pytest.approx(moved / (2 * len(weights)), abs=1e-6)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_masters_are_float32_whatever_the_arithmetic_is(dtype: str) -> None:
    """Catches training in 16-bit weights by default, where 1e-6 moves next to nothing; asked for, it is told of."""
    model = load_model("tiny-llama", dtype)
    assert model.params["embedding"][...].dtype == jnp.float32
    assert model.logits(np.asarray([[1, 2]])).dtype == jnp.float32
    FineTune(model, max_tokens=8).bind(PromptArms(model, "1+1=?\n", float), rounds=1)  # and no warning
    narrow = load_model("tiny-llama", dtype, param_dtype=dtype)
    assert narrow.params["embedding"][...].dtype == jnp.dtype(dtype)
    arms = PromptArms(narrow, "1+1=?\n", float)
    with pytest.warns(ModelWarning, match=rf"{dtype} weights: a step of 1e-06 moves \d\.\d% of them"):
        FineTune(narrow, max_tokens=8, learning_rate=1e-6).bind(arms, rounds=1)
    with pytest.warns(ModelWarning, match=f"{dtype} weights: small steps are rounded away"):
        FineTune(narrow, max_tokens=8, optimizer="sgd", learning_rate=0.1).bind(arms, rounds=1)
