"""Audit of published rates of policy gradient, and of learning without it."""

from __future__ import annotations

import numpy as np

from bandit_rft import arms, learners, run
from simulations.theory_audit.case import Case, Measured, exact, of_seeds

REWARDS = np.array([1.0, 0.9, 0.6, 0.3, 0.0])


def _exact_gaps(step: float, start: np.ndarray, rounds: tuple[int, ...]) -> np.ndarray:
    """Value gap at round t = 1, 2, ... of exact gradient ascent on five arms."""
    logit, found = np.log(start), []
    for t in range(1, max(rounds) + 1):
        policy = np.exp(logit - logit.max())
        policy /= policy.sum()
        if t in rounds:
            found.append(REWARDS[0] - policy @ REWARDS)
        logit = logit + step * policy * (REWARDS - policy @ REWARDS)
    return np.asarray(found)


GAP_ROUNDS = (1, 10, 100, 1000, 10000)


UNIFORM = np.full(5, 0.2)


SKEWED = np.array([0.02, 0.9, 0.03, 0.03, 0.02])


def _least_best(step: float, start: np.ndarray, rounds: int) -> float:
    """The best arm's least probability over the run."""
    logit, least = np.log(start), 1.0
    for _ in range(rounds):
        policy = np.exp(logit - logit.max())
        policy /= policy.sum()
        least = min(least, float(policy[0]))
        logit = logit + step * policy * (REWARDS - policy @ REWARDS)
    return least


def _supervised_time(p0: float, step: float, level: float, number: int) -> float:
    """Rounds to the level of gradient ascent on ln pi(first arm) over `number` logits."""
    logit, t = np.zeros(number), 0
    logit[0] = np.log(p0) - np.log((1 - p0) / (number - 1))
    while True:
        policy = np.exp(logit - logit.max())
        policy /= policy.sum()
        if policy[0] >= level:
            return float(t)
        logit, t = logit - step * policy, t + 1
        logit[0] += step


def _grpo_times(key: int) -> Measured:
    history = run(
        arms.Needle(log10_arms=100, p0=0.01),
        learners.SoftmaxPolicyGradient(step_size=2.0, signal="grpo", rollouts=8),
        rounds=150,
        seeds=200,
        key=key,
    )
    reached = [history.value >= level for level in (0.02, 0.5)]
    return of_seeds(np.stack([np.where(at.any(axis=1), at.argmax(axis=1), 150) for at in reached], axis=1))


