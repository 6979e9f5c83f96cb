"""The law's assumptions, each by a test of its own with a p-value; Holm (1979) keeps their common false-alarm rate."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from scipy import stats

from bandit_rft.training_logs.fitting import BEND, PAID, SPREAD, Fit, fit, profile
from bandit_rft.training_logs.following import Followed, Follower
from bandit_rft.training_logs.log import TrainingLog

__all__ = ["Assumption", "blocks", "holm", "tested"]

BLOCKS = 8  # that a curve is seen in
_TOSSED = 4000
_DRAWN = np.random.SeedSequence(21)


@dataclass(frozen=True)
class Assumption:
    """One assumption and its test.

    Attributes:
        name: of the assumption.
        holds: what it says, one sentence. otherwise: what the log says where it fell.
        p: the test's p-value. p_holm: the same, corrected for the number of tests.
        evidence: nats by which the log prefers that it fell (half of z² where the test is one of z).
        estimate, low, high: of the test's own number, with its 95% interval; None where it has none.
        low_open, high_open: whether the interval reaches the end of the search there, so that it may go on.
        quantity: what that number is.
    """

    name: str
    holds: str
    otherwise: str
    p: float
    evidence: float
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    low_open: bool = False
    high_open: bool = False
    quantity: str = ""
    p_holm: float = 1.0

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return dict(vars(self))


def holm(found: list[Assumption]) -> list[Assumption]:
    """With p_holm: the smallest p times the number of tests, the next times one less, and so on, never falling."""
    order = sorted(range(len(found)), key=lambda place: found[place].p)
    corrected, least = list(found), 0.0
    for rank, place in enumerate(order):
        least = max(least, min(1.0, found[place].p * (len(found) - rank)))
        corrected[place] = replace(found[place], p_holm=least)
    return corrected


def blocks(rows: int) -> list[slice]:
    """At most `BLOCKS` slices of neighbouring rows."""
    cuts = np.unique(np.linspace(0, rows, min(BLOCKS, rows) + 1).astype(int))
    return [slice(low, high) for low, high in pairwise(cuts)]


def tested(log: TrainingLog, follower: Follower) -> tuple[Fit, list[Assumption]]:
    """The law fitted to all rounds, and the tests of its assumptions."""
    plain = fit(follower)
    found = [
        _bend(follower, plain),
        _paid(follower, plain),
        _spread(follower, plain),
        _binomial(log, follower.followed(plain.parameters)),
        _rises(log),
    ]
    dead = None if follower.signal.filtered else _dead(log)
    return plain, [*found, dead] if dead else found


def _bend(follower: Follower, plain: Fit) -> Assumption:
    loose = profile(follower, BEND, plain)
    nats, ratio = loose.gained, math.exp(loose.value)
    way = "falls" if ratio < 1 else "rises"
    return Assumption(
        name="kappa_constant",
        holds="kappa is the same along the run",
        otherwise=f"kappa {way} along the run (a response of several decisions, a schedule that the log does not show, "
        "or an optimiser that scales its steps)",
        p=float(stats.chi2.sf(2 * nats, 1)),
        evidence=nats,
        estimate=ratio,
        low=math.exp(loose.low),
        high=math.exp(loose.high),
        low_open=loose.low_open,
        high_open=loose.high_open,
        quantity="kappa at a reward of 1 over kappa at the start",
    )


def _edge(nats: float) -> float:
    """The p-value of a likelihood ratio whose parameter is at the end of its range under the law: half of chi squared
    with one degree (Self and Liang 1987).
    """
    return 1.0 if nats <= 0 else float(stats.chi2.sf(2 * nats, 1)) / 2


def _paid(follower: Follower, plain: Fit) -> Assumption:
    loose = profile(follower, PAID, plain)
    nats = loose.gained
    return Assumption(
        name="verifier_exact",
        holds="each right response is paid, so that the reward can reach 1",
        otherwise="the verifier refuses some right responses, or part of the prompts cannot be learnt: the reward has "
        "a ceiling below 1; or groups of equal rewards were left out of it, which --dynamic-sampling tells",
        p=_edge(nats),
        evidence=nats,
        estimate=loose.value,
        low=loose.low,
        high=loose.high,
        low_open=loose.low_open,
        high_open=loose.high_open,
        quantity="ceiling of the reward",
    )


def _spread(follower: Follower, plain: Fit) -> Assumption:
    loose = profile(follower, SPREAD, plain)
    nats = loose.gained
    return Assumption(
        name="prompts_alike",
        holds="all prompts start from one p0",
        otherwise="prompts start from different p0, which gives a flatter curve",
        p=_edge(nats),
        evidence=nats,
        estimate=loose.value,
        low=loose.low,
        high=loose.high,
        low_open=loose.low_open,
        high_open=loose.high_open,
        quantity="standard deviation of prompts' logit p0",
    )


def _binomial(log: TrainingLog, followed: Followed) -> Assumption:
    """By squared differences of neighbours, which a curve of another shape hardly changes (von Neumann 1941), against
    the same of coin tosses drawn at the fitted probabilities.
    """
    chance, spread = followed.chance[0], followed.spread[0]
    tossed = np.sqrt(log.responses * chance * (1 - chance))
    rows = tossed > math.sqrt(0.5)
    number, mean = log.responses[rows], (log.responses * chance)[rows]

    def scatter(right: np.ndarray, scale: np.ndarray) -> np.ndarray:
        return np.mean(np.square(np.diff((right - mean) / scale[rows], axis=-1)), axis=-1) / 2

    p, z, ratio = 1.0, 0.0, 1.0
    if number.size >= 10:
        ratio = float(scatter(log.successes[rows], spread))
        drawn = scatter(np.random.default_rng(_DRAWN).binomial(number, chance[rows], (_TOSSED, number.size)), tossed)
        p = float((1 + np.sum(drawn >= ratio)) / (1 + _TOSSED))
        z = (ratio - float(drawn.mean())) / max(float(drawn.std()), 1e-12)
    return Assumption(
        name="rounds_binomial",
        holds="rewards of a round scatter as coin tosses of one probability do",
        otherwise="rewards scatter more from round to round than coin tosses do: rounds draw different prompts, or "
        "responses of a round depend on each other",
        p=p,
        evidence=max(z, 0.0) ** 2 / 2,
        estimate=ratio,
        quantity="scatter over that of coin tosses",
    )


def _rises(log: TrainingLog) -> Assumption:
    """The largest fall between two of eight blocks, corrected for the number of pairs.

    Two blocks have the variance of both together: of few responses that of each alone is smallest where chance has
    parted them most.
    """
    parts = blocks(log.rows)
    right = np.array([log.successes[part].sum() for part in parts])
    number = np.array([log.responses[part].sum() for part in parts])
    mean = right / number
    worst, fall = 0.0, 0.0
    for late in range(1, len(parts)):
        for early in range(late):
            both = (right[early] + right[late]) / (number[early] + number[late])
            variance = both * (1 - both) * (1 / number[early] + 1 / number[late])
            z = (mean[early] - mean[late]) / math.sqrt(variance) if variance > 0 else 0.0
            if z > worst:
                worst, fall = float(z), float(mean[early] - mean[late])
    pairs = len(parts) * (len(parts) - 1) // 2
    return Assumption(
        name="reward_never_falls",
        holds="the mean reward never falls",
        otherwise="the reward falls, which no update of the mean of signal times score does at a step this small",
        p=min(1.0, pairs * float(stats.norm.sf(worst))),
        evidence=worst**2 / 2,
        estimate=fall,
        quantity="largest fall between two eighths of the log",
    )


def _dead(log: TrainingLog) -> Assumption | None:
    """More groups of equal rewards than a random division of the row's rewards into groups has, against numbers of them
    drawn at the expected shares: where few are expected, one or two are far from normal.
    """
    if log.dead is None:
        return None
    groups = log.responses // log.group
    rows = groups > 1
    if not rows.any():
        return None
    of = log.responses[rows], log.successes[rows], log.group[rows]
    expected = stats.hypergeom.pmf(0, *of) + stats.hypergeom.pmf(log.group[rows], *of)
    # At most that of independent groups where rewards are divided among them at random.
    spread = math.sqrt(float(np.sum(groups[rows] * expected * (1 - expected))))
    excess = float(np.sum(groups[rows] * (log.dead[rows] - expected)))
    z = excess / spread if spread > 0 else 0.0
    generator, drawn = np.random.default_rng(_DRAWN), np.zeros(_TOSSED)
    for number, chance in zip(groups[rows], np.minimum(expected, 1.0), strict=True):
        drawn += generator.binomial(number, chance, _TOSSED)
    observed = float(np.sum(groups[rows] * log.dead[rows])) - 0.5  # whole, but for the digits of the log
    return Assumption(
        name="groups_alike",
        holds="groups of a round are of one probability",
        otherwise="more groups have equal rewards than prompts that are alike would have: prompts differ",
        p=float((1 + np.sum(drawn >= observed)) / (1 + _TOSSED)),
        evidence=max(z, 0.0) ** 2 / 2,
        estimate=excess / float(groups[rows].sum()),
        quantity="share of groups that teach nothing, above the expected",
    )
