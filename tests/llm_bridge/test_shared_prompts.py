"""Prompts that are read once for all their rows, against one copy a row and against every row by itself."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from llm_bridge import load_model
from llm_bridge.bandits.question_arms import QuestionArms
from llm_bridge.tiny import vocabulary
from llm_bridge.training import learned_rows, policy_gradient
from llm_bridge.training.learned_rows import Rows
from llm_bridge.training.learner import FineTune
from tests.llm_bridge import toy
from tests.llm_bridge.updates import PLAIN

PROMPTS = tuple(np.asarray(vocabulary.encode(text), np.int32) for text in ("188+690=?\n", "7+5=?\n", "40+2=?\n"))
QUESTIONS = np.asarray([2, 0, 1, 0, 2, 0, 1])
NUMBERS = {
    name: jnp.float32(value)
    for name, value in {
        "clip_low": 0.2,
        "clip_high": 0.2,
        "dual_clip": 0.0,
        "kl_coefficient": 0.1,
        "entropy_coefficient": 0.01,
        "temperature": 0.9,
    }.items()
}


def copies(questions):
    """The layout without sharing: each row with its own copy of its prompt."""
    lengths = np.asarray([len(PROMPTS[question]) for question in questions], np.int32)
    padded = np.zeros((len(questions), lengths.max()), np.int32)
    for row, question in enumerate(questions):
        padded[row, : lengths[row]] = PROMPTS[question]
    return {"prompt": jnp.asarray(padded), "prompt_lengths": jnp.asarray(lengths)}


@pytest.mark.parametrize(("family", "remat"), [("llama", False), ("qwen2", True), ("olmo2", False), ("llama", True)])
def test_loss_and_gradient_are_those_of_one_copy_a_row(family, remat):
    """Log-probabilities, the loss with its KL and entropy terms, and every weight's gradient, at prompts of unequal
    length in no order, one of four only filling the shape. Catches a row that reads another's prompt or length, and a
    gradient that one row of a prompt gives and the others do not."""
    model = load_model(f"tiny-{family}")
    shared = learned_rows.prompt_batch(PROMPTS, QUESTIONS)
    assert shared["prompt"].shape == (4, 32)
    assert shared["owners"].tolist() == QUESTIONS.tolist()
    rng = np.random.default_rng(0)
    rows, width = len(QUESTIONS), 9
    tokens = jnp.asarray(rng.integers(3, 60, (rows, width)), jnp.int32)
    lengths = jnp.asarray(rng.integers(1, width + 1, rows), jnp.int32)
    temperature = NUMBERS["temperature"]

    def scores(params, batch):
        return policy_gradient.token_log_probs(
            params, **batch, tokens=tokens, lengths=lengths, temperature=temperature, graphdef=model.graphdef
        )

    apart = copies(QUESTIONS)
    old = scores(model.params, apart)
    np.testing.assert_allclose(scores(model.params, shared), old, atol=2e-5)

    policy = jax.tree.map(lambda leaf: leaf * 1.02, model.params)
    weights = jnp.where(jnp.arange(width) < lengths[:, None], 1 / rows, 0.0)
    objective = policy_gradient.Objective(clipped=True, dual_clipped=False, kl="k3", remat=remat, entropy=True)
    found, wanted = (
        policy_gradient.loss_and_gradient(
            policy,
            **batch,
            tokens=tokens,
            lengths=lengths,
            weights=weights,
            signal=jnp.linspace(-1.0, 2.0, rows),
            old_log_probs=scores(policy, apart),
            ref_log_probs=old,
            fresh=jnp.ones(rows, bool),
            numbers=NUMBERS,
            graphdef=model.graphdef,
            objective=objective,
        )
        for batch in (shared, apart)
    )
    np.testing.assert_allclose(found[0]["loss"], wanted[0]["loss"], rtol=1e-5)
    assert abs(float(wanted[0]["kl"])) > 1e-3
    for one, other in zip(*(jax.tree.leaves(both[1]) for both in (found, wanted)), strict=True):
        largest = float(jnp.max(jnp.abs(other)))
        assert largest > 0
        # Sums in another order: on some processors one number of the largest array is off by 2.4e-5.
        np.testing.assert_allclose(one, other, rtol=0, atol=5e-5 * largest)


def rows_of(questions, lengths):
    """Responses of these lengths, with nothing else in them."""
    zeros = np.zeros((len(lengths), 64), np.float32)
    return Rows(
        questions=np.asarray(questions, np.int32),
        tokens=zeros.astype(np.int32),
        lengths=np.asarray(lengths, np.int32),
        log_probs=zeros,
        ref_log_probs=None,
        signal=np.ones(len(lengths), np.float32),
    )


def test_micro_batches_are_cut_where_fewer_tokens_are_computed():
    """Long prompts keep their rows together, short ones leave the rows in the order of their lengths; every row is in
    one micro-batch once. Catches an order that reads every prompt in every micro-batch, or pads all to the longest."""
    questions, lengths = [0, 1, 0, 1], [64, 16, 16, 64]
    rows, every = rows_of(questions, lengths), np.arange(4)

    def cut(prompt_length):
        prompts = [np.ones(prompt_length, np.int32)] * 2
        return learned_rows.padded_batches(rows, every, prompts, size=2, widest=64)

    by_length, by_question = cut(32), cut(256)
    assert [(places.tolist(), real, width) for places, real, width in by_length] == [([1, 2], 2, 32), ([0, 3], 2, 64)]
    assert [(places.tolist(), real, width) for places, real, width in by_question] == [([2, 0], 2, 64), ([1, 3], 2, 64)]
    assert learned_rows.padded_batches(rows, every[:0], PROMPTS, size=2, widest=64) == []


def test_prompts_held_are_a_power_of_two_a_lone_one_or_one_a_row():
    """Which bounds the compilations. Catches a lone prompt copied to its rows, and prompts that no row reads."""
    for questions, held in (([1], 1), ([1, 1, 1], 1), ([0, 1], 2), ([0, 1, 2, 1], 4), ([0, 1, 2] * 4, 4), ([2] * 8, 1)):
        batch = learned_rows.prompt_batch(PROMPTS, np.asarray(questions))
        assert batch["prompt"].shape == ((32,) if held == 1 else (held, 32))
        assert (batch["owners"] is None) == (held in (1, len(questions)))
    only = learned_rows.prompt_batch(PROMPTS[:1], np.zeros(5, np.int32))
    assert only["prompt"].shape == (16,)
    np.testing.assert_array_equal(only["prompt"][: len(PROMPTS[0])], PROMPTS[0])
    assert only["prompt_lengths"] == len(PROMPTS[0])


@pytest.fixture(scope="module")
def arms():
    examples = [SimpleNamespace(prompt=p, answer="abc") for p in ("hello", "a", "abcdefgh")]
    return QuestionArms(toy.model(spread=4.0, layers=1), examples, lambda answer: lambda text: float(text[:1] < "p"))


def rounds(arms, monkeypatch, **settings):
    """The weights after two rounds, and the shapes of prompts and tokens of every gradient taken."""
    bound = FineTune(arms.model, **(PLAIN | {"prompts": 2, "rollouts": 3, "kl_coefficient": 0.1} | settings)).bind(
        arms, rounds=4
    )
    shapes, whole = [], policy_gradient.loss_and_gradient

    def spy(*arguments, **named):
        shapes.append((named["prompt"].shape, named["tokens"].shape[0]))
        return whole(*arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(policy_gradient, "loss_and_gradient", spy)
        state = bound.init(jax.random.key(0))
        for index, questions in enumerate(((2, 0), (1, 2))):
            rollouts = arms.generate(
                np.repeat(questions, 3), max_tokens=PLAIN["max_tokens"], key=jax.random.key(index), temperature=1.0
            )
            state = bound.update(state, rollouts, jnp.asarray([1.0, 0.0, 2.0, 0.5, 1.0, 0.0], jnp.float32))
    return state, shapes


@pytest.mark.parametrize(("size", "settings"), [(None, {"remat": True}), (4, {"mini_batches": 3})])
def test_a_round_is_that_of_every_row_by_itself(arms, monkeypatch, size, settings):
    """Weights and metrics after two rounds with a KL term and replay, against micro-batches of one row, which read one
    prompt each. Catches rows that are lost, doubled or told of another's signal when they are ordered by question."""
    settings = {"replay": 1, "learning_rate": 0.02} | settings
    wanted, alone = rounds(arms, monkeypatch, micro_batch=1, **settings)
    assert {prompt for prompt, _ in alone} == {(32,)}
    found, shapes = rounds(arms, monkeypatch, micro_batch=size, **settings)
    assert max(map(len, (prompt for prompt, _ in shapes))) == 2
    if size is None:
        assert [prompt for prompt, _ in shapes] == [(2, 32), (4, 32)]
    leaves = map(jax.tree.leaves, (found.params, wanted.params, arms.model.params))
    for one, other, before in zip(*leaves, strict=True):
        moved = float(jnp.max(jnp.abs(other - before)))
        assert moved > 1e-4
        np.testing.assert_allclose(one, other, rtol=0, atol=2e-4 * moved + 3e-7)
    for name, value in wanted.metrics.items():
        np.testing.assert_allclose(found.metrics[name], value, rtol=1e-4, atol=1e-6, err_msg=name)
