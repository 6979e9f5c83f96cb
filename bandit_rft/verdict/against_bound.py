"""A history against a bound: falsified where the mean over seeds is beyond it by more than chance.

Beyond by more than Student's t allows at the chance of three standard errors of many seeds: with two or three seeds the
standard error is itself a guess.
"""

from __future__ import annotations

import numpy as np
from scipy import stats

from bandit_rft.errors import InputError
from bandit_rft.theory.bound import Bound
from bandit_rft.verdict.verdict import Band, HistoryLike, Verdict, require_finite

__all__ = ["against_bound"]

SIGMAS = 3.0  # of many seeds


def against_bound(history: HistoryLike, bound: Bound) -> Verdict:
    """`compare` with a `Bound` on cumulative regret."""
    if bound.quantity not in ("pseudo-regret", "Bayesian regret"):
        raise InputError(
            f"{bound.name} bounds the {bound.quantity}, which a history does not hold: compare a bound on regret."
        )
    regret = np.asarray(history.regret(), dtype=np.float64)
    require_finite("regret", regret)
    seeds, rounds = regret.shape
    _require_one_setting(history, bound, rounds)
    bound = bound.of_one_run
    at, value = bound.at - 1, bound.value
    mean = regret[:, at].mean(axis=0)
    error = regret[:, at].std(axis=0, ddof=1) / np.sqrt(seeds) if seeds > 1 else np.full(at.size, np.inf)
    false_alarm = float(stats.norm.sf(SIGMAS))
    threshold = float(stats.t.isf(false_alarm, seeds - 1)) if seeds > 1 else SIGMAS
    sign = 1.0 if bound.kind == "upper" else -1.0
    beyond = sign * (mean - value)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(beyond > 1e-9 * np.abs(value), beyond / error, 0.0)
    worst = int(np.argmax(np.where(z > 0, z, beyond / np.maximum(np.abs(value), 1e-300) - 1e6)))
    notes = [f"outside its assumptions: {flag}" for flag in bound.flags]
    tested = seeds > 1 and bound.confirmed and not (bound.asymptotic or bound.flags)
    # No learner can break a bound that is vacuous at the horizon, so none keeps it; it may be broken at a round before.
    tested = tested and not (bound.vacuous and float(z.max()) <= threshold)
    if bound.asymptotic:
        notes.append("the bound is asymptotic: no finite run can refute it")
    if seeds == 1:
        notes.append("one seed says nothing about a mean: run more seeds")
    if bound.vacuous:
        notes.append("the bound is vacuous here: it says no more than holds for every learner")
    if not bound.confirmed:
        notes.append("constant not confirmed against the paper")
    return Verdict(
        agrees=not tested or float(z.max()) <= threshold,
        tested=tested,
        max_z=float(z[worst]) if tested else 0.0,
        threshold=threshold,
        false_alarm=false_alarm,
        quantity="regret",
        round=int(bound.at[worst]),
        observed=float(mean[worst]),
        predicted=float(value[worst]),
        standard_error=float(error[worst]),
        path_error=None,
        path_agrees=None,
        seeds=seeds,
        rounds=rounds,
        spread="sample",
        prediction=bound.name,
        relation=bound.kind,
        bands=(Band("regret", at, mean, mean - threshold * error, mean + threshold * error, value),),
        notes=tuple(notes),
    )


def _require_one_setting(history: HistoryLike, bound: Bound, rounds: int) -> None:
    """Refuse a bound of another horizon, of other arms, or of single pulls where a round has many."""
    if bound.rounds != rounds:
        raise InputError(
            f"The history has {rounds} rounds and {bound.name} was made for {bound.rounds}: make it with "
            f"rounds={rounds}."
        )
    rollouts = np.shape(history.rewards)[2] if np.ndim(history.rewards) == 3 else 1
    if rollouts != int(bound.parameters.get("rollouts", 1)):
        raise InputError(
            f"The history has {rollouts} rollouts per round and {bound.name} counts rounds of "
            f"{bound.parameters.get('rollouts', 1)}: run with as many."
        )
    means, best = bound.parameters.get("means"), history.best_mean
    if means is not None and best is not None and not np.allclose(best, np.max(means), rtol=1e-6, atol=1e-9):
        raise InputError(
            f"{bound.name} is for arms whose best mean is {np.max(means):g}, but this history's is {np.min(best):g}: "
            "make it with the history's means."
        )
