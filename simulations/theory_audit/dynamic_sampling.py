"""Audit of dynamic sampling: groups drawn again, in real runs and enumerated."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from bandit_rft import arms, learners, run
from simulations.theory_audit.case import Case, Measured, exact, joined, of_seeds
from simulations.theory_audit.explicit_groups import signal_of

PROBABILITIES = (0.1, 0.3, 0.5, 0.8)


def _first_rounds(key: int, **learner: Any) -> tuple[Measured, Measured]:
    """(drift of logit p over the raw reward's, groups drawn) in one real round on two arms, at PROBABILITIES. There
    z = θ_1 - θ_2 moves by the update itself, so that nothing is linearised; κ = 2.
    """
    drifts, groups = [], []
    for place, p in enumerate(PROBABILITIES):
        history = run(
            arms.Bernoulli((1.0, 0.0), base_mass=(p, 1 - p)),
            learners.SoftmaxPolicyGradient(step_size=1.0, **learner),
            rounds=2,
            seeds=5000,
            key=key + place,
        )
        logit = np.log(history.value) - np.log1p(-history.value)
        drifts.append(of_seeds((logit[:, 1] - logit[:, 0]) / (2 * p * (1 - p))))
        groups.append(of_seeds(history.metrics["pulls"][:, 0] / learner["rollouts"]))
    return joined(drifts), joined(groups)


def _enumerated(signal: str, p: float, group: int, most: int | None, **options: Any) -> float:
    """Drift over the raw reward's, over every outcome of all groups of a round; None: of a group given it is alive."""
    outcomes = []
    for rewards in itertools.product((0.0, 1.0), repeat=group):
        scores = np.asarray(rewards)
        move = np.mean(signal_of(signal, scores, **options) * (scores - p))
        outcomes.append((np.prod(np.where(scores > 0, p, 1 - p)), float(np.ptp(scores)) > 0, move))
    if most is None:
        alive = [(chance, move) for chance, living, move in outcomes if living]
        drift = sum(chance * move for chance, move in alive) / sum(chance for chance, _ in alive)
        return float(drift / (p * (1 - p)))
    drift = 0.0
    for groups in itertools.product(outcomes, repeat=most + 1):
        last = next((move for _, living, move in groups if living), groups[-1][2])
        drift += np.prod([chance for chance, _, _ in groups]) * last
    return float(drift / (p * (1 - p)))


def _run_case(most: int, **learner: Any) -> Case:
    signal, group = learner["signal"], learner["rollouts"]
    return Case(
        entry="dynamic_sampling_drift",
        instance=f"{signal}, G = {group}, up to {most} further draws, one real round on two arms",
        x=PROBABILITIES,
        x_label="p",
        y_label="drift over that of the raw reward",
        predict=lambda f: f(signal, np.asarray(PROBABILITIES), group, most),
        measure=lambda key: _first_rounds(key, dynamic_sampling=most, eps=0.0, **learner)[0],
    )


def _enumerated_case(signal: str, group: int, most: int | None, **options: Any) -> Case:
    shown = "".join(f", {name} {value:g}" for name, value in options.items())
    draws = "drawn until alive" if most is None else f"up to {most} further draws"
    return Case(
        entry="dynamic_sampling_drift",
        instance=f"{signal}{shown}, G = {group}, {draws}, every outcome enumerated",
        x=PROBABILITIES,
        x_label="p",
        y_label="drift over that of the raw reward",
        predict=lambda f: f(signal, np.asarray(PROBABILITIES), group, most, **options),
        measure=lambda key: exact([_enumerated(signal, p, group, most, **options) for p in PROBABILITIES]),
    )


CASES = (
    _run_case(2, signal="grpo", rollouts=4),
    _run_case(200, signal="mean_baseline", rollouts=3),
    Case(
        entry="dynamic_sampling_drift",
        instance="groups of 4 drawn in one real round of rloo with up to 3 further draws",
        x=PROBABILITIES,
        x_label="p",
        y_label="groups drawn",
        predict=lambda f: f("rloo", np.asarray(PROBABILITIES), 4, 3),
        measure=lambda key: _first_rounds(key, dynamic_sampling=3, signal="rloo", rollouts=4)[1],
    ),
    _enumerated_case("grpo", 3, 2, ddof=0, eps=0.1),
    _enumerated_case("grpo", 5, None),
    _enumerated_case("mean_baseline", 4, 0),
    _enumerated_case("maxrl_centred", 2, 3),
    Case(
        entry="dynamic_sampling_drift",
        instance="grpo, G = 4, one further draw, held against draws without end",
        x=PROBABILITIES,
        x_label="p",
        y_label="drift over that of the raw reward",
        predict=lambda f: f("grpo", np.asarray(PROBABILITIES), 4),
        measure=lambda key: _first_rounds(key, dynamic_sampling=1, signal="grpo", rollouts=4, eps=0.0)[0],
        inside=False,
        why="Draws until a group is alive were predicted, and a round gave up after one further draw.",
    ),
)
