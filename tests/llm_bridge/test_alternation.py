"""Windows and rotary bases that differ from layer to layer: each way through the decoder against transformers' torch.

The window is 7 tokens, shorter than every prompt and response here; of three layers the second sees all.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import flax.nnx as nnx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from llm_bridge import LanguageModel, load_model
from llm_bridge.models.config import DecoderConfig
from llm_bridge.models.rotary import rope_frequencies
from llm_bridge.models.weights import load_params, tensors
from llm_bridge.sampling.scoring import token_log_probs
from tests.llm_bridge.checkpoints import GEMMA3_ROPE, beside_a_vision_tower, save, torch_greedy, torch_model

PROMPTS = ("What is 2 + 3?", "A prompt of more than thirty tokens.")
T = 12  # response tokens


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tied, as published models are: the embedding is scaled where it is read, and not in the head."""
    own = {"num_hidden_layers": 3, "tie_word_embeddings": True, "rope_parameters": GEMMA3_ROPE}
    return save(tmp_path_factory.mktemp("gemma"), "gemma3_text", **own)


@pytest.fixture(scope="module")
def model(folder: Path) -> LanguageModel:
    return load_model(str(folder))


def responses(rows: int) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (rows, T)).astype(np.int32)


def torch_scores(theirs: Any, prompt: np.ndarray, tokens: np.ndarray) -> Any:
    """Log-probabilities of the response's tokens, with their graph."""
    ids = torch.tensor(np.concatenate([prompt, tokens]), dtype=torch.long)
    logits = theirs(ids[None]).logits[0, len(prompt) - 1 : -1]
    return torch.log_softmax(logits, -1).gather(-1, ids[len(prompt) :, None])[:, 0]


def padded(model: LanguageModel) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    prompts = [model.encode(prompt) for prompt in PROMPTS]
    lengths = np.array([len(prompt) for prompt in prompts], np.int32)
    array = np.full((len(prompts), lengths.max() + 3), 9, np.int32)
    for row, prompt in enumerate(prompts):
        array[row, : len(prompt)] = prompt
    return prompts, array, lengths


@pytest.mark.parametrize("attention", ["own", "dot-product"])
def test_scores_of_padded_prompts_that_rows_share(model: LanguageModel, folder: Path, attention: str) -> None:
    """Catches a window counted from a cache's slot and not from the token's position, which padding moves, and one that
    reaches into the prompt's padding; of dot-product attention, a response that begins elsewhere than its prompt ends.
    """
    model = model.with_attention(attention)
    prompts, array, lengths = padded(model)
    owners, tokens = np.array([0, 1, 1], np.int32), responses(3)
    found = token_log_probs(
        model.graphdef,
        model.params,
        jnp.asarray(array),
        jnp.asarray(tokens),
        jnp.full((3,), T, jnp.int32),
        prompt_lengths=jnp.asarray(lengths),
        owners=jnp.asarray(owners),
    )
    theirs = torch_model(folder)
    for row, owner in enumerate(owners):
        with torch.inference_mode():
            wanted = torch_scores(theirs, prompts[owner], tokens[row]).numpy()
        np.testing.assert_allclose(found[row], wanted, atol=2e-4)


def test_ways_through_the_decoder_agree(model: LanguageModel) -> None:
    """What a mesh that divides rows runs in place of `response_states`, without one here: each row after its own
    prompt, and all after a lone one."""
    _, array, lengths = padded(model)
    tokens = jnp.asarray(responses(2))

    @jax.jit
    def ways(params: Any) -> list[tuple[jax.Array, jax.Array]]:
        decoder, prompts, held = nnx.merge(model.graphdef, params), jnp.asarray(array), jnp.asarray(lengths)
        return [
            decoder.response_states(prompts, held, tokens),
            decoder._after_own_prompts(prompts, held, tokens, False),
            decoder.response_states(prompts[1:], held[1:], tokens),
            decoder._after_one_prompt(prompts[1:], held[1:], tokens, False),
        ]

    own, other, lone, shared = ways(model.params)
    for found, wanted in ((other, own), (shared, lone)):
        for mine, theirs in zip(found, wanted, strict=True):
            np.testing.assert_allclose(mine, theirs, atol=2e-4)


