"""Every arm explicit, every learner written once more in NumPy from its source: the oracle for learners × arm sets.

Nothing here imports bandit_rft. Seeds are the leading axis of everything; an arm is a column.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import stats

from tests.bandit_rft.explicit_base import Learner, World, argmax_uniform, play, sample
from tests.bandit_rft.explicit_softmax import (
    EXP3IX,
    EXP3Gain,
    EXP3Loss,
    PolicyGradient,
    Softmax,
    SurrogateGradient,
    TsallisINF,
    Weighted,
    play_groups,
)

__all__ = [
    "EXP3IX",
    "AnnealedSoftmax",
    "BestRun",
    "Discounted",
    "EXP3Gain",
    "EXP3Loss",
    "EpsilonGreedy",
    "ExploreThenCommit",
    "ExploreUntilSuccess",
    "Index",
    "Learner",
    "PolicyGradient",
    "SlidingWindow",
    "Softmax",
    "Subsampled",
    "SuccessiveElimination",
    "SurrogateGradient",
    "ThompsonBeta",
    "ThompsonGaussian",
    "TsallisINF",
    "TwoTarget",
    "Uniform",
    "Weighted",
    "World",
    "argmax_uniform",
    "beta_bound",
    "kl_bound",
    "one_failure",
    "play",
    "play_groups",
    "sample",
    "variance_bound",
]


class Index(Learner):
    """index(learner, n, mean, t) -> [S, K]; an arm never pulled comes first where `first`."""

    def __init__(self, index: Callable, first: bool = True) -> None:
        self.index, self.first = index, first

    def act(self, t: int) -> np.ndarray:
        safe = np.maximum(self.n, 1)
        value = self.index(self, safe, self.total / safe, max(t, 1))
        return argmax_uniform(self.rng, np.where(self.n > 0, value, np.inf) if self.first else value)


def kl_bound(mean: np.ndarray, level: np.ndarray) -> np.ndarray:
    low, high = mean.copy(), np.ones_like(mean)
    for _ in range(60):
        q = (low + high) / 2
        with np.errstate(divide="ignore", invalid="ignore"):
            d = np.where(mean > 0, mean * np.log(mean / q), 0) + np.where(
                mean < 1, (1 - mean) * np.log((1 - mean) / (1 - q)), 0
            )
        inside = d <= level
        low, high = np.where(inside, q, low), np.where(inside, high, q)
    return low


def beta_bound(self, t):
    """Quantile 1 - 1/t' of each posterior; t pulls were made, and the first choice is blind."""
    now = t + 1 if self.n.sum() else 1
    return stats.beta.ppf(1 - 1 / now, 1 + self.total, 1 + self.n - self.total)


class SlidingWindow(Learner):
    """Every reward since the start is kept in a list, and the last `window` of it are counted anew each round."""

    def __init__(self, window: int, xi: float) -> None:
        self.window, self.xi = window, xi

    def reset(self) -> None:
        self.heard: list[tuple[np.ndarray, np.ndarray]] = []

    def update(self, arm, reward) -> None:
        self.heard.append((arm, reward))

    def weights(self) -> list[float]:
        return [1.0 if age < self.window else 0.0 for age in range(len(self.heard))][::-1]

    def counts(self) -> tuple[np.ndarray, np.ndarray]:
        n, total = np.zeros((self.seeds, self.arms)), np.zeros((self.seeds, self.arms))
        for (arm, reward), weight in zip(self.heard, self.weights(), strict=True):
            n[self.every, arm] += weight
            total[self.every, arm] += weight * reward
        return n, total

    def act(self, t: int) -> np.ndarray:
        n, total = self.counts()
        safe = np.where(n > 0, n, 1)
        index = total / safe + np.sqrt(self.xi * np.log(min(max(t, 1), self.window)) / safe)
        return argmax_uniform(self.rng, np.where(n > 0, index, np.inf))


class Discounted(SlidingWindow):
    def __init__(self, discount: float, xi: float) -> None:
        self.discount, self.xi = discount, xi

    def weights(self) -> list[float]:
        return [self.discount**age for age in range(len(self.heard))][::-1]

    def act(self, t: int) -> np.ndarray:
        n, total = self.counts()
        safe = np.where(n > 0, n, 1)
        every = np.maximum(n.sum(axis=1, keepdims=True), 1)
        index = total / safe + 2 * np.sqrt(self.xi * np.log(every) / safe)
        return argmax_uniform(self.rng, np.where(n > 0, index, np.inf))


def variance_bound(self, n, mean, exploration):
    v = np.maximum(self.squares / n - mean**2, 0)
    return mean + np.sqrt(2 * v * exploration / n) + 3 * exploration / n


def one_failure(self, n, mean, t):
    return np.where(self.n == 0, 1.0, np.where(self.total >= self.n, 2.0, 0.0))


class BestRun(Learner):
    def reset(self) -> None:
        self.kept = np.full(self.seeds, -1)

    def act(self, t: int) -> np.ndarray:
        length = int(np.sqrt(self.rounds))
        failed = (self.n > 0) & (self.total < self.n)
        trying = (self.n > 0) & ~failed
        over = (self.run >= length).any(axis=1) | (failed.sum(axis=1) >= length)
        over |= ~trying.any(axis=1) & (self.n > 0).all(axis=1)
        best = argmax_uniform(self.rng, np.where(self.n > 0, self.run, -1))
        self.kept = np.where(over & (self.kept < 0), best, self.kept)
        explore = argmax_uniform(self.rng, np.where(trying, 2.0, np.where(self.n == 0, 1.0, 0.0)))
        return np.where(self.kept >= 0, self.kept, explore)


