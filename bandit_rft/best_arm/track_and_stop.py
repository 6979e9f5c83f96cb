"""Track-and-stop with D-tracking (Garivier & Kaufmann 2016, arXiv 1602.04589), Bernoulli arms.

    w*(μ) = argmax over weights of  min_{a ≠ best} [w₁ d(μ₁, m_a) + w_a d(μ_a, m_a)],   m_a = the mean of both by weight
    pull the arm pulled least where it has fewer than sqrt(t) − K/2 pulls;   else the one of the largest t w*(μ̂) − n
    stop where  min_{a ≠ best} [n₁ d(μ̂₁, m̂_a) + n_a d(μ̂_a, m̂_a)]  >  ln(2 t (K − 1)/δ)
d is the Bernoulli divergence. The threshold is the one of the paper's theorem 10, which makes the rule δ-correct.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from bandit_rft import arguments
from bandit_rft.best_arm.explicit_table import Play
from bandit_rft.errors import InputError

_OUTER, _INNER = 30, 32  # bisections: 1e-9 of the range of the common cost, and of each weight's share
_EDGE = 1e-9  # an empirical mean of 0 or 1 is taken as so far from it: between such arms the divergence is infinite
_APART = 1e-8  # least difference from the best mean of which `optimal_weights` are known


@dataclass(frozen=True)
class TrackAndStop:
    """Track-and-stop on an explicit table of Bernoulli arms.

    Args:
        delta: δ in (0, 1), the probability of naming a wrong arm that is allowed for.

    Raises:
        InputError: delta outside (0, 1).

    The weights are computed anew at every pull, at a cost of some thousand logarithms an arm: for small tables.
    """

    delta: float

    def __post_init__(self) -> None:
        arguments.fraction("delta", self.delta)

    def step(self, play: Play) -> tuple[np.ndarray, list[np.ndarray]]:
        """Which seeds stop, bool [S], and the arm to pull in each, int [S]."""
        mean, pulls, time = play.empirical, play.pulls, play.time
        arms = mean.shape[1]
        stop = _evidence(mean, pulls) > math.log(2 * time * (arms - 1) / self.delta)
        poorest = np.argmin(pulls, axis=1)
        starved = pulls.min(axis=1) < math.sqrt(time) - arms / 2
        chosen = poorest
        if not starved.all():
            wanted = np.argmax(time * _weights(mean) - pulls, axis=1)
            chosen = np.where(starved, poorest, wanted)
        return stop, [chosen]


def optimal_weights(means: object) -> np.ndarray:
    """float64 [K], the share of pulls that each arm has under the fastest identification, w*(μ).

    Raises:
        InputError: fewer than two means, one outside (0, 1), a best one that is not single, a mean within 1e-9 of 0 or
            1, or within 1e-8 of the best.
    """
    mean = arguments.numbers("means", means)
    if mean.size < 2 or not np.all((mean > 0) & (mean < 1)) or np.sum(mean == mean.max()) > 1:
        raise InputError("means must be two or more numbers strictly between 0 and 1, with a single largest one.")
    if np.any((mean < _EDGE) | (mean > 1 - _EDGE)) or np.sum(mean > mean.max() - _APART) > 1:
        raise InputError(
            f"means must lie {_EDGE:g} or more from 0 and 1, and all but the largest {_APART:g} or more below it: the "
            "weights of closer ones are not known."
        )
    return _weights(mean[None])[0]


def _divergence(mean: np.ndarray, other: np.ndarray) -> np.ndarray:
    """d(mean, other), whose two terms cancel to the square of the difference: logarithms of ratios would lose it."""
    gap, tiny = other - mean, 1e-300  # of a mean of 0 or 1 the term is 0
    return -mean * np.log1p(gap / np.maximum(mean, tiny)) - (1 - mean) * np.log1p(-gap / np.maximum(1 - mean, tiny))


def _evidence(mean: np.ndarray, pulls: np.ndarray) -> np.ndarray:
    """float64 [S], the generalised likelihood ratio between the best arm and its nearest rival."""
    every, best = np.arange(mean.shape[0]), np.argmax(mean, axis=1)
    top, top_pulls = mean[every, best][:, None], pulls[every, best][:, None]
    between = (top_pulls * top + pulls * mean) / (top_pulls + pulls)
    cost = top_pulls * _divergence(top, between) + pulls * _divergence(mean, between)
    cost[every, best] = np.inf
    return cost.min(axis=1)


def _weights(mean: np.ndarray) -> np.ndarray:
    """float64 [S, K], w* of each row of means; of a best mean shared by several, the limit: they share all pulls.

    With x_a = w_a/w₁ = s/(1 − s) the costs g_a(s) = d(μ₁, m) + x_a d(μ_a, m) are to be equal, and their common value y
    solves Σ_a d(μ₁, m_a)/d(μ_a, m_a) = 1 (the paper's theorem 5); both sides are monotone, so two bisections do.
    """
    mean = np.clip(mean, _EDGE, 1 - _EDGE)
    seeds, arms = mean.shape
    every, best = np.arange(seeds), np.argmax(mean, axis=1)
    top = mean[every, best][:, None]
    other = np.ones((seeds, arms), bool)
    other[every, best] = False
    rival = mean[other].reshape(seeds, arms - 1)
    tied = rival.max(axis=1) >= top[:, 0] - 1e-9
    rival = np.where(tied[:, None], np.minimum(rival, 0.5 * top), rival)  # any: these rows are replaced below
    top = np.where(tied[:, None], np.maximum(top, 0.5), top)
    limit = _divergence(top, rival)  # g_a as its arm takes all pulls

    def share(cost: np.ndarray) -> np.ndarray:
        """s [S, K − 1] with g_a(s) = cost [S, 1]."""
        low, high = np.zeros_like(rival), np.ones_like(rival)
        for _ in range(_INNER):
            s = (low + high) / 2
            between = (1 - s) * top + s * rival
            below = (1 - s) * _divergence(top, between) + s * _divergence(rival, between) < (1 - s) * cost
            low, high = np.where(below, s, low), np.where(below, high, s)
        return (low + high) / 2

    low, high = np.zeros((seeds, 1)), limit.min(axis=1, keepdims=True)
    for _ in range(_OUTER):
        cost = (low + high) / 2
        s = share(cost)
        between = (1 - s) * top + s * rival
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.sum(_divergence(top, between) / _divergence(rival, between), axis=1, keepdims=True)
        below = ~(ratio >= 1)
        low, high = np.where(below, cost, low), np.where(below, high, cost)
    s = share((low + high) / 2)
    x = s / np.maximum(1 - s, 1e-12)
    weights = np.empty((seeds, arms))
    weights[every, best] = 1.0
    weights[other] = x.reshape(-1)
    weights /= weights.sum(axis=1, keepdims=True)
    at_top = mean >= mean.max(axis=1, keepdims=True) - 1e-9
    return np.where(tied[:, None], at_top / at_top.sum(axis=1, keepdims=True), weights)
