"""A fine-tuning run beside the prediction of its law: reward and Pass@1 by round, from saved results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bandit_rft.errors import InputError
from bandit_rft.plots import style
from bandit_rft.plots.finetune_run import draw_law, estimates, run_title, running_mean
from bandit_rft.plots.seed_means import means
from bandit_rft.run_law import law_of
from bandit_rft.runs import read_history

NAME = "finetune_prediction"


def accepts(config: Mapping[str, Any]) -> bool:
    """Whether a run's config.json is one that this figure may show (it also needs a prediction.json)."""
    return config.get("command") == "finetune"


def ready(run: Path) -> bool:
    """Whether `bandit-rft predict` has been asked of this run, and a law applies to it."""
    return (run / "prediction.json").exists() and law_of(read_history(run)).prediction is not None


def draw(run: str | Path, out: str | Path | None = None) -> Path:
    """Draw the figure of a run folder; returns the PNG's path.

    Args:
        run: the run folder; the run may still be going on.
        out: folder of the PNG; the run's own figures/ by default.

    Raises:
        InputError: no fine-tuning history, or no law applies to the run.
    """
    run = Path(run)
    history = read_history(run)
    if not accepts(history.config):
        raise InputError(f"{run} is not a fine-tuning run: give {NAME} a folder of bandit-rft finetune.")
    law = law_of(history)
    if law.prediction is None:
        raise InputError(f"{run} has no prediction to draw: {law.reason}")
    rewards, seeds = history.rewards.mean(axis=(0, 2)), history.seeds
    rounds = history.config["rounds"]
    with style.panels(1, 1, height=3.0, squeeze=False) as (figure, axes):
        panel = axes[0, 0]
        draw_law(panel, law)
        window = max(1, min(max(5, rounds // 20), len(rewards)))
        of_seeds = f" of {seeds} seeds" if seeds > 1 else ""
        smooth = running_mean(rewards, window)[window - 1 :]
        places = np.arange(window, window + len(smooth)) - (window - 1) / 2
        panel.plot(places, smooth, color=style.ORANGE, label=f"reward, mean of {window} rounds{of_seeds}")
        _estimates(panel, history.evaluations, seeds)
        panel.set_ylim(-0.03, 1.03)
        panel.set_xlim(-0.02 * rounds, 1.02 * rounds)
        panel.set_xlabel("round (policy updates so far)")
        panel.set_ylabel("training question:\nprobability correct")
        style.title(panel, run_title(history.config), fontsize="small")
        figure.legend(loc="outside lower center", ncols=2, columnspacing=1.0, handlelength=1.5)
        folder = Path(out) if out is not None else run / "figures"
        return style.save(figure, folder / f"{NAME}.png", runs={"run": run})


def _estimates(panel: Any, evaluations: Sequence[Mapping[str, Any]], seeds: int) -> None:
    """Pass@1 on the training question with intervals; of many seeds, of their mean."""
    found = [e for e in evaluations if e["measured"] == "train"]
    if seeds == 1:
        estimates(panel, found, style.BLUE, "Pass@1, 95%")
        return
    of_means = [{"round": m.round, "pass_at_1": m.value, "low": m.low, "high": m.high} for m in means(found, "train")]
    estimates(panel, of_means, style.BLUE, "Pass@1, mean over seeds, 95%")
