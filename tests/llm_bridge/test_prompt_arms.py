"""A prompt as an arm set: rewards are the verifier's, bad ones and bad prompts are refused by name."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bandit_rft.contract import ArmSet
from bandit_rft.errors import InputError
from llm_bridge.bandits.question_arms import PromptArms
from llm_bridge.sampling.generate import Rollouts
from tests.llm_bridge import toy


@pytest.fixture(scope="module")
def model():
    return toy.model()


def said(*text: str) -> Rollouts:
    rows = len(text)
    return Rollouts(
        tokens=np.zeros((rows, 2), np.int32),
        lengths=np.ones(rows, np.int32),
        log_probs=np.zeros((rows, 2), np.float32),
        text=list(text),
        truncated=np.zeros(rows, bool),
        prompt_lengths=np.full(rows, 5, np.int32),
    )


def count_of_a(text):
    return text.count("a") / 2


def test_rewards_are_the_verifiers_in_order(model):
    arms = PromptArms(model, "hello", count_of_a)
    rewards = arms.pull(jax.random.key(0), said("a", "b", "aa"))
    assert rewards.dtype == jnp.float32
    np.testing.assert_array_equal(rewards, [0.5, 0.0, 1.0])


def test_it_is_an_arm_set_without_a_known_optimum(model):
    arms = PromptArms(model, "hello", count_of_a)
    assert isinstance(arms, ArmSet)
    assert not arms.jittable
    assert arms.best_mean is None
    assert arms.mean(said("a")) is None
    np.testing.assert_array_equal(arms.prompt_tokens, model.encode("hello"))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), None, "right"])
def test_a_reward_that_is_no_finite_number_names_verifier_and_rollout(model, bad):
    def careless(text):
        return bad if text == "b" else 1.0

    arms = PromptArms(model, "hello", careless)
    with pytest.raises(InputError, match=r"careless.*rollout 1"):
        arms.pull(jax.random.key(0), said("a", "b"))


@pytest.mark.parametrize("prompt", ["", "  ", []])
def test_an_empty_prompt_is_refused_at_construction(model, prompt):
    with pytest.raises(InputError, match="empty"):
        PromptArms(model, prompt, count_of_a)


def test_a_prompt_must_leave_room_for_the_response(model):
    """Context 64: a prompt of 60 leaves room for 4 tokens, not for 5; a prompt of 64 for none."""
    arms = PromptArms(model, "a" * 60, count_of_a)
    arms.check_fits(4)
    with pytest.raises(InputError, match=r"60 tokens.*64"):
        arms.check_fits(5)
    with pytest.raises(InputError, match="64"):
        PromptArms(model, "a" * 64, count_of_a)
    with pytest.raises(InputError, match="max_tokens is 0"):
        arms.check_fits(0)


def test_a_verifier_must_be_callable(model):
    with pytest.raises(InputError, match="function from response text"):
        PromptArms(model, "hello", "gsm8k")  # pyright: ignore[reportArgumentType]
