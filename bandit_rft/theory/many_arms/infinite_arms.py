"""Infinitely many Bernoulli arms, means uniform on [0, 1]: the lower bound, and strategies that judge by runs (E)."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betaln, digamma

from bandit_rft import arguments
from bandit_rft.errors import InputError
from bandit_rft.theory.bound import Bound
from bandit_rft.theory.catalogue import about, entry
from bandit_rft.theory.prediction import Prediction, rounds_shown

__all__ = ["berry_lower", "best_run_regret", "one_failure_regret", "two_target_regret"]

_STEP = 0.25  # of the trapezoid rule, whose error is exp(-pi^2/step)
_NEGLIGIBLE = 40.0  # exp(-40) of an integrand is dropped at either end
_RECURSION = 20_000  # rounds up to which a search that outlasts the horizon is counted exactly
_LONGEST_SEARCH = 0.05  # of the horizon, above that: neglecting longer ones errs by exp(-20)
_EVERY = 10_000
_AT_ONCE = 4096
_MOST_FAILURES = 50

_UNIFORM = (
    "Infinitely many Bernoulli arms; means independent, uniform on [0, 1]; regret against a mean of 1.",
    "The horizon is known to the strategy.",
)


@entry(
    formula=r"\liminf_n \frac{E R_n}{\sqrt n} \ge \sqrt 2",
    assumptions=(_UNIFORM[0], "Asymptotic: at a finite horizon a strategy may do better (half a reward at n = 1)."),
    source="Berry, Chen, Zame, Heath, Shepp 1997 (Annals of Statistics 25), as restated in Bonald, Proutiere 2013, "
    "abstract, and Chan, Hu 2018 (arXiv 1805.11793), introduction",
    units={"rounds": "horizons n, one or several, increasing"},
    section="E6",
    kind="bound",
)
def berry_lower(rounds: ArrayLike) -> Bound:
    """No strategy's expected regret on uniform Bernoulli arms is asymptotically below sqrt(2n).

    Returns:
        A lower bound on the Bayesian regret at each horizon; asymptotic.

    Raises:
        InputError: horizons that are no increasing whole numbers from 1.

    Example:
        >>> import numpy as np
        >>> from bandit_rft import theory
        >>> round(float(np.max(theory.berry_lower(rounds=1000).value)), 2)
        44.72
    """
    at = _horizons(rounds)
    if np.any(np.diff(at) <= 0):
        raise InputError("rounds must increase: give the horizons in order, each once.")
    return Bound(
        **about("berry_lower"),
        kind="lower",
        quantity="Bayesian regret",
        at=at,
        uncapped=np.sqrt(2.0 * at),
        trivial=np.zeros(at.size),
        asymptotic=True,
        parameters={"rounds": rounds},
    )


@entry(
    formula=r"E R_n = \int_{-\infty}^{\infty}\frac{1-(1+e^y)^{-n}}{e^y\,(y^2+\pi^2)}\,dy \sim \frac{n}{\ln n},\qquad "
    r"1 - E[\mathrm{value}_t] = \int_{-\infty}^{\infty}\frac{dy}{(1+e^y)^{t+1}(y^2+\pi^2)}",
    assumptions=(_UNIFORM[0], "An arm is pulled until its first failure, then never again."),
    source="derived here (docs/derivations.md); the strategy is that of Berry et al. 1997",
    units={"rounds": "horizon n, rounds of one pull"},
    section="E7",
    kind="prediction",
    derivation="`one_failure_regret`",
)
def one_failure_regret(rounds: int) -> Prediction:
    """One failure and out, on uniform Bernoulli arms: the exact mean curves.

    Returns:
        Value and regret, exact to 1e-12; above 10^4 rounds at some 4,000 rounds only. The law of a run is not given.

    Raises:
        InputError: rounds < 1.

    Example:
        >>> from bandit_rft import theory
        >>> round(float(theory.one_failure_regret(rounds=400).regret[-1]), 2)
        69.24
    """
    rounds = arguments.whole("rounds", rounds)
    shown = rounds_shown(rounds)
    if rounds > _EVERY:
        shown = np.unique(np.rint(np.geomspace(1, rounds, 4096)).astype(np.int64)) - 1
    last = np.ceil((math.log(rounds) + _NEGLIGIBLE) / _STEP)
    y = _STEP * np.arange(-last, np.ceil(_NEGLIGIBLE / _STEP) + last)
    weight = _STEP / (y**2 + math.pi**2)
    log_left = np.log1p(np.exp(y))
    # Below the grid the integrands are n and 1, and the rest of the sum of weights is a digamma function.
    below = np.imag(digamma(last + 1.0 + 1j * math.pi / _STEP)) / math.pi
    survive, lost = np.empty(shown.size), np.empty(shown.size)
    for start in range(0, shown.size, _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        log_power = np.outer(shown[part] + 1.0, log_left)
        survive[part] = np.exp(-log_power) @ weight + below
        lost[part] = -np.expm1(-log_power) @ (weight * np.exp(-y)) + below * (shown[part] + 1.0)
    return Prediction(
        **about("one_failure_regret"),
        value=1.0 - survive,
        regret=lost,
        at=None if shown.size == rounds else shown,
        parameters={"rounds": rounds},
    )


@entry(
    formula=r"X = \text{first run},\ s = P(X<m) = \tfrac{m}{m+1},\ \mu = E[X+1\mid X<m] = \tfrac{H_{m+1}-1}{s}:\quad "
    r"E R_n = \sum_{j<m} s^j(1-s)\left[j + \tfrac{n-m-j\mu}{m+2}\right] + s^m\left[m + "
    r"E\tfrac{2(n - S)}{\max X + 3}\right] \sim (2 + \tfrac2e)\sqrt n;"
    "\n"
    r"\text{never giving up: } E R_n \approx m + \tfrac{n - m(1 + H_{m+1} - 1 + (H_{m+1}-1)/m)}{m+2} \sim 2\sqrt n",
    assumptions=(
        *_UNIFORM,
        "An arm is pulled until its first failure; the first with m successes running is kept. With give_up, after m "
        "arms that failed the one of the longest first run is kept instead.",
        "m^2 <= n, so that the search ends within the horizon (give_up).",
    ),
    source="derived here (docs/derivations.md); strategies of Berry et al. 1997, whose 2 sqrt(n) (Bonald, Proutiere "
    "2013, abstract) is reached by the one that never gives up",
    units={
        "rounds": "horizons n, one or several",
        "run_length": "m, successes running that keep an arm; None: sqrt(n), rounded down",
        "give_up": "whether the search ends after m arms that failed",
    },
    section="E8",
    kind="quantity",
    derivation="`best_run_regret`",
)
def best_run_regret(rounds: ArrayLike, run_length: int | None = None, give_up: bool = True) -> float | np.ndarray:
    """Keep the first arm with sqrt(n) successes running: the regret of both forms of the strategy at a horizon.

    Returns:
        A float for a single horizon, else float64 [len(rounds)]. Exact with give_up, and without up to 20,000 rounds;
        beyond, a search that outlasts the horizon is neglected (relative error below 1e-8).

    Raises:
        InputError: horizons that are no whole numbers from 1, run_length < 1, or its square above a horizon.

    Example:
        >>> from bandit_rft import theory
        >>> round(float(theory.best_run_regret(rounds=1000)), 4)
        74.713
    """
    horizons, give_up = _horizons(rounds), arguments.flag("give_up", give_up)
    result = np.empty(horizons.size)
    for index, horizon in enumerate(horizons.tolist()):
        length = math.isqrt(horizon) if run_length is None else arguments.whole("run_length", run_length)
        if length**2 > horizon:
            raise InputError(f"run_length is {length}: its square must not exceed the horizon, {horizon} rounds.")
        if give_up:
            result[index] = _giving_up(horizon, length)
        else:
            result[index] = _kept_for_ever(horizon, _one_target(length))
    return float(result[0]) if np.ndim(rounds) == 0 else result


def _giving_up(rounds: int, length: int) -> float:
    place = np.arange(length)
    short = length / (length + 1.0)  # P(first run < length)
    tries = (_harmonic(length + 1.0) - 1.0) / short  # E[pulls of an arm that failed before]
    found = np.sum(
        short**place * (1.0 - short) * (place + (rounds - length - place * tries) / (length + 2.0)),
    )
    # E[2 (n - S)/(max X + 3)], S the pulls of the search, from P(max X <= k) and E[S 1{max X <= k}].
    below = (place + 1.0) / (place + 2.0) / short
    spent = length * (_harmonic(place + 2.0) - 1.0) / short * below ** (length - 1.0)
    left = np.diff(rounds * below**length - spent, prepend=0.0)
    return float(found + short**length * (length + np.sum(2.0 / (place + 3.0) * left)))


@entry(
    formula=r"E R_n \approx \frac{E[(1-\theta)N;\,\mathrm{rejected}]}{P(\mathrm{kept})} + \left(n - "
    r"\frac{E[N;\,\mathrm{rejected}]}{P(\mathrm{kept})}\right) E[1-\theta\mid \mathrm{kept}] \sim "
    r"\sqrt{2n}\left(1+\frac{1}{2m}\right)",
    assumptions=(
        *_UNIFORM,
        "Targets l1 = floor((n/2)^(1/3)) successes before the first failure and l2 = floor(m sqrt(n/2)) before the "
        "m-th; an arm that meets both is kept for ever.",
    ),
    source="derived here (docs/derivations.md); algorithm of Bonald, Proutiere 2013 (NIPS), which has sqrt(2n) for "
    "large m; N is an arm's pulls, theta its mean",
    units={"rounds": "horizons n, one or several", "failures": "m, 1 to 50"},
    section="E9",
    kind="quantity",
    derivation="`two_target_regret`",
)
def two_target_regret(rounds: ArrayLike, failures: int = 3) -> float | np.ndarray:
    """Two targets on uniform Bernoulli arms: the regret at a horizon, near sqrt(2n)(1 + 1/(2m)).

    Returns:
        A float for a single horizon, else float64 [len(rounds)]. Exact up to 20,000 rounds; beyond, a search that
        outlasts the horizon is neglected (relative error below 1e-8).

    Raises:
        InputError: horizons that are no whole numbers from 2, failures outside 1 to 50, or so many that the search
            takes over a twentieth of a horizon above 20,000 rounds.

    Example:
        >>> from bandit_rft import theory
        >>> round(float(theory.two_target_regret(rounds=30)), 4)
        7.217
    """
    horizons, failures = _horizons(rounds, 2), arguments.whole("failures", failures)
    arguments.between("failures", failures, 1, _MOST_FAILURES)
    result = np.empty(horizons.size)
    for index, horizon in enumerate(horizons.tolist()):
        first = math.floor(np.cbrt(horizon / 2))
        second = math.floor(failures * math.sqrt(horizon / 2))
        result[index] = _kept_for_ever(horizon, _two_targets(first, second, failures))
    return float(result[0]) if np.ndim(rounds) == 0 else result


class _Arm(NamedTuple):
    """One arm of uniform mean theta, pulled until it is rejected.

    Attributes:
        pulls: int64 [L], increasing, N of an arm that is rejected; chance: P(N = pulls); gap: E[1 - theta; N = pulls].
        kept: P(never rejected); kept_gap: E[1 - theta; never rejected].
    """

    pulls: np.ndarray
    chance: np.ndarray
    gap: np.ndarray
    kept: float
    kept_gap: float


def _soon(first: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pulls, chance and gap of an arm that fails before `first` successes."""
    run = np.arange(first)
    chance = 1.0 / ((run + 1.0) * (run + 2.0))
    return run + 1, chance, 2.0 * chance / (run + 3.0)


