"""What weights of 16 bits round away of an optimiser's steps."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from bandit_rft.errors import ModelWarning

if TYPE_CHECKING:
    from llm_bridge.training.learner import FineTune

Array = jax.Array


def moved_share(params: Any, step: float) -> float:
    """The share of weights that change when `step` is added to each, or taken from it (the mean of both).

    Args:
        params: a pytree of floating-point arrays; each sum is rounded to its array's dtype.
        step: a positive number.
    """
    moved = [_moved(leaf, jnp.float32(step)) for leaf in jax.tree.leaves(params)]
    return float(sum(moved)) / sum(leaf.size for leaf in jax.tree.leaves(params))


@jax.jit
def _moved(leaf: Array, step: Array) -> Array:
    # The sum in float32 rounds once more than an exact one: to 2^-24 of it, where half a step of bfloat16 is 2^-9.
    wide = leaf.astype(jnp.float32)
    moved = [((wide + sign * step).astype(leaf.dtype) != leaf).sum(dtype=jnp.float32) for sign in (1, -1)]
    return (moved[0] + moved[1]) / 2


def warn_of_rounding(learner: FineTune) -> None:
    """Warns, with a ModelWarning, where a learner's weights have 16 bits; with the share that a step can move, for the
    optimisers whose first step is known before it is taken (AdamW moves each weight by the learning rate, about).
    """
    kinds = {leaf.dtype for leaf in jax.tree.leaves(learner.model.trained)}
    narrow = [str(kind) for kind in kinds if kind.itemsize < 4]
    if not narrow:
        return
    share = "small steps are rounded away"
    if learner.optimizer == "adamw" and isinstance(learner.learning_rate, float | int):
        moved = moved_share(learner.model.trained, learner.learning_rate)
        share = f"a step of {learner.learning_rate:g} moves {moved:.1%} of them, and the others round it away"
    warnings.warn(
        f"{learner.model.name} is trained in {narrow[0]} weights: {share}; load it with param_dtype='float32'.",
        ModelWarning,
        stacklevel=3,
    )
