"""Pass@1 over the seeds of a run: the mean with its interval, as figures, reports and `bandit-rft predict` state it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bandit_rft.regret import band


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
    """The mean of evaluation records of one round, one a seed; of a single record, its own interval."""
    value, low, high = (np.asarray([r[name] for r in records], np.float64) for name in ("pass_at_1", "low", "high"))
    mean, count = float(value.mean()), len(records)
    # Independent estimates: the distances to their limits add as standard errors do.
    below, above = (math.sqrt(float(np.square(side).sum())) / count for side in (value - low, high - value))
    if count > 1:
        over = band(value[:, None])
        below, above = max(below, mean - float(over.low[0])), max(above, float(over.high[0]) - mean)
    return Mean(
        round=int(records[0]["round"]),
        seeds=count,
        value=mean,
        low=max(mean - below, 0.0),
        high=min(mean + above, 1.0),
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
