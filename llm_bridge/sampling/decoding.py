"""Cached decoding: the prompt once, then a token at a time in one `lax.while_loop` until every row is done."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import flax.nnx as nnx
import jax
import jax.numpy as jnp

from llm_bridge.models import placement
from llm_bridge.models.config import DecoderConfig
from llm_bridge.models.decoder import Decoder
from llm_bridge.models.decoding_weights import DecodingWeights
from llm_bridge.sampling.one_token import Prefix, one_token, stored
from llm_bridge.sampling.token_draw import draw, entropy

Array = jax.Array


class State(NamedTuple):
    """Decoding under way; B rows, S slots.

    Attributes:
        step: int32, tokens sampled so far in every row that is not done.
        tokens: int32 [B, S].
        log_probs, entropy: float32 [B, S], of each token, and of what it was drawn from.
        lengths: int32 [B].
        done: bool [B].
        keys, values: a layer each, [B, KV, d, S] and [B, KV, S, d], of the response tokens before the last.
    """

    step: Array
    tokens: Array
    log_probs: Array
    entropy: Array
    lengths: Array
    done: Array
    keys: tuple[Array, ...]
    values: tuple[Array, ...]


def _record(state: State, drawn: tuple[Array, Array, Array], eos_ids: Array, pad_id: int) -> State:
    """The state with one more token in every row that was not done."""
    alive = ~state.done
    token, *numbers = drawn
    token = jnp.where(alive, token, pad_id)
    log_prob, uncertainty = (jnp.where(alive, number, 0.0) for number in numbers)
    ended = jnp.any(token[:, None] == eos_ids[None], axis=-1)
    return state._replace(
        step=state.step + 1,
        tokens=jax.lax.dynamic_update_slice(state.tokens, token[:, None], (0, state.step)),
        log_probs=jax.lax.dynamic_update_slice(state.log_probs, log_prob[:, None], (0, state.step)),
        entropy=jax.lax.dynamic_update_slice(state.entropy, uncertainty[:, None], (0, state.step)),
        lengths=state.lengths + alive.astype(jnp.int32),
        done=state.done | ended,
    )


def read(decoder: Decoder, prompts: Array, lengths: Array) -> tuple[Array, Array, Array]:
    """Of prompts [H, P] of these lengths [H]: logits [H, V] of what follows each, and keys and values of the layers
    [L, H, KV, d, P] and [L, H, KV, P, d]; traced.
    """
    states, (keys, values) = decoder.prompt_states(prompts)
    last = jnp.take_along_axis(states, (lengths - 1)[:, None, None], axis=1)[:, 0]
    return decoder.head_logits(last), keys, values


@partial(jax.jit, static_argnames=("graphdef", "capacity", "greedy"))
def prefill(
    graphdef: Any,
    params: Any,
    prompts: Array,
    prompt_lengths: Array,
    owners: Array | None,
    done: Array,
    row_keys: Array,
    temperature: Array,
    eos_ids: Array,
    *,
    capacity: int,
    greedy: bool,
) -> tuple[Prefix, State]:
    """Run the prompts [H, P], sample token 0 of all B rows, and lay out an empty cache of `capacity` slots.

    Row b answers prompt owners[b], int32 [B], or (None) its own, the b-th. A lone prompt's keys and values stay one set
    that all rows read; several prompts' are copied to their rows.
    """
    decoder: Decoder = nnx.merge(graphdef, params)
    config: DecoderConfig = decoder.config
    rows = done.shape[0]
    logits, keys, values = read(decoder, prompts, prompt_lengths)
    shared = len(prompts) == 1
    if shared:
        logits = placement.vocabulary(config.mesh, jnp.broadcast_to(logits, (rows, config.vocabulary)))

    def of_rows(x: Array) -> Array:
        return x if shared or owners is None else x[owners]

    drawn = _drawn(config, of_rows(logits), row_keys, jnp.int32(0), temperature, greedy)
    kept = config.cache_dtype or decoder.dtype
    head_shape = (rows, config.kv_heads, config.head_dim)
    state = State(
        step=jnp.int32(0),
        tokens=jnp.full((rows, capacity), config.pad_id, jnp.int32),
        log_probs=jnp.zeros((rows, capacity), jnp.float32),
        entropy=jnp.zeros((rows, capacity), jnp.float32),
        lengths=jnp.zeros((rows,), jnp.int32),
        done=done,
        keys=tuple(jnp.zeros((*head_shape, capacity), kept) for _ in range(config.layers)),
        values=tuple(jnp.zeros((*head_shape[:2], capacity, head_shape[2]), kept) for _ in range(config.layers)),
    )
    prefix = Prefix(
        keys=tuple(of_rows(layer.astype(kept)) for layer in keys),
        values=tuple(of_rows(layer.astype(kept)) for layer in values),
        lengths=of_rows(prompt_lengths),
    )
    return _placed(config, prefix), _placed(config, _record(state, drawn, eos_ids, config.pad_id))


def _placed(config: DecoderConfig, part: Any) -> Any:
    """A `Prefix` or `State` with its arrays where they belong on the decoder's mesh; traced."""
    if config.mesh is None:
        return part
    fields = {
        name: tuple(placement.rows(config.mesh, layer, "tensor") for layer in array)
        if isinstance(array, tuple)
        else placement.rows(config.mesh, array)
        for name, array in part._asdict().items()
        if name != "step"
    }
    return part._replace(**fields)


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


