"""A needle among 10^2 and 10^100 arms: regret and Pass@1 of simulations, with the jump chain's exact mean on top."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bandit_rft import arguments, theory
from bandit_rft.arms import Needle
from bandit_rft.errors import InputError
from bandit_rft.history import History
from bandit_rft.known_theory import exact_laws, is_jump_chain
from bandit_rft.learners import SoftmaxPolicyGradient
from bandit_rft.plots import curves, style
from bandit_rft.runs import CONFIG, read_history, read_json

NAME = "needle_regret"
_COLOURS = (style.BLUE, style.ORANGE, style.GREEN, style.PURPLE)


def accepts(config: Mapping[str, Any]) -> bool:
    """Whether a run's config.json is one that this figure shows: softmax policy gradient on one needle, by one plain
    step on the raw reward of one pull a round, which is what the exact jump chain describes.
    """
    made = _made(config)
    return made is not None and is_jump_chain(*made)


def draw(runs: Sequence[str | Path], out: str | Path | None = None) -> Path:
    """Draw the figure of one to four simulations; returns the PNG's path.

    Args:
        runs: run folders of at least two seeds each. Where p0 or the step size differs, the legend says which run has
            which; the axis reaches to the end of the longest run.
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
                f"{folder} is not for {NAME}: give simulations of SoftmaxPolicyGradient (raw, one rollout, one "
                "plain step per round) on one needle, of two seeds or more."
            )
    base = Path(out) if out is not None else (folders[0] if len(folders) == 1 else folders[0].parent) / "figures"
    varying = _varying(histories)
    with style.panels(2, 1, height=4.3, sharex=True) as (figure, (top, low)):
        for place, (history, colour) in enumerate(zip(histories, _COLOURS, strict=False)):
            # The runs of different K lie on one another: line widths let the lower one show at the edges.
            width = 2.6 - 1.4 * place / max(len(histories) - 1, 1)
            own = "".join(f"{shown} = {_setting(history, name)}, " for shown, name in varying)
            label = f"$K = 10^{{{history.config['arms']['log10_arms']:g}}}$, {own}{history.seeds} seeds"
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
        shared = "" if "$p_0$" in dict(varying) else f", $p_0$ = {_setting(histories[0], 'arms.p0')}"
        top.set_title(f"One correct arm among $K${shared}")
        top.set_xlabel("")
        top.set_ylim(bottom=0)
        top.legend(loc="lower right", title="mean and 95% band", title_fontsize=6.5)
        low.set_ylabel("Pass@1 of the policy")
        low.set_ylim(-0.02, 1.03)
        low.set_xlabel("round (one pull each)")
        low.set_xlim(0, max(prediction.rounds for prediction in predictions))
        figure.align_ylabels()
        return style.save(figure, base / f"{NAME}.png", runs={folder.name: folder for folder in folders})


def prediction_of(config: Mapping[str, Any]) -> theory.Prediction:
    """The exact law of a run that `accepts` takes. Raises InputError: of any other."""
    made = _made(config)
    rounds = arguments.whole("rounds", config.get("rounds"))
    laws, why_not = exact_laws(*made, rounds) if made is not None else ((), "its config.json is damaged")
    if not laws:
        raise InputError(f"No law of this run is known: {why_not}.")
    return laws[0]


def _made(config: Mapping[str, Any]) -> tuple[Needle, SoftmaxPolicyGradient] | None:
    """The arms and the learner of a config.json; None where they are others, or are refused."""
    given = [config.get(name) for name in ("arms", "learner")]
    arms, learner = (dict(table) if isinstance(table, Mapping) else {} for table in given)
    types = (arms.pop("type", None), learner.pop("type", None))
    if config.get("command") != "simulate" or types != (Needle.__name__, SoftmaxPolicyGradient.__name__):
        return None
    try:
        return Needle(**arms), SoftmaxPolicyGradient(**learner)
    except (InputError, TypeError, ValueError):  # a folder made by a stranger, or by an older version
        return None


def _varying(histories: Sequence[History]) -> list[tuple[str, str]]:
    """(name in the legend, name in config.json as "table.argument") of the settings that differ from run to run."""
    named = {"$p_0$": "arms.p0", "step": "learner.step_size"}
    return [(shown, name) for shown, name in named.items() if len({_setting(one, name) for one in histories}) > 1]


def _setting(history: History, name: str) -> Any:
    table, _, argument = name.partition(".")
    value = history.config[table].get(argument)
    return "uniform" if value is None else value
