"""A decode loop of fixed width in which a waiting row begins where another has ended: the device's part.

All places write keys and values of a token at the same slot, the loop's clock modulo the number of slots, so that the
cache is updated in place whoever began when. What a row sees are the slots written since it began: those whose age is
below its number of tokens. With as many slots as a response may have tokens (or as the longest has had until now:
`widened`), none of them has been written over.

    read        prompts through the model: what begins from them
    begin       rows in some places, each with its first token
    advance     a token a row, until so many places are free or a row needs more slots

`waiting.sample_waiting` drives them from the host.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import flax.nnx as nnx
import jax
import jax.numpy as jnp

from llm_bridge.models.config import DecoderConfig
from llm_bridge.models.decoder import Decoder
from llm_bridge.models.decoding_weights import DecodingWeights
from llm_bridge.sampling import decoding
from llm_bridge.sampling.one_token import Prefix, one_token, stored
from llm_bridge.sampling.token_draw import draw, entropy

Array = jax.Array


class Block(NamedTuple):
    """H prompts that were read: logits float32 [H, V] of what follows each, and their part of the cache."""

    logits: Array
    prefix: Prefix


class Records(NamedTuple):
    """What was drawn in B places of S slots.

    Attributes:
        tokens: int32 [B, S]; past the length whatever stood there before.
        log_probs, entropy: float32 [B, S], of each token, and of what it was drawn from.
        lengths: int32 [B], tokens so far.
        free: bool [B], no row, or one that is done.
        ended: bool [B], the last token ends a response.
        steps: int32, passes of `advance` through the model.
    """

    tokens: Array
    log_probs: Array
    entropy: Array
    lengths: Array
    free: Array
    ended: Array
    steps: Array


class Places(NamedTuple):
    """The loop's state.

    Attributes:
        records: so far.
        last: int32 [B], each row's last token, whose keys and values are not in the cache yet.
        row_keys: typed keys [B].
        keys, values: a layer each, [B, KV, d, S] and [B, KV, S, d]; a token's slot is `records.steps` modulo S at the
            time when it was written.
    """

    records: Records
    last: Array
    row_keys: Array
    keys: tuple[Array, ...]
    values: tuple[Array, ...]


@partial(jax.jit, static_argnames="graphdef")
def read(graphdef: Any, params: Any, prompts: Array, lengths: Array) -> Block:
    """Prompts [H, P] of lengths [H], each run once."""
    decoder: Decoder = nnx.merge(graphdef, params)
    kept = decoder.config.cache_dtype or decoder.dtype
    logits, keys, values = decoding.read(decoder, prompts, lengths)
    keys, values = (tuple(layer.astype(kept) for layer in layers) for layers in (keys, values))
    return Block(logits, Prefix(keys, values, lengths))


@partial(jax.jit, static_argnames=("config", "rows", "capacity"))
def empty(block: Block, *, config: DecoderConfig, rows: int, capacity: int) -> tuple[Prefix, Places]:
    """B places without a row, and room for their prompts: as much as those of the block need."""
    kept, width = block.prefix.keys[0].dtype, block.prefix.keys[0].shape[3]
    heads, size = config.kv_heads, config.head_dim

    def zeros(*shape: int) -> tuple[Array, ...]:
        return tuple(jnp.zeros((rows, heads, *shape), kept) for _ in range(config.layers))

    records = Records(
        tokens=jnp.zeros((rows, capacity), jnp.int32),
        log_probs=jnp.zeros((rows, capacity), jnp.float32),
        entropy=jnp.zeros((rows, capacity), jnp.float32),
        lengths=jnp.zeros((rows,), jnp.int32),
        free=jnp.ones((rows,), bool),
        ended=jnp.zeros((rows,), bool),
        steps=jnp.int32(0),
    )
    places = Places(
        records=records,
        last=jnp.zeros((rows,), jnp.int32),
        row_keys=jax.random.wrap_key_data(jnp.zeros((rows, 2), jnp.uint32), impl="threefry2x32"),
        keys=zeros(size, capacity),
        values=zeros(capacity, size),
    )
    return Prefix(zeros(size, width), zeros(width, size), jnp.ones((rows,), jnp.int32)), places


def _recorded(records: Records, chosen: tuple[Array, Array, Array], where: Array, ends: Array, limit: Array) -> Records:
    """The records with one more token in these places, bool [B]."""
    token, log_prob, uncertainty = chosen
    slots = jnp.arange(records.tokens.shape[1], dtype=jnp.int32)
    here = where[:, None] & (slots == records.lengths[:, None])
    lengths = records.lengths + where.astype(jnp.int32)
    ended = jnp.where(where, jnp.any(token[:, None] == ends, axis=-1), records.ended)
    return records._replace(
        tokens=jnp.where(here, token[:, None], records.tokens),
        log_probs=jnp.where(here, log_prob[:, None], records.log_probs),
        entropy=jnp.where(here, uncertainty[:, None], records.entropy),
        lengths=lengths,
        ended=ended,
        free=jnp.where(where, ended | (lengths >= limit), records.free),
    )


def _drawn(
    logits: Array, row_keys: Array, steps: Array, temperature: Array, greedy: bool
) -> tuple[Array, Array, Array]:
    """Tokens, their log-probabilities and the entropy of what they were drawn from, [B] each; token t of a row by
    fold_in(its key, t).
    """
    keys = jax.vmap(jax.random.fold_in)(row_keys, steps)
    token, log_prob = draw(logits, keys, temperature, greedy=greedy)
    return token, log_prob, entropy(logits, temperature, greedy=greedy)


@partial(jax.jit, static_argnames="greedy", donate_argnames=("prefix", "places"))
def begin(
    block: Block,
    prefix: Prefix | None,
    places: Places,
    owners: Array,
    row_keys: Array,
    temperature: Array,
    ends: Array,
    limit: Array,
    *,
    greedy: bool,
) -> tuple[Prefix | None, Places]:
    """A row in every place b with owners[b] of at least 0, int32 [B]: it answers that prompt of the block, by row_keys
    [B], and has its first token. Others go on. No prefix: the lone prompt of the block is that of all.
    """
    fresh, chosen = owners >= 0, jnp.maximum(owners, 0)

    def of_fresh(new: Array, old: Array) -> Array:
        return jnp.where(fresh.reshape(-1, *[1] * (old.ndim - 1)), new[chosen], old)

    keys = jnp.where(fresh[:, None], jax.random.key_data(row_keys), jax.random.key_data(places.row_keys))
    keys = jax.random.wrap_key_data(keys, impl="threefry2x32")
    drawn = _drawn(block.logits[chosen], keys, jnp.zeros_like(owners), temperature, greedy)
    records = places.records._replace(lengths=jnp.where(fresh, 0, places.records.lengths))
    places = places._replace(
        records=_recorded(records, drawn, fresh, ends, limit),
        last=jnp.where(fresh, drawn[0], places.last),
        row_keys=keys,
    )
    return None if prefix is None else jax.tree.map(of_fresh, block.prefix, prefix), places


@partial(jax.jit, static_argnames=("config", "greedy"), donate_argnames="places")
def advance(
    weights: DecodingWeights,
    prefix: Prefix,
    places: Places,
    enough: Array,
    temperature: Array,
    ends: Array,
    limit: Array,
    *,
    config: DecoderConfig,
    greedy: bool,
) -> tuple[Places, Records]:
    """Decode until `enough` places are free or a row that goes on has as many tokens as there are slots; and a copy of
    the records, to be read while the places are worked on. A row is done at `limit` tokens.
    """
    capacity = places.records.tokens.shape[1]
    in_prompt = jnp.arange(prefix.keys[0].shape[3], dtype=jnp.int32)[None, None] < prefix.lengths[:, None, None]
    slots = jnp.arange(capacity, dtype=jnp.int32)

    def step(places: Places) -> Places:
        records = places.records
        slot = records.steps % capacity
        ages = (slot - slots) % capacity  # 0 is the slot that this token will have
        before = (records.lengths - 1)[:, None]
        logits, new = one_token(
            config,
            weights,
            prefix,
            (places.keys, places.values),
            places.last[:, None],
            here=prefix.lengths[:, None] + before,
            in_prompt=in_prompt,
            past=((ages > 0) & (ages <= before))[:, None],
            at=before,
            slots=before - ages,
        )
        drawn = _drawn(logits, places.row_keys, records.lengths, temperature, greedy)
        # As in `decoding.decode`: written once all has been read.
        place = jnp.where(jnp.all(drawn[0] < 0), 0, slot)
        keys, values = stored((places.keys, places.values), new, place)
        records = _recorded(records, drawn, ~records.free, ends, limit)
        return places._replace(
            records=records._replace(steps=records.steps + 1), last=drawn[0], keys=keys, values=values
        )

    def goes_on(places: Places) -> Array:
        records = places.records
        longest = jnp.max(jnp.where(records.free, 0, records.lengths))
        return (jnp.sum(records.free, dtype=jnp.int32) < enough) & (longest < capacity)

    places = jax.lax.while_loop(goes_on, step, places)
    return places, jax.tree.map(jnp.copy, places.records)


@partial(jax.jit, static_argnames="capacity")
def widened(places: Places, *, capacity: int) -> Places:
    """The same places with more slots, each token's where the clock will look for it."""
    records, old = places.records, places.records.tokens.shape[1]
    ages = (records.steps - jnp.arange(capacity, dtype=jnp.int32)) % capacity
    source = (records.steps - ages) % old  # of ages that no row has: any slot, which none will look at

    def padded(x: Array) -> Array:
        return jnp.pad(x, ((0, 0), (0, capacity - old)))

    return places._replace(
        records=records._replace(
            tokens=padded(records.tokens), log_probs=padded(records.log_probs), entropy=padded(records.entropy)
        ),
        keys=tuple(jnp.take(layer, source, axis=3) for layer in places.keys),
        values=tuple(jnp.take(layer, source, axis=2) for layer in places.values),
    )


@partial(jax.jit, static_argnames="width")
def with_longer_prompts(prefix: Prefix, *, width: int) -> Prefix:
    """The same prefix with room for longer prompts."""
    more = width - prefix.keys[0].shape[3]
    return prefix._replace(
        keys=tuple(jnp.pad(layer, ((0, 0), (0, 0), (0, 0), (0, more))) for layer in prefix.keys),
        values=tuple(jnp.pad(layer, ((0, 0), (0, 0), (0, more), (0, 0))) for layer in prefix.values),
    )
