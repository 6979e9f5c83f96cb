"""Decoding's own copy of the weights: a dict a layer, parts fused, laid out as one token at a time reads them fastest.

On a CPU, decoding one row is bound by reading the weights. XLA's product of a lone row with a matrix reads [out, in] at
the memory's bandwidth, and [in, out] a quarter slower; from two rows on it is the other way round, by half.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from functools import partial
from typing import Any

import flax.nnx as nnx
import jax
import jax.numpy as jnp

from llm_bridge.models.config import DecoderConfig
from llm_bridge.models.products import matmul

Array = jax.Array
# Tokens from which on transposing the weights for a lone row takes less time than it saves.
FEW_TOKENS = 32


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["layers", "embedding", "final_norm", "head"],
    meta_fields=["transposed"],
)
@dataclass(frozen=True, kw_only=True)
class DecodingWeights:
    """Weights in the compute dtype.

    Attributes:
        layers: a dict a layer, as `layer.block` takes it, q/k/v and gate/up fused.
        embedding: [V, D].
        final_norm: [D].
        head: [D, V], or [V, D] if transposed; None where that is the embedding as it stands.
        transposed: the matrices of the layers and the head are [out, in].
    """

    layers: tuple[dict[str, Array], ...]
    embedding: Array
    final_norm: Array
    head: Array | None
    transposed: bool

    def logits(self, states: Array) -> Array:
        """Logits [..., V] float32 of final-normed states [..., D]."""
        head = self.embedding if self.head is None else self.head
        return matmul(states, head, transposed=self.transposed, out=jnp.float32)


def transposed_is_faster(rows: int, max_tokens: int) -> bool:
    """Whether sampling so many rows of so many tokens is quicker with matrices [out, in]."""
    return rows == 1 and max_tokens >= FEW_TOKENS and jax.default_backend() == "cpu"


def prepare(
    graphdef: Any, params: Any, *, transposed: bool = False, reuse: DecodingWeights | None = None
) -> DecodingWeights:
    """Decoding's weights from the policy's parameters.

    A layer at a time with a traced index: one small function is compiled, not L copies of it in a large one.

    Args:
        graphdef, params: the policy.
        transposed: lay the matrices out as [out, in].
        reuse: an earlier result for the same graph, which is consumed: the new copy takes its memory. (On a CPU, asking
            the system for the pages anew costs four times the copying.)
    """
    config: DecoderConfig = nnx.merge(graphdef, params).config
    if reuse is not None and reuse.transposed != transposed:
        reuse = None
    old = (None,) * config.layers if reuse is None else reuse.layers
    layers = tuple(_layer(graphdef, params, jnp.int32(i), old[i], transposed) for i in range(config.layers))
    ends = None if reuse is None else (reuse.embedding, reuse.final_norm, reuse.head)
    embedding, final_norm, head = _ends(graphdef, params, ends, transposed)
    return DecodingWeights(layers=layers, embedding=embedding, final_norm=final_norm, head=head, transposed=transposed)


class LastPrepared:
    """The weights prepared last, kept for as long as the callers pass the very same arrays."""

    def __init__(self) -> None:
        self._kept: tuple[list[weakref.ref[Any]], DecodingWeights] | None = None

    def weights(self, graphdef: Any, params: Any, *, transposed: bool) -> DecodingWeights:
        """`prepare`d weights of these arrays in this layout."""
        leaves = jax.tree.leaves(params)
        reuse = None
        if self._kept is not None:
            references, reuse = self._kept
            same = len(references) == len(leaves) and all(
                reference() is leaf for reference, leaf in zip(references, leaves, strict=True)
            )
            if same and reuse.transposed == transposed:
                return reuse
        # The old copy gives its memory to the new one.
        self._kept = None
        weights = prepare(graphdef, params, transposed=transposed, reuse=reuse)
        self._kept = [weakref.ref(leaf) for leaf in leaves], weights
        return weights

    def release(self) -> None:
        """Drop them."""
        self._kept = None


# What is donated is not read (`keep_unused`): its memory alone is wanted.
@partial(jax.jit, static_argnums=(0, 4), donate_argnums=3, keep_unused=True)
def _layer(graphdef: Any, params: Any, index: Array, reuse: Any, transposed: bool) -> dict[str, Array]:
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
    if transposed:
        layer = {name: array.T for name, array in layer.items()}  # norms and biases have one axis and stay
    return layer


@partial(jax.jit, static_argnums=(0, 3), donate_argnums=2, keep_unused=True)
def _ends(graphdef: Any, params: Any, reuse: Any, transposed: bool) -> tuple[Array, Array, Array | None]:
    del reuse
    decoder = nnx.merge(graphdef, params)
    if decoder.config.tied:
        head = None if transposed else decoder.embedding[...].astype(decoder.dtype).T
    else:
        head = decoder.head[...].astype(decoder.dtype)
        head = head.T if transposed else head
    return decoder.embedding[...].astype(decoder.dtype), decoder.final_norm[...], head
