"""Audit of section A, one correct arm: the jump chain and the flow of exact gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

from bandit_rft import arms, learners, run
from simulations.theory_audit.case import Case, Measured, exact, of_seeds

ROUNDS = (25, 50, 100, 200, 400)


def _needle_value(key: int, step_size: float, **needle: Any) -> Measured:
    history = run(
        arms.Needle(**needle), learners.SoftmaxPolicyGradient(step_size=step_size), rounds=401, seeds=4000, key=key
    )
    return of_seeds(history.value[:, list(ROUNDS)])


def _exact_gradient(step_size: float, optimal: int, number: int, p0: float, rounds: tuple[int, ...]) -> np.ndarray:
    """Pass@1 after exact gradient ascent on every logit of a table; the loop that the flow stands for."""
    logit = np.zeros(number)
    logit[:optimal] = np.log(p0 / optimal) - np.log((1 - p0) / (number - optimal))
    reward, found = np.arange(number) < optimal, []
    for t in range(max(rounds) + 1):
        policy = np.exp(logit - logit.max())
        policy /= policy.sum()
        p = policy[:optimal].sum()
        if t in rounds:
            found.append(p)
        logit += step_size * policy * (reward - p)
    return np.asarray(found)


CASES = (
    Case(
        entry="pg_jump_single",
        instance="needle among 10^100 arms, p0 = .05, step .5",
        x=ROUNDS,
        x_label="round",
        y_label="Pass@1",
        predict=lambda f: f(p0=0.05, step_size=0.5, rounds=401, log_arms=100 * np.log(10)).value[list(ROUNDS)],
        measure=lambda key: _needle_value(key, 0.5, log10_arms=100, p0=0.05),
    ),
    Case(
        entry="pg_jump_single",
        instance="ten correct arms among 10^3, p0 = .05, step .5",
        x=ROUNDS,
        x_label="round",
        y_label="Pass@1",
        predict=lambda f: f(p0=0.05, step_size=0.5, rounds=401, log_arms=3 * np.log(10)).value[list(ROUNDS)],
        measure=lambda key: _needle_value(key, 0.5, log10_arms=3, optimal=10, p0=0.05),
        inside=False,
        why="Ten correct arms share the successes; the law is for one.",
    ),
    Case(
        entry="pg_ode",
        instance="exact gradients, 3 of 20 arms correct, p0 = .1, step .02",
        x=(500, 1000, 2000, 4000),
        x_label="round",
        y_label="Pass@1",
        predict=lambda f: f(p0=0.1, step_size=0.02, rounds=4001, optimal=3, log_arms=np.log(20)).value[
            [500, 1000, 2000, 4000]
        ],
        measure=lambda key: exact(_exact_gradient(0.02, 3, 20, 0.1, (500, 1000, 2000, 4000))),
        tolerance=0.005,
        why="A step of .02 is small, not infinitesimal.",
    ),
    Case(
        entry="pg_ode",
        instance="one rollout a round, needle among 10^100 arms, p0 = .05, step .5",
        x=ROUNDS,
        x_label="round",
        y_label="Pass@1",
        predict=lambda f: f(p0=0.05, step_size=0.5, rounds=401, log_arms=100 * np.log(10)).value[list(ROUNDS)],
        measure=lambda key: _needle_value(key, 0.5, log10_arms=100, p0=0.05),
        inside=False,
        why="Sampled rollouts: the mean over seeds is that of the jump chain, not the flow's.",
    ),
)
