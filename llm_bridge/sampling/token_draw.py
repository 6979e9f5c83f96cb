"""One token a row from the softmax of its logits, and the softmax's entropy."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from llm_bridge.models import placement

Array = jax.Array
# Width of the blocks of the two-level inverse CDF; the vocabularies in use are multiples of it.
CDF_BLOCK = 128


def draw(
    logits: Array, keys: Array, temperature: Array, *, greedy: bool, mesh: Mesh | None = None
) -> tuple[Array, Array]:
    """One token a row from softmax(logits / temperature), or the likeliest if `greedy`.

    Inverse CDF in two levels, each with its own uniform: first a block of `CDF_BLOCK` neighbouring tokens, then a token
    within it. Uniforms have 2^-23 resolution, so a block or a token's share within its block is off by at most that.

    Args:
        logits: float32 [B, V].
        keys: [B] keys, consumed.
        temperature: float32 scalar; looked at only when sampling.
        mesh: that divides the vocabulary (`placement`); the blocks, and so the draws, are the same on any.

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
    short = -vocabulary % (CDF_BLOCK * placement.tensor_shards(mesh))
    scaled = jnp.pad(scaled, ((0, 0), (0, short)), constant_values=-jnp.inf) if short else scaled
    scaled = placement.vocabulary(mesh, scaled).reshape(rows, -1, CDF_BLOCK)
    top = jnp.max(scaled, axis=(1, 2))
    uniforms = jax.vmap(lambda key: jax.random.uniform(key, (2,), jnp.float32))(keys)
    # A uniform is at most 1 − 2^-23, so `uniform × total` stays below the last entry and the count below its size.
    sums = jnp.sum(jnp.exp(scaled - top[:, None, None]), axis=-1)
    blocks = jnp.cumsum(placement.rows(mesh, sums), axis=-1)
    chosen = jnp.sum(blocks <= uniforms[:, :1] * blocks[:, -1:], axis=-1, dtype=jnp.int32)
    if placement.tensor_shards(mesh) > 1:  # picked where it is: an index would bring all logits together
        here = jnp.arange(scaled.shape[1], dtype=jnp.int32)[None] == chosen[:, None]
        within = placement.rows(mesh, jnp.sum(jnp.where(here[..., None], scaled, 0.0), axis=1))
    else:
        within = jnp.take_along_axis(scaled, chosen[:, None, None], axis=1)[:, 0]
    shares = jnp.cumsum(jnp.exp(within - jnp.max(within, axis=-1, keepdims=True)), axis=-1)
    place = jnp.sum(shares <= uniforms[:, 1:] * shares[:, -1:], axis=-1, dtype=jnp.int32)
    value = jnp.take_along_axis(within, place[:, None], axis=-1)[:, 0]
    return chosen * CDF_BLOCK + place, value - top - jnp.log(blocks[:, -1])


def entropy(logits: Array, temperature: Array, *, greedy: bool) -> Array:
    """Entropy in nats, float32 [B], of softmax(logits [B, V] / temperature); at temperature 1 if `greedy`, as `draw`.

    log Z − E[logit], the form that verl computes (verl/utils/torch_functional.py, entropy_from_logits); centred on the
    largest logit, so that large ones do not cancel.
    """
    scaled = logits if greedy else logits / temperature
    centred = scaled - jnp.max(scaled, axis=-1, keepdims=True)
    powers = jnp.exp(centred)
    total = jnp.sum(powers, axis=-1)
    return jnp.log(total) - jnp.sum(jnp.where(powers > 0, powers * centred, 0.0), axis=-1) / total
