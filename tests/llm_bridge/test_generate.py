"""Generation: greedy decoding against transformers, sampling against exact probabilities, what rows depend on."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from scipy import stats

from bandit_rft.errors import InputError
from bandit_rft.keys import row_keys
from llm_bridge import LanguageModel, Rollouts, load_model
from llm_bridge.sampling import decoding, generate
from llm_bridge.sampling.generate import draw, sample
from llm_bridge.sampling.token_draw import entropy
from tests.llm_bridge.checkpoints import EOS, FAMILIES, save, torch_greedy, torch_logits, torch_model

# A right sampler fails a chi-square test below at this rate, at a seed it has not met.
FALSE_ALARM = 1e-4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("llama"), "llama")


@pytest.fixture(scope="module")
def model(folder: Path) -> LanguageModel:
    return load_model(str(folder))


def chi_square(counts: np.ndarray, probabilities: np.ndarray) -> float:
    """p-value of counts against probabilities, cells expecting under 5 pooled into one."""
    expected = probabilities / probabilities.sum() * counts.sum()
    large = expected >= 5
    observed = np.append(counts[large], counts[~large].sum())
    wanted = np.append(expected[large], expected[~large].sum())
    keep = wanted > 0
    assert observed[~keep].sum() == 0
    return float(stats.chisquare(observed[keep], wanted[keep]).pvalue)


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_continuations_are_those_of_transformers(tmp_path: Path, family: str) -> None:
    """Prompts of unequal length in one batch, each against transformers alone: catches a wrong slot or mask."""
    folder = save(tmp_path, family)
    ours, theirs = load_model(str(folder)), torch_model(folder)
    prompts = ["a", "What is 2 + 3?", "Forty-two characters, at the very least, long."]
    batch = ours.generate_many(prompts, max_tokens=64, key=0, temperature=0.0, ignore_eos=True)
    assert batch.prompt_lengths.tolist() == [len(prompt) for prompt in prompts]
    for row, prompt in enumerate(prompts):
        assert batch.tokens[row].tolist() == torch_greedy(theirs, ours.encode(prompt), 64)


def test_greedy_beyond_the_first_cache_is_that_of_transformers(folder: Path, model: LanguageModel) -> None:
    """Catches a cache that is lost or misplaced when it grows."""
    long = generate.FIRST_CAPACITY + 40
    rollouts = model.generate("abc", rollouts=2, max_tokens=long, key=0, temperature=0.0, ignore_eos=True)
    want = torch_greedy(torch_model(folder), model.encode("abc"), long)
    assert rollouts.tokens.tolist() == [want, want]
    np.testing.assert_allclose(model.log_probs("abc", rollouts), rollouts.log_probs, atol=1e-4)


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_the_sampled_policy_is_the_scored_policy(model: LanguageModel, temperature: float) -> None:
    rollouts = model.generate("What is 2 + 3?", rollouts=3, max_tokens=32, key=3, temperature=temperature)
    scored = model.log_probs("What is 2 + 3?", rollouts, temperature=temperature)
    assert scored.shape == rollouts.log_probs.shape == (3, 32)
    np.testing.assert_allclose(scored, rollouts.log_probs, atol=1e-4)
    inside = np.arange(32) < rollouts.lengths[:, None]
    assert (rollouts.log_probs[inside] < 0).all()
    assert (rollouts.log_probs[~inside] == 0).all()


def test_samples_have_the_models_probabilities(folder: Path, model: LanguageModel) -> None:
    """First and second tokens against transformers' exact probabilities (false-alarm rate 1e-4 each).

    The second token's are summed over every first token, so that a cache that forgets or mislabels the first shows.
    """
    rows, theirs, prompt = 12288, torch_model(folder), model.encode("dice")
    first = np.exp(log_softmax(torch_logits(theirs, prompt[None])[0, -1]))
    followed = np.concatenate([np.tile(prompt, (first.size, 1)), np.arange(first.size)[:, None]], axis=1)
    second = first @ np.exp(log_softmax(torch_logits(theirs, followed)[:, -1]))
    rollouts = model.generate("dice", rollouts=rows, max_tokens=2, key=11, ignore_eos=True)
    for column, probabilities in enumerate((first, second)):
        counts = np.bincount(rollouts.tokens[:, column], minlength=first.size)
        assert chi_square(counts, probabilities) > FALSE_ALARM


def log_softmax(logits: np.ndarray) -> np.ndarray:
    return torch.log_softmax(torch.tensor(logits, dtype=torch.float64), -1).numpy()


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_draw_has_the_softmaxs_probabilities(temperature: float) -> None:
    """A vocabulary no multiple of the CDF's block, tiny shares, impossible tokens (false-alarm rate 1e-4)."""
    logits = np.random.default_rng(0).normal(size=300).astype(np.float32) * 2
    logits[130:200] -= 9
    logits[[0, 127, 128, 255, 299]] = -np.inf
    rows = 60_000
    keys = jax.random.split(jax.random.key(5), rows)
    tokens, log_probs = draw(jnp.tile(logits, (rows, 1)), keys, jnp.float32(temperature), greedy=False)
    exact = log_softmax(logits / temperature)
    assert chi_square(np.bincount(tokens, minlength=300), np.exp(exact)) > FALSE_ALARM
    np.testing.assert_allclose(log_probs, exact[np.asarray(tokens)], atol=1e-5)


