"""Runs what is missing of a plan, and reads what all runs gave."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bandit_rft.experiments.outcomes import Outcome, Results
from bandit_rft.experiments.tier import Job, Tier
from bandit_rft.runs import backends, to_json, write_atomically

OUTCOME = "outcome.npz"
# (runs done, runs in all, the newest, its seconds)
Progress = Callable[[int, int, Job, float], None]


def folder_of(out: Path, job: Job) -> Path:
    """Where a run's files are, under the folder of the whole."""
    return out / "runs" / job.digest


def missing(out: Path, jobs: Sequence[Job]) -> list[Job]:
    """The runs that have no outcome yet."""
    return [job for job in jobs if not (folder_of(out, job) / OUTCOME).exists()]


def execute(
    tier: Tier,
    jobs: Sequence[Job],
    out: Path,
    *,
    processes: int = 1,
    backend: str = "processes",
    progress: Progress | None = None,
) -> Results:
    """Run what is missing, and read all outcomes.

    Args:
        tier: it must be picklable where processes > 1, or on Ray.
        jobs: of `plan`.
        out: a folder; runs/DIGEST holds each run. Killed, the same call goes on.
        processes: runs side by side, each in a process of its own; the outcomes do not depend on it.
        backend: of `runs.backends.BACKENDS`; the outcomes do not depend on it either.
        progress: told after each run.

    Raises:
        InputError: of a run that cannot be made, or an unknown backend; the runs that were done stay.
    """
    start = backends.chosen(backend, processes)
    todo = _compiled_together(tier, missing(out, jobs))
    if todo:
        ended = start(partial(_one, tier, out=out.absolute()), todo, processes)
        for done, (job, seconds) in enumerate(ended, start=1):
            if progress is not None:
                progress(done, len(todo), job, seconds)
    found = {(job.setting, job.unit.name): Outcome.read(folder_of(out, job) / OUTCOME) for job in jobs}
    return Results(found, tier.levels)


def _compiled_together(tier: Tier, jobs: Sequence[Job]) -> list[Job]:
    """The same jobs, those that differ in nothing but their questions one after another: they are one compiled program,
    which a process then makes once."""
    groups: dict[Any, dict[str, list[Job]]] = {}
    for job in jobs:
        alike = dataclasses.replace(job.setting, p0="", task=""), tier.seeds_of(job.setting)
        groups.setdefault(alike, {}).setdefault(job.setting.task, []).append(job)
    return [job for tasks in groups.values() for group in tasks.values() for job in group]


def _one(tier: Tier, job: Job, out: Path) -> float:
    """Run one job into its folder; returns its seconds."""
    start = time.monotonic()
    folder = folder_of(out, job)
    folder.mkdir(parents=True, exist_ok=True)
    described = {"tier": tier.name, "setting": job.setting.to_json(), "unit": job.unit.name, "place": job.unit.place}
    described |= {"seeds": tier.seeds_of(job.setting), "rounds": tier.rounds_of(job.setting)}
    write_atomically(folder / "setting.json", to_json(described))
    tier.run(job.setting, job.unit, folder).write(folder / OUTCOME)
    return time.monotonic() - start
