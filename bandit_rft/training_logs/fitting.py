"""The start and the gain of greatest likelihood, with their region; and one more parameter let loose beside them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from bandit_rft.training_logs.following import Follower, Parameters

__all__ = ["BEND", "PAID", "SPREAD", "Fit", "Loose", "fit"]

_START = (-12.0, 7.0)  # logit p
_LOG_GAIN = (-14.0, 5.0)
_POINTS = {2: 21, 3: 9}  # of each axis, by the number of axes
_ZOOMS = 8
_SHRINK = 0.5
_INTERVAL = 1.92  # nats below the greatest likelihood: half the 95% quantile of chi squared with one degree


class Loose(NamedTuple):
    """A parameter that the law holds fixed: its name in `Parameters`, range, and value under the law."""

    name: str
    low: float
    high: float
    law: float


BEND = Loose("bend", -7.0, 4.0, 0.0)
PAID = Loose("paid", 0.05, 1.0, 1.0)
SPREAD = Loose("spread", 0.0, 6.0, 0.0)


class Fit(NamedTuple):
    """What was found.

    Attributes:
        start, gain, loose: of greatest likelihood; `loose` is that of the parameter let loose, NaN without one.
        nats: ln likelihood there.
        low, high: of the parameter let loose, else of the gain: where a likelihood within 1.92 nats was found.
        points: float64 [P, 2 or 3] (start, ln gain, loose) that were tried, and their ln likelihoods [P].
    """

    start: float
    gain: float
    loose: float
    nats: float
    low: float
    high: float
    points: np.ndarray
    likelihoods: np.ndarray

    @property
    def parameters(self) -> Parameters:
        """The fitted law, as one policy."""
        return Parameters.plain(np.array([self.start]), np.array([self.gain]))

    def region(self, within: float) -> np.ndarray:
        """float64 [P, 2], the (start, ln gain) tried that are so many nats below the best at most."""
        return self.points[self.likelihoods >= self.nats - within][:, :2]


def fit(follower: Follower, loose: Loose | None = None) -> Fit:
    """By grids that halve around their best point; the likelihood is smooth and of two or three parameters."""
    limits = [_START, _LOG_GAIN] + ([] if loose is None else [(loose.low, loose.high)])
    at, likelihoods = _zoom(lambda points: _likelihoods(follower, points, loose), limits)
    best = int(np.argmax(likelihoods))
    axis = 1 if loose is None else 2
    near = at[likelihoods >= likelihoods[best] - _INTERVAL, axis]
    low, high = float(near.min()), float(near.max())
    if loose is None:
        low, high = np.exp(low), np.exp(high)
    found = float(at[best, 2]) if loose else np.nan
    return Fit(
        float(at[best, 0]), float(np.exp(at[best, 1])), found, float(likelihoods[best]), low, high, at, likelihoods
    )


def _likelihoods(follower: Follower, points: np.ndarray, loose: Loose | None) -> np.ndarray:
    parameters = Parameters.plain(points[:, 0], np.exp(points[:, 1]))
    if loose is not None:
        parameters = parameters._replace(**{loose.name: points[:, 2]})
    return follower.likelihood(parameters)[0]


def _zoom(
    likelihoods: Callable[[np.ndarray], np.ndarray], limits: list[tuple[float, float]]
) -> tuple[np.ndarray, np.ndarray]:
    ends = np.array(limits)
    low, high = ends.T
    tried, found = [], []
    for _ in range(_ZOOMS):
        axes = [np.linspace(*pair, _POINTS[len(ends)]) for pair in zip(low, high, strict=True)]
        points = np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], axis=1)
        tried.append(points)
        found.append(likelihoods(points))
        best = points[int(np.argmax(found[-1]))]
        half = (high - low) * _SHRINK / 2
        centre = np.clip(best, ends[:, 0] + half, ends[:, 1] - half)
        low, high = centre - half, centre + half
    return np.concatenate(tried), np.concatenate(found)
