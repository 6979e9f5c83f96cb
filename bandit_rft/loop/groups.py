"""Seeds in equal groups, one a core of a CPU, or over all devices: how many, and their states apart and together."""

from __future__ import annotations

import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from bandit_rft.random_bits import plain

LEAST_GROUP = 4  # seeds below which a core of its own is not worth its start


def number_of_groups(seeds: int) -> int:
    """Most equal groups of at least LEAST_GROUP seeds, no more than there are cores; 1 off the CPU, or with many
    devices, or where JAX is asked to look at every value (its checks are the calling thread's own).
    """
    if jax.default_backend() != "cpu" or len(jax.local_devices()) > 1 or jax.config.jax_debug_nans:  # type: ignore[attr-defined]
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return next(n for n in range(min(cores, max(1, seeds // LEAST_GROUP)), 0, -1) if seeds % n == 0)


def whole(states: list[Any], seeds: int) -> Any:
    """The groups' states as one, [S, ...], without the seeds that only fill the devices; of a single full group its own
    arrays, which the next chunk overwrites.
    """
    size = seeds // len(states)

    def join(*parts: jax.Array) -> jax.Array:
        own = [part if len(part) == size else part[:size] for part in parts]
        return own[0] if len(own) == 1 else jnp.concatenate(own)

    return plain(jax.tree.map(join, *states))


def split(whole: Any, like: list[Any]) -> list[Any]:
    """`whole` undone; keys again of the implementation that these states have, and filled up and placed as they are."""

    def as_before(leaf: jax.Array, old: jax.Array) -> jax.Array:
        if not jnp.issubdtype(old.dtype, jax.dtypes.prng_key):
            return leaf
        return jax.random.wrap_key_data(jax.random.key_data(leaf), impl=jax.random.key_impl(old))

    whole = jax.tree.map(as_before, whole, like[0])
    if len(like) > 1:
        leaves, tree = jax.tree.flatten(whole)
        parts = [jnp.split(leaf, len(like)) for leaf in leaves]
        groups = [jax.tree.unflatten(tree, [part[group] for part in parts]) for group in range(len(like))]
    else:
        groups = [whole]
    return [jax.tree.map(shard, group) for group in groups]


def shard(seeds: jax.Array) -> jax.Array:
    """An array of seeds [S, ...] spread over all local devices, the last seed repeated until they divide evenly; what
    the copies compute is left out of every record. The jitted loop follows its input.
    """
    devices = jax.local_devices()
    if len(devices) == 1:
        return seeds
    devices = devices[: len(seeds)]
    fill = -len(seeds) % len(devices)
    if fill:
        seeds = seeds[np.minimum(np.arange(len(seeds) + fill), len(seeds) - 1)]
    return jax.device_put(seeds, NamedSharding(Mesh(np.asarray(devices), ("seed",)), PartitionSpec("seed")))
