"""The two layouts of a state of several seeds, each read where the other is wanted.

Where seeds are computed together (a small model on one device) their states are one, its leaves [S, ...]; where each is
computed by itself (on a mesh of devices) they are a tuple of S states. A run may go on on other devices, so a
checkpoint of either layout is read into the other. Each leaf is then held whole on the host for that moment.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

PyTree = Any
_SEED = re.compile(r"\[(\d+)\]\.")  # before the names of a seed's leaves, where each seed has a state of its own


def other_layout(like: PyTree, names: Sequence[str]) -> tuple[PyTree, Callable[[PyTree], PyTree]] | None:
    """(a template of the other layout, of numpy arrays; what makes of a state like it one like `like`); None where
    neither is one, or where it holds typed keys.

    Args:
        like: arrays or `jax.ShapeDtypeStruct`s; the values of a leaf that is left as in the template are taken of it.
        names: of the leaves of the other layout.
    """
    if any(jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) for leaf in jax.tree.leaves(like)):
        return None  # typed keys, which no host array holds
    apart = {found[1] for name in names if (found := _SEED.match(name))}
    if isinstance(like, tuple) and len(like) > 1 and not apart:
        template = jax.tree.map(lambda *leaves: _nothing(leaves[0], (len(leaves), *leaves[0].shape)), *like)

        def of_seed(seed: int, one: PyTree, state: PyTree) -> PyTree:
            return jax.tree.map(lambda own, held, empty: _placed(own, held, empty, seed), one, state, template)

        return template, lambda state: tuple(of_seed(seed, one, state) for seed, one in enumerate(like))
    if isinstance(like, tuple) or not apart or any(leaf.shape[:1] != (len(apart),) for leaf in jax.tree.leaves(like)):
        return None
    templates = tuple(jax.tree.map(lambda leaf: _nothing(leaf, leaf.shape[1:]), like) for _ in apart)

    def stack(states: PyTree) -> PyTree:
        def joined(own: Any, empty: Any, *parts: Any) -> Any:
            return own if parts[0] is empty else _placed(own, np.stack(parts), empty)

        return jax.tree.map(joined, like, templates[0], *states)

    return templates, stack


def _nothing(leaf: Any, shape: tuple[int, ...]) -> np.ndarray:
    """An array of this shape that takes no memory."""
    return np.broadcast_to(np.zeros((), leaf.dtype), shape)


def _placed(own: Any, held: Any, empty: Any, seed: int | None = None) -> Any:
    """What was read, or one seed's of it, as an array of the kind and placement of `own`; itself where nothing was."""
    if held is empty:
        return own
    value = np.asarray(held) if seed is None else np.asarray(held[seed])
    if (sharding := getattr(own, "sharding", None)) is None:
        return value
    return jax.make_array_from_callback(value.shape, sharding, lambda index: value[index])
