"""Samples do not depend on what is sampled beside them: evaluations, measurements and rounds at any batch."""

import dataclasses
import json
import sys

import jax
import numpy as np
import pytest

from bandit_rft.cli import main
from bandit_rft.errors import InputError
from bandit_rft.keys import as_key, row_keys
from llm_bridge import FineTune, PromptArms, QuestionArms, load_model
from llm_bridge.data import datasets
from llm_bridge.measuring import scan
from llm_bridge.measuring.evaluate import draw_keys, evaluate
from llm_bridge.measuring.measure import measure

KEY = as_key(11)


@pytest.fixture(scope="module")
def model():
    return load_model("tiny-llama")


@pytest.fixture(scope="module")
def examples():
    data = datasets.load("tiny-addition", "test")
    return [data.example(place) for place in range(12)]


def listening(model):
    """The model, and the token ids and responses that it is asked for, in order."""
    heard = []

    class Listening(type(model)):
        def sample_waiting(self, prompts, row_keys, **rest):
            for rows, found in super().sample_waiting(prompts, row_keys, **rest):
                heard.extend(
                    (tuple(prompts[row]), tuple(row_keys[row]), tuple(tokens[:length]))
                    for row, tokens, length in zip(rows, found.tokens, found.lengths, strict=True)
                )
                yield rows, found

    fields = {field.name: getattr(model, field.name) for field in dataclasses.fields(model)}
    return Listening(**fields), heard


def responses(model, examples, **settings):
    """{(prompt, row key): response} of an evaluation, and the counts."""
    ears, heard = listening(model)
    found = evaluate(ears, examples, **({"key": 11, "max_tokens": 24, "verifier": "gsm8k-strict"} | settings))
    assert len({key for _, key, _ in heard}) == len(heard)
    return {(prompt, key): response for prompt, key, response in heard}, found


def test_an_evaluation_is_the_same_at_every_batch(model, examples):
    """Each batch had a key of its own: the same untrained model scored 24 or 31 of 100 by the batch alone. The random
    numbers are the same for certain; the tokens but where rounding moves a draw (0 of 2,000 between batches of 3, 32,
    128 and 500 when this was written)."""
    expected, counted = responses(model, examples, samples=3, batch=32)
    assert len(expected) == 36
    for batch in (1, 3, 128):
        found, counts = responses(model, examples, samples=3, batch=batch)
        assert found == expected
        np.testing.assert_array_equal(counts.per_question, counted.per_question)


def test_an_evaluation_is_the_same_in_every_order_and_company(model, examples):
    """A question's draws must not change with the questions beside it, their order, or the number of samples."""
    expected, counted = responses(model, examples, samples=3, batch=5)
    backwards, counts = responses(model, examples[::-1], samples=3, batch=5)
    assert backwards == expected
    np.testing.assert_array_equal(counts.per_question[::-1], counted.per_question)
    some, counts = responses(model, examples[4:7], samples=3, batch=5)
    assert some.items() <= expected.items()
    np.testing.assert_array_equal(counts.per_question, counted.per_question[4:7])
    more, _ = responses(model, examples[4:7], samples=5, batch=32)
    assert some.items() <= more.items()


def test_a_question_given_twice_is_drawn_twice():
    """Keyed by its tokens alone, a question that is repeated to get more samples would give copies of one."""
    prompts = [np.asarray([1, 2]), np.asarray([3]), np.asarray([1, 2])]
    keys = draw_keys(KEY, prompts, 2)
    assert len({tuple(key) for key in keys.reshape(-1, 2)}) == 6
    np.testing.assert_array_equal(keys[:2], draw_keys(KEY, prompts[:2], 2))
    assert len({tuple(key) for key in np.concatenate([keys, draw_keys(as_key(12), prompts, 2)]).reshape(-1, 2)}) == 12


