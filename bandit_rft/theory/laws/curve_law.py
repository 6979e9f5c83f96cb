"""Laws of runs without randomness: one curve of value and regret, the same for every seed."""

from __future__ import annotations

import abc
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.optimize import elementwise
from scipy.special import expit, log_expit

from bandit_rft.theory.catalogue import about
from bandit_rft.theory.prediction import Curves, Prediction, rounds_shown

__all__ = ["CurveLaw", "GroupCurve", "curve_prediction", "growth", "solve_rise"]

_BEYOND = 1e-3  # of the logarithm of a rise


class CurveLaw(abc.ABC):
    """A deterministic curve from three closed forms; the rest of a `Law` follows from them."""

    @abc.abstractmethod
    def value(self, time: np.ndarray) -> np.ndarray:
        """p(t), float64 [N], t in rounds."""

    @abc.abstractmethod
    def regret(self, time: np.ndarray) -> np.ndarray:
        """Integral of 1 - p from 0 to t, float64 [N], in rewards of one pull a round."""

    @abc.abstractmethod
    def time_to(self, level: float) -> float:
        """The time at which p reaches the level, 0 if it starts above it; in rounds."""

    def mean_hitting_time(self, level: float) -> float:
        """The first whole round at which p >= level."""
        time = self.time_to(level)
        return float(math.ceil(time)) if math.isfinite(time) else time

    def hitting_time_quantile(self, level: float, q: float) -> float:
        """The same for every q: the curve is deterministic."""
        del q
        return self.mean_hitting_time(level)

    def sample(self, generator: np.random.Generator, seeds: int, at: np.ndarray) -> Curves:
        """The one curve, `seeds` times."""
        del generator
        shape = (seeds, at.size)
        regret = np.broadcast_to(self.regret(at + 1.0), shape)
        return Curves(
            value=np.broadcast_to(self.value(at.astype(np.float64)), shape),
            regret=regret,
            total_reward=at + 1.0 - regret,
        )

    def value_quantile(self, q: float, at: np.ndarray) -> np.ndarray:
        """The curve itself, whatever q."""
        del q
        return self.value(at.astype(np.float64))

    def value_given_rewards(self, rewards: np.ndarray) -> np.ndarray | None:
        """None: rewards play no part in exact gradients."""
        del rewards


class GroupCurve(CurveLaw):
    """A deterministic curve whose regret counts all rollouts of a round."""

    rollouts: int

    def sample(self, generator: np.random.Generator, seeds: int, at: np.ndarray) -> Curves:
        """The one curve, `seeds` times."""
        curves = super().sample(generator, seeds, at)
        return curves._replace(total_reward=at + 1.0 - curves.regret / self.rollouts)


def curve_prediction(
    name: str, law: CurveLaw, rounds: int, parameters: Mapping[str, Any], flags: Sequence[str] = ()
) -> Prediction:
    """The curve at the rounds shown, as the entry `name`; regret up to and including round t is that of time t + 1."""
    at = rounds_shown(rounds)
    time = at.astype(np.float64)
    return Prediction(
        **about(name),
        at=at,
        value=law.value(time),
        regret=law.regret(time + 1.0),
        parameters=parameters,
        law=law,
        flags=tuple(flags),
    )


def growth(start: float, rise: np.ndarray) -> np.ndarray:
    """ln[(1 + e^(start + rise)) / (1 + e^start)], to full relative precision near rise = 0 and without overflow."""
    near = np.log1p(expit(start) * np.expm1(np.where(np.abs(rise) < 1.0, rise, 0.0)))
    far = np.logaddexp(log_expit(-start), log_expit(start) + rise)
    return np.where(np.abs(rise) < 1.0, near, far)


def solve_rise(
    progress: Callable[[np.ndarray], np.ndarray], elapsed: np.ndarray, log_low: np.ndarray, log_high: np.ndarray
) -> np.ndarray:
    """The rise > 0 at which an increasing `progress(rise)` equals `elapsed` > 0; float64 [N].

    Solved for ln(rise) in ln(progress), where such equations are nearly straight over hundreds of orders of magnitude.
    The bounds may be the root itself, as they are where p starts at 1 but for rounding: a little is left beyond them.
    """

    def excess(log_rise: np.ndarray, goal: np.ndarray) -> np.ndarray:
        return np.log(progress(np.exp(log_rise))) - goal

    return np.exp(elementwise.find_root(excess, (log_low - _BEYOND, log_high + _BEYOND), args=(np.log(elapsed),)).x)
