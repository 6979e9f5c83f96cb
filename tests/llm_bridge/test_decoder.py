"""The decoder against transformers' torch logits, family by family."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import flax.nnx as nnx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from llm_bridge.models.config import DecoderConfig
from llm_bridge.models.decoder import Decoder, attend, rope_frequencies
from llm_bridge.models.weights import abstract_decoder, load_params
from tests.llm_bridge.checkpoints import (
    FAMILIES,
    GEMMA3_ROPE,
    LLAMA32_ROPE,
    VOCABULARY,
    save,
    torch_logits,
    torch_model,
)


def our_logits(folder: Path, tokens: np.ndarray, dtype: str = "float32") -> np.ndarray:
    config = DecoderConfig.from_folder(folder)
    kind = jnp.dtype(dtype)
    graphdef, _ = abstract_decoder(config, dtype=kind, param_dtype=kind)
    params = load_params(folder, config, kind)
    return np.asarray(jax.jit(lambda params, tokens: nnx.merge(graphdef, params)(tokens))(params, jnp.asarray(tokens)))


def assert_close(ours: np.ndarray, theirs: np.ndarray, relative: float) -> None:
    assert ours.dtype == np.float32
    assert np.abs(ours - theirs).max() < relative * np.abs(theirs).max()


CASES: list[tuple[str, dict[str, Any]]] = [
    ("llama", {}),
    ("llama", {"tie_word_embeddings": True}),
    ("llama", {"num_key_value_heads": 6}),
    ("llama", {"head_dim": 20}),
    ("llama", {"rope_theta": 500.0}),
    ("llama", {"rope_parameters": LLAMA32_ROPE, "hidden_size": 128, "num_attention_heads": 2}),
    ("qwen2", {}),
    ("qwen2", {"tie_word_embeddings": True, "num_key_value_heads": 1}),
    ("olmo2", {}),
    ("llama", {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0}}),
    ("qwen3", {"tie_word_embeddings": True}),
    ("gemma3_text", {"num_hidden_layers": 3, "rope_parameters": GEMMA3_ROPE}),
]


@pytest.mark.parametrize(("family", "values"), CASES)
def test_logits_are_those_of_transformers(tmp_path: Path, family: str, values: dict[str, Any]) -> None:
    """Catches a wrong norm, bias, head grouping, rotary pairing, frequency, mask or head; right ones differ by 1e-6."""
    folder = save(tmp_path, family, **values)
    tokens = np.random.default_rng(1).integers(0, VOCABULARY, (2, 33)).astype(np.int32)
    assert_close(our_logits(folder, tokens), torch_logits(torch_model(folder), tokens), 2e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_bfloat16_checkpoint_reads_as_the_same_numbers(tmp_path: Path, family: str) -> None:
    folder = save(tmp_path, family, dtype="bfloat16")
    tokens = np.random.default_rng(1).integers(0, VOCABULARY, (2, 17)).astype(np.int32)
    assert_close(our_logits(folder, tokens), torch_logits(torch_model(folder), tokens), 2e-5)
    # In bfloat16 arithmetic two right implementations differ by rounding, 2^-8 an operation; a wrong one by order 1.
    assert_close(our_logits(folder, tokens, "bfloat16"), torch_logits(torch_model(folder), tokens), 0.1)


def test_positions_past_8192_with_llama3_scaling(tmp_path: Path) -> None:
    """Catches wrong scaled frequencies (errors grow with position), and a fault in attention by chunks of queries."""
    folder = save(
        tmp_path,
        "llama",
        rope_parameters=LLAMA32_ROPE,
        hidden_size=64,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=1,
        num_key_value_heads=1,
        vocab_size=50,
        max_position_embeddings=131072,
        eos_token_id=2,
    )
    tokens = np.random.default_rng(2).integers(0, 50, (1, 8500)).astype(np.int32)
    ours, theirs = our_logits(folder, tokens), torch_logits(torch_model(folder), tokens)
    # Angles of up to 8500 radians are rounded to float32 alike; their cosines still differ between libraries.
    assert_close(ours, theirs, 2e-3)
    assert_close(ours[:, -200:], theirs[:, -200:], 2e-3)


def test_llama3_frequencies_are_those_of_transformers(tmp_path: Path) -> None:
    """17 of Llama-3.2's 32 frequencies are wrong in a decoder that leaves the scaling out."""
    folder = save(tmp_path, "llama", rope_parameters=LLAMA32_ROPE, hidden_size=128, num_attention_heads=2)
    theirs, factor = ROPE_INIT_FUNCTIONS["llama3"](torch_model(folder).config, torch.device("cpu"))
    ours = rope_frequencies(DecoderConfig.from_folder(folder))
    assert factor == 1.0
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-6)
    unscaled = 500000.0 ** -(np.arange(0, 64, 2) / 64)
    assert (np.abs(ours / unscaled - 1) > 1e-3).sum() == 17