def _drawn(
    config: DecoderConfig, logits: Array, row_keys: Array, step: Array, temperature: Array, greedy: bool
) -> tuple[Array, Array, Array]:
    """Tokens, their log-probabilities, and the entropy of what they were drawn from; [B] each."""
    keys = jax.vmap(lambda key: jax.random.fold_in(key, step))(row_keys)
    token, log_prob = draw(logits, keys, temperature, greedy=greedy, mesh=config.mesh)
    return token, log_prob, entropy(logits, temperature, greedy=greedy)


@partial(jax.jit, static_argnames=("config", "greedy"), donate_argnames="state")
def decode(
    weights: DecodingWeights,
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
    capacity = state.tokens.shape[1]
    places = jnp.arange(prefix.keys[0].shape[3], dtype=jnp.int32)
    in_prompt = places[None, None] < prefix.lengths[:, None, None]

    def step(state: State) -> State:
        slot = state.step - 1
        token = jax.lax.dynamic_slice_in_dim(state.tokens, slot, 1, axis=1)
        slots = jnp.arange(capacity, dtype=jnp.int32)
        logits, new = one_token(
            config,
            weights,
            prefix,
            (state.keys, state.values),
            token,
            here=prefix.lengths[:, None] + slot,
            in_prompt=in_prompt,
            past=(slots < slot)[None, None],
            at=slot,
            slots=slots,
        )
        drawn = _drawn(config, logits, row_keys, state.step, temperature, greedy)
        # Written once all has been read, which the place says in a way that XLA cannot simplify (no token is negative):
        # a cache written and read in no certain order would be copied at every token.
        place = jnp.where(_all(drawn[0] < 0), 0, slot)
        keys, values = stored((state.keys, state.values), new, place)
        state = state._replace(keys=keys, values=values)
        return _placed(config, _record(state, drawn, eos_ids, config.pad_id))

    return jax.lax.while_loop(lambda state: (state.step < limit) & ~_all(state.done), step, state)


@partial(jax.jit, static_argnames=("config", "capacity"))
def grow(state: State, *, config: DecoderConfig, capacity: int) -> State:
    """The same state with more slots."""
    more = capacity - state.tokens.shape[1]

    def pad(x: Array, axis: int, value: Any = 0) -> Array:
        return jnp.pad(x, [(0, more if i == axis else 0) for i in range(x.ndim)], constant_values=value)

    more_slots = state._replace(
        tokens=pad(state.tokens, 1, config.pad_id),
        log_probs=pad(state.log_probs, 1),
        entropy=pad(state.entropy, 1),
        keys=tuple(pad(x, 3) for x in state.keys),
        values=tuple(pad(x, 2) for x in state.values),
    )
    return _placed(config, more_slots)
