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
from scipy import stats
from scipy.special import expit

from bandit_rft.errors import InputError
from bandit_rft.training_logs.groups import Signal, live_mean, live_spread, moments, read, table
from bandit_rft.training_logs.log import TrainingLog

__all__ = ["Followed", "Follower", "Parameters", "Signal"]

_WALKED = 250  # rounds of a log's rows that are followed one by one; of longer logs several at a time
_SUBSTEPS = 8  # of rounds that are not in the log
_NODES = 12  # prompts that stand for a spread of them
_TINY = 1e-12
_NUDGE = 1e-3  # of logit or share, for slopes
_MOST_VARIANCE = 25.0  # of a logit: all is open


class Parameters(NamedTuple):
    """Of P policies, float64 [P] each.

    Attributes:
        start: logit p at the first row. gain: η κ there, of a step of mean size.
        bend: ln of κ at p = 1 over κ at the start. paid: share of right responses that the verifier pays.
        spread: standard deviation of prompts' logits at the start.
    """

    start: np.ndarray
    gain: np.ndarray
    bend: np.ndarray
    paid: np.ndarray
    spread: np.ndarray

    @classmethod
    def plain(cls, start: np.ndarray, gain: np.ndarray) -> Parameters:
        """Constant κ, a verifier without errors, prompts alike."""
        zero = np.zeros(np.shape(start))
        return cls(np.asarray(start), np.asarray(gain), zero, zero + 1.0, zero)


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


class _Row(NamedTuple):
    """A row: right of responses, over the seen of its rounds; the size of its steps; rounds walked at once.

    Attributes:
        given: table of its rewards where it is one round. expected: moments of rewards that are drawn.
    """

    right: int
    responses: int
    rounds: int
    seen: int
    group: int
    step: float
    strides: int
    given: np.ndarray
    expected: np.ndarray


