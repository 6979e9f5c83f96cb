"""Explicit bandits in numpy: a world, its play, and what every explicit learner has."""

from __future__ import annotations

import abc

import numpy as np


class World:
    """S independent bandits with explicit arms.

    means(rng, seeds) -> [S, K]; reward: "bernoulli", or a Gaussian's sigma; then what may be wrapped around. `best` is
    what regret is measured against where it is not the largest mean.
    """

    def __init__(self, means, sigma=None, noise=None, delay=0, step=0.0, changes=(), base=None, best=None) -> None:
        self.make, self.sigma, self.noise, self.delay = means, sigma, noise, delay
        self.step, self.changes, self.base, self.best = step, changes, base, best

    def reset(self, rng: np.random.Generator, seeds: int) -> np.ndarray:
        self.rng, self.mean, self.time = rng, self.make(rng, seeds), 0
        return self.mean

    def pull(self, arm: np.ndarray) -> np.ndarray:
        mean = self.mean[np.arange(arm.size), arm]
        if self.sigma is not None:
            return mean + self.sigma * self.rng.standard_normal(arm.size)
        truth = self.rng.random(arm.size) < mean
        if self.noise:
            truth = self.rng.random(arm.size) < np.where(truth, *self.noise)
        return truth.astype(float)

    def advance(self) -> None:
        self.time += 1
        if self.step:
            moved = np.abs(self.mean + self.step * self.rng.standard_normal(self.mean.shape))
            moved = np.mod(moved, 2.0)
            self.mean = np.where(moved > 1, 2 - moved, moved)
        if self.time in self.changes:
            self.mean = self.rng.permuted(self.mean, axis=1)


def play(world: World, learner: Learner, rounds: int, seeds: int, seed: int) -> np.ndarray:
    """[S] summed true loss of the arms pulled."""
    rng = np.random.default_rng(seed)
    mean = world.reset(rng, seeds)
    learner.start(rng, seeds, mean.shape[1], rounds, world.base)
    every, regret, pending = np.arange(seeds), np.zeros(seeds), []
    for t in range(rounds):
        arm = learner.act(t)
        regret += (world.mean.max(axis=1) if world.best is None else world.best) - world.mean[every, arm]
        pending.append((arm, world.pull(arm)))
        if len(pending) > world.delay:
            learner.update(*pending.pop(0))
        world.advance()
    return regret


def argmax_uniform(rng: np.random.Generator, index: np.ndarray) -> np.ndarray:
    tied = index == index.max(axis=1, keepdims=True)
    return np.where(tied, rng.random(index.shape), -1.0).argmax(axis=1)


def sample(rng: np.random.Generator, probability: np.ndarray) -> np.ndarray:
    cumulative = probability.cumsum(axis=1)
    return (cumulative < rng.random((len(probability), 1)) * cumulative[:, -1:]).sum(axis=1)


class Learner(abc.ABC):
    def start(self, rng, seeds, arms, rounds, base) -> None:
        self.rng, self.seeds, self.arms, self.rounds = rng, seeds, arms, rounds
        self.every = np.arange(seeds)
        self.n, self.total, self.squares = (np.zeros((seeds, arms)) for _ in range(3))
        self.run = np.zeros((seeds, arms))
        self.base = np.full(arms, 1 / arms) if base is None else base
        self.reset()

    def reset(self) -> None:
        """What a learner keeps beside the counts; nothing unless it says so."""
        return

    def update(self, arm: np.ndarray, reward: np.ndarray) -> None:
        spotless = self.total[self.every, arm] >= self.n[self.every, arm]
        self.run[self.every, arm] += np.where(spotless, reward, 0)
        self.n[self.every, arm] += 1
        self.total[self.every, arm] += reward
        self.squares[self.every, arm] += reward**2

    @abc.abstractmethod
    def act(self, t: int) -> np.ndarray:
        """Arms [S] of round t."""
