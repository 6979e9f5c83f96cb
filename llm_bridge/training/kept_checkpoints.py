"""What a fine-tuning run's checkpoints take on the disk, and what is left of them when it is finished.

A checkpoint holds weights and the optimiser's state; adamw's is twice the weights. A finished run needs the weights
alone, unless it is to get more rounds. So the state is dropped at the end where it is large, and only then: a small
one costs nothing, and keeps the run open.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import jax

from llm_bridge.training import checkpoints

OPTIMIZER = "opt_state"  # the field of `FineTuneState`
LARGE = 100_000_000  # bytes of it in a checkpoint, from which on a finished run does not keep it


def at_the_start(state: Any, keep: int, keep_optimizer: bool) -> str:
    """A sentence on the size of the checkpoints of a run's state, of one seed or of several."""
    states = state if isinstance(state, tuple) else (state,)
    whole, optimizer = _size(state), sum(_size(getattr(own, OPTIMIZER)) for own in states)
    kept = f"up to {keep} are kept" if keep > 1 else "one is kept"
    said = f"Each checkpoint takes {_amount(whole)}; {kept} (--keep-checkpoints)"
    if optimizer < LARGE:
        return f"{said}."
    if keep_optimizer:
        return f"{said}, the finished run's too (--keep-optimizer)."
    return f"{said}, of which the finished run keeps the weights, {_amount(whole - optimizer)} (--keep-optimizer: all)."


def tidy(folder: Path, keep: int, keep_optimizer: bool) -> str:
    """Leave of a finished run's checkpoints what is to be kept; a sentence on what was dropped, or nothing.

    Args:
        folder: of the checkpoints.
        keep: newest checkpoints that are kept.
        keep_optimizer: whether the optimiser's state is, where it is large.

    Raises:
        InputError: the folder cannot be written.
    """
    checkpoints.prune(folder, keep)
    freed = 0 if keep_optimizer else checkpoints.reduce(folder, OPTIMIZER, least=LARGE)
    if not freed:
        return ""
    return (
        f"Of the checkpoints the weights are kept and the optimiser's state is dropped, {_amount(freed)}, so that the "
        "run gets no more rounds (--keep-optimizer would have kept it)."
    )


def _size(state: Any) -> int:
    """Bytes of a state's arrays."""
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))


def _amount(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{max(round(size / 1e6), 1)} MB"
