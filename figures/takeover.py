"""The time until one of m rare correct arms takes a table over, in units of m/p0, against the urn's law."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bandit_rft import theory
from bandit_rft.plots import style
from figures import sweeps

NAME = "takeover"
P0 = 0.01  # of simulations.takeover


def accepts(config: Mapping[str, Any]) -> bool:
    """Whether a config.json is that of `simulations.takeover`."""
    return sweeps.holds(config, {"correct", "step_size", "rounds"})


def draw(run: str | Path, out: str | Path | None = None) -> Path:
    """Draw the sweep; returns the PNG's path."""
    result = sweeps.load(run)
    with style.panels(1, 1, height=2.8) as (figure, axes):
        for place, step in enumerate(dict.fromkeys(point["step_size"] for point in result.points)):
            where = [i for i, point in enumerate(result.points) if point["step_size"] == step]
            correct = [result.points[i]["correct"] for i in where]
            sweeps.curve(axes, result, "takeover", where, correct, place, f"$\\eta = {step:g}$")
            fine = np.unique(np.rint(np.geomspace(1, max(correct), 40)).astype(int))
            told = [theory.pg_monopoly(P0, step, int(m)) for m in fine]
            axes.plot(fine, [t.mean / t.unit for t in told], color=sweeps.COLOURS[place], linestyle=(0, (4, 2)))
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("correct arms $m$")
        axes.set_ylabel("mean takeover time / $(m/p_0)$")
        axes.legend()
        return style.save(figure, sweeps.target(run, out, NAME), runs={"sweep": Path(run)})
