"""Regret a pull of each learning signal against the group's size, at an equal number of pulls."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bandit_rft.plots import style
from figures import sweeps

NAME = "signals_compared"


def accepts(config: Mapping[str, Any]) -> bool:
    """Whether a config.json is that of `simulations.signals_compared`."""
    return sweeps.holds(config, {"signal", "rollouts", "scaled", "rounds"})


def draw(run: str | Path, out: str | Path | None = None) -> Path:
    """Draw the sweep; returns the PNG's path."""
    result = sweeps.load(run)
    with style.panels(2, 1, height=4.4, sharex=True) as (figure, panels):
        for axes, scaled in zip(panels, (False, True), strict=True):
            for place, signal in enumerate(dict.fromkeys(point["signal"] for point in result.points)):
                where = [
                    i
                    for i, point in enumerate(result.points)
                    if point["signal"] == signal and point["scaled"] is scaled
                ]
                rollouts = [result.points[i]["rollouts"] for i in where]
                sweeps.curve(axes, result, "regret_a_pull", where, rollouts, place, signal)
            axes.set_title("step .5 G a round" if scaled else "step .5 a round")
            axes.set_ylabel("regret a pull")
            axes.set_ylim(0, 0.08 if scaled else 1)
        panels[0].legend(loc="upper left")
        panels[1].set_xscale("log", base=2)
        panels[1].set_xlabel("rollouts per round, 2048 pulls in all")
        figure.align_ylabels()
        return style.save(figure, sweeps.target(run, out, NAME), runs={"sweep": Path(run)})
