"""`bandit-rft predict RUN`: the theory's overlay of a fine-tuning run, from what was measured before it; no fit."""

from __future__ import annotations

import argparse
import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bandit_rft.errors import InputError

if TYPE_CHECKING:
    from bandit_rft.theory import Prediction, Summary

RESULT = "prediction.json"
# The standard deviation of GRPO's signal in runs that do not name it.
GRPO = {"ddof": 1, "eps": 1e-6}


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = subparsers.add_parser(
        "predict",
        help="the theory's overlay of a fine-tuning run, from its measured p0 and kappa",
        description="Predict a fine-tuning run's Pass@1 from p0 and kappa measured before it, without a fitted "
        "parameter, and hold its rewards against that; or say why no law applies.",
    )
    parser.add_argument(
        "run_folder", metavar="RUN", help="run folder of bandit-rft finetune, of one seed or many, finished or not"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Predict, compare, write prediction.json and the figure, and print."""
    folder = Path(arguments.run_folder)
    result = predict_run(folder)
    print(told(result))
    if result["law"] is not None:
        from figures import finetune_prediction

        print(f"Figure: {finetune_prediction.draw(folder)}")
    print(f"Written: {folder / RESULT}")
    return 0


@dataclass(frozen=True, kw_only=True)
class Start:
    """What was measured before a run.

    Attributes:
        summary: what the theory is told.
        successes, responses: behind p0: the measurement's and, where there are any, the first evaluation's.
        kappa_standard_error: NaN where unknown.
    """

    summary: Summary
    successes: int
    responses: int
    kappa_standard_error: float


def predict_run(folder: Path) -> dict[str, Any]:
    """The prediction and the verdict of a fine-tuning run, as written to its prediction.json.

    Returns:
        "law": the law's name, or None with "reason"; p0, kappa and step size with their sources; the curve "value" at
        rounds "at", with the band of 80% of runs where the law of a run is known; "caveats"; the "verdict" on the
        rewards so far, of all seeds; and "evaluations", each training Pass@1 estimated after round 0 (of many seeds
        their mean) beside the curve's.

    Raises:
        InputError: no fine-tuning run, or none of its rounds done.
    """
    from bandit_rft import compare, theory
    from bandit_rft.run_folder import SEVERAL_SEEDS, read_history, to_json, write_atomically

    history = read_history(folder)
    config = history.config
    if config.get("command") not in ("finetune", SEVERAL_SEEDS):
        raise InputError(f"{folder} is not a fine-tuning run: name a folder of bandit-rft finetune.")
    result: dict[str, Any] = {"law": None, "reason": None, "rounds_done": int(history.rewards.shape[1])}
    try:
        refuse(config)
        start = start_of(config, history.evaluations)
        step_size = float(config["resolved"]["learning_rate"])

        def predict(kappa: float, rounds: int) -> Prediction:
            return theory.predict(
                dataclasses.replace(start.summary, kappa=kappa),
                step_size=step_size,
                rounds=rounds,
                signal=config["signal"],
                rollouts=config["rollouts"],
                **{name: config.get(name, value) for name, value in GRPO.items()},
            )

        found = predict(start.summary.kappa, config["rounds"] + 1)  # the last is after all updates
    except InputError as error:
        result["reason"] = str(error)
        write_atomically(folder / RESULT, to_json(result))
        return result
    error = start.kappa_standard_error
    low, high = found.value_band(0.8) if found.value_sd is not None else (None, None)
    at = range(found.rounds) if found.at is None else found.at
    sides = [kappa for kappa in (start.summary.kappa - error, start.summary.kappa + error) if kappa > 0]
    verdict = compare(history, predict(start.summary.kappa, result["rounds_done"]))
    result |= {
        "law": found.name,
        "why": found.why,
        "formula": found.formula,
        "source": found.source,
        "assumptions": list(found.assumptions),
        "caveats": [*caveats(config), *found.flags],
        "p0": start.summary.p0,
        "p0_successes": start.successes,
        "p0_responses": start.responses,
        "kappa": start.summary.kappa,
        "kappa_standard_error": error,
        "step_size": step_size,
        "rounds": found.rounds,
        "at": [int(t) for t in at],
        "value": found.value.tolist(),
        "low": None if low is None else low.tolist(),
        "high": None if high is None else high.tolist(),
        # What kappa's own error is worth: the last round's Pass@1 one standard error to either side.
        "last_at_kappa_one_error_off": [float(predict(kappa, found.rounds).value[-1]) for kappa in sides],
        "evaluations": [_against(record, at, found.value) for record in _later(history.evaluations)],
        "verdict": {
            name: getattr(verdict, name)
            for name in ("agrees", "tested", "max_z", "threshold", "false_alarm", "quantity", "round", "observed")
        }
        | {"predicted": verdict.predicted, "line": verdict.line(), "report": verdict.report()},
    }
    write_atomically(folder / RESULT, to_json(result))
    return result


def refuse(config: Mapping[str, Any]) -> None:
    """Raises NoLawError where the run's update is none that a law of a single prompt describes."""
    from bandit_rft.errors import NoLawError
    from figures.jump_overlay import strays

    if config.get("indices") or isinstance(config["index"], list):
        raise NoLawError("The run draws from several questions, and the laws are of one: run with one --index.")
    for name, value in strays(config):
        raise NoLawError(
            f"The run has {name} = {value}, of which no law of a single prompt knows: run without "
            f"--{name.replace('_', '-')}."
        )

    if config["optimizer"] != "sgd":
        raise NoLawError(
            f"The run's optimiser is {config['optimizer']}, which moves each weight by a scale of its own that p0 and "
            "kappa do not hold: run with --optimizer sgd for a law of the curve."
        )
    if config["epochs"] != 1:
        raise NoLawError(
            f"The run takes {config['epochs']} epochs a round, and the laws are of one: run with --epochs 1."
        )
    if config["aggregation"] != "seq-mean-token-sum":
        raise NoLawError(
            f"The run's loss is averaged as {config['aggregation']}, and kappa is that of whole responses: run with "
            "--aggregation seq-mean-token-sum."
        )


def start_of(config: Mapping[str, Any], evaluations: Sequence[Mapping[str, Any]]) -> Start:
    """What was measured before the run.

    Raises:
        InputError: kappa or p0 was not measured, or could not be.
    """
    from bandit_rft.theory import Summary

    measured = config.get("resolved", {}).get("measurement")
    if not measured:
        raise InputError("p0 and kappa were not measured before the run: run with --measure or --step-over-kappa.")
    successes, responses = int(measured["successes"]), int(measured["rollouts"])
    first = next((e for e in evaluations if e["measured"] == "train" and e["round"] == 0), None)
    if first is not None:  # two independent samples of the same Pass@1 say more than one
        successes, responses = successes + int(first["successes"]), responses + int(first["samples"])
    if not 0 < successes < responses:
        raise InputError(
            f"{successes} of {responses} responses before the run were right, and every law starts strictly between: "
            "measure with more responses, or choose another question."
        )
    kappa = measured.get("kappa")
    if kappa is None or not kappa > 0:
        raise InputError(
            f"kappa could not be measured before the run (estimate {kappa}): raise --measure-rollouts, or choose "
            "another question."
        )
    error = measured.get("kappa_standard_error")
    error = math.nan if error is None else float(error)
    summary = Summary(
        log_p0=math.log(successes / responses),
        kappa=float(kappa),
        kappa_standard_error=error if math.isfinite(error) else math.inf,
    )
    return Start(summary=summary, successes=successes, responses=responses, kappa_standard_error=error)


def _later(evaluations: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The training question's evaluations that the prediction has not seen; of many seeds, means over them."""
    from figures.report_seeds import means

    found = [record for record in evaluations if record["measured"] == "train" and record["round"] > 0]
    if not any(record.get("seed") for record in found):
        return found
    return [
        {"round": one.round, "pass_at_1": one.value, "low": one.low, "high": one.high} for one in means(found, "train")
    ]


def _against(record: Mapping[str, Any], at: Any, value: Any) -> dict[str, Any]:
    predicted = float(np.interp(record["round"], np.asarray(at, np.float64), value))
    estimate = {name: record[name] for name in ("round", "pass_at_1", "low", "high")}
    return {**estimate, "predicted": predicted, "inside": bool(record["low"] <= predicted <= record["high"])}


def caveats(config: Mapping[str, Any]) -> list[str]:
    """What the run does otherwise than the laws assume, and that does not rule them out."""
    found = []
    if config["kl_coefficient"]:
        found.append(f"the run has a KL term of weight {config['kl_coefficient']:g}, which the law leaves out")
    if config["gradient_clip"] is not None:
        found.append(f"the run clips gradients at {config['gradient_clip']:g}, which the law leaves out")
    return found


def told(result: Mapping[str, Any]) -> str:
    """The result in a few lines."""
    if result["law"] is None:
        return f"No law applies: {result['reason']}"
    error = result["kappa_standard_error"]
    known = f" ± {error:.2g}" if error is not None and math.isfinite(error) else ""
    lines = [
        result["why"],
        f"p0 = {result['p0']:.4f} ({result['p0_successes']} of {result['p0_responses']} responses before the run), "
        f"kappa = {result['kappa']:.4g}{known}, step size {result['step_size']:.4g}",
        f"Pass@1 predicted after {result['rounds'] - 1} updates: {result['value'][-1]:.3f}"
        + (f", 80% of runs in [{result['low'][-1]:.3f}, {result['high'][-1]:.3f}]" if result["low"] else ""),
    ]
    off = result["last_at_kappa_one_error_off"]
    if known and off:
        lines.append(f"  with kappa one standard error off: {', '.join(f'{value:.3f}' for value in off)}")
    lines += [f"  caveat: {caveat}" for caveat in result["caveats"]]
    lines += [
        f"After {found['round']} rounds: Pass@1 {found['pass_at_1']:.3f} [{found['low']:.3f}, {found['high']:.3f}], "
        f"predicted mean {found['predicted']:.3f}, {'inside' if found['inside'] else 'outside'} the interval"
        for found in result["evaluations"]
    ]
    return "\n".join([*lines, result["verdict"]["report"]])
