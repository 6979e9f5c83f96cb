"""Weights and configs: what is read, what is written back, and what is refused in a sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from bandit_rft.errors import InputError
from llm_bridge.models.config import DecoderConfig
from llm_bridge.models.weights import export_tensors, load_params
from tests.llm_bridge.checkpoints import FAMILIES, LLAMA32_ROPE, save, torch_logits, torch_model

Tensors = dict[str, np.ndarray]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("tied", [False, True])
def test_export_gives_back_the_very_tensors(tmp_path: Path, family: str, tied: bool) -> None:
    """Catches a transpose or name that differs between reading and writing, and layers out of order."""
    folder = save(tmp_path, family, tie_word_embeddings=tied, num_hidden_layers=11)
    config = DecoderConfig.from_folder(folder)
    theirs, ours = load_file(folder / "model.safetensors"), export_tensors(config, load_params(folder, config))
    assert ours.keys() == theirs.keys()
    for name, array in theirs.items():
        np.testing.assert_array_equal(ours[name], array, err_msg=name)
        assert ours[name].flags.c_contiguous


def test_a_written_folder_loads_in_transformers(tmp_path: Path) -> None:
    folder = save(tmp_path / "theirs", "qwen2", dtype="bfloat16")
    config = DecoderConfig.from_folder(folder)
    written = tmp_path / "ours"
    written.mkdir()
    (written / "config.json").write_bytes((folder / "config.json").read_bytes())
    tensors = export_tensors(config, load_params(folder, config, jnp.float32), "bfloat16")
    save_file(tensors, written / "model.safetensors", metadata={"format": "pt"})
    tokens = np.arange(20)[None]
    np.testing.assert_array_equal(torch_logits(torch_model(written), tokens), torch_logits(torch_model(folder), tokens))


def test_shards_read_as_one_file(tmp_path: Path) -> None:
    whole, sharded = save(tmp_path / "whole", "llama"), save(tmp_path / "sharded", "llama", shard="60KB")
    assert len(list(sharded.glob("*.safetensors"))) > 2
    config = DecoderConfig.from_folder(whole)
    one, many = (export_tensors(config, load_params(folder, config)) for folder in (whole, sharded))
    for name, array in one.items():
        np.testing.assert_array_equal(many[name], array)


def test_stored_dtype_is_the_one_asked_for(tmp_path: Path) -> None:
    folder = save(tmp_path, "llama", dtype="bfloat16")
    config = DecoderConfig.from_folder(folder)
    assert load_params(folder, config, "bfloat16")["embedding"][...].dtype == jnp.bfloat16
    assert load_params(folder, config, "float32")["embedding"][...].dtype == jnp.float32


def _drop(tensors: Tensors) -> None:
    del tensors["model.layers.1.mlp.up_proj.weight"]


def _add(tensors: Tensors) -> None:
    tensors["model.layers.2.mlp.up_proj.weight"] = tensors["model.layers.1.mlp.up_proj.weight"]


def _transpose(tensors: Tensors) -> None:
    tensors["model.layers.0.mlp.down_proj.weight"] = np.ascontiguousarray(
        tensors["model.layers.0.mlp.down_proj.weight"].T
    )


def _quantise(tensors: Tensors) -> None:
    tensors["lm_head.weight"] = tensors["lm_head.weight"].astype(np.int8)


def _float8(tensors: Tensors) -> None:
    tensors["lm_head.weight"] = tensors["lm_head.weight"].astype(ml_dtypes.float8_e4m3fn)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (_drop, r"lacks the tensor 'model\.layers\.1\.mlp\.up_proj\.weight'"),
        (_add, r"holds the tensor 'model\.layers\.2\.mlp\.up_proj\.weight', which a 2-layer llama"),
        (_transpose, r"'model\.layers\.0\.mlp\.down_proj\.weight'.* shape \[80, 48\] .* \[48, 80\]"),
        (_quantise, r"'lm_head\.weight' .* stored as I8"),
        (_float8, r"'lm_head\.weight' .* stored as F8_E4M3"),
    ],
)
def test_a_tensor_that_does_not_fit_is_named(tmp_path: Path, change: Callable[[Tensors], None], sentence: str) -> None:
    folder = save(tmp_path, "llama")
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(InputError, match=sentence):
        load_params(folder, DecoderConfig.from_folder(folder))


def test_a_tied_heads_copy_and_rotary_buffers_are_passed_over(tmp_path: Path) -> None:
    folder = save(tmp_path, "llama", tie_word_embeddings=True)
    tensors = load_file(folder / "model.safetensors")
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].copy()
    tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = np.ones(4, np.float32)
    save_file(tensors, folder / "model.safetensors")
    config = DecoderConfig.from_folder(folder)
    assert "lm_head.weight" not in export_tensors(config, load_params(folder, config))


def test_a_folder_without_weights_or_with_a_cut_file_is_refused(tmp_path: Path) -> None:
    folder = save(tmp_path, "llama")
    config, weights = DecoderConfig.from_folder(folder), folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(InputError, match="cannot be read as safetensors"):
        load_params(folder, config)
    weights.unlink()
    with pytest.raises(InputError, match=r"has no model\.safetensors"):
        load_params(folder, config)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"x": "part.safetensors"}}))
    with pytest.raises(InputError, match=r"lacks part\.safetensors"):
        load_params(folder, config)


BASE: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 64,
    "num_attention_heads": 4,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "rms_norm_eps": 1e-5,
    "vocab_size": 100,
    "max_position_embeddings": 128,
}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"model_type": "gemma"}, "model_type 'gemma'.* llama, qwen2, olmo2"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}, "type 'yarn'"),
        ({"rope_scaling": {"type": "linear", "factor": 0}}, "factor = '0'"),
        ({"rope_parameters": {"rope_type": "llama3", "rope_theta": 1e4, "factor": 8.0}}, "without 'low_freq_factor'"),
        ({"rope_parameters": {"partial_rotary_factor": 0.5}}, "partial rotary factor of 0.5"),
        (
            {"rope_parameters": {"rope_theta": 5e5}, "rope_scaling": {"rope_type": "linear", "factor": 2.0}},
            "rope_parameters and rope_scaling, which differ",
        ),
        ({"rope_scaling": {"factor": 4.0}}, "rotary setting 'factor' without a rope_type"),
        (
            {"model_type": "qwen3", "rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 1e6}}},
            "rotary setting 'full_attention' without a rope_type",
        ),
        (
            {"rope_parameters": LLAMA32_ROPE, "original_max_position_embeddings": 4096},
            "two original_max_position_embeddings, which differ",
        ),
        ({"model_type": "qwen2", "use_sliding_window": True, "sliding_window": 4096}, "sliding-window"),
        ({"layer_types": ["full_attention", "sliding_attention"]}, "sliding-window"),
        ({"hidden_act": "gelu"}, "activation 'gelu'"),
        ({"attention_bias": True}, "biases on its attention"),
        ({"mlp_bias": True}, "biases in its MLP"),
        ({"model_type": "qwen3", "attention_bias": True}, "biases on its attention"),
        ({"model_type": "qwen3", "use_sliding_window": True, "sliding_window": 9}, "sliding-window"),
        ({"model_type": "gemma3_text", "hidden_activation": "gelu"}, "activation 'gelu'"),
        ({"model_type": "gemma3_text", "final_logit_softcapping": 30.0}, "soft-capped"),
        ({"model_type": "gemma3_text", "use_bidirectional_attention": True}, "both directions"),
        ({"model_type": "gemma3_text", "layer_types": ["full_attention"]}, "no list of 2, each 'sliding_attention'"),
        ({"model_type": "gemma3_text", "layer_types": ["full_attention", "chunked_attention"]}, "no list of 2"),
        ({"model_type": "gemma3_text", "sliding_window": None}, "no 'sliding_window'"),
        ({"model_type": "gemma3_text", "num_hidden_layers": 10**9}, "beyond 4096"),
        ({"model_type": "gemma3_text", "rope_parameters": {"rope_theta": 1e6}}, "describes its rotary embedding"),
        (
            {
                "model_type": "gemma3_text",
                "rope_parameters": {"sliding_attention": {"rope_type": "linear", "factor": 2}},
            },
            "scales the rotary embedding of its sliding-window layers",
        ),
        ({"model_type": "gemma3", "text_config": 3}, "text part by '3'"),
        ({"quantization_config": {"bits": 4}}, "quantised"),
        ({"num_key_value_heads": 3}, "4 attention heads, not a multiple of its 3"),
        ({"head_dim": 7}, "odd head size 7"),
        ({"vocab_size": None}, "has no 'vocab_size'"),
        ({"eos_token_id": 100}, r"^config\.json of .* eos_token_id = '100', which is beyond the vocabulary of 100"),
        ({"tie_word_embeddings": "false"}, "tie_word_embeddings = 'false', which is neither true nor false"),
    ],
)
def test_what_the_decoder_cannot_do_is_refused(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence) as caught:
        DecoderConfig.from_values(BASE | change, source="somewhere")
    assert "somewhere" in str(caught.value)


def test_an_unused_sliding_window_is_no_obstacle() -> None:
    """Qwen2.5's config.json names a window that it does not use."""
    values = BASE | {"model_type": "qwen2", "use_sliding_window": False, "sliding_window": 32768}
    assert DecoderConfig.from_values(values, source="x").family.projection_bias


