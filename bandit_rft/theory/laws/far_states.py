"""The states that a jump chain can reach in very many rounds: one by one while they differ, and then in blocks.

A block is a stretch of successes over which the logit moves by 0.02 or less; its course is the flow whose time-one map
the chain is (to second order in the step).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.special import expit

__all__ = ["FarStates", "JumpChain"]

_LEARNED = 3.0  # logit from which waits hardly differ
_SHORTEST_BLOCK = 4
_CLIMB, _SHARE = 0.02, 0.02  # of the logit within a block, and of n relative to n


class JumpChain(Protocol):
    """A chain that moves at its successes alone: as much of it as its law over many rounds needs. `JumpLaw` is one."""

    @property
    def p0(self) -> float:
        """The probability of a success at the start, in (0, 1)."""
        ...

    @property
    def start(self) -> float:
        """What the chain remembers before the first success."""
        ...

    def rise(self, state: float) -> float:
        """What a success adds to it."""
        ...

    def logit(self, state: float) -> float:
        """logit p in that state."""
        ...


class _Listed(NamedTuple):
    """States by number n, float64 [N] each, and by block the state midway [N - 1] (NaN: one state)."""

    number: np.ndarray
    logit: np.ndarray
    middle: np.ndarray


@dataclass(frozen=True)
class FarStates:
    """The states, and sums over them.

    Attributes:
        law: the chain.
        horizon: the largest round asked for.
    """

    law: JumpChain
    horizon: int

    @cached_property
    def listed(self) -> _Listed:
        """All states that can be reached, one by one and then block by block."""
        law, state, n = self.law, self.law.start, 0
        number, logit, middle = [0.0], [law.logit(state)], []
        while n <= self.horizon:
            rise = law.rise(state)
            # Beyond a float's last digit nothing changes any more.
            block = math.floor(min(_CLIMB / rise if rise > 0.0 else math.inf, _SHARE * n, self.horizon + 1.0 - n))
            if block < _SHORTEST_BLOCK:
                state, n = state + rise, n + 1
                middle.append(math.nan)
            else:
                half = self._flow(state, block / 2.0)
                middle.append(law.logit(half))
                state, n = self._flow(half, block / 2.0), n + block
            number.append(float(n))
            logit.append(law.logit(state))
        return _Listed(np.asarray(number), np.asarray(logit), np.asarray(middle))

    def _flow(self, state: float, successes: float) -> float:
        """The state after so many successes, a fraction included: ds/dn = f/(1 + f'/2), f the rise, by Runge-Kutta."""

        def slope(at: float) -> float:
            rise = self.law.rise(at)
            return 2.0 * rise**2 / (rise + self.law.rise(at + rise)) if rise > 0.0 else 0.0

        first = slope(state)
        second = slope(state + successes / 2.0 * first)
        third = slope(state + successes / 2.0 * second)
        fourth = slope(state + successes * third)
        return state + successes / 6.0 * (first + 2.0 * second + 2.0 * third + fourth)

    @cached_property
    def single(self) -> np.ndarray:
        """bool [N - 1], whether from one listed state to the next is one success."""
        return np.isnan(self.listed.middle)

    @cached_property
    def head(self) -> int:
        """The first listed state that has learned: waits beyond it hardly differ."""
        learned = self.listed.logit >= _LEARNED
        return int(np.argmax(learned)) if learned.any() else learned.size - 1

    def summed(self, of: Callable[[np.ndarray], np.ndarray], stop: int | None = None) -> np.ndarray:
        """Sums of a function of logit p over the states below each of the first `stop` listed ones, along the last
        axis; below n + 1/2 where a block ends at n.
        """
        single = self.single[: None if stop is None else stop - 1]
        count = single.size
        each = of(self.listed.logit[: count + 1])
        first, last = each[..., :-1], each[..., 1:]
        parts = first.copy()
        block = np.flatnonzero(~single)
        if block.size:
            size = np.diff(self.listed.number[: count + 1])[block]
            ends = first[..., block], of(self.listed.middle[block]), last[..., block]
            parts[..., block] = size / 6.0 * (ends[0] + 4.0 * ends[1] + ends[2]) - (ends[2] - ends[0]) / 2.0
        sums = np.concatenate([np.zeros_like(parts[..., :1]), np.cumsum(parts, axis=-1)], axis=-1)
        sums[..., block + 1] += last[..., block] / 2.0
        return sums

    @cached_property
    def cumulants(self) -> np.ndarray:
        """Mean, variance, third and fourth cumulant of T_n, float64 [4, N], in units of 1/p0, so that p0 = 1e-300
        overflows nothing.
        """

        def of(logit: np.ndarray) -> np.ndarray:
            p, q = expit(logit), expit(-logit)
            ratio = self.law.p0 / p
            waits = [ratio, q * ratio**2, q * (2.0 - p) * ratio**3, q * (p**2 - 6.0 * p + 6.0) * ratio**4]
            return np.stack(waits)

        return self.summed(of)

    @cached_property
    def cumulants_at(self) -> PchipInterpolator:
        """The same by n."""
        return PchipInterpolator(self.listed.number, self.cumulants, axis=1)

    @cached_property
    def lost(self) -> np.ndarray:
        """h(n), the regret that a run with n successes has had on average: sum of (1-p_k)/p_k over k < n."""
        after_blocks = np.concatenate([[False], ~self.single])
        odds = np.exp(-self.listed.logit)
        return self.summed(lambda logit: np.exp(-logit)) - np.where(after_blocks, odds / 2.0, 0.0)

    @cached_property
    def course(self) -> tuple[PchipInterpolator, PchipInterpolator]:
        """logit p and h by n."""
        return PchipInterpolator(self.listed.number, self.listed.logit), PchipInterpolator(
            self.listed.number, self.lost
        )
