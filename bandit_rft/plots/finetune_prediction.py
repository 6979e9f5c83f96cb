"""A fine-tuning run beside the prediction made before it, from measured p0 and kappa: its training panel alone."""

from __future__ import annotations

from pathlib import Path

from bandit_rft.errors import InputError
from bandit_rft.plots import style
from bandit_rft.plots.finetune import accepts, history_of, run_title, save, training
from bandit_rft.run_law import law_of
from bandit_rft.runs import read_history

NAME = "finetune_prediction"

__all__ = ["NAME", "accepts", "draw", "ready"]


def ready(run: Path) -> bool:
    """Whether `bandit-rft predict` has been run on this folder, and a law applies to it."""
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
    history = history_of(run, NAME)
    law = law_of(history)
    if law.prediction is None:
        raise InputError(f"{run} has no prediction to draw: {law.reason}")
    with style.panels(1, 1, height=3.0) as (figure, axes):
        training(axes, history, law)
        style.title(axes, run_title(history), fontsize="small")
        return save(figure, run, out, NAME)
