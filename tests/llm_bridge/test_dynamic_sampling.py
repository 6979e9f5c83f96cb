"""Prompts that are answered again: the host loop against its definition and against the compiled scan."""

import jax
import numpy as np
import pytest

import bandit_rft
from bandit_rft.errors import InputError
from bandit_rft.keys import Purpose
from bandit_rft.loop.one_round import INIT_FOLD
from llm_bridge.bandits.question_arms import QuestionArms
from llm_bridge.bandits.token_arms import TokenQuestionArms
from llm_bridge.language_model import load_model
from llm_bridge.training.learner import FineTune

SETTINGS = {
    "max_tokens": 32,
    "optimizer": "sgd",
    "learning_rate": 3e-3,
    "kl_coefficient": 0.0,
    "gradient_clip": None,
    "prompts": 2,
    "rollouts": 2,
    "signal": "rloo",
    "dynamic_sampling": 2,
}


class Question:
    def __init__(self, prompt, answer):
        self.prompt, self.answer = prompt, answer


EXAMPLES = [Question("188+690=?\n", "878"), Question("347+285=?\n", "632"), Question("100+200=?\n", "300")]


@pytest.fixture(scope="module")
def model():
    return load_model("tiny-llama")


@pytest.fixture(scope="module")
def on_the_host(model):
    """Two seeds, each by itself, and the texts that the verifiers were asked about."""
    asked = []

    def factory(answer):
        def check(text):
            asked.append(text)
            return float(text.strip().endswith(f"#### {answer}"))

        return check

    arms = QuestionArms(model, EXAMPLES, factory)
    return arms, bandit_rft.run(arms, FineTune(model, **SETTINGS), 4, seeds=2, key=1), len(asked)


def test_the_host_loop_is_the_definition_round_by_round(model, on_the_host):
    """Every draw made whole, of each group the first that is alive or the last of three; weights by the update of these
    responses. Catches a living group drawn again, rows with another row's key, a draw that is left out of the count,
    and text, tokens or rewards of a draw that was replaced.
    """
    arms, history, asked = on_the_host
    bound = FineTune(model, **{**SETTINGS, "dynamic_sampling": 0}).bind(arms, rounds=4)
    assert "pulls" not in bound.metrics(bound.init(jax.random.key(0)))
    pulls, seen = history.metrics["pulls"], set()
    for seed in range(2):
        seed_key = jax.random.fold_in(jax.random.key(1), seed)
        state = bound.init(jax.random.fold_in(seed_key, INIT_FOLD))
        for index in range(4):
            round_key = jax.random.fold_in(seed_key, index)
            further = jax.random.fold_in(round_key, Purpose.FURTHER_DRAW)
            draws = []
            for key in (round_key, *(jax.random.fold_in(further, draw) for draw in (1, 2))):
                rollouts = bound.act(jax.random.split(key)[0], state)[0]
                draws.append((rollouts, np.asarray(arms.pull(key, rollouts))))
            rewards = np.stack([earned for _, earned in draws]).reshape(3, 2, 2)
            alive = np.ptp(rewards, axis=2) > 0
            chosen = np.where(alive.any(axis=0), alive.argmax(axis=0), 2)
            rows = [2 * group + place for group in range(2) for place in range(2)]
            taken = {
                name: np.stack([getattr(draws[chosen[row // 2]][0], name)[row] for row in rows])
                for name in ("tokens", "lengths", "log_probs", "truncated", "entropy", "questions", "prompt_lengths")
            }
            texts = [draws[chosen[row // 2]][0].text[row] for row in rows]
            earned = np.concatenate([rewards[chosen[group], group] for group in range(2)])
            np.testing.assert_array_equal(history.rewards[seed, index], earned)
            assert pulls[seed, index] == 2 * (chosen + 1).sum()
            tokens = sum(
                draws[draw][0].lengths[2 * group : 2 * group + 2].sum()
                for group in range(2)
                for draw in range(chosen[group] + 1)
            )
            assert history.metrics["tokens"][seed, index] == tokens
            kept = type(draws[0][0])(**taken, text=texts)
            state = bound.update(state, kept, jax.numpy.asarray(earned))
            seen |= set(chosen.tolist())
        # Log-probabilities recorded in batches of other sizes differ by rounding.
        for one, other in zip(*map(jax.tree.leaves, (state.params, history.final_state[seed].params)), strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)
    assert seen == {0, 1, 2}
    assert asked == pulls.sum()  # nothing was verified that was not drawn


def test_the_compiled_scan_draws_as_the_host_does(model, on_the_host):
    _, host, _ = on_the_host
    scanned = bandit_rft.run(TokenQuestionArms(model, EXAMPLES), FineTune(model, **SETTINGS), 4, seeds=2, key=1)
    np.testing.assert_array_equal(scanned.rewards, host.rewards)
    for name, values in host.metrics.items():
        if name in scanned.metrics:
            np.testing.assert_allclose(scanned.metrics[name], values, rtol=2e-3, atol=5e-5, err_msg=name)
    np.testing.assert_array_equal(scanned.metrics["pulls"], host.metrics["pulls"])
    np.testing.assert_array_equal(scanned.metrics["tokens"], host.metrics["tokens"])
    for seed, state in enumerate(host.final_state):
        leaves = map(jax.tree.leaves, (scanned.final_state.params, state.params, model.params))
        for one, other, before in zip(*leaves, strict=True):
            moved = float(np.max(np.abs(np.asarray(other) - np.asarray(before))))
            np.testing.assert_allclose(one[seed], other, rtol=0, atol=2e-3 * moved + 1e-6)


def test_one_seed_is_the_first_of_many(model, on_the_host):
    arms, many, _ = on_the_host
    alone = bandit_rft.run(arms, FineTune(model, **SETTINGS), 4, seeds=1, key=1)
    np.testing.assert_array_equal(alone.rewards[0], many.rewards[0])
    for one, other in zip(*map(jax.tree.leaves, (alone.final_state, many.final_state[0])), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"signal": "raw"}, "under 'raw' a group of equal rewards teaches"),
        ({"signal": lambda rewards: rewards}, "under a function"),
        ({"rollouts": 1}, "at least 2 rollouts"),
        ({"signal": "grpo", "window": 8}, "leave out window"),
        ({"dynamic_sampling": -1}, "dynamic_sampling = -1"),
    ],
)
def test_what_cannot_be_drawn_again_is_refused(model, settings, word):
    with pytest.raises(InputError, match=word):
        FineTune(model, **{**SETTINGS, **settings})
