"""Weights as people save them: from inside wrappers, in parts without an index, with a head of their own, as adapters.

transformers' logits are the oracle wherever it loads the same folder; a wrapper's checkpoint must give those of the
plain one, bit by bit.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from bandit_rft.errors import InputError, ModelWarning
from llm_bridge import load_model
from llm_bridge.models import hub
from llm_bridge.models.config import DecoderConfig
from llm_bridge.models.weights import export_tensors, load_params, untied_where_heads_differ
from tests.llm_bridge.checkpoints import save, torch_logits, torch_model

TINY = Path(hub.__file__).parents[1] / "tiny" / "models" / "tiny-llama"
TOKENS = np.arange(12)[None] % 60
LAYER = "model.layers.0.self_attn.q_proj.weight"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(TINY, tmp_path / "model"))


def read(folder: Path) -> dict[str, np.ndarray]:
    config = DecoderConfig.from_folder(folder)
    return export_tensors(config, load_params(folder, config))


def rename(folder: Path, change: Callable[[str], str]) -> None:
    weights = load_file(folder / "model.safetensors")
    save_file({change(name): array for name, array in weights.items()}, folder / "model.safetensors")


@pytest.mark.parametrize(
    "change",
    [
        lambda name: "module." + name,
        lambda name: "_orig_mod." + name,
        lambda name: "module._orig_mod." + name,
        lambda name: "_forward_module." + name,
        lambda name: "model." + name,
        lambda name: "base_model.model." + name,
        lambda name: "actor.module." + name,
        lambda name: name.replace("model.", "", 1),
        lambda name: name.replace("layers.", "_orig_mod.layers.").replace("mlp.", "_checkpoint_wrapped_module.mlp."),
        lambda name: "model." + name.replace("model.", "model.", 1) if "lm_head" not in name else name,
    ],
)
@pytest.mark.parametrize("tied", [False, True])
def test_a_wrappers_prefix_is_taken_off(tmp_path: Path, change: Callable[[str], str], tied: bool) -> None:
    """Catches weights refused for a prefix, and a head looked for under the decoder's."""
    folder = save(tmp_path, "llama", tie_word_embeddings=tied)
    want = read(folder)
    rename(folder, change)
    found = read(folder)
    assert found.keys() == want.keys()
    for name, array in want.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


def test_two_models_in_one_file_are_told_apart(folder: Path) -> None:
    """Catches one of them taken in silence, whichever its names come last."""
    weights = load_file(folder / "model.safetensors")
    both = {f"{which}.{name}": array.copy() for name, array in weights.items() for which in ("actor", "critic")}
    save_file(both, folder / "model.safetensors")
    with pytest.raises(InputError, match=r"holds the tensor '(actor|critic)\."):
        read(folder)
    save_file(weights | {"module." + LAYER: weights[LAYER].copy()}, folder / "model.safetensors")
    with pytest.raises(InputError, match=f"'{LAYER}' twice, as .* and as"):
        read(folder)