def test_greedy_draw_takes_the_first_of_equal_maxima() -> None:
    logits = jnp.asarray([[0.0, 3.0, 3.0], [5.0, 1.0, 5.0]])
    tokens, log_probs = draw(logits, jax.random.split(jax.random.key(0), 2), jnp.float32(1), greedy=True)
    assert tokens.tolist() == [1, 0]
    np.testing.assert_allclose(log_probs, jax.nn.log_softmax(logits)[jnp.arange(2), tokens], atol=1e-6)


def test_a_row_depends_on_its_key_and_number_alone(model: LanguageModel) -> None:
    """Three rows are padded to three, five to six: the first three are the same, and the same again."""
    three, five = (model.generate("abc", rollouts=rows, max_tokens=32, key=7) for rows in (3, 5))
    again = model.generate("abc", rollouts=3, max_tokens=32, key=jax.random.key(7))
    for field in ("tokens", "lengths", "truncated"):
        np.testing.assert_array_equal(getattr(three, field), getattr(five, field)[:3])
        np.testing.assert_array_equal(getattr(three, field), getattr(again, field))
    other = model.generate("abc", rollouts=3, max_tokens=32, key=8)
    assert (other.tokens != three.tokens).mean() > 0.5
    assert len({tuple(row) for row in five.tokens.tolist()}) == 5


def test_rows_of_a_batch_do_not_see_each_other(model: LanguageModel) -> None:
    prompts = ["one", "two and a half", "three"]
    batch = model.generate_many(prompts, max_tokens=32, key=2)
    changed = model.generate_many([prompts[0], "something else entirely", prompts[2]], max_tokens=32, key=2)
    for row in (0, 2):
        np.testing.assert_array_equal(batch.tokens[row], changed.tokens[row])
    alone = model.generate("one", rollouts=1, max_tokens=32, key=2)
    np.testing.assert_array_equal(batch.tokens[0], alone.tokens[0])


def test_the_first_end_of_text_token_ends_a_row_and_counts(model: LanguageModel) -> None:
    free = model.generate("abc", rollouts=3, max_tokens=32, key=1, ignore_eos=True)
    end = int(free.tokens[0, 9])
    ended = dataclasses.replace(model, config=dataclasses.replace(model.config, eos_ids=(999_999, end)))
    rollouts = ended.generate("abc", rollouts=3, max_tokens=32, key=1)
    for row, tokens in enumerate(free.tokens.tolist()):
        length = tokens.index(end) + 1 if end in tokens else 32
        assert rollouts.lengths[row] == length
        assert rollouts.truncated[row] == (end not in tokens)
        assert rollouts.tokens[row, :length].tolist() == tokens[:length]
        assert (rollouts.tokens[row, length:] == model.config.pad_id).all()
        np.testing.assert_array_equal(rollouts.log_probs[row, length:], 0.0)
        np.testing.assert_allclose(rollouts.log_probs[row, :length], free.log_probs[row, :length], atol=1e-6)
    assert rollouts.lengths[0] <= 10


def test_text_is_the_response_without_special_tokens(model: LanguageModel) -> None:
    rollouts = model.generate("abc", rollouts=3, max_tokens=32, key=0)
    for text, tokens, length in zip(rollouts.text, rollouts.tokens, rollouts.lengths, strict=True):
        assert text == model.tokenizer.decode([t for t in tokens[:length].tolist() if t != EOS])


