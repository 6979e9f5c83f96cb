"""The curve of a window of scores, whose older scores were drawn by the policies of earlier rounds."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np

from bandit_rft import arguments, signal_checks
from bandit_rft.theory.catalogue import about, entry
from bandit_rft.theory.checks import check_rate, check_start
from bandit_rft.theory.laws.curve_law import GroupCurve
from bandit_rft.theory.policy_gradient.group_flow import ASSUMPTIONS, UNITS, large_step, logit_of
from bandit_rft.theory.policy_gradient.groups import check_group
from bandit_rft.theory.policy_gradient.score_window import signal_in_window
from bandit_rft.theory.policy_gradient.softmax import table_kappa
from bandit_rft.theory.prediction import Prediction

__all__ = ["LONGEST_WINDOW", "MOST_ROUNDS", "WindowLaw", "pg_window"]

MOST_ROUNDS = 100_000  # that are stepped through
LONGEST_WINDOW = 1024  # scores; a round's law of counts takes their square


@dataclass(frozen=True, kw_only=True)
class WindowLaw(GroupCurve):
    """z moves by rate p(1-p) M each round; M is that of the window as it was gathered, every `period` rounds."""

    p0: float
    rate: float
    signal: str
    rollouts: int
    window: int
    period: int
    ddof: int
    eps: float

    def value(self, time: np.ndarray) -> np.ndarray:
        """p at whole rounds."""
        return _chances(self, int(np.max(time)) + 1)[time.astype(np.int64)]

    def regret(self, time: np.ndarray) -> np.ndarray:
        """rollouts x sum of 1 - p over the rounds before t."""
        return np.concatenate([np.zeros(1), _missed(self, int(np.max(time)))])[time.astype(np.int64)]

    def time_to(self, level: float) -> float:
        """The first round at the level; infinity where none of the first 100,000 is."""
        rounds = 1024
        while True:
            reached = np.flatnonzero(_chances(self, rounds) >= level)
            if reached.size:
                return float(reached[0])
            if rounds >= MOST_ROUNDS:
                return math.inf
            rounds = min(4 * rounds, MOST_ROUNDS)

    def drift(self, p: float, older: list[float]) -> float:
        """M where this round's chance is p and that of the older visits, the newest first, was `older`."""
        counts = [self.rollouts - 1]
        for _ in older:
            counts.append(min(self.rollouts, self.window - 1 - sum(counts)))
        others = sum(counts)
        up, down, turn = _tables(others + 1, self.signal, self.ddof, self.eps)
        # The law of the number of correct scores among the others, by its characteristic function.
        chances = np.array([p, *older])
        spectrum = np.prod((1.0 - chances + chances * turn[:, None]) ** np.array(counts), axis=1)
        weight = np.fft.fft(spectrum).real / (others + 1)
        return float(weight @ (up - down))

    def visits(self) -> int:
        """How many earlier visits the window reaches back to."""
        return -(-(self.window - self.rollouts) // self.rollouts)


@functools.lru_cache(maxsize=2048)
def _tables(held: int, signal: str, ddof: int, eps: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of a window that holds so many scores, by the number of correct ones among the others: the signal of a correct
    score and of a wrong one; and the roots of unity of the law of that number.
    """
    others = np.arange(held, dtype=np.float64)
    up = signal_in_window(1.0, (others + 1.0) / held, held, signal, ddof, eps)
    down = signal_in_window(0.0, others / held, held, signal, ddof, eps)
    return up, down, np.exp(2j * np.pi * others / held)


@functools.lru_cache(maxsize=4)
def _chances(law: WindowLaw, rounds: int) -> np.ndarray:
    """p before each round, float64 [rounds]."""
    chance, z, reach = np.empty(rounds), logit_of(law.p0), law.visits()
    for t in range(rounds):
        chance[t] = p = 1.0 / (1.0 + math.exp(-z))
        older = chance[t - law.period :: -law.period][:reach].tolist() if t >= law.period else []
        z += law.rate * p * (1.0 - p) * law.drift(p, older)
    return chance


def _missed(law: WindowLaw, rounds: int) -> np.ndarray:
    """rollouts x sum of 1 - p up to and including each round, float64 [rounds]."""
    return law.rollouts * np.cumsum(1.0 - _chances(law, rounds))


@entry(
    formula=r"z_{t+1} = z_t + \eta\kappa\,p_t(1-p_t)\,M_t,\quad M_t = \sum_s P(S_t=s)\,[A(1 \mid s) - A(0 \mid s)],"
    "\n"
    r"S_t = \mathrm{Bin}(G-1, p_t) + \sum_{j \ge 1} \mathrm{Bin}(g_j, p_{t-jB}),\quad g_j \le G,\ "
    r"\sum_j g_j \le W - G;\quad A: \mathrm{score\_window\_drift}",
    assumptions=(
        *ASSUMPTIONS,
        "A question is met every B rounds (period). In between others move the policy, alike in kernel and in Pass@1, "
        "each with a window of its own; with B = 1 there is one question.",
        "The window starts empty: a signal takes mean and spread of the scores that there are.",
    ),
    source="derived here (docs/derivations.md)",
    units={
        **UNITS,
        "rounds": "horizon T, rounds, up to 100,000",
        "window": "W, newest scores of a question that give mean and spread, this round's among them, from G to 1,024",
        "signal": "grpo or mean_baseline",
        "period": "B, rounds from one meeting of a question to the next",
        "ddof": "1: sample standard deviation, 0: population (grpo)",
        "eps": "added to the standard deviation, at least 0 (grpo)",
    },
    section="B8.1",
    kind="prediction",
    derivation="`score_window_drift` and `pg_window`",
)
def pg_window(
    p0: float,
    step_size: float,
    rounds: int,
    rollouts: int,
    window: int,
    signal: str = "grpo",
    optimal: int = 1,
    log_arms: float | None = None,
    *,
    period: int = 1,
    ddof: int = 1,
    eps: float = 0.0,
    kappa: float | None = None,
) -> Prediction:
    """Mean-field curve of softmax policy gradient with a window of scores, the older of which lag behind the policy.

    In the limit of small steps it is `pg_group` with that window, which has no delay and no empty window to fill.

    Returns:
        Value and regret at every round; no spread between seeds is predicted. `flags` names a large step.

    Raises:
        InputError: an argument out of range, another signal, or a window of one score, which teaches nothing.

    Example:
        >>> from bandit_rft import theory
        >>> lag = [theory.pg_window(0.05, 0.1, 200, 2, 16, period=every).value[-1] for every in (1, 20)]
        >>> [round(float(p), 3) for p in lag]
        [0.951, 0.911]
    """
    rounds = arguments.whole("rounds", rounds, most=MOST_ROUNDS)
    rollouts, eps = check_group(signal, rollouts, ddof, eps)
    window = arguments.whole("window", window, max(rollouts, 2), LONGEST_WINDOW)
    signal_checks.check_window(window, signal, rollouts, extra=0)
    constant = table_kappa(optimal, log_arms) if kappa is None else arguments.positive("kappa", kappa)
    rate = check_rate(step_size, constant)
    law = WindowLaw(
        p0=check_start(p0),
        rate=rate,
        signal=signal,
        rollouts=rollouts,
        window=window,
        period=arguments.whole("period", period),
        ddof=ddof,
        eps=eps,
    )
    return Prediction(
        **about("pg_window"),
        value=_chances(law, rounds),
        regret=_missed(law, rounds),
        parameters={
            "p0": p0,
            "step_size": step_size,
            "rounds": rounds,
            "rollouts": rollouts,
            "window": window,
            "signal": signal,
            "optimal": optimal,
            "log_arms": log_arms,
            "period": law.period,
            "ddof": ddof,
            "eps": eps,
            "kappa": constant,
        },
        law=law,
        flags=large_step(rate),
    )
