"""The drift multiplier of each signal against the size of the group, simulated and predicted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bandit_rft import theory
from bandit_rft.plots import style
from figures import sweeps

NAME = "drift_multipliers"


def accepts(config: Mapping[str, Any]) -> bool:
    """Whether a config.json is that of `simulations.drift_multipliers`."""
    return sweeps.holds(config, {"signal", "rollouts", "p0"})


def draw(run: str | Path, out: str | Path | None = None) -> Path:
    """Draw the sweep; returns the PNG's path."""
    result = sweeps.load(run)
    masses = list(result.axes["p0"])
    size = {"width": 2 * style.COLUMN, "height": 2.5, "sharex": True}
    with style.panels(1, len(masses), squeeze=False, **size) as (figure, panels):
        for axes, p0 in zip(panels[0], masses, strict=True):
            for place, signal in enumerate(result.axes["signal"]):
                where = [i for i, q in enumerate(result.points) if (q["signal"], q["p0"]) == (signal, p0)]
                table = [result.to_table()[i] for i in where]
                rollouts = np.asarray([row["rollouts"] for row in table], dtype=float)
                low, mean, high = (
                    np.asarray([row[f"multiplier_{part}"] for row in table]) for part in ("low", "mean", "high")
                )
                k = int(rollouts.min()) if signal == "pass_at_k" else None  # the study's k is its smallest group
                label = signal if k is None else f"{signal}, k = {k}"
                colour = sweeps.COLOURS[place]
                error = [mean - low, high - mean]
                axes.errorbar(rollouts, mean, error, fmt=sweeps.MARKERS[place], color=colour, markersize=3, label=label)
                fine = np.unique(np.rint(np.geomspace(rollouts.min(), rollouts.max(), 60)).astype(int))
                line = [theory.drift_multiplier(signal, p=p0, rollouts=int(group), k=k) for group in fine]
                axes.plot(fine, line, color=colour, linewidth=1.0)
            axes.axhline(1 / np.sqrt(p0 * (1 - p0)), color=style.GREY, linestyle=(0, (4, 2)), linewidth=0.8)
            axes.set_title(f"$p = {p0:g}$")
            axes.set_xscale("log", base=2)
            axes.set_yscale("log")
            axes.set_xlabel("rollouts $G$")
        panels[0][0].set_ylabel("drift over the raw reward's")
        panels[0][0].annotate(
            "$1/\\sqrt{p(1-p)}$",
            (0.02, 1 / np.sqrt(masses[0])),
            xycoords=("axes fraction", "data"),
            va="bottom",
            color=style.GREY,
        )
        panels[0][-1].legend(fontsize=5.8)
        return style.save(figure, sweeps.target(run, out, NAME), runs={"sweep": Path(run)})
