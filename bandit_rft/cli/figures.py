"""`bandit-rft figures`: regenerate figures from saved runs, in a checkout; nothing is run again."""

from __future__ import annotations

import argparse
from pathlib import Path

from bandit_rft.settings.options import path

HELP = "regenerate figures from saved runs, in a checkout of the repository"
DESCRIPTION = (
    "Regenerate figures from saved results only. The figures' code is in figures/ of the repository: the command needs "
    "a checkout of it."
)


def options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("names", metavar="NAME", nargs="*", help="figures (default: every one that the runs allow)")
    parser.add_argument(
        "--run",
        dest="runs",
        type=path,
        metavar="RUN",
        action="append",
        help="run folder, or a folder of them; repeatable (default: runs/demo)",
    )
    parser.add_argument(
        "--out",
        type=path,
        metavar="FOLDER",
        help="where the PNGs go (default: figures/ of the run, or beside the runs)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Draw and say what was written."""
    from bandit_rft.cli import checkout

    registry = checkout.load("figures.registry", "bandit-rft figures")
    out = Path(arguments.out) if arguments.out else None
    for written in registry.draw(arguments.names, arguments.runs or ["runs/demo"], out):
        print(written)
    return 0
