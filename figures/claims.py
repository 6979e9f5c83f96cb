"""The papers' claims and the effects that decide on them, each with its interval, its threshold and its margin."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bandit_rft.plots import style
from bandit_rft.runs import read_json
from figures import sweeps

NAME = "claims"
STUDY = "bandit-rft reproduce"
RESULT = "claims.json"
_VERDICTS = {
    "supported": (style.BLUE, "o"),
    "equivalent": (style.GREEN, "s"),
    "refuted": (style.VERMILION, "X"),
    "underpowered": (style.GREY, "D"),
}


def accepts(config: Mapping[str, Any]) -> bool:
    """Whether a config.json is that of `bandit-rft reproduce`."""
    return config.get("command") == "reproduce"


def draw(run: str | Path, out: str | Path | None = None) -> Path:
    """Draw the judged claims of a run folder; returns the PNG's path."""
    claims = [claim for claim in read_json(Path(run) / RESULT)["claims"] if claim["strata"]]
    rows = [len(claim["strata"]) for claim in claims]
    height = 0.13 * sum(rows) + 0.62 * len(rows)
    shape = {"height_ratios": [0.13 * number + 0.3 for number in rows]}
    with style.panels(len(claims), 1, width=2 * style.COLUMN, height=height, gridspec_kw=shape) as (figure, axes):
        panels = np.atleast_1d(axes)
        for panel, claim in zip(panels, claims, strict=True):
            _claim(panel, claim)
        marks = [
            panels[0].plot([], [], marker, color=colour, label=name, markersize=4)[0]
            for name, (colour, marker) in _VERDICTS.items()
        ]
        figure.legend(handles=marks, loc="outside lower center", ncols=len(marks))
        return style.save(figure, sweeps.target(run, out, NAME), runs={"reproduce": Path(run)})


def _claim(panel: Any, claim: Mapping[str, Any]) -> None:
    if claim["margin"] is not None:
        panel.axvspan(-claim["margin"], claim["margin"], color="#EEEEEE", linewidth=0)
    if claim["direction"] != "within":
        panel.axvline(claim["threshold"], color=style.INK, linewidth=0.8, linestyle=":")
    for place, one in enumerate(claim["strata"].values()):
        colour, marker = _VERDICTS[one["verdict"]]
        low, high = (one["effect"] if end is None else end for end in one["interval"])
        panel.plot([low, high], [place, place], color=colour, linewidth=1.0)
        for edge, end in enumerate(one["interval"]):
            if end is None:  # to the panel's edge, and on
                _arrow(panel, one["effect"], place, edge, colour)
        panel.plot(one["effect"], place, marker, color=colour, markersize=4)
    panel.set_yticks(range(len(claim["strata"])), list(claim["strata"]), fontsize=5.5)
    panel.set_ylim(len(claim["strata"]) - 0.5, -0.5)
    panel.set_title(f"{claim['id']}: {claim['verdict']}")
    panel.set_xlabel(claim["effect"], fontsize=6)


def _arrow(panel: Any, start: float, place: int, edge: int, colour: str) -> None:
    """From an effect to the left (0) or right (1) edge of the panel: its interval has no end there."""
    drawn = {"arrowstyle": "->", "color": colour, "linewidth": 1.0, "shrinkA": 0, "shrinkB": 0}
    across = panel.get_yaxis_transform()  # from 0 to 1 along the panel
    panel.annotate("", (edge, place), (start, place), xycoords=across, textcoords="data", arrowprops=drawn)
