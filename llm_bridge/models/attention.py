"""Grouped-query attention (Ainslie et al. 2023) over keys and values that stand in several pieces."""

from __future__ import annotations

from functools import reduce
from typing import Any

import jax
import jax.numpy as jnp

from llm_bridge.models.products import product

Array = jax.Array
# Keys [B or 1, KV, head_dim, S], values [B or 1, KV, S, head_dim], and which of the S positions each query may see:
# bool [B or 1, T, S]. In this layout both products of attention are plain batched matrix products: on a CPU a quarter
# of the time of [B, S, KV, head_dim], which needs a transpose for each.
Piece = tuple[Array, Array, Array]
MASKED = -1e30
# Attention scores are formed for so many queries at a time, so that memory grows with T and not with T².
QUERY_CHUNK = 512


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
