"""The drift multiplier of each signal against the size of the group, simulated and predicted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bandit_rft import theory
from bandit_rft.plots import style
from bandit_rft.sweep import SweepResult
from figures import sweeps

NAME = "drift_multipliers"
MOST = 16  # draws of a dead group, as the study has it


def accepts(config: Mapping[str, Any]) -> bool:
    """Whether a config.json is that of `simulations.drift_multipliers`."""
    return sweeps.holds(config, {"signal", "rollouts", "p0"})


def draw(run: str | Path, out: str | Path | None = None) -> Path:
    """Draw the sweep; returns the PNG's path."""
    result = sweeps.load(run)
    masses, names = list(result.axes["p0"]), list(result.axes["signal"])
    rows = [names[start : start + len(sweeps.COLOURS)] for start in range(0, len(names), len(sweeps.COLOURS))]
    size = {"width": 2 * style.COLUMN, "height": 2.4 * len(rows) + 0.1, "sharex": True}
    with style.panels(len(rows), len(masses), squeeze=False, **size) as (figure, panels):
        for row, shown in zip(panels, rows, strict=True):
            for axes, p0 in zip(row, masses, strict=True):
                _panel(axes, result, shown, p0)
            row[0].set_ylabel("drift over the raw reward's")
            row[-1].legend(fontsize=5.8)
        for axes, p0 in zip(panels[0], masses, strict=True):
            axes.set_title(f"$p = {p0:g}$")
        for axes in panels[-1]:
            axes.set_xlabel("rollouts $G$")
        panels[0][0].annotate(
            "$1/\\sqrt{p(1-p)}$",
            (0.02, 1 / np.sqrt(masses[0])),
            xycoords=("axes fraction", "data"),
            va="bottom",
            color=style.GREY,
        )
        return style.save(figure, sweeps.target(run, out, NAME), runs={"sweep": Path(run)})


def _panel(axes: Any, result: SweepResult, names: Sequence[str], p0: float) -> None:
    """Some signals at one p: 95% intervals of the simulation, and the law through them."""
    table = result.to_table()
    for place, signal in enumerate(names):
        found = [table[i] for i, q in enumerate(result.points) if (q["signal"], q["p0"]) == (signal, p0)]
        rollouts = np.asarray([row["rollouts"] for row in found], dtype=float)
        low, mean, high = (np.asarray([row[f"multiplier_{part}"] for row in found]) for part in ("low", "mean", "high"))
        k = int(rollouts.min()) if signal == "pass_at_k" else None  # the study's k is its smallest group
        label = signal if k is None else f"{signal}, k = {k}"
        colour, error = sweeps.COLOURS[place], [mean - low, high - mean]
        axes.errorbar(rollouts, mean, error, fmt=sweeps.MARKERS[place], color=colour, markersize=3, label=label)
        fine = np.unique(np.rint(np.geomspace(rollouts.min(), rollouts.max(), 60)).astype(int))
        axes.plot(fine, [_law(signal, p0, int(group), k) for group in fine], color=colour, linewidth=1.0)
    axes.axhline(1 / np.sqrt(p0 * (1 - p0)), color=style.GREY, linestyle=(0, (4, 2)), linewidth=0.8)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")


def _law(signal: str, p0: float, rollouts: int, k: int | None) -> float:
    """The drift that theory gives a condition of the study, by its name."""
    name, *variant = signal.split(", ")
    if not variant:
        return float(theory.drift_multiplier(name, p=p0, rollouts=rollouts, k=k))
    if variant[0].startswith("W"):
        return theory.score_window_drift(p0, rollouts=rollouts, window=4 * rollouts, signal=name)
    return float(theory.dynamic_sampling_drift(name, p0, rollouts=rollouts, most=MOST))
