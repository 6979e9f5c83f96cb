"""Measurements in a run folder: p0 and kappa of one question, or a scan of many that continues where it was cut."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from bandit_rft.errors import InputError
from bandit_rft.keys import Purpose, as_key
from bandit_rft.runs import (
    SCAN,
    LineWriter,
    RunFolder,
    has_fields,
    read_json,
    read_lines,
    rewrite_lines,
    to_json,
    write_atomically,
)
from bandit_rft.runs.progress import ProgressLine
from bandit_rft.runs.trees import write_tree
from bandit_rft.theory import ForestSample
from bandit_rft.theory.many_arms.waiting import wait_in_words
from bandit_rft.theory.sampled_tree import TreeSample
from llm_bridge import hosts
from llm_bridge.bandits.question_arms import verifier_of
from llm_bridge.bandits.response_arms import Question
from llm_bridge.language_model import LanguageModel
from llm_bridge.measuring import kept_scores
from llm_bridge.measuring.measure import measure
from llm_bridge.measuring.pinned_prompts import keep_prompts
from llm_bridge.measuring.scan import FIELDS, Row, as_csv, as_markdown, scan
from llm_bridge.measuring.several import measure_several

RESULT = "measurement.json"
_RESAMPLES = 100  # behind the standard errors of a tree's numbers
# Those that `summary` shows.
_SHOWN: dict[str, type] = {
    **dict.fromkeys(("rollouts", "distinct", "successes"), int),
    **dict.fromkeys(("mean_length", "truncated", "p0", "confidence", "p0_low", "p0_high"), float),
    **dict.fromkeys(("kappa", "kappa_standard_error"), float),
    "note": str,
}


def measurement_of(folder: RunFolder) -> dict[str, Any] | None:
    """The measurement that a folder holds already; None where it holds none.

    Raises:
        InputError: it is damaged.
    """
    path = folder.path / RESULT
    if not path.exists():
        return None
    record = read_json(path)
    known = {name: value for name, value in record.items() if value is not None}
    if set(_SHOWN) - set(record) or not has_fields(known, {n: kind for n, kind in _SHOWN.items() if n in known}):
        raise InputError(f"{path} is not a measurement as written: remove it to measure again.")
    return record


def measure_into(
    folder: RunFolder,
    model: LanguageModel,
    questions: Sequence[Question],
    *,
    key: int,
    verifier: str | None,
    **settings: Any,
) -> dict[str, Any]:
    """Measure p0 and kappa of one question, or of several with their trees, and write measurement.json; returns its
    record. Of several processes all call it, and process 0 writes.

    Args:
        folder: the run folder, claimed.
        model: whose policy is measured.
        questions: each with its prompt and its answer.
        key: a whole number. A fine-tuning run of the same key gets the same numbers from its own measurement.
        verifier: for all questions; None: each question's own.
        settings: as `measure` takes them.

    Raises:
        InputError: as `measure`; or the folder began with other prompts.
    """
    keep_prompts(folder, model, [model.encode(question.prompt) for question in questions])
    folder.stands()
    asked = [(question.prompt, verifier_of(verifier, question)) for question in questions]
    own_key = jax.random.fold_in(as_key(key, "--key"), Purpose.MEASUREMENT)
    with ProgressLine("measuring p0 and kappa", unit="steps", quantity="p0", shown=hosts.index() == 0) as line:
        if len(asked) > 1:
            own = {name: value for name, value in settings.items() if name not in ("tree", "standard_error")}
            record, sample = measure_several(
                model, asked, key=own_key, progress=line, standard_error=False, folder=folder.path, **own
            )
        else:
            kept = kept_scores.path_of(folder.path) if settings.get("tree") else None
            measurement = measure(model, *asked[0], key=own_key, progress=line, kept=kept, **settings)
            record, sample = measurement.to_json(), None if measurement.tree is None else measurement.tree.sample

    def write() -> dict[str, Any]:
        if sample is not None:
            record["tree"] = write_tree(folder.path, sample) | _about(sample)
        write_atomically(folder.path / RESULT, to_json(record))
        kept_scores.discard(folder.path)
        return read_json(folder.path / RESULT)

    return hosts.first(write)


def _about(sample: TreeSample | ForestSample) -> dict[str, Any]:
    """The tree's numbers, each with the standard error of a bootstrap over the responses."""
    try:
        tree = sample.tree()
    except InputError:  # all responses take one path
        return {"edges": 0}
    if not 0.0 < tree.p0 < 1.0:
        return {"edges": tree.edges, "p0": tree.p0}
    generator = np.random.default_rng(0)
    # A sample that shows no success, or nothing else, has no kappa: it tells of p0 alone.
    drawn = [one for one in (sample.resampled(generator) for _ in range(_RESAMPLES)) if one is not None]
    found: dict[str, Any] = {"edges": tree.edges}
    for name in ("p0", "kappa", "decisions"):
        values = np.array([getattr(one, name) for one in drawn])
        values = values[np.isfinite(values)]
        error = float(values.std(ddof=1)) if values.size > 1 else math.nan
        found |= {name: getattr(tree, name), f"{name}_standard_error": error}
    return found


