"""The flow of the mean update of groups of rollouts, for every signal, by quadrature."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.interpolate import CubicHermiteSpline
from scipy.special import expit, log_expit

from bandit_rft import arguments, signal_checks
from bandit_rft.errors import InputError
from bandit_rft.theory.catalogue import about, entry
from bandit_rft.theory.checks import check_rate, check_start
from bandit_rft.theory.laws.curve_law import GroupCurve
from bandit_rft.theory.policy_gradient.dynamic_sampling import groups_drawn, last_group_reward
from bandit_rft.theory.policy_gradient.groups import SIGNALS, check_group, check_k, multiplier, summed_group
from bandit_rft.theory.policy_gradient.softmax import table_kappa
from bandit_rft.theory.prediction import Curves, Prediction, rounds_shown

__all__ = ["ASSUMPTIONS", "UNITS", "GroupFlowLaw", "large_step", "logit_of", "pg_group"]

_LARGE_STEP = 0.2  # of the step size times kappa, above which noise and curvature of single rounds show
_PANEL = 1.0 / 512.0  # of the logit: Hermite interpolation is then good to 3e-10
_PANELS = np.arange(513)  # edges of the panels integrated at once
_BEND = 8.0  # slope of ln M in the logit up to which panels of that width do
_ENDLESS = 1e290  # rounds, beyond which all numbers of them are alike
_LEAST_GAIN = 1e-200  # of M: where pass_at_k is below, nothing moves within any number of rounds
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(2)  # on a panel good to 1e-14

UNITS = {
    "p0": "probability of a correct answer at the start (Pass@1), in (0, 1)",
    "step_size": "eta, logit per unit gradient, above 0; the round's rollouts are averaged",
    "rounds": "horizon T, rounds",
    "optimal": "m, number of optimal arms",
    "log_arms": "ln K, K the number of arms; None: infinitely many",
    "kappa": "squared gradient gap |grad logit p|^2; None: the table's own constant",
    "rollouts": "G, rollouts a round (one group); they multiply the regret",
}
ASSUMPTIONS = (
    "The mean of the update moves the policy and its noise does not: small steps, so that many rounds make one "
    "unit of logit. One rollout a round at a step of order 1 is pg_jump_single's.",
    "Deterministic 0/1 rewards, independent rollouts of the current policy, plain gradient ascent.",
    "The optimal arms keep equal logits, and so do the others (kappa=None); with kappa given it stays constant.",
)


class _Path(NamedTuple):
    """Float64 [N] each: rise of the logit since the start, time, and regret, at the edges of the panels."""

    rise: np.ndarray
    time: np.ndarray
    regret: np.ndarray


@dataclass(frozen=True, kw_only=True)
class GroupFlowLaw(GroupCurve):
    """dz/dt = rate p(1-p) M(p) from p0; rate = step size x kappa, M the signal's drift multiplier.

    M is that of a group of G rollouts, or of `window` scores where there is one; `redraws` N > 0 multiplies it, and the
    pulls of a round, by the mean number of groups drawn.
    """

    p0: float
    rate: float
    signal: str
    rollouts: int
    ddof: int
    eps: float
    k: int = 1
    window: int | None = None
    redraws: int = 0

    @property
    def start(self) -> float:
        """z0 = logit p0."""
        return logit_of(self.p0)

    def speed(self, logit: np.ndarray) -> np.ndarray:
        """dz/dt at logits of any shape."""
        drift = self.rate * np.exp(log_expit(logit) + log_expit(-logit))
        return drift * np.maximum(self.gain(logit), _LEAST_GAIN)

    def gain(self, logit: np.ndarray) -> np.ndarray:
        """M at logits of any shape."""
        log_p, log_q = log_expit(logit), log_expit(-logit)
        group = self.rollouts if self.window is None else self.window
        own = multiplier(self.signal, log_p, log_q, group, self.ddof, self.eps, self.k)
        return own * groups_drawn(log_p, log_q, self.rollouts, self.redraws) if self.redraws else own

    def pulls(self, logit: np.ndarray) -> np.ndarray | int:
        """Pulls of a round at logits of any shape, in the mean."""
        if not self.redraws:
            return self.rollouts
        return self.rollouts * groups_drawn(log_expit(logit), log_expit(-logit), self.rollouts, self.redraws)

    def edges(self, rise: float) -> np.ndarray:
        """Edges of the next panels [513]. Where pass_at_k falls fast, panels are shorter: it falls by e^(-k dp)."""
        bend = (self.k - 1) * math.e * float(expit(self.start + rise))  # p grows by less than e over all of them
        return rise + _PANEL / max(1.0, bend / _BEND) * _PANELS

    def pieces(self, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(time, regret) spent between neighbouring edges of the rise [N] -> [N - 1], by Gauss-Legendre quadrature."""
        half = np.diff(edges)[:, None] / 2.0
        logit = self.start + edges[:-1, None] + half * (1.0 + _NODES)
        with np.errstate(over="ignore", divide="ignore"):  # a step so small that a float holds no number of rounds
            time = np.minimum(half * _WEIGHTS / self.speed(logit), _ENDLESS)
        return time.sum(axis=1), (self.pulls(logit) * time * expit(-logit)).sum(axis=1)

    def value(self, time: np.ndarray) -> np.ndarray:
        """p(t)."""
        path = _path(self, float(time[-1]))
        rise = CubicHermiteSpline(path.time, path.rise, self.speed(self.start + path.rise))
        return expit(self.start + rise(time))

    def regret(self, time: np.ndarray) -> np.ndarray:
        """Integral of pulls x (1 - p) from 0 to t."""
        path = _path(self, float(time[-1]))
        slope = self.pulls(self.start + path.rise) * expit(-self.start - path.rise)
        return CubicHermiteSpline(path.time, path.regret, slope)(time)

    def time_to(self, level: float) -> float:
        """t at which p reaches the level; 0 if it is there at the start, infinity if no number of rounds gets there."""
        end = logit_of(level) - self.start
        if end > 0.0 and self.gain(np.asarray(logit_of(level))) < _LEAST_GAIN:
            return math.inf
        rise, time = 0.0, 0.0
        while rise < end:
            edges = np.minimum(self.edges(rise), end)
            rise, time = float(edges[-1]), time + float(self.pieces(edges)[0].sum())
        return time if time < _ENDLESS else math.inf

    def earned(self, at: np.ndarray) -> np.ndarray | None:
        """Mean reward of the groups that are learned from at whole rounds, increasing; None where it is the value."""
        if not self.redraws:
            return None
        p = self.value(at.astype(np.float64))
        return last_group_reward(np.log(p), np.log1p(-p), self.rollouts, self.redraws)

    def sample(self, generator: np.random.Generator, seeds: int, at: np.ndarray) -> Curves:
        """The one curve, `seeds` times; rewards are those of the groups that are learned from."""
        curves = super().sample(generator, seeds, at)
        shown = rounds_shown(int(at[-1]) + 1)
        earned = self.earned(shown)
        if earned is None:
            return curves
        steps = np.diff(shown, prepend=-1)  # a round that is not shown earns what the next one does
        total = np.cumsum(earned * steps)[np.searchsorted(shown, at)]
        return curves._replace(total_reward=np.broadcast_to(total, curves.value.shape))


