"""Sampling responses: jitted prefill, then `lax.while_loop` decoding with a cache, stopping when every row is done.

The sampled policy is softmax(logits / temperature) over the whole vocabulary (no top-k, no top-p, no penalties), which
is the policy that `llm_bridge.scoring` scores; the first end-of-text token is part of the response.

How it is fast:
- Weights are unstacked, q/k/v and gate/up fused, once per parameter set (`prepare`): slicing the stack inside the loop
  would copy every weight for every token.
- The prompt's keys and values are a piece of their own, computed once and read by all rollouts; all rows write their
  response's keys and values at the same slot, so that the cache is updated in place, whatever the prompts' lengths.
- Prompt, row and cache sizes are bucketed (`llm_bridge.buckets`); the cache starts small and grows by `GROWTH`, so that
  attention reads about what was written.
- Sampling is by inverse CDF in two levels: two uniforms a row, no sort and no noise over the vocabulary.

Left out: beam search, constrained decoding, speculative decoding, continuous batching (a finished row idles until all
are done).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import flax.nnx as nnx
import jax
import jax.numpy as jnp
import numpy as np

from llm_bridge.buckets import bucket
from llm_bridge.config import DecoderConfig
from llm_bridge.decoder import attend, block, matmul, rms_norm, rope_table

Array = jax.Array
SMALLEST_PROMPT = 32
FIRST_CAPACITY = 128
GROWTH = 4
# Width of the blocks of the two-level inverse CDF; the vocabularies in use are multiples of it.
CDF_BLOCK = 128


@dataclass(frozen=True, kw_only=True)
class Rollouts:
    """Sampled responses, on the host. G rows, T = max_tokens columns.

    Attributes:
        tokens: int32 [G, T] response tokens, padded past the end with the config's pad id.
        lengths: int32 [G], response tokens including the first end-of-text token.
        log_probs: float32 [G, T] in nats, of each token under the policy that sampled it (softmax at the sampling
            temperature; for greedy decoding, at temperature 1); 0 past the length.
        text: the responses decoded, special tokens stripped.
        truncated: bool [G], no end-of-text token within max_tokens.
        prompt_lengths: int32 [G], tokens in each row's prompt.
    """

    tokens: np.ndarray
    lengths: np.ndarray
    log_probs: np.ndarray
    text: list[str]
    truncated: np.ndarray
    prompt_lengths: np.ndarray


class Sampled(NamedTuple):
    """`sample`'s result on the host; fields as in `Rollouts`, and the tokens a row computed before the stop."""

    tokens: np.ndarray
    lengths: np.ndarray
    log_probs: np.ndarray
    truncated: np.ndarray
    steps: int


class Prefix(NamedTuple):
    """The prompts' part of the cache: keys and values a layer each, as in `decoder.Piece`, and lengths [B or 1]."""

    keys: tuple[Array, ...]
    values: tuple[Array, ...]
    lengths: Array


class State(NamedTuple):
    """Decoding under way; B rows, S slots.

    Attributes:
        step: int32, tokens sampled so far in every row that is not done.
        tokens: int32 [B, S].
        log_probs: float32 [B, S].
        lengths: int32 [B].
        done: bool [B].
        keys, values: a layer each, [B, KV, d, S] and [B, KV, S, d], of the response tokens before the last.
    """

    step: Array
    tokens: Array
    log_probs: Array
    lengths: Array
    done: Array
    keys: tuple[Array, ...]
    values: tuple[Array, ...]


def prepare(graphdef: Any, params: Any, *, reuse: Any = None) -> dict[str, Any]:
    """Decoding's copy of the weights in the compute dtype: a dict a layer, q/k/v and gate/up fused; no head where it
    is the embedding.

    A layer at a time with a traced index: one small function is compiled, not L copies of it in a large one.

    Args:
        graphdef, params: the policy.
        reuse: an earlier result for the same graph, which is consumed: the new copy takes its memory. (On a CPU, asking
            the system for the pages anew costs four times the copying.)
    """
    config: DecoderConfig = nnx.merge(graphdef, params).config
    old = reuse["layers"] if reuse is not None else (None,) * config.layers
    layers = tuple(_fused_layer(graphdef, params, jnp.int32(i), old[i]) for i in range(config.layers))
    ends = None if reuse is None else {name: array for name, array in reuse.items() if name != "layers"}
    return {"layers": layers, **_ends(graphdef, params, ends)}


