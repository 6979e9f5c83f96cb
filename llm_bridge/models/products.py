"""Matrix products that mean the same on every device: float32 stays float32, 16-bit floats add up in float32."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

Array = jax.Array


def matmul(x: Array, weight: Array, *, transposed: bool = False, out: Any = None) -> Array:
    """x [..., in] times weight [in, out] (or [out, in] if `transposed`), in x's dtype; float32 stays float32 on every
    device.

    Without the explicit precision a GPU would run float32 products in TF32 and a TPU in bfloat16.
    """
    contracting = ((x.ndim - 1,), (1 if transposed else 0,))
    out, weight = out or x.dtype, weight.astype(x.dtype)
    if out == jnp.float32:
        x, weight = widened(x), widened(weight)
    return jax.lax.dot_general(
        x, weight, (contracting, ((), ())), precision=precision(x.dtype), preferred_element_type=out
    )


def widened(x: Array) -> Array:
    """x on accelerators, which multiply 16-bit floats into float32; x as float32 on a CPU, where XLA may refuse to."""
    return x.astype(jnp.float32) if jax.default_backend() == "cpu" else x


def precision(dtype: Any) -> jax.lax.Precision | None:
    return jax.lax.Precision.HIGHEST if dtype == jnp.float32 else None


def product(left: Array, right: Array) -> Array:
    """Matrix products left [B, KV, m, k] times right [B or 1, KV, k, n]: [B, KV, m, n] float32.

    Written out as one `dot_general` in this order of operands: for a lone query einsum turns them round, which takes
    four times as long on a CPU.
    """
    left, right = widened(left), widened(right)
    settings = {"precision": precision(left.dtype), "preferred_element_type": jnp.float32}
    if right.shape[0] == left.shape[0]:
        return jax.lax.dot_general(left, right, (((3,), (2,)), ((0, 1), (0, 1))), **settings)
    # One set for all rows: the rows' queries are one taller matrix.
    rows, kv_heads, height, _ = left.shape
    stacked = left.transpose(1, 0, 2, 3).reshape(kv_heads, rows * height, -1)
    out = jax.lax.dot_general(stacked, right[0], (((2,), (1,)), ((0,), (0,))), **settings)
    return out.reshape(kv_heads, rows, height, -1).transpose(1, 0, 2, 3)
