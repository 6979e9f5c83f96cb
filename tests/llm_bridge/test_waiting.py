"""Rows that begin where others have ended: the same tokens as each row alone, in fewer steps and few programs."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bandit_rft.keys import as_key, row_keys
from llm_bridge import LanguageModel, QuestionArms, load_model
from llm_bridge.measuring.evaluate import evaluate
from llm_bridge.measuring.measure import measure
from llm_bridge.sampling import refill, waiting
from llm_bridge.sampling.generate import prepare
from llm_bridge.sampling.rollouts import Rollouts, joined
from tests.llm_bridge import toy

pytestmark = pytest.mark.usefixtures("compiled_quickly")
KEY = as_key(4)
MAX_TOKENS = 24
# One token in ten or so ends a response: lengths from 1 to the limit.
ENDS = {"eos_ids": (0, 5, 9, 17, 23, 31), "spread": 3.0}
WINDOW = {
    "model_type": "gemma3_text",
    "layers": 3,
    "window": 7,
    "local_layers": (True, False, True),
    "query_scalar": 16,
}
PROMPTS = ("abc", "abc", "d", "efghijklmnopq", "rs", "rs", "rs", "abc", "Zw", "aVeryLongOneThatIsNearlyThirtyLong", "d")


@functools.cache
def model_of(kind: str) -> LanguageModel:
    return toy.model(1, **ENDS, **(WINDOW if kind == "window" else {}))


def tokens_of(model: LanguageModel, prompts: tuple[str, ...]) -> list[np.ndarray]:
    return [model.encode(prompt) for prompt in prompts]


def together(model: LanguageModel, prompts: list[np.ndarray], keys: np.ndarray, **settings: object) -> Rollouts:
    """All parts as one, each row once."""
    parts = list(model.sample_waiting(prompts, keys, **({"max_tokens": MAX_TOKENS} | settings)))  # type: ignore[arg-type]
    np.testing.assert_array_equal(np.sort(np.concatenate([rows for rows, _ in parts])), np.arange(len(keys)))
    return Rollouts(**joined(parts))


def assert_alike(found: Rollouts, wanted: Rollouts) -> None:
    for name in ("tokens", "lengths", "truncated", "prompt_lengths"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name), err_msg=name)
    assert found.text == wanted.text
    for name in ("log_probs", "entropy"):
        np.testing.assert_allclose(getattr(found, name), getattr(wanted, name), atol=2e-5, err_msg=name)


@functools.cache
def alone(kind: str) -> Rollouts:
    """Every row by itself, on the path that knows no other row."""
    model, keys = model_of(kind), row_keys(KEY, np.arange(len(PROMPTS)))
    parts = [
        (np.asarray([row]), model.sample_rows([prompt], keys[row : row + 1], max_tokens=MAX_TOKENS))
        for row, prompt in enumerate(tokens_of(model, PROMPTS))
    ]
    return Rollouts(**joined(parts))


@pytest.mark.parametrize(
    ("kind", "width"), [("llama", 1), ("llama", 3), ("llama", 8), ("llama", len(PROMPTS)), ("window", 3)]
)
def test_a_row_is_the_same_alone_and_at_every_width(kind: str, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a row that sees what its place held before, a prompt of a neighbour, a wrong position or window, a key
    counted by place or clock, and slots that are lost when there are more of them (8, then 32)."""
    monkeypatch.setattr(waiting, "FIRST_CAPACITY", 8)
    monkeypatch.setattr(waiting, "FEW", 0)
    model, wanted = model_of(kind), alone(kind)
    assert len(set(wanted.lengths.tolist())) > 4
    assert 1 <= wanted.lengths.min() < 8 < wanted.lengths.max()
    keys = row_keys(KEY, np.arange(len(PROMPTS)))
    assert_alike(together(model, tokens_of(model, PROMPTS), keys, width=width), wanted)
    backwards = together(model, tokens_of(model, PROMPTS[::-1]), keys[::-1], width=width)
    np.testing.assert_array_equal(backwards.tokens[::-1], wanted.tokens)


