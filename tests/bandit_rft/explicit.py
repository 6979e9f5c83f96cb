"""Every arm explicit, every learner written once more in NumPy from its source: the oracle for learners × arm sets.

Nothing here imports bandit_rft. Seeds are the leading axis of everything; an arm is a column.
"""

from __future__ import annotations

import abc
from collections.abc import Callable

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


class Softmax(Learner):
    """Plays self.probability(), a softmax of self.theta."""

    def reset(self) -> None:
        self.theta = np.tile(np.log(self.base) if self.from_base else np.zeros(self.arms), (self.seeds, 1))

    from_base = False

    def probability(self) -> np.ndarray:
        weight = np.exp(self.theta - self.theta.max(axis=1, keepdims=True))
        return weight / weight.sum(axis=1, keepdims=True)

    def act(self, t: int) -> np.ndarray:
        self.clock = t
        return sample(self.rng, self.probability())


class Weighted(Softmax):
    """`learn(arm, reward, p of the arm)`."""

    def update(self, arm, reward) -> None:
        self.learn(arm, reward, self.probability()[self.every, arm])

    @abc.abstractmethod
    def learn(self, arm, reward, p) -> None:
        """What a reward does to the weight of the arm that was drawn with probability p."""


class EXP3Gain(Weighted):
    def probability(self) -> np.ndarray:
        k = self.arms
        self.gamma = min(1.0, np.sqrt(k * np.log(k) / ((np.e - 1) * self.rounds)))
        return (1 - self.gamma) * super().probability() + self.gamma / k

    def learn(self, arm, reward, p) -> None:
        self.theta[self.every, arm] += self.gamma * reward / (self.arms * p)


class EXP3Loss(Weighted):
    implicit = 0.0

    def learn(self, arm, reward, p) -> None:
        rate = np.sqrt(2 * np.log(self.arms) / (self.rounds * self.arms))
        self.theta[self.every, arm] -= rate * (1 - reward) / (p + self.implicit * rate)


class EXP3IX(EXP3Loss):
    implicit = 0.5


class TsallisINF(Weighted):
    clock = 0

    def probability(self) -> np.ndarray:
        loss, rate = -self.theta, 2 / np.sqrt(self.clock + 1)
        top = loss.min(axis=1, keepdims=True)
        low, high = top - 2 * np.sqrt(self.arms) / rate, top - 2 / rate  # Σ p is 1 or less at low, 1 or more at high
        for _ in range(80):
            x = (low + high) / 2
            over = (4 / (rate * (loss - x)) ** 2).sum(axis=1, keepdims=True) > 1
            low, high = np.where(over, low, x), np.where(over, x, high)
        p = 4 / (rate * (loss - x)) ** 2
        return p / p.sum(axis=1, keepdims=True)

    def act(self, t: int) -> np.ndarray:
        self.clock = t
        return sample(self.rng, self.probability())

    def learn(self, arm, reward, p) -> None:
        self.theta[self.every, arm] -= (1 - reward) / p


class PolicyGradient(Weighted):
    from_base = True

    def __init__(self, step: float, natural: bool) -> None:
        self.step, self.natural = step, natural

    def learn(self, arm, reward, p) -> None:
        if self.natural:
            self.theta[self.every, arm] += self.step * reward / p
            return
        self.theta -= self.step * reward[:, None] * self.probability()
        self.theta[self.every, arm] += self.step * reward


class SurrogateGradient(Softmax):
    """PPO-clip with epochs, replay, entropy and KL; the gradient is that of the objective by jax.grad."""

    from_base = True

    def __init__(
        self, step, group=1, signal="raw", clip=None, epochs=1, replay=0, entropy=0.0, kl=0.0, extra=0
    ) -> None:
        self.step, self.group, self.signal, self.clip, self.epochs = step, group, signal, clip, epochs
        self.replay, self.entropy, self.kl, self.extra = replay, entropy, kl, extra

    def reset(self) -> None:
        import jax
        import jax.numpy as jnp

        super().reset()
        self.past: list = []
        self.sum = self.count = 0.0
        base = jnp.asarray(np.log(self.base))

        def objective(theta, arm, signal, log_old):  # one seed: arm [N], N pulls of the window
            log_policy = jax.nn.log_softmax(theta)
            ratio = jnp.exp(log_policy[arm] - log_old)
            bounded = ratio if self.clip is None else jnp.clip(ratio, 1 - self.clip, 1 + self.clip)
            gain = jnp.sum(jnp.minimum(ratio * signal, bounded * signal)) / self.group
            policy = jnp.exp(log_policy)
            entropy = -jnp.sum(policy * log_policy)
            return gain + self.entropy * entropy - self.kl * jnp.sum(policy * (log_policy - base))

        self.gradient = jax.jit(jax.vmap(jax.grad(objective)))

    def signals(self, reward: np.ndarray) -> np.ndarray:
        own, extra = reward[:, : self.group], reward[:, self.group :]
        if self.signal == "running_baseline":
            signal = own - (self.sum / max(self.count, 1))[:, None] if self.count else own
            self.sum, self.count = self.sum + own.sum(axis=1), self.count + self.group
        elif self.extra and self.signal == "mean_baseline":
            signal = own - extra.mean(axis=1, keepdims=True)
        elif self.signal == "rloo":
            signal = own - (reward.sum(axis=1, keepdims=True) - own) / (reward.shape[1] - 1)
        elif self.signal == "mean_baseline":
            signal = own - own.mean(axis=1, keepdims=True)
        else:
            signal = own
        return signal

    def update_group(self, arm: np.ndarray, reward: np.ndarray) -> None:
        signal, arm = self.signals(reward), arm[:, : self.group]
        log_policy = np.log(self.probability())
        self.past.append((arm, signal, np.take_along_axis(log_policy, arm, axis=1)))
        window = self.past[-(self.replay + 1) :]
        batch = [np.concatenate(parts, axis=1) for parts in zip(*window, strict=True)]
        for _ in range(self.epochs):
            self.theta = self.theta + self.step * np.asarray(self.gradient(self.theta, *batch))


def play_groups(mean: np.ndarray, learner: SurrogateGradient, rounds: int, seeds: int, seed: int) -> np.ndarray:
    """[S] the policy's expected reward after the rounds."""
    rng = np.random.default_rng(seed)
    learner.start(rng, seeds, mean.size, rounds, None)
    for _ in range(rounds):
        policy = learner.probability()
        arm = np.stack([sample(rng, policy) for _ in range(learner.group + learner.extra)], axis=1)
        learner.update_group(arm, (rng.random(arm.shape) < mean[arm]).astype(float))
    return learner.probability() @ mean
