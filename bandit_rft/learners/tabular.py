"""What the tabular learners share: the check that an arm set is a table of classes, and the row capacity that a run
needs.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from bandit_rft.arms.classes import Classes
from bandit_rft.errors import InputError


def require_table(arms: Any, learner: str) -> Classes:
    """The arm set itself if it is a table of reward classes.

    Raises:
        InputError: it is something else (an LLM's prompt, say).
    """
    if not isinstance(arms, Classes):
        raise InputError(
            f"{learner} learns on tables of arms (Bernoulli, Classes, Needle), not on {type(arms).__name__}: choose "
            "another learner."
        )
    return arms


def capacity_for(
    arms: Classes, pulls: int, row_capacity: int | None, *, classes_split: np.ndarray | None = None
) -> int:
    """Rows that `pulls` pulls can need at most: one a class, and one for each arm that can be split off.

    Args:
        arms: the table.
        pulls: rounds × rollouts of the whole run.
        row_capacity: the user's own capacity, taken as it is, or None for the bound.
        classes_split: bool [C], classes whose arms can ever leave their row; None for all.

    Raises:
        InputError: the user's capacity is below one.
    """
    if row_capacity is not None:
        if row_capacity < 1:
            raise InputError(f"Row capacity {row_capacity} is too small: give at least the number of classes.")
        return row_capacity
    log_counts = np.asarray(arms.log_counts)
    can_split = log_counts > 0.5  # a class of one arm never splits
    if classes_split is not None:
        can_split &= classes_split
    splittable = sum(
        pulls if log_count > math.log(pulls + 1) else round(math.exp(log_count)) for log_count in log_counts[can_split]
    )
    return len(log_counts) + min(pulls, splittable)


def require_count(name: str, value: int) -> None:
    """Refuse a count that is not a whole number of at least one."""
    if value != int(value) or value < 1:
        raise InputError(f"{name} is {value}: give a whole number of at least 1.")