@pytest.mark.parametrize(
    ("family", "attention"),
    [
        ("gemma3_text", "own"),
        ("gemma3_text", "dot-product"),
        pytest.param("qwen3", "own", marks=pytest.mark.slow),
    ],
)
def test_the_gradient_is_torchs(
    model: LanguageModel, folder: Path, tmp_path: Path, family: str, attention: str
) -> None:
    """Of every weight, the response's tokens scored after a shared prompt; torch's autograd in float64 is the oracle.
    Catches a weight that an option cuts off, and a tied embedding whose two uses are scaled alike."""
    if family == "qwen3":
        folder = save(tmp_path, family, tie_word_embeddings=True)
        model = load_model(str(folder))
    model = model.with_attention(attention)
    prompt, tokens = model.encode(PROMPTS[1]), responses(2)

    @jax.jit
    def gradient(params: Any) -> Any:
        def loss(params: Any) -> jax.Array:
            lengths = jnp.full((2,), T, jnp.int32)
            return token_log_probs(model.graphdef, params, jnp.asarray(prompt), jnp.asarray(tokens), lengths).sum()

        return jax.grad(loss)(params)

    theirs = torch_model(folder).double()
    torch.stack([torch_scores(theirs, prompt, row).sum() for row in tokens]).sum().backward()
    wanted = {name: parameter.grad.numpy() for name, parameter in theirs.named_parameters()}
    found = dict(tensors(model.config, gradient(model.params)))
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():
        np.testing.assert_allclose(found[name], array, atol=1e-4 * np.abs(array).max(), rtol=0, err_msg=name)


@pytest.mark.slow
def test_greedy_decoding_far_beyond_the_window(model: LanguageModel, folder: Path) -> None:
    """Prompts of unequal length in one batch, past the first cache: catches a window that follows the cache's slots."""
    batch = model.generate_many(PROMPTS, max_tokens=140, key=0, temperature=0.0, ignore_eos=True)
    theirs = torch_model(folder)
    for row, prompt in enumerate(PROMPTS):
        assert batch.tokens[row].tolist() == torch_greedy(theirs, model.encode(prompt), 140)


def test_frequencies_of_both_kinds_of_layers_are_those_of_transformers(folder: Path) -> None:
    rotary = torch_model(folder).model.rotary_emb
    config = DecoderConfig.from_folder(folder)
    for local, theirs in ((False, rotary.full_attention_inv_freq), (True, rotary.sliding_attention_inv_freq)):
        np.testing.assert_array_equal(rope_frequencies(config, local=local), theirs.numpy())


def test_the_text_part_of_a_checkpoint_that_reads_images(folder: Path, tmp_path: Path) -> None:
    """As transformers writes it and as published files name their tensors, config.json with the text part within:
    catches a prefix that is not taken off, and a tensor of the vision tower that is refused."""
    beside_a_vision_tower(folder, tmp_path / "written")
    config = DecoderConfig.from_folder(tmp_path / "written")
    assert config == DecoderConfig.from_folder(folder)
    wanted = jax.tree.leaves(load_params(folder, config))
    names = load_file(tmp_path / "written" / "model.safetensors")
    assert any("vision_tower" in name for name in names)
    assert any("multi_modal_projector" in name for name in names)
    renamed = {
        name.replace("model.language_model.", "language_model.model.").removeprefix("model."): array
        for name, array in names.items()
    }
    (tmp_path / "published").mkdir()
    (tmp_path / "published" / "config.json").write_text((tmp_path / "written" / "config.json").read_text())
    save_file(renamed, tmp_path / "published" / "model.safetensors")
    for form in ("written", "published"):
        for mine, theirs in zip(jax.tree.leaves(load_params(tmp_path / form, config)), wanted, strict=True):
            np.testing.assert_array_equal(mine, theirs)
