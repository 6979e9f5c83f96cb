"""Scores and their gradients against torch's autograd."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from llm_bridge.config import DecoderConfig
from llm_bridge.scoring import token_log_probs, token_statistics
from llm_bridge.weights import abstract_decoder, export_tensors, load_params
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


def largest_array(jaxpr: Any) -> int:
    """Elements of the largest array that a jaxpr makes, inner ones included."""
    sizes = [0]
    for equation in jaxpr.eqns:
        sizes += [int(np.prod(out.aval.shape)) for out in equation.outvars]
        for value in equation.params.values():
            for inner in value if isinstance(value, tuple | list) else (value,):
                if hasattr(inner, "eqns") or hasattr(inner, "jaxpr"):
                    sizes.append(largest_array(getattr(inner, "jaxpr", inner)))
    return max(sizes)


def test_full_logits_never_exist(tmp_path: Path) -> None:
    """Forward and backward: nothing as large as G·T·V, which is the memory peak of trainers that form it."""
    folder = save(tmp_path, "llama", vocab_size=20000)
    graphdef, params, _, prompt, _, _ = setting(folder)
    tokens, lengths = jnp.zeros((4, 64), jnp.int32), jnp.full((4,), 64)

    def loss(params: Any) -> jax.Array:
        return jnp.sum(token_log_probs(graphdef, params, jnp.asarray(prompt), tokens, lengths, chunk=16))

    assert largest_array(jax.make_jaxpr(jax.grad(loss))(params).jaxpr) <= 20000 * 48 < 4 * 64 * 20000
