"""A history against a prediction, over all rounds at once, at a stated false-alarm rate.

The statistic is the largest |z| over rounds and over value and regret (rewards, where an LLM's value is unknown),

    z_t = sqrt(S) (mean over seeds - predicted) / sqrt(sd_t^2 + c b_t^2 / S),   b_t = E|x - mu|^3 / sd_t^2

whose second term is Bernstein's: where only few seeds have moved, the mean is a rare count and normal tails would lie.
The threshold is the statistic's own quantile under the prediction, found by resampling runs drawn from the prediction's
law; where no law is known, by the Gaussian multiplier bootstrap over the history's seeds (Chernozhukov, Chetverikov,
Kato 2013), of fewer than 32 seeds no lower than by Bonferroni's inequality over all that is looked at.

A prediction that was made of measurements is off by their error, in all seeds alike. Where it can say what others of
the same size would have predicted, what those differ by counts as chance, beside the luck of the seeds.

Where the law says which value a run's own rewards force (a table's jump chain), each run is also held against that.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np

from bandit_rft.errors import InputError, UnknownOptimumError
from bandit_rft.regret import growth_exponent, log_constant
from bandit_rft.theory.null import Null, grid, null_of_law, null_of_sample, per_round, standard_error
from bandit_rft.theory.prediction import Law, Means, Prediction
from bandit_rft.verdict.verdict import Band, Fit, HistoryLike, Verdict, require_finite

__all__ = ["against_prediction"]

_PATH_TOLERANCE = 2e-3  # in logit: far above float32 rounding, far below a step's effect


class _Quantity(NamedTuple):
    """One curve under test: runs [S, R], predicted mean [R], sd and jump [R] where known, a run's largest move [R]."""

    name: str
    runs: np.ndarray
    predicted: np.ndarray
    sd: np.ndarray | None
    jump: np.ndarray | None
    reach: np.ndarray


