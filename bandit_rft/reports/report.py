"""report.html of a run: one file to read, keep or send. Curves, theory, evaluations, rollouts, configuration.

It needs no network, runs no script, and is made of the run folder's saved results alone; the same folder gives the same
file. A run that is still going on can be reported too.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bandit_rft.errors import InputError
from bandit_rft.history import History
from bandit_rft.plots.finetune_run import run_title
from bandit_rft.plots.seed_means import interval, means
from bandit_rft.reports import page
from bandit_rft.reports.curves import finetune_charts, simulation_charts
from bandit_rft.reports.rollouts import rollouts_section
from bandit_rft.reports.seeds import NAMES, evaluations_section, seeds_charts
from bandit_rft.reports.theory import Theory, of_finetune, of_simulation
from bandit_rft.runs import (
    CONFIG,
    HISTORY,
    MANIFEST,
    RESPONSES,
    read_history,
    read_json,
    seeds_of,
    write_atomically,
)

NAME = "report.html"


def write(run: str | Path, out: str | Path | None = None) -> Path:
    """Write the report of a run folder; returns its path.

    Args:
        run: a folder of `bandit-rft finetune` (finished or not) or `bandit-rft simulate`.
        out: the file; report.html in the run folder by default.

    Raises:
        InputError: the folder is of neither, has no history yet or a damaged one, or `out` cannot be written.
    """
    run = Path(run)
    path = Path(out) if out is not None else run / NAME
    write_atomically(path, render(run))
    return path


def render(run: Path) -> str:
    """The report's HTML."""
    config = read_json(run / CONFIG)
    manifest = read_json(run / MANIFEST) if (run / MANIFEST).exists() else {}
    if config.get("command") == "finetune" and config.get("seeds", 1) == 1:
        history = read_history(run)
        theory = of_finetune(history)
        title, body = run_title(config), _finetune(run, history, theory)
    elif config.get("seeds", 1) > 1:
        history = read_history(run)
        title = f"{run_title(config)}, {history.seeds} seeds"
        body = _seeds(run, history, of_finetune(history))
    elif (run / HISTORY).exists():
        history = read_history(run)
        theory = of_simulation(history)
        title = f"{config.get('name', run.name)}: {history.seeds} seeds of {history.rounds} rounds"
        body = _simulation(history, theory)
    else:
        raise InputError(
            f"{run} holds no history to report: name a run of bandit-rft finetune, or a simulation's with {HISTORY}."
        )
    return page.page(title, f"<h1>{page.escaped(title)}</h1>\n{body}\n{_origin(run, config, manifest)}")


def _finetune(run: Path, history: History, theory: Theory) -> str:
    config, rewards = history.config, history.rewards[0]
    charts, constant = finetune_charts(history, theory)
    rest = f'<p class="soft">{page.escaped(constant)}</p>' if constant else ""
    return "\n".join(
        [
            _summary(config, rewards, history.evaluations),
            _unchecked(history),
            f'<h2>Curves</h2><div class="charts">{"".join(charts)}</div>{rest}',
            _theory(theory),
            _evaluations(history.evaluations),
            rollouts_section(run),
        ]
    )


def _seeds(run: Path, history: History, theory: Theory) -> str:
    charts, constant = seeds_charts(history, theory)
    rest = f'<p class="soft">{page.escaped(constant)}</p>' if constant else ""
    each = _evaluations_table(history.evaluations)
    return "\n".join(
        [
            _summary_of_seeds(history),
            f'<h2>Curves</h2><div class="charts">{"".join(charts)}</div>{rest}',
            _theory(theory),
            evaluations_section(history.evaluations, each) if history.evaluations else _evaluations(()),
            rollouts_section(run) if (run / RESPONSES).exists() else "",  # a folder of an older version has none
        ]
    )


def _simulation(history: History, theory: Theory) -> str:
    notes = "".join(f'<p class="soft">{page.escaped(note)}</p>' for note in history.notes)
    what = " on ".join(str(history.config.get(side, {}).get("type", "?")) for side in ("learner", "arms"))
    return "\n".join(
        [
            f"<p>{page.escaped(what)}, {history.rollouts} pull{'s'[: history.rollouts > 1]} a round; mean reward "
            f"{history.rewards[:, -1].mean():.3f} in the last round. A simulation keeps rewards only, so there are no "
            f"rollouts to read.</p>{notes}",
            f'<h2>Curves</h2><div class="charts">{"".join(simulation_charts(history, theory))}</div>',
            _theory(theory),
        ]
    )


