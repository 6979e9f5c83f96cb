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
from bandit_rft.plots.finetune import course, run_title
from bandit_rft.reports import page
from bandit_rft.reports.curves import KINDS, finetune_charts, simulation_charts
from bandit_rft.reports.evaluations import evaluations_section
from bandit_rft.reports.rollouts import rollouts_section
from bandit_rft.reports.theory import Theory, of_finetune, of_simulation
from bandit_rft.runs import CONFIG, HISTORY, MANIFEST, RESPONSES, read_history, read_json, seeds_of, write_atomically

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
    if finetune.accepts(config):
        history = read_history(run)
        title, body = run_title(history), _finetune(run, history, of_finetune(history))
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
    charts, constant = finetune_charts(history, theory)
    rest = f'<p class="soft">{page.escaped(constant)}</p>' if constant else ""
    return "\n".join(
        [
            _summary(history),
            _unchecked(history),
            f'<h2>Curves</h2><div class="charts">{"".join(charts)}</div>{rest}',
            _theory(theory),
            evaluations_section(history),
            # A published folder may leave the responses out.
            rollouts_section(run, seeds=history.seeds) if (run / RESPONSES).exists() else "",
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


def _summary(history: History) -> str:
    told = course(history)
    over = "mean " if history.seeds > 1 else ""
    for name, kind in KINDS.items():
        found = means(history.evaluations, name)
        if len(found) > 1:
            told += f"; {kind} Pass@1 {interval(found[0])} → {over}{interval(found[-1])}"
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


def _origin(run: Path, config: Mapping[str, Any], manifest: Mapping[str, Any]) -> str:
    command = manifest.get("command")
    # Quoted: the name of a stranger's folder is not to run as a command where this line is pasted.
    saved = shlex.quote(f"{run.resolve().name}/{CONFIG}")
    seeds = seeds_of(run)
    many = f" --seeds {seeds}" if seeds is not None and seeds > 1 else ""
    again = f"bandit-rft finetune --config {saved}{many} --out AGAIN" if "model" in config else None
    commands = "\n".join(page.escaped(line) for line in (command, again) if line)
    return (
        "<h2>Where it comes from</h2>"
        + (f'<p>Made by, and repeated by:</p><pre class="block">{commands}</pre>' if commands else "")
        + f"<details><summary>Configuration</summary>{page.fields(config)}</details>"
        + f"<details><summary>Manifest</summary>{page.fields(manifest)}</details>"
    )
