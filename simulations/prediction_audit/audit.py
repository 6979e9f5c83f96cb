"""Runs a tier of the audit into a folder; what a rerun finds there already it keeps."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from bandit_rft.errors import InputError
from bandit_rft.keys import as_key
from bandit_rft.runs import RunFolder, now, read_lines, to_line, write_atomically
from bandit_rft.runs.progress import ProgressLine
from bandit_rft.theory import compared
from llm_bridge import load_model
from llm_bridge.bandits.question_arms import verifier_of
from llm_bridge.data import datasets
from llm_bridge.language_model import LanguageModel
from llm_bridge.measuring.measure import Measurement, measure
from simulations.prediction_audit.adam_paths import adam_path
from simulations.prediction_audit.design import (
    COORDINATES,
    MEASURE_KEY,
    NAMED,
    RUN_KEY,
    TIERS,
    Condition,
    Tier,
    choose,
    named,
)
from simulations.prediction_audit.half_times import foretold, row
from simulations.prediction_audit.paths import path
from simulations.prediction_audit.transfer import transfer
from simulations.prediction_audit.waits import never_right, waits

# What a row that was refused says of a run that was not made.
UNMEASURED: dict[str, Any] = {"p0": None, "measured_half_time": None, "interval": None}
UNMEASURED |= {"predicted": dict.fromkeys(compared.LAWS)}
RESULT, ROWS, TRANSFER, PATHS = "prediction-audit.json", "rows.jsonl", "transfer.jsonl", "paths.jsonl"
WAITS = "waits.jsonl"
CURVES = "curves.jsonl"  # of each row, how many responses of each seed and round were right


def _silent(label: str) -> ProgressLine:
    return ProgressLine(label, shown=False)


def audit(
    out: Path,
    *,
    tier: str = "tiny",
    progress: Callable[[int, int, dict[str, Any]], None] = lambda done, total, row: None,
    line: Callable[[str], ProgressLine] = _silent,
) -> list[dict[str, Any]]:
    """All rows of a tier, its test curves and the law's own error; what the folder has is not run again.

    Args:
        out: run folder, where rows.jsonl, curves.jsonl, transfer.jsonl, waits.jsonl and paths.jsonl grow by a line for
            each result.
        tier: one of `TIERS`.
        progress: told (rows done, all, the row).
        line: of a label, what shows how far a measurement or a run has come; by default, nothing is shown.

    Raises:
        InputError: no such tier, or the folder is of another one.
    """
    if tier not in TIERS:
        raise InputError(f"--tier is {tier!r}: choose one of {', '.join(TIERS)}.")
    design = TIERS[tier]
    with RunFolder.claim(out, {"command": "prediction-audit", "tier": tier, "key": RUN_KEY}) as folder:
        folder.write_manifest(started=now(), key=RUN_KEY, finished=None)
        asked = _asked(folder.path, design)
        rows, moved, courses, waited = (_read(folder.path / name) for name in (ROWS, TRANSFER, PATHS, WAITS))

        def keep(name: str, results: list[dict[str, Any]], total: int) -> None:
            with (folder.path / name).open("a") as file:
                file.write(to_line(results[-1]))
            # Whole after every result: a study that is cut has a page too, which says how far it came.
            result = {"asked": len(asked), "rows": rows, "transfer": moved, "paths": courses, "waits": waited}
            write_atomically(folder.path / RESULT, json.dumps(result, indent=1) + "\n")
            progress(len(results), total, results[-1])

        def keep_row() -> None:
            right = rows[-1].pop("right", None)
            if right is not None:
                about = {name: rows[-1][name] for name in ("model", "task", "question", *NAMED)}
                with (folder.path / CURVES).open("a") as file:
                    file.write(to_line(about | {"right": right}))
            keep(ROWS, rows, len(asked))

        _paths(folder.path, design, asked, courses, line, lambda total: keep(PATHS, courses, total))
        _run(folder.path, design, asked, rows, line, keep_row)
        if design.tests is not None:
            curves = len(design.models) * len(design.tasks)
            _transfers(folder.path, design, moved, lambda: keep(TRANSFER, moved, curves))
        for name, task, question in never_right(rows, waited):
            waited.append(waits(design, load_model(name), task, question))
            keep(WAITS, waited, len(waited))
        folder.amend_manifest(finished=now())
    return rows


Asked = tuple[LanguageModel, str, int, Condition]


def _read(path: Path) -> list[dict[str, Any]]:
    return [dict(record) for record in read_lines(path)] if path.exists() else []


def _asked(out: Path, design: Tier) -> list[Asked]:
    """(model, task, question, condition) of every row, in the order in which they are run."""
    loaded = {name: load_model(name) for name in design.models}
    return [
        (loaded[name], task, question, condition)
        for condition in design.conditions
        for name in design.models
        for task in design.tasks
        for place, found in choose(design, loaded[name], task, out).items()
        if place in condition.bins
        for question in found
    ]


def _run(
    out: Path,
    design: Tier,
    asked: list[Asked],
    rows: list[dict[str, Any]],
    line: Callable[[str], ProgressLine],
    keep: Callable[[], None],
) -> None:
    """Add the rows that are not there yet, and call `keep` after each."""
    done = {_named(record) for record in rows}
    measured: dict[tuple[str, str, int], tuple[Measurement, float | None]] = {}
    for model, task, question, condition in asked:
        name = (model.name, task, question)
        if (*name, *condition.named) in done:
            continue
        if name not in measured:
            start, resumed = time.monotonic(), _scores(out, *name).exists()
            found = _measured(out, design, model, task, question, line)
            measured[name] = found, None if resumed else time.monotonic() - start
        try:
            with line(f"{model.name}, {task}, question {question}, {condition.optimizer} {condition.step:g}") as shown:
                rows.append(row(design, model, task, question, condition, *measured[name], progress=shown))
        except InputError as refused:  # no success in the measurement, or too little of the policy in the tree
            rows.append({**named(design, model, task, question, condition), **UNMEASURED, "refused": str(refused)})
        keep()


def _measured(
    out: Path,
    design: Tier,
    model: LanguageModel,
    task: str,
    question: int,
    line: Callable[[str], ProgressLine] = _silent,
) -> Measurement:
    """p0, kappa and the tree; without the scores themselves, which are large and needed for transfer alone.

    Sketched scores, which take a large model minutes, are kept in `out`: a study that is killed goes on where it was.
    """
    example = datasets.load(task, "train").example(question)
    with line(f"Measuring {model.name}, {task}, question {question}") as shown:
        shown.unit, shown.quantity = "steps", "p0"
        found = measure(
            model,
            example.prompt,
            verifier_of(None, example),
            key=jax.random.fold_in(as_key(MEASURE_KEY), question),
            max_tokens=design.max_tokens,
            rollouts=design.responses,
            batch=min(64, design.batch),
            standard_error=False,
            tree=True,
            coordinates=COORDINATES,
            kept=_scores(out, model.name, task, question),
            progress=shown,
        )
    assert found.tree is not None
    return dataclasses.replace(found, tree=dataclasses.replace(found.tree, features=np.empty((0, 0), np.float32)))


def _scores(out: Path, model: str, task: str, question: int) -> Path:
    return out / f"scores-{model}-{task}-{question}.part"


def _transfers(out: Path, design: Tier, moved: list[dict[str, Any]], keep: Callable[[], None]) -> None:
    """Of each model and task, the test curve while the question of the second bin is learnt; `keep` after each."""
    done = {(record["model"], record["task"]) for record in moved}
    for name in design.models:
        model = load_model(name)
        for task in design.tasks:
            questions = choose(design, model, task, out)["0.25"]
            if questions and (name, task) not in done:
                try:
                    moved.append(transfer(design, model, task, questions[0]))
                except InputError as refused:  # too little of the policy in the tree
                    about = {"tier": design.name, "model": name, "task": task, "question": questions[0]}
                    moved.append({**about, "refused": str(refused)})
                keep()


def _paths(
    out: Path,
    design: Tier,
    asked: list[Asked],
    courses: list[dict[str, Any]],
    line: Callable[[str], ProgressLine],
    keep: Callable[[int], None],
) -> None:
    """Under the raw reward, the law's own error; `keep` after each."""
    plain = [one for one in asked if one[3].signal == "raw"]
    plain.sort(key=lambda one: (one[0].name, *one[1:3]))  # one measurement for each question
    done, measured = {_named(record) for record in courses}, None
    for place, (model, task, question, condition) in enumerate(plain):
        record = named(design, model, task, question, condition)
        if place and plain[place - 1][:3] != (model, task, question):
            measured = None
        if _named(record) in done:
            continue
        measured = measured or _measured(out, design, model, task, question, line)
        try:
            along = path if condition.optimizer == "sgd" else adam_path
            courses.append(along(design, model, task, question, condition, measured))
        except InputError as refused:  # no success in the measurement, or too little of the policy in the tree
            courses.append({**record, "refused": str(refused)})
        keep(len(plain))


