"""The minimalist configuration seed by seed: Pass@1 of single runs, and the band that the exact law puts on them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bandit_rft.errors import InputError
from bandit_rft.plots import curves, needle_regret, style
from bandit_rft.runs import read_history

NAME = "seed_bands"
_RUNS = 30  # single runs shown


def accepts(config: Mapping[str, Any]) -> bool:
    """Whether a config.json is that of a simulation of the minimalist configuration on one needle."""
    return needle_regret.accepts(config)


def draw(run: str | Path, out: str | Path | None = None) -> Path:
    """Draw one simulation; returns the PNG's path. Raises InputError where it is not of that configuration."""
    folder = Path(run)
    history = read_history(folder)
    if not accepts(history.config):
        raise InputError(
            f"{folder} is no simulation of the minimalist configuration on one needle: give another --run."
        )
    prediction = needle_regret.prediction_of(history.config)
    rounds = np.arange(history.rounds)
    with style.panels(1, 1, height=2.8) as (figure, axes):
        axes.plot(rounds, history.value[:_RUNS].T, color=style.GREY, linewidth=0.35, alpha=0.6)
        curves.prediction(
            axes, prediction, coverage=[0.9, 0.5], colour=style.BLUE, label="law, mean", linestyle="-", linewidth=1.3
        )
        axes.plot(
            rounds,
            history.value.mean(axis=0),
            color=style.VERMILION,
            linestyle=(0, (4, 2)),
            label=f"mean of {history.seeds}",
        )
        for quantile in (0.05, 0.95):
            axes.plot(rounds, np.quantile(history.value, quantile, axis=0), color=style.VERMILION, linewidth=0.7)
        axes.set_xlabel("round")
        axes.set_ylabel("Pass@1")
        axes.legend(loc="lower right")
        base = Path(out) if out is not None else folder / "figures"
        return style.save(figure, base / f"{NAME}.png", runs={"simulation": folder})
