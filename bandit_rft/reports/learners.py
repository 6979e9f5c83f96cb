"""report.html of several learners on one arm set: one page for the folder that holds their run folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bandit_rft.errors import InputError
from bandit_rft.plots import learner_regret, several
from bandit_rft.presets.config import read
from bandit_rft.regret import compare_learners
from bandit_rft.reports.theory import Theory
from bandit_rft.runs import CONFIG, HISTORY, read_history, read_json
from bandit_rft.verdict import compare


def holds_runs(folder: Path) -> bool:
    """Whether a folder is no run itself and holds simulations."""
    return not (folder / CONFIG).exists() and any(folder.glob(f"*/{HISTORY}"))


def values_of(folder: Path) -> dict[str, Any]:
    """The template's values, but for commands, configuration and manifest.

    Raises:
        InputError: a run that is no simulation, or no history whose regret is known.
    """
    runs = learner_regret.in_order(path.parent for path in folder.glob(f"*/{HISTORY}"))
    configs = {run.name: read(run) for run in runs}
    histories = {run.name: read_history(run) for run in runs}
    if any(history.best_mean is None or history.pulled_mean is None for history in histories.values()):
        raise InputError(
            f"{folder} holds a run whose best mean is unknown, which has no regret: report each run alone."
        )
    laws = {name: learner_regret.theory_of(config) for name, config in configs.items()}
    every = [law for found in laws.values() for law in found]
    notes, charts = [], [("Cumulative regret, rewards", lambda axes: several.regret(histories, every, axes))]
    try:
        paired = compare_learners(histories)
        charts.append(("Difference in regret, in pairs", lambda axes: several.compare_learners(paired, axes)))
        verdicts = [paired.report()]
    except InputError as error:
        verdicts, notes = [], [f"No paired comparison: {error}"]
    for name, found in laws.items():
        verdicts += [f"{name}: {compare(histories[name], law).report()}" for law in found]
    if not every:
        notes.append("The catalogue has no law and no bound for these learners on these arms.")
    return {
        "title": learner_regret.title_of(list(configs.values())),
        "summary": [
            f"{name}: final regret {history.regret()[:, -1].mean():.4g} after {history.rounds} rounds, "
            f"{history.seeds} seed{'s'[: history.seeds > 1]}."
            for name, history in histories.items()
        ],
        "charts": charts,
        "notes": notes,
        "theory": Theory(
            sentence="Laws and bounds of the catalogue that apply to these learners, each held against its run.",
            verdict="\n\n".join(verdicts),
        ),
        "evaluations": None,
        "rollouts": None,
    }


def config_of(folder: Path) -> dict[str, Any]:
    """The configurations of all runs, by their folders' names."""
    return {path.parent.name: read_json(path) for path in sorted(folder.glob(f"*/{CONFIG}"))}
