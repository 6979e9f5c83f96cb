"""The start and the gain of greatest likelihood, with their region; and one more parameter let loose beside them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bandit_rft.training_logs.following import Follower, Parameters

__all__ = ["BEND", "PAID", "SPREAD", "Fit", "Loose", "Profile", "fit", "profile"]

_START = (-12.0, 7.0)  # logit p
_LOG_GAIN = (-14.0, 5.0)
_POINTS, _ZOOMS = 21, 8
_VALUES = 11  # of a parameter let loose
_SIDE, _SHRINK = 7, 0.55  # of the grids of start and gain at each of them
_AROUND = (3.0, 3.0)  # the plain fit, where these begin
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
    """The start and the gain of greatest likelihood.

    Attributes:
        start, gain: of greatest likelihood. nats: ln likelihood there.
        low, high: of the gain, its 95% interval; 0 and infinity where it reaches the end of the search.
        points: float64 [P, 2] (start, ln gain) that were tried, and their ln likelihoods [P].
    """

    start: float
    gain: float
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
        return self.points[self.likelihoods >= self.nats - within]


class Profile(NamedTuple):
    """A parameter let loose: its value of greatest likelihood, its 95% interval, the ln likelihood gained by it, and
    whether the interval reaches an end of the search, so that it may go on.
    """

    value: float
    low: float
    high: float
    gained: float
    low_open: bool = False
    high_open: bool = False


def fit(follower: Follower) -> Fit:
    """By grids that halve around their best point; the likelihood is smooth."""
    ends = np.array([_START, _LOG_GAIN])
    low, high = ends.T
    tried, found = [], []
    for _ in range(_ZOOMS):
        points = _grid([np.linspace(*pair, _POINTS) for pair in zip(low, high, strict=True)])
        tried.append(points)
        found.append(follower.likelihood(Parameters.plain(points[:, 0], np.exp(points[:, 1])))[0])
        half = (high - low) / 4
        centre = np.clip(points[int(np.argmax(found[-1]))], ends[:, 0] + half, ends[:, 1] - half)
        low, high = centre - half, centre + half
    points, likelihoods = np.concatenate(tried), np.concatenate(found)
    best = int(np.argmax(likelihoods))
    near = points[likelihoods >= likelihoods[best] - _INTERVAL, 1]
    start, log_gain = points[best]
    return Fit(
        float(start),
        float(np.exp(log_gain)),
        float(likelihoods[best]),
        float(np.exp(near.min())) if near.min() > _LOG_GAIN[0] else 0.0,
        float(np.exp(near.max())) if near.max() < _LOG_GAIN[1] else np.inf,
        points,
        likelihoods,
    )


def profile(follower: Follower, loose: Loose, plain: Fit) -> Profile:
    """The greatest likelihood over start and gain at each of a row of values, then between the best's neighbours."""
    centre = np.tile([plain.start, np.log(plain.gain)], (_VALUES, 1))
    values = np.linspace(loose.low, loose.high, _VALUES)
    first, centre = _best_at(follower, loose, values, centre, np.array(_AROUND))
    best = int(np.argmax(first))
    finer = np.linspace(values[max(best - 1, 0)], values[min(best + 1, _VALUES - 1)], _VALUES)
    second, _ = _best_at(follower, loose, finer, np.tile(centre[best], (_VALUES, 1)), np.array(_AROUND) / 3)
    values, nats = np.concatenate([values, finer]), np.concatenate([first, second])
    near = values[nats >= nats.max() - _INTERVAL]
    value = float(values[int(np.argmax(nats))])
    low, high = float(near.min()), float(near.max())
    return Profile(
        value,
        low,
        high,
        max(float(nats.max()) - plain.nats, 0.0),
        low_open=low == loose.low != loose.law,
        high_open=high == loose.high != loose.law,
    )


def _best_at(
    follower: Follower, loose: Loose, values: np.ndarray, centre: np.ndarray, half: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(ln likelihood [V], (start, ln gain) [V, 2]) of greatest likelihood at each value [V], by shrinking grids."""
    axis = np.linspace(-1.0, 1.0, _SIDE)
    offsets = _grid([axis, axis])
    nats = np.full(len(values), -np.inf)
    for _ in range(_ZOOMS):
        points = centre[:, None] + half * offsets
        points = np.clip(points, [_START[0], _LOG_GAIN[0]], [_START[1], _LOG_GAIN[1]])
        flat = points.reshape(-1, 2)
        parameters = Parameters.plain(flat[:, 0], np.exp(flat[:, 1]))
        parameters = parameters._replace(**{loose.name: np.repeat(values, len(offsets))})
        found = follower.likelihood(parameters)[0].reshape(len(values), -1)
        place = np.argmax(found, axis=1)
        nats = np.maximum(nats, found[np.arange(len(values)), place])
        centre, half = points[np.arange(len(values)), place], half * _SHRINK
    return nats, centre


def _grid(axes: list[np.ndarray]) -> np.ndarray:
    """All combinations, float64 [P, len(axes)]."""
    return np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], axis=1)
