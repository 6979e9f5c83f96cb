"""The embedded models as shipped, against transformers' torch and the host's own paths; and their recipe."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from llm_bridge import evaluate, load_model
from llm_bridge.data import datasets
from llm_bridge.models import hub
from llm_bridge.models.config import DecoderConfig
from llm_bridge.models.weights import load_params
from llm_bridge.tiny import tasks, vocabulary
from simulations.tiny_models import pretrain
from simulations.tiny_models.folder import write_folder

FOLDER = Path(hub.__file__).parents[1] / "tiny" / "models"
NAMES = tuple(sorted(path.name for path in FOLDER.iterdir() if (path / "config.json").is_file()))


def test_one_a_family_four_megabytes_in_all_and_known_by_name():
    assert NAMES == ("tiny-llama", "tiny-olmo2", "tiny-qwen2")
    assert sum(file.stat().st_size for file in FOLDER.rglob("*") if file.is_file()) <= 4_000_000
    known = {model.name: model for model in hub.catalogue()}
    for name in NAMES:
        assert hub.resolve(name) == FOLDER / name
        assert known[name].cached
        assert known[name].download == 0
        assert f"tiny-{DecoderConfig.from_folder(FOLDER / name).model_type}" == name
        card = (FOLDER / name / "README.md").read_text(encoding="utf-8")
        assert "python -m simulations.tiny_models.pretrain --family" in card


@pytest.mark.parametrize("name", NAMES)
def test_same_logits_as_transformers_torch(name):
    """transformers reads the folder by itself: a field or a tensor that only we understand shows here."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(FOLDER / name, dtype=torch.float32)
    tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(FOLDER / name)
    ours = load_model(name)
    for source in tasks.TASKS:
        problem = tasks.task(source).problem("test", 5)
        ids = tokenizer(problem.prompt + "7+5=12\n#### 4")["input_ids"]
        assert ids == vocabulary.encode(problem.prompt + "7+5=12\n#### 4")
        with torch.no_grad():
            want = theirs(torch.tensor([ids])).logits.numpy()
        assert ours.encode(problem.prompt + "7+5=12\n#### 4").tolist() == ids
        np.testing.assert_allclose(ours.logits(np.asarray([ids])), want, atol=2e-4)


@pytest.mark.parametrize("name", NAMES)
def test_pass_at_1_before_fine_tuning_is_neither_low_nor_high(name):
    """On 400 test prompts of both tasks together, at a fixed key: from .2 to .5 (docs/tiny-models.md)."""
    model = load_model(name)
    assert model.config.eos_ids == (vocabulary.EOS,)
    right = []
    for place, source in enumerate(tasks.TASKS):
        data = datasets.load(source, "test")
        found = evaluate(
            model,
            [data.example(index) for index in range(200)],
            key=jax.random.key(place),
            max_tokens=40,
            verifier="gsm8k-strict",
            batch=200,
        )
        right.append(found.pass_at_1)
        assert found.truncated < 0.02
    assert 0.2 < np.mean(right) < 0.5


def test_the_recipe_lowers_the_loss_and_repeats(tmp_path):
    """Fifty steps twice: the same weights to the bit, a falling loss, and a folder that reads back what was written."""
    runs, losses = [], []
    for _ in range(2):
        config, params = pretrain.pretrain(
            "llama", steps=50, rows=4, tell=lambda done, loss: losses.append((done, loss))
        )
        runs.append(params)
    for x, y in zip(*map(jax.tree.leaves, runs), strict=True):
        np.testing.assert_array_equal(x, y)
    assert losses[:2] == losses[2:]
    assert losses[1][1] < losses[0][1] - 0.3
    write_folder(tmp_path / "model", config, runs[0], steps=50, rows=4, seed=1)
    assert DecoderConfig.from_folder(tmp_path / "model") == config
    back = load_params(tmp_path / "model", config)
    for x, y in zip(jax.tree.leaves(back), jax.tree.leaves(runs[0]), strict=True):
        np.testing.assert_array_equal(x, np.asarray(y.astype(jnp.bfloat16), np.float32))


def test_longest_examples_fit_and_are_counted_once():
    """Every prompt and response of the corpus fits the training width; only response tokens count in the loss."""
    from random import Random

    for name, length in pretrain.LENGTHS.items():
        tokens, counted = pretrain.batch(name, 300, Random(0))
        assert tokens.shape == (300, length + 1)
        for row, mask in zip(tokens, counted, strict=True):
            text = vocabulary.decode(row[1:][mask].tolist())
            prompt = vocabulary.decode(row[: int(np.argmax(mask)) + 1].tolist())
            assert prompt.endswith("?\n")
            assert "#### " in text
            assert row[1:][mask][-1] == vocabulary.EOS
