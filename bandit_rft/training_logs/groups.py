"""What groups of rewards do to the logit, in the mean over the ways in which a round's rewards may stand in groups."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from scipy import stats

from bandit_rft import signals

__all__ = ["GRID", "Signal", "live_mean", "live_spread", "moments", "read", "table"]

GRID = 1024  # responses up to which groups are drawn without replacement, and points of the grid beyond
_TINY = 1e-12


class Signal(NamedTuple):
    """A signal of `bandit_rft.signals` with its settings.

    Attributes:
        name, ddof, eps: as there.
        right, wrong: rewards of right and of wrong responses, of which the signal is taken.
        filtered: whether groups of equal rewards are drawn anew until they differ (DAPO's dynamic sampling).
    """

    name: str
    ddof: int = 1
    eps: float = 1e-6
    right: float = 1.0
    wrong: float = 0.0
    filtered: bool = False


def live_mean(chance: np.ndarray, group: int) -> np.ndarray:
    """(p − p^G) / (1 − p^G − (1 − p)^G), the mean reward of groups that have both rewards."""
    low = np.minimum(chance, 1 - chance)  # by symmetry, where differences of small numbers are exact
    mean = (low - low**group) / _live(low, group)
    return np.where(chance <= 0.5, mean, 1 - mean)


def live_spread(chance: np.ndarray, group: int) -> np.ndarray:
    """The variance of a response's reward there, so that G times it is that of right responses of a group."""
    low = np.minimum(chance, 1 - chance)
    mean = live_mean(low, group)
    pairs = (group - 1) * (low**2 - low**group) / _live(low, group)
    return np.maximum(mean + pairs - group * mean**2, _TINY)


def _live(low: np.ndarray, group: int) -> np.ndarray:
    """The probability of a group of both rewards, for p of at most 1/2."""
    low = np.maximum(low, _TINY)
    return -np.expm1(group * np.log1p(-low)) - low**group


@functools.lru_cache(maxsize=64)
def _parts(signal: Signal, group: int) -> tuple[np.ndarray, np.ndarray]:
    """(k A⁺ / G, −(G − k) A⁻ / G) of groups with k = 0 .. G right responses, float64 [G + 1] each."""
    apply = signals.make(signal.name, ddof=signal.ddof, eps=signal.eps)
    up, down = np.zeros(group + 1), np.zeros(group + 1)
    for k in range(group + 1):
        rewards = np.full(group, signal.wrong, np.float32)
        rewards[:k] = signal.right
        found = np.asarray(apply(rewards), np.float64)  # pyright: ignore[reportArgumentType]
        up[k], down[k] = found[:k].sum() / group, -found[k:].sum() / group
    return up, down


@functools.lru_cache(maxsize=256)
def table(signal: Signal, group: int, responses: int) -> np.ndarray:
    """The mean of `_parts` over the row's groups by its share of right responses, on an even grid from 0 to 1: float64
    [2, N].

    Which responses stood in which group is not in the log: each division of them is as likely as any other.
    """
    return np.stack(_parts(signal, group)) @ _weights(group, responses, signal.filtered).T


@functools.lru_cache(maxsize=64)
def moments(signal: Signal, group: int) -> np.ndarray:
    """The means of `_parts`, of their squares and of their product over groups that are drawn, on the same grid:
    float64 [5, N] of up, down, up², up down, down².
    """
    up, down = _parts(signal, group)
    return np.stack([up, down, up**2, up * down, down**2]) @ _weights(group, GRID + 1, signal.filtered).T


def _weights(group: int, responses: int, filtered: bool) -> np.ndarray:
    """The probability [grid, G + 1] of k right responses in a group, by the share of right responses of the row."""
    k = np.arange(group + 1)
    if filtered:
        weight = stats.binom.pmf(k, group, _chance_of(np.linspace(0, 1, GRID + 1), group)[:, None])
        weight[:, [0, group]] = 0.0
        return weight / weight.sum(axis=1, keepdims=True)
    if responses <= GRID:
        return np.nan_to_num(stats.hypergeom.pmf(k, responses, np.arange(responses + 1)[:, None], group))
    return np.nan_to_num(stats.binom.pmf(k, group, np.linspace(0, 1, GRID + 1)[:, None]))


def _chance_of(mean: np.ndarray, group: int) -> np.ndarray:
    """The probability at which `live_mean` is the given one, or the nearest to it."""
    logit = np.linspace(-25.0, 25.0, 5001)
    chance = 1 / (1 + np.exp(-logit))
    return np.interp(mean, live_mean(chance, group), chance)


def read(values: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Tables' [..., N] values at shares of any shape, [..., *shape], between their points by straight lines."""
    last = values.shape[-1] - 1
    place = share * last
    low = np.minimum(np.maximum(place.astype(np.int64), 0), last - 1)
    part = place - low
    return values[..., low] * (1 - part) + values[..., low + 1] * part
