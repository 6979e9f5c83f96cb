"""Explicit softmax learners: policy gradient, surrogates, EXP3 and its kin, one arm at a time."""

from __future__ import annotations

import abc

import numpy as np

from tests.bandit_rft.explicit_base import Learner, sample


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
        elif self.signal == "maxrl":
            signal = own / np.maximum(reward.mean(axis=1, keepdims=True), 1 / reward.shape[1])
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
