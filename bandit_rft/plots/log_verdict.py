"""A training log's rewards with the band that the law leaves to the rest of the curve."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bandit_rft.plots import style
from bandit_rft.runs import explain_disk_errors
from bandit_rft.training_logs import LogVerdict


def draw(found: LogVerdict, path: str | Path) -> Path:
    """Write the PNG; returns its path.

    Raises:
        InputError: another ending than .png, or a place that cannot be written.
    """
    file, log = style.png(path), found.log
    assert log is not None
    with style.panels(1, 1, height=2.4) as (figure, axes):
        axes.plot(log.step, log.reward, ".", color=style.GREY, markersize=2.5, label="log")
        if found.band is not None:
            band = found.band
            axes.fill_between(
                band.step,
                band.low,
                band.high,
                color=style.SKY,
                alpha=0.35,
                linewidth=0,
                label="law, from the first fifth",
            )
            inside = (np.array(band.low) <= band.observed) & (np.array(band.observed) <= band.high)
            for chosen, mark, colour, name in (
                (inside, "o", style.BLUE, "mean, inside"),
                (~inside, "X", style.VERMILION, "mean, outside"),
            ):
                if chosen.any():
                    at, mean = np.array(band.step)[chosen], np.array(band.observed)[chosen]
                    axes.plot(at, mean, mark, color=colour, markersize=4, label=name)
            axes.axvline(log.step[min(found.fitted_on, log.rows - 1)], color=style.GREY, linewidth=0.6, linestyle=":")
        axes.set(xlabel="step", ylabel="reward")
        if log.reward.min() >= 0 and log.reward.max() <= 1:
            axes.set_ylim(-0.02, 1.02)
        axes.set_title(found.verdict + (f": {found.explains_best}" if found.explains_best else ""))
        axes.legend(loc="lower right")
        with explain_disk_errors(file, any_error=True):
            file.parent.mkdir(parents=True, exist_ok=True)
            return style.save(figure, file, runs={})
