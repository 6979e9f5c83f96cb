"""Averages that figures, reports and `bandit-rft predict` state alike: Pass@1 over a run's seeds with its interval, and
moving means over rounds.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bandit_rft.history import History
from bandit_rft.regret import Band, band


@dataclass(frozen=True, kw_only=True)
class Mean:
    """Pass@1 over the seeds evaluated at one round: 95% interval [low, high], its seeds' lowest and highest."""

    round: int
    seeds: int
    value: float
    low: float
    high: float
    least: float
    most: float


def mean_of(records: Sequence[Mapping[str, Any]]) -> Mean:
    """The mean of evaluation records of one round, one per seed; of a single record, its own interval."""
    value, low, high = (np.asarray([r[name] for r in records], np.float64) for name in ("pass_at_1", "low", "high"))
    mean, count = float(value.mean()), len(records)
    if count == 1:
        bottom, top = float(low[0]), float(high[0])
    else:
        # Independent estimates: the distances to their limits add as standard errors do.
        below, above = (math.sqrt(float(np.square(side).sum())) / count for side in (value - low, high - value))
        over = band(value[:, None])
        below, above = max(below, mean - float(over.low[0])), max(above, float(over.high[0]) - mean)
        bottom, top = max(mean - below, 0.0), min(mean + above, 1.0)
    return Mean(
        round=int(records[0]["round"]),
        seeds=count,
        value=mean,
        low=bottom,
        high=top,
        least=float(value.min()),
        most=float(value.max()),
    )


def means(evaluations: Sequence[Mapping[str, Any]], measured: str) -> list[Mean]:
    """Of one kind of questions, by round."""
    by_round: dict[int, list[Mapping[str, Any]]] = {}
    for record in evaluations:
        if record["measured"] == measured:
            by_round.setdefault(record["round"], []).append(record)
    return [mean_of(by_round[place]) for place in sorted(by_round)]


def interval(one: Mean) -> str:
    """The mean with its interval."""
    return f"{one.value:.3f} [{one.low:.3f}, {one.high:.3f}]"


def over_seeds(curves: np.ndarray) -> Band:
    """The mean of the seeds' curves [S, N] with its simultaneous 95% band, S at least 2; no lower than 0 where no curve
    is: a mean of what is never negative is not either.
    """
    over = band(curves, kind="simultaneous")
    return dataclasses.replace(over, low=np.maximum(over.low, 0.0)) if curves.min() >= 0 else over


def window_of(history: History) -> int:
    """Rounds behind each moving mean of a fine-tuning run: a twentieth of the run's, at least five, and no more
    than there are yet.
    """
    return min(max(5, int(history.config["rounds"]) // 20), history.rounds)


def moving(values: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray]:
    """(middles [N], means [S, N]) of each seed's known values in every full window of rounds; NaN where none is."""
    known = np.isfinite(values)
    total, count = (
        np.pad(np.cumsum(part, axis=1, dtype=np.float64), ((0, 0), (1, 0)))
        for part in (np.where(known, values, 0), known)
    )
    total, count = total[:, window:] - total[:, :-window], count[:, window:] - count[:, :-window]
    with np.errstate(invalid="ignore"):
        return np.arange(total.shape[1]) + (window - 1) / 2, np.where(count > 0, total / count, np.nan)