def against_prediction(
    history: HistoryLike, prediction: Prediction, false_alarm: float = 0.01, tolerance: float = 1e-5
) -> Verdict:
    """`compare` with a `Prediction`."""
    rewards = np.asarray(history.rewards, dtype=np.float64)
    value = np.asarray(history.value, dtype=np.float64)
    _check(rewards, value, history.best_mean, prediction)
    seeds, rounds, _ = rewards.shape
    at = grid(rounds)
    notes: list[str] = (
        [] if at.size == rounds else [f"{at.size} of {rounds} rounds were looked at (first, last, and between)"]
    )
    quantities = _quantities(history, rewards, value, prediction, at, notes)
    law = prediction.law if prediction.value_sd is not None else None
    known = not np.isnan(value).any()

    path_error = path_agrees = None
    # What a run's own rewards force is known no better than what was measured.
    if law is not None and known and prediction.remeasured is None:
        path_error, path_agrees = _path(law, rewards, value, notes)

    runs = np.concatenate([q.runs for q in quantities], axis=1)
    predicted = np.concatenate([q.predicted for q in quantities])
    reach = np.concatenate([q.reach for q in quantities])
    names = tuple(q.name for q in quantities)
    off = _off(prediction, names, at, predicted)
    if off.size:
        notes.append(
            f"the error of what was measured before counts as chance, by {off.shape[0]} measurements drawn from it"
        )
    tested, spread = True, "law"
    if law is not None:
        blank = np.full(at.size, np.nan)
        known_sd = np.concatenate([blank if q.sd is None else q.sd for q in quantities])
        known_jump = np.concatenate([blank if q.jump is None else q.jump for q in quantities])
        null = null_of_law(
            law,
            names,
            seeds,
            rounds,
            false_alarm,
            known_sd.tobytes(),
            known_jump.tobytes(),
            reach.tobytes(),
            off.tobytes(),
        )
    else:
        spread = "sample"
        tested = seeds > 1
        same = bool(np.all(rewards == rewards[:1]))
        null = (
            null_of_sample(runs, reach, false_alarm, off, drawn=same or not known)
            if tested
            else Null(sd=reach, jump=reach, measured=np.zeros(reach.size), threshold=math.inf)
        )
        notes.append(
            "the law of a run is unknown: the spread is the sample's and the false-alarm rate asymptotic in the seeds"
            if tested
            else "one seed, and the law of a run is unknown: nothing could be tested; run more seeds"
        )
        if 1 < seeds < 8:
            notes.append(
                f"{seeds} seeds say little about their own spread: the threshold is Student's t for all rounds at once"
            )
        if tested and same:
            notes.append("all seeds had the same rewards, which do not tell how far runs differ")

    threshold = null.threshold
    error = np.hypot(standard_error(null.sd, null.jump, seeds), null.measured)
    observed = runs.mean(axis=0)
    excess = np.maximum(np.abs(observed - predicted) - tolerance * np.abs(predicted), 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(excess > 0.0, excess / error, 0.0)
    worst = int(np.argmax(z))
    max_z = float(z[worst]) if tested else 0.0
    return Verdict(
        agrees=max_z <= threshold and path_agrees is not False,
        tested=tested,
        max_z=max_z,
        threshold=float(threshold),
        false_alarm=false_alarm,
        quantity=names[worst // at.size],
        round=int(at[worst % at.size]),
        observed=float(observed[worst]),
        predicted=float(predicted[worst]),
        standard_error=float(error[worst]),
        path_error=path_error,
        path_agrees=path_agrees,
        seeds=seeds,
        rounds=rounds,
        spread=spread,
        prediction=prediction.name,
        bands=_bands(quantities, at, observed, error, float(threshold)) if tested else (),
        fits=_fits(history, prediction, notes) if tested else (),
        notes=(*notes, *(f"outside its assumptions: {flag}" for flag in prediction.flags)),
    )


def _check(
    rewards: np.ndarray,
    value: np.ndarray,
    best_mean: float | np.ndarray | None,
    prediction: Prediction,
) -> None:
    if rewards.ndim != 3 or rewards.shape[0] < 1:
        raise InputError(
            f"A history needs rewards [seeds, rounds, rollouts] of at least one seed; got shape {rewards.shape}."
        )
    if value.shape != rewards.shape[:2]:
        raise InputError(
            f"The history's value has shape {value.shape}, its rewards {rewards.shape}: seeds and rounds must match."
        )
    if rewards.shape[1] != prediction.rounds:
        raise InputError(
            f"The history has {rewards.shape[1]} rounds and the prediction {prediction.rounds}: "
            f"predict with rounds={rewards.shape[1]}."
        )
    if rewards.shape[2] != prediction.rollouts:
        raise InputError(
            f"The history has {rewards.shape[2]} rollouts per round and {prediction.name} was made for "
            f"{prediction.rollouts}: use the same number."
        )
    best = float(prediction.parameters.get("best_mean", 1.0))
    if best_mean is not None and not np.allclose(best_mean, best, rtol=1e-6):
        raise InputError(
            f"{prediction.name} is for arms whose best mean is {best:g}, but this history's is {np.min(best_mean):g}."
        )
    if np.isnan(value).any() and not np.isnan(value).all():
        raise InputError("Some but not all of the history's values are NaN: leave out the broken rounds or seeds.")
    require_finite("rewards", rewards)
    if not np.isnan(value).all():
        require_finite("value", value)


def _quantities(
    history: HistoryLike,
    rewards: np.ndarray,
    value: np.ndarray,
    prediction: Prediction,
    at: np.ndarray,
    notes: list[str],
) -> list[_Quantity]:
    rounds_so_far = at + 1.0
    shown = _columns(prediction, at)
    expected = functools.partial(_expected, prediction, at, shown)
    if np.isnan(value).any():
        notes.append("the policy's value is unknown: rewards are compared instead, which are noisier")
        gained = np.cumsum(rewards.mean(axis=2), axis=1)[:, at]
        if prediction.at is not None and prediction.at.size != prediction.rounds:
            raise InputError(
                f"{prediction.name} shows {prediction.at.size} of {prediction.rounds} rounds; rewards need every one: "
                "compare fewer rounds."
            )
        return [
            _Quantity("total reward", gained, expected("total reward"), None, None, rounds_so_far),
            _Quantity("reward", per_round(gained, at), expected("reward"), None, None, np.ones(at.size)),
        ]
    value_sd = None if prediction.value_sd is None else prediction.value_sd[shown]
    value_jump = None if prediction.value_jump is None else prediction.value_jump[shown]
    found = [_Quantity("value", value[:, at], expected("value"), value_sd, value_jump, np.ones(at.size))]
    try:
        regret = np.asarray(history.regret(), dtype=np.float64)
    except UnknownOptimumError:
        notes.append("the optimum is unknown, so regret was left out")
        return found
    require_finite("regret", regret)
    regret_sd = None if prediction.regret_sd is None else prediction.regret_sd[shown]
    return [
        *found,
        _Quantity("regret", regret[:, at], expected("regret"), regret_sd, None, prediction.rollouts * rounds_so_far),
    ]


def _expected(curves: Prediction | Means, at: np.ndarray, shown: np.ndarray, name: str) -> np.ndarray:
    """The mean of the quantity at the rounds `at`, which the curves show in the columns `shown`."""
    if name == "value":
        return curves.value[shown]
    if name == "regret":
        return curves.regret[shown]
    total = np.cumsum(curves.value if curves.reward is None else curves.reward)[at]
    return total if name == "total reward" else per_round(total, at)


def _off(prediction: Prediction, names: tuple[str, ...], at: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """[M, columns], what M other measurements would have predicted, less the prediction; M = 0: nothing measured."""
    if prediction.remeasured is None:
        return np.zeros((0, predicted.size))
    rows = [np.concatenate([_expected(one, at, at, name) for name in names]) for one in prediction.remeasured()]
    return np.stack(rows) - predicted


def _columns(prediction: Prediction, at: np.ndarray) -> np.ndarray:
    """Where the rounds `at` stand among those that the prediction shows."""
    if prediction.at is None:
        return at
    found = np.minimum(np.searchsorted(prediction.at, at), prediction.at.size - 1)
    if np.any(prediction.at[found] != at):
        raise InputError(
            f"{prediction.name} does not show round {at[np.argmax(prediction.at[found] != at)]}: compare fewer rounds."
        )
    return found


def _bands(
    quantities: list[_Quantity], at: np.ndarray, observed: np.ndarray, error: np.ndarray, threshold: float
) -> tuple[Band, ...]:
    found = []
    for place, quantity in enumerate(quantities):
        part = slice(place * at.size, (place + 1) * at.size)
        mean, width = observed[part], threshold * error[part]
        found.append(Band(quantity.name, at, mean, mean - width, mean + width, quantity.predicted))
    return tuple(found)


def _fits(history: HistoryLike, prediction: Prediction, notes: list[str]) -> tuple[Fit, ...]:
    """Exponent and constant of the regret over the last decade of rounds, where there is a regret and enough of it."""
    try:
        curves = np.asarray(history.regret(), dtype=np.float64)
    except UnknownOptimumError:
        return ()
    if (
        curves.shape[0] < 3
        or curves.shape[1] < 20
        or (prediction.at is not None and prediction.at.size < curves.shape[1])
    ):
        return ()
    # The prediction is a curve without spread: as two equal seeds it passes through the same fit.
    theirs = np.stack([prediction.regret, prediction.regret])
    found = []
    for name, fit in (("exponent", growth_exponent), ("constant", log_constant)):
        try:
            ours, predicted = fit(curves), fit(theirs)
        except InputError as error:
            notes.append(f"the regret's {name} could not be fitted: {error}")
            continue
        found.append(Fit(name, ours.slope, ours.low, ours.high, predicted.slope))
    return tuple(found)


def _path(law: Law, rewards: np.ndarray, value: np.ndarray, notes: list[str]) -> tuple[float | None, bool | None]:
    """The largest gap between each run's value and what its rewards force, and whether all are within rounding."""
    if not np.isin(rewards, (0.0, 1.0)).all():
        notes.append("rewards other than 0 and 1: single runs were not held against their own rewards")
        return None, None
    forced = law.value_given_rewards(rewards)
    if forced is None:
        return None, None
    gap = np.abs(value - forced)
    return float(gap.max()), bool(np.all(gap <= _PATH_TOLERANCE * forced * (1.0 - forced) + 1e-5 * forced))
