"""Runs what is missing of a plan, and reads what all runs gave."""

from __future__ import annotations

import dataclasses
import itertools
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
    todo = _compiled_together(tier, missing(out, jobs), processes)
    if todo:
        ended = start(partial(_one, tier, out=out.absolute()), todo, processes)
        for done, (job, seconds) in enumerate(ended, start=1):
            if progress is not None:
                progress(done, len(todo), job, seconds)
    found = {(job.setting, job.unit.name): Outcome.read(folder_of(out, job) / OUTCOME) for job in jobs}
    return Results(found, tier.levels)


def _compiled_together(tier: Tier, jobs: Sequence[Job], processes: int) -> list[Job]:
    """The same jobs in the order in which `processes` that take one after another compile least.

    Jobs that differ in nothing but their question, and have prompts of one width, are one program: they follow one
    another. The processes are at different programs: each then makes its own, and not all the same one at once.
    """
    groups: dict[Any, list[Job]] = {}
    for job in sorted(jobs, key=lambda job: (job.setting.task, job.unit.width)):
        alike = dataclasses.replace(job.setting, p0=""), tier.seeds_of(job.setting), job.unit.width
        groups.setdefault(alike, []).append(job)
    first = {job.digest: place for place, job in enumerate(jobs)}
    lanes: list[list[Job]] = [[] for _ in range(processes)]
    for group in sorted(groups.values(), key=lambda group: min(first[job.digest] for job in group)):
        min(lanes, key=len).extend(group)
    return [job for step in itertools.zip_longest(*lanes) for job in step if job is not None]


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
