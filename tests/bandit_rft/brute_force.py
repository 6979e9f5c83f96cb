"""Every arm explicit, in NumPy, with its own code: the oracle for rows. Nothing here imports bandit_rft."""

from __future__ import annotations

import numpy as np


def explicit_means(counts: list[int], means: list[float]) -> np.ndarray:
    return np.repeat(np.asarray(means, float), counts)


def signal_of(name: str, rewards: np.ndarray) -> np.ndarray:
    """rewards [S, G] -> signals [S, G], written from the definitions (GRPO: sample std, eps 1e-6)."""
    group = rewards.shape[1]
    centred = rewards - rewards.mean(axis=1, keepdims=True)
    if name == "raw":
        return rewards
    if name == "signed":
        return np.where(rewards > 0, 1.0, -1.0)
    if name == "nsr":
        return rewards - 1
    if name == "maxrl":
        return rewards / np.maximum(rewards.mean(axis=1, keepdims=True), 1 / group)
    if name == "pass_at_k":  # k = G: a rollout counts where all others fail
        return group * rewards * (rewards.sum(axis=1, keepdims=True) == 1)
    if name == "mean_baseline":
        return centred
    if name == "rloo":
        others = (rewards.sum(axis=1, keepdims=True) - rewards) / (group - 1)
        return rewards - others
    if name == "grpo":
        return centred / (rewards.std(axis=1, ddof=1, keepdims=True) + 1e-6)
    raise AssertionError(name)


def policy_gradient(
    mean: np.ndarray, base: np.ndarray, step: float, signal: str, group: int, rounds: int, seeds: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """(value [S, T], pulled regret [S]) of softmax REINFORCE over explicit arms."""
    rng = np.random.default_rng(seed)
    theta = np.tile(np.log(base), (seeds, 1))
    values = np.zeros((seeds, rounds))
    regret = np.zeros(seeds)
    every = np.arange(seeds)[:, None]
    for t in range(rounds):
        policy = np.exp(theta - theta.max(axis=1, keepdims=True))
        policy /= policy.sum(axis=1, keepdims=True)
        values[:, t] = policy @ mean
        cumulative = policy.cumsum(axis=1)
        cumulative[:, -1] = 1.0
        arms = np.stack([(cumulative < rng.random((seeds, 1))).sum(axis=1) for _ in range(group)], axis=1)
        rewards = (rng.random((seeds, group)) < mean[arms]).astype(float)
        regret += (mean.max() - mean[arms]).sum(axis=1)
        advantage = signal_of(signal, rewards)
        theta -= step * advantage.mean(axis=1, keepdims=True) * policy
        np.add.at(theta, (np.broadcast_to(every, arms.shape), arms), step * advantage / group)
    return values, regret


def thompson(mean: np.ndarray, rounds: int, seeds: int, seed: int) -> np.ndarray:
    """Pulled regret [S] of Beta(1, 1) Thompson sampling."""
    rng = np.random.default_rng(seed)
    alpha, beta = np.ones((seeds, mean.size)), np.ones((seeds, mean.size))
    every, regret = np.arange(seeds), np.zeros(seeds)
    for _ in range(rounds):
        arm = rng.beta(alpha, beta).argmax(axis=1)
        reward = rng.random(seeds) < mean[arm]
        alpha[every, arm] += reward
        beta[every, arm] += ~reward
        regret += mean.max() - mean[arm]
    return regret


def ucb1(mean: np.ndarray, rounds: int, seeds: int, seed: int) -> np.ndarray:
    """Pulled regret [S] of UCB1 with uniform tie-breaking."""
    rng = np.random.default_rng(seed)
    pulls, total = np.zeros((seeds, mean.size)), np.zeros((seeds, mean.size))
    every, regret = np.arange(seeds), np.zeros(seeds)
    for t in range(rounds):
        safe = np.maximum(pulls, 1)
        index = np.where(pulls > 0, total / safe + np.sqrt(2 * np.log(max(t, 1)) / safe), np.inf)
        tied = index == index.max(axis=1, keepdims=True)
        arm = np.where(tied, rng.random(index.shape), -1.0).argmax(axis=1)
        total[every, arm] += rng.random(seeds) < mean[arm]
        pulls[every, arm] += 1
        regret += mean.max() - mean[arm]
    return regret


def explore_until_success(
    mean: np.ndarray, base: np.ndarray, replacement: bool, rounds: int, seeds: int, seed: int
) -> np.ndarray:
    """Pulled regret [S]; stays with the first arm that paid."""
    rng = np.random.default_rng(seed)
    regret = np.zeros(seeds)
    for s in range(seeds):
        weight, kept = base.copy(), -1
        for _ in range(rounds):
            arm = kept if kept >= 0 else rng.choice(mean.size, p=weight / weight.sum())
            regret[s] += mean.max() - mean[arm]
            if kept < 0:
                if rng.random() < mean[arm]:
                    kept = arm
                elif not replacement:
                    weight[arm] = 0.0
                    if weight.sum() == 0:
                        weight = base.copy()
    return regret
