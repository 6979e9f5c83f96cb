"""Audit of exact gradients with several correct arms: their flow, and its instability among them."""

from __future__ import annotations

from typing import Any

import numpy as np

from bandit_rft import arms, learners, run
from simulations.theory_audit.case import Case, exact, of_seeds

# Three correct arms of which one is ahead, and a wrong arm that holds half the mass.
FLOW_POLICY = np.concatenate([[0.04], [0.03] * 2, [0.5], np.full(16, 0.4 / 16)])


FLOW_CORRECT = np.arange(20) < 3


FLOW_CLASSES: dict[str, Any] = {
    "masses": [0.04, 0.06, 0.5, 0.4],
    "log_counts": np.log([1, 2, 1, 16]),
    "correct": [True, True, False, False],
}


FLOW_ROUNDS = (500, 1000, 2000, 4000)


REGRET_ROUNDS = (1, 10, 100, 1000, 4000)


ODE_SAMPLED = (20, 40, 80, 160)


def _flow(step: float, rounds: tuple[int, ...], measured: str) -> np.ndarray:
    """Pass@1, regret or the leading arm's share after exact gradient ascent on all 20 logits."""
    logit, lost, found = np.log(FLOW_POLICY), 0.0, []
    for t in range(max(rounds) + 1):
        policy = np.exp(logit - logit.max())
        policy /= policy.sum()
        p = policy[FLOW_CORRECT].sum()
        lost += 1 - p
        if t in rounds:
            found.append({"value": p, "regret": lost}[measured])
        logit = logit + step * policy * (FLOW_CORRECT - p)
    return np.asarray(found)


def _drift_apart(step: float, least: float) -> float:
    """d ln(pi_0/pi_1)/dt along the numerical gradient of p, with pi_0, pi_1 multiplied by `least` at first."""
    policy = FLOW_POLICY.copy()
    policy[:2] *= least
    logit = np.log(policy)

    def value(at: np.ndarray) -> float:
        return float(np.exp(at)[FLOW_CORRECT].sum() / np.exp(at).sum())

    nudge = 1e-5 * np.eye(20)[:2]
    gradient = [(value(logit + d) - value(logit - d)) / 2e-5 for d in nudge]
    return step * (gradient[0] - gradient[1])


CASES = (
    Case(
        entry="pg_ode_general",
        instance="exact gradients, 3 of 20 arms correct, one of them ahead, step .02",
        x=FLOW_ROUNDS,
        x_label="round",
        y_label="Pass@1",
        predict=lambda f: f(**FLOW_CLASSES, step_size=0.02, rounds=4001).value[list(FLOW_ROUNDS)],
        measure=lambda key: exact(_flow(0.02, FLOW_ROUNDS, "value")),
        tolerance=0.01,
        why="A step of .02 is small, not infinitesimal.",
    ),
    Case(
        entry="pg_ode_general",
        instance="exact gradients, 3 of 20 arms correct, one of them ahead, step .05",
        x=REGRET_ROUNDS,
        x_label="round",
        y_label="cumulative regret",
        predict=lambda f: f(**FLOW_CLASSES, step_size=0.05, rounds=4001).regret[list(REGRET_ROUNDS)],
        measure=lambda key: exact(_flow(0.05, REGRET_ROUNDS, "regret")),
        tolerance=0.01,
        why="A step of .05 is small, not infinitesimal.",
    ),
    Case(
        entry="pg_ode_general",
        instance="one rollout a round, 3 of 20 arms correct, one of them ahead, step .5",
        x=ODE_SAMPLED,
        x_label="round",
        y_label="Pass@1",
        predict=lambda f: f(**FLOW_CLASSES, step_size=0.5, rounds=161).value[list(ODE_SAMPLED)],
        measure=lambda key: of_seeds(
            run(
                arms.Bernoulli(FLOW_CORRECT.astype(float).tolist(), FLOW_POLICY.tolist()),
                learners.SoftmaxPolicyGradient(step_size=0.5),
                rounds=161,
                seeds=1000,
                key=key,
            ).value[:, list(ODE_SAMPLED)]
        ),
        inside=False,
        why="Sampled rollouts: the mean over seeds is not the flow's.",
    ),
    Case(
        entry="path_instability",
        instance="numerical gradient of p over 20 logits, step .3, two correct arms at 1, 1/2 and 1/10 of a start",
        x=(1.0, 0.5, 0.1),
        x_label="factor of both arms' probability before normalisation",
        y_label="d ln(ratio)/dt",
        predict=lambda f: [
            f(first=0.04 * c / whole, second=0.03 * c / whole, p=(0.07 * c + 0.03) / whole, step_size=0.3)
            for c, whole in ((c, 0.93 + 0.07 * c) for c in (1.0, 0.5, 0.1))
        ],
        measure=lambda key: exact([_drift_apart(0.3, c) for c in (1.0, 0.5, 0.1)]),
        tolerance=1e-6,
        why="Central differences.",
    ),
)
