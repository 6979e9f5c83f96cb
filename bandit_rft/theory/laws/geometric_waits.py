"""The law of a sum of independent Geometric waits: how long until the last of a list of successes has come."""

from __future__ import annotations

import math

import numpy as np

__all__ = ["distribution", "mean", "quantile", "quantile_by_rounds", "standard_deviation"]

_TRIM = 1e-22  # states of less probability leave the window
_MOST_WORK = 1e11


def mean(p: np.ndarray) -> float:
    """Of the sum of Geometric(p_n) waits, p float64 [N]."""
    return float(np.sum(1.0 / p))


def standard_deviation(p: np.ndarray) -> float:
    """Of the same."""
    if p.size == 0:
        return 0.0
    rarest = p.min()  # in whose units no square overflows
    return float(np.sqrt(np.sum((1.0 - p) * (rarest / p) ** 2)) / rarest)


def distribution(p: np.ndarray, rounds: int) -> np.ndarray:
    """P(sum <= t), float64 [rounds], t = 0 .. rounds - 1."""
    state, found = np.zeros(p.size + 1), np.empty(rounds)
    state[0] = 1.0
    for t in range(rounds):
        found[t] = state[-1]
        moving = state[:-1] * p
        state[:-1] -= moving
        state[1:] += moving
    return found


def quantile(p: np.ndarray, q: float) -> float | None:
    """The smallest t with P(sum <= t) >= q; None where that is too much work.

    The transient part M of the transition matrix is raised to powers of two as E = M^h - 1, E -> 2E + E^2, which
    keeps its relative precision however small p is; the quantile's binary digits follow from the largest down.
    """
    if p.size == 0:
        return 0.0
    expected = mean(p)
    if expected > 2.0**53:
        # No float tells single rounds apart up there: waits that add less than one part in 1e17 drop out.
        remaining = np.cumsum((1.0 / p)[::-1])[::-1]
        p = p[remaining > 1e-17 * expected]
    by_rounds = expected * p.size * (-math.log1p(-q) + 1.0)
    by_powers = 2.0 * p.size**3 * (math.log2(expected) + 2.0) / 100.0
    if min(by_rounds, by_powers) > _MOST_WORK:
        return None
    if by_rounds < by_powers:
        return quantile_by_rounds(p, q)
    excess = np.diag(-p)
    excess[np.arange(p.size - 1), np.arange(1, p.size)] = p[:-1]
    powers = [excess]
    while -powers[-1][0].sum() < q:
        powers.append(2.0 * powers[-1] + powers[-1] @ powers[-1])
    where = np.zeros(p.size)
    where[0] = 1.0
    reached, elapsed = 0.0, 0
    for exponent in range(len(powers) - 1, -1, -1):
        change = where @ powers[exponent]
        arrived = reached - change.sum()
        if arrived < q:
            where, reached, elapsed = where + change, arrived, elapsed + 2**exponent
    return float(elapsed + 1)


def quantile_by_rounds(p: np.ndarray, q: float) -> float:
    """The same as `quantile` round by round, for many small steps, where its matrix would be large."""
    state = np.zeros(p.size + 1)
    state[0] = 1.0
    arrived, low, t = float(state[-1]), 0, 0
    while arrived < q:
        high = min(t + 1, p.size)
        moving = state[low:high] * p[low:high]
        state[low:high] -= moving
        state[low + 1 : high + 1] += moving
        arrived = float(state[-1])
        while low < p.size - 1 and state[low] < _TRIM and low < t:
            low += 1
        t += 1
    return float(t)
