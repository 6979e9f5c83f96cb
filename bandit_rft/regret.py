"""Regret curves over seeds: means with confidence bands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from bandit_rft.errors import InputError
from bandit_rft.history import History


@dataclass(frozen=True, kw_only=True)
class Band:
    """A curve with its band over seeds; every array is float64 [T].

    Attributes:
        mean: average over the seeds.
        low, high: the confidence band of the *mean* (not the spread of the seeds).
        confidence: e.g. 0.95.
        kind: "pointwise" (each round on its own) or "simultaneous" (all rounds at once).
    """

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    confidence: float
    kind: str


def band(
    curves: np.ndarray, *, confidence: float = 0.95, kind: str = "pointwise", draws: int = 2000, bootstrap_seed: int = 0
) -> Band:
    """Mean of the seeds' curves with a confidence band.

    Args:
        curves: float [S, T], one curve a seed; S ≥ 2.
        confidence: coverage in (0, 1).
        kind: "pointwise": Student's t at each round; "simultaneous": the largest |t| over the rounds, its quantile by
            Gaussian multiplier bootstrap (Chernozhukov, Chetverikov, Kato 2013).
        draws: bootstrap repetitions.
        bootstrap_seed: seed of the bootstrap's own generator.

    Raises:
        InputError: fewer than two seeds, a confidence outside (0, 1), another kind.
    """
    curves = np.asarray(curves, dtype=np.float64)
    if curves.ndim != 2 or curves.shape[0] < 2:
        raise InputError(f"A band needs curves [seeds, rounds] of at least two seeds; got shape {curves.shape}.")
    if not 0 < confidence < 1:
        raise InputError(f"confidence is {confidence}: give a number strictly between 0 and 1.")
    seeds = curves.shape[0]
    mean = curves.mean(axis=0)
    error = curves.std(axis=0, ddof=1) / np.sqrt(seeds)
    if kind == "pointwise":
        width = stats.t.ppf(0.5 + confidence / 2, seeds - 1)
    elif kind == "simultaneous":
        scale = np.where(error > 0, error * np.sqrt(seeds), 1.0)
        normalised = (curves - mean) / scale / np.sqrt(seeds)
        weights = np.random.default_rng(bootstrap_seed).standard_normal((draws, seeds))
        largest = np.abs(weights @ normalised).max(axis=1)
        # The bootstrap treats the standard error as known; Student's t over the normal quantile pays for estimating it.
        student = stats.t.ppf(0.5 + confidence / 2, seeds - 1) / stats.norm.ppf(0.5 + confidence / 2)
        width = np.quantile(largest, confidence) * student
    else:
        raise InputError(f"Band kind {kind!r} is unknown: choose pointwise or simultaneous.")
    return Band(mean=mean, low=mean - width * error, high=mean + width * error, confidence=confidence, kind=kind)


def regret_band(history: History, *, regret: str = "pseudo", confidence: float = 0.95, kind: str = "pointwise") -> Band:
    """The band of the mean cumulative regret over the seeds; arguments as in `History.regret` and `band`."""
    return band(history.regret(regret), confidence=confidence, kind=kind)
