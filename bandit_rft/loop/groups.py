"""Seeds in equal groups, one a core of a CPU, or over all devices: how many, and their states apart and together."""

from __future__ import annotations

import os
from collections.abc import Sequence
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
    return plain(jax.tree.map(lambda *parts: _joined(parts, size), *states))


def handed_over(states: list[Any], seeds: int) -> tuple[Any, list[Any]]:
    """(`whole` of these states, what `split` takes for `like`). The list is emptied, and what it held is let go of one
    array after another: the state is there once, and of one of its arrays twice.
    """
    size = seeds // len(states)
    like = [jax.tree.map(_template, state) for state in states]
    tree = jax.tree.structure(states[0])
    parts = [jax.tree.leaves(state) for state in states]
    states.clear()
    joined = []
    for _ in range(tree.num_leaves):
        joined.append(plain(_joined([leaves.pop(0) for leaves in parts], size)))
    return jax.tree.unflatten(tree, joined), like


def split(states: list[Any], like: list[Any]) -> list[Any]:
    """`whole` undone; keys again of the implementation that these states have, and filled up and placed as they are.

    Args:
        states: the one whole state. The list is emptied, and so held by nobody where the caller has no other reference.
        like: states of the groups, or what `handed_over` left of them.
    """
    leaves, tree = jax.tree.flatten(states.pop())
    before = jax.tree.leaves(like[0])
    groups: list[list[Any]] = [[] for _ in like]
    for old in before:
        leaf = leaves.pop(0)
        if jnp.issubdtype(old.dtype, jax.dtypes.prng_key):
            leaf = jax.random.wrap_key_data(jax.random.key_data(leaf), impl=jax.random.key_impl(old))
        for own, part in zip(groups, jnp.split(leaf, len(like)) if len(like) > 1 else [leaf], strict=True):
            own.append(shard(part))
    return [jax.tree.unflatten(tree, own) for own in groups]


def _joined(parts: Sequence[jax.Array], size: int) -> jax.Array:
    own = [part if len(part) == size else part[:size] for part in parts]
    return own[0] if len(own) == 1 else jnp.concatenate(own)


def _template(leaf: jax.Array) -> Any:
    """The array's shape and dtype; keys stay, for their implementation, and are small."""
    is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return leaf if is_key else jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)


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
