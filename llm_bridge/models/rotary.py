"""Rotary position embedding in the half-split form (Su et al. 2021), with linear scaling and Llama 3.x's."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from llm_bridge.models.config import DecoderConfig
from llm_bridge.models.families import LinearScaling

Array = jax.Array


def rope_frequencies(config: DecoderConfig, *, local: bool = False) -> np.ndarray:
    """Angular frequencies [head_dim / 2] in radians a position, float32, with linear scaling or Llama 3.x's where
    configured; of the `local` layers: from their own base, unscaled.

    Rounded to float32 step by step as transformers does, so that angles at far positions round alike: at position
    131,071 one unit in the last place of a frequency turns an angle by up to 0.008. The power is taken in float64
    first, because numpy's in float32 is off by a unit where torch's, like this one, is not (7 of Llama 3's 32).
    """
    exponents = np.arange(0, config.head_dim, 2, dtype=np.float32) / np.float32(config.head_dim)
    theta = config.local_rope_theta if local else config.rope_theta
    powers = np.power(np.float64(theta), exponents.astype(np.float64)).astype(np.float32)
    frequencies = (np.float32(1.0) / powers).astype(np.float32)
    scaling = config.rope_scaling
    if scaling is None or local:
        return frequencies
    if isinstance(scaling, LinearScaling):
        return (frequencies / np.float32(scaling.factor)).astype(np.float32)
    low, high, original = scaling.low_frequency_factor, scaling.high_frequency_factor, scaling.original_positions
    wavelength = (2 * np.pi / frequencies).astype(np.float32)
    slowed = (frequencies / np.float32(scaling.factor)).astype(np.float32)
    blend = ((original / wavelength - low) / (high - low)).astype(np.float32)
    smooth = ((1 - blend) * frequencies / np.float32(scaling.factor) + blend * frequencies).astype(np.float32)
    between = (wavelength >= original / high) & (wavelength <= original / low)
    return np.where(wavelength > original / low, slowed, np.where(between, smooth, frequencies)).astype(np.float32)


def rope_table(config: DecoderConfig, positions: Array, *, local: bool = False) -> tuple[Array, Array]:
    """Cosine and sine [..., head_dim / 2], float32, of the rotary angles at int positions [...]; `local`: of the layers
    that see a window alone.
    """
    angles = positions.astype(jnp.float32)[..., None] * jnp.asarray(rope_frequencies(config, local=local))
    return jnp.cos(angles), jnp.sin(angles)


def rotate(x: Array, rope: tuple[Array, Array], *, wide: bool = False) -> Array:
    """Rotary embedding of x [B, T, heads, d], pairing dimension i with i + d / 2; tables [B or 1, T, d / 2].

    In x's dtype, or in float32 and then rounded if `wide`.
    """
    kind = jnp.dtype(jnp.float32) if wide else x.dtype
    cos, sin = (table[:, :, None, :].astype(kind) for table in rope)
    first, second = jnp.split(x.astype(kind), 2, axis=-1)
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1).astype(x.dtype)
