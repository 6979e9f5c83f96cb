"""Where a model's arrays stand on a mesh of devices (data, fsdp, tensor): the rules, all of them.

    data      rows of a batch are divided; every part holds the weights
    fsdp      rows are divided, and weights too, a layer of which is gathered when it is computed with
    tensor    heads, the MLP's inner size and the vocabulary are divided; rows are not

Weights, adapters, their gradients and the optimiser's state are divided by one table, by a weight's name. A decoder on
a mesh has it in its `DecoderConfig`, and compiled functions constrain what the compiler would else have to guess: rows
of activations, heads of the cache, columns of logits. Without a mesh every function here returns what it was given.

A row draws from a key of its own, so the tokens of a seed are the same on any mesh, up to the rounding of a logit's
last bits. Sharding in this manner: GSPMD, Xu et al. 2021 (arXiv 2105.04663); fsdp: Rajbhandari et al. 2020 (ZeRO).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jax.core import Tracer
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from bandit_rft import arguments
from bandit_rft.errors import InputError
from bandit_rft.settings.mesh import AXES, sizes_of, spelt

if TYPE_CHECKING:
    from llm_bridge.models.config import DecoderConfig

Array = jax.Array
PyTree = Any
ROWS = ("data", "fsdp")  # the axes that divide rows

_PRODUCTS: Mapping[str, P] = {  # weights that adapters stand beside, [L, in, out]
    **dict.fromkeys(("q", "k", "v", "gate", "up"), P(None, "fsdp", "tensor")),
    **dict.fromkeys(("o", "down"), P(None, "tensor", "fsdp")),
}
# Name of a weight -> its axes on the mesh; those of layers have the axis of layers before. Norms stand everywhere.
# Adapters are divided as their weight is: A [L, in, rank] by its rows, B [L, rank, out] by its columns.
WEIGHTS: Mapping[str, P] = {
    "embedding": P("tensor", "fsdp"),
    "head": P("fsdp", "tensor"),
    **_PRODUCTS,
    **dict.fromkeys(("q_bias", "k_bias", "v_bias"), P(None, "tensor")),
    **{f"{name}_a": P(None, axes[1], None) for name, axes in _PRODUCTS.items()},
    **{f"{name}_b": P(None, None, axes[2]) for name, axes in _PRODUCTS.items()},
}


def make(mesh: str | Mapping[str, int] | None, config: DecoderConfig) -> Mesh | None:
    """The mesh of the first devices that there are; None for one device.

    Args:
        mesh: such as "data=2,fsdp=2,tensor=2", or a dict of it.
        config: of the decoder that is to stand on it.

    Raises:
        InputError: unknown axes or sizes, more devices than there are, or a decoder that they do not divide.
    """
    if mesh is None:
        return _alone()
    arguments.require("mesh", mesh, (str, Mapping), 'a text such as "data=2,fsdp=2", or a dict of it')
    sizes = sizes_of(mesh if isinstance(mesh, str) else ",".join(f"{axis}={size}" for axis, size in mesh.items()))
    if spelt(sizes) is None:
        return _alone()
    wanted, devices = math.prod(sizes.values()), jax.devices()
    if wanted > len(devices):
        raise InputError(
            f"The mesh {spelt(sizes)} takes {wanted} devices and there are {len(devices)}: give smaller sizes."
        )
    for axis, what, units in (
        ("tensor", "key and value heads", config.kv_heads),
        ("tensor", "inner units of the MLP", config.mlp_width),
        ("tensor", "tokens of the vocabulary", config.vocabulary),
        ("fsdp", "hidden units", config.width),
    ):
        if units % sizes[axis]:
            raise InputError(f"The mesh has {axis}={sizes[axis]} and the model has {units} {what}: give a divisor.")
    return Mesh(np.asarray(_chosen(devices, wanted, spelt(sizes))).reshape(tuple(sizes.values())), AXES)


def _alone() -> None:
    """No mesh. Raises InputError where there are several processes, each of which would compute the same."""
    if jax.process_count() > 1:
        raise InputError(
            f"There are {jax.process_count()} processes and no mesh over them: give one, such as "
            f"data={jax.device_count()}."
        )


def _chosen(devices: list[Any], wanted: int, mesh: str | None) -> list[Any]:
    """So many devices: equally many of each process, those of one process beside one another.

    Raises:
        InputError: the processes cannot have equally many.
    """
    of_process: dict[int, list[Any]] = {}
    for device in devices:
        of_process.setdefault(device.process_index, []).append(device)
    processes = len(of_process)
    each = wanted // processes
    if wanted % processes or each > min(map(len, of_process.values())):
        raise InputError(
            f"The mesh {mesh} takes {wanted} devices, which {processes} processes of "
            f"{min(map(len, of_process.values()))} cannot hold in equal parts: give a multiple of {processes}."
        )
    return [device for process in sorted(of_process) for device in of_process[process][:each]]


def text_of(mesh: Mesh | None) -> str | None:
    """The mesh as the user writes it; None for one device."""
    return None if mesh is None else spelt(dict(mesh.shape))


def size(mesh: Mesh | None) -> int:
    """How many devices there are in it."""
    return 1 if mesh is None else mesh.size


def unused(mesh: Mesh | None, option: str, rows: str) -> str | None:
    """That devices are left unused, as a sentence; None where none is.

    Args:
        mesh: of the model.
        option: what the user calls it.
        rows: what a mesh divides, and when it does so evenly.
    """
    there = jax.device_count()
    if size(mesh) == there:
        return None
    return (
        f"{there - size(mesh)} of {there} devices are unused: {option} spreads the model over more, such as "
        f"data={there}{rows.format(there)}."
    )


def row_shards(mesh: Mesh | None) -> int:
    """Into how many parts rows are divided."""
    return 1 if mesh is None else mesh.shape["data"] * mesh.shape["fsdp"]


def tensor_shards(mesh: Mesh | None) -> int:
    """Into how many parts heads and vocabulary are divided."""
    return 1 if mesh is None else mesh.shape["tensor"]


def check_rows(
    mesh: Mesh | None,
    responses: int,
    micro_batch: int | None,
    generation_batch: int | None,
    option: Callable[[str], str] = str,
) -> None:
    """Raises InputError where a round's rows, or those of a batch of them, are not divided evenly.

    Args:
        mesh: of the model.
        responses: of a round.
        micro_batch, generation_batch: of the learner; None: all at once.
        option: name of an argument -> how the user writes it.
    """
    for what, rows in (
        ("a round's responses are", responses),
        (f"{option('micro_batch')} is", micro_batch or 0),
        (f"{option('generation_batch')} is", generation_batch or 0),
    ):
        if rows % row_shards(mesh):
            raise InputError(
                f"The mesh {text_of(mesh)} divides rows by {row_shards(mesh)} and {what} {rows}: give a multiple of it."
            )


def spec_of(path: tuple[Any, ...], ndim: int) -> P:
    """The axes of a leaf of parameters, gradients or an optimiser's state, by the weight's name in its path."""
    for key in reversed(path):
        name = str(getattr(key, "key", getattr(key, "name", "")))
        if name in WEIGHTS and len(WEIGHTS[name]) == ndim:
            return WEIGHTS[name]
    return P()


def weights(mesh: Mesh | None, tree: PyTree) -> PyTree:
    """Parameters, gradients or an optimiser's state where they belong; traced arrays are constrained. A leaf that is no
    weight stands on every device.
    """
    if mesh is None:
        return tree

    def place(path: tuple[Any, ...], leaf: Any) -> Any:
        sharding = NamedSharding(mesh, spec_of(path, leaf.ndim))
        if isinstance(leaf, Tracer):
            return jax.lax.with_sharding_constraint(leaf, sharding)
        return _put(leaf, sharding)

    return jax.tree_util.tree_map_with_path(place, tree)


def _put(array: Any, sharding: NamedSharding) -> Array:
    """An array that every process has whole, or that stands on a mesh already, in these places."""
    if sharding.is_fully_addressable or (isinstance(array, Array) and not array.is_fully_addressable):
        return jax.device_put(array, sharding)
    # Each process fills its own part: `device_put` would first compare the whole array over all processes.
    host = np.asarray(array)
    return jax.make_array_from_callback(host.shape, sharding, lambda part: host[part])


def on_host(array: Any) -> np.ndarray:
    """An array whole on the host of every process; of one that is divided among processes, gathered: all call this."""
    if isinstance(array, Array) and not (array.is_fully_addressable or array.is_fully_replicated):
        from jax.experimental import multihost_utils

        return np.asarray(multihost_utils.process_allgather(array, tiled=True))
    return np.asarray(array)


def weight(mesh: Mesh, name: str, array: Any) -> Array:
    """A weight of this name, from the host to its places: no device holds more than its part."""
    return _put(array, NamedSharding(mesh, WEIGHTS.get(name, P())))


def gathered(mesh: Mesh | None, layer: Mapping[str, Array]) -> Mapping[str, Array]:
    """A layer's weights (or any by name) whole along fsdp, as they are multiplied with; traced."""
    if mesh is None:
        return layer
    return {name: _whole(mesh, name, leaf) for name, leaf in layer.items()}


def _whole(mesh: Mesh, name: str, leaf: Array) -> Array:
    axes = WEIGHTS.get(name, P())[-leaf.ndim :]  # of a layer the axis of layers is gone
    return _constrained(mesh, leaf, *(axis if axis == "tensor" else None for axis in axes))


def rows(mesh: Mesh | None, x: Array, *axes: str | None) -> Array:
    """x [R, ...] divided by rows, and as the further axes say; where R rows are not divided evenly they are not."""
    if mesh is None:
        return x
    return _constrained(mesh, x, None if x.shape[0] % row_shards(mesh) else ROWS, *axes)


def vocabulary(mesh: Mesh | None, logits: Array) -> Array:
    """Logits [R, ..., V] divided by rows, and by tokens where those are divided evenly."""
    if mesh is None:
        return logits
    return rows(mesh, logits, *[None] * (logits.ndim - 2), "tensor")


def _constrained(mesh: Mesh, x: Array, *axes: Any) -> Array:
    return jax.lax.with_sharding_constraint(x, NamedSharding(mesh, P(*axes)))
