"""Audit of the noise of updates from windows of scores and from dead groups drawn again, by enumeration."""

from __future__ import annotations

import itertools

import numpy as np

from simulations.theory_audit.case import Case, exact
from simulations.theory_audit.explicit_groups import all_updates, symmetric_policy
from simulations.theory_audit.explicit_windows import PROBABILITIES, of_window


def _window_moments(p: float, past: float) -> np.ndarray:
    """(|E u|^2, E |u|^2) of GRPO, G = 2 of W = 5, on 2 of 5 arms: every pair of arms and every older score."""
    policy = symmetric_policy(p, 2, 5)
    mean, square = np.zeros(5), 0.0
    for older in itertools.product((0.0, 1.0), repeat=3):
        before = np.prod(np.where(np.asarray(older) > 0, past, 1 - past))
        for pair in itertools.product(range(5), repeat=2):
            chosen = np.asarray(pair)
            scores = np.concatenate([chosen < 2, older]).astype(float)
            signals = of_window("grpo", scores, 2, eps=0.1)
            update = np.mean(signals[:, None] * (np.eye(5)[chosen] - policy), axis=0)
            weight = before * np.prod(policy[chosen])
            mean += weight * update
            square += weight * float(update @ update)
    return np.array([mean @ mean, square])


def _redrawn_moments(p: float, most: int) -> np.ndarray:
    """(|E u|^2, E |u|^2) of GRPO, G = 3, on 2 of 5 arms, where a group without an update is drawn again."""
    weight, update = all_updates("grpo", symmetric_policy(p, 2, 5), np.arange(5) < 2, 3)
    norm = np.sum(update**2, axis=1)
    alive = norm > 1e-20
    mean, square, reached = np.zeros(5), 0.0, 1.0
    for _ in range(most + 1):
        mean += reached * (weight[alive] @ update[alive])
        square += reached * (weight[alive] @ norm[alive])
        reached *= weight[~alive].sum()
    return np.array([mean @ mean, square])


def _snr2(p: float, group: int, window: int | None, past: float, most: int) -> float:
    """|E u|^2 / E |u|^2 of GRPO by every vector of rewards, from mean products of scores of norm 1; kappa .3."""
    inner = 0.3 * np.array([[p * p, -p * (1 - p)], [-p * (1 - p), (1 - p) ** 2]])
    mean, square, dead = np.zeros(2), 0.0, 0.0
    older = 0 if window is None else window - group
    for outcome in itertools.product((0, 1), repeat=group + older):
        rewards, scores = np.asarray(outcome[:group]), np.asarray(outcome, float)
        chance = np.where(np.arange(group + older) < group, p, past)
        weight = np.prod(np.where(scores > 0, chance, 1 - chance))
        signal = of_window("grpo", scores, group) / group
        dead += weight * (np.ptp(rewards) == 0)
        products = inner[np.ix_(rewards, rewards)]
        np.fill_diagonal(products, 1.0)
        square += weight * signal @ products @ signal
        mean += weight * np.bincount(rewards, signal, 2)
    drawn = sum(dead**n for n in range(most + 1))
    return float(drawn * (mean @ inner @ mean) / square)


def _moment_cases() -> list[Case]:
    cases, names = [], ("squared norm of the mean update", "mean squared norm of the update")
    for which in (0, 1):
        cases += [
            Case(
                entry="update_second_moment",
                instance=f"grpo, eps 0.1, G = 2, W = 5, older chance .6, 2 of 5 arms enumerated: {names[which]}",
                x=PROBABILITIES,
                x_label="p",
                y_label=names[which],
                predict=lambda f, which=which: [
                    f("grpo", p, 2, 2, np.log(5), eps=0.1, window=5, past=0.6)[which] for p in PROBABILITIES
                ],
                measure=lambda key, which=which: exact([_window_moments(p, 0.6)[which] for p in PROBABILITIES]),
            ),
            Case(
                entry="update_second_moment",
                instance=f"grpo, G = 3, dead groups again up to 2 times, 2 of 5 arms enumerated: {names[which]}",
                x=PROBABILITIES,
                x_label="p",
                y_label=names[which],
                predict=lambda f, which=which: [
                    f("grpo", p, 3, 2, np.log(5), dynamic_sampling=2)[which] for p in PROBABILITIES
                ],
                measure=lambda key, which=which: exact([_redrawn_moments(p, 2)[which] for p in PROBABILITIES]),
            ),
        ]
    return cases


CASES: tuple[Case, ...] = (
    *_moment_cases(),
    Case(
        entry="update_second_moment",
        instance="grpo, eps 0.1, G = 2, W = 5, the older scores' chance of .6 taken for today's",
        x=PROBABILITIES,
        x_label="p",
        y_label="mean squared norm of the update",
        predict=lambda f: [f("grpo", p, 2, 2, np.log(5), eps=0.1, window=5)[1] for p in PROBABILITIES],
        measure=lambda key: exact([_window_moments(p, 0.6)[1] for p in PROBABILITIES]),
        inside=False,
        why="The policy has moved since the older scores were drawn: their chance must be given.",
    ),
    Case(
        entry="snr2",
        instance="grpo, G = 2, W = 6, older scores of chance .4, every vector of rewards",
        x=PROBABILITIES,
        x_label="p",
        y_label="squared signal-to-noise ratio",
        predict=lambda f: [f(p, 0.3, signal="grpo", rollouts=2, window=6, past=0.4) for p in PROBABILITIES],
        measure=lambda key: exact([_snr2(p, 2, 6, 0.4, 0) for p in PROBABILITIES]),
    ),
    Case(
        entry="snr2",
        instance="grpo, G = 4, dead groups again up to 3 times, every vector of rewards",
        x=PROBABILITIES,
        x_label="p",
        y_label="squared signal-to-noise ratio",
        predict=lambda f: [f(p, 0.3, signal="grpo", rollouts=4, dynamic_sampling=3) for p in PROBABILITIES],
        measure=lambda key: exact([_snr2(p, 4, None, 0.5, 3) for p in PROBABILITIES]),
    ),
)
