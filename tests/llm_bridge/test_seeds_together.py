"""Many seeds at once with a verifier in Python, against the compiled scan and against each seed alone."""

import dataclasses

import jax
import numpy as np
import pytest

import bandit_rft
from llm_bridge.bandits.question_arms import PromptArms, QuestionArms
from llm_bridge.bandits.token_arms import TokenPromptArms
from llm_bridge.language_model import load_model
from llm_bridge.training.learner import FineTune
from llm_bridge.verifiers import GSM8K

PROMPT, ANSWER = "188+690=?\n", "878"  # one carry: right about half of the time
SETTINGS = {
    "max_tokens": 32,
    "optimizer": "sgd",
    "learning_rate": 1e-3,
    "kl_coefficient": 0.0,
    "gradient_clip": None,
    "rollouts": 2,
}


@pytest.fixture(scope="module")
def model():
    return load_model("tiny-llama")


def test_three_seeds_with_a_text_verifier_are_the_compiled_scan_to_the_bit(model):
    """Rewards by Python on the texts of all seeds, against rewards computed on the device: the same rewards, and the
    same weights to the bit. Catches texts given to another seed's or row's verifier, and keys of its own."""
    asked = []

    def right(text: str) -> float:
        asked.append(text)
        return GSM8K(answer=ANSWER, rule="strict")(text)

    learner = FineTune(model, **SETTINGS)
    scanned = bandit_rft.run(TokenPromptArms(model, PROMPT, ANSWER), learner, 6, seeds=3, key=5)
    together = bandit_rft.run(PromptArms(model, PROMPT, right), learner, 6, seeds=3, key=5)
    assert together.rewards.shape == (3, 6, 2)
    assert len(asked) == together.rewards.size
    assert 0 < together.rewards.mean() < 1
    np.testing.assert_array_equal(together.rewards, scanned.rewards)
    for one, other in zip(*map(jax.tree.leaves, (together.final_state, scanned.final_state)), strict=True):
        np.testing.assert_array_equal(one, other)
    apart = dataclasses.replace(learner, generation_batch=1)  # such batches are generated for each seed by itself
    alone = bandit_rft.run(PromptArms(model, PROMPT, right), apart, 6, seeds=3, key=5)
    assert len(alone.final_state) == 3
    np.testing.assert_array_equal(together.rewards, alone.rewards)


def test_several_questions_are_each_scored_by_their_own_verifier_in_every_seed(model):
    """A verifier that knows its question's answer only: a mix-up of questions between seeds would reward the others."""
    examples = [Question("188+690=?\n", "878"), Question("100+200=?\n", "300"), Question("347+285=?\n", "632")]
    arms = QuestionArms(model, examples, "gsm8k-strict")
    learner = FineTune(model, prompts=2, **SETTINGS)
    together = bandit_rft.run(arms, learner, 4, seeds=2, key=1)
    alone = bandit_rft.run(arms, dataclasses.replace(learner, generation_batch=1), 4, seeds=2, key=1)
    assert 0 < together.rewards.mean() < 1
    np.testing.assert_array_equal(together.rewards, alone.rewards)


def test_a_seed_by_itself_is_a_run_of_its_own_to_the_bit(model):
    """With mini-batches and replay. Catches state, keys or memory that one seed shares with another."""
    learner = FineTune(model, **{**SETTINGS, "mini_batches": 2, "replay": 1, "generation_batch": 1})
    verifier = GSM8K(answer=ANSWER, rule="strict")
    both = bandit_rft.run(PromptArms(model, PROMPT, verifier), learner, 3, seeds=2, key=5)
    one = bandit_rft.run(PromptArms(model, PROMPT, verifier), learner, 3, seeds=1, key=5)
    np.testing.assert_array_equal(both.rewards[:1], one.rewards)
    for x, y in zip(*map(jax.tree.leaves, (both.final_state[0], one.final_state)), strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize(
    "settings",
    [
        {"rollouts": 4, "micro_batch": 3, "aggregation": "token-mean", "baseline_rollouts": 1},
        {"rollouts": 4, "micro_batch": 1, "replay": 2, "mini_batches": 2, "epochs": 2, "kl_coefficient": 0.1},
        {"prompts": 2, "rollouts": 3, "micro_batch": 4, "replay": 1, "log_kl": True, "signal": "grpo"},
        pytest.param(
            {"prompts": 2, "rollouts": 2, "mini_batches": 2, "replay": 1, "old_log_probs": "trainer"},
            marks=pytest.mark.slow,
        ),
        pytest.param({"prompts": 2, "rollouts": 4, "signal": "grpo", "window": 9, "replay": 1}, marks=pytest.mark.slow),
        pytest.param(
            {"prompts": 2, "rollouts": 2, "mini_batches": 2, "replay": 1, "old_log_probs": "trainer", "clip": 0.01}
            | {"ratio": "sequence", "truncated_importance": 2.0, "importance_level": "sequence"},
            marks=pytest.mark.slow,
        ),
        {"prompts": 2, "rollouts": 2, "signal": "grpo", "normalise": "batch", "baseline_rollouts": 1},
        {"rollouts": 2, "delay": 2, "clip": None, "truncated_importance": 2.0, "signal": "signed"},
    ],
    ids=["micro-batches", "everything", "questions", "mini-batches", "window", "ratios", "batch", "late"],
)
def test_replay_and_batches_of_many_seeds_are_those_of_each_seed_alone(model, settings):
    """Fixed shapes under vmap against rows that are left out and buckets on the host: rewards, weights and metrics.
    Catches empty or padded rows that count in a denominator or a metric, an order of mini-batches that seeds share,
    a ring that forgets early or late, and rows told of another's question."""
    examples = [Question("188+690=?\n", "878"), Question("100+200=?\n", "300"), Question("347+285=?\n", "632")]
    arms = QuestionArms(model, examples[: 1 if "prompts" not in settings else 3], "gsm8k-strict")
    learner = FineTune(model, **{**SETTINGS, "learning_rate": 0.03, **settings})
    together = bandit_rft.run(arms, learner, 4, seeds=2, key=1)
    alone = bandit_rft.run(arms, dataclasses.replace(learner, generation_batch=1), 4, seeds=2, key=1)
    np.testing.assert_array_equal(together.rewards, alone.rewards)
    assert isinstance(alone.final_state, tuple)
    for seed, state in enumerate(alone.final_state):
        leaves = map(jax.tree.leaves, (together.final_state.params, state.params, model.params))
        for one, other, before in zip(*leaves, strict=True):
            moved = float(np.max(np.abs(np.asarray(other) - np.asarray(before))))
            np.testing.assert_allclose(one[seed], other, rtol=0, atol=2e-3 * moved + 1e-6)
        assert moved > 2e-5
        assert int(together.final_state.updates[seed]) == int(state.updates)
    for name, value in alone.metrics.items():
        np.testing.assert_allclose(together.metrics[name], value, rtol=2e-3, atol=5e-5, err_msg=name)


class Question:
    def __init__(self, prompt, answer):
        self.prompt, self.answer = prompt, answer
