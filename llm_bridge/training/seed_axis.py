"""What `vmap` over seeds makes of sampling and update: one seed after another on a CPU, all at once elsewhere.

Seeds have weights of their own, so that a product of all seeds is a batch of small products. On a CPU a core does no
more of them for being handed all, and the activations and caches of one seed stay in its cache, where those of all do
not. A seed by itself also is as wide and as long as its own longest response, skips a gradient that no row has, takes
the memory of one, and computes what it would alone, to the bit. An accelerator, or several devices that share the
seeds, need the whole batch to be busy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

Array = jax.Array


def each_seed(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function of pytrees of arrays, to be vmapped over seeds: see the head of the file."""
    mapped = jax.custom_batching.sequential_vmap(function)

    def of_seeds(*arguments: Any) -> Any:
        return (mapped if one_by_one() else function)(*arguments)

    return of_seeds


def one_by_one() -> bool:
    """Whether seeds are computed one after another."""
    return jax.default_backend() == "cpu" and len(jax.local_devices()) == 1


@jax.custom_batching.custom_vmap
def largest(value: Array) -> Array:
    """The scalar itself; under `vmap`, the largest of the whole batch, which can then choose a branch for all.

    A branch for each seed would be a choice between results, all of them computed.
    """
    return value


@largest.def_vmap
def _largest_of_batch(size: int, batched: list[bool], value: Array) -> tuple[Array, bool]:
    del size
    return largest(jnp.max(value) if batched[0] else value), False