def test_rows_of_one_prompt_share_it() -> None:
    """The lone prompt is read once and never copied; 40 rows through 6 places, so that the clock goes around the
    slots several times. Catches a slot that is seen after another row wrote it."""
    model, keys = model_of("llama"), row_keys(KEY, np.arange(40))
    prompt = model.encode("hello")
    wanted = model.sample_rows([prompt], keys, max_tokens=MAX_TOKENS)
    assert_alike(together(model, [prompt], keys, width=6), wanted)
    assert_alike(together(model, [prompt] * 40, keys, width=6), wanted)
    greedy = together(model, [prompt], keys[:5], width=2, temperature=0.0)
    assert_alike(greedy, model.sample_rows([prompt], keys[:5], max_tokens=MAX_TOKENS, temperature=0.0))


def test_no_step_is_made_for_rows_that_have_ended() -> None:
    """64 rows in 8 places: at least the steps that their tokens need, at most a quarter more and the last rows' tail,
    and far fewer than batches of 8 take. Catches a loop that waits for the longest, and one that never refills."""
    model, keys = toy.model(1, **ENDS), row_keys(KEY, np.arange(64))
    prompt, settings = model.encode("hello"), {"max_tokens": 40, "temperature": 1.0, "eos_ids": model.config.eos_ids}
    weights = prepare(model.graphdef, model.params)
    parts = list(
        waiting.sample_waiting(
            model.graphdef, model.params, weights, model.config, [prompt], row_keys=keys, width=8, **settings
        )
    )
    lengths = np.concatenate([part.lengths for _, part in parts])[
        np.argsort(np.concatenate([rows for rows, _ in parts]))
    ]
    steps, least = parts[-1][1].steps, int((lengths - 1).sum()) / 8
    in_batches = sum(int(lengths[at : at + 8].max()) - 1 for at in range(0, 64, 8))
    assert least <= steps <= 1.25 * least + lengths.max()
    assert steps < 0.7 * in_batches