def test_decoding_stops_when_every_row_is_done(model: LanguageModel) -> None:
    def steps(eos_ids: tuple[int, ...]) -> int:
        weights = generate.prepare(model.graphdef, model.params)
        out = sample(
            model.graphdef,
            model.params,
            weights,
            model.config,
            [model.encode("abc")],
            row_keys=row_keys(jax.random.key(0), np.arange(3)),
            max_tokens=500,
            temperature=1.0,
            eos_ids=eos_ids,
        )
        assert out.steps == out.lengths.max()
        assert not out.truncated.any()
        return out.steps

    assert steps(tuple(range(300))) == 1
    # Half the vocabulary ends a row: the chance that one of three goes past 40 tokens is below 1e-6 for an even policy.
    assert 1 <= steps(tuple(range(150))) < 100


def test_few_functions_are_compiled(model: LanguageModel) -> None:
    """Prompts of 1 … 32 tokens, limits of 65 … 96 tokens, 5 or 6 rows: one decode loop and one prefill compiled."""
    model.generate("abc", rollouts=6, max_tokens=96, key=0)
    before = decoding.prefill._cache_size(), decoding.decode._cache_size()
    for length, limit, rows in ((1, 65, 5), (17, 70, 6), (32, 96, 5), (9, 80, 6)):
        model.generate("x" * length, rollouts=rows, max_tokens=limit, key=length)
    assert (decoding.prefill._cache_size(), decoding.decode._cache_size()) == before


def test_other_parameters_take_effect_and_are_not_confused(model: LanguageModel) -> None:
    """Catches decoding weights kept from the parameters before."""
    doubled = jax.tree.map(lambda leaf: leaf * 1.1, model.params)
    before = model.generate("abc", rollouts=3, max_tokens=32, key=0)
    other = model.generate("abc", rollouts=3, max_tokens=32, key=0, params=doubled)
    after = model.generate("abc", rollouts=3, max_tokens=32, key=0)
    np.testing.assert_array_equal(before.log_probs, after.log_probs)
    assert np.abs(other.log_probs - before.log_probs).max() > 1e-3
    np.testing.assert_allclose(model.log_probs("abc", other, params=doubled), other.log_probs, atol=1e-4)


def test_a_chat_template_is_applied_with_the_generation_prompt(folder: Path) -> None:
    model = load_model(str(folder))
    model.tokenizer.chat_template = (
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<me>{% endif %}"
    )
    assert model.tokenizer.decode(model.encode("hi")) == "<user>hi<me>"
    conversation = [{"role": "system", "content": "be"}, {"role": "user", "content": "hi"}]
    assert model.tokenizer.decode(model.encode(conversation)) == "<system>be<user>hi<me>"


def test_bfloat16_samples_and_scores_one_policy_to_its_precision(folder: Path) -> None:
    model = load_model(str(folder), "bfloat16", param_dtype="float32")
    rollouts = model.generate("abc", rollouts=3, max_tokens=32, key=0)
    assert isinstance(rollouts, Rollouts)
    assert jax.tree.leaves(model.params)[0].dtype == jnp.float32
    gap = np.abs(model.log_probs("abc", rollouts) - rollouts.log_probs)
    assert gap.max() < 0.5
    assert gap.mean() < 0.05


def test_logits_are_those_of_transformers(folder: Path, model: LanguageModel) -> None:
    tokens = np.random.default_rng(0).integers(0, 300, (2, 21))
    want = torch_logits(torch_model(folder), tokens)
    np.testing.assert_allclose(model.logits(tokens), want, atol=2e-5 * np.abs(want).max())


