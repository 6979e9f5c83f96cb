"""The null distribution of `bandit_rft.verdict`: how large max |z| gets when the prediction is true."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np
from scipy import stats

from bandit_rft.theory.prediction import Curves, Law

__all__ = ["Null", "grid", "null_of_law", "null_of_sample", "per_round", "standard_error"]

_BERNSTEIN = 1.5  # c above: about (threshold/3)^2, the weight that Bernstein's inequality gives the jump b
_DRAWS = 4000
_QUANTILE_RESERVE = 0.9  # a tenth of the false-alarm rate pays for finitely many draws
_POOL, _POOL_PULLS = 4096, 40_000_000
_GRID = 96  # rounds looked at when there are more: dense at the start, geometric and even after it
_EXACT_RESAMPLING = 64  # up to so many seeds, runs are resampled one by one instead of by Poisson weights
_FEW = 32  # seeds below which multipliers of them span too few directions to tell how many columns are independent
_SEED = 20260114


class Null(NamedTuple):
    """Standard deviation and jump size b of each column [C], the standard error that measuring the prediction adds to
    all seeds alike [C], and the threshold of max |z|.
    """

    sd: np.ndarray
    jump: np.ndarray
    measured: np.ndarray
    threshold: float


def grid(rounds: int) -> np.ndarray:
    """The rounds looked at: all up to _GRID, else the first 24, then geometrically and evenly spaced, and the last."""
    if rounds <= _GRID:
        return np.arange(rounds)
    rest = (_GRID - 24) // 2
    parts = [np.arange(24), np.geomspace(24, rounds - 1, rest), np.linspace(24, rounds - 1, rest)]
    return np.unique(np.rint(np.concatenate(parts)).astype(np.int64))


def per_round(total: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Mean reward a round since the grid's previous round, from the totals [..., R]."""
    # Rounded, because the rounding of the totals must not read as spread.
    return np.round(np.diff(total, axis=-1, prepend=0.0) / np.diff(at, prepend=-1), 9)


def standard_error(sd: np.ndarray, jump: np.ndarray, seeds: int) -> np.ndarray:
    """sqrt(sd^2/S + c b^2/S^2), float64 [C]: the mean's standard error with Bernstein's allowance for rare jumps b."""
    return np.sqrt(sd**2 / seeds + _BERNSTEIN * (jump / seeds) ** 2)


