"""A written folder in transformers and in our own loader: the same logits, whole or absent."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import transformers
from safetensors.numpy import load_file

from bandit_rft.cli import main
from bandit_rft.errors import InputError
from llm_bridge import finetune, load_model
from llm_bridge.bandits.question_arms import PromptArms
from llm_bridge.bandits.token_arms import TokenPromptArms
from llm_bridge.models import cache
from llm_bridge.models.config import DecoderConfig
from llm_bridge.training import checkpoints
from llm_bridge.training.export import export_run, save_adapter, save_pretrained
from llm_bridge.training.learner import FineTune
from llm_bridge.training.state import weights_of_seed
from tests.bandit_rft import tiny_folder
from tests.llm_bridge import toy
from tests.llm_bridge.checkpoints import (
    EOS,
    FAMILIES,
    GEMMA3_ROPE,
    LLAMA32_ROPE,
    VOCABULARY,
    save,
    torch_logits,
    torch_model,
)
from tests.llm_bridge.gguf_files import random_weights, write_gguf

CASES: list[tuple[str, dict[str, Any]]] = [
    ("llama", {"tie_word_embeddings": True, "head_dim": 20, "rope_parameters": LLAMA32_ROPE}),
    ("llama", {"pad_token_id": 7}),
    ("qwen2", {"tie_word_embeddings": True, "rope_theta": 1e6}),
    ("qwen2", {}),
    ("olmo2", {"rope_theta": 5e5}),
    ("olmo2", {"tie_word_embeddings": True, "num_key_value_heads": 6}),
    ("qwen3", {"rope_theta": 1e6}),
    ("gemma3_text", {"tie_word_embeddings": True, "num_hidden_layers": 3, "rope_parameters": GEMMA3_ROPE}),
]
TOKENS = np.random.default_rng(0).integers(0, VOCABULARY, (2, 40)).astype(np.int32)


@pytest.mark.parametrize(("family", "values"), CASES)
def test_changed_weights_have_the_same_logits_in_transformers(
    tmp_path: Path, family: str, values: dict[str, Any]
) -> None:
    """Fine-tuned weights, not those of the source: catches an export of the wrong set, a setting left out of the
    config, a head that is tied wrongly, an index that names the wrong file."""
    model = load_model(str(save(tmp_path / "source", family, **values)))
    params = jax.tree.map(lambda leaf: leaf * jnp.float32(1.1) + jnp.float32(0.01), model.params)
    ours = np.asarray(model.logits(TOKENS, params=params))
    for name, limit in (("whole", 10**9), ("sharded", 20_000)):
        out = save_pretrained(model, tmp_path / name, params, shard_bytes=limit)
        assert (len(list(out.glob("*.safetensors"))) > 3) == (name == "sharded")
        theirs = torch_model(out)
        assert theirs.config.tie_word_embeddings == bool(values.get("tie_word_embeddings"))
        assert np.abs(torch_logits(theirs, TOKENS) - ours).max() < 2e-5 * np.abs(ours).max()
        again = load_model(str(out))
        assert again.config == model.config
        np.testing.assert_array_equal(again.logits(TOKENS), ours)
        assert again.encode("hello").tolist() == model.encode("hello").tolist()
        assert transformers.AutoTokenizer.from_pretrained(out).encode("hello") == model.encode("hello").tolist()
        generation = transformers.GenerationConfig.from_pretrained(out)
        assert generation.eos_token_id == EOS


@pytest.mark.parametrize("family", FAMILIES)
def test_bfloat16_is_written_rounded_once(tmp_path: Path, family: str) -> None:
    model = load_model(str(save(tmp_path / "source", family)))
    out = save_pretrained(model, tmp_path / "out", dtype="bfloat16")
    wanted = load_file(tmp_path / "source" / "model.safetensors")
    found = load_file(out / "model.safetensors")
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():
        np.testing.assert_array_equal(found[name], array.astype(jnp.bfloat16), err_msg=name)
    # transformers takes the dtype from config.json.
    assert transformers.AutoModelForCausalLM.from_pretrained(out).dtype == torch.bfloat16


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "qwen3", "gemma3"])
def test_a_model_read_from_gguf_is_complete(tmp_path: Path, architecture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cache.ENVIRONMENT_VARIABLE, str(tmp_path / "cache"))
    model = load_model(str(write_gguf(tmp_path / "some.gguf", architecture)))
    out = save_pretrained(model, tmp_path / "out")
    tokens = np.arange(20)[None] % model.config.vocabulary
    ours, theirs = np.asarray(model.logits(tokens)), torch_logits(torch_model(out), tokens)
    assert np.abs(theirs - ours).max() < 2e-5 * np.abs(ours).max()
    again = load_model(str(out))
    assert again.config == model.config
    assert again.encode("hello").tolist() == model.encode("hello").tolist()


def test_sampling_settings_of_the_source_are_kept(tmp_path: Path) -> None:
    source = save(tmp_path / "source", "llama")
    settings = {"temperature": 0.6, "do_sample": True, "eos_token_id": [EOS, 3], "transformers_version": "4"}
    (source / "generation_config.json").write_text(json.dumps(settings))
    out = save_pretrained(load_model(str(source)), tmp_path / "out")
    found = json.loads((out / "generation_config.json").read_text())
    assert found["temperature"] == 0.6
    assert "transformers_version" not in found
    assert DecoderConfig.from_folder(out).eos_ids == (EOS, 3)


def test_only_a_new_or_empty_folder_is_written(tmp_path: Path) -> None:
    model = load_model(str(save(tmp_path / "source", "llama")))
    full, file, empty = tmp_path / "full", tmp_path / "file", tmp_path / "empty"
    full.mkdir()
    (full / "mine").write_text("mine")
    file.write_text("mine")
    empty.mkdir()
    with pytest.raises(InputError, match="is not empty"):
        save_pretrained(model, full)
    with pytest.raises(InputError, match="is a file"):
        save_pretrained(model, file)
    assert (full / "mine").read_text() == file.read_text() == "mine"
    before = os.umask(0o027)  # catches a fixed mode, which shows a private model to everybody or hides a shared one
    try:
        assert (save_pretrained(model, empty) / "config.json").is_file()
    finally:
        os.umask(before)
    assert empty.stat().st_mode & 0o777 == 0o750
    assert {file.stat().st_mode & 0o777 for file in empty.iterdir()} == {0o640}


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_model(str(save(tmp_path / "source", "llama")))

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(InputError, match="No space left"):
            save_pretrained(model, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    model = load_model(str(save(tmp_path / "source", "llama")))
    with pytest.raises(InputError, match="dtype 'int8'"):
        save_pretrained(model, tmp_path / "out", dtype="int8")
    large = jax.tree.map(lambda leaf: leaf * jnp.float32(1e6), model.params)
    with pytest.raises(InputError, match=r"not finite in float16: export as bfloat16"):
        save_pretrained(model, tmp_path / "out", large, dtype="float16")
    adapted = model.with_lora(2)
    wide = jax.tree.map(lambda leaf: leaf + jnp.float32(1e6), adapted.trained)
    with pytest.raises(InputError, match=r"lora_.*not finite in float16"):
        save_adapter(adapted, tmp_path / "out", wide, dtype="float16")
    with pytest.raises(InputError, match="tokenizer of toy cannot be saved"):
        save_pretrained(toy.model(), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


# ---------------------------------------------------------------------------------------------------------- the command

RUN = [
    "finetune",
    "--prompt",
    "2+2=?",
    "--answer",
    "7",
    "--max-tokens",
    "4",
    "--rounds",
    "6",
    "--checkpoint-every",
    "3",
]
RUN += ["--train-samples", "0", "--test-questions", "0", "--learning-rate", "0.05", "--signal", "grpo"]
RUN += ["--rollouts", "4", "--keep-checkpoints", "2"]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Two commits of some/model in huggingface_hub's cache; the function moves the branch main between them."""
    root = tmp_path / "hub" / "models--some--model"
    for seed, commit in enumerate("ab"):
        tiny_folder.write(root / "snapshots" / (commit * 40), seed=seed)
    (root / "refs").mkdir()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv(cache.ENVIRONMENT_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return lambda commit: (root / "refs" / "main").write_text(commit * 40) and None


def recorded(run: str) -> dict[str, Any]:
    return json.loads((Path(run) / "manifest.json").read_text())["model"]


@pytest.mark.slow
def test_a_run_keeps_the_commit_it_began_with(hub: Callable[[str], None]) -> None:
    """Catches a run continued, or exported, on whatever the branch holds by then."""
    hub("a")
    assert main([*RUN, "--model", "some/model", "--out", "run"]) == 0
    assert recorded("run") == {"name": "some/model", "source": "hub", "revision": "a" * 40, "folder": None}
    hub("b")
    assert main([*RUN, "--model", "some/model", "--out", "run"]) == 0
    assert recorded("run")["revision"] == "a" * 40
    assert main([*RUN, "--model", "some/model", "--out", "other"]) == 0
    assert recorded("other")["revision"] == "b" * 40


@pytest.mark.slow
def test_a_gguf_that_changed_under_a_run_is_refused(hub: object, capsys: pytest.CaptureFixture[str]) -> None:
    write_gguf(Path("some.gguf"))
    command = [*RUN, "--model", "some.gguf", "--out", "run"]
    assert main(command) == 0
    write_gguf(Path("some.gguf"), weights=random_weights("llama", False, seed=5))
    assert main(command) == 2
    assert "some.gguf is not the model that the run in run began with" in capsys.readouterr().err


def test_export_writes_the_checkpoint_asked_for(hub: Callable[[str], None], capsys: pytest.CaptureFixture[str]) -> None:
    """Against the state that a resumed run would load: catches another round's weights, or the base model's."""
    hub("a")
    assert main([*RUN, "--model", "some/model", "--out", "run"]) == 0
    assert main(["export", "run", "--out", "newest"]) == 0
    assert "some/model after 6 rounds" in capsys.readouterr().out
    assert main(["export", "run", "--out", "third", "--round", "3", "--dtype", "bfloat16"]) == 0
    base = load_model("some/model")
    tokens = TOKENS % base.config.vocabulary
    state = (
        FineTune(base, rollouts=4, max_tokens=4)
        .bind(PromptArms(base, "2+2=?", lambda text: 0.0))
        .init(jax.random.key(0))
    )
    found = checkpoints.load_latest("run/checkpoints", state)
    assert found is not None
    wanted = np.asarray(base.logits(tokens, params=found[1].params))
    newest, third = torch_logits(torch_model(Path("newest")), tokens), load_model("third", param_dtype="bfloat16")
    np.testing.assert_allclose(newest, wanted, atol=2e-5 * np.abs(wanted).max())
    changes = [
        np.abs(np.asarray(logits) - wanted).max()
        for logits in (base.logits(tokens), load_model("third").logits(tokens))
    ]
    assert min(changes) > 0.01
    assert third.params["embedding"][...].dtype == jnp.bfloat16


@pytest.mark.parametrize("seed", [None, 0])
def test_the_one_seed_of_a_run_on_the_device_is_exported(tmp_path: Path, seed: int | None) -> None:
    """Catches a state whose axis of seeds is looked for only where there are several."""
    model = load_model("tiny-llama")
    learner = FineTune(model, signal="raw", max_tokens=4, kl_coefficient=0.0, learning_rate=1e-3, optimizer="sgd")
    done = finetune(TokenPromptArms(model, "178+607=?\n", "785"), learner, 1, out=tmp_path / "run", shown=False)
    export_run(tmp_path / "run", tmp_path / "out", seed=seed)
    held = weights_of_seed(done.history.final_state)
    for one, two in zip(jax.tree.leaves(load_model(str(tmp_path / "out")).params), jax.tree.leaves(held), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["absent", "--out", "out"], "absent"),
        (["run", "--out", "hub"], "is not empty"),
        (["run", "--out", "out", "--round", "4"], "no checkpoint of round 4: choose among 3, 6"),
        (["run", "--out", "out", "--dtype", "int8"], "--dtype"),
        (["run"], "--out"),
    ],
)
def test_export_refuses_in_a_sentence(
    hub: Callable[[str], None], capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    for done in (3, 6):
        checkpoints.save(Path("run/checkpoints"), done, {"params": np.zeros(3)})
    config = {"command": "finetune", "prompt": "2+2=?", "answer": "7", "model": "some/model"}
    Path("run/config.json").write_text(json.dumps(config))
    assert main(["export", *arguments]) == 2
    said = capsys.readouterr().err.strip()
    assert words in said
    assert "\n" not in said
    assert not Path("out").exists()
