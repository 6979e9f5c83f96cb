"""Memory of gradients that are done with, for the next ones.

On a CPU, asking the system for the pages of a gradient anew costs a fifth of the pass that makes it; an accelerator has
a pool for that, where memory held back would be missed while sampling.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

PyTree = Any


class GradientMemory:
    """Gradients to overwrite; as many are held as a step has had at one time."""

    def __init__(self) -> None:
        self.holds = jax.default_backend() == "cpu"
        self._spare: list[PyTree] = []

    def give(self, gradient: PyTree | None) -> None:
        """What the caller will not read again."""
        if self.holds and gradient is not None:
            self._spare.append(gradient)

    def take(self, params: PyTree) -> PyTree | None:
        """A gradient of these parameters' shapes to donate; None on an accelerator."""
        if not self.holds:
            return None
        # Zeros rather than nothing the first time: one compilation serves all.
        return self._spare.pop() if self._spare else jax.tree.map(jnp.zeros_like, params)
