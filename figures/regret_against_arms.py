"""Final regret of six learners against the number of arms at a fixed horizon, across K = T."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bandit_rft.plots import style
from figures import sweeps

NAME = "regret_against_arms"


def accepts(config: Mapping[str, Any]) -> bool:
    """Whether a config.json is that of `simulations.regret_against_arms`."""
    return sweeps.holds(config, {"learner", "log10_arms"})


def draw(run: str | Path, out: str | Path | None = None) -> Path:
    """Draw the sweep; returns the PNG's path. K = 10^100 stands beyond a break in the axis."""
    result = sweeps.load(run)
    rounds = result.config["rounds"]
    exponents = np.asarray(result.axes["log10_arms"], dtype=float)
    shown = np.where(exponents > 8, 7.5, exponents)
    with style.panels(1, 1, height=3.0) as (figure, axes):
        for place, learner in enumerate(result.axes["learner"]):
            where = [i for i, point in enumerate(result.points) if point["learner"] == learner]
            sweeps.curve(axes, result, "regret", where, shown, place, learner)
        arms = np.logspace(np.log10(rounds), 7.5, 50)
        axes.plot(
            np.log10(arms), rounds * 0.4 * (1 - 1 / arms), color=style.INK, linestyle=(0, (1.2, 2.2)),
            label="a sweep of fresh arms: $T(\\mu^* - \\bar\\mu)$",
        )  # fmt: skip
        axes.axvline(np.log10(rounds), color=style.GREY, linewidth=0.8)
        axes.annotate("$K = T$", (np.log10(rounds), axes.get_ylim()[1]), ha="right", va="top", color=style.GREY)
        ticks = [0, 1, 2, 3, 4, 5, 6]
        axes.set_xticks([*ticks, 7.5], [*(f"$10^{tick}$" for tick in ticks), "$10^{100}$"])
        axes.set_xlabel("number of arms $K$, one of them good (.9 against .5)")
        axes.set_ylabel(f"regret after $T = {rounds}$ pulls (rewards)")
        axes.set_ylim(bottom=0)
        axes.legend(loc="lower right", fontsize=5.8)
        return style.save(figure, sweeps.target(run, out, NAME), runs={"sweep": Path(run)})
