"""Adam's step on a linearised policy, in float32 and compiled: the law by rounds takes one in each of its runs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

__all__ = ["Adam"]

Array = jax.Array

_EDGES = 16  # trees are padded to multiples of so many edges: those of resampled responses then share compiled code


class Adam:
    """Adam's step on the linearised policy, from the scores' entries at some coordinates.

    Args:
        coordinates: float32 [E, J], the edges' scores at J coordinates drawn at random from all D.
        dimension: D; a sum over the J is scaled by D/J, or by stands_for where that is given.
        learning_rate, beta1, beta2, eps: Adam's.
        turned: float32 [E, J], by how much the coordinates change for each unit of way; None: they stay.
        way: float64 [E], the sum of a first-order move of the logits by these is that way (`ResponseTree.way`).
    """

    def __init__(
        self,
        coordinates: np.ndarray,
        dimension: int,
        *,
        learning_rate: float,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        turned: np.ndarray | None = None,
        way: np.ndarray | None = None,
        stands_for: float | None = None,
    ) -> None:
        self.coordinates, self.scale = coordinates, stands_for or dimension / coordinates.shape[1]
        self.learning_rate, self.beta1, self.beta2, self.eps = learning_rate, beta1, beta2, eps
        self.turned, self.way = turned, way

    def stepper(self, runs: int) -> Callable[[np.ndarray], np.ndarray]:
        """From mean scores u [runs, E] to the logits' move [runs, E], with the moments of so many runs kept inside."""
        edges, weights = self.coordinates.shape
        padding = -edges % _EDGES

        def padded_rows(rows: np.ndarray) -> Array:
            return jnp.asarray(np.pad(np.asarray(rows, np.float32), ((0, padding), (0, 0))))

        coordinates = padded_rows(self.coordinates)
        turned = None if self.turned is None else padded_rows(self.turned)
        gone, size = np.zeros(runs), self.learning_rate * self.scale
        first, second = (jnp.zeros((runs, weights), jnp.float32) for _ in range(2))
        decay1 = decay2 = 1.0

        def move(scores: np.ndarray) -> np.ndarray:
            nonlocal first, second, decay1, decay2, gone
            decay1, decay2 = decay1 * self.beta1, decay2 * self.beta2
            padded = jnp.asarray(np.pad(scores.astype(np.float32), ((0, 0), (0, padding))))
            settings = [np.float32(one) for one in (self.beta1, self.beta2, self.eps, decay1, decay2)]
            bend = jnp.asarray(gone.astype(np.float32))
            first, second, plain, turning = _step(first, second, padded, coordinates, turned, bend, *settings)
            straight = np.asarray(plain, np.float64)[:, :edges]
            if turning is None or self.way is None:
                return size * straight
            further = np.asarray(turning, np.float64)[:, :edges]
            ahead = size * straight @ self.way
            # On average over the step the scores are those half of it ahead.
            moved = straight + (gone + ahead / 2)[:, None] * further
            gone = gone + ahead
            return size * moved

        return move


@partial(jax.jit, donate_argnums=(0, 1))
def _step(
    first: Array,
    second: Array,
    scores: Array,
    coordinates: Array,
    turned: Array | None,
    gone: Array,
    beta1: Array,
    beta2: Array,
    eps: Array,
    decay1: Array,
    decay2: Array,
) -> tuple[Array, Array, Array, Array | None]:
    """Both moments [R, J] after a gradient of scores [R, E], where the weights of each run have gone so far [R] that
    its coordinates are coordinates + gone turned; and the sums of their move, for a learning rate of 1, with
    coordinates and with turned, [R, E] each.
    """
    gradient = scores @ coordinates
    if turned is not None:
        gradient += gone[:, None] * (scores @ turned)
    first = beta1 * first + (1 - beta1) * gradient
    second = beta2 * second + (1 - beta2) * gradient**2
    direction = first / (1 - decay1) / (jnp.sqrt(second / (1 - decay2)) + eps)
    return first, second, direction @ coordinates.T, None if turned is None else direction @ turned.T
