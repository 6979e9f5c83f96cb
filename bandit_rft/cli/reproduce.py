"""`bandit-rft reproduce`: the papers' claims, judged by runs at a tier."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from bandit_rft.errors import InputError
from bandit_rft.settings.options import count, path, seed, whole

HELP = "judge the papers' claims by runs, from tables to large models"
DESCRIPTION = (
    "Plan the runs that the claims of a tier need, run what is missing, judge each claim with its interval, and write "
    "the table. Killed, the same command goes on."
)


def options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "--tier",
        default="simulation",
        help="simulation (tables, a minute), tiny (embedded models, hours), checkpoints (more of their kind, which a "
        "recipe makes), small (SmolLM2-135M-Instruct) or paper (1 billion weights, a GPU) (default: simulation)",
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="CLAIM",
        help="judge this claim alone, such as A3; repeatable (default: all)",
    )
    parser.add_argument("--seeds", type=count, help="of each run (default: the tier's)")
    parser.add_argument("--jobs", type=count, default=1, help="runs side by side, each in its process (default: 1)")
    parser.add_argument(
        "--backend",
        choices=("processes", "ray"),
        default="processes",
        help="who makes the runs: processes here, or Ray, whose cluster RAY_ADDRESS names (default: processes)",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="of --tier tiny, the core claims in less than an hour on two cores (default: off)",
    )
    parser.add_argument(
        "--one-sample",
        action="store_true",
        help="measure Pass@1 as the papers do: one response to every question of the training and of the test file, "
        "every 100 rounds (default: off, a fixed number of test questions, more often)",
    )
    parser.add_argument(
        "--key",
        type=seed,
        metavar="N",
        help="seed of the runs' random draws: with another one than the tier's, a verdict is tried on new seeds "
        "(default: the tier's)",
    )
    parser.add_argument(
        "--first",
        type=whole,
        metavar="N",
        help="training question at which the choice of questions begins, counted from 0: with another one than the "
        "tier's, a verdict is tried on new questions (default: the tier's)",
    )
    parser.add_argument(
        "--outcomes",
        type=path,
        metavar="FILE",
        help="take the outcomes of runs from this file, such as docs/outcomes/tiny.tar.xz, and make only the runs that "
        "it has not (default: make all runs)",
    )
    parser.add_argument("--dry-run", action="store_true", help="print the plan and run nothing (default: off)")
    parser.add_argument("--out", type=path, metavar="RUN", help="run folder (default: runs/reproduce-TIER)")


def run(arguments: argparse.Namespace) -> int:
    """Plan, run, judge, and print the table."""
    from bandit_rft.cli import checkout
    from bandit_rft.runs.progress import ProgressLine

    study = checkout.load("simulations.reproduction.reproduce", "bandit-rft reproduce")
    table = checkout.load("simulations.reproduction.table", "bandit-rft reproduce")
    work = study.planned(
        arguments.tier,
        only=arguments.only,
        seeds=arguments.seeds,
        quick=arguments.quick,
        one_sample=arguments.one_sample,
        key=arguments.key,
        first=arguments.first,
    )
    if arguments.dry_run and arguments.outcomes:
        raise InputError("--dry-run counts all runs, whatever --outcomes has: leave one of the two out.")
    if arguments.dry_run:
        print(work.text(processes=arguments.jobs))
        return 0
    saved = None if arguments.outcomes is None else Path(arguments.outcomes)
    out = Path(arguments.out or f"runs/reproduce-{work.tier.name}")
    start = time.monotonic()
    with ProgressLine(f"reproducing {work.tier.name}", unit="runs", quantity="seconds of the newest") as line:

        def tell(done: int, total: int, job: Any, seconds: float) -> None:
            line(done, total, seconds, time.monotonic() - start)

        record = study.reproduce(
            work, out, processes=arguments.jobs, backend=arguments.backend, outcomes=saved, tell=tell
        )
    print(table.terminal(record))
    if work.whole:
        print(f"Table: {out / 'claims.md'}")
    return 0
