"""How long the tree law says that a run takes to a level of Pass@1, and how far that can be trusted.

Two things are uncertain, and they are told apart: the tree, which is measured on so many responses (the bootstrap over
them), and a single run, whose luck no measurement takes away (the spread over seeds of the law itself).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from bandit_rft import arguments
from bandit_rft.theory.compared import mean_curve_time
from bandit_rft.theory.forests import ForestSample
from bandit_rft.theory.laws.tree_law import TreeJumpLaw
from bandit_rft.theory.laws.tree_rounds_law import TreeRoundsLaw
from bandit_rft.theory.remeasured import resampled_laws
from bandit_rft.theory.sampled_tree import TreeSample

__all__ = ["HalfTime", "half_time"]

_FOLLOWED = 6  # times the law's own half-time: for so long a resample's curve and a single run are followed


@dataclass(frozen=True, kw_only=True)
class HalfTime:
    """Rounds until Pass@1 is at a level.

    Attributes:
        level: of Pass@1.
        time: first round before whose update the mean over runs is at the level.
        coverage: of both intervals.
        low, high: of `time`, for the error of the measurement: quantiles over trees of resampled responses; inf where
            such a tree does not learn it within `followed` rounds.
        runs_low, runs_high: of single runs, if the tree as measured is right; inf likewise.
        followed: rounds.
    """

    level: float
    time: float
    coverage: float
    low: float
    high: float
    runs_low: float
    runs_high: float
    followed: int

    def sentence(self) -> str:
        """As a reader is told."""
        name = "half-time" if self.level == 0.5 else f"time to Pass@1 = {self.level:g}"
        low, high, runs_low, runs_high = map(self._said, (self.low, self.high, self.runs_low, self.runs_high))
        return (
            f"{name} {self.time:.0f} rounds [{low}, {high}] ({100 * self.coverage:.4g}%: error of the measurement), "
            f"single runs {runs_low} to {runs_high}"
        )

    def _said(self, time: float) -> str:
        return f"{time:.0f}" if math.isfinite(time) else f"over {self.followed}"


def half_time(
    law: TreeJumpLaw | TreeRoundsLaw, sample: TreeSample | ForestSample, *, level: float = 0.5, coverage: float = 0.8
) -> HalfTime | None:
    """The law's time to the level with both its uncertainties.

    Args:
        law: on the sample's own tree.
        sample: the responses that were measured, with the kernel of their branches.
        level: of Pass@1, in (0, 1).
        coverage: of both intervals, in (0, 1).

    Returns:
        The times; None where the start is above the level, or the mean curve is not there within `law.searched` rounds.

    Raises:
        InputError: an argument out of range.
    """
    level, coverage = arguments.fraction("level", level), arguments.fraction("coverage", coverage)
    time = 0.0 if law.tree.p0 >= level else mean_curve_time(law, level)
    if not 0.0 < time < math.inf:
        return None
    followed = min(math.ceil(_FOLLOWED * time), law.searched)
    ends = [(1 - coverage) / 2, (1 + coverage) / 2]
    low, high = np.quantile(_resampled(law, sample, level, followed), ends, method="inverted_cdf")
    runs_low, runs_high = np.quantile(law.hits(level, followed, ends[1]), ends, method="inverted_cdf")
    return HalfTime(
        level=level,
        time=time,
        coverage=coverage,
        low=float(low),
        high=float(high),
        runs_low=float(runs_low),
        runs_high=float(runs_high),
        followed=followed,
    )


def _resampled(
    law: TreeJumpLaw | TreeRoundsLaw, sample: TreeSample | ForestSample, level: float, followed: int
) -> list[float]:
    """The times of trees of as many responses, drawn from these with replacement."""
    found = []
    for other in resampled_laws(law, sample):
        if other is None or not other.tree.p0 > 0.0:  # nothing right was drawn: by that sample, it is never learnt
            found.append(math.inf)
        else:
            found.append(0.0 if other.tree.p0 >= level else mean_curve_time(other, level, followed))
    return found
