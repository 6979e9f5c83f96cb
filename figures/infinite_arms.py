"""Regret over sqrt(n) on infinitely many uniform arms, against the bound and the limits that the literature states."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bandit_rft.plots import style
from figures import sweeps

NAME = "infinite_arms"


def accepts(config: Mapping[str, Any]) -> bool:
    """Whether a config.json is that of `simulations.infinite_arms`."""
    return sweeps.holds(config, {"learner", "rounds"})


def draw(run: str | Path, out: str | Path | None = None) -> Path:
    """Draw the sweep; returns the PNG's path."""
    result = sweeps.load(run)
    with style.panels(1, 1, height=3.4) as (figure, axes):
        for place, learner in enumerate(result.axes["learner"]):
            where = [i for i, point in enumerate(result.points) if point["learner"] == learner]
            pulls = np.asarray([result.points[i]["rounds"] for i in where], dtype=float)
            sweeps.curve(axes, result, "regret", where, pulls, place, learner, scale=1 / np.sqrt(pulls))
        axes.axhline(math.sqrt(2), color=style.INK, linestyle=(0, (1.2, 2.2)), label="lower bound $\\sqrt{2n}$")
        axes.axhline(2, color=style.GREY, linestyle=(0, (4, 2)), label="best run without giving up, limit $2\\sqrt{n}$")
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_yticks([1.5, 2, 3, 5, 10, 20, 30], ["1.5", "2", "3", "5", "10", "20", "30"])
        axes.minorticks_off()
        axes.set_xlabel("pulls $n$")
        axes.set_ylabel("regret / $\\sqrt{n}$")
        figure.legend(loc="outside lower center", ncols=2, fontsize=6)
        return style.save(figure, sweeps.target(run, out, NAME), runs={"sweep": Path(run)})
