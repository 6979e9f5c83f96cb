"""The gradient's bound against optax's own."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from llm_bridge.training.gradient_clip import clip_by_global_norm


@pytest.mark.parametrize("size", [1e-3, 0.9, 1.0, 7.0, 1e6])
def test_the_update_is_optaxs(size: float) -> None:
    """Catches a norm taken leaf by leaf, a bound applied the wrong way round, a small gradient that is enlarged."""
    rng = np.random.default_rng(0)
    raw = {"a": rng.normal(size=(5, 7)), "b": [rng.normal(size=(3,))]}
    norm = np.sqrt(sum((leaf**2).sum() for leaf in jax.tree.leaves(raw)))
    gradient = jax.tree.map(lambda leaf: jnp.asarray(leaf * size / norm, jnp.float32), raw)
    found, wanted = (make(2.0).update(gradient, optax.EmptyState())[0] for make in (clip_by_global_norm, optax_clip))
    for one, other, before in zip(*map(jax.tree.leaves, (found, wanted, gradient)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)
        if size < 2:
            np.testing.assert_array_equal(one, before)


def optax_clip(most: float) -> optax.GradientTransformation:
    with jax.numpy_dtype_promotion("standard"):
        return optax.clip_by_global_norm(most)


def test_what_is_not_finite_stays_so() -> None:
    """A broken gradient must not be clipped into an ordinary step."""
    for bad in (np.nan, np.inf):
        update, _ = clip_by_global_norm(1.0).update({"a": jnp.asarray([1.0, bad])}, optax.EmptyState())
        assert not np.isfinite(np.asarray(update["a"])[1])
