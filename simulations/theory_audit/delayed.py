"""Audit of policy gradient with delayed rewards."""

from __future__ import annotations

import math

import numpy as np

from bandit_rft import arms, learners, run
from simulations.theory_audit.case import Case, Measured, exact, of_seeds

_AT = (100, 300, 500, 700, 1000)
_DELAY, _ARMS = 100, 50
_STEPS = (30, 60, 90, 150)


def _run(key: int, step_size: float, at: tuple[int, ...], delay: int) -> Measured:
    table = arms.Delayed(arms.Needle(log10_arms=float(np.log10(_ARMS)), p0=0.1), rounds=delay)
    learner = learners.SoftmaxPolicyGradient(step_size=step_size, rollouts=64)
    return of_seeds(run(table, learner, rounds=at[-1] + 1, seeds=200, key=key).value[:, list(at)])


def _every_logit(curve: str) -> Measured:
    """The expected update on every logit of a table: stale probabilities, scores of the day."""
    logit = np.log(np.r_[0.1, np.full(4, 0.9 / 4)])
    past, value = [], []
    for t in range(151):
        policy = np.exp(logit) / np.exp(logit).sum()
        past.append(policy)
        value.append(policy[0])
        if t >= 10:
            # Σ over arms of stale probability x reward x (indicator - policy): only the first arm is rewarded.
            logit = logit + 0.5 * past[t - 10][0] * (np.eye(5)[0] - policy)
    found = np.asarray(value) if curve == "value" else 3 * np.cumsum(1 - np.asarray(value))
    return exact(found[list(_STEPS)])


def _mean_field(p0: float, step: float, delay: int, at: tuple[int, ...]) -> Measured:
    """The expected update against infinitely many wrong arms, round by round in plain floats."""
    logit = [math.log(p0 / (1 - p0))] * (delay + 1)
    while len(logit) <= at[-1]:
        logit.append(logit[-1] + step / (1 + math.exp(-logit[-1 - delay])) / (1 + math.exp(logit[-1])))
    return exact([1 / (1 + math.exp(-logit[t])) for t in at])


_FAR = (300_095, 480_373, 499_873, 520_164, 599_995, 1_400_000)  # among those shown

CASES = (
    Case(
        entry="pg_delayed",
        instance="expected updates, 1.4 million rounds, 3000 rounds late, p0 = 1e-4, step .02",
        x=_FAR,
        x_label="round",
        y_label="Pass@1",
        predict=lambda f: (lambda found: found.value[np.searchsorted(found.at, _FAR)])(
            f(1e-4, 0.02, _FAR[-1] + 1, 3000)
        ),
        measure=lambda key: _mean_field(1e-4, 0.02, 3000, _FAR),
        tolerance=0.003,
        why="Beyond a million rounds the entry takes the flow in adaptive steps.",
    ),
    Case(
        entry="pg_delayed",
        instance="groups of 64, 50 arms, p0 = .1, step .05, 100 rounds late",
        x=_AT,
        x_label="round",
        y_label="Pass@1",
        predict=lambda f: f(0.1, 0.05, 1001, _DELAY, np.log(_ARMS)).value[list(_AT)],
        measure=lambda key: _run(key, 0.05, _AT, _DELAY),
        tolerance=0.005,
        why="Groups of 64 leave a little of the sampling noise.",
    ),
    *(
        Case(
            entry="pg_delayed",
            instance=f"expected updates on every logit, five arms, ten rounds late: {text}",
            x=_STEPS,
            x_label="round",
            y_label=text,
            predict=lambda f, curve=curve: getattr(f(0.1, 0.5, 151, 10, np.log(5), rollouts=3), curve)[list(_STEPS)],
            measure=lambda key, curve=curve: _every_logit(curve),
        )
        for curve, text in (("value", "Pass@1"), ("regret", "regret of three pulls a round"))
    ),
    Case(
        entry="pg_delayed",
        instance="groups of 64 as if heard at once",
        x=_AT,
        x_label="round",
        y_label="Pass@1",
        predict=lambda f: f(0.1, 0.05, 1001, 0, np.log(_ARMS)).value[list(_AT)],
        measure=lambda key: _run(key, 0.05, _AT, _DELAY),
        inside=False,
        why="The delay is left out.",
    ),
)
