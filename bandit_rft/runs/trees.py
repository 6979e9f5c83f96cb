"""The measured tree of responses as a file of a run folder: plain arrays, held to a digest."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bandit_rft.errors import DAMAGED_ARRAYS, InputError
from bandit_rft.runs.files import write_atomically
from bandit_rft.runs.names import TREE
from bandit_rft.theory.forests import ForestSample
from bandit_rft.theory.sampled_tree import TreeSample


def write_tree(folder: Path, sample: TreeSample | ForestSample) -> dict[str, str]:
    """Write the sample; returns what config.json keeps of it: the file's name and SHA-256."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **sample.arrays())  # pyright: ignore[reportArgumentType]
    write_atomically(folder / TREE, buffer.getvalue())
    return {"file": TREE, "sha256": hashlib.sha256(buffer.getvalue()).hexdigest()}


def read_tree(folder: Path, kept: Mapping[str, str] | None) -> dict[str, np.ndarray] | None:
    """Its arrays; None where config.json keeps none (`kept` is what `write_tree` returned).

    Raises:
        InputError: the file is gone, or is not the one that was written.
    """
    if not kept:
        return None
    path = folder / TREE
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}): restore it, the law of the run needs it."
        ) from None
    if hashlib.sha256(content).hexdigest() != kept.get("sha256"):
        raise InputError(f"{path} is not the tree that was measured: restore it.")
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return dict(arrays)
    except DAMAGED_ARRAYS:
        raise InputError(f"{path} is no file of arrays: restore it.") from None
