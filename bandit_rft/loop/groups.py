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


def whole(states: list[Any]) -> Any:
    """The groups' states as one, [S, ...]; of a single group its own arrays, which the next chunk overwrites."""
    return plain(states[0] if len(states) == 1 else jax.tree.map(lambda *parts: jnp.concatenate(parts), *states))


def split(whole: Any, like: list[Any]) -> list[Any]:
    """`whole` undone; keys again of the implementation that these states have."""

    def as_before(leaf: jax.Array, old: jax.Array) -> jax.Array:
        if not jnp.issubdtype(old.dtype, jax.dtypes.prng_key):
            return leaf
        return jax.random.wrap_key_data(jax.random.key_data(leaf), impl=jax.random.key_impl(old))

    whole = jax.tree.map(as_before, whole, like[0])
    if len(like) == 1:
        return [whole]
    leaves, tree = jax.tree.flatten(whole)
    parts = [jnp.split(leaf, len(like)) for leaf in leaves]
    return [jax.tree.unflatten(tree, [part[group] for part in parts]) for group in range(len(like))]


def shard(seed_keys: jax.Array) -> jax.Array:
    """Spread the seeds over all local devices where they divide evenly; the jitted loop follows its input."""
    devices = jax.local_devices()
    if len(devices) == 1 or seed_keys.shape[0] % len(devices):
        return seed_keys
    return jax.device_put(seed_keys, NamedSharding(Mesh(np.asarray(devices), ("seed",)), PartitionSpec("seed")))
