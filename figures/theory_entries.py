"""One plot for each entry of the theory: the prediction as a line, what simulations gave as points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bandit_rft.plots import style
from bandit_rft.runs import read_json

NAME = "theory_entries"
RESULT = "audit.json"
_COLOURS = (style.BLUE, style.VERMILION, style.GREEN, style.PURPLE, style.ORANGE, style.SKY)
_MOST = 4  # cases in one plot: those inside first


def accepts(config: Mapping[str, Any]) -> bool:
    """Whether a config.json is that of the audit."""
    return config.get("command") == "theory-audit"


def draw(run: str | Path, out: str | Path | None = None) -> list[Path]:
    """Draw one PNG an entry from the audit's folder; returns their paths."""
    records = read_json(Path(run) / RESULT)["cases"]
    folder = Path(out) if out is not None else Path(run) / "figures"
    names = dict.fromkeys(record["entry"] for record in records)
    return [_draw(name, [r for r in records if r["entry"] == name], folder, Path(run)) for name in names]


def _draw(name: str, records: Sequence[Mapping[str, Any]], folder: Path, run: Path) -> Path:
    inside = [record for record in records if record["inside"]]
    first = inside[0] if inside else records[0]
    # One pair of axes holds what shares its axes with the first case; the rest has its own panel.
    alike = [r for r in records if (r["x_label"], r["y_label"]) == (first["x_label"], first["y_label"])]
    others = [r for r in records if r not in alike]
    groups = [alike[:_MOST]]
    if others:
        same = [r for r in others if (r["x_label"], r["y_label"]) == (others[0]["x_label"], others[0]["y_label"])]
        groups.append(same[:_MOST])
    with style.panels(1, len(groups), width=style.COLUMN * len(groups), height=2.5, squeeze=False) as (figure, panels):
        for axes, group in zip(panels[0], groups, strict=True):
            _panel(axes, group)
        panels[0][0].set_title(name)
        return style.save(figure, folder / f"{name}.png", runs={"audit": run}, dpi=130)


def _panel(axes: Any, group: Sequence[Mapping[str, Any]]) -> None:
    every: list[float] = []
    for colour, record in zip(_COLOURS, group, strict=False):
        x, order = np.asarray(record["x"]), np.argsort(record["x"])
        predicted = np.asarray([np.nan if value is None else value for value in record["predicted"]])
        measured, error = np.asarray(record["measured"]), np.asarray(record["standard_error"])
        style_of_line = {"equal": "-", "upper": "--", "lower": ":"}[record["relation"]]
        if np.unique(x).size < x.size:  # several predictions at one x: marks, no line between them
            axes.plot(x, predicted, "_", color=colour, markersize=9)
        else:
            axes.plot(x[order], predicted[order], style_of_line, color=colour, linewidth=1.0)
        axes.errorbar(
            x,
            measured,
            yerr=4 * error if record["relation"] == "equal" else 3 * error,
            fmt="o",
            markersize=3.2,
            color=colour,
            markerfacecolor=colour if record["inside"] else "white",
            elinewidth=0.8,
            label=_short(record["instance"]) + ("" if record["inside"] else " (outside)"),
        )
        every += [value for value in (*predicted, *measured) if np.isfinite(value)]
    x = np.concatenate([record["x"] for record in group])
    if x.min() > 0 and x.max() / x.min() > 30:
        axes.set_xscale("log")
    values = np.asarray(every)
    if values.size and values.min() > 0 and values.max() / values.min() > 100:
        axes.set_yscale("log")
    axes.set_xlabel(group[0]["x_label"])
    axes.set_ylabel(group[0]["y_label"])
    axes.legend(fontsize=4.8, loc="best", handlelength=1.0)


def _short(text: str) -> str:
    return text if len(text) <= 58 else text[:55] + "..."
