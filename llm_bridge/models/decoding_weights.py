"""Decoding's own copy of the weights: a dict a layer, parts fused, as one token at a time reads them."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from functools import partial
from typing import Any

import flax.nnx as nnx
import jax
import jax.numpy as jnp

from llm_bridge.models import placement
from llm_bridge.models.config import DecoderConfig
from llm_bridge.models.layer import embedded
from llm_bridge.models.products import matmul

Array = jax.Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class DecodingWeights:
    """Weights in the compute dtype.

    Attributes:
        layers: a dict a layer, as `layer.block` takes it, q/k/v and gate/up fused; not so where a mesh divides their
            columns. On a mesh they are whole along fsdp: gathered once, and not for every token.
        embedding: [V, D], scaled where the family scales it (`layer.embedded`).
        final_norm: [D].
        head: [D, V].
    """

    layers: tuple[dict[str, Array], ...]
    embedding: Array
    final_norm: Array
    head: Array

    def logits(self, states: Array) -> Array:
        """Logits [..., V] float32 of final-normed states [..., D]."""
        return matmul(states, self.head, out=jnp.float32)


def prepare(graphdef: Any, params: Any) -> DecodingWeights:
    """Decoding's weights from the policy's parameters.

    A layer at a time with a traced index: one small function is compiled, not L copies of it in a large one.
    """
    config: DecoderConfig = nnx.merge(graphdef, params).config
    layers = tuple(_layer(graphdef, params, jnp.int32(i)) for i in range(config.layers))
    embedding, final_norm, head = _ends(graphdef, params)
    return DecodingWeights(layers=layers, embedding=embedding, final_norm=final_norm, head=head)


class LastPrepared:
    """The weights prepared last, kept for as long as the callers pass the very same arrays."""

    def __init__(self) -> None:
        self._kept: tuple[list[weakref.ref[Any]], DecodingWeights] | None = None

    def weights(self, graphdef: Any, params: Any) -> DecodingWeights:
        """`prepare`d weights of these arrays."""
        leaves = jax.tree.leaves(params)
        if self._kept is None or not _same(self._kept[0], leaves):
            self._kept = None  # so that the old copy and the new one are not in memory together
            self._kept = [weakref.ref(leaf) for leaf in leaves], prepare(graphdef, params)
        return self._kept[1]

    def release(self) -> None:
        """Drop them."""
        self._kept = None


def _same(references: list[weakref.ref[Any]], leaves: list[Any]) -> bool:
    """Whether these are the very arrays referred to."""
    return len(references) == len(leaves) and all(
        reference() is leaf for reference, leaf in zip(references, leaves, strict=True)
    )


@partial(jax.jit, static_argnums=0)
def _layer(graphdef: Any, params: Any, index: Array) -> dict[str, Array]:
    decoder = nnx.merge(graphdef, params)
    layer = {
        name: jax.lax.dynamic_index_in_dim(array, index, keepdims=False).astype(decoder.dtype)
        for name, array in decoder.layers().items()
    }
    layer = dict(placement.gathered(decoder.config.mesh, layer))
    if placement.tensor_shards(decoder.config.mesh) > 1:
        return layer
    parts = {"qkv": ("q", "k", "v"), "gate_up": ("gate", "up")}
    if decoder.config.family.projection_bias:
        parts["qkv_bias"] = ("q_bias", "k_bias", "v_bias")
    for fused, names in parts.items():
        layer[fused] = jnp.concatenate([layer.pop(name) for name in names], axis=-1)
    return layer


@partial(jax.jit, static_argnums=0)
def _ends(graphdef: Any, params: Any) -> tuple[Array, Array, Array]:
    decoder = nnx.merge(graphdef, params)
    outer = {"embedding": decoder.embedding[...].astype(decoder.dtype)}
    outer["head"] = outer["embedding"].T if decoder.config.tied else decoder.head[...].astype(decoder.dtype)
    outer = placement.gathered(decoder.config.mesh, outer)
    return embedded(decoder.config, outer["embedding"]), decoder.final_norm[...], outer["head"]
