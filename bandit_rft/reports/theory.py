"""What theory says of a run, for its report: the law with a verdict, or the sentence why there is none."""

from __future__ import annotations

from dataclasses import dataclass

from bandit_rft.errors import InputError
from bandit_rft.history import History
from bandit_rft.plots import needle_regret
from bandit_rft.run_law import RunLaw
from bandit_rft.theory import Prediction
from bandit_rft.verdict import compare


@dataclass(frozen=True, kw_only=True)
class Theory:
    """A law of a run, or why there is none.

    Attributes:
        sentence: which law from what, or why none.
        prediction: the law, of a simulation; a fine-tuning run's is drawn from its `RunLaw`.
        caveats: what the run does otherwise than the law assumes.
        verdict: the comparison with the rewards, as a text; empty where there is none.
    """

    sentence: str
    prediction: Prediction | None = None
    caveats: tuple[str, ...] = ()
    verdict: str = ""


def of_finetune(history: History, law: RunLaw) -> Theory:
    """The run's law, as `bandit-rft predict` and every figure have it."""
    if law.shown is None:
        return Theory(sentence=law.sentence())
    # The verdict is on the rounds that there are: the same law, cut.
    verdict = _verdict(history, law.shown.at(history.rounds))
    sentence = law.sentence() if law.half_time is None else f"{law.sentence()} By it: {law.half_time.sentence()}."
    return Theory(sentence=sentence, caveats=law.shown.caveats, verdict=verdict)


def of_simulation(history: History) -> Theory:
    """The jump chain's exact mean where the simulation is one of softmax policy gradient on a needle."""
    if not needle_regret.accepts(history.config):
        return Theory(
            sentence="No law is drawn here: reports know that of softmax policy gradient on one needle (raw reward, "
            "one pull and one plain step per round). See bandit-rft theory."
        )
    prediction = needle_regret.prediction_of(history.config)
    return Theory(
        sentence="The exact jump chain of softmax policy gradient on one correct arm, without a fitted parameter.",
        prediction=prediction,
        verdict=_verdict(history, prediction),
    )


def _verdict(history: History, prediction: Prediction) -> str:
    try:
        return compare(history, prediction).report()
    except InputError as error:  # a report says what cannot be compared; it does not end over it
        return str(error)
