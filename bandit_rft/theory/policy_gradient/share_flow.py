"""Gradient flow of a tabular softmax from any start: which correct arm wins, and how fast Pass@1 rises meanwhile.

Arms come in classes of equal probability, which exact gradients keep equal. With rho_a = pi_a/p for correct arms and
pi_a/(1-p) for wrong ones, kappa = sum rho_a^2 over all arms, and in the logit z of p instead of time

    dz/dt = eta kappa p (1-p),    d ln rho_a / dz = +-(rho_a - class mean of rho) / kappa    (+ correct, - wrong)

so the composition depends on z alone. The integration runs over s with ds = (M/kappa) dz, M = sum of one rho a class,
in which no rate exceeds 1, however unequal the classes are.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.integrate import solve_ivp
from scipy.interpolate import CubicHermiteSpline
from scipy.special import expit, logsumexp

from bandit_rft import arguments
from bandit_rft.errors import InputError
from bandit_rft.theory.catalogue import about, entry
from bandit_rft.theory.checks import check_rate
from bandit_rft.theory.laws.curve_law import GroupCurve
from bandit_rft.theory.prediction import Prediction, rounds_shown

__all__ = ["ShareFlow", "path_instability", "pg_ode_general"]

_STILL = 1e-17  # what moves less than this in its whole time stays where it is
_LONGEST = 1e5  # of s; it grows like the logarithms of time and of the classes' ratios
_TOLERANCE = 1e-10
_REFINED = 64
_ROUND = 1.0  # the unit of time in which curves are asked for


@dataclass(frozen=True, kw_only=True)
class ShareFlow(GroupCurve):
    """The flow of classes of arms: a deterministic curve.

    Attributes:
        log_mass, log_counts, correct: of each class; masses add up to 1.
        step_size: eta. rollouts: pulls a round, which multiply the regret.
    """

    log_mass: tuple[float, ...]
    log_counts: tuple[float, ...]
    correct: tuple[bool, ...]
    step_size: float
    rollouts: int = 1

    @property
    def start(self) -> float:
        """z0 = logit p0."""
        mass, correct = np.asarray(self.log_mass), np.asarray(self.correct)
        return float(np.asarray(logsumexp(mass[correct]))) - float(np.asarray(logsumexp(mass[~correct])))

    def curves(self, time: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(p, regret) at each time >= 0."""
        longest = float(np.max(time))
        p0, gap = expit(self.start), expit(-self.start)
        if self.step_size * p0 * gap * self._rho_sum() * longest < _STILL:
            return np.full(time.shape, p0), self.rollouts * gap * time
        path, unit = _path(self, longest, math.inf)
        nodes = path.t
        fine = [np.linspace(a, b, _REFINED, endpoint=False) for a, b in itertools.pairwise(nodes)]
        state = path.sol(np.append(np.concatenate(fine), nodes[-1]))
        # Between close nodes of known slopes a cubic in time is as good as the integration.
        slope = self.derivative(0.0, state, unit)
        logit, regret = (
            CubicHermiteSpline(state[-2], state[row], slope[row] / slope[-2])(time / unit) for row in (-3, -1)
        )
        return expit(logit), self.rollouts * unit * regret

    def derivative(self, s: float, state: np.ndarray, unit: float) -> np.ndarray:
        """d/ds of (ln rho of each class, z, time, regret of one rollout), the last two in units; state [C + 3, ...]."""
        del s
        classes = len(self.correct)
        column = (classes,) + (1,) * (state.ndim - 1)
        correct = np.asarray(self.correct).reshape(column)
        rho = np.exp(state[:classes])
        weighted = np.exp(2.0 * state[:classes] + np.asarray(self.log_counts).reshape(column))
        mean_correct, mean_wrong = (weighted * correct).sum(axis=0), (weighted * ~correct).sum(axis=0)
        total = rho.sum(axis=0)
        pull = np.where(correct, rho - mean_correct, mean_wrong - rho) / total
        p, gap = expit(state[classes]), expit(-state[classes])
        rise = (mean_correct + mean_wrong) / total
        time = 1.0 / (self.step_size * p * gap * total * unit)
        return np.concatenate([pull, np.stack([rise, time, time * gap])])

    def initial(self) -> np.ndarray:
        """The state at s = 0."""
        mass, correct = np.asarray(self.log_mass), np.asarray(self.correct)
        whole = np.where(correct, np.asarray(logsumexp(mass[correct])), np.asarray(logsumexp(mass[~correct])))
        return np.concatenate([mass - whole - np.asarray(self.log_counts), [self.start, 0.0, 0.0]])

    def value(self, time: np.ndarray) -> np.ndarray:
        """p(t)."""
        return self.curves(np.asarray(time, dtype=np.float64))[0]

    def regret(self, time: np.ndarray) -> np.ndarray:
        """Of all rollouts up to t."""
        return self.curves(time)[1]

    def time_to(self, level: float) -> float:
        """The time at which p reaches the level.

        Raises:
            InputError: more rounds than a float holds.
        """
        goal = math.log(level) - math.log1p(-level)
        if goal <= self.start:
            return 0.0
        if not self._rho_sum() * self.step_size * expit(self.start) > 1e-290:
            raise InputError(f"level = {level:g}: with so many arms a class it takes more rounds than a float holds.")
        path, unit = _path(self, math.inf, goal)
        return unit * float(path.y[-2, -1])

    def _rho_sum(self) -> float:
        return float(np.exp(self.initial()[: len(self.correct)]).sum())


