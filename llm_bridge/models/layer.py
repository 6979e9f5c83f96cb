"""One layer of the decoder, a pure function over its weights: what attention sees is the caller's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from llm_bridge.models import placement
from llm_bridge.models.config import DecoderConfig
from llm_bridge.models.products import matmul
from llm_bridge.models.rotary import rotate

Array = jax.Array
# One layer's arrays by name, or the stack over layers; see `layer_shapes`.
Layer = Mapping[str, Array]


def layer_shapes(config: DecoderConfig) -> dict[str, tuple[int, ...]]:
    """Name and shape of each of a layer's parameters; the decoder stacks them over layers on a leading axis L."""
    width, inner = config.width, config.mlp_width
    q, kv = config.heads * config.head_dim, config.kv_heads * config.head_dim
    family = config.family
    shapes: dict[str, tuple[int, ...]] = {
        "attention_norm": (width,),
        "mlp_norm": (width,),
        "q": (width, q),
        "k": (width, kv),
        "v": (width, kv),
        "o": (q, width),
        "gate": (width, inner),
        "up": (width, inner),
        "down": (inner, width),
    }
    if family.norm_first and family.norm_last:
        shapes |= {"attention_out_norm": (width,), "mlp_out_norm": (width,)}
    if family.projection_bias:
        shapes |= {"q_bias": (q,), "k_bias": (kv,), "v_bias": (kv,)}
    if family.projection_norm == "whole":
        shapes |= {"q_norm": (q,), "k_norm": (kv,)}
    if family.projection_norm == "head":
        shapes |= {"q_norm": (config.head_dim,), "k_norm": (config.head_dim,)}
    return shapes


def embedded(config: DecoderConfig, rows: Array) -> Array:
    """Rows of the embedding as the first layer reads them, in the compute dtype."""
    if not config.family.scaled_embedding:
        return rows
    # The factor is rounded to the compute dtype first, as transformers does.
    return rows * jnp.asarray(np.float32(config.width**0.5), rows.dtype)


def rms_norm(config: DecoderConfig, x: Array, weight: Array) -> Array:
    """x / sqrt(mean(x²) + ε) · weight over the last axis, or · (1 + weight) where the family says so; the mean in
    float32, the product in x's dtype or, where the family's norms are wide, in float32 before rounding.
    """
    wide = x.astype(jnp.float32)
    # Divided by a root, not times `rsqrt`: XLA on a CPU miscomputes the vmapped gradient of that form.
    scaled = wide / jnp.sqrt(jnp.mean(wide * wide, axis=-1, keepdims=True) + config.norm_epsilon)
    if config.family.wide_norm:
        # The weight has the compute dtype's values, as in a model held in that dtype.
        factor = weight.astype(x.dtype).astype(jnp.float32)
        return (scaled * (1.0 + factor if config.family.norm_offset else factor)).astype(x.dtype)
    return scaled.astype(x.dtype) * weight.astype(x.dtype)


def adapted(config: DecoderConfig, layer: Layer, name: str, x: Array, product: Array) -> Array:
    """A product x W with what the adapter of this weight adds, scale · (x A) B; as it is where the layer has none."""
    if config.lora is None or name not in config.lora.weights:
        return product
    return product + config.lora.scale * matmul(matmul(x, layer[f"{name}_a"]), layer[f"{name}_b"])


