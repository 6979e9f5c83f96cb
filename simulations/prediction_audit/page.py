"""The audit as a page: docs/prediction-audit.md and its data.

python -m simulations.prediction_audit.page --run runs/prediction-audit --run runs/prediction-audit-small
"""

from __future__ import annotations

import argparse
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import norm

from bandit_rft.runs import read_json, write_atomically
from bandit_rft.theory import compared
from simulations.prediction_audit import path_tables
from simulations.prediction_audit.audit import RESULT, UNMEASURED
from simulations.prediction_audit.design import TIERS, Tests
from simulations.prediction_audit.half_times import FEW

PARTS = ("rows", "transfer", "paths", "waits")  # of a result


def ratios(rows: Sequence[dict[str, Any]], law: str) -> np.ndarray:
    """log2 (predicted over measured), of rows that have both."""
    pairs = [
        (record["predicted"][law], record["measured_half_time"])
        for record in rows
        if "refused" not in record and record["predicted"].get(law) and record["measured_half_time"]
    ]
    return np.array([math.log2(said / seen) for said, seen in pairs])


def regimes(rows: Sequence[dict[str, Any]]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """(name, rows) of each regime that the summary tells apart, by nothing that a run showed: lucky runs have few
    successes, and would stand together.
    """
    for tier in TIERS:
        kept = [record for record in rows if "refused" not in record and record["tier"] == tier]
        tests = [record for record in kept if _expected_successes(record) >= FEW]
        yield f"{tier}: sgd, raw", [r for r in tests if (r["optimizer"], r["signal"]) == ("sgd", "raw")]
        yield f"{tier}: sgd, groups of 8", [r for r in tests if r["optimizer"] == "sgd" and r["signal"] != "raw"]
        yield f"{tier}: adamw, raw", [r for r in tests if r["optimizer"] == "adamw"]
        yield f"{tier}: fewer than {FEW} successes expected", [r for r in kept if r not in tests]


def _expected_successes(record: Mapping[str, Any]) -> float:
    """Of a seed before the predicted time: Pass@1 is between its start and the level until then, so half of the two."""
    until = record["predicted"]["tree"]
    return math.inf if until is None else until * record["rollouts"] * (record["p0"] + record["level"]) / 2


def by_chance(rows: Sequence[dict[str, Any]], draws: int = 4000) -> tuple[float, float, float]:
    """(mean, low, high) of the median |log2 ratio| that a law would show which is exactly right, from the noise of the
    run's seeds and of its own measurement alone: log-normal, as wide as the tree law's 80% interval, about the bias of
    the estimator where a row has it. low and high hold 95% of the draws; NaN where no row has an interval.
    """
    spreads, shifts = [], []
    for record in rows:
        (low, high), said = record["tree_interval_80"], record["predicted"]["tree"]
        ends = [abs(math.log2(end / said)) for end in (low, high) if end and said]
        if ends:
            spreads.append(np.mean(ends) / norm.ppf(0.9))
            shifts.append(record.get("tree_shows") or 0.0)
    if not spreads:
        return math.nan, math.nan, math.nan
    noise = np.random.default_rng(0).normal(size=(draws, len(spreads))) * spreads
    drawn = np.median(np.abs(noise + shifts), axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(drawn.mean()), float(low), float(high)


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown: by regime and law, the median |log2 ratio| and what chance alone makes it, the bias with its standard
    error (rows taken as independent), that of a law which is right, and how many are within 25%."""
    lines = [
        "| regime | law | rows | median abs log2 | of a right law, by chance | bias (mean log2) | of a right law "
        "| within 25% |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, some in regimes(rows):
        for law in compared.LAWS:
            found = ratios(some, law)
            if found.size:
                within = int((np.abs(found) <= math.log2(1.25)).sum())
                chance = "{:.2f} [{:.2f}, {:.2f}]".format(*by_chance(some)) if law == "tree" else "–"
                error = f" ± {found.std(ddof=1) / math.sqrt(found.size):.2f}" if found.size > 1 else ""
                lines.append(
                    f"| {name} | {law} | {found.size} | {np.median(np.abs(found)):.2f} | {chance} | "
                    f"{found.mean():+.2f}{error} | {own_bias(some) if law == 'tree' else '–'} "
                    f"| {within} of {found.size} |"
                )
    return "\n".join(lines)


def own_bias(rows: Sequence[dict[str, Any]]) -> str:
    """The mean log2 ratio that the tree law's own runs show in these rows (`half_times.shown_by_itself`), as text."""
    known = [record["tree_shows"] for record in rows if record.get("tree_shows") is not None]
    return f"{np.mean(known):+.2f}" if known else "–"


def covered(rows: Sequence[dict[str, Any]]) -> tuple[int, int]:
    """(rows whose measured half-time lies in the tree law's 80% interval, rows)."""
    pairs = [
        (record["tree_interval_80"], record["measured_half_time"])
        for record in rows
        if "refused" not in record and record["measured_half_time"]
    ]
    ends = [(*(math.inf if end is None else end for end in band), seen) for band, seen in pairs]
    return sum(low <= seen <= high for low, high, seen in ends), len(pairs)


def page(results: Sequence[Mapping[str, Any]]) -> str:
    """docs/prediction-audit.md, of one result for each tier."""
    rows, moved, courses, waited = ([one for result in results for one in result.get(name, [])] for name in PARTS)
    lines = [
        "# Predictions held against runs",
        "",
        "Made by `bandit-rft simulate prediction-audit --tier tiny --out runs/prediction-audit`, the same with",
        "`--tier small --out runs/prediction-audit-small`, and `python -m simulations.prediction_audit.page --run",
        "runs/prediction-audit --run runs/prediction-audit-small`; the rows are in",
        "[prediction-audit.json](prediction-audit.json), the rules by which questions, conditions and estimators were",
        "fixed, and what was changed after rows had been seen, in",
        "[the study](../simulations/prediction_audit/__init__.py). The tiny tier is a run of its command, which went",
        "on once after a mend (10 there); rows of the small tier were kept when the code around them changed. Nothing",
        "is fitted: each law has what was measured on the model before training.",
        *[line for result in results for line in _tier(result)],
        "",
        "![Half-times, predicted and measured](prediction_half_times.png)",
        "",
        "## Half-times by law",
        "",
        "By chance: the median that a law would show which is exactly right, with 95% of what could come out; the",
        "seeds of a run and the responses of a measurement are few, and the tree law states the noise that they bring.",
        "A regime whose median is no larger than that does not tell the law from a right one. The same of the bias:",
        "a mean of few seeds is at the level, by chance, somewhat before its expectation is, so that runs drawn from",
        "the law itself, held against it in the same way, show it to be late by what the last column but one says.",
        "",
        *_shared(rows),
        table(rows),
        *path_tables.sections(courses),
        *_test_curves(moved),
        *_waits(waited),
        "",
        "## Every run",
        "",
        "| model | task | question | learner | p0 | decisions | level | measured [95%] | tree [80%] | chain | H chain "
        "| flow |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        *map(_line, rows),
    ]
    return "\n".join(lines) + "\n"


def _shared(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Of rows that were run with a key that others have too, how many there are in each regime."""
    keys = Counter(record["key"] for record in rows if "refused" not in record)
    alike = Counter(
        f"{record['optimizer']}, {record['signal']}"
        for record in rows
        if "refused" not in record and keys[record["key"]] > 1
    )
    if alike:
        counted = ", ".join(f"{count} of {name}" for name, count in alike.items())
        yield "Rows that have a key in common have their seeds' luck in common, and the standard error of the bias,"
        yield f"which takes rows as independent, is too small for them: {counted}."
        yield ""


def _tier(result: Mapping[str, Any]) -> Iterator[str]:
    rows = result["rows"]
    kept = [record for record in rows if "refused" not in record]
    if not kept:
        return
    tier = TIERS[kept[0]["tier"]]
    inside, tested = covered(rows)
    timed = [record for record in kept if record["measure_seconds"]]
    yield ""
    yield f"**Tier {tier.name}** ({', '.join(tier.models)}; {', '.join(tier.tasks)}): {tier.responses} responses behind"
    yield f"each measurement, {tier.seeds} seeds of each run. Of {tested} half-times {inside} lie in the 80% interval"
    yield "that the tree law states for the mean of those seeds, measurement included."
    if timed:
        yield from _costs(timed)
    if len(rows) < result["asked"]:
        yield f"Not finished: {len(rows)} of {result['asked']} rows have been run."


def _costs(timed: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    once: dict[tuple[Any, ...], float] = {}
    for record in timed:
        question = tuple(record[name] for name in ("model", "task", "question"))
        once[question] = max(once.get(question, 0.0), record["measure_seconds"])
    whole = sum(once.values()) / sum(record["run_seconds"] for record in timed)
    yield f"A question is measured once (sampling, kappa and the tree): {whole:.2f} of the time of all its runs. Held"
    parts = []
    for name, some in (("gradient steps", "sgd"), ("AdamW", "adamw")):
        ratio = [record["measure_seconds"] / record["run_seconds"] for record in timed if record["optimizer"] == some]
        if ratio:
            parts.append(f"{np.median(ratio):.2f} under {name}")
    yield f"against each single run it is {', '.join(parts)}, in the median (times with"
    yield "compilation, beside other work on two cores)."


def _test_curves(moved: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for name, tier in TIERS.items():
        records = [record for record in moved if record["tier"] == name]
        if not records or tier.tests is None:
            continue
        tests: Tests = tier.tests
        yield from (
            "",
            f"## Test questions ({name})",
            "",
            f"Mean Pass@1 over {tests.questions} test questions while one question is trained by gradient steps of",
            f".2/kappa, {tests.seeds} seeds, predicted from {tests.responses} responses to each.",
            "",
            "| model | task | rounds | predicted | measured | standard error |",
            "| --- | --- | --- | --- | --- | --- |",
        )
        for record in records:
            if "refused" in record:
                yield f"| {record['model']} | {record['task']} | refused: {record['refused']} | | | |"
                continue
            said, seen, error = (
                ", ".join(f"{value:.3f}" for value in record[key])
                for key in ("predicted", "measured", "standard_error")
            )
            yield f"| {record['model']} | {record['task']} | {record['rounds']} | {said} | {seen} | {error} |"


def _waits(waited: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not waited:
        return
    yield from (
        "",
        "## Questions that no response was right on",
        "",
        "The pulls until the first success, as the wrong responses of the measurement predict them (median, and from",
        "the tenth to the ninetieth hundredth), and their mean by fresh responses of the model before training.",
        "",
        "| model | task | question | predicted | measured | right of |",
        "| --- | --- | --- | --- | --- | --- |",
    )
    for one in waited:
        low, middle, high = one["predicted"]
        seen = "–" if one["measured"] is None else f"{one['measured']:,.0f}"
        yield (
            f"| {one['model']} | {one['task']} | {one['question']} | {middle:,.0f} [{low:,.0f}, {high:,.0f}] "
            f"| {seen} | {one['right']} of {one['responses']:,} |"
        )


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
    """Write the page and its data from run folders, one for each tier."""
    parser = argparse.ArgumentParser(description="docs/prediction-audit.md and .json from run folders")
    parser.add_argument(
        "--run", type=Path, required=True, action="append", help="folder of bandit-rft simulate prediction-audit"
    )
    results = [read_json(path / RESULT) for path in parser.parse_args().run]
    docs = Path(__file__).resolve().parents[2] / "docs"
    together = {name: [one for result in results for one in result.get(name, [])] for name in PARTS}
    # Rows that were kept from before have fewer fields.
    together["rows"] = [{**UNMEASURED, **row} if "refused" in row else row for row in together["rows"]]
    write_atomically(docs / "prediction-audit.json", json.dumps(together, indent=1) + "\n")
    write_atomically(docs / "prediction-audit.md", page(results))


if __name__ == "__main__":
    main()
