"""The curve that a plan expects, with the band of single runs, and the round at which it is at the level."""

from __future__ import annotations

import math
from pathlib import Path

from bandit_rft.errors import InputError
from bandit_rft.planning import COVERAGE, Plan
from bandit_rft.plots import curves, style
from bandit_rft.runs import explain_disk_errors


def draw(plan: Plan, path: str | Path) -> Path:
    """Write the PNG; returns its path.

    Raises:
        InputError: another ending than .png, a level that the mean curve does not reach, or a place that cannot be
            written.
    """
    target = style.png(path)
    mean = plan.mean_curve
    if mean is None:
        raise InputError(f"Pass@1 = {plan.level:g} is not reached by the mean curve: lower --level for a figure.")
    law = plan.prediction(math.ceil(1.6 * mean) + 2)
    with style.panels(1, 1, height=2.4) as (figure, axes):
        curves.prediction(axes, law, coverage=(COVERAGE,), label=f"mean, {COVERAGE:.0%} of runs ({plan.law})")
        axes.plot(mean, plan.level, "o", color=style.VERMILION, markersize=4)
        axes.set(xlabel="round", ylabel="Pass@1", ylim=(0, 1.02))
        axes.set_title(f"{plan.signal}, {plan.rollouts} rollouts: mean at {plan.level:g} after {mean:.0f} rounds")
        axes.legend(loc="lower right")
        with explain_disk_errors(target, any_error=True):
            target.parent.mkdir(parents=True, exist_ok=True)
            return style.save(figure, target, runs={})