def block(
    config: DecoderConfig,
    layer: Layer,
    x: Array,
    rope: tuple[Array, Array],
    attention: Callable[[Array, Array, Array], tuple[Array, Any]],
) -> tuple[Array, Any]:
    """One decoder layer on x [B, T, D].

    Args:
        config: the decoder's shape.
        layer: one layer's arrays by name (`layer_shapes`); "qkv", "qkv_bias" and "gate_up" may stand for their fused
            parts, and adapters stand beside them by name (`lora.adapter_shapes`).
        x: the residual stream.
        rope: `rope_table` at x's positions.
        attention: (q [B, T, H, d], k [B, KV, d, T], v [B, KV, T, d]) -> (output like q, anything): the caller decides
            what is attended to and what is kept.

    Returns:
        The new residual stream and the second value of `attention`.
    """
    family, mesh = config.family, config.mesh
    rows, length, _ = x.shape
    layer, x = placement.gathered(mesh, layer), placement.rows(mesh, x)
    q_size, kv_size = config.heads * config.head_dim, config.kv_heads * config.head_dim
    y = rms_norm(config, x, layer["attention_norm"]) if family.norm_first else x
    if "qkv" in layer:
        fused = matmul(y, layer["qkv"])
        if "qkv_bias" in layer:
            fused = fused + layer["qkv_bias"].astype(x.dtype)
        q, k, v = jnp.split(fused, [q_size, q_size + kv_size], axis=-1)
    else:
        q, k, v = (matmul(y, layer[name]) for name in "qkv")
        if family.projection_bias:
            q, k, v = (part + layer[f"{name}_bias"].astype(x.dtype) for name, part in (("q", q), ("k", k), ("v", v)))
    q, k, v = (adapted(config, layer, name, y, part) for name, part in (("q", q), ("k", k), ("v", v)))
    if family.projection_norm == "whole":
        q, k = rms_norm(config, q, layer["q_norm"]), rms_norm(config, k, layer["k_norm"])
    q = rotate(_heads(config, q, layer.get("q_norm")), rope, wide=family.wide_rotation)
    if config.query_factor != 1.0:
        q = (q.astype(jnp.float32) * config.query_factor).astype(q.dtype)
    k = rotate(_heads(config, k, layer.get("k_norm")), rope, wide=family.wide_rotation).transpose(0, 2, 3, 1)
    v = v.reshape(rows, length, config.kv_heads, config.head_dim).transpose(0, 2, 1, 3)
    q = placement.rows(mesh, q, None, "tensor")
    k, v = (placement.rows(mesh, part, "tensor") for part in (k, v))
    mixed, kept = attention(q, k, v)
    mixed = mixed.reshape(rows, length, q_size)
    y = placement.rows(mesh, adapted(config, layer, "o", mixed, matmul(mixed, layer["o"])))
    x = x + _normed_after(config, layer, "attention", y)
    y = rms_norm(config, x, layer["mlp_norm"]) if family.norm_first else x
    if "gate_up" in layer:
        gate, up = jnp.split(matmul(y, layer["gate_up"]), 2, axis=-1)
    else:
        gate, up = matmul(y, layer["gate"]), matmul(y, layer["up"])
    gate, up = adapted(config, layer, "gate", y, gate), adapted(config, layer, "up", y, up)
    inner = _activated(config, gate) * up
    y = placement.rows(mesh, adapted(config, layer, "down", inner, matmul(inner, layer["down"])))
    return x + _normed_after(config, layer, "mlp", y), kept


def _heads(config: DecoderConfig, projected: Array, norm: Array | None) -> Array:
    """q or k [B, T, heads · d] as [B, T, heads, d], each head normed where the family says so."""
    split = projected.reshape(*projected.shape[:2], -1, config.head_dim)
    return rms_norm(config, split, norm) if config.family.projection_norm == "head" and norm is not None else split


def _normed_after(config: DecoderConfig, layer: Layer, part: str, y: Array) -> Array:
    """The output of "attention" or "mlp", normed where the family norms outputs."""
    if not config.family.norm_last:
        return y
    return rms_norm(config, y, layer[f"{part}_out_norm" if config.family.norm_first else f"{part}_norm"])


def _activated(config: DecoderConfig, gate: Array) -> Array:
    if config.family.activation == "silu":
        return jax.nn.silu(gate)
    # Its cube and its tanh lose digits in 16 bits; torch computes it in float32 too.
    return jax.nn.gelu(gate.astype(jnp.float32), approximate=True).astype(gate.dtype)
