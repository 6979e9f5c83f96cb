"""The law of one success probability, followed along a log: each round's rewards say where the policy went.

The logit z of the success probability p moves by

    η κ mean over groups of [k A⁺ (1 − p) + (G − k) A⁻ (0 − p)] / G

with k right responses of G and the signal's A⁺ and A⁻ for such a group: `tree_rounds` (raw reward of one response:
`tree_jump`) of a policy of one decision. So the path is known from the rewards once its start and the gain ηκ are, and
the likelihood of a log is a product of binomials.

Where a row is the mean of several rounds, or rounds are missing, the path is known in part: the logit is followed round
by round as it moves in the mean, with a variance that each round's chance adds to and that the row's total takes from
(an extended Kalman filter), and the total scatters as the rounds' own chances and that variance make it.

Three things can be let loose, one at a time: κ that changes with p, a verifier that pays only a share of right
responses, and prompts that start from different p.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bandit_rft.errors import InputError
from bandit_rft.training_logs.groups import Signal, moments, table
from bandit_rft.training_logs.log import TrainingLog
from bandit_rft.training_logs.state import SUBSTEPS, Parameters, Row, State, parts_of

__all__ = ["Followed", "Follower", "Parameters", "Signal"]

_WALKED = 500  # rounds that are followed one by one; of longer logs several at a time


class Followed(NamedTuple):
    """Along a log.

    Attributes:
        nats: float64 [P], ln likelihood, but for what no policy changes.
        chance: float64 [P, T], the probability of a paid response in each row, given the rows before.
        spread: float64 [P, T], standard deviation of the row's number of them.
        logit: float64 [P, Q], after the last row. variance: float64 [P], of what is not known of it.
    """

    nats: np.ndarray
    chance: np.ndarray
    spread: np.ndarray
    logit: np.ndarray
    variance: np.ndarray


class Follower:
    """Follows P policies along a log at once.

    Args:
        log: T rows.
        signal: of the update.

    Raises:
        InputError: a group that the signal never learns from.
    """

    def __init__(self, log: TrainingLog, signal: Signal) -> None:
        self.log, self.signal = log, signal
        strides = _strides(log)
        columns = (log.successes, log.responses, log.rounds, log.seen, log.group)
        self._rows = [
            Row(
                *(int(value) for value in values),
                step=float(step),
                strides=int(walked),
                given=table(signal, int(values[-1]), int(values[1])),
                expected=moments(signal, int(values[-1])),
            )
            for *values, step, walked in zip(*columns, log.steps, strides, strict=True)
        ]
        if not any(row.given.any() for row in self._rows):
            raise InputError(
                f"{signal.name} of a group of {int(log.group[0])} is always 0 and nothing is learnt: give --rollouts "
                "of 2 or more."
            )

    def likelihood(self, parameters: Parameters) -> tuple[np.ndarray, np.ndarray]:
        """(ln likelihood [P], logits after the last row [P, Q])."""
        found = self.followed(parameters)
        return found.nats, found.logit

    def chances(self, parameters: Parameters) -> np.ndarray:
        """float64 [P, T], the probability of a paid response in each row, given the rows before."""
        return self.followed(parameters).chance

    def followed(self, parameters: Parameters) -> Followed:
        """The path that the rewards of the log make of each policy's."""
        state = State(parameters, self.signal.filtered)
        nats = np.zeros(len(parameters.start))
        chance, spread = np.empty((2, len(nats), self.log.rows))
        for place, row in enumerate(self._rows):
            if self.log.looks_back:
                state.unlogged(row)
            mean, variance = state.seen(row)
            if not self.log.looks_back:
                state.unlogged(row)
            nats += _nats(row, mean, variance)
            chance[:, place], spread[:, place] = mean, np.sqrt(variance)
        return Followed(nats, chance, spread, state.logit, state.variance)

    def drawn(self, parameters: Parameters, generator: np.random.Generator) -> np.ndarray:
        """float64 [P, T], rewards of runs drawn from the law: the next log in place of this one."""
        state = State(parameters, self.signal.filtered)
        found = np.empty((len(parameters.start), self.log.rows))
        for place, row in enumerate(self._rows):
            if self.log.looks_back:
                self._draw_unlogged(state, row, generator)
            right = np.zeros(len(found))
            for rounds, responses in parts_of(row.seen, row.responses, row.strides):
                tables = table(self.signal, row.group, responses)
                right += responses * state.draw(row, rounds, responses, tables, generator)
            found[:, place] = right / row.responses
            if not self.log.looks_back:
                self._draw_unlogged(state, row, generator)
        return found

    def _draw_unlogged(self, state: State, row: Row, generator: np.random.Generator) -> None:
        unseen = row.rounds - row.seen
        responses = max(round(unseen * row.responses / row.seen), 1)
        for rounds, number in parts_of(unseen, responses, min(unseen, SUBSTEPS)):
            state.draw(row, rounds, max(number, 1), row.expected[:2], generator)


def _strides(log: TrainingLog) -> np.ndarray:
    """int64 [T], in how many parts the rounds of each row are walked: most where the logit moves most, by the spread of
    the rewards.
    """
    if log.seen.sum() <= _WALKED:
        return log.seen
    share = (log.successes + 0.5) / (log.responses + 1)
    pace = log.seen * np.sqrt(share * (1 - share))
    return np.clip(np.rint(_WALKED * pace / pace.sum()), 1, log.seen).astype(np.int64)


def _nats(row: Row, chance: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """ln likelihood [P] of the row: that of coin tosses, but for what no policy changes; where their number scatters by
    another variance, the same stretched by it (quasi-likelihood).
    """
    right, wrong = row.right, row.responses - row.right
    nats = right * np.log(chance) + wrong * np.log1p(-chance)
    stretch = variance / (row.responses * (chance * (1 - chance)))
    if np.all(stretch == 1):
        return nats
    best = sum(number * np.log(number / row.responses) for number in (right, wrong) if number)
    return best + (nats - best) / stretch - np.log(stretch) / 2
