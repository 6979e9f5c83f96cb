"""`bandit-rft report RUN`: one self-contained HTML file of a run."""

from __future__ import annotations

import argparse


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = subparsers.add_parser(
        "report",
        help="one self-contained report.html of a run",
        description="Write a run's report: curves, theory where it applies, evaluations, rollouts to read and the "
        "configuration, in one HTML file that needs no network and runs no script.",
    )
    parser.add_argument(
        "run_folder", metavar="RUN", help="run folder of bandit-rft finetune (finished or not) or simulate"
    )
    parser.add_argument("--out", metavar="FILE", help="the file (default: report.html in the run folder)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write it and say where."""
    from bandit_rft import reports

    print(reports.write(arguments.run_folder, arguments.out))
    return 0
