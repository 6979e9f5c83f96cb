"""prediction.json of a fine-tuning run: its law held against its rewards and evaluations, from its folder alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bandit_rft.errors import InputError
from bandit_rft.plots.averages import means
from bandit_rft.run_law import law_of
from bandit_rft.runs import read_history, to_json, write_atomically
from bandit_rft.verdict import compare

RESULT = "prediction.json"
LAW_NAMES = {
    "tree": "tree",
    "constant_kappa_chain": "chain of constant kappa",
    "h_decision_chain": "chain of equal decisions",
    "flow": "flow of the mean update",
    "one_over_p0": "1/p0, the wait for one success",
}


def predict(folder: Path) -> dict[str, Any]:
    """The prediction and the verdict of a fine-tuning run, as written to its prediction.json.

    Returns:
        "law": the law's name, or None with "reason"; p0, kappa and step size with their sources; the curve "value" at
        rounds "at", with the band of 80% of runs where the law of a run is known; "half_times", rounds to Pass@1 = 1/2
        by each law that applies; "half_time", that of the tree law with the error of the measurement and the spread
        over seeds (null where no tree was measured or the run starts above one half; an end beyond what was looked
        through is null); "caveats"; the "verdict" on the rewards so far, of all seeds; and "evaluations", each
        training Pass@1 estimated after round 0 (of many seeds their mean) beside the curve's.

    Raises:
        InputError: no fine-tuning run, or none of its rounds done.
    """
    history = read_history(folder)
    if history.config.get("command") != "finetune":
        raise InputError(f"{folder} is not a fine-tuning run: name a folder of bandit-rft finetune.")
    law = law_of(history)
    result: dict[str, Any] = {"law": None, "reason": law.reason or None, "rounds_done": history.rounds}
    result["sentence"] = law.sentence()
    if law.prediction is not None:
        prediction, at, band = law.prediction, law.rounds_shown, law.band
        verdict = compare(history, law.at(history.rounds))
        error = law.kappa_standard_error
        sides = [kappa for kappa in (law.kappa - error, law.kappa + error) if kappa > 0]
        result |= {
            "law": prediction.name,
            "why": prediction.why,
            "formula": prediction.formula,
            "source": prediction.source,
            "assumptions": list(prediction.assumptions),
            "caveats": list(law.caveats),
            "p0": law.p0,
            "p0_successes": law.successes,
            "p0_responses": law.responses,
            "kappa": law.kappa,
            "kappa_standard_error": error,
            "step_size": law.step_size,
            "half_times": law.half_times(),
            "half_time": None if law.half_time is None else dataclasses.asdict(law.half_time),
            "half_time_sentence": None if law.half_time is None else law.half_time.sentence(),
            "rounds": prediction.rounds,
            "at": at.tolist(),
            "value": prediction.value.tolist(),
            "low": None if band is None else band[0].tolist(),
            "high": None if band is None else band[1].tolist(),
            # What kappa's own error is worth: the last round's Pass@1 one standard error to either side.
            "last_at_kappa_one_error_off": [float(law.at(prediction.rounds, kappa).value[-1]) for kappa in sides],
            "evaluations": [_against(record, at, prediction.value) for record in _later(history.evaluations)],
            "verdict": {
                name: getattr(verdict, name)
                for name in ("agrees", "tested", "max_z", "threshold", "false_alarm", "quantity", "round", "observed")
            }
            | {"predicted": verdict.predicted, "line": verdict.line(), "report": verdict.report()},
        }
    write_atomically(folder / RESULT, to_json(result))
    return result


def _later(evaluations: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The training question's evaluations that the prediction has not seen; of many seeds, means over them."""
    return [
        {"round": one.round, "pass_at_1": one.value, "low": one.low, "high": one.high}
        for one in means(evaluations, "train")
        if one.round > 0
    ]


def _against(record: Mapping[str, Any], at: Any, value: Any) -> dict[str, Any]:
    predicted = float(np.interp(record["round"], np.asarray(at, np.float64), value))
    estimate = {name: record[name] for name in ("round", "pass_at_1", "low", "high")}
    return {**estimate, "predicted": predicted, "inside": bool(record["low"] <= predicted <= record["high"])}


def _rounds(time: float) -> str:
    return f"{time:.0f}" if np.isfinite(time) else "none that was looked through"


def summary(result: Mapping[str, Any]) -> str:
    """The result in a few lines."""
    if result["law"] is None:
        return result["sentence"]
    lines = [
        result["sentence"],
        f"Pass@1 predicted after {result['rounds'] - 1} updates: {result['value'][-1]:.3f}"
        + (f", 80% of runs in [{result['low'][-1]:.3f}, {result['high'][-1]:.3f}]" if result["low"] else ""),
    ]
    if result["half_time_sentence"]:
        lines.append(f"  {result['half_time_sentence']}")
    if result["half_times"]:
        said = ", ".join(f"{LAW_NAMES[name]} {_rounds(time)}" for name, time in result["half_times"].items())
        lines.append(f"  rounds until the mean Pass@1 is one half, by law: {said}")
    off = result["last_at_kappa_one_error_off"]
    if off and not result["law"].startswith("tree_"):
        lines.append(f"  with kappa one standard error off: {', '.join(f'{value:.3f}' for value in off)}")
    lines += [f"  caveat: {caveat}" for caveat in result["caveats"]]
    lines += [
        f"After {one['round']} rounds: Pass@1 {one['pass_at_1']:.3f} [{one['low']:.3f}, {one['high']:.3f}], "
        f"predicted mean {one['predicted']:.3f}, {'inside' if one['inside'] else 'outside'} the interval"
        for one in result["evaluations"]
    ]
    return "\n".join([*lines, result["verdict"]["report"]])
