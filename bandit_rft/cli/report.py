"""`bandit-rft report RUN`: one self-contained HTML file of a run."""

from __future__ import annotations

import argparse

from bandit_rft.settings.options import path

HELP = "one self-contained report.html of a run"
DESCRIPTION = (
    "Write a run's report: curves, theory where it applies, evaluations, rollouts to read and the configuration, in "
    "one HTML file that needs no network and runs no script."
)


def options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "run_folder", type=path, metavar="RUN", help="run folder of bandit-rft finetune (finished or not) or simulate"
    )
    parser.add_argument("--out", type=path, metavar="FILE", help="the file (default: report.html in the run folder)")


def run(arguments: argparse.Namespace) -> int:
    """Write it and say where."""
    from bandit_rft import reports

    print(reports.write(arguments.run_folder, arguments.out))
    return 0
