"""Sampling responses: jitted prefill, then `lax.while_loop` decoding with a cache, stopping when every row is done.

The sampled policy is softmax(logits / temperature) over the whole vocabulary (no top-k, no top-p, no penalties), which
is the policy that `llm_bridge.sampling.scoring` scores; the first end-of-text token is part of the response.

How it is fast:
- Weights are unstacked, q/k/v and gate/up fused, once per parameter set (`decoding_weights.prepare`): slicing the stack
  inside the loop would copy every weight for every token.
- The prompt's keys and values are a piece of their own, computed once and read by all rollouts; all rows write their
  response's keys and values at the same slot, so that the cache is updated in place, whatever the prompts' lengths.
- Prompt, row and cache sizes are bucketed (`llm_bridge.sampling.buckets`); the cache starts small and grows by
  `GROWTH`, so that attention reads about what was written.
- Sampling is by inverse CDF in two levels: two uniforms a row, no sort and no noise over the vocabulary.

More rows than fit in a batch are `llm_bridge.sampling.waiting`'s: there a finished row makes room for one that waits,
where here it idles until all are done.

Left out: beam search, constrained decoding, speculative decoding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from llm_bridge.models import placement
from llm_bridge.models.config import DecoderConfig
from llm_bridge.models.decoding_weights import DecodingWeights, prepare
from llm_bridge.sampling.buckets import bucket
from llm_bridge.sampling.decoding import State, decode, grow, prefill
from llm_bridge.sampling.one_token import Prefix
from llm_bridge.sampling.rollouts import Rollouts
from llm_bridge.sampling.token_draw import draw

__all__ = ["Prefix", "Rollouts", "Sampled", "State", "draw", "prepare", "sample", "sample_traced"]

Array = jax.Array
SMALLEST_PROMPT = 32
FIRST_CAPACITY = 128
GROWTH = 4


class Sampled(NamedTuple):
    """`sample`'s result on the host; fields as in `Rollouts`, and the tokens per row computed before the stop."""

    tokens: np.ndarray
    lengths: np.ndarray
    log_probs: np.ndarray
    entropy: np.ndarray
    truncated: np.ndarray
    steps: int


def sample_traced(
    graphdef: Any,
    params: Any,
    config: DecoderConfig,
    prompts: Array,
    prompt_lengths: Array,
    owners: Array,
    *,
    max_tokens: int,
    key: Array,
    temperature: float,
) -> tuple[Array, Array, Array, Array, Array]:
    """`sample` inside a traced function: the same draws from the same keys, on the device.

    Args:
        graphdef, params, config: the policy.
        prompts, prompt_lengths: int32 [H, P] and [H], padded as by `pad_prompts`.
        owners: int32 [R], which prompt each row answers; H and R are known when traced.
        max_tokens: T, known when traced; the cache holds T tokens from the start.
        key: row g draws as `sample` does with fold_in(key, g) for its row's key: what `row_keys(key, arange(R))` gives.
        temperature: above 0.

    Returns:
        tokens int32 [R, T], lengths int32 [R], log_probs float32 [R, T], truncated bool [R], entropy float32 [R, T]: as
        in `Rollouts`.
    """
    weights = prepare(graphdef, params)
    rows = owners.shape[0]
    row_keys = jax.vmap(lambda row: jax.random.fold_in(key, row))(jnp.arange(rows, dtype=jnp.uint32))
    ends, heat = jnp.asarray(config.eos_ids or (-1,), jnp.int32), jnp.float32(temperature)
    prefix, state = prefill(
        graphdef,
        params,
        prompts,
        prompt_lengths,
        owners,
        jnp.zeros((rows,), bool),
        row_keys,
        heat,
        ends,
        capacity=max_tokens,
        greedy=False,
    )
    limit = jnp.int32(max_tokens)
    state = decode(weights, prefix, state, limit, row_keys, heat, ends, config=config, greedy=False)
    return state.tokens, state.lengths, state.log_probs, ~state.done, state.entropy