@functools.lru_cache(maxsize=32)
def null_of_law(
    law: Law,
    names: tuple[str, ...],
    seeds: int,
    rounds: int,
    false_alarm: float,
    known_sd: bytes,
    known_jump: bytes,
    reach: bytes,
    off: bytes = b"",
) -> Null:
    """Spread, jumps and threshold from a pool of runs of the law (fixed seed, so that a verdict is reproducible).

    Known spreads and jumps (float64 bytes, so that the cache can tell them apart; NaN where unknown) take the pool's
    place: the pool is too small to hold the rarest runs. `off`: as `null_of_sample` takes it, as bytes.
    """
    generator = np.random.default_rng(_SEED)
    at = grid(rounds)
    pool = int(np.clip(_POOL_PULLS // rounds, 1024, _POOL))
    curves: Curves = law.sample(generator, pool, at)
    columns = {
        "value": lambda: curves.value,
        "regret": lambda: curves.regret,
        "total reward": lambda: curves.total_reward,
        "reward": lambda: per_round(curves.total_reward, at),
    }
    runs = np.concatenate([columns[name]() for name in names], axis=1)
    sd, jump, error = _spread(runs, seeds, np.frombuffer(known_sd), np.frombuffer(known_jump), np.frombuffer(reach))
    measured = _Measured(np.frombuffer(off).reshape(-1, runs.shape[1]))
    error = np.hypot(error, measured.error)
    normalised = _normalise(runs, error, seeds)
    # Poisson variates by table: 16 random bits each are plenty for a weight, and several times faster.
    weights = stats.poisson.ppf((np.arange(2**16) + 0.5) / 2**16, seeds / pool).astype(np.float32)
    largest = np.zeros(_DRAWS)
    chunk = 250
    for start in range(0, _DRAWS, chunk):
        if seeds <= _EXACT_RESAMPLING:
            chosen = generator.integers(pool, size=(chunk, seeds))
            total = normalised[chosen[:, 0]]
            for column in range(1, seeds):
                total = total + normalised[chosen[:, column]]
        else:
            # Poisson weights on centred runs: mean, variance and skewness are those of S runs drawn one by one.
            total = weights[generator.integers(2**16, size=(chunk, pool), dtype=np.uint16)] @ normalised
        total = total + measured.draws(generator, chunk, error)
        largest[start : start + chunk] = np.abs(total).max(axis=1)
    threshold = float(np.quantile(largest, 1.0 - _QUANTILE_RESERVE * false_alarm))
    return Null(sd=sd, jump=jump, measured=measured.error, threshold=threshold)


class _Measured:
    """The error of measuring, common to all seeds: Gaussian with the second moments of `off` [M, C], by Student's t as
    widely as M of them can know it.
    """

    def __init__(self, off: np.ndarray) -> None:
        self._off = off
        self.error = np.sqrt(np.mean(off**2, axis=0)) if off.size else np.zeros(off.shape[1])

    def draws(self, generator: np.random.Generator, count: int, error: np.ndarray) -> np.ndarray:
        """[count, C], in units of the error of each column; [1, 1] of 0 where nothing was measured."""
        measurements = self._off.shape[0]
        if not measurements:
            return np.zeros((1, 1), np.float32)
        units = np.divide(self._off, error, out=np.zeros(self._off.shape), where=error > 0.0)
        weights = generator.standard_normal((count, measurements))
        weights /= np.sqrt(generator.chisquare(measurements, (count, 1)))
        return (weights @ units).astype(np.float32)


def _spread(
    runs: np.ndarray, seeds: int, known_sd: np.ndarray, known_jump: np.ndarray, reach: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Standard deviation, jump size and standard error of the mean of `seeds` runs, by column; NaN: to be estimated."""
    centred = runs - runs.mean(axis=0)
    # Rounding of the mean must not read as spread.
    variance = np.where(np.ptp(runs, axis=0) > 0.0, np.mean(centred**2, axis=0), 0.0)
    jump = np.mean(np.abs(centred) ** 3, axis=0) / np.where(variance > 0.0, variance, 1.0)
    # No run has moved here, yet some may: the jump is unknown, so take the largest possible.
    jump = np.where(variance > 0.0, jump, np.where(known_sd == 0.0, 0.0, reach))
    sd = np.where(np.isnan(known_sd), np.sqrt(variance), known_sd)
    jump = np.where(np.isnan(known_jump), jump, known_jump)
    return sd, jump, standard_error(sd, jump, seeds)


def _normalise(runs: np.ndarray, error: np.ndarray, seeds: int) -> np.ndarray:
    """Each run's contribution to z when `seeds` of them are averaged, float32."""
    centred = np.where(np.ptp(runs, axis=0) > 0.0, runs - runs.mean(axis=0), 0.0)
    return (np.where(error > 0.0, centred / np.where(error > 0.0, error, 1.0), 0.0) / seeds).astype(np.float32)


def null_of_sample(
    runs: np.ndarray, reach: np.ndarray, false_alarm: float, off: np.ndarray, *, drawn: bool = False
) -> Null:
    """The same from the history's own seeds: Gaussian multipliers, widened by Student's t over the normal quantile.

    S multipliers move C columns in S - 1 directions only, as if no more of them were independent. Of few seeds the
    threshold is therefore at least that of C columns of Student's t by Bonferroni's inequality.

    Args:
        runs: [S, C]. reach: [C], the largest that a run can move. false_alarm: probability.
        off: [M, C], what M other measurements would have predicted, less the prediction; M = 0: nothing was measured.
        drawn: whether runs are of random draws, though these may show no spread: no seed may have had a success yet.
    """
    seeds = runs.shape[0]
    # Without any spread the history is deterministic, and any difference beyond rounding refuses.
    random = drawn or np.any(np.ptp(runs, axis=0) > 0.0)
    known_sd = np.full(runs.shape[1], np.nan if random else 0.0)
    sd, jump, error = _spread(runs, seeds, known_sd, np.full(runs.shape[1], np.nan), reach)
    measured = _Measured(off)
    error = np.hypot(error, measured.error)
    normalised = _normalise(runs, error, seeds)
    sd = sd * math.sqrt(seeds / (seeds - 1))
    generator = np.random.default_rng(_SEED)
    largest = np.concatenate(
        [
            np.abs(
                generator.standard_normal((250, seeds), dtype=np.float32) @ normalised
                + measured.draws(generator, 250, error)
            ).max(axis=1)
            for _ in range(_DRAWS // 250)
        ]
    )
    normal = max(
        float(np.quantile(largest, 1.0 - _QUANTILE_RESERVE * false_alarm)), float(stats.norm.isf(false_alarm / 2))
    )
    threshold = float(stats.t.isf(stats.norm.sf(normal), seeds - 1))
    if seeds < _FEW:
        threshold = max(threshold, float(stats.t.isf(false_alarm / (2 * runs.shape[1]), seeds - 1)))
    return Null(sd=sd, jump=jump, measured=measured.error, threshold=threshold)
