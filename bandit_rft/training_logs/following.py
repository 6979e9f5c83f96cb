"""The law of one success probability, followed along a log: each round's rewards say where the policy went.

The logit z of the success probability p moves by

    η κ mean over groups of [k A⁺ (1 − p) + (G − k) A⁻ (0 − p)] / G

with k right responses of G and the signal's A⁺ and A⁻ for such a group: `tree_rounds` (raw reward of one response:
`tree_jump`) of a policy of one decision. So the path is known from the rewards once its start and the gain ηκ are, and
the likelihood of a log is a product of binomials. Three things can be let loose, one at a time: κ that changes with p,
a verifier that pays only a share of right responses, and prompts that start from different p.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from scipy import stats
from scipy.special import expit

from bandit_rft import signals
from bandit_rft.errors import InputError
from bandit_rft.training_logs.log import TrainingLog

__all__ = ["Follower", "Parameters", "Signal"]

_FINE = 1024  # responses of a row up to which groups are drawn without replacement, and grid beyond
_SUBSTEPS = 8  # of a row that stands for several rounds
_NODES = 12  # prompts that stand for a spread of them
_TINY = 1e-12


class Signal(NamedTuple):
    """A signal of `bandit_rft.signals` with its settings."""

    name: str
    ddof: int = 1
    eps: float = 1e-6


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


@functools.lru_cache(maxsize=64)
def _parts(signal: Signal, group: int) -> tuple[np.ndarray, np.ndarray]:
    """(k A⁺ / G, −(G − k) A⁻ / G) of groups with k = 0 .. G right responses, float64 [G + 1] each."""
    apply = signals.make(signal.name, ddof=signal.ddof, eps=signal.eps)
    up, down = np.zeros(group + 1), np.zeros(group + 1)
    for k in range(group + 1):
        rewards = np.zeros(group, np.float32)
        rewards[:k] = 1.0
        found = np.asarray(apply(rewards), np.float64)  # pyright: ignore[reportArgumentType]
        up[k], down[k] = found[:k].sum() / group, -found[k:].sum() / group
    return up, down


@functools.lru_cache(maxsize=256)
def _table(signal: Signal, group: int, responses: int) -> tuple[np.ndarray, np.ndarray]:
    """The mean of `_parts` over the row's groups, by its share of right responses on an even grid from 0 to 1.

    Which responses stood in which group is not in the log: each division of them is as likely as any other.
    """
    up, down = _parts(signal, group)
    k = np.arange(group + 1)
    if responses <= _FINE:
        right = np.arange(responses + 1)[:, None]
        weight = stats.hypergeom.pmf(k, responses, right, group)
    else:
        weight = stats.binom.pmf(k, group, np.linspace(0, 1, _FINE + 1)[:, None])
    weight = np.nan_to_num(weight)
    return weight @ up, weight @ down


def _read(table: np.ndarray, share: np.ndarray) -> np.ndarray:
    """The table at shares of any shape, between its points by a straight line."""
    place = share * (table.size - 1)
    low = np.minimum(place.astype(np.int64), table.size - 2)
    part = place - low
    return table[low] * (1 - part) + table[low + 1] * part


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
        self._tables = [
            _table(signal, int(group), int(responses))
            for group, responses in zip(log.group, log.responses, strict=True)
        ]
        self._expected = [_table(signal, int(group), _FINE + 1) for group in log.group]
        if not any(up.any() or down.any() for up, down in self._tables):
            raise InputError(
                f"{signal.name} of a group of {int(log.group[0])} is always 0 and nothing is learnt: give --rollouts "
                "of 2 or more."
            )

    def likelihood(self, parameters: Parameters) -> tuple[np.ndarray, np.ndarray]:
        """(ln likelihood [P], logits after the last row [P, Q])."""
        state = _State(parameters)
        total = np.zeros(len(parameters.start))
        right, responses = self.log.successes, self.log.responses
        for row in range(self.log.rows):
            self._arrive(state, row)
            chance = np.clip(state.chance(), _TINY, 1 - _TINY)
            total += right[row] * np.log(chance) + (responses[row] - right[row]) * np.log1p(-chance)
            self._move(state, row, np.full(len(total), right[row] / responses[row]), chance)
        return total, state.logit

    def chances(self, parameters: Parameters) -> np.ndarray:
        """float64 [P, T], the probability of a paid response in each row, given the rows before."""
        state = _State(parameters)
        found = np.empty((len(parameters.start), self.log.rows))
        for row, share in enumerate(self.log.successes / self.log.responses):
            self._arrive(state, row)
            found[:, row] = np.clip(state.chance(), _TINY, 1 - _TINY)
            self._move(state, row, np.full(len(found), share), found[:, row])
        return found

    def drawn(self, parameters: Parameters, generator: np.random.Generator) -> np.ndarray:
        """float64 [P, T], rewards of runs drawn from the law: the next log in place of this one."""
        state = _State(parameters)
        found = np.empty((len(parameters.start), self.log.rows))
        for row in range(self.log.rows):
            self._arrive(state, row, generator)
            chance = np.clip(state.chance(), _TINY, 1 - _TINY)
            found[:, row] = generator.binomial(int(self.log.responses[row]), chance) / self.log.responses[row]
            self._move(state, row, found[:, row], chance, generator)
        return found

    def _arrive(self, state: _State, row: int, generator: np.random.Generator | None = None) -> None:
        """Where a row looks back, the rounds before those that its reward is the mean of."""
        if self.log.looks_back:
            self._unlogged(state, row, generator)

    def _unlogged(self, state: _State, row: int, generator: np.random.Generator | None) -> None:
        """The updates of a row's rounds that are not in the log: as expected, or a draw of them."""
        rounds, seen = int(self.log.rounds[row]), int(self.log.seen[row])
        steps = min(rounds - seen, _SUBSTEPS)
        for _ in range(steps):
            each = (rounds - seen) / steps
            share = chance = np.clip(state.chance(), _TINY, 1 - _TINY)
            if generator is not None:
                responses = max(round(each * max(int(self.log.responses[row]) // seen, 1)), 1)
                share = generator.binomial(responses, chance) / responses
            move = each * state.update(share, chance, *self._expected[row])
            state.logit += self.log.steps[row] * state.gain() * move

    def _move(
        self,
        state: _State,
        row: int,
        share: np.ndarray,
        chance: np.ndarray,
        generator: np.random.Generator | None = None,
    ) -> None:
        """The updates of a row, whose responses were right in the share [P], and of the rounds behind it that were not
        logged.
        """
        seen = int(self.log.seen[row])
        steps = min(seen, _SUBSTEPS)
        size = self.log.steps[row] / steps
        for _ in range(steps):
            state.logit += size * state.gain() * seen * state.update(share, chance, *self._tables[row])
        if not self.log.looks_back:
            self._unlogged(state, row, generator)


class _State:
    """Logits [P, Q] of P policies with Q prompts each."""

    def __init__(self, parameters: Parameters) -> None:
        self.of = parameters
        # Prompts of equal weight: a mean curve of nodes by Gauss would rise in a few large steps.
        number = _NODES if np.any(parameters.spread) else 1
        nodes = stats.norm.ppf((np.arange(number) + 0.5) / number)
        self.weight = np.full(nodes.size, 1 / nodes.size)
        self.logit = parameters.start[:, None] + parameters.spread[:, None] * nodes
        self.first = expit(self.logit) @ self.weight

    def chance(self) -> np.ndarray:
        """The probability [P] of a paid response."""
        return self.of.paid * (expit(self.logit) @ self.weight)

    def gain(self) -> np.ndarray:
        """η κ of each policy [P, 1] where it is now."""
        if not np.any(self.of.bend):
            return self.of.gain[:, None]
        way = (expit(self.logit) @ self.weight - self.first) / (1 - self.first)
        return (self.of.gain * np.exp(self.of.bend * way))[:, None]

    def update(self, share: np.ndarray, chance: np.ndarray, up: np.ndarray, down: np.ndarray) -> np.ndarray:
        """The move [P, Q] of one round per unit of gain, of which this share of the responses was paid."""
        right = expit(self.logit)
        each = share[:, None]
        if self.weight.size > 1:  # which prompts the paid responses were of is not in the log: in proportion
            own, mean = self.of.paid[:, None] * right, chance[:, None]
            less = own * each / mean
            each = np.where(each <= mean, less, 1 - (1 - own) * (1 - each) / (1 - mean))
            each = np.clip(each, 0.0, 1.0)
        paid = self.of.paid[:, None]
        missed = right * (1 - paid) / np.maximum(1 - paid * right, _TINY)
        return _read(up, each) * (1 - right) + _read(down, each) * (right - missed)