@functools.lru_cache(maxsize=8)
def _path(flow: ShareFlow, longest: float, goal: float) -> tuple[Any, float]:
    """The integration up to a time or a logit, whichever comes first, and its unit of time."""
    initial = flow.initial()
    unit = min(longest, float(flow.derivative(0.0, initial, _ROUND)[-2]))

    def done(s: float, state: np.ndarray, unit: float) -> float:
        del s
        return max(state[-2] - longest / unit, state[-3] - goal)

    done.terminal = True  # type: ignore[attr-defined]
    found = solve_ivp(
        flow.derivative,
        (0.0, _LONGEST),
        initial,
        method="DOP853",
        rtol=_TOLERANCE,
        atol=_TOLERANCE,
        dense_output=True,
        events=done,
        args=(unit,),
    )
    if found.status != 1:
        raise InputError("The flow could not be followed to its end: give fewer rounds or a lower level.")
    return found, unit


@entry(
    formula=r"\dot z = \eta\kappa\,p(1-p),\quad \kappa = \sum_{\mathrm{correct}}(\pi_a/p)^2 + "
    r"\sum_{\mathrm{wrong}}(\pi_a/(1-p))^2,\quad \dot\theta_a = \eta\,\pi_a(r_a - p)",
    assumptions=(
        "Exact gradients of the expected reward, in the limit of small steps: no sampling noise.",
        "A table: one logit an arm; rewards 0 or 1. Arms of one class start equally likely.",
        "Plain gradient ascent at a constant step size.",
    ),
    source="derived here (docs/derivations.md)",
    units={
        "masses": "probability of each class at the start, all of them together 1",
        "log_counts": "ln of the number of arms of each class",
        "correct": "whether each class is correct",
        "step_size": "eta, logit per unit gradient, above 0",
        "rounds": "horizon T, rounds",
        "rollouts": "pulls a round, which multiply the regret",
    },
    section="A2",
    kind="prediction",
    derivation="`pg_ode_general` and `path_instability`: the winner among correct arms",
)
def pg_ode_general(
    masses: Sequence[float] | np.ndarray,
    log_counts: Sequence[float] | np.ndarray,
    correct: Sequence[bool],
    step_size: float,
    rounds: int,
    *,
    rollouts: int = 1,
) -> Prediction:
    """Gradient flow of softmax policy gradient with exact gradients, from any initial policy.

    Returns:
        The curve; hitting times are `prediction.mean_hitting_time(level)`.

    Raises:
        InputError: lengths differ, masses that do not add up to 1, no correct or no wrong class, a count below one.

    Example:
        >>> from bandit_rft import theory
        >>> masses, counts, right = [0.05, 0.95], [0.0, 5.0], [True, False]
        >>> curve = theory.pg_ode_general(masses, counts, right, step_size=0.5, rounds=100)
        >>> round(float(curve.value[-1]), 4)
        0.9504
    """
    mass, counts = arguments.numbers("masses", masses), arguments.numbers("log_counts", log_counts)
    right = np.asarray(correct, dtype=bool)
    if not mass.shape == counts.shape == right.shape:
        raise InputError(
            f"masses, log_counts and correct have {mass.size}, {counts.size}, {right.size} entries: give one a class."
        )
    if not (np.all(mass > 0) and abs(mass.sum() - 1.0) < 1e-9):
        raise InputError(f"masses add up to {mass.sum():.9g}: give positive numbers that add up to 1.")
    if not (np.all(counts >= 0) and np.all(np.isfinite(counts))):
        raise InputError("log_counts must be finite and at least 0: each class has one arm or more.")
    if right.all() or not right.any():
        raise InputError("correct must name at least one correct and one wrong class.")
    rounds, rollouts = arguments.whole("rounds", rounds), arguments.whole("rollouts", rollouts)
    law = ShareFlow(
        log_mass=tuple(np.log(mass).tolist()),
        log_counts=tuple(counts.tolist()),
        correct=tuple(right.tolist()),
        step_size=check_rate(step_size, 1.0),
        rollouts=rollouts,
    )
    at = rounds_shown(rounds)
    value = law.curves(at.astype(np.float64))[0]
    return Prediction(
        **about("pg_ode_general"),
        at=at,
        value=value,
        regret=law.curves(at + 1.0)[1],
        parameters={"p0": float(value[0]), "step_size": step_size, "rounds": rounds, "rollouts": rollouts},
        law=law,
    )


@entry(
    formula=r"\frac{d}{dt}\ln\frac{\pi_i}{\pi_j} = \eta\,(1-p)(\pi_i - \pi_j)",
    assumptions=(
        "Exact gradients of the expected reward, in the limit of small steps; a table, one logit an arm.",
        "Both arms are correct (reward 1), the others have reward 0 or 1.",
    ),
    source="derived here (docs/derivations.md)",
    units={
        "first": "pi_i, probability of one correct arm",
        "second": "pi_j, probability of another",
        "p": "probability of all correct arms together (Pass@1)",
        "step_size": "eta, logit per unit gradient, above 0",
    },
    section="A2",
    kind="quantity",
    derivation="`pg_ode_general` and `path_instability`: the winner among correct arms",
)
def path_instability(first: float, second: float, p: float, step_size: float) -> float:
    """How fast two correct arms drift apart, in nats of their ratio per round: the likelier one wins.

    Raises:
        InputError: an argument out of range, or first + second above p.

    Example:
        >>> from bandit_rft import theory
        >>> round(float(theory.path_instability(0.2, 0.1, p=0.3, step_size=0.5)), 4)
        0.035
    """
    first, second = arguments.fraction("first", first), arguments.fraction("second", second)
    p = arguments.fraction("p", p)
    if first + second > p * (1.0 + 1e-12):
        raise InputError(f"first + second = {first + second:g} exceeds p = {p:g}, which both are part of.")
    return arguments.positive("step_size", step_size) * (1.0 - p) * (first - second)
