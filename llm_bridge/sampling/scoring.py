"""Log-probabilities of given responses: the trainer's score, jittable and differentiable in the parameters.

Fine-tuning differentiates `token_log_probs`, and `LanguageModel.log_probs` reports it, so that what is sampled, what is
scored and what is trained is one policy. The output head runs on a few tokens at a time (`lax.scan` with
`jax.checkpoint`): logits of
shape [R, T, V] never exist, neither forward nor backward.
"""

from __future__ import annotations

from typing import Any

import flax.nnx as nnx
import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from llm_bridge.models import placement

Array = jax.Array
# Tokens whose logits exist at one time: 256 × 50,000 float32 are 50 MB.
HEAD_CHUNK = 256


def token_log_probs(
    graphdef: Any,
    params: Any,
    prompts: Array,
    tokens: Array,
    lengths: Array,
    *,
    prompt_lengths: Array | None = None,
    owners: Array | None = None,
    temperature: float | Array = 1.0,
    remat: bool = False,
    chunk: int = HEAD_CHUNK,
) -> Array:
    """log π(token t | prompt, tokens before t) at `temperature`: [R, T] float32, 0 at and past each row's length.

    Args:
        graphdef, params: from `nnx.split(decoder)`; the gradient flows into `params`.
        prompts: int [P], one prompt that all rows continue, or [H, P], right-padded. Each is run once.
        tokens: int [R, T] response tokens, right-padded.
        lengths: int [R] response lengths, the first end-of-text token included; T or less.
        prompt_lengths: int scalar or [H]; None when no prompt is padded.
        owners: int [R], which of the H prompts each row continues, all below H; None: row r's is the r-th, H = R.
        temperature: the policy is softmax(logits / temperature); must be positive.
        remat: recompute each layer in the backward pass, which then holds L residual streams and not every activation.
        chunk: tokens whose logits exist at one time.
    """
    return token_statistics(
        graphdef,
        params,
        prompts,
        tokens,
        lengths,
        prompt_lengths=prompt_lengths,
        owners=owners,
        temperature=temperature,
        remat=remat,
        chunk=chunk,
    )[0]


def mesh_of(graphdef: Any, params: Any) -> Mesh | None:
    """The mesh that the decoder stands on."""
    return nnx.merge(graphdef, params).config.mesh


def token_statistics(
    graphdef: Any,
    params: Any,
    prompts: Array,
    tokens: Array,
    lengths: Array,
    *,
    prompt_lengths: Array | None = None,
    owners: Array | None = None,
    temperature: float | Array = 1.0,
    remat: bool = False,
    chunk: int = HEAD_CHUNK,
) -> tuple[Array, Array]:
    """`token_log_probs` and the policy's entropy in nats at each response position, both [R, T] float32; same
    arguments.
    """
    decoder = nnx.merge(graphdef, params)
    rows, length = tokens.shape
    prompts = prompts[None] if prompts.ndim == 1 else prompts
    if prompt_lengths is None:
        prompt_lengths = jnp.full((prompts.shape[0],), prompts.shape[1], jnp.int32)
    prompt_lengths = jnp.broadcast_to(jnp.asarray(prompt_lengths, jnp.int32), (prompts.shape[0],))
    last, states = decoder.response_states(prompts, prompt_lengths, tokens, owners, remat=remat)
    last = jnp.broadcast_to(last[:, None], (rows, 1, last.shape[-1]))
    states = jnp.concatenate([last, states[:, :-1]], axis=1)

    mesh = decoder.config.mesh
    shards = placement.row_shards(mesh)
    # On a mesh that divides rows a chunk is some tokens of every row, so that each device has its own rows' logits.
    across = shards > 1 and rows % shards == 0
    total = length if across else rows * length
    chunk = min(max(1, chunk * shards // rows) if across else chunk, total)
    count = -(-total // chunk)
    padding = count * chunk - total

    def fold(x: Array) -> Array:
        """[R, T, ...] as [count, chunk, ...], or [count, R, chunk, ...] across rows."""
        after = x.shape[2:]
        if across:
            padded = jnp.pad(x, [(0, 0), (0, padding), *[(0, 0)] * len(after)])
            return jnp.moveaxis(padded.reshape(rows, count, chunk, *after), 1, 0)
        return jnp.pad(x.reshape(total, *after), [(0, padding), *[(0, 0)] * len(after)]).reshape(count, chunk, *after)

    def head(carry: None, inputs: tuple[Array, Array]) -> tuple[None, tuple[Array, Array]]:
        part, target = inputs
        logits = decoder.head_logits(part) / temperature
        normaliser = jax.nn.logsumexp(logits, axis=-1)
        if placement.tensor_shards(mesh) > 1:  # picked where it is: an index would bring all logits together
            here = jnp.arange(logits.shape[-1], dtype=jnp.int32) == target[..., None]
            chosen = jnp.sum(jnp.where(here, logits, 0.0), axis=-1)
        else:
            chosen = jnp.take_along_axis(logits, target[..., None], axis=-1)[..., 0]
        # Entropy = log Z − E[logit]; centred first, so that large logits do not cancel.
        centred = logits - normaliser[..., None]
        entropy = -jnp.sum(jnp.exp(centred) * centred, axis=-1)
        return carry, (chosen - normaliser, entropy)

    # A single chunk is all there is at one time either way: its logits are kept rather than computed twice.
    folded = fold(states), fold(tokens)
    _, (log_probs, entropy) = jax.lax.scan(head if count == 1 else jax.checkpoint(head), None, folded)
    inside = jnp.arange(length, dtype=jnp.int32)[None] < lengths[:, None]

    def unfold(x: Array) -> Array:
        if across:
            whole = jnp.moveaxis(x, 0, 1).reshape(rows, -1)[:, :length]
        else:
            whole = x.reshape(-1)[:total].reshape(rows, length)
        return jnp.where(inside, whole, 0.0)

    return unfold(log_probs), unfold(entropy)
