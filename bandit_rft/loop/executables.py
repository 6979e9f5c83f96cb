"""Compiled scans by their lowered text: on a CPU, arm sets of one shape are compiled once.

A sweep over p0 at 10^100 arms, 4 points of 1000 rounds and 64 seeds, takes 2.8 times as long without
(`python benchmarks/own_code.py sweep-needles`). Arms that are listed one by one have their means in the text, which is
then another for each table, and a sweep over step sizes compiles once without this: neither gains or loses. JAX keeps
no compiled programs by text but in a folder, which a user may set for accelerators.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import jax

MOST = 64  # executables that are kept
_KEPT: OrderedDict[Any, Callable] = OrderedDict()


def executable(lowered: Any, structure: Any) -> Callable:
    """The lowered function compiled, or what an equal one was compiled to.

    Where JAX leaves large constants out of the text, two texts may be equal and their functions not: nothing is then
    shared. Neither is anything on an accelerator.

    Args:
        lowered: what `jax.jit(...).lower(...)` returns.
        structure: the tree of the state that it takes and returns, which the text does not tell.
    """
    if jax.default_backend() != "cpu" or getattr(jax.config, "jax_use_simplified_jaxpr_constants", False):
        return lowered.compile()
    text = (hashlib.sha256(lowered.as_text().encode()).hexdigest(), structure)
    if text not in _KEPT:
        _KEPT[text] = lowered.compile()
    _KEPT.move_to_end(text)
    while len(_KEPT) > MOST:
        _KEPT.popitem(last=False)
    return _KEPT[text]


def forget() -> None:
    """Drop all of them."""
    _KEPT.clear()
