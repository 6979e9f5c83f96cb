"""A report's evaluations: Pass@1 by round with intervals; of many seeds their means, and every seed's own below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bandit_rft.history import History
from bandit_rft.plots.averages import interval, mean_of, means
from bandit_rft.reports.charts import KINDS

Table = tuple[list[str], list[list[Any]]]  # head, rows

INTERVALS = (
    "Intervals of a mean over seeds: Student's t over the seeds, or what the responses behind each seed's own interval "
    "leave open (Zou and Donner 2008) where that is wider. Each seed's own: as evaluated."
)


def evaluations_of(history: History) -> dict[str, Any]:
    """Tables of (head, rows): "records", and of many seeds "means" with a sentence on their "intervals"."""
    records = history.evaluations
    return {
        "records": _records(records, seeds=history.seeds > 1) if records else None,
        "means": _means(records) if records and history.seeds > 1 else None,
        "intervals": INTERVALS,
    }


def _means(evaluations: Sequence[Mapping[str, Any]]) -> Table:
    """A row per round and kind of question."""
    head = ["round", "questions of", "seeds", "mean Pass@1 [95%]", "lowest seed", "highest seed"]
    found = sorted(
        ((one, name) for name in dict.fromkeys(e["measured"] for e in evaluations) for one in means(evaluations, name)),
        key=lambda pair: pair[0].round,
    )
    rows = [
        [
            one.round,
            KINDS.get(name, name),
            one.seeds if one.round else "all alike",
            interval(one),
            *((f"{one.least:.3f}", f"{one.most:.3f}") if one.seeds > 1 else ("–", "–")),
        ]
        for one, name in found
    ]
    return head, rows


def _records(evaluations: Sequence[Mapping[str, Any]], *, seeds: bool) -> Table:
    """A row per record, with a column for the seed where there are several."""
    further = sorted({int(k) for e in evaluations for k in e.get("pass_at_k", {}) if k != "1"})
    head = ["round", "questions of", "Pass@1 [95%]", *(f"pass@{k}" for k in further), "right", "cut", "mean length"]
    head[1:1] = ["seed"] if seeds else []
    rows = [
        [
            e["round"],
            *(["all" if e.get("seed") is None else e["seed"]] if seeds else []),
            KINDS.get(e["measured"], e["measured"]),
            interval(mean_of([e])),
            *(_rounded(e.get("pass_at_k", {}).get(str(k)), 3) for k in further),
            f"{e['successes']} of {e['samples']}",
            "–" if e.get("truncated") is None else f"{100 * e['truncated']:.0f}%",
            _rounded(e.get("mean_length"), 1),
        ]
        for e in evaluations
    ]
    return head, rows


def _rounded(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:z.{digits}f}"
