"""Several questions as an arm set: who is asked, who is scored by which verifier, and which questions a round draws."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest

from bandit_rft.contract import ArmSet
from bandit_rft.errors import InputError
from llm_bridge.bandits.question_arms import PromptArms, QuestionArms, drawn
from tests.llm_bridge import toy


@pytest.fixture(scope="module")
def model():
    return toy.model(spread=4.0, layers=1)


def says(answer):
    return lambda text: float(text == answer)


@pytest.fixture(scope="module")
def arms(model):
    return QuestionArms(
        model, [SimpleNamespace(prompt=p, answer=a) for p, a in (("ab", "x"), ("c", "y"), ("defg", "z"))], says
    )


def test_each_row_answers_its_own_question(model, arms):
    """Log-probabilities as the model gives them for that prompt alone; catches rows and prompts out of step."""
    rollouts = arms.generate(np.array([2, 0, 0]), max_tokens=4, key=jax.random.key(0), temperature=1.0)
    np.testing.assert_array_equal(rollouts.questions, [2, 0, 0])
    np.testing.assert_array_equal(rollouts.prompt_lengths, [4, 2, 2])
    for row, prompt in enumerate(("defg", "ab", "ab")):
        want = model.log_probs(prompt, rollouts)[row]
        np.testing.assert_allclose(rollouts.log_probs[row], want, atol=2e-5)


def test_one_question_is_sampled_as_prompt_arms_sample_it(model, arms):
    """The shared prompt's fast path, to the bit."""
    settings = {"max_tokens": 4, "key": jax.random.key(3), "temperature": 1.0}
    one = PromptArms(model, "defg", says("z")).generate(np.zeros(5, np.int32), **settings)
    several = arms.generate(np.full(5, 2), **settings)
    np.testing.assert_array_equal(one.tokens, several.tokens)
    np.testing.assert_array_equal(one.log_probs, several.log_probs)


def test_batches_are_joined_and_differ(arms):
    """Each row draws with a key of its own: equal rows in two batches must not be copies."""
    settings = {"max_tokens": 6, "key": jax.random.key(3), "temperature": 1.0}
    rollouts = arms.generate(np.full(6, 2), batch=4, **settings)
    assert rollouts.tokens.shape == (6, 6)
    assert len(rollouts.text) == 6
    assert not np.array_equal(rollouts.tokens[:2], rollouts.tokens[4:])
    whole = arms.generate(np.full(6, 2), **settings)
    np.testing.assert_array_equal(rollouts.tokens, whole.tokens)


def test_rewards_are_each_questions_own(arms):
    rollouts = SimpleNamespace(text=["z", "x", "z", "y"], questions=np.array([2, 0, 0, 1]))
    np.testing.assert_array_equal(arms.pull(jax.random.key(0), rollouts), [1, 1, 0, 1])
    assert isinstance(arms, ArmSet)
    assert not arms.jittable
    assert arms.best_mean is None


def test_an_epoch_asks_every_question_once():
    """Seven questions, two a round: three rounds an epoch, six different ones; the order is each epoch's own."""
    key = jax.random.key(5)
    rounds = [drawn(key, index, 7, 2) for index in range(9)]
    epochs = [np.concatenate(rounds[start : start + 3]) for start in (0, 3, 6)]
    for epoch in epochs:
        assert len(set(epoch.tolist())) == 6
        assert set(epoch.tolist()) <= set(range(7))
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert not np.array_equal(
        np.concatenate(rounds), np.concatenate([drawn(jax.random.key(6), i, 7, 2) for i in range(9)])
    )
    np.testing.assert_array_equal(drawn(key, 4, 7, 2), rounds[4])
    assert sorted(drawn(key, 3, 5, 5).tolist()) == list(range(5))


def test_every_question_is_drawn_equally_often():
    """1,000 rounds of two from five: each question 400 times but for the epochs that leave it out (± 5 errors)."""
    counts = np.bincount(np.concatenate([drawn(jax.random.key(1), i, 5, 2) for i in range(1000)]), minlength=5)
    assert counts.sum() == 2000
    np.testing.assert_allclose(counts, 400, atol=5 * np.sqrt(500 * 0.8 * 0.2))


def test_questions_that_cannot_be_asked_are_refused(model):
    with pytest.raises(InputError, match="no question"):
        QuestionArms(model, [], says)
    with pytest.raises(InputError, match="Question 1 of 2"):
        QuestionArms(model, [SimpleNamespace(prompt=p, answer="x") for p in ("a", "a" * 64)], says)
