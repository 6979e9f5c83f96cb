"""Runs a tier of the audit into a folder; what a rerun finds there already it keeps."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from bandit_rft.errors import InputError
from bandit_rft.keys import as_key
from bandit_rft.runs import RunFolder, now, read_lines, to_line, write_atomically
from llm_bridge import load_model
from llm_bridge.bandits.question_arms import verifier_of
from llm_bridge.data import datasets
from llm_bridge.language_model import LanguageModel
from llm_bridge.measuring.measure import Measurement, measure
from simulations.prediction_audit.design import (
    COORDINATES,
    MAX_TOKENS,
    MEASURE_KEY,
    NAMED,
    RESPONSES,
    RUN_KEY,
    TIERS,
    Condition,
    Tier,
    choose,
)
from simulations.prediction_audit.half_times import row
from simulations.prediction_audit.transfer import transfer

RESULT = "prediction-audit.json"


def audit(
    out: Path,
    *,
    tier: str = "tiny",
    progress: Callable[[int, int, dict[str, Any]], None] = lambda done, total, row: None,
) -> list[dict[str, Any]]:
    """All rows of a tier, and its test curves; what the folder holds already is not run again.

    Args:
        out: run folder, where rows.jsonl and transfer.jsonl grow by a line for each result.
        tier: one of `TIERS`.
        progress: told (rows done, all, the row).

    Raises:
        InputError: no such tier, or the folder is of another one.
    """
    if tier not in TIERS:
        raise InputError(f"--tier is {tier!r}: choose one of {', '.join(TIERS)}.")
    design = TIERS[tier]
    with RunFolder.claim(out, {"command": "prediction-audit", "tier": tier, "key": RUN_KEY}) as folder:
        started = now()
        rows = _rows(folder.path, design, progress)
        moved = _transfers(folder.path, design, progress)
        result = {"rows": rows, "transfer": moved}
        write_atomically(folder.path / RESULT, json.dumps(result, indent=1) + "\n")
        folder.write_manifest(started=started, finished=now())
    return rows


def _rows(out: Path, design: Tier, progress: Callable[[int, int, dict[str, Any]], None]) -> list[dict[str, Any]]:
    path = out / "rows.jsonl"
    rows = [dict(record) for record in read_lines(path)] if path.exists() else []
    done = {tuple(record[name] for name in ("model", "task", "question", *NAMED)) for record in rows}
    models, tasks, conditions = design.models, design.tasks, design.conditions
    loaded = {name: load_model(name) for name in models}
    asked = [
        (name, task, question, condition)
        for condition in conditions
        for name in models
        for task in tasks
        for place, found in choose(loaded[name], task, out).items()
        if place in condition.bins
        for question in found
    ]
    kept: dict[tuple[str, str, int], tuple[Measurement, float]] = {}
    for name, task, question, condition in asked:
        if (name, task, question, *condition.named) in done:
            continue
        if (name, task, question) not in kept:
            start = time.monotonic()
            measured = _measured(loaded[name], task, question)
            kept[name, task, question] = measured, time.monotonic() - start
        try:
            rows.append(row(loaded[name], task, question, condition, *kept[name, task, question]))
        except InputError as refused:  # no success in the measurement, or too little of the policy in the tree
            rows.append(_refused(name, task, question, condition, str(refused)))
        with path.open("a") as file:
            file.write(to_line(rows[-1]))
        progress(len(rows), len(asked), rows[-1])
    return rows


def _measured(model: LanguageModel, task: str, question: int) -> Measurement:
    """p0, kappa and the tree; without the scores themselves, which are large and needed for transfer alone."""
    example = datasets.load(task, "train").example(question)
    found = measure(
        model,
        example.prompt,
        verifier_of(None, example),
        key=jax.random.fold_in(as_key(MEASURE_KEY), question),
        max_tokens=MAX_TOKENS,
        rollouts=RESPONSES,
        batch=64,
        standard_error=False,
        tree=True,
        coordinates=COORDINATES,
    )
    assert found.tree is not None
    return dataclasses.replace(found, tree=dataclasses.replace(found.tree, features=np.empty((0, 0), np.float32)))


def _refused(model: str, task: str, question: int, condition: Condition, why: str) -> dict[str, Any]:
    return {
        "tier": "tiny",
        "model": model,
        "task": task,
        "question": question,
        **dict(zip(NAMED, condition.named, strict=True)),
        "refused": why,
    }


def _transfers(out: Path, design: Tier, progress: Callable[[int, int, dict[str, Any]], None]) -> list[dict[str, Any]]:
    """Of each model and task, the test curve while the question of the second bin is learnt."""
    path = out / "transfer.jsonl"
    found = [dict(record) for record in read_lines(path)] if path.exists() else []
    done = {(record["model"], record["task"]) for record in found}
    for name in design.models:
        model = load_model(name)
        for task in design.tasks:
            questions = choose(model, task, out)["0.25"]
            if (name, task) in done or not questions:
                continue
            found.append(transfer(model, task, questions[0]))
            with path.open("a") as file:
                file.write(to_line(found[-1]))
            progress(len(found), len(design.models) * len(design.tasks), found[-1])
    return found
