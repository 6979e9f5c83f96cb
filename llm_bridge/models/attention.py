"""Grouped-query attention (Ainslie et al. 2023), in two ways.

    attend                own: over keys and values that stand in several pieces, whatever a query may see of each
    causal, continued     dot-product: `jax.nn.dot_product_attention` over whole sequences, each token seeing those
                          before it; on a GPU in 16 bits cuDNN's flash attention, which never writes scores to memory

Own attention is what decoding, CPUs, meshes and float32 take; `DecoderConfig.attention` chooses for whole sequences.
Left out: TPU kernels (splash attention): on a TPU "dot-product" is XLA's own attention, as on a CPU.
"""

from __future__ import annotations

from functools import reduce
from typing import Any, Literal

import jax
import jax.numpy as jnp

from bandit_rft.errors import InputError
from llm_bridge.models.products import product

Array = jax.Array
# Keys [B or 1, KV, head_dim, S], values [B or 1, KV, S, head_dim], and which of the S positions each query may see:
# bool [B or 1, T, S]. In this layout both products of attention are plain batched matrix products: on a CPU a quarter
# of the time of [B, S, KV, head_dim], which needs a transpose for each.
Piece = tuple[Array, Array, Array]
MASKED = -1e30
# Attention scores are formed for so many queries at a time, so that memory grows with T and not with T².
QUERY_CHUNK = 512
ATTENTIONS = ("own", "dot-product", "auto")