def test_few_programs_whatever_the_rows_and_prompts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prompts of 1 to 32 tokens, 9 to 23 rows, other keys and weights: one program of each kind. Prompts of up to 48
    add one of reading, beginning and decoding. Catches a shape that follows what happens to end or to wait."""
    monkeypatch.setattr(waiting, "FEW", 1)
    model = toy.model(1, **ENDS)
    jitted = (refill.read, refill.empty, refill.begin, refill.advance)

    def sampled(lengths: list[int], seed: int) -> None:
        prompts = [model.encode("a" * length) for length in lengths]
        keys = row_keys(as_key(seed), np.arange(len(prompts)))
        other = dataclasses.replace(model, params=jax.tree.map(lambda leaf: leaf * (1 + 0.01 * seed), model.params))
        together(other, prompts, keys, width=8, max_tokens=16)

    for function in jitted:
        function.clear_cache()
    sampled([*range(1, 10)], 0)
    assert [function._cache_size() for function in jitted] == [1, 1, 1, 1]
    for seed, rows in enumerate((9, 16, 23), start=1):
        sampled([1 + 31 * row // rows for row in range(rows)], seed)
    assert [function._cache_size() for function in jitted] == [1, 1, 1, 1]
    sampled([*range(4, 44, 2)], 5)
    assert [function._cache_size() for function in jitted] == [2, 1, 2, 2]


def test_what_is_one_batch_or_has_no_end_is_sampled_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """The very numbers of `sample_rows`, batch by batch: catches defaults that changed in their last bits."""
    model, keys = toy.model(1, **ENDS), row_keys(KEY, np.arange(5))
    monkeypatch.setattr(waiting, "sample_waiting", None)
    prompts = tokens_of(model, PROMPTS[:5])
    whole = model.sample_rows(prompts, keys, max_tokens=8)
    for field in dataclasses.fields(Rollouts):
        found = getattr(together(model, prompts, keys, width=5, max_tokens=8), field.name)
        np.testing.assert_array_equal(found, getattr(whole, field.name))
    halves = together(model, prompts[:4], keys[:4], width=2, max_tokens=8)
    np.testing.assert_array_equal(
        halves.log_probs[2:], model.sample_rows(prompts[2:4], keys[2:4], max_tokens=8).log_probs
    )
    endless = together(model, prompts, keys, width=2, max_tokens=8, ignore_eos=True)
    assert endless.lengths.tolist() == [8] * 5
    np.testing.assert_array_equal(
        endless.tokens, model.sample_rows(prompts, keys, max_tokens=8, ignore_eos=True).tokens
    )


def test_evaluations_measurements_and_rounds_refill(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a caller that decodes in batches still, and rows whose verdict goes to another question."""
    model, widths = load_model("tiny-llama"), []
    original = waiting.sample_waiting

    def noted(*arguments: object, width: int, **rest: object) -> object:
        widths.append(width)
        return original(*arguments, width=width, **rest)  # type: ignore[arg-type]

    monkeypatch.setattr(waiting, "sample_waiting", noted)
    examples = [Question(f"{a}+{b}=?\n", str(a + b)) for a, b in ((3, 4), (12, 30), (105, 7), (9, 9))]
    settings = {"key": 3, "max_tokens": 24, "samples": 4, "verifier": odd}
    batched = evaluate(model, examples, batch=3, **settings)
    whole = evaluate(model, examples, batch=64, **settings)
    np.testing.assert_array_equal(batched.per_question, whole.per_question)
    assert (batched.mean_length, batched.truncated) == (whole.mean_length, whole.truncated)
    assert 0 < whole.successes < whole.samples
    arms = QuestionArms(model, examples, odd)
    asked = np.asarray([0, 0, 3, 2, 1, 1, 2], np.int32)
    parts = arms.generate(asked, max_tokens=24, key=1, temperature=1.0, batch=2)
    wanted = arms.generate(asked, max_tokens=24, key=1, temperature=1.0)
    assert_alike(parts, wanted)
    np.testing.assert_array_equal(arms.pull(as_key(0), parts), arms.pull(as_key(0), wanted))
    few, many = (
        measure(model, examples[0].prompt, arms.checks[0], key=2, max_tokens=24, rollouts=10, batch=batch)
        for batch in (4, 16)
    )
    assert (few.successes, few.distinct) == (many.successes, many.distinct)
    assert few.kappa == pytest.approx(many.kappa, rel=1e-4, nan_ok=True)  # one kind alone has none
    assert widths == [3, 2, 4]


def odd(answer: str) -> Callable[[str], float]:
    """Right where the response has an odd number of characters more than its answer: about half."""
    return lambda text: float((len(text) - len(answer)) % 2)


@dataclasses.dataclass(frozen=True)
class Question:
    prompt: str
    answer: str


def test_more_slots_keep_every_token_where_the_clock_looks() -> None:
    """By the definition of a slot, at a clock that has gone around: catches a move that is right before that alone."""
    old, new, clock = 6, 9, 20
    block = refill.read(*_small(), jnp.ones((2, 4), jnp.int32), jnp.full((2,), 3, jnp.int32))
    _, places = refill.empty(block, config=toy.config(), rows=2, capacity=old)
    written = jnp.asarray(
        [max(time for time in range(clock) if time % old == slot) for slot in range(old)], jnp.float32
    )
    places = places._replace(
        records=places.records._replace(steps=jnp.int32(clock)),
        keys=tuple(jnp.broadcast_to(written, layer.shape) for layer in places.keys),
        values=tuple(jnp.broadcast_to(written[:, None], layer.shape) for layer in places.values),
    )
    more = refill.widened(places, capacity=new)
    for age in range(1, old):
        slot = (clock - age) % new
        assert all((layer[..., slot] == clock - age).all() for layer in more.keys)
        assert all((layer[..., slot, :] == clock - age).all() for layer in more.values)


def _small() -> tuple[object, object]:
    model = toy.model()
    return model.graphdef, model.params
