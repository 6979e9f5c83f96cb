"""What differs from layer to layer in a family whose layers alternate (Gemma 3): how far back a layer sees, and its
rotary base.

A local layer sees the last `window` tokens, itself included; the others see all. Which one a layer is travels through
the scan over layers as data, `local`: a bool, or None in a family that has one kind alone, where nothing here adds an
operation. Where layers are not scanned (decoding), it is a Python bool.

Left out: a cache as short as the window for local layers. They keep all keys and values, as the others do, and mask.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from llm_bridge.models.config import DecoderConfig
from llm_bridge.models.rotary import rope_table

Array = jax.Array
Local = Array | bool | None
Rope = tuple[Array, Array]


def local_layers(config: DecoderConfig) -> Array | None:
    """bool [L], which layers are local, to be scanned beside their weights; None where no layer is."""
    return jnp.asarray(config.local_layers) if config.window is not None else None


def local_layer(config: DecoderConfig, index: int) -> bool | None:
    """Whether this layer is local; None where no layer is."""
    return config.local_layers[index] if config.window is not None else None


def rope_tables(config: DecoderConfig, positions: Array) -> tuple[Rope, Rope | None]:
    """`rope_table` at int positions [...], of the layers that see all and of the local ones (None: there are none)."""
    nearby = rope_table(config, positions, local=True) if config.window is not None else None
    return rope_table(config, positions), nearby


def rope_of(tables: tuple[Rope, Rope | None], local: Local) -> Rope:
    """The layer's own of the two."""
    everywhere, nearby = tables
    if nearby is None or local is None or local is False:
        return everywhere
    if local is True:
        return nearby
    return _chosen(local, everywhere, nearby)


def within(config: DecoderConfig, local: Local, mask: Array, queries: Array, keys: Array) -> Array:
    """The mask bool [B or 1, T, S], in a local layer limited to keys less than a window behind their query.

    Args:
        config: of the decoder.
        local: of the layer.
        mask: which keys each query may see in a layer that sees all; no key after its query.
        queries, keys: their positions in the sequence, int [B or 1, T] and [B or 1, S], or without an axis of size 1.
    """
    if config.window is None or local is None or local is False:
        return mask
    near = jnp.expand_dims(queries, -1) - jnp.expand_dims(keys, -2) < config.window
    return mask & (near if local is True else near | ~local)


def _chosen(local: Any, everywhere: Rope, nearby: Rope) -> Rope:
    cos, sin = (jnp.where(local, ours, theirs) for ours, theirs in zip(nearby, everywhere, strict=True))
    return cos, sin