@pytest.mark.parametrize("batch", [1, 3, 128])
def test_a_rounds_responses_are_the_same_at_every_generation_batch(model, examples, batch):
    """--generation-batch, which only bounds memory, changed every training sample."""
    several = QuestionArms(model, examples[:4], "gsm8k-strict")
    one = PromptArms(model, examples[0].prompt, lambda text: 0.0)
    asked = np.repeat(np.arange(4), 2)
    for arms, questions in ((several, asked), (one, np.zeros(8, np.int64))):
        whole = arms.generate(questions, max_tokens=16, key=KEY, temperature=1.0)
        parts = arms.generate(questions, max_tokens=16, key=KEY, temperature=1.0, batch=batch)
        np.testing.assert_array_equal(parts.tokens, whole.tokens)
        np.testing.assert_array_equal(parts.lengths, whole.lengths)
        assert parts.text == whole.text
        np.testing.assert_allclose(parts.log_probs, whole.log_probs, atol=1e-5)
    bound = FineTune(model, prompts=2, rollouts=3, max_tokens=16, generation_batch=batch).bind(several)
    state = bound.init(0)
    plain = FineTune(model, prompts=2, rollouts=3, max_tokens=16).bind(several)
    np.testing.assert_array_equal(bound.act(KEY, state)[0].tokens, plain.act(KEY, state)[0].tokens)


def test_a_scan_and_a_measurement_are_the_same_at_every_batch(model, examples):
    """Both folded the place at which a batch begins into their key."""
    rows = [
        next(scan.scan(model, [(5, examples[5])], key=2, samples=8, max_tokens=16, batch=batch)) for batch in (3, 8, 32)
    ]
    assert rows[0] == rows[1] == rows[2]
    found = [
        measure(model, examples[0].prompt, lambda text: float(len(text) % 2), key=2, max_tokens=8, rollouts=24, batch=n)
        for n in (3, 8, 64)
    ]
    for other in found[1:]:
        assert (other.successes, other.distinct, other.mean_length) == (
            found[0].successes,
            found[0].distinct,
            found[0].mean_length,
        )
        assert other.kappa == pytest.approx(found[0].kappa, rel=1e-4, nan_ok=True)


def test_a_row_is_what_generate_gives_it(model, examples):
    """`generate` and `generate_many` are rows with the keys fold_in(key, 0), fold_in(key, 1), …"""
    tokens = [np.asarray(model.encode(example.prompt)) for example in examples[:3]]
    keys = row_keys(KEY, np.arange(3))
    many = model.generate_many([example.prompt for example in examples[:3]], max_tokens=16, key=11)
    np.testing.assert_array_equal(many.tokens, model.sample_rows(tokens, keys, max_tokens=16).tokens)
    lone = model.generate(examples[2].prompt, rollouts=3, max_tokens=16, key=np.uint32(11))
    np.testing.assert_array_equal(lone.tokens[2], many.tokens[2])


@pytest.mark.parametrize("key", [True, -1, 2**63, 1.5, np.zeros(3, np.uint32), jax.random.split(jax.random.key(0), 2)])
def test_what_is_no_key_is_one_sentence_here_too(model, examples, key):
    prompt, one = examples[0].prompt, PromptArms(model, examples[0].prompt, lambda text: 0.0)
    bound = FineTune(model, max_tokens=4).bind(one)
    calls = [
        lambda: model.generate(prompt, rollouts=1, max_tokens=2, key=key),
        lambda: model.generate_many([prompt], max_tokens=2, key=key),
        lambda: evaluate(model, examples[:1], key=key, max_tokens=2),
        lambda: measure(model, prompt, lambda text: 0.0, key=key, max_tokens=2, rollouts=1),
        lambda: next(scan.scan(model, [(0, examples[0])], key=key, samples=1, max_tokens=2)),
        lambda: one.generate(np.zeros(1, np.int64), max_tokens=2, key=key, temperature=1.0),
        lambda: one.pull(key, None),
        lambda: bound.init(key),
    ]
    for call in calls:
        with pytest.raises(InputError, match=r"^key is .*give [^\n]*$"):
            call()


def test_many_seeds_evaluate_with_the_batch_that_config_json_names(tmp_path, monkeypatch):
    """With many seeds the evaluation batch was 128 at least, where config.json said another."""
    batches = []

    def noted(*arguments, batch, **rest):
        batches.append(batch)
        return evaluate(*arguments, batch=batch, **rest)

    monkeypatch.setattr(sys.modules["llm_bridge.measuring.evaluate"], "evaluate", noted)
    command = ["finetune", "--model", "tiny-llama", "--data", "tiny-addition", "--index", "3", "--max-tokens", "16"]
    command += ["--seeds", "2", "--rounds", "1", "--train-samples", "6", "--test-questions", "3"]
    command += ["--evaluation-batch", "5", "--optimizer", "sgd", "--learning-rate", "0.01"]
    command += ["--out", str(tmp_path / "r")]
    assert main(command) == 0
    assert json.loads((tmp_path / "r" / "config.json").read_text())["evaluation_batch"] == 5
    assert set(batches) == {5}
