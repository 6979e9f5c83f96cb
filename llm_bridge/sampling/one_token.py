"""One token a row through the decoder, whatever the rows' places in their responses: what every decode loop does."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from llm_bridge.models import placement
from llm_bridge.models.alternation import local_layer, rope_of, rope_tables, within
from llm_bridge.models.attention import attend
from llm_bridge.models.config import DecoderConfig
from llm_bridge.models.decoding_weights import DecodingWeights
from llm_bridge.models.layer import block, rms_norm

Array = jax.Array
# Keys and values of response tokens, a layer each: [B, KV, d, S] and [B, KV, S, d].
Cache = tuple[tuple[Array, ...], tuple[Array, ...]]


class Prefix(NamedTuple):
    """The prompts' part of the cache: keys and values a layer each, as in `decoder.Piece`, and lengths [B or 1]."""

    keys: tuple[Array, ...]
    values: tuple[Array, ...]
    lengths: Array


def one_token(
    config: DecoderConfig,
    weights: DecodingWeights,
    prefix: Prefix,
    cache: Cache,
    token: Array,
    *,
    here: Array,
    in_prompt: Array,
    past: Array,
    at: Array,
    slots: Array,
) -> tuple[Array, list[tuple[Array, Array]]]:
    """Logits [B, V] after one more token a row, and its keys and values a layer, as the cache keeps them; traced.

    Args:
        config, weights: the policy.
        prefix: the prompts' part of the cache.
        cache: keys and values of the response tokens before this one, as in `State`.
        token: int32 [B, 1].
        here: int32 [B, 1], its position in the sequence.
        in_prompt: bool [B or 1, 1, P], which places of the prefix are the prompt's.
        past: bool [B or 1, 1, S], which slots of the cache hold a token of this row.
        at, slots: the places in the response of this token and of what the slots hold, as `alternation.within` takes
            them.
    """
    places = jnp.arange(prefix.keys[0].shape[3], dtype=jnp.int32)
    x = jnp.take(weights.embedding, token, axis=0)
    ropes = rope_tables(config, here)
    itself = jnp.ones((1, 1, 1), bool)
    keys, values = cache
    new = []
    for i, layer in enumerate(weights.layers):
        local = local_layer(config, i)
        seen = within(config, local, in_prompt, here, places)
        since = within(config, local, past, at, slots)

        def attention(
            q: Array, k: Array, v: Array, i: int = i, seen: Array = seen, since: Array = since
        ) -> tuple[Array, tuple[Array, Array]]:
            # Read as computed with, where the cache is kept narrower.
            prompt = prefix.keys[i].astype(q.dtype), prefix.values[i].astype(q.dtype), seen
            response = keys[i].astype(q.dtype), values[i].astype(q.dtype), since
            written = k.astype(keys[i].dtype), v.astype(values[i].dtype)
            return attend(q, prompt, response, (k, v, itself)), written

        x, kept = block(config, layer, x, rope_of(ropes, local), attention)
        new.append(kept)
    logits = weights.logits(rms_norm(config, x[:, 0], weights.final_norm))
    return placement.vocabulary(config.mesh, logits), new


def stored(cache: Cache, new: list[tuple[Array, Array]], place: Array) -> Cache:
    """The cache with a token's keys and values in this slot of every row."""
    keys = (jax.lax.dynamic_update_slice(old, k, (0, 0, 0, place)) for old, (k, _) in zip(cache[0], new, strict=True))
    values = (jax.lax.dynamic_update_slice(old, v, (0, 0, place, 0)) for old, (_, v) in zip(cache[1], new, strict=True))
    return tuple(keys), tuple(values)
