"""Scores and their gradients against torch's autograd."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import flax.nnx as nnx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from llm_bridge.models.config import DecoderConfig
from llm_bridge.models.weights import abstract_decoder, export_tensors, load_params
from llm_bridge.sampling.scoring import token_log_probs, token_statistics
from tests.llm_bridge.checkpoints import VOCABULARY, save, torch_model

PROMPT_LENGTH, LENGTHS = 5, [7, 3, 1]


def setting(folder: Path) -> tuple[Any, Any, DecoderConfig, np.ndarray, np.ndarray, np.ndarray]:
    config = DecoderConfig.from_folder(folder)
    graphdef, _ = abstract_decoder(config, dtype=jnp.float32, param_dtype=jnp.float32)
    rng = np.random.default_rng(0)
    prompt = rng.integers(0, VOCABULARY, 8).astype(np.int32)
    tokens = rng.integers(0, VOCABULARY, (3, 7)).astype(np.int32)
    signals = rng.normal(size=(3, 7)).astype(np.float32)
    return graphdef, load_params(folder, config), config, prompt, tokens, signals


def torch_scores(model: Any, prompt: np.ndarray, tokens: np.ndarray, temperature: float) -> torch.Tensor:
    """log π [G, T] by a plain forward over prompt and response, zero past each length."""
    rows = []
    for row, length in enumerate(LENGTHS):
        ids = torch.tensor(np.concatenate([prompt[:PROMPT_LENGTH], tokens[row, :length]]), dtype=torch.long)
        log_probs = torch.log_softmax(model(ids[None]).logits[0] / temperature, -1)
        chosen = log_probs[PROMPT_LENGTH - 1 : -1].gather(1, ids[PROMPT_LENGTH:, None])[:, 0]
        rows.append(torch.nn.functional.pad(chosen, (0, tokens.shape[1] - length)))
    return torch.stack(rows)


@pytest.mark.parametrize(
    ("family", "remat", "chunk", "tied", "temperature"),
    [("llama", True, 4, True, 0.7), ("qwen2", False, 256, False, 1.0), ("olmo2", True, 5, False, 1.0)],
)
def test_scores_and_gradients_are_torchs(
    tmp_path: Path, family: str, remat: bool, chunk: int, tied: bool, temperature: float
) -> None:
    """Every parameter's gradient of a weighted sum: catches a stopped gradient, a wrong mask, a chunk left out."""
    folder = save(tmp_path, family, tie_word_embeddings=tied)
    graphdef, params, config, prompt, tokens, signals = setting(folder)

    @jax.jit
    def loss(params: Any) -> tuple[jax.Array, jax.Array]:
        scores = token_log_probs(
            graphdef,
            params,
            jnp.asarray(prompt),
            jnp.asarray(tokens),
            jnp.asarray(LENGTHS),
            prompt_lengths=jnp.int32(PROMPT_LENGTH),
            temperature=temperature,
            remat=remat,
            chunk=chunk,
        )
        return jnp.sum(scores * signals), scores

    gradient, scores = jax.grad(loss, has_aux=True)(params)
    theirs = torch_model(folder)
    wanted = torch_scores(theirs, prompt, tokens, temperature)
    np.testing.assert_allclose(scores, wanted.detach().numpy(), atol=2e-4)
    (wanted * torch.tensor(signals)).sum().backward()
    ours = export_tensors(config, gradient)
    for name, parameter in theirs.named_parameters():
        want = parameter.grad.numpy()
        np.testing.assert_allclose(ours[name], want, atol=2e-4 * np.abs(want).max(), err_msg=name)


def test_a_shared_prompt_scores_as_one_prompt_a_row(tmp_path: Path) -> None:
    graphdef, params, _, prompt, tokens, _ = setting(save(tmp_path, "qwen2"))
    other = prompt[::-1].copy()
    arguments = (jnp.asarray(tokens), jnp.asarray(LENGTHS))

    def score(prompts: np.ndarray, lengths: Any) -> jax.Array:
        return token_log_probs(graphdef, params, jnp.asarray(prompts), *arguments, prompt_lengths=lengths)

    shared, whole = score(prompt, jnp.int32(PROMPT_LENGTH)), score(other, None)
    rows = score(np.stack([prompt, other, prompt]), jnp.asarray([PROMPT_LENGTH, 8, PROMPT_LENGTH]))
    np.testing.assert_allclose(rows[0], shared[0], atol=1e-5)
    np.testing.assert_allclose(rows[1], whole[1], atol=1e-5)
    np.testing.assert_allclose(rows[2], shared[2], atol=1e-5)