# What is donated is not read (`keep_unused`): its memory alone is wanted.
@partial(jax.jit, static_argnums=0, donate_argnums=3, keep_unused=True)
def _fused_layer(graphdef: Any, params: Any, index: Array, reuse: Any) -> dict[str, Array]:
    del reuse
    decoder = nnx.merge(graphdef, params)
    layer = {
        name: jax.lax.dynamic_index_in_dim(array, index, keepdims=False).astype(decoder.dtype)
        for name, array in decoder.layers().items()
    }
    parts = {"qkv": ("q", "k", "v"), "gate_up": ("gate", "up")}
    if decoder.config.family.projection_bias:
        parts["qkv_bias"] = ("q_bias", "k_bias", "v_bias")
    for fused, names in parts.items():
        layer[fused] = jnp.concatenate([layer.pop(name) for name in names], axis=-1)
    return layer


@partial(jax.jit, static_argnums=0, donate_argnums=2, keep_unused=True)
def _ends(graphdef: Any, params: Any, reuse: Any) -> dict[str, Array]:
    del reuse
    decoder = nnx.merge(graphdef, params)
    ends = {"embedding": decoder.embedding[...].astype(decoder.dtype), "final_norm": decoder.final_norm[...]}
    return ends if decoder.config.tied else ends | {"head": decoder.head[...].astype(decoder.dtype)}


def head_logits(weights: Mapping[str, Any], states: Array) -> Array:
    """Logits [..., V] float32 of final-normed states [..., D]; a tied head is the embedding, read as it stands."""
    tied = "head" not in weights
    return matmul(states, weights["embedding" if tied else "head"], transposed=tied, out=jnp.float32)


def draw(logits: Array, keys: Array, temperature: Array, *, greedy: bool) -> tuple[Array, Array]:
    """One token a row from softmax(logits / temperature), or the likeliest if `greedy`.

    Inverse CDF in two levels, each with its own uniform: first a block of `CDF_BLOCK` neighbouring tokens, then a token
    within it. Uniforms have 2^-23 resolution, so a block or a token's share within its block is off by at most that.

    Args:
        logits: float32 [B, V].
        keys: [B] keys, consumed.
        temperature: float32 scalar; looked at only when sampling.

    Returns:
        Tokens int32 [B] and their log-probabilities float32 [B] (at temperature 1 when greedy).
    """
    rows, vocabulary = logits.shape
    if greedy:
        top = jnp.max(logits, axis=-1, keepdims=True)
        # The first maximum in two plain reductions: a CPU runs them vectorised, unlike an index-carrying argmax.
        ids = jax.lax.broadcasted_iota(jnp.int32, logits.shape, 1)
        token = jnp.min(jnp.where(logits == top, ids, vocabulary), axis=-1)
        return jnp.minimum(token, vocabulary - 1), -jnp.log(jnp.sum(jnp.exp(logits - top), axis=-1))
    scaled = logits / temperature
    short = -vocabulary % CDF_BLOCK
    scaled = jnp.pad(scaled, ((0, 0), (0, short)), constant_values=-jnp.inf) if short else scaled
    scaled = scaled.reshape(rows, -1, CDF_BLOCK)
    top = jnp.max(scaled, axis=(1, 2))
    uniforms = jax.vmap(lambda key: jax.random.uniform(key, (2,), jnp.float32))(keys)
    # A uniform is at most 1 − 2^-23, so `uniform × total` stays below the last entry and the count below its size.
    blocks = jnp.cumsum(jnp.sum(jnp.exp(scaled - top[:, None, None]), axis=-1), axis=-1)
    chosen = jnp.sum(blocks <= uniforms[:, :1] * blocks[:, -1:], axis=-1, dtype=jnp.int32)
    within = jnp.take_along_axis(scaled, chosen[:, None, None], axis=1)[:, 0]
    shares = jnp.cumsum(jnp.exp(within - jnp.max(within, axis=-1, keepdims=True)), axis=-1)
    place = jnp.sum(shares <= uniforms[:, 1:] * shares[:, -1:], axis=-1, dtype=jnp.int32)
    value = jnp.take_along_axis(within, place[:, None], axis=-1)[:, 0]
    return chosen * CDF_BLOCK + place, value - top - jnp.log(blocks[:, -1])


