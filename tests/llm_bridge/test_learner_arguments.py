"""`FineTune`'s arguments of a wrong kind are refused by name, and numbers of any library are recorded as numbers."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from bandit_rft.errors import InputError
from llm_bridge import FineTune, LanguageModel, load_model
from llm_bridge.training.description import settings_of


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return load_model("tiny-llama")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"rollouts": "2"}, "rollouts = '2': give a whole number of at least 1"),
        ({"rollouts": 1.5}, "rollouts = 1.5: give a whole number"),
        ({"rollouts": None}, "rollouts = None"),
        ({"max_tokens": 4.5}, "max_tokens = 4.5: give a whole number of at least 1, or None for what fits"),
        ({"max_tokens": float("nan")}, "max_tokens = nan"),
        ({"learning_rate": "1e-3"}, "learning_rate = '1e-3': give a number of at least 0, or an optax schedule"),
        ({"learning_rate": float("inf")}, "learning_rate = inf: give a number of at least 0"),
        ({"optimizer": 5}, "optimizer = 5: give 'adamw'"),
        ({"clip": (0.1,)}, r"clip = \(0.1,\): give a number, two as \(low, high\), or None"),
        ({"clip": "0.2"}, "clip = '0.2'"),
        ({"betas": (0.9,)}, "betas = .*: give two numbers"),
        ({"betas": (1.0, 0.9)}, "betas = .* below 1"),
        ({"reward_wrong": "x"}, "reward_wrong = 'x': give a finite number"),
        ({"remat": "yes"}, "remat = 'yes': give True or False"),
        ({"temperature": float("inf")}, "temperature = inf"),
        ({"adam_eps": -1e-8}, "adam_eps = -1e-08: give a number of at least 1.2e-38"),
        # Of these the first step made NaN of every weight without a gradient, or of all.
        ({"adam_eps": 0}, "adam_eps = 0.0: give a number of at least 1.2e-38"),
        ({"betas": (0.9, 1 - 1e-9)}, "betas = .* below 1 - 6e-8"),
        ({"gradient_clip": float("inf")}, "gradient_clip = inf: give a number above 0, or None"),
        ({"gradient_clip": 1e39}, "gradient_clip = 1e.39: give a number above 0, or None"),
        ({"gradient_clip": "none"}, "gradient_clip = 'none': give a number above 0, or None"),
        ({"optimizer": "sgd", "step_over_kappa": "0.5"}, "step_over_kappa = '0.5': give a number"),
    ],
)
def test_another_kind_is_one_sentence(model: LanguageModel, settings: dict[str, Any], words: str) -> None:
    """Catches a TypeError of ours, and a value that is taken and means something else."""
    with pytest.raises(InputError, match=f"FineTune has {words}"):
        FineTune(model, **settings)


def test_numbers_of_any_library_are_recorded_as_numbers(model: LanguageModel) -> None:
    """Catches config.json that says "numpy:int64" where it should say 2, of which no later change is noticed."""
    given: dict[str, Any] = {
        "rollouts": np.int64(2),
        "prompts": jnp.int32(3),
        "learning_rate": np.float32(0.5),
        "kl_coefficient": jnp.float32(0.25),
        "max_tokens": 8.0,
        "window": np.int32(6),
        "ddof": np.float32(0.0),
        "remat": np.bool_(True),
        "clip": [0.1, np.float64(0.3)],
    }
    found = settings_of(FineTune(model, signal="grpo", **given))
    wanted = {"rollouts": 2, "prompts_per_round": 3, "learning_rate": 0.5, "kl_coefficient": 0.25, "max_tokens": 8}
    wanted |= {"window": 6, "ddof": 0, "remat": True, "clip": 0.1, "clip_high": 0.3}
    assert {name: found[name] for name in wanted} == wanted
    assert {type(found[name]) for name in wanted} == {int, float, bool}
    for name, signal in (("window", "grpo"), ("k", "pass_at_k")):  # a float here gave arrays of 2.0 rows
        whole = getattr(FineTune(model, signal=signal, rollouts=2, **{name: 2.0}), name)
        assert (type(whole), whole) == (int, 2)


@pytest.mark.parametrize(
    ("signal", "said"),
    [
        (lambda rewards: rewards.mean(), r"gives float32 \[\] for 3 rewards: make it return 3 numbers"),
        (lambda rewards: jnp.concatenate([rewards, rewards]), r"gives float32 \[6\] for 3 rewards"),
        (lambda rewards: np.asarray(rewards) - 0.5, r"raised TracerArrayConversionError .* use jax.numpy in it"),
        (lambda rewards, scale: rewards * scale, "raised TypeError on 3 rewards"),
        (lambda rewards: [rewards], "gives a list: make it return an array of 3 numbers"),
        (lambda rewards: rewards.astype(jnp.complex64), "gives complex64"),
    ],
)
def test_a_signal_that_gives_no_number_for_each_reward_is_refused(model: LanguageModel, signal: Any, said: str) -> None:
    """Catches runs that learn from the first of too many signals, or from the last of too few, as clamped places give
    it; and tracebacks of those that cannot be compiled."""
    with pytest.raises(InputError, match=said):
        FineTune(model, signal=signal, rollouts=2, baseline_rollouts=1)
    assert FineTune(model, signal=lambda rewards: rewards > 0, rollouts=2).signal is not None  # it is cast