def test_both_spellings_of_rotary_scaling_read_alike() -> None:
    old = {name: value for name, value in LLAMA32_ROPE.items() if name != "rope_theta"}
    ours = [
        DecoderConfig.from_values(BASE | change, source="x")
        for change in ({"rope_parameters": LLAMA32_ROPE}, {"rope_theta": 500000.0, "rope_scaling": old})
    ]
    assert ours[0] == ours[1]
    assert ours[0].rope_theta == 500000.0
    assert ours[0].rope_scaling is not None


def test_a_response_ends_at_the_ids_of_both_files(tmp_path: Path) -> None:
    """Catches an end token that only config.json names, and responses that go on past it."""
    (tmp_path / "config.json").write_text(json.dumps(BASE | {"eos_token_id": 7}))
    assert DecoderConfig.from_folder(tmp_path).eos_ids == (7,)
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [8, 9]}))
    assert DecoderConfig.from_folder(tmp_path).eos_ids == (8, 9, 7)
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": None}))
    assert DecoderConfig.from_folder(tmp_path).eos_ids == (7,)
    (tmp_path / "config.json").write_text(json.dumps(BASE | {"eos_token_id": -1}))
    assert DecoderConfig.from_folder(tmp_path).eos_ids == ()
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [8, 100]}))
    with pytest.raises(InputError, match=r"generation_config\.json of .* beyond the vocabulary of 100"):
        DecoderConfig.from_folder(tmp_path)


def test_a_missing_or_broken_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no config\.json"):
        DecoderConfig.from_folder(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read as JSON"):
        DecoderConfig.from_folder(tmp_path)
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(InputError, match="does not hold a JSON object"):
        DecoderConfig.from_folder(tmp_path)
