"""The audit as a page: docs/prediction-audit.md and its data.

python -m simulations.prediction_audit.page --run runs/prediction-audit
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bandit_rft.runs import read_json, write_atomically
from bandit_rft.theory import compared
from simulations.prediction_audit.audit import RESULT
from simulations.prediction_audit.design import RESPONSES, SEEDS, TEST_QUESTIONS, TEST_RESPONSES, TEST_SEEDS


def ratios(rows: Sequence[dict[str, Any]], law: str) -> np.ndarray:
    """log2 (predicted over measured), of rows that have both."""
    pairs = [
        (record["predicted"][law], record["measured_half_time"])
        for record in rows
        if "refused" not in record and record["predicted"].get(law) and record["measured_half_time"]
    ]
    return np.array([math.log2(said / seen) for said, seen in pairs])


def regimes(rows: Sequence[dict[str, Any]]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """(name, rows) of each regime that the summary tells apart."""
    kept = [record for record in rows if "refused" not in record]
    tests = [record for record in kept if (record["successes_at_half_time"] or 0) >= 5]
    yield "sgd, raw", [r for r in tests if (r["optimizer"], r["signal"]) == ("sgd", "raw")]
    yield "sgd, groups of 8", [r for r in tests if r["optimizer"] == "sgd" and r["signal"] != "raw"]
    yield "adamw, raw", [r for r in tests if r["optimizer"] == "adamw"]
    yield "fewer than 5 successes", [r for r in kept if r not in tests]


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown: by regime and law, the median |log2 ratio|, the bias, and how many are within 25%."""
    lines = [
        "| regime | law | rows | median abs log2 | bias (mean log2) | within 25% |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, some in regimes(rows):
        for law in compared.LAWS:
            found = ratios(some, law)
            if found.size:
                within = int((np.abs(found) <= math.log2(1.25)).sum())
                lines.append(
                    f"| {name} | {law} | {found.size} | {np.median(np.abs(found)):.2f} | {found.mean():+.2f} | "
                    f"{within} of {found.size} |"
                )
    return "\n".join(lines)


def covered(rows: Sequence[dict[str, Any]]) -> tuple[int, int]:
    """(rows whose measured half-time lies in the tree law's 80% interval, rows)."""
    pairs = [
        (record["tree_interval_80"], record["measured_half_time"])
        for record in rows
        if "refused" not in record and record["measured_half_time"]
    ]
    inside = sum((low or math.inf) <= seen <= (high or math.inf) for (low, high), seen in pairs)
    return inside, len(pairs)


def page(result: Mapping[str, Any]) -> str:
    """docs/prediction-audit.md."""
    rows, moved = result["rows"], result["transfer"]
    kept = [record for record in rows if "refused" not in record]
    inside, tested = covered(rows)
    cost = np.median([record["measure_seconds"] / record["run_seconds"] for record in kept])
    lines = [
        "# Predictions held against runs",
        "",
        "Made by `bandit-rft simulate prediction-audit --tier tiny --out runs/prediction-audit` and",
        "`python -m simulations.prediction_audit.page --run runs/prediction-audit`; the rows are in",
        "[prediction-audit.json](prediction-audit.json), the rules by which questions, conditions and estimators were",
        "fixed in [the study](../simulations/prediction_audit/__init__.py). Nothing is fitted: each law has what was",
        f"measured on the model before training, {RESPONSES} responses to the question. {SEEDS} seeds each.",
        *_unfinished(result),
        "",
        "![Half-times, predicted and measured](prediction_half_times.png)",
        "",
        "## Half-times by law",
        "",
        table(rows),
        "",
        f"Of {tested} half-times {inside} lie in the 80% interval that the tree law states for the mean of {SEEDS}",
        "seeds, measurement included.",
        f"Measuring (sampling, kappa and the tree) took {cost:.2f} of the time of the run, in the median over rows.",
        "",
    ]
    if moved:
        lines += _test_curves(moved)
    lines += [
        "",
        "## Every run",
        "",
        "| model | task | question | learner | p0 | decisions | level | measured [95%] | tree [80%] | chain | H chain "
        "| flow |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    lines += [_line(record) for record in rows]
    return "\n".join(lines) + "\n"


def _test_curves(moved: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = [
        "## Test questions",
        "",
        f"Mean Pass@1 over {TEST_QUESTIONS} test questions while one question is trained by gradient steps of",
        f".2/kappa, {TEST_SEEDS} seeds, predicted from {TEST_RESPONSES} responses to each.",
        "",
        "| model | task | rounds | predicted | measured | standard error |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for record in moved:
        said, seen, error = (
            ", ".join(f"{value:.3f}" for value in record[name]) for name in ("predicted", "measured", "standard_error")
        )
        lines.append(f"| {record['model']} | {record['task']} | {record['rounds']} | {said} | {seen} | {error} |")
    return lines


def _unfinished(result: Mapping[str, Any]) -> list[str]:
    missing = result["asked"] - len(result["rows"])
    if not missing:
        return []
    return ["", f"**Not finished: {len(result['rows'])} of {result['asked']} rows have been run.**"]


def _line(record: Mapping[str, Any]) -> str:
    learner = f"{record['optimizer']} {record['step']:g}, {record['signal']}, G = {record['rollouts']}"
    start = f"| {record['model']} | {record['task']} | {record['question']} | {learner} |"
    if "refused" in record:
        return f"{start} refused: {record['refused']} | | | | | | | |"

    def shown(value: float | None) -> str:
        return "–" if value is None else f"{value:.0f}"

    said, band, interval_ = record["predicted"], record["tree_interval_80"], record["interval"]
    return (
        f"{start} {record['p0']:.3f} | {record['decisions']:.1f} | {record['level']:g} | "
        f"{shown(record['measured_half_time'])} [{shown(interval_[0])}, {shown(interval_[1])}] | "
        f"{shown(said['tree'])} [{shown(band[0])}, {shown(band[1])}] | {shown(said['constant_kappa_chain'])} | "
        f"{shown(said['h_decision_chain'])} | {shown(said['flow'])} |"
    )


def main() -> None:
    """Write the page and its data from a run folder."""
    parser = argparse.ArgumentParser(description="docs/prediction-audit.md and .json from a run folder")
    parser.add_argument("--run", type=Path, required=True, help="folder of bandit-rft simulate prediction-audit")
    result = read_json(parser.parse_args().run / RESULT)
    docs = Path(__file__).resolve().parents[2] / "docs"
    write_atomically(docs / "prediction-audit.json", json.dumps(result, indent=1) + "\n")
    write_atomically(docs / "prediction-audit.md", page(result))


if __name__ == "__main__":
    main()
