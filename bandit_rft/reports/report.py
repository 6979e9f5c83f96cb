"""report.html of a run: one file to read, keep or send. Curves, theory, evaluations, rollouts, configuration.

It needs no network, runs no script, and is made of the run folder's saved results alone; the same folder gives the same
file. A run that is still going on can be reported too.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bandit_rft.errors import InputError
from bandit_rft.history import History
from bandit_rft.plots import finetune
from bandit_rft.plots.averages import interval, means
from bandit_rft.reports import learners
from bandit_rft.reports.charts import KINDS, constants, finetune_charts, simulation_charts, svg
from bandit_rft.reports.evaluations import evaluations_of
from bandit_rft.reports.page import page
from bandit_rft.reports.rollouts import rollouts_of
from bandit_rft.reports.theory import of_finetune, of_simulation
from bandit_rft.run_law import law_of
from bandit_rft.runs import (
    CONFIG,
    HISTORY,
    MANIFEST,
    RESPONSES,
    check_place,
    read_history,
    read_json,
    seeds_of,
    write_atomically,
)

NAME = "report.html"


def write(run: str | Path, out: str | Path | None = None) -> Path:
    """Write the report of a run folder; returns its path.

    Args:
        run: a folder of `bandit-rft finetune` (finished or not) or `bandit-rft simulate`, or one that holds
            simulations of several learners.
        out: the file; report.html in the run folder by default.

    Raises:
        InputError: the folder is of neither, has no history yet or a damaged one, or `out` cannot be written.
    """
    run = Path(run)
    path = Path(out) if out is not None else run / NAME
    if out is not None:
        check_place(out, "--out")
    write_atomically(path, render(run))
    return path


def render(run: Path) -> str:
    """The report's HTML."""
    if learners.holds_runs(run):
        values = learners.values_of(run)
        values["charts"] = [(chart[0], svg(chart)) for chart in values["charts"]]
        made = [read_json(path).get("command") for path in sorted(run.glob(f"*/{MANIFEST}"))[:1]]
        return page(
            **values, commands=[str(line) for line in made if line], config=learners.config_of(run), manifest={}
        )
    config = read_json(run / CONFIG)
    manifest = read_json(run / MANIFEST) if (run / MANIFEST).exists() else {}
    if finetune.accepts(config):
        values = _finetune(run, read_history(run))
    elif (run / HISTORY).exists():
        values = _simulation(config.get("name", run.name), read_history(run))
    else:
        raise InputError(
            f"{run} holds no history to report: name a run of bandit-rft finetune, or a simulation's with {HISTORY}."
        )
    values["charts"] = [(chart[0], svg(chart)) for chart in values["charts"]]
    return page(**values, commands=_commands(run, config, manifest), config=config, manifest=manifest)


def _finetune(run: Path, history: History) -> dict[str, Any]:
    """The template's values for a fine-tuning run."""
    law = law_of(history)
    return {
        "title": finetune.run_title(history),
        "summary": [_summary(history), *_unchecked(history)],
        "charts": finetune_charts(history, law),
        "notes": list(filter(None, [constants(history)])),
        "theory": of_finetune(history, law),
        "evaluations": evaluations_of(history),
        # A published folder may leave the responses out.
        "rollouts": rollouts_of(run) if (run / RESPONSES).exists() else None,
    }


def _simulation(name: str, history: History) -> dict[str, Any]:
    """The template's values for a simulation."""
    theory = of_simulation(history)
    what = " on ".join(str(history.config.get(side, {}).get("type", "?")) for side in ("learner", "arms"))
    summary = (
        f"{what}, {history.rollouts} pull{'s'[: history.rollouts > 1]} per round; mean reward "
        f"{history.rewards[:, -1].mean():.3f} in the last round. A simulation keeps rewards only, so there are no "
        f"rollouts to read."
    )
    return {
        "title": f"{name}: {history.seeds} seed{'s'[: history.seeds > 1]} of {history.rounds} rounds",
        "summary": [summary],
        "charts": simulation_charts(history, theory.prediction),
        "notes": history.notes,
        "theory": theory,
        "evaluations": None,
        "rollouts": None,
    }


def _summary(history: History) -> str:
    parts = [finetune.course(history)]
    over = "mean " if history.seeds > 1 else ""
    for name, kind in KINDS.items():
        evaluated = means(history.evaluations, name)
        if len(evaluated) > 1:
            parts.append(f"{kind} Pass@1 {interval(evaluated[0])} → {over}{interval(evaluated[-1])}")
    return f"{'; '.join(parts)}."


def _unchecked(history: History) -> list[str]:
    """At most one sentence: on the answers that the verifier's workers could not check, in rounds and evaluations."""
    names = {"verifier_timeouts": "ran out of the verifier's time", "verifier_crashes": "broke its worker process"}
    parts = []
    for name, what in names.items():
        rounds = np.nansum(np.clip(history.metrics[name], 0, 1e12)) if name in history.metrics else 0
        count = int(rounds) + sum(int(e.get(name, 0)) for e in history.evaluations)
        if count:
            parts.append(f"{count:,} {what}")
    return [f"Of the answers, {' and '.join(parts)}: each earned 0, right or not."] if parts else []


def _commands(run: Path, config: Mapping[str, Any], manifest: Mapping[str, Any]) -> list[str]:
    """The command that made the run, and one that makes it again."""
    # Quoted: the name of a stranger's folder is not to run as a command where this line is pasted.
    saved = shlex.quote(f"{run.resolve().name}/{CONFIG}")
    seeds = seeds_of(run)
    many = f" --seeds {seeds}" if seeds is not None and seeds > 1 else ""
    again = f"bandit-rft finetune --config {saved}{many} --out AGAIN" if "model" in config else None
    return [str(line) for line in (manifest.get("command"), again) if line]