def _named(record: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(record[name] for name in ("model", "task", "question", *NAMED))


def predict_again(out: Path) -> None:
    """Predict every row of a run folder anew, by the laws as they are now; what the runs showed stays as it is.

    Raises:
        InputError: a row's tree is measured anew and is another one: its run has to be made anew.
    """
    rows = _read(out / ROWS)
    kept = {tuple(record[name] for name in ("model", "task", "question")): record["tier"] for record in rows}
    for (name, task, question), tier in kept.items():
        design, model, measured = TIERS[tier], load_model(name), None
        for record in rows:
            if "refused" in record or (record["model"], record["task"], record["question"]) != (name, task, question):
                continue
            measured = measured or _measured(out, design, model, task, question)
            tree = measured.summary().tree
            assert tree is not None
            if abs(tree.p0 - record["p0"]) > 1e-4 * tree.p0:
                raise InputError(f"Question {question} of {name} has p0 {tree.p0} and had {record['p0']}: run it anew.")
            condition = Condition(*(record[field] for field in NAMED))
            record |= foretold(
                measured, condition, record["step_size"], record["level"], record["rounds"], design.seeds
            )
        print(f"{name}, {task}, question {question}", flush=True)
        jax.clear_caches()
    write_atomically(out / ROWS, "".join(map(to_line, rows)))
    whole = json.loads((out / RESULT).read_text()) | {"rows": rows}
    write_atomically(out / RESULT, json.dumps(whole, indent=1) + "\n")


if __name__ == "__main__":
    # python -m simulations.prediction_audit.audit runs/prediction-audit: after a law has changed
    predict_again(Path(sys.argv[1]))
