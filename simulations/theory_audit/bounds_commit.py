"""Audit of the bounds of learners that settle on an arm: successive elimination, explore-then-commit."""

from __future__ import annotations

import numpy as np

from bandit_rft import arms, learners
from simulations.theory_audit.bounds_runs import (
    AT,
    GAPS,
    MEANS,
    RUNS,
    TEXT,
    TIME,
    curve,
    formula,
    regret_of_runs,
    simulated,
    upto,
)

_ELIMINATION = (
    formula(
        "successive_elimination_bound",
        f"the formula, {TEXT}",
        lambda f: f(MEANS, 2000).uncapped[upto(AT)],
        np.sum(32 / GAPS) * np.log(TIME) + GAPS.sum() + 2 * 3 * 0.4 / TIME**2,
    ),
    curve(
        "successive_elimination_bound",
        "successive elimination, Bernoulli .95 and .05",
        lambda f: f([0.95, 0.05], 1000).value[upto(RUNS)],
        measure=lambda key: regret_of_runs(
            arms.Bernoulli([0.95, 0.05]), lambda _: learners.SuccessiveElimination(), RUNS, 100, key
        ),
        x=RUNS,
        relation="upper",
    ),
)

_NORMAL = (0.5, 0.0, -0.2)
_BELOW = np.array([0.5, 0.7])


def _explored(pulls: int, sigma: float) -> np.ndarray:
    wrong = np.exp(-pulls * _BELOW**2 / (4 * sigma**2))
    return pulls * _BELOW.sum() + np.maximum(TIME - pulls * 3, 0) * np.sum(_BELOW * wrong)


def _tuned(rounds: int) -> learners.ExploreThenCommit:
    unit = 0.5**2 / 4
    return learners.ExploreThenCommit(pulls_per_arm=max(1, int(np.ceil(np.log(rounds * unit) / unit))))


_COMMIT = (
    *(
        formula(
            "explore_then_commit_bound",
            f"the formula, m = 40 and sigma = {sigma:g}",
            lambda f, sigma=sigma: f(_NORMAL, 2000, 40, sigma).uncapped[upto(AT)],
            _explored(40, sigma),
        )
        for sigma in (1.0, 0.5)
    ),
    curve(
        "explore_then_commit_bound",
        "m = 20, normal rewards of means .5, 0 and -.2",
        lambda f: f(_NORMAL, 2000, 20).value[upto(AT)],
        measure=simulated(learners.ExploreThenCommit(pulls_per_arm=20), arms.Gaussian(_NORMAL), 400),
        relation="upper",
    ),
    curve(
        "explore_then_commit_bound",
        "m = 40, the same in noise of standard deviation 4",
        lambda f: f(_NORMAL, 2000, 40).value[upto(AT)],
        measure=simulated(learners.ExploreThenCommit(pulls_per_arm=40), arms.Gaussian(_NORMAL, sigma=4.0), 400),
        relation="upper",
        inside=False,
        why="Noise four times as large as the sigma that the bound was given.",
    ),
    formula(
        "tuned_explore_then_commit_bound",
        "the formula, sigma = 2",
        lambda f: f(1.0, 2000, 2.0).uncapped[upto(AT)],
        1.0 + 4 * 4.0 / 1.0 * (1 + np.log(TIME / 16)),
    ),
    curve(
        "tuned_explore_then_commit_bound",
        "normal rewards, gap .5, each horizon with its own m",
        lambda f: f(0.5, 1000).value[upto(RUNS)],
        measure=lambda key: regret_of_runs(arms.Gaussian([0.5, 0.0]), _tuned, RUNS, 400, key),
        x=RUNS,
        relation="upper",
    ),
    curve(
        "tuned_explore_then_commit_bound",
        "the same m in noise of standard deviation 4",
        lambda f: f(0.5, 1000).value[upto(RUNS)],
        measure=lambda key: regret_of_runs(arms.Gaussian([0.5, 0.0], sigma=4.0), _tuned, RUNS, 400, key),
        x=RUNS,
        relation="upper",
        inside=False,
        why="Noise four times as large as the learner was tuned to.",
    ),
)

CASES = (*_ELIMINATION, *_COMMIT)
