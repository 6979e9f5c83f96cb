"""Final Pass@1 of a table and of token policies as the number of correct arms grows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bandit_rft.plots import style
from figures import sweeps

NAME = "correct_arms"


def accepts(config: Mapping[str, Any]) -> bool:
    """Whether a config.json is that of `simulations.correct_arms`."""
    return sweeps.holds(config, {"policy", "length", "row_capacity"})


def draw(run: str | Path, out: str | Path | None = None) -> Path:
    """Draw the sweep; returns the PNG's path."""
    result = sweeps.load(run)
    with style.panels(1, 1, height=2.8) as (figure, axes):
        for place, policy in enumerate(dict.fromkeys(point["policy"] for point in result.points)):
            where = [i for i, point in enumerate(result.points) if point["policy"] == policy]
            exponent = [2 * (result.points[i]["length"] - 1) for i in where]
            sweeps.curve(axes, result, "value", where, exponent, place, policy)
        axes.axhline(0.01, color=style.GREY, linewidth=0.8)
        axes.annotate("base policy, 1%", (98, 0.012), ha="right", va="bottom", color=style.GREY, fontsize=6)
        axes.set_xlabel("$\\log_{10}$ of the number of correct arms, of $10^{2}$ times as many")
        axes.set_ylabel(f"Pass@1 after {result.config['rounds']} rounds")
        axes.set_ylim(-0.02, 1.03)
        axes.legend(loc="center right")
        return style.save(figure, sweeps.target(run, out, NAME), runs={"sweep": Path(run)})
