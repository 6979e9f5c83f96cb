"""Regret curves of a history: against the best arm, a satisficing level, or a quantile of the arms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.special import logsumexp

from bandit_rft import arguments
from bandit_rft.errors import InputError, UnknownOptimumError
from bandit_rft.history import History

CURVES = ("pseudo", "pulled", "realised", "simple", "satisficing", "quantile")
_LEVELLED = ("satisficing", "quantile")
# exp and logsumexp leave a cumulative fraction this close to its exact value, k of K arms say.
_FRACTION_ROUNDING = 1e-12


def regret_curve(history: History, kind: str = "pseudo", *, level: float | np.ndarray | None = None) -> np.ndarray:
    """One regret curve a seed, float64 [S, T].

    Args:
        history: S seeds, T rounds of G pulls; every one of the G pulls counts in a cumulative kind.
        kind: cumulative over the rounds, against the best arm: "pseudo", "pulled", "realised", see `History.regret`.
            Against a level instead:
            "satisficing": Σ max(level − mean of the arm pulled, 0) (Feng, Ma, Zhu 2024, arXiv 2406.06802); an arm
            better than the level makes up for nothing, so it never decreases;
            "quantile": Σ G (level − value), level a quantile of the arm set's means (Chaudhuri and Kalyanakrishnan
            2018; see `quantile_level`). It is signed: a policy better than the level has falling regret.
            Not cumulative: "simple": best mean − value, what is lost by recommending the policy as it stands. Entry
            [:, t] belongs to the policy after t updates. Of a learner that is a policy this is its exact expected loss.
            An index learner's value is the mean of the arm that it pulls next, exploration included: that arm stands
            in for a recommendation, and is not the best empirical arm that such learners would recommend.
        level: of "satisficing" and "quantile": a number, or an array broadcastable to [S, T].

    Raises:
        UnknownOptimumError: the best mean, or the means of the arms pulled, are unknown and this kind needs them.
        InputError: an unknown kind, a level missing, superfluous, not finite or of the wrong shape, a value that is
            unknown.

    Example:
        >>> from bandit_rft import arms, learners, regret, run
        >>> table = arms.Needle(log10_arms=2, p0=0.1)
        >>> history = run(table, learners.SoftmaxPolicyGradient(step_size=0.5), rounds=50, seeds=8, key=0)
        >>> regret.regret_curve(history).shape
        (8, 50)
    """
    if kind not in CURVES:
        raise InputError(f"Regret kind {kind!r} is unknown: choose {', '.join(CURVES[:-1])} or {CURVES[-1]}.")
    if kind not in _LEVELLED:
        if level is not None:
            raise InputError(f"Regret kind {kind!r} is against the best arm and takes no level: leave level out.")
        if kind != "simple":
            return history.regret(kind)
        return np.maximum(best_mean_of(history) - _value(history), 0.0)
    if level is None:
        hint = "quantile_level(arms, q)" if kind == "quantile" else "a mean reward that is good enough"
        raise InputError(f"Regret kind {kind!r} needs a level: give level={hint}.")
    target = _broadcast(level, history, "level")
    if kind == "satisficing" and "pulls" in history.metrics:
        raise InputError(
            "Satisficing regret reads every pull, and groups that were drawn again are not kept: use quantile."
        )
    if kind == "quantile":
        loss = history.pulls * (target - _value(history))
    else:
        if history.pulled_mean is None:
            raise UnknownOptimumError(
                "The means of the arms pulled are unknown for this arm set: report rewards and Pass@1 instead of "
                "satisficing regret."
            )
        loss = np.maximum(target[:, :, None] - history.pulled_mean, 0.0).sum(axis=-1)
    return np.cumsum(loss, axis=1, dtype=np.float64)


def best_mean_of(history: History) -> np.ndarray:
    """The best arm's mean as float64 [S, T] (a read-only view), whatever shape the history keeps it in.

    Raises:
        UnknownOptimumError: it is unknown.
        InputError: it does not broadcast to [S, T].

    Example:
        >>> from bandit_rft import arms, learners, regret, run
        >>> table = arms.Needle(log10_arms=2, p0=0.1)
        >>> history = run(table, learners.SoftmaxPolicyGradient(step_size=0.5), rounds=50, seeds=8, key=0)
        >>> regret.best_mean_of(history).shape
        (8, 50)
    """
    if history.best_mean is None:
        raise UnknownOptimumError(
            "The best arm's mean is unknown for this arm set: report rewards and Pass@1 instead of regret."
        )
    return _broadcast(history.best_mean, history, "best_mean")


def quantile_level(arms: Any, q: float | None = None, *, log_top: float | None = None) -> float:
    """A quantile of a table's mean rewards, every arm counting once, whatever their number.

    Args:
        arms: a table of reward classes: anything with `log_counts` (natural logarithms of numbers of arms) and `means`.
        q: in (0, 1): the smallest mean that at least a fraction q of the arms do not exceed (NumPy's "inverted_cdf").
        log_top: instead of q, the natural logarithm (≤ 0) of a fraction ρ: the largest mean that at least a fraction ρ
            of the arms reach. Among 10^100 arms the good ones are a fraction that 1 − q cannot express.

    Raises:
        InputError: both or neither of q and log_top, one out of range, or arms that are no table (a reservoir's level
            is its law's own quantile: give the number).

    Example:
        >>> from bandit_rft import arms, regret
        >>> regret.quantile_level(arms.Bernoulli(means=[0.2, 0.5, 0.8]), q=0.5)
        0.5
    """
    if (q is None) == (log_top is None):
        raise InputError("quantile_level takes either q or log_top: give exactly one of them.")
    log_counts, means = getattr(arms, "log_counts", None), getattr(arms, "means", None)
    if log_counts is None or means is None:
        raise InputError(
            f"{type(arms).__name__} is no table of arms with log_counts and means: give the level as a number."
        )
    mean = np.asarray(means, dtype=np.float64)
    log_fraction = np.asarray(log_counts, dtype=np.float64)
    if mean.ndim != 1 or mean.shape != log_fraction.shape:
        raise InputError(
            f"{type(arms).__name__} has means of shape {mean.shape} and log_counts of shape {log_fraction.shape}: "
            "give one instance's level at a time."
        )
    log_fraction = log_fraction - np.asarray(logsumexp(log_fraction))
    if log_top is not None:
        if not arguments.number("log_top", log_top) <= 0:
            raise InputError(f"log_top is {log_top}: give the logarithm of a fraction, at most 0.")
        order = np.argsort(-mean, kind="stable")
        reached = np.logaddexp.accumulate(log_fraction[order]) >= log_top - _FRACTION_ROUNDING
    else:
        q = arguments.fraction("q", q)
        order = np.argsort(mean, kind="stable")
        reached = np.logaddexp.accumulate(log_fraction[order]) >= math.log(q) - _FRACTION_ROUNDING
    # The whole set always reaches the fraction; rounding must not deny it.
    return float(mean[order][np.argmax(reached) if reached.any() else -1])


def _broadcast(given: Any, history: History, name: str) -> np.ndarray:
    """`given` as float64 [S, T]. Raises InputError where its shape does not fit, or an entry is not finite."""
    array = arguments.array(name, given)
    shape = (history.seeds, history.rounds)
    if array.ndim not in (0, 2):  # a bare [S] or [T] would be read along the wrong axis where S = T
        raise InputError(f"{name} has shape {array.shape}: give a number, or an array [seeds or 1, rounds or 1].")
    try:
        array = np.broadcast_to(array, shape)
    except ValueError:
        raise InputError(
            f"{name} has shape {array.shape} and the history {shape[0]} seeds of {shape[1]} rounds: give a number, "
            f"[{shape[0]}, 1], [1, {shape[1]}] or [{shape[0]}, {shape[1]}]."
        ) from None
    if not np.all(np.isfinite(array)):
        raise InputError(f"{name} holds a number that is not finite: give finite mean rewards.")
    return array


def _value(history: History) -> np.ndarray:
    if np.isnan(history.value).any():
        raise InputError("The policy's value is unknown (NaN) in this history: use kind 'pulled' or 'realised'.")
    return history.value