def parts(folder: Path, names: list[str]) -> dict[str, np.ndarray]:
    """The weights dealt out to files of these names."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    for place, name in enumerate(names):
        save_file(dict(list(weights.items())[place :: len(names)]), folder / name)
    return weights


@pytest.mark.parametrize(
    "names",
    [
        [f"model-{i:05d}-of-00003.safetensors" for i in (1, 2, 3)],
        [f"pytorch_model-{i:05d}-of-00002.safetensors" for i in (0, 1)],
    ],
)
def test_parts_without_an_index_are_read_together(folder: Path, names: list[str]) -> None:
    want = read(folder)
    parts(folder, names)
    assert hub.check_folder(folder) == folder
    found = read(folder)
    assert found.keys() == want.keys()
    for name, array in want.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


def test_parts_that_are_not_one_checkpoint_are_refused_by_name(folder: Path) -> None:
    """Catches a model read from some of its parts, and parts of two checkpoints mixed."""
    weights = parts(folder, [f"model-{i:05d}-of-00003.safetensors" for i in (1, 2, 3)])
    second, third = folder / "model-00002-of-00003.safetensors", folder / "model-00003-of-00003.safetensors"
    kept = second.read_bytes()
    second.unlink()
    with pytest.raises(InputError, match=r"2 of the 3 parts .* part 00002"):
        read(folder)
    save_file({LAYER: weights[LAYER]}, second)
    save_file(load_file(third) | load_file(folder / "model-00001-of-00003.safetensors"), third)
    with pytest.raises(InputError, match=r"holds the tensor '.*' twice, in model-0000\d-of-.* and model-"):
        read(folder)
    second.write_bytes(kept)
    shutil.copy(second, folder / "model-00002-of-00004.safetensors")
    with pytest.raises(InputError, match="beside"):
        read(folder)


def test_a_file_of_another_name_is_named(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "weights.safetensors")
    with pytest.raises(InputError, match=r"has no model\.safetensors.*rename weights\.safetensors"):
        read(folder)


def test_adapters_are_refused_by_their_cause(folder: Path) -> None:
    """Catches an adapter passed over beside its base model, and names of its layers called unknown."""
    weights = load_file(folder / "model.safetensors")
    adapted = {f"base_model.model.{name.replace('q_proj.', 'q_proj.base_layer.')}": a for name, a in weights.items()}
    adapted["base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight"] = np.ones((2, 2), np.float32)
    save_file(adapted, folder / "model.safetensors")
    with pytest.raises(InputError, match="peft adapter that is not merged: merge"):
        read(folder)
    save_file(weights, folder / "model.safetensors")
    (folder / "adapter_config.json").write_text("{}")
    for act in (lambda: load_model(str(folder)), lambda: read(folder)):
        with pytest.raises(InputError, match=r"peft adapter \(adapter_config\.json\).*merge"):
            act()
    (folder / "config.json").unlink()
    with pytest.raises(InputError, match="peft adapter"):
        load_model(str(folder))


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_a_head_that_differs_from_a_tied_embedding_is_used_as_in_transformers(tmp_path: Path, family: str) -> None:
    """Catches a trained head dropped in silence because config.json says tied; the note says what was done."""
    folder = save(tmp_path, family, tie_word_embeddings=False)
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(values | {"tie_word_embeddings": True}))
    want = torch_logits(torch_model(folder), TOKENS)
    with pytest.warns(ModelWarning, match="output head that is not its embedding"):
        model = load_model(str(folder))
    assert not model.config.tied
    np.testing.assert_allclose(model.logits(TOKENS), want, atol=2e-5 * np.abs(want).max())


def test_a_head_that_is_the_embedding_stays_tied_in_the_dtype_it_is_loaded_as(tmp_path: Path) -> None:
    """Catches a copy in another dtype called different: equal as bfloat16, it is loaded tied as bfloat16."""
    folder = save(tmp_path, "llama", tie_word_embeddings=True)
    config = DecoderConfig.from_folder(folder)
    weights = load_file(folder / "model.safetensors")
    weights["model.embed_tokens.weight"] = weights["model.embed_tokens.weight"].astype("bfloat16").astype(np.float32)
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"].copy()
    save_file(weights, folder / "model.safetensors")
    assert untied_where_heads_differ(folder, config).tied
    weights["lm_head.weight"] *= np.float32(1 + 2e-7)
    save_file(weights, folder / "model.safetensors")
    assert untied_where_heads_differ(folder, config, "bfloat16").tied
    with pytest.warns(ModelWarning):
        assert not untied_where_heads_differ(folder, config, "float32").tied


def test_a_tied_model_saved_under_its_heads_name_is_read(tmp_path: Path) -> None:
    """transformers ties to whichever of the two is there."""
    folder = save(tmp_path, "llama", tie_word_embeddings=True)
    want = read(folder)
    rename(folder, lambda name: "lm_head.weight" if "embed_tokens" in name else name)
    np.testing.assert_array_equal(read(folder)["model.embed_tokens.weight"], want["model.embed_tokens.weight"])


def test_an_untied_model_without_a_head_is_refused(tmp_path: Path) -> None:
    """transformers draws a head at random there, with a warning."""
    folder = save(tmp_path, "llama", tie_word_embeddings=False)
    weights = load_file(folder / "model.safetensors")
    del weights["lm_head.weight"]
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(InputError, match=r"lacks the output head .* tie_word_embeddings to true"):
        load_model(str(folder))
