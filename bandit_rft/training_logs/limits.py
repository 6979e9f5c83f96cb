"""Why a log cannot be held against the law, and what limits a verdict on it, in sentences."""

from __future__ import annotations

import numpy as np

from bandit_rft.training_logs.intervals import whole
from bandit_rft.training_logs.log import TrainingLog

__all__ = ["LEAST_ROWS", "limits", "untestable"]

LEAST_ROWS = 20
_LEAST = 5  # successes and failures among the first rounds
_SATURATED = 0.95
_TELLING = 12  # rewards between 0 and 1, whose numbers of right responses are no chance


def untestable(log: TrainingLog, first: TrainingLog) -> str:
    """Why the log cannot be held against the law, one sentence; empty where it can."""
    if log.rows < LEAST_ROWS:
        return f"the log has {log.rows} rows with a reward, and the test needs {LEAST_ROWS}: log every round."
    room = log.resolution + 1e-6
    if np.any((log.reward < -room) | (log.reward > 1 + room)):
        row = int(np.argmax((log.reward < -room) | (log.reward > 1 + room)))
        return (
            f"the reward at step {log.step[row]} is {log.reward[row]:g}, and the law is of rewards 0 or 1: name the "
            f"column of a verifiable reward with --reward{_named(log)}{_minus_one(log)}."
        )
    broken = ~whole(log.reward, log.responses, log.resolution)
    if np.mean(broken) > 0.01:
        row = int(np.argmax(broken))
        return (
            f"the reward at step {log.step[row]} is {log.reward[row]:g}, no whole number of {log.responses[row]} "
            "responses: the rewards are not 0 or 1 (name another column with --reward"
            f"{_named(log)}, or say what they are with --reward-right and --reward-wrong), --rollouts and --prompts "
            "are others, or each is the mean of rounds that the steps do not count (name another column with --step)."
        )
    if _paired(log):
        return (
            f"every reward is what {log.responses[0]} responses of rewards -1 and +1 can give, half as many as of "
            "rewards 0 and 1: give --reward-right 1 --reward-wrong -1, or --rollouts and --prompts are others."
        )
    right, number = int(first.successes.sum()), int(first.responses.sum())
    if right < _LEAST:
        return (
            f"the first fifth of the rounds has {right} right responses of {number:,}, too few to fit kappa on "
            f"({_LEAST} are needed)."
        )
    if number < 4 * _LEAST:
        return (
            f"the first fifth of the rounds has {number} responses, too few to fit kappa on ({4 * _LEAST} are needed)."
        )
    if number - right < _LEAST or right > _SATURATED * number:
        return (
            f"the reward is {right / number:.3f} in the first fifth of the rounds already, so that nothing is left to "
            "learn: give a log from the run's start, or of a harder question."
        )
    return ""


def _paired(log: TrainingLog) -> bool:
    """Whether all rewards between 0 and 1 are of -1 and +1: then reward times responses is even where their number is,
    and odd where it is. Of a dozen rewards of 0 and 1 that happens once in 4000 logs.
    """
    inside = (log.reward > 0) & (log.reward < 1) & (log.responses * log.resolution < 0.25)
    odd = (log.successes - log.responses)[inside] % 2
    return len(odd) >= _TELLING and not odd.any()


def _minus_one(log: TrainingLog) -> str:
    """For the end of a sentence, where rewards are what -1 and +1 give."""
    room = log.resolution + 1e-6
    right = (log.reward + 1) / 2
    if np.any(np.abs(log.reward) > 1 + room) or np.any(~whole(right, log.responses, log.resolution)):
        return ""
    return ", or give --reward-right 1 --reward-wrong -1 if they are of -1 and +1"


def _named(log: TrainingLog) -> str:
    """Columns to choose from, for the end of a sentence."""
    return f", such as {' or '.join(log.others[:3])}" if log.others else ""


def limits(log: TrainingLog) -> tuple[str, ...]:
    notes = []
    if np.any(log.responses * log.resolution > 0.25):
        notes.append("the log gives rewards with too few digits to tell whether they are shares of right responses")
    if np.any(log.rounds > log.seen):
        notes.append("rounds between the rows are not in the log: their rewards are taken to be as expected")
    if log.rate is None:
        notes.append("the log has no learning rates: steps are taken to be of one size")
    notes.append(
        "the law is of plain gradient steps; an optimiser that scales them (Adam) may read as a kappa that changes"
    )
    return tuple(notes)
