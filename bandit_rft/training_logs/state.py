"""Where policies are along a log: their logits, what is not known of them, and how a row of it moves both."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import stats
from scipy.special import expit

from bandit_rft.training_logs.groups import live_mean, live_spread, read

__all__ = ["SUBSTEPS", "Parameters", "Row", "State", "parts_of"]

SUBSTEPS = 8  # of rounds that are not in the log
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


class Row(NamedTuple):
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


def parts_of(rounds: int, responses: int, parts: int) -> list[tuple[float, int]]:
    """(rounds, responses) of each part."""
    cuts = np.rint(np.linspace(0, responses, parts + 1)).astype(int)
    return [(rounds * int(number) / responses, int(number)) for number in np.diff(cuts)]


class State:
    """Logits [P, Q] of P policies with Q prompts each, and the variance [P] of a common shift of them."""

    def __init__(self, parameters: Parameters, filtered: bool) -> None:
        self.of, self._filtered = parameters, filtered
        # Prompts of equal weight: a mean curve of nodes by Gauss would rise in a few large steps.
        number = _NODES if np.any(parameters.spread) else 1
        nodes = stats.norm.ppf((np.arange(number) + 0.5) / number)
        self.logit = parameters.start[:, None] + parameters.spread[:, None] * nodes
        self.variance = np.zeros(len(self.logit))
        self.first = expit(self.logit).mean(axis=1)

    def seen(self, row: Row) -> tuple[np.ndarray, np.ndarray]:
        """(probability of a paid response [P], variance of their number [P]), and what the row says of the logits."""
        if row.seen == 1:
            return self._one(row)
        start = self.logit
        mean, variance, shared = np.zeros((3, len(start)))  # of the total; its covariance with the last logit
        for rounds, responses in parts_of(row.seen, row.responses, row.strides):
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

    def _one(self, row: Row) -> tuple[np.ndarray, np.ndarray]:
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

    def unlogged(self, row: Row) -> None:
        """The updates of a row's rounds that are not in the log."""
        unseen = row.rounds - row.seen
        responses = max(round(unseen * row.responses / row.seen), 1)
        for rounds, number in parts_of(unseen, responses, min(unseen, SUBSTEPS)):
            self._spread(self._walk(row, rounds, max(number, 1)))

    def draw(
        self,
        row: Row,
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

    def _walk(self, row: Row, rounds: float, responses: int) -> _Way:
        """On by so many rounds as in the mean."""
        middle = self._middle(row, rounds)
        chance = self.chance(row, middle)
        self.logit = self.logit + rounds * self.move(row, middle, chance, row.expected[:2])
        return self._way(row, middle, chance, rounds, responses)

    def _way(self, row: Row, logit: np.ndarray, chance: np.ndarray, rounds: float, responses: int) -> _Way:
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
        squares = read_at[2] * up**2 + 2 * read_at[3] * up * down + read_at[4] * down**2
        of_a_group = (squares - mean**2)[0]
        scatter = np.square(rounds * gain[0]) * of_a_group / max(responses / row.group, 1.0)
        return _Way(
            chance,
            slope=slope,
            tosses=tosses,
            growth=1 + (move[1] - move[0]) / _NUDGE,
            effect=effect,
            noise=np.maximum(scatter - effect**2 * tosses, 0.0),
        )

    def _middle(self, row: Row, rounds: float) -> np.ndarray:
        """Logits before the middle one of so many rounds."""
        if rounds <= 1:
            return self.logit
        chance = self.chance(row, self.logit)
        return self.logit + (rounds - 1) / 2 * self.move(row, self.logit, chance, row.expected[:2])

    def _spread(self, way: _Way) -> None:
        variance = way.growth**2 * self.variance + way.effect**2 * way.tosses + way.noise
        self.variance = np.minimum(variance, _MOST_VARIANCE)

    def chance(self, row: Row, logit: np.ndarray) -> np.ndarray:
        """The probability [P] of a paid response in the log."""
        chance = self._logged(row, self.of.paid[:, None] * expit(logit)).mean(axis=1)
        return np.minimum(np.maximum(chance, _TINY), 1 - _TINY)

    def _logged(self, row: Row, chance: np.ndarray) -> np.ndarray:
        return live_mean(chance, row.group) if self._filtered else chance

    def _slope(self, row: Row) -> np.ndarray:
        return (self.chance(row, self.logit + _NUDGE) - self.chance(row, self.logit)) / _NUDGE

    def _toss(self, row: Row, chance: np.ndarray, logit: np.ndarray) -> np.ndarray:
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

    def move(self, row: Row, logit: np.ndarray, share: np.ndarray, tables: np.ndarray) -> np.ndarray:
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