class _Way(NamedTuple):
    """Some rounds, as they go in the mean and what differs from it; float64 [P] each.

    Attributes:
        chance: of a paid response, in their mean. slope: of it in the logit. tosses: variance of their number.
        growth: what becomes of a shift of the logit. effect: of a paid response more, on the logit after.
        noise: variance of the logit after that the number of paid responses does not tell.
    """

    chance: np.ndarray
    slope: np.ndarray
    tosses: np.ndarray
    growth: np.ndarray
    effect: np.ndarray
    noise: np.ndarray


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
        strides = np.clip(log.seen, 1, max(_WALKED // log.rows, 1))
        columns = (log.successes, log.responses, log.rounds, log.seen, log.group)
        self._rows = [
            _Row(
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
        state = _State(parameters, self.signal.filtered)
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
        state = _State(parameters, self.signal.filtered)
        found = np.empty((len(parameters.start), self.log.rows))
        for place, row in enumerate(self._rows):
            if self.log.looks_back:
                self._draw_unlogged(state, row, generator)
            right = np.zeros(len(found))
            for rounds, responses in _parts_of(row.seen, row.responses, row.strides):
                tables = table(self.signal, row.group, responses)
                right += responses * state.draw(row, rounds, responses, tables, generator)
            found[:, place] = right / row.responses
            if not self.log.looks_back:
                self._draw_unlogged(state, row, generator)
        return found

    def _draw_unlogged(self, state: _State, row: _Row, generator: np.random.Generator) -> None:
        unseen = row.rounds - row.seen
        responses = max(round(unseen * row.responses / row.seen), 1)
        for rounds, number in _parts_of(unseen, responses, min(unseen, _SUBSTEPS)):
            state.draw(row, rounds, max(number, 1), row.expected[:2], generator)


def _parts_of(rounds: int, responses: int, parts: int) -> list[tuple[float, int]]:
    """(rounds, responses) of each part."""
    cuts = np.rint(np.linspace(0, responses, parts + 1)).astype(int)
    return [(rounds * int(number) / responses, int(number)) for number in np.diff(cuts)]


def _nats(row: _Row, chance: np.ndarray, variance: np.ndarray) -> np.ndarray:
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


class _State:
    """Logits [P, Q] of P policies with Q prompts each, and the variance [P] of a common shift of them."""

    def __init__(self, parameters: Parameters, filtered: bool) -> None:
        self.of, self._filtered = parameters, filtered
        # Prompts of equal weight: a mean curve of nodes by Gauss would rise in a few large steps.
        number = _NODES if np.any(parameters.spread) else 1
        nodes = stats.norm.ppf((np.arange(number) + 0.5) / number)
        self.logit = parameters.start[:, None] + parameters.spread[:, None] * nodes
        self.variance = np.zeros(len(self.logit))
        self.first = expit(self.logit).mean(axis=1)

    def seen(self, row: _Row) -> tuple[np.ndarray, np.ndarray]:
        """(probability of a paid response [P], variance of their number [P]), and what the row says of the logits."""
        if row.seen == 1:
            return self._one(row)
        start = self.logit
        mean, variance, shared = np.zeros((3, len(start)))  # of the total; its covariance with the last logit
        for rounds, responses in _parts_of(row.seen, row.responses, row.strides):
            way = self._walk(row, rounds, responses)
            lean = responses * way.slope
            mean += responses * way.chance
            variance += 2 * lean * shared + lean**2 * self.variance + way.tosses
            shared = way.growth * (shared + lean * self.variance) + way.effect * way.tosses
            self._spread(way)
            limit = np.sqrt(self.variance * variance)
            shared = np.clip(shared, -limit, limit)
        self.logit = self.logit + (shared / variance * (row.right - mean))[:, None]
        self.variance = np.maximum(self.variance - shared**2 / variance, 0.0)
        return np.clip(mean / row.responses, _TINY, 1 - _TINY), variance

    def _one(self, row: _Row) -> tuple[np.ndarray, np.ndarray]:
        """The same of one round, whose every update is known from its rewards."""
        chance = self.chance(row, self.logit)
        variance = row.responses * self._toss(row, chance, self.logit)
        share = np.full(len(chance), row.right / row.responses)
        if np.any(self.variance):
            lean = row.responses * self._slope(row)
            shared = lean * self.variance
            variance = variance + lean * shared
            self.logit = self.logit + (shared / variance * (row.right - row.responses * chance))[:, None]
            self.variance = np.maximum(self.variance - shared**2 / variance, 0.0)
            further = self.move(row, self.logit + _NUDGE, share, row.given)
            growth = 1 + (further - self.move(row, self.logit, share, row.given)).mean(axis=1) / _NUDGE
            self.variance = np.minimum(growth**2 * self.variance, _MOST_VARIANCE)
        self.logit = self.logit + self.move(row, self.logit, share, row.given)
        return chance, variance

    def unlogged(self, row: _Row) -> None:
        """The updates of a row's rounds that are not in the log."""
        unseen = row.rounds - row.seen
        responses = max(round(unseen * row.responses / row.seen), 1)
        for rounds, number in _parts_of(unseen, responses, min(unseen, _SUBSTEPS)):
            self._spread(self._walk(row, rounds, max(number, 1)))

    def draw(
        self,
        row: _Row,
        rounds: float,
        responses: int,
        tables: np.ndarray,
        generator: np.random.Generator,
    ) -> np.ndarray:
        """The share [P] of paid responses in some rounds, drawn, and their update."""
        middle = self._middle(row, rounds)
        chance = self.chance(row, middle)
        share = generator.binomial(responses, chance) / responses
        if self._filtered:
            stretch = np.sqrt(self._toss(row, chance, middle) / (chance * (1 - chance)))
            share = np.clip(np.rint(responses * (chance + (share - chance) * stretch)) / responses, 0, 1)
        self.logit = self.logit + rounds * self.move(row, middle, share, tables)
        return share

    def _walk(self, row: _Row, rounds: float, responses: int) -> _Way:
        """On by so many rounds as in the mean."""
        middle = self._middle(row, rounds)
        chance = self.chance(row, middle)
        self.logit = self.logit + rounds * self.move(row, middle, chance, row.expected[:2])
        return self._way(row, middle, chance, rounds, responses)

    def _way(self, row: _Row, logit: np.ndarray, chance: np.ndarray, rounds: float, responses: int) -> _Way:
        """What differs from the mean, as of a policy whose prompts are alike."""
        if logit.shape[1] > 1:
            mean = expit(logit).mean(axis=1, keepdims=True)
            logit = np.log(np.maximum(mean, _TINY)) - np.log(np.maximum(1 - mean, _TINY))
        at = np.concatenate([logit, logit + _NUDGE], axis=1).T
        right = expit(at)
        alike = np.minimum(np.maximum(self._logged(row, self.of.paid * right), _TINY), 1 - _TINY)
        slope = (alike[1] - alike[0]) / _NUDGE
        nudge = np.where(alike[0] < 0.5, _NUDGE, -_NUDGE)
        # As it is, from a logit that is a little higher, and with a share that is a little luckier.
        read_at = read(row.expected, np.stack([alike[0], alike[1], alike[0] + nudge]))
        up = (1 - right)[[0, 1, 0]]
        down = (right - _missed(right, self.of.paid))[[0, 1, 0]]
        gain = row.step * np.stack([self._gain(logit)[:, 0], self._gain(logit + _NUDGE)[:, 0]])[[0, 1, 0]]
        mean = read_at[0] * up + read_at[1] * down
        move = rounds * gain * mean
        effect = (move[2] - move[0]) / nudge / responses
        tosses = responses * self._toss(row, chance, logit)
        squares = read_at[2] * up**2 + 2 * read_at[3] * up * down + read_at[4] * down**2 - mean**2  # of one group's move
        scatter = np.square(rounds * gain[0]) * squares[0] / max(responses / row.group, 1.0)
        return _Way(
            chance,
            slope=slope,
            tosses=tosses,
            growth=1 + (move[1] - move[0]) / _NUDGE,
            effect=effect,
            noise=np.maximum(scatter - effect**2 * tosses, 0.0),
        )

    def _middle(self, row: _Row, rounds: float) -> np.ndarray:
        """Logits before the middle one of so many rounds."""
        if rounds <= 1:
            return self.logit
        chance = self.chance(row, self.logit)
        return self.logit + (rounds - 1) / 2 * self.move(row, self.logit, chance, row.expected[:2])

    def _spread(self, way: _Way) -> None:
        variance = way.growth**2 * self.variance + way.effect**2 * way.tosses + way.noise
        self.variance = np.minimum(variance, _MOST_VARIANCE)

    def chance(self, row: _Row, logit: np.ndarray) -> np.ndarray:
        """The probability [P] of a paid response in the log."""
        chance = self._logged(row, self.of.paid[:, None] * expit(logit)).mean(axis=1)
        return np.minimum(np.maximum(chance, _TINY), 1 - _TINY)

    def _logged(self, row: _Row, chance: np.ndarray) -> np.ndarray:
        return live_mean(chance, row.group) if self._filtered else chance

    def _slope(self, row: _Row) -> np.ndarray:
        return (self.chance(row, self.logit + _NUDGE) - self.chance(row, self.logit)) / _NUDGE

    def _toss(self, row: _Row, chance: np.ndarray, logit: np.ndarray) -> np.ndarray:
        """The variance [P] of one response's reward, as its share of the total's."""
        if self._filtered:  # groups of both rewards scatter less than tosses do
            return live_spread(self.of.paid * expit(logit).mean(axis=1), row.group)
        return chance * (1 - chance)

    def _gain(self, logit: np.ndarray) -> np.ndarray:
        """η κ of each policy [P, 1] there."""
        if not np.any(self.of.bend):
            return self.of.gain[:, None]
        way = (expit(logit).mean(axis=1) - self.first) / (1 - self.first)
        return (self.of.gain * np.exp(self.of.bend * way))[:, None]

    def move(self, row: _Row, logit: np.ndarray, share: np.ndarray, tables: np.ndarray) -> np.ndarray:
        """The move [P, Q] of one round of which this share [P] of the responses was paid."""
        right = expit(logit)
        paid = self.of.paid[:, None]
        each = share[:, None]
        if logit.shape[1] > 1:  # which prompts the paid responses were of is not in the log: in proportion
            own, mean = self._logged(row, paid * right), self.chance(row, logit)[:, None]
            less = own * each / mean
            each = np.where(each <= mean, less, 1 - (1 - own) * (1 - each) / (1 - mean))
            each = np.clip(each, 0.0, 1.0)
        up, down = read(tables, each)
        return row.step * self._gain(logit) * (up * (1 - right) + down * (right - _missed(right, paid)))


def _missed(right: np.ndarray, paid: np.ndarray) -> np.ndarray:
    """The share of unpaid responses that are right."""
    return right * (1 - paid) / np.maximum(1 - paid * right, _TINY)