def _record(state: State, token: Array, log_prob: Array, eos_ids: Array, pad_id: int) -> State:
    """The state with one more token in every row that was not done."""
    alive = ~state.done
    token = jnp.where(alive, token, pad_id)
    log_prob = jnp.where(alive, log_prob, 0.0)
    ended = jnp.any(token[:, None] == eos_ids[None], axis=-1)
    return state._replace(
        step=state.step + 1,
        tokens=jax.lax.dynamic_update_slice(state.tokens, token[:, None], (0, state.step)),
        log_probs=jax.lax.dynamic_update_slice(state.log_probs, log_prob[:, None], (0, state.step)),
        lengths=state.lengths + alive.astype(jnp.int32),
        done=state.done | ended,
    )


@partial(jax.jit, static_argnames=("graphdef", "capacity", "greedy"))
def _prefill(
    graphdef: Any,
    params: Any,
    prompts: Array,
    prompt_lengths: Array,
    done: Array,
    row_keys: Array,
    temperature: Array,
    eos_ids: Array,
    *,
    capacity: int,
    greedy: bool,
) -> tuple[Prefix, State]:
    """Run the prompts [B or 1, P], sample token 0 of all B rows, and lay out an empty cache of `capacity` slots."""
    decoder = nnx.merge(graphdef, params)
    config: DecoderConfig = decoder.config
    rows = done.shape[0]
    states, (keys, values) = decoder.prompt_states(prompts)
    last = jnp.take_along_axis(states, (prompt_lengths - 1)[:, None, None], axis=1)[:, 0]
    logits = jnp.broadcast_to(decoder.head_logits(last), (rows, config.vocabulary))
    token, log_prob = draw(logits, _step_keys(row_keys, jnp.int32(0)), temperature, greedy=greedy)
    head_shape = (rows, config.kv_heads, config.head_dim)
    state = State(
        step=jnp.int32(0),
        tokens=jnp.full((rows, capacity), config.pad_id, jnp.int32),
        log_probs=jnp.zeros((rows, capacity), jnp.float32),
        lengths=jnp.zeros((rows,), jnp.int32),
        done=done,
        keys=tuple(jnp.zeros((*head_shape, capacity), decoder.dtype) for _ in range(config.layers)),
        values=tuple(
            jnp.zeros((*head_shape[:2], capacity, head_shape[2]), decoder.dtype) for _ in range(config.layers)
        ),
    )
    prefix = Prefix(keys=tuple(keys), values=tuple(values), lengths=prompt_lengths)
    return prefix, _record(state, token, log_prob, eos_ids, config.pad_id)


@jax.custom_batching.custom_vmap
def _all(done: Array) -> Array:
    """Whether all rows are done; under `vmap`, the rows of the whole batch.

    Decoding under `vmap` thus keeps one loop with one counter, so that caches are still written in place, where a
    condition a seed would copy every cache at every token. Rows that are done stay as they are meanwhile.
    """
    return jnp.all(done)


@_all.def_vmap
def _all_of_batch(size: int, batched: list[bool], done: Array) -> tuple[Array, bool]:
    del size, batched
    return _all(done), False


