"""How many rounds stand behind each row of a log, and over how many of them its reward is the mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

__all__ = ["Behind", "rounds_behind", "whole"]

_USUAL = 0.1  # share of the ways between rows from which on their common divisor is taken for the logging interval
_BARE = 0.25  # share of records without a reward from which on they are taken to be of updates without new responses
_TELLING = 10  # rewards between 0 and 1 from which on it is no chance that all are whole numbers of responses


class Behind(NamedTuple):
    """What stands behind rows.

    Attributes:
        rounds: int64 [T], of a row. seen: int64 [T], of these that its reward is the mean of.
        looks_back: whether a row's rounds are those before it, or those from it on.
        notes: what was taken to be so, in sentences.
    """

    rounds: np.ndarray
    seen: np.ndarray
    looks_back: bool
    notes: tuple[str, ...] = ()


def rounds_behind(
    steps: np.ndarray,
    marks: Sequence[int],
    reward: np.ndarray,
    responses: np.ndarray,
    resolution: float,
    averaged: bool,
) -> Behind:
    """From the ways between the steps, and from how often the rewards are whole numbers of right responses.

    Args:
        steps: int64 [T], rising. marks: those of all records of training, with a reward or not.
        reward: float64 [T], shares of right responses. responses: int64 [T], of a round.
        resolution: of a reward, half a unit of its last digit.
        averaged: whether this trainer's records are means over the steps since the one before.
    """
    gaps = np.diff(steps)
    if not gaps.size:
        return Behind(np.ones(len(steps), np.int64), np.ones(len(steps), np.int64), averaged)
    if averaged and len(marks) - len(steps) > _BARE * len(marks):
        # A record is of one round at most: the trainer takes several updates, and records, on the same responses.
        way = (steps[-1] - steps[0]) / gaps.size
        rounds = np.maximum(np.rint(np.concatenate([[way], gaps]) / way), 1).astype(np.int64)
        note = f"only {len(steps)} of {len(marks)} records have a reward: each of these is taken to be one round"
        return Behind(rounds, np.ones_like(rounds), True, (note,))
    usual, notes = _usual(gaps), _of_marks(len(marks) - len(steps))
    means = _rounds_of_a_mean(reward, responses, resolution, usual)
    if means is None:
        means = usual if averaged else 1
    elif means != (usual if averaged else 1):
        of = "one round" if means == 1 else f"the mean of {means} rounds"
        notes += (f"a row stands for {usual} steps, and its reward is taken to be {of}, of which it is a whole number",)
    if not averaged and means == 1:
        return Behind(np.concatenate([gaps, gaps[-1:]]), np.ones(len(steps), np.int64), False, notes)
    # The row looks back, to the one before; a longer way than usual has a record that is missing.
    ways = np.concatenate([[min(max(int(steps[0]), 1), usual)], gaps])
    rounds = np.maximum(np.rint(ways * means / usual), 1).astype(np.int64)
    return Behind(rounds, np.minimum(rounds, means), True, notes)


def _of_marks(without: int) -> tuple[str, ...]:
    """What is said of records without a reward between those of the curve."""
    if not without:
        return ()
    some = "1 record has" if without == 1 else f"{without} records have"
    return (
        f"{some} no reward: steps without one are followed as rounds whose reward is not known; where they are no "
        "rounds, name with --step a column that counts rounds alone",
    )


def _usual(gaps: np.ndarray) -> int:
    sizes, times = np.unique(gaps, return_counts=True)
    usual = int(sizes[np.argmax(times)])
    # With many holes two ways at once may be the most frequent; the true one divides all of them.
    common = int(np.gcd.reduce(gaps))
    return common if np.mean(gaps == common) >= _USUAL else usual


def _rounds_of_a_mean(reward: np.ndarray, responses: np.ndarray, resolution: float, usual: int) -> int | None:
    """The least number of rounds, of those that divide the usual way, over which every reward is a whole number of
    right responses; None where the rewards do not tell.
    """
    inside = (reward > 0) & (reward < 1)
    if usual == 1 or inside.sum() < _TELLING:
        return None
    for rounds in (number for number in range(1, usual + 1) if usual % number == 0):
        number = responses * rounds
        if np.any(number * resolution > 0.25):
            return None
        if np.mean(~whole(reward, number, resolution)) <= 0.01:
            return rounds
    return None


def whole(reward: np.ndarray, responses: np.ndarray, resolution: float) -> np.ndarray:
    """bool [T], whether the reward is a whole number of so many responses, as far as its digits say."""
    right = reward * responses
    return np.abs(right - np.rint(right)) <= responses * (resolution + 1e-6) + 1e-3
