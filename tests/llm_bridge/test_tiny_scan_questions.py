"""Several questions a round inside the scan loop against the host loop, on an embedded model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bandit_rft import run
from bandit_rft.errors import InputError
from bandit_rft.loop.one_round import INIT_FOLD
from llm_bridge.bandits.question_arms import QuestionArms
from llm_bridge.bandits.token_arms import Responses, TokenQuestionArms
from llm_bridge.data import datasets
from llm_bridge.language_model import load_model
from llm_bridge.tiny import vocabulary
from llm_bridge.tiny.verifier import TokenVerifier
from llm_bridge.training.learner import METRICS, FineTune
from llm_bridge.training.state import weights_of_seed
from tests.llm_bridge.test_tiny_scan import PLAIN, close

QUESTIONS = 5  # and two a round: an epoch of two rounds, one question left out of each


@pytest.fixture(scope="module")
def model():
    return load_model("tiny-llama")


@pytest.fixture(scope="module")
def examples():
    """Of both tasks, so that prompts and answers are of several lengths."""
    additions, stories = (datasets.load(name) for name in ("tiny-addition", "tiny-stories"))
    return [additions.example(0), stories.example(0), additions.example(8), stories.example(1), additions.example(32)]


SETTINGS = {
    "one-prompt": {"learning_rate": 1e-3, "signal": "signed"},
    "two-prompts": {"learning_rate": 1e-3, "prompts": 2, "rollouts": 2, "signal": "rloo"},
    "window": {"learning_rate": 3e-3, "prompts": 2, "rollouts": 2, "signal": "grpo", "window": 5, "reward_wrong": -1.0},
    "batch": {"learning_rate": 3e-3, "prompts": 2, "rollouts": 2, "signal": "grpo", "normalise": "batch"},
    "every-term": {
        "learning_rate": 3e-3,
        "prompts": 3,
        "rollouts": 2,
        "baseline_rollouts": 1,
        "signal": "grpo",
        "reward_wrong": -1.0,
        "clip": 0.2,
        "epochs": 2,
        "kl_coefficient": 0.05,
        "entropy_coefficient": 0.01,
        "aggregation": "token-mean",
    },
}


@pytest.mark.parametrize(
    "name", ["two-prompts", *(pytest.param(name, marks=pytest.mark.slow) for name in SETTINGS if name != "two-prompts")]
)
def test_scan_equals_host_round_by_round(model, examples, name):
    """The same questions, responses, rewards by the text verifier, metrics and weights as the host's learner. Catches
    rows that read another row's prompt, groups that are cut wrongly, and questions in another order."""
    rounds, settings = 7, PLAIN | {"max_tokens": 40} | SETTINGS[name]
    history = run(TokenQuestionArms(model, examples), FineTune(model, **settings), rounds, seeds=2, key=5)
    host_arms = QuestionArms(model, examples, "gsm8k-strict")
    host = FineTune(model, **settings).bind(host_arms, rounds=rounds)
    for seed in range(2):
        seed_key = jax.random.fold_in(jax.random.key(5), seed)
        state = host.init(jax.random.fold_in(seed_key, INIT_FOLD))
        for index in range(rounds):
            act_key, pull_key = jax.random.split(jax.random.fold_in(seed_key, index))
            pulled, _ = host.act(act_key, state)
            rewards = host_arms.pull(pull_key, pulled)
            np.testing.assert_array_equal(rewards, history.rewards[seed, index])
            state = host.update(state, pulled, rewards)
            for metric in METRICS:
                ours, hosts = history.metrics[metric][seed, index], float(state.metrics[metric])
                np.testing.assert_allclose(ours, hosts, rtol=1e-4, atol=2e-5, err_msg=metric)
        close(weights_of_seed(history.final_state, seed), state.params, model.params)
    assert 0 < history.rewards.mean() < 1


def test_each_response_is_held_against_its_own_answer(model, examples):
    """Answers of several lengths, each answered rightly, by another's answer, and by its own with a digit more."""
    arms = TokenQuestionArms(model, examples)
    answers = [example.answer for example in examples]
    assert len({len(answer) for answer in answers}) > 1
    given = [(place, text) for place in range(QUESTIONS) for text in (*answers, answers[place] + "0")]
    ids = [[*vocabulary.encode(f"#### {text}"), vocabulary.EOS] for _, text in given]
    width = max(map(len, ids))
    tokens = jnp.asarray([row + [vocabulary.EOS] * (width - len(row)) for row in ids], jnp.int32)
    lengths = jnp.asarray([len(row) for row in ids], jnp.int32)
    questions = jnp.asarray([place for place, _ in given], jnp.int32)
    log_probs = jnp.zeros(tokens.shape, jnp.float32)
    rewards = arms.pull(
        jax.random.key(0), Responses(tokens, lengths, log_probs, jnp.zeros(len(ids), bool), questions=questions)
    )
    np.testing.assert_array_equal(rewards, [float(text == answers[place]) for place, text in given])
    one_by_one = [
        TokenVerifier(answers[place])(tokens[row], lengths[row]) for row, place in enumerate(questions.tolist())
    ]
    np.testing.assert_array_equal(rewards, one_by_one)


def test_what_does_not_fit_is_refused(model, examples):
    with pytest.raises(InputError, match="at least one"):
        TokenQuestionArms(model, [])
    with pytest.raises(InputError, match="draws 6 prompts a round and there are 5"):
        FineTune(model, **(PLAIN | {"prompts": 6})).bind(TokenQuestionArms(model, examples), rounds=1)
    with pytest.raises(InputError, match="generation_batch"):
        FineTune(model, **(PLAIN | {"prompts": 2, "rollouts": 2, "generation_batch": 3})).bind(
            TokenQuestionArms(model, examples), rounds=1
        )