def _step_keys(row_keys: Array, step: Array) -> Array:
    return jax.vmap(lambda key: jax.random.fold_in(key, step))(row_keys)


@partial(jax.jit, static_argnames=("config", "greedy"), donate_argnames="state")
def _decode(
    weights: Mapping[str, Any],
    prefix: Prefix,
    state: State,
    limit: Array,
    row_keys: Array,
    temperature: Array,
    eos_ids: Array,
    *,
    config: DecoderConfig,
    greedy: bool,
) -> State:
    """Decode until every row is done or holds `limit` tokens (at most the state's capacity)."""
    capacity, prompt_capacity = state.tokens.shape[1], prefix.keys[0].shape[3]
    in_prompt = jnp.arange(prompt_capacity, dtype=jnp.int32)[None, None] < prefix.lengths[:, None, None]

    def step(state: State) -> State:
        slot = state.step - 1
        token = jax.lax.dynamic_slice_in_dim(state.tokens, slot, 1, axis=1)
        x = jnp.take(weights["embedding"], token, axis=0)
        rope = rope_table(config, prefix.lengths[:, None] + slot)
        past = (jnp.arange(capacity, dtype=jnp.int32) < slot)[None, None]
        itself = jnp.ones((1, 1, 1), bool)
        new = []
        for i, layer in enumerate(weights["layers"]):

            def attention(q: Array, k: Array, v: Array, i: int = i) -> tuple[Array, tuple[Array, Array]]:
                prompt, response = (prefix.keys[i], prefix.values[i], in_prompt), (state.keys[i], state.values[i], past)
                return attend(q, prompt, response, (k, v, itself)), (k, v)

            x, kept = block(config, layer, x, rope, attention)
            new.append(kept)
        logits = head_logits(weights, rms_norm(config, x[:, 0], weights["final_norm"]))
        token, log_prob = draw(logits, _step_keys(row_keys, state.step), temperature, greedy=greedy)
        # Written once all has been read, which the place says in a way that XLA cannot simplify (no token is negative):
        # a cache written and read in no certain order would be copied at every token.
        place = jnp.where(_all(token < 0), 0, slot)
        state = state._replace(
            keys=tuple(
                jax.lax.dynamic_update_slice(old, k, (0, 0, 0, place))
                for old, (k, _) in zip(state.keys, new, strict=True)
            ),
            values=tuple(
                jax.lax.dynamic_update_slice(old, v, (0, 0, place, 0))
                for old, (_, v) in zip(state.values, new, strict=True)
            ),
        )
        return _record(state, token, log_prob, eos_ids, config.pad_id)

    return jax.lax.while_loop(lambda state: (state.step < limit) & ~_all(state.done), step, state)


@partial(jax.jit, static_argnames=("capacity", "pad_id"))
def _grow(state: State, *, capacity: int, pad_id: int) -> State:
    """The same state with more slots."""
    more = capacity - state.tokens.shape[1]

    def pad(x: Array, axis: int, value: Any = 0) -> Array:
        return jnp.pad(x, [(0, more if i == axis else 0) for i in range(x.ndim)], constant_values=value)

    return state._replace(
        tokens=pad(state.tokens, 1, pad_id),
        log_probs=pad(state.log_probs, 1),
        keys=tuple(pad(x, 3) for x in state.keys),
        values=tuple(pad(x, 2) for x in state.values),
    )


