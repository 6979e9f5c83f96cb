"""What theory says of a run, for its report: a curve with a band and a verdict, or the sentence why there is none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bandit_rft.errors import InputError
from bandit_rft.history import History
from bandit_rft.plots import needle_regret
from bandit_rft.run_law import law_of
from bandit_rft.theory import Prediction
from bandit_rft.verdict import compare


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


def of_finetune(history: History) -> Theory:
    """The run's law, as `bandit-rft predict` and every figure have it."""
    law = law_of(history)
    shown = law.shown
    if shown is None or shown.prediction is None:
        return Theory(sentence=law.sentence())
    low, high = shown.band or (None, None)
    # The verdict is on the rounds that there are: the same law, cut.
    return Theory(
        sentence=law.sentence(),
        at=shown.rounds_shown,
        value=shown.prediction.value,
        low=low,
        high=high,
        caveats=shown.caveats,
        verdict=_verdict(history, shown.at(history.rounds)),
    )


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
