"""Groups of rollouts on a table with every arm explicit, in NumPy: oracles for the audit of section B."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
from scipy.integrate import solve_ivp
from scipy.stats import binom


def signal_of(name: str, rewards: np.ndarray, ddof: int = 1, eps: float = 0.0, k: int | None = None) -> np.ndarray:
    """Signals of one group's rewards [G], 0 or 1, written from the definitions."""
    group = rewards.size
    if name in ("raw", "psr"):
        return rewards
    if name == "nsr":
        return np.where(rewards > 0, 0.0, -1.0)
    if name == "maxrl":
        return rewards / max(rewards.mean(), 1.0 / group)
    if name == "maxrl_centred":
        return (rewards - rewards.mean()) / max(rewards.mean(), 1.0 / group)
    if name == "pass_at_k":
        return np.array([_added_to_others(rewards, g, group if k is None else k) for g in range(group)])
    if name == "rloo" and group == 1:
        return rewards
    if name == "signed":
        return np.where(rewards > 0, 1.0, -1.0)
    if name == "mean_baseline":
        return rewards - rewards.mean()
    if name == "rloo":
        return rewards - (rewards.sum() - rewards) / (group - 1)
    if group == 1:
        return rewards / (1.0 + eps)
    return np.zeros(group) if np.ptp(rewards) == 0 else (rewards - rewards.mean()) / (rewards.std(ddof=ddof) + eps)


def _added_to_others(rewards: np.ndarray, own: int, k: int) -> float:
    """k times what one rollout adds to pass@k of itself and k - 1 others, over every choice of them."""
    others = np.delete(rewards, own)
    sets = [max(chosen, default=0.0) for chosen in itertools.combinations(others, k - 1)]
    return k * float(np.mean([max(rewards[own], best) - best for best in sets]))


def signals_by_count(
    name: str, group: int, ddof: int = 1, eps: float = 0.0, k: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """(signal of a correct rollout, of a wrong one), [G + 1] each, in a group with 0 .. G correct ones."""
    up, down = np.zeros(group + 1), np.zeros(group + 1)
    for right in range(group + 1):
        signal = signal_of(name, (np.arange(group) < right).astype(float), ddof, eps, k)
        up[right], down[right] = (signal[0] if right else 0.0), (signal[-1] if right < group else 0.0)
    return up, down


def symmetric_policy(p: float, optimal: int, arms: int) -> np.ndarray:
    """π [K]: p spread evenly over the first `optimal` arms, the rest over the others."""
    return np.where(np.arange(arms) < optimal, p / optimal, (1.0 - p) / (arms - optimal))


def softmax(logit: np.ndarray) -> np.ndarray:
    """π over the last axis."""
    weight = np.exp(logit - logit.max(axis=-1, keepdims=True))
    return weight / weight.sum(axis=-1, keepdims=True)


def all_updates(
    name: str,
    policy: np.ndarray,
    correct: np.ndarray,
    group: int,
    ddof: int = 1,
    eps: float = 0.0,
    k: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """(probability, update [K]) of every group of arms there is."""
    weights, updates = [], []
    for arms in itertools.product(range(policy.size), repeat=group):
        chosen = np.asarray(arms)
        signal = signal_of(name, correct[chosen].astype(float), ddof, eps, k)
        weights.append(np.prod(policy[chosen]))
        updates.append(np.mean(signal[:, None] * (np.eye(policy.size)[chosen] - policy), axis=0))
    return np.asarray(weights), np.asarray(updates)


def simulate(
    name: str,
    *,
    p0: float,
    arms: int,
    step_size: float,
    group: int,
    rounds: int,
    seeds: int,
    key: int,
    optimal: int = 1,
    ddof: int = 0,
) -> np.ndarray:
    """Pass@1 [seeds, rounds] before each update of softmax REINFORCE with groups; draws by count, so G may be large."""
    generator = np.random.default_rng(key)
    logit = np.tile(np.log(symmetric_policy(p0, optimal, arms)), (seeds, 1))
    up, down = signals_by_count(name, group, ddof)
    value = np.empty((seeds, rounds))
    for t in range(rounds):
        policy = softmax(logit)
        value[:, t] = policy[:, :optimal].sum(axis=1)
        counts = generator.multinomial(group, policy)
        k = counts[:, :optimal].sum(axis=1)
        signal = np.where(np.arange(arms) < optimal, up[k][:, None], down[k][:, None]) * counts
        logit += step_size / group * (signal - signal.sum(axis=1, keepdims=True) * policy)
    return value


def mean_flow(
    mean_update: Callable[[np.ndarray], np.ndarray], p0: float, optimal: int, arms: int, rounds: list[int]
) -> tuple[np.ndarray, np.ndarray]:
    """(Pass@1, integral of its complement) at some times, of dθ/dt = mean_update(π) on every logit of a table."""

    def slope(_: float, state: np.ndarray) -> np.ndarray:
        policy = softmax(state[:-1])
        return np.append(mean_update(policy), policy[optimal:].sum())

    start = np.append(np.log(symmetric_policy(p0, optimal, arms)), 0.0)
    found = solve_ivp(slope, (0.0, float(rounds[-1])), start, "DOP853", rounds, rtol=1e-12, atol=1e-12)
    return softmax(found.y[:-1].T)[:, :optimal].sum(axis=1), found.y[-1]


def mean_update_of(
    name: str,
    group: int,
    optimal: int,
    arms: int,
    step_size: float,
    ddof: int = 1,
    eps: float = 0.0,
    k: int | None = None,
) -> Callable[[np.ndarray], np.ndarray]:
    """π [K] -> the step's expectation [K], from the binomial law of the number of correct rollouts."""
    up, down = signals_by_count(name, group, ddof, eps, k)
    right, correct = np.arange(group + 1), np.arange(arms) < optimal

    def update(policy: np.ndarray) -> np.ndarray:
        p = policy[correct].sum()
        weight = binom.pmf(right, group, p)
        # Expected sum of signals of correct and of wrong rollouts; inside a class the arm is drawn by its share.
        signal = np.where(
            correct, weight @ (right * up) * policy / p, weight @ ((group - right) * down) * policy / (1 - p)
        )
        return step_size / group * (signal - signal.sum() * policy)

    return update
