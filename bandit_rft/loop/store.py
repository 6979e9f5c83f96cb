"""The numbers of a run as they come in: arrays of the whole run, on disk where memory would not hold them."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from bandit_rft.history import History

MOST_IN_MEMORY = 2**30  # bytes of one array; a larger one is a file that goes when nothing refers to it


class Store:
    """float64 [S, T, ...] arrays by name, filled chunk by chunk.

    Attributes:
        seeds, rounds: S and T.
    """

    def __init__(self, seeds: int, rounds: int) -> None:
        self.seeds, self.rounds = seeds, rounds
        self._whole: Any = None

    def add(self, start: int, records: Mapping[str, Any]) -> None:
        """Keep the records [S, L, ...] of the rounds from `start` on; None stays None."""
        if self._whole is None:
            self._whole = jax.tree.map(lambda part: self._empty(part.shape[2:]), dict(records))

        def fill(whole: np.ndarray, part: np.ndarray) -> None:
            np.add(part, 0.0, out=whole[:, start : start + part.shape[1]])  # a loss of −0.0 is kept as 0.0

        jax.tree.map(fill, self._whole, dict(records))

    def _empty(self, rest: tuple[int, ...]) -> np.ndarray:
        shape = (self.seeds, self.rounds, *rest)
        if np.prod(shape, dtype=np.float64) * 8 <= MOST_IN_MEMORY:
            return np.empty(shape)
        # The file has no name: it is freed with the last array that maps it, also after a kill.
        with tempfile.TemporaryFile(prefix="bandit_rft_") as file:
            return np.memmap(file, dtype=np.float64, mode="w+", shape=shape)

    def history(
        self,
        best_mean: float | None,
        config: Mapping[str, Any],
        notes: tuple[str, ...],
        final_state: Any,
        rounds: int,
    ) -> History:
        """The history of the first `rounds` rounds."""
        whole = self._whole if rounds == self.rounds else jax.tree.map(lambda values: values[:, :rounds], self._whole)
        value, varying = whole["value"], whole["best_mean"]
        return History(
            rewards=whole["rewards"],
            value=np.full((self.seeds, rounds), np.nan) if value is None else value,
            pulled_mean=whole["pulled_mean"],
            best_mean=best_mean if varying is None else varying,
            metrics=whole["metrics"],
            notes=notes,
            config=config,
            final_state=final_state,
        )
