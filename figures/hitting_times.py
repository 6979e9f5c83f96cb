"""The round in which a run first gets half of its answers right: histograms over seeds against the exact law."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bandit_rft.plots import style
from bandit_rft.theory.laws.jump_law import JumpLaw
from figures import sweeps

NAME = "hitting_times"
LEVEL, P0 = 0.5, 0.05  # of simulations.hitting_times


def accepts(config: Mapping[str, Any]) -> bool:
    """Whether a config.json is that of `simulations.hitting_times`."""
    return sweeps.holds(config, {"step_size"})


def draw(run: str | Path, out: str | Path | None = None) -> Path:
    """Draw the sweep; returns the PNG's path."""
    result = sweeps.load(run)
    rounds = result.config["rounds"]
    with style.panels(1, 1, height=2.8) as (figure, axes):
        for place, (point, times) in enumerate(zip(result.points, result.samples["hitting_time"], strict=True)):
            step, colour = point["step_size"], sweeps.COLOURS[place]
            reached = JumpLaw(p0=P0, gain=step).hitting_time_distribution(LEVEL, rounds)
            width = 10
            edges = np.arange(0, rounds + width, width)
            counts, _ = np.histogram(times, bins=edges)
            axes.stairs(counts / times.size / width, edges, fill=True, color=colour, alpha=0.25)
            axes.plot(np.arange(1, rounds), np.diff(reached), color=colour, label=f"$\\eta = {step:g}$")
        axes.axvline(1 / P0, color=style.GREY, linestyle=(0, (4, 2)), linewidth=0.8)
        axes.annotate("$1/p_0$", (1 / P0, axes.get_ylim()[1]), color=style.GREY, va="top")
        axes.set_xlim(0, 300)
        axes.set_xlabel("first round with Pass@1 of one half")
        axes.set_ylabel("probability a round")
        axes.legend()
        return style.save(figure, sweeps.target(run, out, NAME), runs={"sweep": Path(run)})
