"""Audit of section C, sweeps over fresh arms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bandit_rft import arms, learners, run
from simulations.theory_audit.bounds_runs import REGRET, ROUNDS, regret_curve, upto
from simulations.theory_audit.case import Case, Measured, of_seeds

_EARLY = (100, 400, 700, 1000)
_HALF = (50, 200, 500)
_LATE = (100, 200, 400)
_CLASSES = arms.Classes(log_counts=[np.log(100), np.log(400)], means=[0.8, 0.3])


def _sweep(learner: Any, table: Any, at: Sequence[int], seeds: int = 200) -> Callable[[int], Measured]:
    return lambda key: regret_curve(table, learner, at, seeds, key)


def _value(key: int) -> Measured:
    table = arms.Needle(log10_arms=3, optimal=100)
    history = run(table, learners.SuccessiveElimination(), rounds=401, seeds=400, key=key)
    return of_seeds(history.value[:, list(_LATE)])


CASES = (
    Case(
        entry="fresh_arm_sweep",
        instance="UCB1, 100 of 1,000 arms pay 1, to T = K",
        x=_EARLY,
        x_label=ROUNDS,
        y_label=REGRET,
        predict=lambda f: f(0.1, 1000, log_arms=np.log(1000)).regret[upto(_EARLY)],
        measure=_sweep(learners.UCB1(), arms.Needle(log10_arms=3, optimal=100), _EARLY),
    ),
    Case(
        entry="fresh_arm_sweep",
        instance="KL-UCB, Bernoulli arms, 100 of mean .8 and 400 of mean .3, to T = K",
        x=_HALF,
        x_label=ROUNDS,
        y_label=REGRET,
        predict=lambda f: f(0.4, 500, 0.8, log_arms=np.log(500)).regret[upto(_HALF)],
        measure=_sweep(learners.KLUCB(), _CLASSES, _HALF, 100),
    ),
    Case(
        entry="fresh_arm_sweep",
        instance="MOSS, a tenth of 10^100 arms pays 1",
        x=_LATE,
        x_label=ROUNDS,
        y_label=REGRET,
        predict=lambda f: f(0.1, 400, log_arms=100 * np.log(10)).regret[upto(_LATE)],
        measure=_sweep(learners.MOSS(), arms.Needle(log10_arms=100, optimal=10**99), _LATE),
    ),
    Case(
        entry="fresh_arm_sweep",
        instance="value of successive elimination's policy, 100 of 1,000 arms pay 1",
        x=_LATE,
        x_label="round",
        y_label="expected reward",
        predict=lambda f: f(0.1, 401, log_arms=np.log(1000)).value[list(_LATE)],
        measure=_value,
    ),
    Case(
        entry="fresh_arm_sweep",
        instance="UCB1, 10 of 100 arms pay 1, beyond T = K",
        x=_LATE,
        x_label=ROUNDS,
        y_label=REGRET,
        predict=lambda f: f(0.1, 400, log_arms=np.log(100)).regret[upto(_LATE)],
        measure=_sweep(learners.UCB1(), arms.Needle(log10_arms=2, optimal=10), _LATE),
        inside=False,
        why="Rounds outnumber arms: after the 100th the learner exploits.",
    ),
    Case(
        entry="fresh_arm_sweep",
        instance="Thompson sampling, 100 of 1,000 arms pay 1",
        x=_LATE,
        x_label=ROUNDS,
        y_label=REGRET,
        predict=lambda f: f(0.1, 400, log_arms=np.log(1000)).regret[upto(_LATE)],
        measure=_sweep(learners.ThompsonBeta(), arms.Needle(log10_arms=3, optimal=100), _LATE, 100),
        inside=False,
        why="Thompson sampling does not try every arm once first.",
    ),
)