def _one_target(first: int) -> _Arm:
    """Rejected at the first failure unless `first` successes came before."""
    kept = 1.0 / (first + 1.0)
    return _Arm(*_soon(first), kept=kept, kept_gap=kept / (first + 2.0))


def _two_targets(first: int, second: int, failures: int) -> _Arm:
    """Rejected at the first failure unless `first` successes came before, at the last unless `second` in all."""
    pulls, chance, gap = _soon(first)
    total = np.arange(first, second)
    later = total - first
    # C(later + m - 1, m - 1) = 1/((later + m) B(later + 1, m)) ways to place the failures but the last.
    log_ways = -np.log(later + failures) - betaln(later + 1.0, failures)
    few = np.arange(failures)
    # C(second - first + f - 1, f) ways to have f failures, f < m, before the last success that is needed.
    ways = np.cumprod(np.concatenate([[1.0], (second - first + few[:-1]) / few[1:]]))
    return _Arm(
        pulls=np.concatenate([pulls, total + failures]),
        chance=np.concatenate([chance, np.exp(log_ways + betaln(total + 1.0, failures + 1.0))]),
        gap=np.concatenate([gap, np.exp(log_ways + betaln(total + 1.0, failures + 2.0))]),
        kept=float(np.sum(ways * np.exp(betaln(second + 1.0, few + 1.0)))),
        kept_gap=float(np.sum(ways * np.exp(betaln(second + 1.0, few + 2.0)))),
    )


