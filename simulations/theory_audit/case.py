"""What an audit of the theory is made of: cases, what was measured in them, and the verdict."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

SIGMAS = 4.0  # a difference of a true prediction reaches so many standard errors once in 16,000 points
ROUNDING = 1e-9  # relative: equal up to float64's own error


class Measured(NamedTuple):
    """What a simulation gave: float64 [N] each. The standard error is 0 for what was enumerated or computed exactly."""

    value: np.ndarray
    standard_error: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Case:
    """One entry of the catalogue held against a simulation of one instance, at N points.

    Attributes:
        entry: name in the catalogue.
        instance: the instance in a few words, unique among the entry's cases.
        x: the N points, float; x_label: what they are, with its unit.
        y_label: what is predicted and measured, with its unit.
        predict: the entry's function -> the N predicted numbers. The function is an argument so that a perturbed one
            can be put in its place.
        measure: key -> what a simulation gives at the N points; it calls nothing of `bandit_rft.theory`.
        relation: "equal", or that the prediction is an "upper" or "lower" bound of what is measured.
        tolerance: relative error that the entry itself allows for (an asymptotic form); `why` says what for.
        inside: whether the instance meets the entry's assumptions.
        why: what the tolerance allows for, or which assumption an instance outside breaks; one sentence or "".
    """

    entry: str
    instance: str
    x: Sequence[float]
    x_label: str
    y_label: str
    predict: Callable[[Callable[..., Any]], Any]
    measure: Callable[[int], Measured]
    relation: str = "equal"
    tolerance: float = 0.0
    inside: bool = True
    why: str = ""

    @property
    def key(self) -> int:
        """The seed of its random draws, fixed by its name."""
        return zlib.crc32(f"{self.entry}: {self.instance}".encode())


class Outcome(NamedTuple):
    """A verdict.

    Attributes:
        holds: whether the prediction or bound is compatible with what was measured, at every point.
        worst: the point that tells most against it.
        excess: there, the difference in units of what is allowed; above 1 refutes.
    """

    holds: bool
    worst: int
    excess: float


def judge(predicted: Any, measured: Measured, relation: str, tolerance: float) -> Outcome:
    """Hold N predicted numbers against N measured ones.

    Equal: |measured - predicted| ≤ 4 standard errors + tolerance · |predicted|. Upper: measured - 3 standard errors ≤
    predicted; lower likewise. Rounding of 1e-9 is allowed everywhere.
    """
    predicted = np.atleast_1d(np.asarray(predicted, dtype=np.float64))
    value, error = (np.atleast_1d(np.asarray(part, dtype=np.float64)) for part in measured)
    if not predicted.shape == value.shape == error.shape:
        raise ValueError(f"shapes differ: predicted {predicted.shape}, measured {value.shape}, error {error.shape}")
    rounding = ROUNDING * np.maximum(np.abs(predicted), np.abs(value))
    if relation == "equal":
        gap, allowed = np.abs(value - predicted), SIGMAS * error + tolerance * np.abs(predicted) + rounding
    else:
        sign = 1.0 if relation == "upper" else -1.0
        # A bound of 0 on a quantity measured as 0 holds.
        gap, allowed = np.maximum(sign * (value - predicted), 0.0), 3.0 * error + rounding
    with np.errstate(divide="ignore", invalid="ignore"):
        excess = np.where(gap > 0, gap / allowed, 0.0)
    excess = np.where(np.isfinite(predicted) & np.isfinite(value), excess, np.where(predicted == value, 0.0, np.inf))
    if relation == "upper":
        excess = np.where(np.isposinf(predicted), 0.0, excess)
    worst = int(np.argmax(excess))
    return Outcome(holds=bool(excess[worst] <= 1.0), worst=worst, excess=float(excess[worst]))


def of_seeds(samples: Any) -> Measured:
    """Mean and standard error over the first axis of samples [S, N] (or [S])."""
    samples = np.asarray(samples, dtype=np.float64)
    samples = samples.reshape(samples.shape[0], -1)
    return Measured(samples.mean(axis=0), samples.std(axis=0, ddof=1) / np.sqrt(samples.shape[0]))


def by_jackknife(samples: Any, statistic: Callable[[np.ndarray], Any], blocks: int = 40) -> Measured:
    """A statistic [N] of samples [S, ...] with its jackknife standard error over blocks of seeds left out in turn."""
    samples = np.asarray(samples, dtype=np.float64)
    whole = np.atleast_1d(statistic(samples))
    block = np.arange(samples.shape[0]) % blocks
    without = np.stack([np.atleast_1d(statistic(samples[block != left_out])) for left_out in range(blocks)])
    spread = np.sqrt((blocks - 1) * np.mean((without - without.mean(axis=0)) ** 2, axis=0))
    return Measured(whole, spread)


def joined(parts: Sequence[Measured]) -> Measured:
    """What was measured in parts, one after the other."""
    return Measured(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def exact(values: Any) -> Measured:
    """What was enumerated or computed without drawing."""
    value = np.atleast_1d(np.asarray(values, dtype=np.float64))
    return Measured(value, np.zeros_like(value))
