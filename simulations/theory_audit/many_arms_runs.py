"""What learners on many arms reach, as the audits of section E measure it."""

from __future__ import annotations

from typing import Any

import numpy as np

from bandit_rft import arms, run
from simulations.theory_audit.bounds_runs import regret_curve
from simulations.theory_audit.case import Measured, of_seeds

ROUNDS = (5, 15, 40, 100, 250)
AFTER = [t - 1 for t in ROUNDS]  # a curve's index after so many rounds
SEEDS = 4000


def regret_after(key: int, table: Any, learner: Any, rounds: tuple[int, ...] = ROUNDS, seeds: int = SEEDS) -> Measured:
    """Regret after each of so many rounds."""
    return regret_curve(table, learner, rounds, seeds, key)


def value_in(key: int, table: Any, learner: Any, rounds: tuple[int, ...] = ROUNDS, seeds: int = SEEDS) -> Measured:
    """Value in each of these rounds, counted from 1."""
    history = run(table, learner, rounds=max(rounds), seeds=seeds, key=key)
    return of_seeds(history.value[:, [t - 1 for t in rounds]])


def few_arms(number: int, optimal: int) -> arms.Needle:
    return arms.Needle(log10_arms=float(np.log10(number)), optimal=optimal)
