"""Rounds of the fine-tuning learner in a row: resumed, in place, in few traces, learning; and what it refuses."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bandit_rft import run
from bandit_rft.errors import InputError
from llm_bridge.bandits.question_arms import PromptArms
from llm_bridge.training import checkpoints, learned_rows, policy_gradient
from llm_bridge.training import learner as finetune
from llm_bridge.training.learner import FineTune
from tests.llm_bridge import toy
from tests.llm_bridge.updates import (
    MAX_TOKENS,
    early_letter,
    identical,
    learner_and_state,
    sample,
)


@pytest.fixture(scope="module")
def model():
    return toy.model(spread=4.0)


@pytest.fixture(scope="module")
def arms(model):
    return PromptArms(model, "hello", early_letter)


def test_in_place_updates_consume_the_state_but_never_the_model(model, arms):
    before = jax.tree.map(np.array, model.params)
    bound, state = learner_and_state(arms, learning_rate=0.3, donate=True, optimizer="adamw")
    after = bound.update(state, sample(model, 1), jnp.ones(1, jnp.float32))
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state.params))
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves((after.params, model.params)))
    assert identical(before, model.params)


def test_a_loss_that_is_not_finite_is_refused_and_nothing_is_updated(model, arms):
    bound, state = learner_and_state(arms, donate=True)
    poisoned = jax.tree.map(lambda leaf: leaf.at[(0,) * leaf.ndim].set(jnp.nan), state.params)
    state = dataclasses.replace(state, params=poisoned, round=jnp.int32(17))
    with pytest.raises(InputError, match="Round 17"):
        bound.update(state, sample(model, 1), jnp.ones(1, jnp.float32))
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(state.params))


def test_traces_stay_few_as_lengths_and_rewards_vary(model, arms):
    """Lengths bucket to a few widths, and learners with other numbers share the compilation: not one trace per
    round."""
    long = 40
    policy_gradient.loss_and_gradient.clear_cache()
    rollouts = model.generate("hello", rollouts=1, max_tokens=long, key=jax.random.key(2), ignore_eos=True)
    for temperature, clip in ((1.0, 0.2), (0.7, (0.1, 0.3))):
        settings = {"max_tokens": long, "temperature": temperature, "clip": clip}
        bound, state = learner_and_state(arms, **settings)
        for length in (1, 9, 32, 33, 40):
            bound.update(
                state, dataclasses.replace(rollouts, lengths=np.array([length], np.int32)), jnp.ones(1, jnp.float32)
            )
    assert policy_gradient.loss_and_gradient._cache_size() == 2  # widths 32 and 40
    assert [learned_rows.bucket_rows(n, 64) for n in (1, 3, 33, 64)] == [1, 4, 64, 64]
    assert [learned_rows.bucket_rows(n, 6) for n in (3, 5, 6)] == [4, 6, 6]


def _run(bound, arms, state, rounds):
    for index in rounds:
        act_key, pull_key = jax.random.split(jax.random.fold_in(jax.random.key(9), index))
        pulled, _ = bound.act(act_key, state)
        state = bound.update(state, pulled, arms.pull(pull_key, pulled))
    return state


def test_resumed_run_is_bit_identical(arms, tmp_path):
    """Six rounds at a stretch, or three, saved, loaded by a fresh learner, and three more: the same state to the
    bit."""
    settings = {"optimizer": "adamw", "learning_rate": 1e-2, "rollouts": 2, "kl_coefficient": 0.01, "donate": True}
    bound, state = learner_and_state(arms, **settings)
    whole = _run(bound, arms, state, range(6))
    bound, state = learner_and_state(arms, **settings)
    checkpoints.save(tmp_path, 3, _run(bound, arms, state, range(3)))
    bound, state = learner_and_state(arms, **settings)
    loaded = checkpoints.load_latest(tmp_path, state)
    assert loaded is not None
    done, state, _ = loaded
    resumed = _run(bound, arms, state, range(done, 6))
    assert jax.tree.structure(resumed) == jax.tree.structure(whole)
    assert identical(resumed, whole)


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "sgd", "learning_rate": 0.05, "kl_coefficient": 0.0, "gradient_clip": None},
        {"learning_rate": 4e-3, "rollouts": 4, "signal": "grpo"},
    ],
    ids=["minimalist-sgd", "grpo-adamw"],
)
def test_a_model_learns_under_run(model, arms, settings):
    """Pass@1 rises from under .5 to over .9 within 150 rounds of the host loop (fixed key, so no false alarm by
    chance)."""
    history = run(arms, FineTune(model, max_tokens=MAX_TOKENS, **settings), rounds=150, key=0)
    params = history.final_state.params
    before, after = (
        np.mean([early_letter(text) for text in sample(model, 256, seed=77, params=p).text]) for p in (None, params)
    )
    assert before < 0.5
    assert after > 0.9
    assert set(history.metrics) == {*finetune.METRICS, "verifier_timeouts", "verifier_crashes"}
    assert history.metrics["sampler_trainer_gap"][~np.isnan(history.metrics["sampler_trainer_gap"])].max() < 1e-3
    assert np.all(np.isfinite(history.metrics["entropy"]))


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"rollouts": 0}, "rollouts"),
        ({"epochs": 0}, "epochs"),
        ({"micro_batch": 0}, "micro_batch"),
        ({"temperature": 0.0}, "temperature"),
        ({"kl_coefficient": -1.0}, "kl_coefficient"),
        ({"kl": "k9"}, "k9"),
        ({"aggregation": "mean"}, "mean"),
        ({"optimizer": "lion"}, "lion"),
        ({"learning_rate": -1.0}, "learning_rate"),
        ({"gradient_clip": 0.0}, "gradient_clip"),
        ({"dual_clip": 0.5}, "dual_clip"),
        ({"clip": -0.1}, "clip"),
        ({"signal": "best"}, "best"),
    ],
)
def test_settings_out_of_range_are_refused(model, settings, word):
    with pytest.raises(InputError, match=word):
        FineTune(model, **settings)


def test_arms_that_do_not_fit_are_refused_at_bind(model, arms):
    with pytest.raises(InputError, match="context"):
        FineTune(model, max_tokens=60).bind(arms, rounds=1)
    with pytest.raises(InputError, match="PromptArms"):
        FineTune(model).bind(object(), rounds=1)  # pyright: ignore[reportArgumentType]
