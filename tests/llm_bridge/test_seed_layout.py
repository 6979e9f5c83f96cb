"""A state of several seeds is read back in either layout, whichever its checkpoint has: a run changes its devices."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from bandit_rft.errors import InputError
from bandit_rft.runs import RunFolder
from llm_bridge.training import checkpoints
from llm_bridge.training.recorder import RunRecorder
from llm_bridge.training.state import FineTuneState

SEEDS = 3


def state_of(seed: int, width: int = 4) -> FineTuneState:
    generator = np.random.default_rng(seed)
    params = {"w": jnp.asarray(generator.normal(size=(2, width)), jnp.bfloat16), "none": jnp.zeros((0, 2))}
    return FineTuneState(
        params=params,
        opt_state=optax.adam(0.1).init(jax.tree.map(lambda leaf: leaf + 1, params)),
        round=jnp.int32(7),
        updates=jnp.int32(seed),
        metrics={"loss": jnp.float32(seed)},
        key_data=jnp.asarray([seed, 1], jnp.uint32),
    )


def together(states: tuple[FineTuneState, ...]) -> FineTuneState:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)


def same(found: object, wanted: object) -> None:
    assert jax.tree.structure(found) == jax.tree.structure(wanted)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        assert isinstance(one, jax.Array)
        assert (one.dtype, one.shape, one.sharding) == (other.dtype, other.shape, other.sharding)
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("stacked", [True, False])
def test_each_layout_is_read_into_the_other(tmp_path: Path, stacked: bool) -> None:
    """Catches seeds that change places, a refusal of a run that was begun on one device and goes on on a mesh, and an
    optimiser's state that is lost or made up where a finished run's checkpoint has none."""
    apart, other = tuple(map(state_of, range(SEEDS))), tuple(map(state_of, range(5, 5 + SEEDS)))
    saved, wanted = (together(apart), apart) if stacked else (apart, together(apart))
    unlike = other if stacked else together(other)
    checkpoints.save(tmp_path, 7, saved)
    found = checkpoints.load_latest(tmp_path, unlike)
    assert found is not None
    same(found[1], wanted)
    checkpoints.reduce(tmp_path, "opt_state")
    like = checkpoints.given_up(tmp_path, jax.tree.map(jnp.copy, unlike))
    found = checkpoints.load_latest(tmp_path, like, finished=7)
    assert found is not None
    reduced = tuple(replace(one, opt_state=own.opt_state) for one, own in zip(apart, other, strict=True))
    same(found[1], reduced if stacked else together(reduced))


def test_another_state_is_refused_in_either_layout(tmp_path: Path) -> None:
    """Of another number of seeds, or of another model. Catches a tuple of two that is read from a stack of three."""
    checkpoints.save(tmp_path / "stacked", 7, together(tuple(map(state_of, range(SEEDS)))))
    checkpoints.save(tmp_path / "apart", 7, tuple(map(state_of, range(SEEDS))))
    two, wide = tuple(map(state_of, range(2))), tuple(state_of(seed, 5) for seed in range(SEEDS))
    for folder, likes in (("stacked", (two, wide)), ("apart", (together(two), together(wide)))):
        for like in likes:
            with pytest.raises(InputError, match="choose another folder"):
                checkpoints.load_latest(tmp_path / folder, like)


def test_records_have_the_counts_that_the_loop_has(tmp_path: Path) -> None:
    """Where a run goes on on a mesh, Python computes the rewards that the device computed, and counts what fails.
    Catches records that the loop cannot join, and lines that lack what the first one has."""
    metrics = {"loss": np.ones((2, 3)), "verifier_timeouts": np.ones((2, 3))}
    with RunFolder.claim(tmp_path / "run", {}) as folder:
        for counts in ({}, {"verifier_timeouts": 5, "verifier_crashes": 6}):
            arms = SimpleNamespace(counts=lambda counts=counts: counts)
            recorder = RunRecorder(folder=folder, rounds=9, seeds=2, checkpoint_every=1, evaluators={}, arms=arms)
            found = recorder._as_counted_here({"rewards": np.zeros((2, 3, 4)), "metrics": metrics})["metrics"]
            assert found.keys() == {"loss", *counts}
            assert recorder._uncounted == ([] if counts else ["verifier_timeouts"])
    np.testing.assert_array_equal(found["verifier_timeouts"], metrics["verifier_timeouts"])
    np.testing.assert_array_equal(found["verifier_crashes"], np.zeros((2, 3)))
