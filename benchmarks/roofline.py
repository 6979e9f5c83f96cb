"""What a machine can do, measured; and what decoding and an update of a language model need at least, counted.

    streaming bandwidth     bytes a second of reading (CPU) or copying (GPU) arrays far larger than the caches, the best
                            of the ways tried
    matmul rate             floating-point operations a second of a large matrix product, the best of the libraries

Counted are matrix products alone, 2 operations a multiply-add; norms, rotary embeddings, the softmax, sampling and the
optimiser's arithmetic are left out, and so is anything computed twice (`remat`). A share of the rate is then what is
called model FLOPs utilisation (MFU).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

GIB = 2**30


def seconds(call: Callable[[], object], repeats: int) -> float:
    """The least of `repeats` calls, after one that is not timed."""
    call()
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return best


def cpu_bandwidth(cores: int, gib: float = 1.0, repeats: int = 5) -> dict[str, float]:
    """Bytes a second, by the way of reading: a dot product of an array with itself and a sum, a thread a core."""
    import numpy as np

    entries = int(gib * GIB) // 4 // cores
    parts = [np.ones(entries, np.float32) for _ in range(cores)]
    ways = {"dot": lambda part: float(np.dot(part, part)), "sum": lambda part: float(part.sum())}
    with ThreadPoolExecutor(cores) as threads:
        return {
            name: cores * entries * 4 / seconds(lambda way=way: list(threads.map(way, parts)), repeats)
            for name, way in ways.items()
        }


def device_bandwidth(gib: float = 1.0, repeats: int = 5) -> dict[str, float]:
    """Bytes a second of x + 1 on JAX's default device: each byte is read and written, and both count."""
    import jax
    import jax.numpy as jnp

    x = jnp.ones((int(gib * GIB) // 2,), jnp.bfloat16)
    add = jax.jit(lambda x: x + 1)
    return {"copy": 2 * x.nbytes / seconds(lambda: jax.block_until_ready(add(x)), repeats)}


def matmul_rate(size: int, dtype: str, repeats: int = 5, *, torch_too: bool = True) -> dict[str, float]:
    """Operations a second of a [size, size] product in JAX and, where it is there, in torch on a CPU."""
    import jax
    import jax.numpy as jnp

    x = jax.random.normal(jax.random.key(0), (size, size), jnp.float32).astype(dtype)
    multiply = jax.jit(lambda x: jnp.matmul(x, x, preferred_element_type=x.dtype))
    rates = {"jax": 2 * size**3 / seconds(lambda: jax.block_until_ready(multiply(x)), repeats)}
    if torch_too:
        try:
            import torch
        except ImportError:
            return rates
        y = torch.randn(size, size, dtype=getattr(torch, dtype))
        rates["torch"] = 2 * size**3 / seconds(lambda: y @ y, repeats)
    return rates


def product_bandwidth(rows: int, matrices: int = 64, width: int = 576, height: int = 1536) -> dict[str, float]:
    """Bytes of weights a second in products [rows, width] times float32 matrices, far more than the caches hold, in JAX
    and, where it is there, in torch on a CPU: what a decoding step of so many rows can read them at."""
    import jax
    import jax.numpy as jnp

    keys = jax.random.split(jax.random.key(0), matrices)
    weights = [jax.random.normal(key, (width, height), jnp.float32) for key in keys]
    x = jnp.ones((rows, width), jnp.float32)
    step = jax.jit(lambda x, weights: sum(x @ w for w in weights))
    count = matrices * width * height * 4
    found = {"jax": count / seconds(lambda: jax.block_until_ready(step(x, weights)), 5)}
    try:
        import torch
    except ImportError:
        return found
    copies, y = [torch.from_numpy(jax.device_get(w).copy()) for w in weights], torch.ones(rows, width)
    found["torch"] = count / seconds(lambda: [y @ w for w in copies], 5)
    return found


def layer_weights(config: Any) -> int:
    """Entries of the matrices of all layers: a token meets each once."""
    attention = config.width * config.head_dim * (2 * config.heads + 2 * config.kv_heads)
    return config.layers * (attention + 3 * config.width * config.mlp_width)


def head_weights(config: Any) -> int:
    """Entries of the output head."""
    return config.width * config.vocabulary


def attention_operations(config: Any, keys: float) -> float:
    """Operations of one query against `keys` keys and values, in all layers."""
    return 4 * config.layers * config.heads * config.head_dim * keys


def decode_step(config: Any, rows: int, prompt: int, response: float, bytes_each: int) -> dict[str, float]:
    """A decoding step of `rows` rows of one prompt, with `response` tokens of the response before it.

    Returns:
        bytes: weights, and the keys and values, each read once (the prompt's once for all rows). operations: of the
        matrix products.
    """
    entry = 2 * config.layers * config.kv_heads * config.head_dim
    weights = layer_weights(config) + head_weights(config)
    return {
        "bytes": bytes_each * (weights + entry * (prompt + rows * response)),
        "operations": rows * (2 * weights + attention_operations(config, prompt + response)),
    }


def update_operations(config: Any, rows: int, prompt: int, response: int, *, prompts_read: int = 1) -> float:
    """Operations of forward and backward (three times forward) over `rows` responses, with the head on the responses
    alone.

    Args:
        prompts_read: how often the prompt goes through the layers: once for rows that share it, or once a row.
    """
    tokens = prompts_read * prompt + rows * response
    keys = prompts_read * prompt * (prompt + 1) / 2 + rows * response * (prompt + (response + 1) / 2)
    forward = 2 * layer_weights(config) * tokens + 2 * head_weights(config) * rows * response
    return 3 * (forward + attention_operations(config, keys))


# Dense bfloat16 operations a second with float32 sums, as the vendor states them.
STATED_RATES = {"H100": 989e12, "H200": 989e12, "A100": 312e12}


def stated_rate(device: str) -> float | None:
    """What the vendor states for a device of this name, or None: what MFU is usually a share of."""
    return next((rate for name, rate in STATED_RATES.items() if name in device), None)
