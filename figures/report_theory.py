"""What theory says of a run, for its report: a curve with a band and a verdict, or the sentence why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bandit_rft import theory
from bandit_rft.errors import InputError
from bandit_rft.history import History
from bandit_rft.run_folder import read_json
from bandit_rft.theory import Prediction
from bandit_rft.verdict import compare
from figures import needle_regret
from figures.jump_overlay import band, overlay

PREDICTION = "prediction.json"  # of `bandit-rft predict`
_BAND = ("low", "high")


@dataclass(frozen=True, kw_only=True)
class Theory:
    """A prediction of Pass@1 by round, or why there is none.

    Attributes:
        sentence: which law from what, or why none.
        at, value: float64 [N], rounds and Pass@1; None where there is none.
        low, high: float64 [N], 80% of runs; None where unknown.
        regret: float64 [T] cumulative regret, for simulations; None elsewhere.
        caveats: what the run does otherwise than the law assumes.
        verdict: the comparison with the rewards, as a text; empty where there is none.
    """

    sentence: str
    at: np.ndarray | None = None
    value: np.ndarray | None = None
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    regret: np.ndarray | None = None
    caveats: tuple[str, ...] = ()
    verdict: str = ""


def of_finetune(run: Path, history: History) -> Theory:
    """`bandit-rft predict`'s prediction where the folder holds one, else the jump chain's where it applies."""
    path = run / PREDICTION
    refused = ""
    if path.exists():
        predicted = read_json(path)
        if predicted.get("law") is not None:
            try:
                return _predicted(predicted, history)
            except (KeyError, TypeError, ValueError, OverflowError):
                raise InputError(f"{path} is damaged: make it anew with bandit-rft predict {run}.") from None
        refused = f"bandit-rft predict: {predicted.get('reason')}"
    config, rewards, rounds = history.config, history.rewards[0], history.config["rounds"]
    found = overlay(config, rewards, history.evaluations, rounds)
    if found.prediction is None:
        return Theory(sentence=f"No law of the theory is drawn. {refused or '; '.join(found.caveats) + '.'}")
    low, high = band(found.prediction)
    source = "measured before the run"
    if found.fitted:
        source = "fitted on the first rounds" + (" of seed 0" if history.seeds > 1 else "")
    error = (config["resolved"].get("measurement") or {}).get("kappa_standard_error")
    known = "" if found.fitted else _uncertain(error)
    # The verdict is on the rounds that there are: the same law, cut.
    step_size = config["resolved"]["learning_rate"]
    short = theory.pg_jump_single(p0=found.p0, step_size=step_size, rounds=len(rewards), kappa=found.kappa)
    return Theory(
        sentence=f"{refused}{' Instead: the' if refused else 'The'} jump chain of softmax policy gradient, from "
        f"p0 = {found.p0:.3f} ({found.p0_source}) and kappa = {found.kappa:.4g}{known} ({source}).",
        at=np.arange(rounds),
        value=found.prediction.value,
        low=None if np.isnan(low).any() else low,
        high=None if np.isnan(high).any() else high,
        caveats=found.caveats,
        verdict=_verdict(history, short),
    )


def _predicted(predicted: Mapping, history: History) -> Theory:
    done = predicted["rounds_done"]
    late = "" if done == history.rounds else f" The verdict is on the first {done} of {history.rounds} rounds."
    at, value = (np.asarray(predicted[name], np.float64) for name in ("at", "value"))
    low, high = (None if predicted[name] is None else np.asarray(predicted[name], np.float64) for name in _BAND)
    for curve in (at, value, low, high):
        if curve is not None and (curve.shape != (at.size,) or not np.isfinite(curve).all()):
            raise ValueError("curves of unequal length, or not finite")
    return Theory(
        sentence=f"{predicted['why']} From p0 = {predicted['p0']:.3f} and kappa = {predicted['kappa']:.4g}"
        f"{_uncertain(predicted['kappa_standard_error'])}, measured "
        f"before the run (bandit-rft predict).{late}",
        at=at,
        value=value,
        low=low,
        high=high,
        caveats=tuple(predicted["caveats"]),
        verdict=predicted["verdict"]["report"],
    )


def _uncertain(error: float | None) -> str:
    """± a standard error, where it is known."""
    return "" if error is None else f" ± {error:.2g}"


def of_simulation(history: History) -> Theory:
    """The jump chain's exact mean where the simulation is one of softmax policy gradient on a needle."""
    if not needle_regret.accepts(history.config):
        return Theory(
            sentence="No law is drawn here: reports know that of softmax policy gradient on one needle (raw reward, "
            "one pull a round). See bandit-rft theory."
        )
    prediction = needle_regret.prediction_of(history.config)
    return Theory(
        sentence="The exact jump chain of softmax policy gradient on one correct arm, without a fitted parameter.",
        at=np.arange(prediction.rounds),
        value=prediction.value,
        regret=prediction.regret,
        verdict=_verdict(history, prediction),
    )


def _verdict(history: History, prediction: Prediction) -> str:
    try:
        return compare(history, prediction).report()
    except InputError as error:  # a report says what cannot be compared; it does not end over it
        return str(error)