class TwoTarget(Learner):
    """The algorithm as a program with a current arm, as its paper prints it."""

    def reset(self) -> None:
        self.current = self.rng.integers(0, self.arms, self.seeds)
        self.used = np.zeros((self.seeds, self.arms), bool)
        self.used[self.every, self.current] = True
        self.wins, self.losses, self.fixed = np.zeros(self.seeds), np.zeros(self.seeds), np.zeros(self.seeds, bool)

    def act(self, t: int) -> np.ndarray:
        return self.current

    def update(self, arm, reward) -> None:
        first, second = int((self.rounds / 2) ** (1 / 3) + 1e-12), int(3 * np.sqrt(self.rounds / 2))
        self.wins += np.where(self.fixed, 0, reward)
        self.losses += np.where(self.fixed, 0, 1 - reward)
        drop = ~self.fixed & (reward == 0)
        drop &= ((self.losses == 1) & (self.wins < first)) | ((self.losses == 3) & (self.wins < second))
        self.fixed |= ~self.fixed & (self.losses == 3) & ~drop
        fresh = argmax_uniform(self.rng, np.where(self.used, -1.0, 0.0))
        assert not self.used.all(axis=1)[drop].any(), "give the test more arms"
        self.current = np.where(drop, fresh, self.current)
        self.used[self.every, self.current] = True
        self.wins[drop] = self.losses[drop] = 0


class EpsilonGreedy(Learner):
    """endless: of infinitely many arms, where a uniform draw (of all, or of those tied at 0) meets no touched one."""

    def __init__(self, epsilon: float, decay: float = 0.0, endless: bool = False) -> None:
        self.epsilon, self.decay, self.endless = epsilon, decay, endless

    def act(self, t: int) -> np.ndarray:
        untouched = 1e-9 if self.endless else 0.0  # above a failure, below any success
        mean = np.where(self.n > 0, self.total / np.maximum(self.n, 1), untouched)
        explore = self.rng.random(self.seeds) < min(1.0, self.epsilon * (t + 1.0) ** -self.decay)
        fresh = argmax_uniform(self.rng, -self.n)
        anything = fresh if self.endless else self.rng.integers(0, self.arms, self.seeds)
        return np.where(explore, anything, argmax_uniform(self.rng, mean))


class AnnealedSoftmax(Learner):
    def __init__(self, scale: float, power: float) -> None:
        self.scale, self.power = scale, power

    def act(self, t: int) -> np.ndarray:
        noise = self.rng.gumbel(size=self.n.shape)
        value = self.scale * max(t, 1) ** self.power * self.total / np.maximum(self.n, 1)
        return argmax_uniform(self.rng, np.where(self.n > 0, value + noise, np.inf))


class ExploreUntilSuccess(Learner):
    """Draws from the base policy until a reward above 0: of all arms, or of those it has heard of least often."""

    def __init__(self, replacement: bool) -> None:
        self.replacement = replacement

    def reset(self) -> None:
        self.kept = np.full(self.seeds, -1)

    def act(self, t: int) -> np.ndarray:
        least = self.n == self.n.min(axis=1, keepdims=True)
        drawn = sample(self.rng, np.where(self.replacement | least, self.base, 0.0))
        return np.where(self.kept >= 0, self.kept, drawn)

    def update(self, arm, reward) -> None:
        super().update(arm, reward)
        self.kept = np.where((self.kept < 0) & (reward > 0), arm, self.kept)


class ExploreThenCommit(Learner):
    def __init__(self, pulls: int) -> None:
        self.pulls = pulls

    def reset(self) -> None:
        self.kept = np.full(self.seeds, -1)

    def act(self, t: int) -> np.ndarray:
        exploring = (self.n < self.pulls).any(axis=1)
        best = argmax_uniform(self.rng, self.total / np.maximum(self.n, 1))
        self.kept = np.where(~exploring & (self.kept < 0), best, self.kept)
        return np.where(exploring, argmax_uniform(self.rng, -self.n), self.kept)


class SuccessiveElimination(Learner):
    def reset(self) -> None:
        self.floor = np.full(self.seeds, -np.inf)

    def act(self, t: int) -> np.ndarray:
        safe = np.maximum(self.n, 1)
        mean, radius = self.total / safe, np.sqrt(2 * np.log(self.rounds) / safe)
        self.floor = np.maximum(self.floor, np.where(self.n > 0, mean - radius, -np.inf).max(axis=1))
        upper = np.where(self.n > 0, mean + radius, np.inf)
        active = upper >= np.minimum(self.floor, upper.max(axis=1))[:, None]
        return argmax_uniform(self.rng, np.where(active, -self.n, -np.inf))


class Subsampled(Index):
    def __init__(self, index: Callable, size: int) -> None:
        super().__init__(index)
        self.size = size

    def reset(self) -> None:
        order = self.rng.random((self.seeds, self.arms)).argsort(axis=1)
        self.outside = order.argsort(axis=1) >= self.size

    def act(self, t: int) -> np.ndarray:
        safe = np.maximum(self.n, 1)
        value = np.where(self.n > 0, self.index(self, safe, self.total / safe, max(t, 1)), np.inf)
        return argmax_uniform(self.rng, np.where(self.outside, -np.inf, value))


class ThompsonBeta(Learner):
    def act(self, t: int) -> np.ndarray:
        return self.rng.beta(1 + self.total, 1 + self.n - self.total).argmax(axis=1)


class ThompsonGaussian(Learner):
    def act(self, t: int) -> np.ndarray:
        return (self.total / (self.n + 1) + self.rng.standard_normal(self.n.shape) / np.sqrt(self.n + 1)).argmax(axis=1)


class Uniform(Learner):
    def act(self, t: int) -> np.ndarray:
        return self.rng.integers(0, self.arms, self.seeds)