@functools.lru_cache(maxsize=4)
def _path(law: GroupFlowLaw, horizon: float) -> _Path:
    """Panels of the rise from the start on, as many as it takes to pass the horizon."""
    rise, time, regret = (np.zeros(1) for _ in range(3))
    while time[-1] <= horizon:
        edges = law.edges(rise[-1])
        more_time, more_regret = law.pieces(edges)
        rise = np.concatenate([rise, edges[1:]])
        time = np.concatenate([time, time[-1] + np.cumsum(more_time)])
        regret = np.concatenate([regret, regret[-1] + np.cumsum(more_regret)])
    needed = slice(0, int(np.searchsorted(time, horizon, side="right")) + 1)
    rise, time, regret = rise[needed], time[needed], regret[needed]
    last = np.append(np.diff(time) > 0, True)  # of panels that take less time than the sum before has digits for
    return _Path(rise[last], time[last], regret[last])


def logit_of(p: float) -> float:
    """ln p - ln(1 - p)."""
    return math.log(p) - math.log1p(-p)


@entry(
    formula=r"\frac{dz}{dt} = \eta\kappa\,p(1-p)\,M(p),\quad t(z) = \int_{z_0}^{z}\frac{dz'}{\eta\kappa\,p(1-p)M},"
    r"\quad \mathrm{regret} = G\int_{z_0}^{z_T}\frac{dz}{\eta\kappa\,p\,M},\quad M: \mathrm{drift\_multiplier}"
    r"\ \text{at } G\ (\text{at } W \text{ with a window});\text{ dead groups again: } M \text{ and } G \text{ times } "
    r"\sum_{n=0}^{N} d^n,\ d = p^G + (1-p)^G",
    assumptions=(
        *ASSUMPTIONS,
        "With a window: the policy hardly moves while W scores are gathered; pg_window has the law of older scores.",
    ),
    source="derived here (docs/derivations.md)",
    units={
        "signal": f"one of {', '.join(SIGNALS)}",
        **UNITS,
        "ddof": "1: sample standard deviation, 0: population (grpo)",
        "eps": "added to the standard deviation, at least 0 (grpo)",
        "k": "of pass_at_k, from 1 to G; None: G",
        "window": "W, newest scores that give mean and spread, this round's among them (grpo, mean_baseline); None: G",
        "dynamic_sampling": "N, how often a dead group is drawn again at most in a round; 0: never",
    },
    section="B2",
    kind="prediction",
    derivation="`pg_group` and `grpo_flow`",
)
def pg_group(
    signal: str,
    p0: float,
    step_size: float,
    rounds: int,
    rollouts: int,
    optimal: int = 1,
    log_arms: float | None = None,
    *,
    ddof: int = 1,
    eps: float = 0.0,
    k: int | None = None,
    kappa: float | None = None,
    window: int | None = None,
    dynamic_sampling: int = 0,
) -> Prediction:
    """Mean-field curve of softmax policy gradient with groups of rollouts, for every signal.

    Returns:
        Value and regret, every pull counted; no spread between seeds is predicted. Good to 1e-9 relative; `flags`
        names a large step.

    Raises:
        InputError: an argument out of range, a signal that never moves (mean_baseline or maxrl_centred with one
            rollout), or a window or dynamic sampling of a signal that has no use for it.

    Example:
        >>> from bandit_rft import theory
        >>> round(float(theory.pg_group("grpo", p0=0.05, step_size=0.1, rounds=100, rollouts=8).value[-1]), 4)
        0.3003
    """
    rounds = arguments.whole("rounds", rounds)
    rollouts, eps = check_group(signal, rollouts, ddof, eps)
    signal_checks.check_window(window, signal, rollouts, extra=0)
    if window is not None:
        window = summed_group(window, "window")
    signal_checks.check_dynamic_sampling(dynamic_sampling, signal, rollouts, window)
    if signal in ("mean_baseline", "maxrl_centred") and (window or rollouts) == 1:
        raise InputError(f"{signal} with one rollout is always 0 and nothing is learnt: give 2 rollouts or more.")
    k = check_k(signal, rollouts, k)
    constant = table_kappa(optimal, log_arms) if kappa is None else arguments.positive("kappa", kappa)
    rate = check_rate(step_size, constant)
    law = GroupFlowLaw(
        p0=check_start(p0),
        rate=rate,
        signal=signal,
        rollouts=rollouts,
        ddof=ddof,
        eps=eps,
        k=k,
        window=window,
        redraws=dynamic_sampling,
    )
    at = rounds_shown(rounds)
    after = law.regret(at + 1.0)
    return Prediction(
        **about("pg_group"),
        at=at,
        value=law.value(at.astype(np.float64)),
        regret=after,
        parameters={
            "signal": signal,
            "p0": p0,
            "step_size": step_size,
            "rounds": rounds,
            "rollouts": rollouts,
            "optimal": optimal,
            "log_arms": log_arms,
            "ddof": ddof,
            "eps": eps,
            "k": k,
            "kappa": constant,
            "window": window,
            "dynamic_sampling": dynamic_sampling,
        },
        law=law,
        flags=large_step(rate),
        reward=law.earned(at),
    )


def large_step(rate: float) -> tuple[str, ...]:
    """A flag where step size x kappa is too large for the mean update to tell all."""
    if rate <= _LARGE_STEP:
        return ()
    return (f"The step is large: step size x kappa = {rate:.3g}, so single rounds move the logit visibly.",)