def sample_traced(
    graphdef: Any,
    params: Any,
    config: DecoderConfig,
    prompt: np.ndarray,
    *,
    rows: int,
    max_tokens: int,
    key: Array,
    temperature: float,
) -> tuple[Array, Array, Array, Array]:
    """`sample` for one prompt inside a traced function: the same draws from the same key, on the device.

    Args:
        graphdef, params, config: the policy.
        prompt: int [P], known when traced.
        rows, max_tokens: G and T, known when traced; the cache holds T tokens from the start.
        key: as in `sample`.
        temperature: above 0.

    Returns:
        tokens int32 [G, T], lengths int32 [G], log_probs float32 [G, T], truncated bool [G]: as in `Rollouts`.
    """
    weights = prepare(graphdef, params)
    padded = np.full((1, bucket(len(prompt), smallest=SMALLEST_PROMPT)), config.pad_id, np.int32)
    padded[0, : len(prompt)] = prompt
    row_keys = jax.vmap(lambda row: jax.random.fold_in(key, row))(jnp.arange(rows, dtype=jnp.uint32))
    ends, heat = jnp.asarray(config.eos_ids or (-1,), jnp.int32), jnp.float32(temperature)
    prefix, state = _prefill(
        graphdef,
        params,
        jnp.asarray(padded),
        jnp.asarray([len(prompt)], jnp.int32),
        jnp.zeros((rows,), bool),
        row_keys,
        heat,
        ends,
        capacity=max_tokens,
        greedy=False,
    )
    limit = jnp.int32(max_tokens)
    state = _decode(weights, prefix, state, limit, row_keys, heat, ends, config=config, greedy=False)
    return state.tokens, state.lengths, state.log_probs, ~state.done


def sample(
    graphdef: Any,
    params: Any,
    weights: Mapping[str, Any],
    config: DecoderConfig,
    prompts: list[np.ndarray],
    *,
    rows: int,
    max_tokens: int,
    key: Array,
    temperature: float,
    eos_ids: tuple[int, ...],
) -> Sampled:
    """Sample `rows` responses to one prompt, or one response to each of `rows` prompts of unequal lengths.

    Row g draws with `fold_in(fold_in(key, g), t)` at token t, whatever the number of rows and however sizes are padded.

    Args:
        graphdef, params: the policy; `weights` is `prepare(graphdef, params)`.
        prompts: one int array [P], or `rows` of them.
        max_tokens: response tokens at most.
        temperature: 0 for greedy.
        eos_ids: token ids that end a row.
    """
    padded_rows = bucket(rows)
    longest = max(len(prompt) for prompt in prompts)
    held = 1 if len(prompts) == 1 else padded_rows
    padded = np.full((held, bucket(longest, smallest=SMALLEST_PROMPT)), config.pad_id, np.int32)
    lengths = np.ones((held,), np.int32)
    for row, prompt in enumerate(prompts):
        padded[row, : len(prompt)], lengths[row] = prompt, len(prompt)
    row_keys = jax.vmap(lambda row: jax.random.fold_in(key, row))(jnp.arange(padded_rows))
    ends = jnp.asarray(eos_ids or (-1,), jnp.int32)
    greedy = temperature == 0.0
    heat = jnp.float32(1.0 if greedy else temperature)
    final = bucket(max_tokens)
    capacity = min(final, FIRST_CAPACITY)
    prefix, state = _prefill(
        graphdef,
        params,
        jnp.asarray(padded),
        jnp.asarray(lengths),
        jnp.arange(padded_rows) >= rows,
        row_keys,
        heat,
        ends,
        capacity=capacity,
        greedy=greedy,
    )
    while True:
        limit = jnp.int32(min(max_tokens, capacity))
        state = _decode(weights, prefix, state, limit, row_keys, heat, ends, config=config, greedy=greedy)
        if capacity >= max_tokens or bool(jnp.all(state.done)):
            break
        capacity = min(final, capacity * GROWTH)
        state = _grow(state, capacity=capacity, pad_id=config.pad_id)

    def fit(array: Array, fill: float) -> np.ndarray:
        host = np.asarray(array)[:rows, :max_tokens]
        return np.pad(host, ((0, 0), (0, max_tokens - host.shape[1])), constant_values=fill)

    return Sampled(
        tokens=fit(state.tokens, config.pad_id),
        lengths=np.asarray(state.lengths)[:rows],
        log_probs=fit(state.log_probs, 0.0),
        truncated=~np.asarray(state.done)[:rows],
        steps=int(state.step),
    )