def summary(record: Mapping[str, Any], heading: str) -> str:
    """A measurement in a few lines, after a heading that names model and question; JSON's null is NaN."""
    value = {name: math.nan if entry is None else entry for name, entry in record.items()}
    lines = [
        f"{heading}: {value['rollouts']} responses, {value['distinct']} different, {value['mean_length']:.1f} tokens "
        f"each, {value['truncated']:.1%} truncated",
        f"p0 = {value['p0']:.4f}, {100 * value['confidence']:.4g}% interval {value['p0_low']:.4f} to "
        f"{value['p0_high']:.4f} ({value['successes']} of {value['rollouts']} right)",
    ]
    if not value["successes"]:
        lines.append(wait_in_words(int(value["rollouts"])))
    if math.isfinite(value["kappa"]):
        error = value["kappa_standard_error"]
        lines.append(
            f"kappa = {value['kappa']:.4g}" + (f" ± {error:.2g} (standard error)" if math.isfinite(error) else "")
        )
    tree = record.get("tree")
    if tree and tree.get("kappa") is None:
        lines.append(f"tree of {tree['edges']} edges: it shows no two kinds of response, and no law starts from it.")
    elif tree:
        size = {name: math.nan if entry is None else entry for name, entry in tree.items()}
        lines.append(
            f"tree of {size['edges']} edges: p0 = {size['p0']:.4f} ± {size['p0_standard_error']:.2g}, kappa = "
            f"{size['kappa']:.4g} ± {size['kappa_standard_error']:.2g}, {size['decisions']:.1f} decisions in a correct "
            "response (standard errors by a bootstrap)"
        )
    return "\n".join([*lines, *([str(value["note"])] if value["note"] else [])])


def scanned_rows(folder: RunFolder) -> list[Row]:
    """The rows that a scan has written to its folder so far; half a line that a kill left is removed."""

    def read() -> list[dict[str, Any]]:
        records = read_lines(folder.path / SCAN, FIELDS)
        rewrite_lines(folder.path / SCAN, records)
        return [{name: record[name] for name in FIELDS} for record in records]

    return [Row(**record) for record in hosts.first(read)]


def scan_into(
    folder: RunFolder, model: LanguageModel, questions: Sequence[Any], rows: Sequence[Row], **settings: Any
) -> list[Row]:
    """Scan the questions that have no row yet, each row on the disk as soon as it is known; returns all rows.

    Args:
        folder: the run folder, claimed.
        model: whose policy is measured.
        questions: all questions of the scan, each with its place in the data as `index`.
        rows: those of an earlier part of this scan.
        settings: as `scan` takes them.

    Raises:
        InputError: as `scan`; or the folder began with other prompts.
    """
    rows, done = list(rows), {row.index for row in rows}
    keep_prompts(folder, model, [model.encode(question.prompt) for question in questions])
    folder.stands()
    left = [(question.index, question) for question in questions if question.index not in done]
    leads, start = hosts.index() == 0, time.monotonic()
    writer = LineWriter(folder.path / SCAN) if leads else None
    try:
        with ProgressLine("scanning", unit="questions", quantity="p0", shown=leads) as line:
            for row in scan(model, left, **settings):
                if writer is not None:
                    writer.write(dataclasses.asdict(row))
                    writer.sync()
                rows.append(row)
                line(len(rows), len(questions), row.p0, time.monotonic() - start)
    finally:
        if writer is not None:
            writer.close()
    return rows


def write_tables(folder: RunFolder, rows: Sequence[Row], confidence: float) -> None:
    """Write table.csv and table.md of a scan."""
    write_atomically(folder.path / "table.csv", as_csv(rows))
    write_atomically(folder.path / "table.md", as_markdown(rows, confidence))
