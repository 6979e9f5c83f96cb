"""Arms and a learner that cost milliseconds, and the sweep of them that tests share."""

import os
import signal
from dataclasses import dataclass

import jax
import numpy as np

from bandit_rft.contract import Info, Learner
from bandit_rft.errors import InputError
from bandit_rft.sweep import final_regret


@dataclass(frozen=True)
class Coin:
    """One arm under the host loop: nothing to compile, so that a test of many points takes milliseconds."""

    chance: float
    jittable: bool = False
    best_mean: float = 1.0

    def pull(self, key, pulled):
        return (jax.random.uniform(key, pulled.shape) < self.chance).astype(np.float32)

    def mean(self, pulled):
        return np.full(pulled.shape, self.chance)


@dataclass(frozen=True)
class Patient:
    """Expects `hope` less of itself than the arm gives."""

    hope: float = 0.0
    rollouts: int = 1

    def bind(self, arms, *, rounds, row_capacity=None):
        def act(key, state):
            return np.zeros(self.rollouts, np.int32), Info(value=np.float64(arms.chance - self.hope))

        return Learner(init=lambda key: 0, act=act, update=lambda state, pulled, rewards: state, rollouts=self.rollouts)


def make(chance=0.5, hope=0.0):
    return Coin(chance), Patient(hope)


def total(history):
    return history.rewards.sum(axis=(1, 2))


GRID = {"chance": [0.2, 0.5], "hope": [0.0, 0.1, 0.2]}


SETTINGS = {"rounds": 7, "seeds": 3, "key": 11, "measure": {"total": total, "regret": final_regret}}


def same(one, other):
    assert one.axes == other.axes
    assert one.points == other.points
    assert one.notes == other.notes
    np.testing.assert_array_equal(one.seeds, other.seeds)
    assert list(one.samples) == list(other.samples)
    for name, values in one.samples.items():
        assert values.dtype == other.samples[name].dtype == np.float64
        assert values.tobytes() == other.samples[name].tobytes()


@dataclass(frozen=True)
class Jittable(Coin):
    jittable: bool = True


def lost_once(history):
    """`total`; the worker that measures first is killed, once per file that SWEEP_MARK names."""
    mark = os.environ["SWEEP_MARK"]
    if not os.path.exists(mark):
        with open(mark, "w"):
            pass
        os.kill(os.getpid(), signal.SIGKILL)
    return total(history)


def refused(history):
    raise InputError("no number here.")
