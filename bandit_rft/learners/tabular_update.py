"""What a tabular learner is made of: the state that it carries, and the `TabularUpdate` that its file gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np

from bandit_rft import rows as row_table

Statistic = dict[str, jax.Array]


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class State:
    """A tabular learner's state. R = row capacity.

    Attributes:
        rows: the groups of interchangeable arms.
        statistic: name -> [R], what the learner knows of one arm of each row.
        memory: name -> array, what it knows beside.
        time: int32 scalar, rounds so far.
        world: the arm set's own state, which no rule may read.
        pending: (pulls, rewards) of the last `delay` rounds, or None.
    """

    rows: row_table.Rows
    statistic: Statistic
    memory: dict[str, jax.Array]
    time: jax.Array
    world: Any = None
    pending: Any = None


class Lesson(NamedTuple):
    """What a round teaches.

    Attributes:
        observe: the pulled arms' statistics (name -> [G], as gathered from their rows) -> their statistics after the
            round. Draws of one arm act together: the first of them carries the result.
        statistic: name -> [R], every row after the round, or None where only the pulled arms change.
        keep: bool [G], equal for all draws of one arm: whether its statistic has changed.
        memory: the memory after the round, or None where it stays.
        then: (state, place) -> state, done last, once the pulled arms live in the rows `place` [G]; None for nothing.
    """

    observe: Callable[[Statistic], Statistic]
    statistic: Statistic | None = None
    keep: jax.Array | None = None
    memory: dict[str, jax.Array] | None = None
    then: Callable[[State, jax.Array], State] | None = None


class TabularUpdate(NamedTuple):
    """One tabular learner.

    Attributes:
        weight: (key, state) -> float [R], up to a common factor; 0 excludes a row. Multiplicity included. The key is
            the rule's to consume where `random`, and not to be touched elsewhere.
        learn: (state, pulls, rewards [G]) -> Lesson.
        initial: name -> value of an untouched arm: a scalar, or an array [C] where it differs by class (the base
            policy; the arms then keep one row a class).
        memory: name -> initial array.
        rollouts: G.
        random: whether weight draws random numbers of its own.
        value_known: whether the rows' probabilities are the policy's own, so that its expected reward is exact. False
            for a learner that randomises beyond the draw (Thompson sampling).
        most_splits: arms that can ever leave their row; None for every pull.
        classes_split: bool [C], classes whose arms can ever leave their row; None for all.
        subsample: number of arms the learner confines itself to, drawn uniformly without replacement; None for all.
        sweeps: whether it pulls every arm that it has not heard of before any that it has.
        delayable: whether its update makes sense of rewards that come late. Not where it divides by the probability
            that the arm had when it was pulled, or counts on having heard of every pull.
        redraws: how often a round is drawn again, at most, while its rewards are all equal.
    """

    weight: Callable[[jax.Array, State], jax.Array]
    learn: Callable[[State, row_table.Pulls, jax.Array], Lesson]
    initial: Mapping[str, Any]
    memory: Mapping[str, Any] = {}
    rollouts: int = 1
    random: bool = False
    value_known: bool = True
    most_splits: int | None = None
    classes_split: np.ndarray | None = None
    subsample: int | None = None
    sweeps: bool = False
    delayable: bool = True
    redraws: int = 0
