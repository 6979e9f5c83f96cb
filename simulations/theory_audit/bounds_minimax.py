"""Audit of the bounds over all gaps: MOSS, the minimax lower bound, Bayesian regret."""

from __future__ import annotations

from typing import Any

import numpy as np

from bandit_rft import arms, learners
from simulations.theory_audit.bounds_runs import (
    ARMS,
    AT,
    GAPS,
    MEANS,
    NOISE,
    NOISY,
    REGRET,
    ROUNDS,
    TEXT,
    TIME,
    anytime_learner,
    formula,
    regret_curve,
    tuned_learner,
    upto,
)
from simulations.theory_audit.case import Case, Measured, joined

_TEN = (50, 200, 800)


def _worst(learner: Any, key: int) -> Measured:
    """The larger of the regrets on the two instances of the proof; the learners treat all arms alike."""
    found = []
    for rounds in _TEN:
        step = 0.5 * float(np.sqrt(9 / rounds))
        ends = [
            regret_curve(arms.Gaussian([step, other, *[0.0] * 8]), learner, (rounds,), 200, key)
            for other in (0.0, 2 * step)
        ]
        found.append(max(ends, key=lambda end: float(end.value[0])))
    return joined(found)


CASES = (
    formula(
        "moss_bound",
        f"the formula, {TEXT}",
        lambda f: f(MEANS, 2000).uncapped[upto(AT)],
        19.5 * np.sqrt(3 * TIME) + GAPS.sum(),
    ),
    tuned_learner("moss_bound", f"MOSS, {TEXT}", lambda f: f(MEANS, 1000), ARMS, learners.MOSS()),
    tuned_learner(
        "moss_bound",
        "MOSS, two arms, .9 and .1",
        lambda f: f([0.9, 0.1], 1000),
        arms.Bernoulli([0.9, 0.1]),
        learners.MOSS(),
    ),
    tuned_learner(
        "moss_bound",
        "MOSS, the same means in noise of standard deviation 3",
        lambda f: f(MEANS, 1000),
        NOISY,
        learners.MOSS(),
        inside=False,
        why=NOISE,
    ),
    formula(
        "minimax_lower",
        "the formula, seven arms, sigma = 2; nothing is said below six rounds",
        lambda f: np.append(f(7, 2000, 2.0).uncapped[upto(AT[1:])], f(7, 2000, 2.0).uncapped[4]),
        np.append(2 / 27 * np.sqrt(6 * TIME[1:]), 0.0),
    ),
    *(
        Case(
            entry="minimax_lower",
            instance=f"{type(learner).__name__}, the worse of the proof's two instances, ten arms",
            x=_TEN,
            x_label=ROUNDS,
            y_label=REGRET,
            predict=lambda f: f(10, 800).value[upto(_TEN)],
            measure=lambda key, learner=learner: _worst(learner, key),
            relation="lower",
        )
        for learner in (learners.MOSS(), learners.ThompsonGaussian())
    ),
    anytime_learner(
        "minimax_lower",
        "explore-then-commit, two arms, rewards 1 and 0 without noise",
        lambda f: f(2, 2000),
        arms.Deterministic([1.0, 0.0]),
        learners.ExploreThenCommit(pulls_per_arm=1),
        relation="lower",
        inside=False,
        why="Rewards without noise, and one instance that is not the worst.",
    ),
    formula(
        "thompson_bayes_bound",
        "the formula, seven arms",
        lambda f: f(7, 2000).uncapped[upto(AT)],
        np.sqrt(7 * TIME * np.log(7) / 2),
    ),
    anytime_learner(
        "thompson_bayes_bound",
        "Bayesian regret of Thompson sampling, ten Bernoulli arms of uniform means",
        lambda f: f(10, 2000),
        arms.Instances("uniform", arms=10),
        learners.ThompsonBeta(),
        y_label="Bayesian regret, in rewards",
    ),
    anytime_learner(
        "thompson_bayes_bound",
        "two Bernoulli arms of uniform means",
        lambda f: f(2, 2000),
        arms.Instances("uniform", arms=2),
        learners.ThompsonBeta(),
        y_label="Bayesian regret, in rewards",
    ),
    anytime_learner(
        "thompson_bayes_bound",
        "ten Bernoulli arms whose means are not uniform but .5 or .6",
        lambda f: f(10, 2000),
        arms.Instances(arms.TwoPoint(0.1, 0.6, 0.5), arms=10),
        learners.ThompsonBeta(),
        y_label="Bayesian regret, in rewards",
        inside=False,
        why="The learner's prior is not the one that instances are drawn from.",
    ),
)
