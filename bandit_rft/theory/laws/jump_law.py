r"""The law of softmax policy gradient on one correct arm, one rollout a round, raw 0/1 reward.

A failure's signal is 0 and moves nothing, so p is a function of the number n of successes so far:

    z_{n+1} = z_n + g (1 - p_n),   p_n = 1 / (1 + e^{-z_n}),   wait for the next success ~ Geometric(p_n)

with gain g = step size x kappa. Everything below is exact for that chain, up to float64 rounding.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import expit

from bandit_rft.errors import InputError
from bandit_rft.theory.laws import geometric_waits
from bandit_rft.theory.laws.far_rounds import FarRounds
from bandit_rft.theory.prediction import Curves

__all__ = ["ChainCurves", "JumpLaw", "Moments", "chain_moments", "chain_sample"]

# State probabilities below these leave the window of live states: over 1e5 rounds that is at most 1e-17 of mass.
_TRIM_LOW = 1e-22
_TRIM_HIGH = 1e-20
_MOST_STATES = 20_000_000
_STEPPED = 1_000_000  # rounds up to which curves are computed round by round
_NEAR = 10_000  # of longer ones, the first rounds
_A_DECADE = 100  # later rounds shown, a decade
_MOST_SAMPLED = 100_000_000


class Moments(NamedTuple):
    """Exact moments by round, float64 [rounds] each: value, 1 - value, standard deviations, and E|v - Ev|^3 / Var v."""

    value: np.ndarray
    gap: np.ndarray
    value_sd: np.ndarray
    value_jump: np.ndarray
    regret_sd: np.ndarray


class ChainCurves(NamedTuple):
    """Curves as a `Prediction` takes them; `regret_sd` is unknown where not every round is stepped through."""

    at: np.ndarray | None
    value: np.ndarray
    regret: np.ndarray
    value_sd: np.ndarray
    regret_sd: np.ndarray | None
    value_jump: np.ndarray


def chain_moments(success: np.ndarray, failure: np.ndarray, rounds: int, trim_high: float = _TRIM_HIGH) -> Moments:
    """Moments of value and cumulative regret by a forward recursion over the states n of W equally likely chains.

    Besides P_t(n) it carries E[D 1{n}] and E[D^2 1{n}], D the cumulative regret less its mean, so that the regret's
    variance is a sum without cancellation. Cost: W x rounds x live states, those of probability above 1e-22.

    Args:
        success, failure: p_n and 1 - p_n, float64 [W, rounds + 1].
        rounds: T.
        trim_high: probability below which a state that is reached early leaves the window.
    """
    chains = success.shape[0]
    value, gap, value_var, value_third, regret_var = np.empty((5, rounds))
    state = np.zeros((3, chains, rounds + 2))
    state[0, :, 0] = 1.0 / chains
    low, high = 0, 1
    for t in range(rounds):
        p, q = success[:, low:high], failure[:, low:high]
        live = state[:, :, low:high]
        mass, first, second = live
        value[t], gap[t] = np.vdot(mass, p), np.vdot(mass, q)
        # Of p and 1 - p the smaller has the digits: of p = 1e-12 the other one's rounding would be all of the spread.
        deviation = q - gap[t] if gap[t] < 0.5 else value[t] - p
        weighted = deviation * mass
        value_var[t] = np.vdot(deviation, weighted)
        value_third[t] = np.vdot(deviation**2, np.abs(weighted))
        second += deviation * (2.0 * first + weighted)
        first += weighted
        regret_var[t] = second.sum()
        moving = live * p
        live *= q
        state[:, :, low + 1 : high + 1] += moving
        high += 1
        while state[0, :, low].max() < _TRIM_LOW and low < high - 1:
            low += 1
        while state[0, :, high - 1].max() < trim_high and high - 1 > low:
            high -= 1
            state[:, :, high] = 0.0
    return Moments(
        value=value,
        gap=gap,
        value_sd=np.sqrt(np.maximum(value_var, 0.0)),
        value_jump=np.divide(value_third, value_var, out=np.zeros(rounds), where=value_var > 0.0),
        regret_sd=np.sqrt(np.maximum(regret_var, 0.0)),
    )


def chain_sample(
    success: np.ndarray, failure: np.ndarray, generator: np.random.Generator, seeds: int, at: np.ndarray
) -> Curves:
    """Independent runs, seen at the increasing rounds `at`; success and failure float64 [1 or seeds, at[-1] + 2]."""
    chain = np.arange(seeds) % success.shape[0]
    curves = Curves(*np.empty((3, seeds, at.size)))
    count = np.zeros(seeds, dtype=np.int64)
    regret = np.zeros(seeds)
    column = 0
    for t in range(int(at[-1]) + 1):
        p = success[chain, count]
        regret += failure[chain, count]
        count += generator.random(seeds) < p
        if t == at[column]:
            curves.value[:, column] = p
            curves.regret[:, column] = regret
            curves.total_reward[:, column] = count
            column += 1
    return curves


@dataclass(frozen=True, kw_only=True)
class JumpLaw:
    """The jump chain from p0 with gain g.

    Attributes:
        p0: the probability of a success at the start, in (0, 1).
        gain: the logit's rise per success and unit of 1 - p, above 0.
        exact: whether kappa is the table's own constant, so that the rewards fix the value of a run exactly.
    """

    p0: float
    gain: float
    exact: bool = True

    @property
    def start(self) -> float:
        """What the chain remembers, before the first success; here z_0."""
        return math.log(self.p0) - math.log1p(-self.p0)

    def rise(self, state: float) -> float:
        """What a success adds to it."""
        # 1 - p = 1/(1 + e^z), written so that neither sign of z overflows.
        return (
            self.gain / (1.0 + math.exp(state))
            if state < 0.0
            else self.gain * math.exp(-state) / (1.0 + math.exp(-state))
        )

    def logit(self, state: float) -> float:
        """logit p in that state."""
        return state

    def logits(self, count: int) -> np.ndarray:
        """logit p_0 .. logit p_{count-1}, float64 [count]."""
        return _logits(self, count)

    def moments(self, rounds: int) -> Moments:
        """`chain_moments` of the one chain: its live states are about min(rounds, 50/p0)."""
        logits = self.logits(rounds + 1)[None]
        trim_high = max(_TRIM_HIGH * self.p0, 1e-322)
        return chain_moments(expit(logits), expit(-logits), rounds, trim_high)

    def curves(self, rounds: int) -> ChainCurves:
        """Every round up to a million of them; of more, the first thousand and then ever fewer, by `FarRounds`."""
        if rounds <= _STEPPED:
            found = self.moments(rounds)
            return ChainCurves(
                None, found.value, np.cumsum(found.gap), found.value_sd, found.regret_sd, found.value_jump
            )
        near = self.moments(_NEAR)
        early = np.unique(np.concatenate([np.arange(1000), np.geomspace(1000, _NEAR - 1, _A_DECADE).astype(np.int64)]))
        count = math.ceil(_A_DECADE * math.log10(rounds / _NEAR)) + 1
        late = np.unique(np.rint(np.geomspace(_NEAR, rounds - 1, count)).astype(np.int64))
        far = FarRounds(self, rounds).moments(late)
        return ChainCurves(
            at=np.concatenate([early, late]),
            value=np.concatenate([near.value[early], far.value]),
            regret=np.maximum.accumulate(np.concatenate([np.cumsum(near.gap)[early], far.regret])),
            value_sd=np.concatenate([near.value_sd[early], far.value_sd]),
            regret_sd=None,
            value_jump=np.concatenate([near.value_jump[early], far.value_jump]),
        )

    def successes_to(self, level: float) -> np.ndarray:
        """p_0 .. p_{n-1}, the states below `level`: their Geometric waits add up to the hitting time."""
        goal = math.log(level) - math.log1p(-level)
        count = 64
        while True:
            logits = self.logits(count)
            if logits[-1] >= goal:
                return expit(logits[: int(np.searchsorted(logits, goal, side="left"))])
            if count >= _MOST_STATES:
                raise InputError(
                    f"level = {level!r} needs over {_MOST_STATES} successes at this step size: ask for a lower level."
                )
            count = min(4 * count, _MOST_STATES)

    def mean_hitting_time(self, level: float) -> float:
        """Sum of 1/p_n over the states below the level."""
        return geometric_waits.mean(self.successes_to(level))

    def sd_hitting_time(self, level: float) -> float:
        """Root of the sum of (1 - p_n)/p_n^2 over the states below the level."""
        return geometric_waits.standard_deviation(self.successes_to(level))

    def mean_regret_to(self, level: float) -> float:
        """Expected regret before the value reaches the level: sum of (1 - p_n)/p_n. Grows as (ln n)/g without bound."""
        p = self.successes_to(level)
        return float(np.sum((1.0 - p) / p))

    def hitting_time_distribution(self, level: float, rounds: int) -> np.ndarray:
        """P(first round whose value >= level is at most t), float64 [rounds], t = 0 .. rounds - 1."""
        return geometric_waits.distribution(self.successes_to(level), rounds)

    def hitting_time_quantile(self, level: float, q: float) -> float:
        """Exact quantile of the first round whose value >= level.

        Raises:
            InputError: more successes than an exact answer has room for.
        """
        p = self.successes_to(level)
        found = geometric_waits.quantile(p, q)
        if found is None:
            raise InputError(
                f"The quantile at level = {level!r} needs {p.size} successes at this step size, too many for an exact "
                "answer: ask for a lower level or for mean_hitting_time."
            )
        return found

    def sample(self, generator: np.random.Generator, seeds: int, at: np.ndarray) -> Curves:
        """`seeds` independent runs of the chain, recorded at the increasing rounds `at`.

        Raises:
            InputError: more than 1e8 rounds: a run is stepped through.
        """
        rounds = int(at[-1]) + 1
        if rounds > _MOST_SAMPLED:
            raise InputError(
                f"A run of {rounds:,} rounds is too long to draw round by round: ask for {_MOST_SAMPLED:,} at most."
            )
        logits = self.logits(rounds + 1)[None]
        return chain_sample(expit(logits), expit(-logits), generator, seeds, at)

    def value_quantile(self, q: float, at: np.ndarray) -> np.ndarray:
        """Quantiles by the forward recursion over the live states n; beyond a million rounds by `FarRounds`."""
        if int(at[-1]) < _STEPPED:
            return self._stepped_quantile(q, at)
        near = at[at < _NEAR]
        found = [self._stepped_quantile(q, near)] if near.size else []
        far = FarRounds(self, int(at[-1]) + 1).value_quantile(q, at[at >= _NEAR])
        return np.concatenate([*found, far])

    def _stepped_quantile(self, q: float, at: np.ndarray) -> np.ndarray:
        rounds = int(at[-1]) + 1
        success = expit(self.logits(rounds + 1))
        state = np.zeros(rounds + 2)
        state[0], low, high = 1.0, 0, 1
        found, column = np.empty(at.size), 0
        for t in range(rounds):
            if t == at[column]:
                # Rounding may leave the last sum just below q: the highest state then.
                place = low + int(np.searchsorted(np.cumsum(state[low:high]), q))
                found[column], column = success[min(place, high - 1)], column + 1
            moving = state[low:high] * success[low:high]
            state[low:high] -= moving
            state[low + 1 : high + 1] += moving
            high += 1
            while state[low] < _TRIM_LOW and low < high - 1:
                low += 1
            while state[high - 1] < _TRIM_LOW and high - 1 > low:
                high -= 1
                state[high] = 0.0
        return found

    def value_given_rewards(self, rewards: np.ndarray) -> np.ndarray | None:
        """p_n with n the successes before each round; None where kappa is only an approximation."""
        if not self.exact:
            return None
        gained = np.cumsum(rewards[:, :, 0], axis=1)
        before = np.rint(np.concatenate([np.zeros_like(gained[:, :1]), gained[:, :-1]], axis=1)).astype(np.int64)
        return expit(self.logits(rewards.shape[1] + 1))[before]


@functools.lru_cache(maxsize=16)
def _logits(law: JumpLaw, count: int) -> np.ndarray:
    logits = np.empty(count)
    state, rise, logit = law.start, law.rise, law.logit
    for n in range(count):
        logits[n] = logit(state)
        state += rise(state)
    logits.flags.writeable = False
    return logits
