"""Half-times of fine-tuning runs, predicted before the run and measured in it, by law."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bandit_rft.plots import style
from bandit_rft.runs import read_json
from figures import sweeps

NAME = "prediction_half_times"
STUDY = "bandit-rft simulate prediction-audit"
RESULT = "prediction-audit.json"
LAWS = {
    "tree": "tree of decisions",
    "h_decision_chain": "H equal decisions",
    "constant_kappa_chain": "one κ, the jump chain",
    "flow": "the mean update's flow",
}
_KINDS = {
    ("sgd", 1): ("gradient steps, one rollout", style.BLUE, "o"),
    ("sgd", 8): ("gradient steps, groups of 8", style.ORANGE, "s"),
    ("adamw", 1): ("AdamW, one rollout", style.GREEN, "^"),
}


def accepts(config: Mapping[str, Any]) -> bool:
    """Whether a config.json is that of `simulations.prediction_audit`."""
    return config.get("command") == "prediction-audit"


def draw(run: str | Path, out: str | Path | None = None) -> Path:
    """Draw the audit of a run folder; returns the PNG's path."""
    rows = [row for row in read_json(Path(run) / RESULT)["rows"] if row.get("measured_half_time")]
    drawn = [row["predicted"][law] for row in rows for law in LAWS if row["predicted"].get(law)]
    seen = np.array([row["measured_half_time"] for row in rows] + drawn)
    ends = np.array([0.6 * seen.min(), 1.7 * seen.max()])
    with style.panels(1, 4, width=2 * style.COLUMN, height=2.4, sharex=True, sharey=True) as (figure, axes):
        for panel, (law, name) in zip(axes, LAWS.items(), strict=True):
            panel.fill_between(ends, ends / 1.25, ends * 1.25, color="#EEEEEE", linewidth=0, label="within 25%")
            panel.plot(ends, ends, color=style.GREY, linewidth=0.8)
            for (optimizer, rollouts), (label, colour, marker) in _KINDS.items():
                chosen = [
                    row
                    for row in rows
                    if (row["optimizer"], row["rollouts"]) == (optimizer, rollouts) and row["predicted"].get(law)
                ]
                if not chosen:
                    continue
                measured = np.array([row["measured_half_time"] for row in chosen])
                limits = np.array([[row["interval"][0] or 0, row["interval"][1] or np.nan] for row in chosen])
                panel.errorbar(
                    [row["predicted"][law] for row in chosen],
                    measured,
                    yerr=np.abs(np.nan_to_num(limits.T - measured)),
                    fmt=marker,
                    color=colour,
                    markersize=3,
                    elinewidth=0.7,
                    label=label,
                )
            panel.set(xscale="log", yscale="log", xlim=ends, ylim=ends, xlabel="predicted (rounds)")
            panel.set_title(name)
        axes[0].set_ylabel("measured half-time (rounds)")
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4)
        return style.save(figure, sweeps.target(run, out, NAME), runs={"audit": Path(run)})
