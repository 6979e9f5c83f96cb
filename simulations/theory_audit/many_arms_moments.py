"""Audit of the spread of runs that differ only in the round of their first success, by enumeration."""

from __future__ import annotations

from typing import Any

import numpy as np

from simulations.theory_audit.case import Case, exact


def _enumerated(chance: list[float], value: Any, pulls: int = 1) -> dict[str, np.ndarray]:
    """Mean and spread of the regret, spread of the value, and the size of the value's moves, over runs that differ only
    in the round of their first success: `chance` of each such round (the last: of none), and the value [runs, rounds].
    """
    weight, value = np.asarray(chance)[:, None], np.asarray(value, dtype=np.float64)
    regret = np.cumsum(pulls * (1.0 - value), axis=1)
    mean = (weight * regret).sum(axis=0)
    centred = value - (weight * value).sum(axis=0)
    with np.errstate(invalid="ignore"):
        jump = (weight * np.abs(centred) ** 3).sum(axis=0) / (weight * centred**2).sum(axis=0)
    return {
        "regret": mean,
        "regret_sd": np.sqrt((weight * (regret - mean) ** 2).sum(axis=0)),
        "value_sd": np.sqrt((weight * centred**2).sum(axis=0)),
        "value_jump": jump,
    }


def _two_levels(p0: float, after: float, rounds: int, batch: int = 1, pulls: int = 1) -> dict[str, np.ndarray]:
    """`_enumerated` for a value p0 until the batch of the first success ends, `after` from then on."""
    group = 1.0 - (1.0 - p0) ** (batch * pulls)
    batches = -(-rounds // batch)
    chance = [group * (1.0 - group) ** b for b in range(batches)] + [(1.0 - group) ** batches]
    value = [np.where(np.arange(rounds) // batch > b, after, p0) for b in range(batches + 1)]
    return _enumerated(chance, value, pulls)


def _committed(p0: float, explore: int, rounds: int) -> dict[str, np.ndarray]:
    late = np.arange(rounds) >= explore
    bad = (1.0 - p0) ** explore
    return _enumerated([1.0 - bad, bad], [np.where(late, 1.0, p0), np.where(late, 0.0, p0)])


def _moments(entry: str, instance: str, at: tuple[int, ...], call: dict[str, Any], truth: Any) -> list[Case]:
    """The exact spread of a law against enumeration, at the rounds `at` counted from 0."""
    labels = {
        "regret": "regret, rewards",
        "regret_sd": "standard deviation of the regret",
        "value_sd": "standard deviation of the value",
        "value_jump": "E|v - Ev|^3 / Var v of the value",
    }
    return [
        Case(
            entry=entry,
            instance=f"{label}, {instance}, by enumeration",
            x=at,
            x_label="round",
            y_label=label,
            predict=lambda f, name=name: getattr(f(**call), name)[list(at)],
            measure=lambda key, name=name: exact(truth()[name][list(at)]),
        )
        for name, label in labels.items()
    ]


CASES = (
    *_moments(
        "explore_until_success",
        "p0 = .1, 3 rollouts",
        (1, 2, 4, 8),
        {"p0": 0.1, "rounds": 9, "rollouts": 3},
        lambda: _two_levels(0.1, 1.0, 9, pulls=3),
    ),
    *_moments(
        "epsilon_greedy_regret",
        "p0 = .1, epsilon = .3",
        (1, 4, 8, 16, 30),
        {"p0": 0.1, "rounds": 31, "epsilon": 0.3},
        lambda: _two_levels(0.1, 1.0 - 0.3 * 0.9, 31),
    ),
    *_moments(
        "batch_explore_regret",
        "p0 = .1, batches of 4",
        (5, 9, 14, 30),
        {"p0": 0.1, "rounds": 31, "batch": 4},
        lambda: _two_levels(0.1, 1.0, 31, batch=4),
    ),
    *_moments(
        "explore_then_commit_regret",
        "p0 = .1, 6 arms",
        (6, 8, 16),
        {"p0": 0.1, "rounds": 17, "explore": 6},
        lambda: _committed(0.1, 6, 17),
    ),
)
