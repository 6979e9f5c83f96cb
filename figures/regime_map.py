"""Who learns within the horizon, over the number of arms and the base policy's mass: simulation, and theory's lines."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import root_scalar

from bandit_rft import theory
from bandit_rft.plots import style
from figures import sweeps

NAME = "regime_map"


def accepts(config: Mapping[str, Any]) -> bool:
    """Whether a config.json is that of `simulations.regime_map`."""
    return sweeps.holds(config, {"learner", "log10_arms", "p0"})


def draw(run: str | Path, out: str | Path | None = None) -> Path:
    """Draw the sweep; returns the PNG's path. K = 10^100 is the last column."""
    result = sweeps.load(run)
    names, exponents, masses = (list(result.axes[name]) for name in ("learner", "log10_arms", "p0"))
    table = {(r["learner"], r["log10_arms"], r["p0"]): r["value_mean"] for r in result.to_table()}
    rounds = result.config["rounds"]
    rows = -(-len(names) // 2)
    size = {"width": 2 * style.COLUMN, "height": 2.1 * rows + 0.4, "sharex": True, "sharey": True}
    with style.panels(rows, 2, squeeze=False, **size) as (figure, panels):
        for axes, name in zip(panels.ravel(), names, strict=False):
            value = np.asarray([[table[name, k, p0] for k in exponents] for p0 in masses])
            axes.imshow(value, origin="lower", aspect="auto", cmap="cividis", vmin=0, vmax=1)
            axes.set_title(name)
            axes.grid(False)
            _line(axes, name, rounds, exponents, masses)
        for axes in panels[-1]:
            axes.set_xticks(range(len(exponents)), [f"{k:g}" for k in exponents])
            axes.set_xlabel("$\\log_{10} K$")
        for axes in panels[:, 0]:
            axes.set_yticks(range(len(masses)), [f"{p0:g}" for p0 in masses])
            axes.set_ylabel("base mass $p_0$")
        figure.colorbar(panels[0][0].images[0], ax=panels, label=f"Pass@1 at the end of {rounds} pulls", shrink=0.8)
        return style.save(figure, sweeps.target(run, out, NAME), runs={"sweep": Path(run)})


def _line(axes: Any, name: str, rounds: int, exponents: list[float], masses: list[float]) -> None:
    """Where theory puts Pass@1 = ½ at the horizon: a mass for learners that start from the base policy, else K = T."""
    late = [round(rounds * 0.95) - 1]
    predicted = {
        "softmax PG (raw, .5)": lambda p0: theory.pg_jump_single(p0, 0.5, rounds).value[late][0],
        "explore until success": lambda p0: theory.explore_until_success(p0, rounds).value[late][0],
    }
    colour = style.VERMILION
    if name in predicted:
        edge = float(root_scalar(lambda log: predicted[name](10.0**log) - 0.5, bracket=(-6, -0.5), xtol=1e-3).root)
        place = np.interp(edge, np.log10(masses), np.arange(len(masses)))
        axes.axhline(place, color=colour, linewidth=1.4)
        axes.annotate(
            f"$p_0 = {10**edge:.2g}$", (0.02, place), xycoords=("axes fraction", "data"), color=colour, va="bottom"
        )
    else:
        place = np.interp(np.log10(rounds), exponents, np.arange(len(exponents)))
        axes.axvline(place, color=colour, linewidth=1.4)
        axes.annotate("$K = T$", (place, 0.98), xycoords=("data", "axes fraction"), color=colour, va="top")
