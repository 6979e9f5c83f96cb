"""Hitting times: how many rounds until a policy is good, with the seeds that never were kept as such."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from bandit_rft import arguments
from bandit_rft.errors import InputError
from bandit_rft.history import History


@dataclass(frozen=True, kw_only=True)
class HittingTime:
    """First passage of each seed. All are watched for the same number of rounds, so that censoring is of one kind (type
    I, at `horizon`) and the Kaplan–Meier curve is the plain share of seeds still below the level.

    Attributes:
        level: the value to reach.
        rounds: float64 [S], rounds completed when the value first is at least the level (0: from the start); infinity
            for a seed that did not get there, whose time is `horizon` or more.
        hit: bool [S], whether it did.
        horizon: T, rounds watched. The value after the last update is not in a history: times 0 … T − 1 are seen.
    """

    level: float
    rounds: np.ndarray
    hit: np.ndarray
    horizon: int

    @property
    def hit_share(self) -> float:
        """Share of the seeds that reached the level."""
        return float(self.hit.mean())

    def survival(self) -> np.ndarray:
        """float64 [T], share of the seeds whose time exceeds t, t = 0 … T − 1: an unbiased estimate at each t."""
        counts = np.bincount(self.rounds[self.hit].astype(np.int64), minlength=self.horizon)
        return 1.0 - np.cumsum(counts) / self.rounds.size

    def quantile(self, q: float = 0.5, *, confidence: float = 0.95) -> tuple[float, float, float]:
        """(estimate, low, high) of a quantile, by order statistics: coverage of at least `confidence` whatever the law.

        Infinity means "`horizon` or more": censoring bounds a quantile from below, never from above. Where the seeds
        are too few for an order statistic below or above the quantile, the bound is 0 or infinity.

        Raises:
            InputError: q or confidence outside (0, 1).
        """
        q, confidence = arguments.fraction("q", q), arguments.fraction("confidence", confidence)
        ordered, seeds = np.sort(self.rounds), self.rounds.size
        tail = (1 - confidence) / 2
        # P(time < quantile) ≤ q ≤ P(time ≤ quantile): ranks of a Binomial(S, q) count bracket it.
        lower, upper = int(stats.binom.ppf(tail, seeds, q)), int(stats.binom.ppf(1 - tail, seeds, q)) + 1
        low = ordered[lower - 1] if lower >= 1 else 0.0
        high = ordered[upper - 1] if upper <= seeds else math.inf
        return float(ordered[math.ceil(q * seeds - 1e-9) - 1]), float(low), float(high)

    def restricted_mean(self, *, confidence: float = 0.95) -> tuple[float, float, float]:
        """(estimate, low, high) of E min(time, horizon), with Student's t over the seeds; NaN bounds for a single seed.

        It is a lower bound of the mean time, and equal to it only where every seed was bound to get there in time.

        Raises:
            InputError: confidence outside (0, 1).
        """
        confidence = arguments.fraction("confidence", confidence)
        times = np.minimum(self.rounds, self.horizon)
        mean, seeds = float(times.mean()), times.size
        if seeds == 1:
            return mean, math.nan, math.nan
        width = float(stats.t.ppf(0.5 + confidence / 2, seeds - 1)) * float(times.std(ddof=1)) / math.sqrt(seeds)
        return mean, float(mean - width), float(mean + width)

    def mean(self) -> float:
        """Mean number of rounds over the seeds; infinity where any seed was censored (use `restricted_mean` then)."""
        return float(self.rounds.mean())

    def report(self) -> str:
        """One line with its numbers."""
        middle, low, high = self.quantile()
        show = lambda t: f"{t:g}" if math.isfinite(t) else f"at least {self.horizon}"  # noqa: E731
        return (
            f"value {self.level:g} reached by {int(self.hit.sum())} of {self.hit.size} seeds within {self.horizon} "
            f"rounds; median {show(middle)} rounds (95% {show(low)} to {show(high)}), "
            f"mean of min(time, {self.horizon}) {self.restricted_mean()[0]:g}"
        )


def hitting_time(history: History, level: float) -> HittingTime:
    """The number of rounds after which the policy's value first is at least `level`, for each seed.

    The value is the policy's exact expected reward. Of an index learner it is the mean of the arm that it pulls, which
    may fall again the next round: the first passage is then no settling time.

    Raises:
        InputError: a level that is not finite, or a history whose value is unknown (an LLM's).

    Example:
        >>> from bandit_rft import arms, learners, regret, run
        >>> table = arms.Needle(log10_arms=2, p0=0.1)
        >>> history = run(table, learners.SoftmaxPolicyGradient(step_size=0.5), rounds=50, seeds=8, key=0)
        >>> regret.hitting_time(history, 0.2).rounds.shape
        (8,)
    """
    level = arguments.finite("level", level)
    if np.isnan(history.value).any():
        raise InputError("The policy's value is unknown (NaN) in this history, so it has no hitting time.")
    above = history.value >= level
    hit = np.asarray(above.any(axis=1))
    rounds = np.where(hit, above.argmax(axis=1).astype(np.float64), np.inf)
    return HittingTime(level=level, rounds=rounds, hit=hit, horizon=history.rounds)