def _kept_for_ever(rounds: int, arm: _Arm) -> float:
    if rounds > _RECURSION:
        search = float(arm.chance @ arm.pulls) / arm.kept
        if search > _LONGEST_SEARCH * rounds:
            raise InputError(f"The search takes {search:.4g} of {rounds} rounds on average: give fewer failures.")
        return (float(arm.gap @ arm.pulls) + (rounds - search) * arm.kept_gap) / arm.kept
    # R(t) = E[loss of the first arm within t pulls] + sum_k P(N = k) R(t - k).
    longest = int(arm.pulls[-1])
    size = max(rounds, longest) + 1
    chance = np.bincount(arm.pulls, weights=arm.chance, minlength=size)
    gap = np.bincount(arm.pulls, weights=arm.gap, minlength=size)
    held = arm.kept_gap + gap[::-1].cumsum()[::-1]  # E[1 - theta; N >= pull]
    regret = np.concatenate([[0.0], held[1 : rounds + 1].cumsum()])
    for t in range(rounds + 1):
        reach = min(t, longest)
        regret[t] += chance[1 : reach + 1] @ regret[t - reach : t][::-1]
    return float(regret[-1])


def _harmonic(number: ArrayLike) -> np.ndarray:
    return digamma(np.asarray(number, dtype=np.float64) + 1.0) + np.euler_gamma


def _horizons(rounds: ArrayLike, least: int = 1) -> np.ndarray:
    found = arguments.numbers("rounds", rounds)
    if not np.all((found >= least) & (found == np.floor(found)) & (found <= 1e15)):
        raise InputError(f"rounds holds a number that is no whole number from {least} to 1e15: give horizons.")
    return found.astype(np.int64)