def attend(query: Array, *pieces: Piece) -> Array:
    """Grouped-query attention of query [B, T, H, head_dim] over the union of the pieces; shape and dtype of query.

    A piece whose leading axis is 1 (the prompt that all rollouts share) is read once for all B rows. Scores and softmax
    are float32. Every query must see at least one position.
    """
    queries = query.shape[1]
    if queries <= QUERY_CHUNK:
        return _attend(query, *pieces)
    count = -(-queries // QUERY_CHUNK)
    short = count * QUERY_CHUNK - queries

    def split(x: Array, **fill: Any) -> Array:
        padded = jnp.pad(x, [(0, 0), (0, short)] + [(0, 0)] * (x.ndim - 2), **fill)
        return jnp.moveaxis(padded.reshape(x.shape[0], count, QUERY_CHUNK, *x.shape[2:]), 1, 0)

    masks = tuple(split(mask, constant_values=True) for _, _, mask in pieces)

    @jax.checkpoint
    def one(chunk: tuple[Array, tuple[Array, ...]]) -> Array:
        part, part_masks = chunk
        return _attend(part, *((k, v, mask) for (k, v, _), mask in zip(pieces, part_masks, strict=True)))

    out = jnp.moveaxis(jax.lax.map(one, (split(query), masks)), 0, 1)
    return out.reshape(query.shape[0], count * QUERY_CHUNK, *query.shape[2:])[:, :queries]


def _attend(query: Array, *pieces: Piece) -> Array:
    rows, queries, heads, head_dim = query.shape
    kv_heads = pieces[0][0].shape[1]
    group = heads // kv_heads
    grouped = query.reshape(rows, queries, kv_heads, group, head_dim).transpose(0, 2, 3, 1, 4)
    merged = grouped.reshape(rows, kv_heads, group * queries, head_dim)
    scores = []
    for keys, _, mask in pieces:
        raw = product(merged, keys).reshape(rows, kv_heads, group, queries, keys.shape[3])
        scores.append(jnp.where(mask[:, None, None], raw * head_dim**-0.5, MASKED))
    # One softmax over all pieces, kept in parts: the long ones are never copied into one.
    top = reduce(jnp.maximum, [jnp.max(part, axis=-1, keepdims=True) for part in scores])
    powers = [jnp.exp(part - jax.lax.stop_gradient(top)) for part in scores]
    total = reduce(jnp.add, [jnp.sum(part, axis=-1, keepdims=True) for part in powers])
    mixed = []
    for (_, values, _), power in zip(pieces, powers, strict=True):
        weights = power.astype(query.dtype).reshape(rows, kv_heads, group * queries, values.shape[2])
        mixed.append(product(weights, values))
    out = reduce(jnp.add, mixed).reshape(rows, kv_heads, group, queries, head_dim) / total
    return out.astype(query.dtype).transpose(0, 3, 1, 2, 4).reshape(rows, queries, heads, head_dim)


def causal(query: Array, keys: Array, values: Array, *, window: int | None = None, local: Any = None) -> Array:
    """Attention of query [B, T, H, head_dim] over T keys and values (as in a `Piece`), each token seeing itself and
    those before it; shape and dtype of query.

    Args:
        window: of a local layer: it sees so many tokens, itself included.
        local: whether the layer is local, a bool or a traced one; None: no layer is.
    """
    return _whole(query, keys.transpose(0, 3, 1, 2), values.transpose(0, 2, 1, 3), window, local)


def continued(
    query: Array,
    prompt: tuple[Array, Array],
    lengths: Array,
    own: tuple[Array, Array],
    *,
    window: int | None = None,
    local: Any = None,
) -> Array:
    """Attention of responses [R, T, H, head_dim] over their prompt and, each token, what of the response is before it.

    Prompt and response are put into one sequence without a gap, so that nothing but causality is to be masked: the
    kernel has no table of T · (P + T) masks to read. The prompt's places have queries of 0 there, whose output is
    dropped: P²/2 scores beside the P·T + T²/2 that are wanted.

    Args:
        query: of the responses.
        prompt: keys and values (as in a `Piece`) of the prompts [R or 1, …, P], right-padded.
        lengths: int32 [R or 1], of the prompts.
        own: keys and values of the responses.
        window, local: as `causal`'s.
    """
    rows, length = query.shape[:2]
    width = prompt[0].shape[3]

    def sequence(before: Array, after: Array) -> Array:
        room = jnp.pad(before, ((0, 0), (0, length), (0, 0), (0, 0)))
        room = jnp.broadcast_to(room, (rows, *room.shape[1:]))
        if len(lengths) == 1:
            return jax.lax.dynamic_update_slice_in_dim(room, after, lengths[0], axis=1)
        return jax.vmap(lambda into, part, at: jax.lax.dynamic_update_slice_in_dim(into, part, at, axis=0))(
            room, after, lengths
        )

    keys = sequence(prompt[0].transpose(0, 3, 1, 2), own[0].transpose(0, 3, 1, 2))
    values = sequence(prompt[1].transpose(0, 2, 1, 3), own[1].transpose(0, 2, 1, 3))
    asked = sequence(jnp.zeros((1, width, *query.shape[2:]), query.dtype), query)
    out = _whole(asked, keys, values, window, local)
    if len(lengths) == 1:
        return jax.lax.dynamic_slice_in_dim(out, lengths[0], length, axis=1)
    return jax.vmap(lambda row, at: jax.lax.dynamic_slice_in_dim(row, at, length, axis=0))(out, lengths)


def _whole(query: Array, keys: Array, values: Array, window: int | None, local: Any) -> Array:
    """`causal` of keys and values [B, T, KV, head_dim]."""
    kernel = implementation(query.dtype, query.shape[3])

    def seeing(back: int | None) -> Array:
        # Float32 products stay float32 on every device, as `products` has it; cuDNN has none.
        with jax.default_matmul_precision("highest" if query.dtype == jnp.float32 else "default"):
            return jax.nn.dot_product_attention(
                query,
                keys,
                values,
                is_causal=True,
                local_window_size=None if back is None else (back - 1, 0),
                implementation=kernel,
            )

    if window is None or local is None or local is False:
        return seeing(None)
    if local is True:
        return seeing(window)
    return jax.lax.cond(local, lambda: seeing(window), lambda: seeing(None))


def implementation(dtype: Any, head_dim: int) -> Literal["cudnn", "xla"]:
    """Which of JAX's two this process takes: cuDNN's where there is a GPU and it knows these heads, else XLA's."""
    fits = jnp.dtype(dtype).itemsize == 2 and head_dim % 8 == 0 and head_dim <= 128
    return "cudnn" if fits and jax.default_backend() == "gpu" else "xla"


def chosen(attention: str, dtype: Any, head_dim: int, *, meshed: bool) -> str:
    """ "own" or "dot-product" of one of `ATTENTIONS`: "auto" is dot-product where `implementation` is cuDNN's and the
    model is on one device.

    Raises:
        InputError: another word, or dot-product on a mesh.
    """
    if attention not in ATTENTIONS:
        raise InputError(f"attention '{attention}' is not known: use one of {', '.join(ATTENTIONS)}.")
    if attention == "dot-product" and meshed:
        raise InputError("attention 'dot-product' is of one device, and this is a mesh: leave out one of the two.")
    if attention != "auto":
        return attention
    return "dot-product" if implementation(dtype, head_dim) == "cudnn" and not meshed else "own"