def sample(
    graphdef: Any,
    params: Any,
    weights: DecodingWeights,
    config: DecoderConfig,
    prompts: list[np.ndarray],
    *,
    row_keys: np.ndarray,
    max_tokens: int,
    temperature: float,
    eos_ids: tuple[int, ...],
    prompt_width: int | None = None,
) -> Sampled:
    """Sample R responses to one prompt, or one response to each of R prompts of unequal lengths.

    Equal prompts are run once. Row g draws with `fold_in(row_keys[g], t)` at token t, whatever the number of rows and
    however sizes are padded.

    Args:
        graphdef, params: the policy; `weights` is `prepare(graphdef, params)`.
        prompts: one int array [P], or R of them.
        row_keys: raw keys uint32 [R, 2] (`bandit_rft.keys.row_keys`), one per row, consumed.
        max_tokens: response tokens at most.
        temperature: 0 for greedy.
        eos_ids: token ids that end a row.
        prompt_width: to which prompts are padded, at least the longest; None: its bucket.
    """
    rows = len(row_keys)
    shards = placement.row_shards(config.mesh)
    padded_rows = shards * bucket(-(-rows // shards))
    padded, lengths, owners = _distinct(prompts, padded_rows, config.pad_id, prompt_width)
    if shards > 1 and len(padded) > 1:  # each prompt where its row is: nothing of it is then moved
        prompts = prompts + prompts[:1] * (padded_rows - rows)
        (padded, lengths), owners = pad_prompts(prompts, padded_rows, config.pad_id, prompt_width), None
    padded_keys = np.pad(row_keys, ((0, padded_rows - rows), (0, 0)))
    typed_keys = jax.random.wrap_key_data(jnp.asarray(padded_keys), impl="threefry2x32")
    ends = jnp.asarray(eos_ids or (-1,), jnp.int32)
    greedy = temperature == 0.0
    heat = jnp.float32(1.0 if greedy else temperature)
    final = bucket(max_tokens)
    capacity = min(final, FIRST_CAPACITY)
    prefix, state = prefill(
        graphdef,
        params,
        jnp.asarray(padded),
        jnp.asarray(lengths),
        None if owners is None else jnp.asarray(owners),
        jnp.arange(padded_rows) >= rows,
        typed_keys,
        heat,
        ends,
        capacity=capacity,
        greedy=greedy,
    )
    while True:
        limit = jnp.int32(min(max_tokens, capacity))
        state = decode(weights, prefix, state, limit, typed_keys, heat, ends, config=config, greedy=greedy)
        if capacity >= max_tokens or bool(jnp.all(state.done)):
            break
        capacity = min(final, capacity * GROWTH)
        state = grow(state, config=config, capacity=capacity)

    def fit(array: Array, fill: float) -> np.ndarray:
        host = placement.on_host(array)[:rows, :max_tokens]
        return np.pad(host, ((0, 0), (0, max_tokens - host.shape[1])), constant_values=fill)

    return Sampled(
        tokens=fit(state.tokens, config.pad_id),
        lengths=placement.on_host(state.lengths)[:rows],
        log_probs=fit(state.log_probs, 0.0),
        entropy=fit(state.entropy, 0.0),
        truncated=~placement.on_host(state.done)[:rows],
        steps=int(state.step),
    )


def _distinct(
    prompts: list[np.ndarray], rows: int, pad_id: int, width: int | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The distinct ones among the prompts, padded to bucketed sizes: tokens int32 [H, P] and lengths [H]; and which of
    them each row answers, int32 [rows] (the first, for rows without a prompt).
    """
    places: dict[bytes, int] = {}
    owners = np.zeros((rows,), np.int32)
    held: list[np.ndarray] = []
    for row, prompt in enumerate(prompts):
        owners[row] = places.setdefault(np.asarray(prompt, np.int32).tobytes(), len(held))
        if owners[row] == len(held):
            held.append(prompt)
    return *pad_prompts(held, bucket(len(held)), pad_id, width), owners


def pad_prompts(
    prompts: Sequence[np.ndarray], rows: int, pad_id: int, width: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Prompts in `rows` rows of this width, or a bucketed one: tokens int32 [rows, P] and lengths [rows], 1 where there
    is none.
    """
    longest = max(len(prompt) for prompt in prompts)
    padded = np.full((rows, width or bucket(longest, smallest=SMALLEST_PROMPT)), pad_id, np.int32)
    lengths = np.ones((rows,), np.int32)
    for place, prompt in enumerate(prompts):
        padded[place, : len(prompt)], lengths[place] = prompt, len(prompt)
    return padded, lengths