CASES = (
    Case(
        entry="mei_2020_gap",
        instance="five arms, uniform start, step 2/5",
        x=GAP_ROUNDS,
        x_label="round t",
        y_label="value gap",
        predict=lambda f: f(rounds=10000, log_arms=np.log(5)).value[np.array(GAP_ROUNDS) - 1],
        measure=lambda key: exact(_exact_gaps(0.4, UNIFORM, GAP_ROUNDS)),
        relation="upper",
    ),
    Case(
        entry="mei_2020_gap",
        instance="five arms, the second best with .9 of the mass at the start, step 2/5",
        x=GAP_ROUNDS,
        x_label="round t",
        y_label="value gap",
        predict=lambda f: f(rounds=10000, smallest_probability=_least_best(0.4, SKEWED, 10000)).value[
            np.array(GAP_ROUNDS) - 1
        ],
        measure=lambda key: exact(_exact_gaps(0.4, SKEWED, GAP_ROUNDS)),
        relation="upper",
    ),
    Case(
        entry="mei_2020_gap",
        instance="5/(C^2 t) by hand, C = 1/20",
        x=GAP_ROUNDS,
        x_label="round t",
        y_label="the theorem's number",
        predict=lambda f: f(rounds=10000, log_arms=np.log(20)).uncapped[np.array(GAP_ROUNDS) - 1],
        measure=lambda key: exact([5 * 400 / t for t in GAP_ROUNDS]),
    ),
    Case(
        entry="exact_gradient_gap",
        instance="five arms, uniform start, step 2",
        x=GAP_ROUNDS,
        x_label="round t",
        y_label="value gap",
        predict=lambda f: f(rounds=10000, step_size=2.0, log_arms=np.log(5), start_gap=0.44).value[
            np.array(GAP_ROUNDS) - 1
        ],
        measure=lambda key: exact(_exact_gaps(2.0, UNIFORM, GAP_ROUNDS)),
        relation="upper",
    ),
    Case(
        entry="exact_gradient_gap",
        instance="the recursion d -> d - C^2 eta (1 - eta/4) d^2 as reciprocals by hand, eta = 1, C = 1/20, d = .5",
        x=GAP_ROUNDS,
        x_label="round t",
        y_label="the bound",
        predict=lambda f: f(rounds=10000, step_size=1.0, smallest_probability=0.05, start_gap=0.5).uncapped[
            np.array(GAP_ROUNDS) - 1
        ],
        measure=lambda key: exact([1 / (2 + 0.75 / 400 * (t - 1)) for t in GAP_ROUNDS]),
    ),
    Case(
        entry="cold_start_floor",
        instance="explore until success, p0 = .02, one to 32 rollouts",
        x=(1, 8, 32),
        x_label="rollouts a round",
        y_label="mean rounds before the first success, itself counted",
        predict=lambda f: [f(p0=0.02, rollouts=g) for g in (1, 8, 32)],
        measure=lambda key: exact([sum((1 - 0.02) ** (g * t) for t in range(3000)) for g in (1, 8, 32)]),
        tolerance=1e-9,
        why="The sum is cut after 3,000 rounds.",
    ),
    Case(
        entry="cold_start_floor",
        instance="GRPO with 8 rollouts, step 2, needle among 10^100 arms, p0 = .01",
        x=(0.02, 0.5),
        x_label="level of Pass@1",
        y_label="mean rounds to the level",
        predict=lambda f: [f(p0=0.01, rollouts=8)] * 2,
        measure=_grpo_times,
        relation="lower",
    ),
    Case(
        entry="log_likelihood_time",
        instance="gradient ascent on ln p over four logits, step .01",
        x=(1e-6, 1e-4, 1e-2),
        x_label="Pass@1 at the start",
        y_label="rounds to Pass@1 = .7",
        predict=lambda f: [f(p0=p0, step_size=0.01, level=0.7, kappa=4 / 3) for p0 in (1e-6, 1e-4, 1e-2)],
        measure=lambda key: exact([_supervised_time(p0, 0.01, 0.7, 4) for p0 in (1e-6, 1e-4, 1e-2)]),
        tolerance=0.01,
        why="A step of .01 is small, not infinitesimal, and rounds are whole.",
    ),
    Case(
        entry="log_likelihood_time",
        instance="gradient ascent on ln p over four logits, step 3",
        x=(1e-6, 1e-4, 1e-2),
        x_label="Pass@1 at the start",
        y_label="rounds to Pass@1 = .7",
        predict=lambda f: [f(p0=p0, step_size=3.0, level=0.7, kappa=4 / 3) for p0 in (1e-6, 1e-4, 1e-2)],
        measure=lambda key: exact([_supervised_time(p0, 3.0, 0.7, 4) for p0 in (1e-6, 1e-4, 1e-2)]),
        inside=False,
        why="A step of 3 is no gradient flow.",
    ),
    Case(
        entry="lattimore_step_size",
        instance="Theorem 1's expression by hand: gaps .2 and .5, k = 10, n = 1000; gaps .1 and 1, k = 100, n = 10^6",
        x=(1, 2),
        x_label="instance",
        y_label="largest step size",
        predict=lambda f: [
            f(smallest_gap=0.2, largest_gap=0.5, rounds=1000, log_arms=np.log(10)),
            f(smallest_gap=0.1, largest_gap=1.0, rounds=10**6, log_arms=np.log(100)),
        ],
        measure=lambda key: exact([0.04 / (60 * np.log(1e4)), 0.01 / (120 * np.log(1e8))]),
    ),
)
