"""A needle among 10^2 and 10^100 arms: regret and Pass@1 of simulations, with the jump chain's exact mean on top."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bandit_rft import theory
from bandit_rft.errors import InputError
from bandit_rft.plots import curves, style
from bandit_rft.runs import CONFIG, read_history, read_json

NAME = "needle_regret"
_COLOURS = (style.BLUE, style.ORANGE, style.GREEN, style.PURPLE)


def accepts(config: Mapping[str, Any]) -> bool:
    """Whether a run's config.json is one that this figure shows: softmax on one needle, raw reward, one rollout."""
    arms, learner = config.get("arms", {}), config.get("learner", {})
    return (
        config.get("command") == "simulate"
        and (arms.get("type"), learner.get("type")) == ("Needle", "SoftmaxPolicyGradient")
        and arms.get("optimal", 1) == 1
        and learner.get("signal", "raw") == "raw"
        and learner.get("rollouts", 1) == 1
    )


def draw(runs: Sequence[str | Path], out: str | Path | None = None) -> Path:
    """Draw the figure of one to four simulations; returns the PNG's path.

    Args:
        runs: run folders of at least two seeds each, of one number of rounds.
        out: folder of the PNG; by default figures/ of the run, or of the folder that holds the runs.

    Raises:
        InputError: no run, more than four, or one that this figure cannot show.
    """
    folders = sorted(
        (Path(run) for run in runs), key=lambda run: read_json(run / CONFIG).get("arms", {}).get("log10_arms", 0)
    )
    if not 1 <= len(folders) <= len(_COLOURS):
        raise InputError(f"{NAME} shows one to {len(_COLOURS)} runs, not {len(folders)}: name them with --run.")
    histories = [read_history(folder) for folder in folders]
    for folder, history in zip(folders, histories, strict=True):
        if not accepts(history.config) or history.seeds < 2:
            raise InputError(
                f"{folder} is not for {NAME}: give simulations of SoftmaxPolicyGradient (raw, one rollout) on one "
                "needle, of two seeds or more."
            )
    base = Path(out) if out is not None else (folders[0] if len(folders) == 1 else folders[0].parent) / "figures"
    with style.panels(2, 1, height=4.3, sharex=True) as (figure, (top, low)):
        for place, (history, colour) in enumerate(zip(histories, _COLOURS, strict=False)):
            # The runs of different K lie on one another: line widths let the lower one show at the edges.
            width = 2.6 - 1.4 * place / max(len(histories) - 1, 1)
            label = f"$K = 10^{{{history.config['arms']['log10_arms']:g}}}$, {history.seeds} seeds"
            # Regret counts a round once it is over, Pass@1 is the policy's before it.
            curves.regret(top, history, colour=colour, width=width, label=label)
            curves.pass_at_1(low, history, colour=colour, width=width, label=label)
        predictions = [prediction_of(history.config) for history in histories]
        for place, prediction in enumerate(predictions):
            label = "_" if place else "exact jump chain (theory)"
            for panel, quantity in ((top, "regret"), (low, "value")):
                curves.prediction(
                    panel, prediction, quantity=quantity, label=label, linestyle=curves.DOTTED, linewidth=1.3
                )
        config = histories[0].config
        top.set_title(f"One correct arm among $K$, $p_0$ = {config['arms'].get('p0') or 'uniform'}")
        top.set_xlabel("")
        top.set_ylim(bottom=0)
        top.legend(loc="lower right", title="mean and 95% band", title_fontsize=6.5)
        low.set_ylabel("Pass@1 of the policy")
        low.set_ylim(-0.02, 1.03)
        low.set_xlabel("round (one pull each)")
        low.set_xlim(0, predictions[0].rounds)
        figure.align_ylabels()
        return style.save(figure, base / f"{NAME}.png", runs={folder.name: folder for folder in folders})


def prediction_of(config: Mapping[str, Any]) -> theory.Prediction:
    arms = config["arms"]
    log_arms = arms["log10_arms"] * math.log(10.0)
    p0 = math.exp(-log_arms) if arms.get("p0") is None else arms["p0"]
    return theory.pg_jump_single(p0, config["learner"]["step_size"], config["rounds"], log_arms=log_arms)