def _summary(config: Mapping[str, Any], rewards: Any, evaluations: Sequence[Mapping[str, Any]]) -> str:
    edge = max(1, min(50, len(rewards) // 5))
    told = f"{len(rewards)} of {config['rounds']} rounds, {rewards.shape[1]} response{'s'[: rewards.shape[1] > 1]} each"
    told += f"; mean reward {rewards[:edge].mean():.3f} in the first {edge}, "
    told += f"{rewards[-edge:].mean():.3f} in the last {edge}"
    for name, said in (("train", "training"), ("test", "test")):
        found = [e for e in evaluations if e["measured"] == name]
        if len(found) > 1:
            told += f"; {said} Pass@1 {_interval(found[0])} → {_interval(found[-1])}"
    return f"<p>{page.escaped(told)}.</p>"


def _summary_of_seeds(history: History) -> str:
    rewards, rounds, responses = history.rewards, history.rounds, history.rollouts
    edge = max(1, min(20, rounds // 5))
    told = f"{history.seeds} seeds, {rounds} of {history.config['rounds']} rounds, {responses} "
    told += f"response{'s'[: responses > 1]} each; mean reward {rewards[:, :edge].mean():.3f} in the first {edge} "
    told += f"rounds, {rewards[:, -edge:].mean():.3f} in the last {edge}"
    for name, said in (("train", "training"), ("test", "test")):
        found = means(history.evaluations, name)
        if len(found) > 1:
            told += f"; {said} Pass@1 {interval(found[0])} → mean {interval(found[-1])}"
    return f"<p>{page.escaped(told)}.</p>"


def _unchecked(history: History) -> str:
    """A sentence on the answers that the verifier's workers could not check, in rounds and evaluations; or nothing."""
    names = {"verifier_timeouts": "ran out of the verifier's time", "verifier_crashes": "broke its worker process"}
    told = []
    for name, said in names.items():
        rounds = np.nansum(np.clip(history.metrics[name], 0, 1e12)) if name in history.metrics else 0
        found = int(rounds) + sum(int(e.get(name, 0)) for e in history.evaluations)
        if found:
            told.append(f"{found:,} {said}")
    if not told:
        return ""
    sentence = f"Of the answers, {' and '.join(told)}: each earned 0, right or not."
    return f"<p>{page.escaped(sentence)}</p>"


def _theory(theory: Theory) -> str:
    parts = [f"<p>{page.escaped(theory.sentence)}</p>"]
    if theory.caveats:
        parts.append(f"<ul>{''.join(f'<li>{page.escaped(caveat)}</li>' for caveat in theory.caveats)}</ul>")
    if theory.verdict:
        parts.append(f'<h3>Verdict</h3><pre class="block">{page.escaped(theory.verdict)}</pre>')
    return f"<h2>Theory</h2>{''.join(parts)}"


def _evaluations(evaluations: Sequence[Mapping[str, Any]]) -> str:
    if not evaluations:
        return '<h2>Evaluations</h2><p class="soft">None so far.</p>'
    return f"<h2>Evaluations</h2>{_evaluations_table(evaluations)}"


def _evaluations_table(evaluations: Sequence[Mapping[str, Any]]) -> str:
    """A row a record, with a column for the seed where records name one."""
    seeds = any("seed" in e for e in evaluations)
    further = sorted({int(k) for e in evaluations for k in e.get("pass_at_k", {}) if k != "1"})
    head = ["round", "questions of", "Pass@1 [95%]", *(f"pass@{k}" for k in further), "right", "cut", "mean length"]
    head[1:1] = ["seed"] if seeds else []
    rows = [
        [
            e["round"],
            *(["all" if e.get("seed") is None else e["seed"]] if seeds else []),
            NAMES.get(e["measured"], e["measured"]),
            _interval(e),
            *(_rounded(e.get("pass_at_k", {}).get(str(k)), 3) for k in further),
            f"{e['successes']} of {e['samples']}",
            "–" if e.get("truncated") is None else f"{100 * e['truncated']:.0f}%",
            _rounded(e.get("mean_length"), 1),
        ]
        for e in evaluations
    ]
    return page.table(head, rows, "evaluations")


def _origin(run: Path, config: Mapping[str, Any], manifest: Mapping[str, Any]) -> str:
    command = manifest.get("command")
    # Quoted: the name of a stranger's folder is not to run as a command where this line is pasted.
    saved = shlex.quote(f"{run.resolve().name}/{CONFIG}")
    seeds = seeds_of(run)
    many = "" if seeds is None else f" --seeds {seeds}"
    again = f"bandit-rft finetune --config {saved}{many} --out AGAIN" if "model" in config else None
    commands = "\n".join(page.escaped(line) for line in (command, again) if line)
    return (
        "<h2>Where it comes from</h2>"
        + (f'<p>Made by, and repeated by:</p><pre class="block">{commands}</pre>' if commands else "")
        + f"<details><summary>Configuration</summary>{page.fields(config)}</details>"
        + f"<details><summary>Manifest</summary>{page.fields(manifest)}</details>"
    )


def _interval(record: Mapping[str, Any]) -> str:
    return f"{record['pass_at_1']:.3f} [{record['low']:.3f}, {record['high']:.3f}]"


def _rounded(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:z.{digits}f}"
