"""P(T_n > t) of a jump chain, T_n the sum of the first n waits, as the normal score w of every listed state.

few effective waits    inverted from its generating function along Re s = A/(2t) (Abate & Whitt 1992, the
                       lattice-Poisson algorithm, with Euler's summation), kept below Chernoff's bound
very many (sd/mean below 4%)   a normal score by Cornish and Fisher's expansion to the fourth cumulant
few, and then a long learned stretch   the law of the few, moved and stretched to the mean and variance of all
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.special import binom, log_expit, ndtri_exp

from bandit_rft.theory.laws.far_states import FarStates

__all__ = ["FarScores"]

_NARROW = 0.04  # sd/mean below which the expansion serves
_SKEWED = 0.2  # and skewness
_WIDEST = 8.0  # normal scores up to which it is trusted
_DAMPING = 25.0  # A: aliases weigh e^-A, rounding e^(A/2) 2^-53
_EULER = 12
_TOLD = -27.0  # ln of a probability that nobody needs inverted
_FINE_TABLE, _MANY = 0.03, 300


@dataclass(frozen=True)
class FarScores:
    """The law of N_t by state.

    Attributes:
        states: the chain's states.
    """

    states: FarStates

    def at(self, t: int) -> np.ndarray:
        """float64 [N], the w with P(T_n > t) = Phi(w), never falling with n; n + 1/2 where a block ends at n."""
        cumulants, head = self.states.cumulants, self.states.head
        found = self.expanded(t, cumulants)
        broad = self._broad(cumulants)
        if broad[1 : head + 1].any():
            found[: head + 1] = np.where(broad[: head + 1], self._inverted(t, found[: head + 1]), found[: head + 1])
        found[head + 1 :] = self.beyond_head(t, cumulants[:, head + 1 :])
        found[0] = -np.inf
        return np.maximum.accumulate(found)

    @staticmethod
    def _broad(cumulants: np.ndarray) -> np.ndarray:
        """Where the expansion is not good enough."""
        mean, variance, third, _ = cumulants
        return (variance > (_NARROW * mean) ** 2) | (third > _SKEWED * variance**1.5)

    def beyond_head(self, t: int, cumulants: np.ndarray) -> np.ndarray:
        """Scores of states beyond the head, from their cumulants [4, N]."""
        found = self.expanded(t, cumulants)
        later = np.flatnonzero(self._broad(cumulants))
        if later.size:
            # After the head comes a stretch whose spread is small beside its own: moved and stretched, the same law.
            mean, variance = self.states.cumulants[:2, self.states.head]
            sd = math.sqrt(variance)
            alike = mean + (t * self.states.law.p0 - cumulants[0, later]) * sd / np.sqrt(cumulants[1, later])
            found[later] = self._head_scores(alike / self.states.law.p0)
        return found

    def expanded(self, t: int, cumulants: np.ndarray) -> np.ndarray:
        """Scores by Cornish and Fisher's expansion, from cumulants [4, N]."""
        mean, variance, third, fourth = cumulants
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            sd = np.sqrt(variance)
            # A sum of whole waits: at most t as soon as below t + 1/2.
            x = np.where(sd > 0.0, (mean - (t + 0.5) * self.states.law.p0) / sd, -np.inf)
            skew, excess = third / sd**3, fourth / variance**2
            kept = np.clip(x, -_WIDEST, _WIDEST)
            normal = kept + skew / 6.0 * (kept**2 - 1.0) - excess / 24.0 * (kept**3 - 3.0 * kept)
            normal = normal + skew**2 / 36.0 * (4.0 * kept**3 - 7.0 * kept) + (x - kept)
        return np.where(np.isfinite(normal), normal, x)

    def _inverted(self, t: float, guess: np.ndarray) -> np.ndarray:
        """Scores of the head's states at t: inversion where there is anything to tell, Chernoff's bound where not."""
        count = guess.size
        (late_theta, late_log), (early_theta, early_log) = self._chernoff
        above = np.min(late_log[:, :count] - late_theta * (t + 1.0), axis=0)
        below = np.min(early_log[:, :count] + early_theta * t, axis=0)
        found = np.where(above < below, ndtri_exp(np.minimum(above, -1e-9)), -ndtri_exp(np.minimum(below, -1e-9)))
        # A success that hardly ever comes still counts where all regret but little is lost waiting for it.
        log_wait = np.concatenate([[0.0], -log_expit(self.states.listed.logit[: count - 1])])
        told = np.minimum(_TOLD, _TOLD + math.log(t) - log_wait)
        open_question = np.flatnonzero((above > _TOLD) & (below > told))
        open_question = open_question[open_question > 0]
        if not open_question.size:
            return found
        last = int(open_question[-1]) + 1
        narrowest = float(np.sqrt(self.states.cumulants[1][open_question]).min()) / self.states.law.p0
        k = np.arange(24 + math.ceil(2.1 * min(t / narrowest, 1.0 / _NARROW)) + _EULER + 1)
        s = ((_DAMPING / 2.0 + 1j * np.pi * k) / t)[:, None]
        rest = -np.expm1(-s)
        log_transform = self.states.summed(lambda logit: -s - np.log1p(np.exp(-logit) * rest), last)
        late, early = (np.log(part) for part in self._summation(t, k, log_transform, rest))
        log_late, log_early = np.minimum(late, above[:last]), np.minimum(early, below[:last])
        scores = np.where(late < early, ndtri_exp(log_late), -ndtri_exp(log_early))
        found[open_question] = scores[open_question]
        return found

    @staticmethod
    def _summation(t: float, k: np.ndarray, log_transform: np.ndarray, rest: np.ndarray) -> list[np.ndarray]:
        """P(T_n > t) and P(T_n <= t) from ln E e^{-s T_n} [K, N] at s = (A/2 + i pi k)/t and 1 - e^{-s} [K, 1]."""
        signs = np.where(k == 0, 1.0, 2.0 * (-1.0) ** k)[:, None]
        weights = binom(_EULER, np.arange(_EULER + 1)) / 2.0**_EULER * math.exp(_DAMPING / 2.0) / (2.0 * t)
        found = []
        for transform in (-np.expm1(log_transform), np.exp(log_transform)):
            partial = np.cumsum(signs * np.real(transform / rest), axis=0)[-_EULER - 1 :]
            found.append(np.clip(weights @ partial, 1e-320, 1.0))
        return found

    @cached_property
    def _chernoff(self) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
        """(theta [J, 1], ln E e^{theta T_n} [J, N]) for theta > 0, and (theta, ln E e^{-theta T_n}); N the head's."""
        states, stop = self.states, self.states.head + 1
        rarest = float(states.listed.logit[:stop].min())
        slowest = math.log1p(math.exp(rarest))  # -ln(1 - p)
        late = slowest * np.array([0.1, 0.3, 0.6, 0.8, 0.9, 0.97])[:, None]
        early = np.geomspace(0.1 / states.horizon, 1.0, 45)[:, None]

        def summed(theta: np.ndarray) -> np.ndarray:
            return states.summed(lambda logit: theta - np.log1p(-np.exp(-logit) * np.expm1(theta)), stop)

        return (late, summed(late)), (early, summed(-early))

    @cached_property
    def _head_law(self) -> PchipInterpolator:
        """Score of the head's last state over ln t."""
        states, head = self.states, self.states.head
        mean, sd = (float(part[head]) / states.law.p0 for part in (states.cumulants[0], np.sqrt(states.cumulants[1])))
        least = max(float(states.listed.number[head]), mean * 1e-6, 1.0)
        # A law of many waits bends little, and each point of it costs more.
        step = _FINE_TABLE if head < _MANY else 3.0 * _FINE_TABLE
        times = mean + sd * np.concatenate([np.arange(-5.0, 12.0, step), np.arange(12.0, 40.0, 0.5)])
        times = np.concatenate([np.geomspace(least, max(mean, 2.0 * least), round(15.0 / step)), times])
        log_times = np.unique(np.round(np.log(times[times >= least]), 9))
        guess = np.zeros(head + 1)
        scores = np.array([self._inverted(t, guess)[-1] for t in np.exp(log_times)])
        # Where n rounds hold n successes the sum rings; from there back to certainty it can only rise.
        return PchipInterpolator(log_times, np.maximum.accumulate(scores[::-1])[::-1])

    def _head_scores(self, times: np.ndarray) -> np.ndarray:
        low, high = self._head_law.x[[0, -1]]
        log_times = np.log(np.maximum(times, 1e-300))
        found = self._head_law(np.clip(log_times, low, high))
        # Fewer rounds than successes are impossible; beyond the table's end the tail is some e^-40.
        return np.where(log_times < low, 9.0, np.where(log_times > high, found - 30.0, found))