def test_a_token_sees_nothing_after_it_and_nothing_of_other_rows(tmp_path: Path) -> None:
    folder = save(tmp_path, "llama")
    tokens = np.random.default_rng(3).integers(0, VOCABULARY, (2, 20)).astype(np.int32)
    changed = tokens.copy()
    changed[0, 11:] = (changed[0, 11:] + 7) % VOCABULARY
    before, after = our_logits(folder, tokens), our_logits(folder, changed)
    np.testing.assert_array_equal(before[0, :11], after[0, :11])
    np.testing.assert_array_equal(before[1], after[1])
    assert np.abs(before[0, 11:] - after[0, 11:]).min(axis=-1).max() > 0


def test_attention_is_the_softmax_average_over_all_pieces() -> None:
    """Against a loop in float64; long queries go by chunks, a piece with one row is shared by all."""
    rng = np.random.default_rng(4)
    rows, queries, kv_heads, group, dim = 2, 700, 2, 3, 4
    query = rng.normal(size=(rows, queries, kv_heads * group, dim)).astype(np.float32)
    shapes = [(1, 5), (rows, 9)]
    pieces = []
    for held, size in shapes:
        mask = rng.random((held, queries, size)) < 0.6
        mask[..., 0] = True
        keys = rng.normal(size=(held, kv_heads, dim, size)).astype(np.float32)
        pieces.append((keys, rng.normal(size=(held, kv_heads, size, dim)).astype(np.float32), mask))
    ours = np.asarray(attend(jnp.asarray(query), *(tuple(map(jnp.asarray, piece)) for piece in pieces)))
    for b in range(rows):
        for t in (0, 1, 511, 512, 699):
            for h in range(kv_heads * group):
                scores, values = [], []
                for keys, held_values, mask in pieces:
                    row = b % keys.shape[0]
                    seen = mask[row, t]
                    scores.append(query[b, t, h].astype(float) @ keys[row, h // group].astype(float)[:, seen] / 2.0)
                    values.append(held_values[row, h // group][seen])
                weights = np.exp(np.concatenate(scores))
                want = weights @ np.concatenate(values) / weights.sum()
                np.testing.assert_allclose(ours[b, t, h], want, atol=1e-5)


def test_parameters_are_stacked_and_split_from_the_graph() -> None:
    config = DecoderConfig.from_values(
        {
            "model_type": "qwen2",
            "hidden_size": 16,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "intermediate_size": 24,
            "num_hidden_layers": 5,
            "rms_norm_eps": 1e-6,
            "vocab_size": 11,
            "max_position_embeddings": 64,
        },
        source="test",
    )
    graphdef, shapes_only = abstract_decoder(config, dtype=jnp.float32, param_dtype=jnp.float32)
    shapes = {"/".join(map(str, path)): leaf.shape for path, leaf in nnx.to_flat_state(shapes_only)}
    assert shapes["blocks/q"] == (5, 16, 16)
    assert shapes["blocks/k_bias"] == (5, 8)
    assert shapes["head"] == (16, 11)

    @jax.jit
    def logits(tokens: jax.Array) -> jax.Array:
        _, params = nnx.split(Decoder(config, rngs=nnx.Rngs(0)))
        return nnx.merge(graphdef, params)(tokens)

    out = logits(jnp.zeros((2, 3), jnp.int32))
    assert out.shape == (2, 3, 11)
    assert jnp.isfinite(out).all()
