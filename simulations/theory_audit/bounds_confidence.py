"""Audit of the bounds of confidence-bound learners: UCB1, UCB(alpha), KL-UCB."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import rel_entr

from bandit_rft import arms, learners
from simulations.theory_audit.bounds_runs import (
    AT,
    GAPS,
    MEANS,
    MOVES,
    MOVING,
    NOISE,
    NOISY,
    TEXT,
    TIME,
    curve,
    formula,
    simulated,
    upto,
)
from simulations.theory_audit.case import exact

_UCB = (
    formula(
        "ucb1_bound",
        f"the formula, {TEXT}",
        lambda f: f(MEANS, 2000).uncapped[upto(AT)],
        np.sum(8 / GAPS) * np.log(TIME) + (1 + np.pi**2 / 3) * GAPS.sum(),
    ),
    curve(
        "ucb1_bound",
        f"UCB1, {TEXT}",
        lambda f: f(MEANS, 2000).value[upto(AT)],
        measure=simulated(learners.UCB1()),
        relation="upper",
    ),
    curve(
        "ucb1_bound",
        "UCB1, the same means in noise of standard deviation 3",
        lambda f: f(MEANS, 2000).value[upto(AT)],
        measure=simulated(learners.UCB1(), NOISY),
        relation="upper",
        inside=False,
        why=NOISE,
    ),
    formula(
        "ucb_alpha_bound",
        f"the formula at alpha = 2.5, {TEXT}",
        lambda f: f(MEANS, 2000, 2.5).uncapped[upto(AT)],
        np.sum(2 * 2.5 / GAPS) * np.log(TIME) + 2 * 2.5 / 0.5,
    ),
    curve(
        "ucb_alpha_bound",
        f"UCB(2.5), {TEXT}",
        lambda f: f(MEANS, 2000, 2.5).value[upto(AT)],
        measure=simulated(learners.UCB(alpha=2.5)),
        relation="upper",
    ),
    curve(
        "ucb_alpha_bound",
        "UCB(2.01), the same means moving about",
        lambda f: f(MEANS, 2000, 2.01).value[upto(AT)],
        measure=simulated(learners.UCB(alpha=2.01), MOVING),
        relation="upper",
        inside=False,
        why=MOVES,
    ),
)


_LEVELS = (2, 3, 100, 2000)


def _kl_ucb(c: float, means: tuple[float, float, float]) -> np.ndarray:
    """The bound at _LEVELS with levels of its own search, by relative entropies and plain sums."""
    best, *others = means

    def divergence(p: float, q: float) -> float:
        return float(rel_entr(p, q) + rel_entr(1 - p, 1 - q))

    def growth(time: np.ndarray) -> np.ndarray:
        return np.log(time) + c * np.log(np.maximum(np.log(time), 1.0))

    def integral(time: float) -> float:
        u = np.log(time)
        tail = (np.maximum(u, 1.0) ** (1 - c) - 1) / (1 - c) if c != 1 else np.log(np.maximum(u, 1.0))
        return float(min(u, 1.0) + tail)

    def pulls(levels: Any, worse: float, time: int) -> float:
        x, y = levels
        if not worse < x < y < best:
            return np.inf
        failures = float(np.exp(-growth(np.array(3.0)))) + integral(time - 1) - integral(3) if time > 3 else 0.0
        return (
            1
            + float(growth(np.array(time - 1.0))) / divergence(x, y)
            + 1 / np.expm1(divergence(x, worse))
            + failures / np.expm1(divergence(y, best))
        )

    total = np.zeros(len(_LEVELS))
    for worse in others:
        start = [worse + 0.25 * (best - worse), worse + 0.75 * (best - worse)]
        found = minimize(pulls, start, (worse, 2000), method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-10})
        total += (best - worse) * np.array([pulls(found.x, worse, time) for time in _LEVELS])
    return total


_KL_UCB = (
    *(
        curve(
            "kl_ucb_bound",
            f"the formula with c = {c:g}, Bernoulli {', '.join(f'{mean:g}' for mean in means)}",
            lambda f, c=c, means=means: f(means, 2000, c).uncapped[upto(_LEVELS)],
            measure=lambda key, c=c, means=means: exact(_kl_ucb(c, means)),
            x=_LEVELS,
            tolerance=1e-4,
            why="The levels are those of two searches, each at its own stopping rule.",
        )
        for c, means in ((0.0, MEANS), (3.0, MEANS), (0.0, (0.1, 0.095, 0.092)))
    ),
    formula(
        "kl_ucb_bound",
        "the formula, one arm pays always: pulls up to the first failure",
        lambda f: f([1.0, 0.5, 0.2], 2000, counts=[1, 2, 3]).uncapped[upto(AT)],
        np.full(4, 2 * 0.5 / 0.5 + 3 * 0.8 / 0.8),
    ),
    *(
        curve(
            "kl_ucb_bound",
            f"KL-UCB with c = {c:g}, {TEXT}",
            lambda f, c=c: f(MEANS, 2000, c).value[upto(AT)],
            measure=simulated(learners.KLUCB(c=c), seeds=60),
            relation="upper",
        )
        for c in (0.0, 3.0)
    ),
    curve(
        "kl_ucb_bound",
        "KL-UCB, means 1, .5 and .2",
        lambda f: f([1.0, 0.5, 0.2], 2000).value[upto(AT)],
        measure=simulated(learners.KLUCB(), arms.Bernoulli([1.0, 0.5, 0.2]), 60),
        relation="upper",
    ),
    curve(
        "kl_ucb_bound",
        "KL-UCB, the same means moving about",
        lambda f: f(MEANS, 2000).value[upto(AT)],
        measure=simulated(learners.KLUCB(), MOVING, 60),
        relation="upper",
        inside=False,
        why=MOVES,
    ),
)

CASES = (*_UCB, *_KL_UCB)