def test_entropy_is_the_policys(tmp_path: Path) -> None:
    folder = save(tmp_path, "llama")
    graphdef, params, _, prompt, tokens, _ = setting(folder)
    lengths = jnp.asarray(LENGTHS)
    _, entropy = token_statistics(graphdef, params, jnp.asarray(prompt), jnp.asarray(tokens), lengths, chunk=5)
    with torch.inference_mode():
        ids = torch.tensor(np.concatenate([prompt, tokens[0]]), dtype=torch.long)
        categorical = torch.distributions.Categorical(logits=torch_model(folder)(ids[None]).logits[0, 7:-1])
    np.testing.assert_allclose(entropy[0], categorical.entropy().numpy(), atol=1e-4)
    assert (entropy[2, 1:] == 0).all()


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("chunk", [1, 5, 21, 256])
def test_a_chunked_head_is_the_whole_head(tmp_path: Path, tied: bool, chunk: int) -> None:
    """Value and every gradient against log-softmax of the whole [G, T, V]: catches a chunk dropped, counted twice or
    out of order, padding of the last chunk that leaks, a gradient that only one chunk contributes to."""
    graphdef, params, _, prompt, tokens, signals = setting(save(tmp_path, "llama", tie_word_embeddings=tied))
    full = np.concatenate([np.broadcast_to(prompt, (3, 8)), tokens], axis=1)
    inside = np.arange(7)[None] < np.asarray(LENGTHS)[:, None]

    def whole(params: Any) -> tuple[jax.Array, jax.Array]:
        logits = nnx.merge(graphdef, params)(jnp.asarray(full))[:, 7:-1]
        log_probs = jnp.take_along_axis(jax.nn.log_softmax(logits, axis=-1), jnp.asarray(tokens)[..., None], axis=-1)
        log_probs = jnp.where(inside, log_probs[..., 0], 0.0)
        return jnp.sum(log_probs * signals), log_probs

    def chunked(params: Any) -> tuple[jax.Array, jax.Array]:
        scores = token_log_probs(
            graphdef, params, jnp.asarray(prompt), jnp.asarray(tokens), jnp.asarray(LENGTHS), chunk=chunk
        )
        return jnp.sum(scores * signals), scores

    wanted, wanted_scores = jax.jit(jax.grad(whole, has_aux=True))(params)
    found, scores = jax.jit(jax.grad(chunked, has_aux=True))(params)
    np.testing.assert_allclose(scores, wanted_scores, atol=2e-5)
    for (path, one), (_, other) in zip(nnx.to_flat_state(found), nnx.to_flat_state(wanted), strict=True):
        one, other = np.asarray(one[...]), np.asarray(other[...])
        np.testing.assert_allclose(one, other, atol=2e-5 * np.abs(other).max(), err_msg=str(path))


@pytest.mark.parametrize("chunk", [2, 256])
def test_bfloat16_compute_leaves_float32_gradients_of_float32_masters(tmp_path: Path, chunk: int) -> None:
    """Every gradient is float32 and near the one of float32 compute (measured: up to 7% apart, in root mean square, for
    these sharp random attentions); the head's, summed over chunks, is no bfloat16 number. Catches masters that are
    rounded, and chunks whose gradients are added in bfloat16."""
    folder = save(tmp_path, "qwen2")
    graphdef, params, config, prompt, tokens, signals = setting(folder)
    mixed, _ = abstract_decoder(config, dtype=jnp.bfloat16, param_dtype=jnp.float32)

    def loss(params: Any, graphdef: Any) -> jax.Array:
        scores = token_log_probs(
            graphdef, params, jnp.asarray(prompt), jnp.asarray(tokens), jnp.asarray(LENGTHS), chunk=chunk, remat=True
        )
        return jnp.sum(scores * signals)

    wanted = jax.jit(jax.grad(loss), static_argnums=1)(params, graphdef)
    found = jax.jit(jax.grad(loss), static_argnums=1)(params, mixed)
    for (path, one), (_, other) in zip(nnx.to_flat_state(found), nnx.to_flat_state(wanted), strict=True):
        one, other = np.asarray(one[...]), np.asarray(other[...])
        assert one.dtype == np.float32
        assert np.sqrt(np.mean((one - other) ** 2)) < 0.12 * np.sqrt(np.mean(other**2)), path
        if path == ("head",) and chunk == 2:
            moved = one[one != 0]
            assert np.mean(moved.astype(jnp.bfloat16).astype(np.float32) == moved) < 0.5, path


def largest_array(jaxpr: Any, axis: int) -> int:
    """Elements of the largest array with an axis of this size that a jaxpr makes, inner ones included."""
    sizes = [0]
    for equation in jaxpr.eqns:
        sizes += [int(np.prod(out.aval.shape)) for out in equation.outvars if axis in out.aval.shape]
        for value in equation.params.values():
            for inner in value if isinstance(value, tuple | list) else (value,):
                if hasattr(inner, "eqns") or hasattr(inner, "jaxpr"):
                    sizes.append(largest_array(getattr(inner, "jaxpr", inner), axis))
    return max(sizes)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_full_logits_never_exist(tmp_path: Path, tied: bool, dtype: str) -> None:
    """Forward and backward: nothing over the vocabulary is larger than the embedding, V·D; the logits of one long
    response, T·V, are 5 times that, those of the round 21 times: the memory peak of trainers that form them."""
    folder = save(tmp_path, "llama", vocab_size=20000, tie_word_embeddings=tied)
    _, params, config, prompt, _, _ = setting(folder)
    graphdef, _ = abstract_decoder(config, dtype=jnp.dtype(dtype), param_dtype=jnp.float32)
    tokens, lengths = jnp.zeros((4, 256), jnp.int32), jnp.full((4,), 256)

    def loss(params: Any) -> jax.Array:
        return jnp.sum(token_log_probs(graphdef, params, jnp.asarray(prompt), tokens, lengths, chunk=16))

    assert largest_array(jax.make_jaxpr(jax.grad(loss))(params).jaxpr, 20000) == 20000 * 48 < 256 * 20000
    # The measure itself: a loss that forms the logits is seen.
    logits = jax.make_jaxpr(lambda params: nnx.merge(graphdef, params)(tokens).sum())(params)
    assert largest_array(logits.jaxpr, 20000) == 4 * 256 * 20000