def test_bad_arguments_are_refused_in_a_sentence(model: LanguageModel, folder: Path) -> None:
    def ask(prompt: str = "abc", rollouts: int = 1, max_tokens: int = 4, temperature: float = 1.0) -> Rollouts:
        return model.generate(prompt, rollouts=rollouts, max_tokens=max_tokens, key=0, temperature=temperature)

    with pytest.raises(InputError, match="prompt is empty"):
        ask(prompt=" ")
    with pytest.raises(InputError, match=r"prompt has 1025 tokens and .* takes 1024"):
        ask(prompt="x" * 1025)
    with pytest.raises(InputError, match="1000 tokens and 25 response tokens exceed the 1024"):
        ask(prompt="x" * 1000, max_tokens=25)
    with pytest.raises(InputError, match="rollouts is 0: give a whole number of at least 1"):
        ask(rollouts=0)
    with pytest.raises(InputError, match="max_tokens is 0"):
        ask(max_tokens=0)
    for temperature in (-1.0, float("nan")):
        with pytest.raises(InputError, match="temperature is"):
            ask(temperature=temperature)
    with pytest.raises(InputError, match="no prompts"):
        model.generate_many([], max_tokens=4, key=0)
    with pytest.raises(InputError, match="outside 0 … 299"):
        model.logits(np.asarray([[300]]))
    with pytest.raises(InputError, match=r"integer tokens \[B, T\]"):
        model.logits(np.asarray([1, 2]))
    with pytest.raises(InputError, match="dtype 'int8'"):
        load_model(str(folder), "int8")
    tokenizer = folder / "tokenizer.json"
    whole = tokenizer.read_bytes()
    try:
        tokenizer.write_text("{}")
        with pytest.raises(InputError, match="no usable tokenizer"):
            load_model(str(folder))
    finally:
        tokenizer.write_bytes(whole)


def test_equal_prompts_of_a_batch_are_run_once(model: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """B prompts of G rollouts: B rows are prefilled, not B·G, and each response is to its own prompt.

    To rounding, not to the bit: products over three rows may add up in another order than those over one. Catches rows
    that answer a neighbour's prompt, and prompts run once a row.
    """
    run: list[tuple[int, ...]] = []
    original = generate.prefill

    def watched(graphdef: Any, params: Any, prompts: Any, *rest: Any, **settings: Any) -> Any:
        run.append(prompts.shape)
        return original(graphdef, params, prompts, *rest, **settings)

    monkeypatch.setattr(generate, "prefill", watched)
    prompts = ["abc", "abc", "a longer question, of more tokens", "abc", "no", "no", "abc"]
    together = model.generate_many(prompts, max_tokens=12, key=5)
    assert run == [(3, 32 if max(together.prompt_lengths) <= 32 else 48)]
    for text in set(prompts):
        alone = model.generate(text, rollouts=len(prompts), max_tokens=12, key=5)
        for row, prompt in enumerate(prompts):
            if prompt == text:
                np.testing.assert_array_equal(together.tokens[row], alone.tokens[row])
                np.testing.assert_allclose(together.log_probs[row], alone.log_probs[row], atol=1e-5)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_entropy_by_enumeration(temperature: float) -> None:
    """Float64 over every token. Catches a temperature left out, and large logits that cancel."""
    rng = np.random.Generator(np.random.PCG64(3))
    logits = rng.normal(size=(4, 300)).astype(np.float32) * np.float32([[0.1], [3.0], [30.0], [1.0]])
    logits[3] += 1e4
    x = logits.astype(np.float64) / temperature
    p = np.exp(x - x.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    wanted = -np.sum(np.where(p > 0, p * np.log(np.where(p > 0, p, 1.0)), 0.0), axis=1)
    found = entropy(jnp.asarray(logits), jnp.float32(temperature), greedy=False)
    np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_lone_row_and_a_batch_sample_one_policy_with_its_entropy(tmp_path: Path, family: str) -> None:
    """Catches a matrix that is fused or turned wrongly, and an entropy of another step or another temperature than the
    token's; torch's logits are the oracle."""
    folder, temperature = save(tmp_path, family), 0.7
    ours, theirs = load_model(str(folder)), torch_model(folder)
    settings = {"max_tokens": 40, "key": 2, "temperature": temperature, "ignore_eos": True}
    lone, batch = ours.generate("abc", rollouts=1, **settings), ours.generate("abc", rollouts=2, **settings)
    np.testing.assert_array_equal(lone.tokens[0], batch.tokens[0])
    prompt = ours.encode("abc")
    for rollouts in (lone, batch):
        for row in range(len(rollouts.tokens)):
            ids = torch.tensor(np.concatenate([prompt, rollouts.tokens[row]]), dtype=torch.long)[None]
            with torch.inference_mode():
                logits = theirs(ids).logits[0, len(prompt) - 1 : -1] / temperature
            wanted = torch.distributions.Categorical(logits=logits)
            np.testing.assert_allclose(rollouts.entropy[row], wanted.entropy().numpy(), atol=2e-4)
            scores = wanted.log_prob(ids[0, len(prompt) :]).numpy()
            np.testing.assert_allclose(rollouts.log_probs[row], scores, atol=2e-3)
