"""What the figures of sweeps share: which sweep a folder holds, and its result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bandit_rft.plots import style
from bandit_rft.sweep import SweepResult
from bandit_rft.sweep.execute import RESULT

COLOURS = (style.BLUE, style.ORANGE, style.GREEN, style.VERMILION, style.SKY, style.PURPLE)
MARKERS = ("o", "s", "^", "D", "v", "P")


def holds(config: Mapping[str, Any], parameters: set[str]) -> bool:
    """Whether a config.json is that of a sweep over exactly these parameters."""
    points = config.get("points") or [{}]
    return config.get("command") == "sweep" and set(points[0]) == parameters


def load(run: str | Path) -> SweepResult:
    """The result of a sweep's folder. Raises InputError where it is unfinished or damaged."""
    return SweepResult.load(Path(run) / RESULT)


def curve(
    axes: Any,
    result: SweepResult,
    measure: str,
    where: Sequence[int],
    x: Sequence[float] | np.ndarray,
    place: int,
    label: str,
    *,
    scale: float | np.ndarray = 1.0,
) -> None:
    """Mean over seeds at the points `where`, with 95% intervals, times `scale`, against x."""
    table = result.to_table()
    mean, low, high = (
        scale * np.asarray([table[i][f"{measure}_{part}"] for i in where]) for part in ("mean", "low", "high")
    )
    colour = COLOURS[place % len(COLOURS)]
    axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
    axes.plot(x, mean, color=colour, marker=MARKERS[place % len(MARKERS)], markersize=3, label=label)


def target(run: str | Path, out: str | Path | None, name: str) -> Path:
    """Where the PNG goes: `out`, or figures/ of the sweep's folder."""
    return (Path(out) if out is not None else Path(run) / "figures") / f"{name}.png"
