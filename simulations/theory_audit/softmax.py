"""Audit of section A, one correct arm: the jump chain and the flow of exact gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bandit_rft import History, arms, learners, run
from simulations.theory_audit.case import Case, Measured, by_jackknife, exact, of_seeds

ROUNDS = (25, 50, 100, 200, 400)


def _needle(key: int, step_size: float, **needle: Any) -> History:
    learner = learners.SoftmaxPolicyGradient(step_size=step_size)
    return run(arms.Needle(**needle), learner, rounds=401, seeds=4000, key=key)


def _value(key: int, **needle: Any) -> Measured:
    return of_seeds(_needle(key, 0.5, **needle).value[:, list(ROUNDS)])


def _jump(samples: np.ndarray) -> np.ndarray:
    centred = np.abs(samples - samples.mean(axis=0))
    return np.mean(centred**3, axis=0) / np.mean(centred**2, axis=0)


def _exact_gradient(step_size: float, optimal: int, number: int, p0: float, rounds: Sequence[int]) -> np.ndarray:
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


def _hitting(key: int) -> Measured:
    learner = learners.SoftmaxPolicyGradient(step_size=0.5)
    history = run(arms.Needle(log10_arms=100, p0=0.05), learner, rounds=1500, seeds=4000, key=key)
    levels = (0.1, 0.3, 0.5, 0.9)
    reached = np.stack([history.value >= level for level in levels], axis=-1)
    assert reached[:, -1].all(), "a seed has not arrived: give more rounds"
    return of_seeds(reached.argmax(axis=1))


FAR = (100_000, 1_000_000, 3_000_000, 10_000_000, 30_000_000)


def _far_values(p0: float, step: float, seeds: int, key: int) -> Measured:
    """Pass@1 at far rounds, drawn success by success; a run that has reached .9999 counts as 1."""
    generator = np.random.default_rng(key)
    rounds, elapsed = np.asarray(FAR), np.zeros(seeds)
    z, value = np.log(p0 / (1 - p0)), np.zeros((seeds, len(FAR)))
    while (p := 1 / (1 + np.exp(-z))) < 0.9999:
        value[elapsed[:, None] <= rounds] = p
        elapsed += generator.geometric(p, size=seeds)
        z += step * (1 - p)
        value = np.where(elapsed[:, None] <= rounds, 1.0, value)
    return of_seeds(value)


CASES = (
    Case(
        entry="pg_jump_single",
        instance="thirty million rounds, very many arms, p0 = 1e-6, step .5: success by success",
        x=FAR,
        x_label="round",
        y_label="Pass@1",
        predict=lambda f: (lambda found: np.interp(FAR, found.at, found.value))(f(1e-6, 0.5, FAR[-1] + 1)),
        measure=lambda key: _far_values(1e-6, 0.5, 4000, key),
        tolerance=0.001,
        why="Beyond a million rounds some are shown only; a run at .9999 counts as 1.",
    ),
    Case(
        entry="pg_jump_single",
        instance="needle among 10^100 arms, p0 = .05, step .5",
        x=ROUNDS,
        x_label="round",
        y_label="Pass@1",
        predict=lambda f: f(p0=0.05, step_size=0.5, rounds=401, log_arms=100 * np.log(10)).value[list(ROUNDS)],
        measure=lambda key: _value(key, log10_arms=100, p0=0.05),
    ),
    Case(
        entry="pg_jump_single",
        instance="cumulative regret, needle among 50 arms, p0 = .1, step 1",
        x=ROUNDS,
        x_label="round",
        y_label="pseudo-regret (rewards)",
        predict=lambda f: f(p0=0.1, step_size=1.0, rounds=401, log_arms=np.log(50)).regret[list(ROUNDS)],
        measure=lambda key: of_seeds(_needle(key, 1.0, log10_arms=np.log10(50), p0=0.1).regret()[:, list(ROUNDS)]),
    ),
    Case(
        entry="pg_jump_single",
        instance="standard deviation of Pass@1 over seeds, p0 = .05, step .5",
        x=ROUNDS,
        x_label="round",
        y_label="sd of Pass@1",
        predict=lambda f: f(p0=0.05, step_size=0.5, rounds=401).value_sd[list(ROUNDS)],
        measure=lambda key: by_jackknife(
            _needle(key, 0.5, log10_arms=100, p0=0.05).value[:, list(ROUNDS)], lambda v: v.std(axis=0)
        ),
    ),
    Case(
        entry="pg_jump_single",
        instance="standard deviation of the regret over seeds, p0 = .05, step .5",
        x=ROUNDS,
        x_label="round",
        y_label="sd of the pseudo-regret",
        predict=lambda f: f(p0=0.05, step_size=0.5, rounds=401).regret_sd[list(ROUNDS)],
        measure=lambda key: by_jackknife(
            _needle(key, 0.5, log10_arms=100, p0=0.05).regret()[:, list(ROUNDS)], lambda r: r.std(axis=0)
        ),
    ),
    Case(
        entry="pg_jump_single",
        instance="E|v - Ev|^3 / Var v over seeds, p0 = .05, step .5",
        x=ROUNDS[:3],
        x_label="round",
        y_label="third absolute moment over variance",
        predict=lambda f: f(p0=0.05, step_size=0.5, rounds=401).value_jump[list(ROUNDS[:3])],
        measure=lambda key: by_jackknife(_needle(key, 0.5, log10_arms=100, p0=0.05).value[:, list(ROUNDS[:3])], _jump),
    ),
    Case(
        entry="pg_jump_single",
        instance="mean rounds to reach a level, p0 = .05, step .5",
        x=(0.1, 0.3, 0.5, 0.9),
        x_label="level of Pass@1",
        y_label="mean hitting time (rounds)",
        predict=lambda f: [f(p0=0.05, step_size=0.5, rounds=2).mean_hitting_time(v) for v in (0.1, 0.3, 0.5, 0.9)],
        measure=_hitting,
    ),
    Case(
        entry="pg_jump_single",
        instance="two arms, p0 = .5, step .03",
        x=ROUNDS,
        x_label="round",
        y_label="Pass@1",
        predict=lambda f: f(p0=0.5, step_size=0.03, rounds=401, log_arms=np.log(2)).value[list(ROUNDS)],
        measure=lambda key: of_seeds(_needle(key, 0.03, log10_arms=np.log10(2), p0=0.5).value[:, list(ROUNDS)]),
    ),
    Case(
        entry="pg_jump_single",
        instance="ten correct arms among 10^3, p0 = .05, step .5",
        x=ROUNDS,
        x_label="round",
        y_label="Pass@1",
        predict=lambda f: f(p0=0.05, step_size=0.5, rounds=401, log_arms=3 * np.log(10)).value[list(ROUNDS)],
        measure=lambda key: _value(key, log10_arms=3, optimal=10, p0=0.05),
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
        instance="cumulative regret of exact gradients, 3 of 20 arms correct, p0 = .1, step .02",
        x=(0, 100, 1000, 4000),
        x_label="round",
        y_label="pseudo-regret (rewards)",
        predict=lambda f: f(p0=0.1, step_size=0.02, rounds=4001, optimal=3, log_arms=np.log(20)).regret[
            [0, 100, 1000, 4000]
        ],
        measure=lambda key: exact(np.cumsum(1 - _exact_gradient(0.02, 3, 20, 0.1, range(4001)))[[0, 100, 1000, 4000]]),
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
        measure=lambda key: _value(key, log10_arms=100, p0=0.05),
        inside=False,
        why="Sampled rollouts: the mean over seeds is that of the jump chain, not the flow's.",
    ),
)
