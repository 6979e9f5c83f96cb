"""`bandit-rft measure`: p0 and kappa of one question; or, with --scan, p0 of many, to choose one by its difficulty."""

from __future__ import annotations

import argparse

from bandit_rft.cli import hosts
from bandit_rft.cli.options import add_options, given
from bandit_rft.errors import InputError
from bandit_rft.settings import unused
from bandit_rft.settings.options import number, path
from bandit_rft.settings.questions import MeasureConfig

HELP = "p0 and kappa of a question, with errors; --scan: p0 of many questions"
DESCRIPTION = "Measure what the theory needs of a model and a question: p0 and kappa, with errors."
EPILOG = """choose a question that the model answers about one time in four, then measure it anew:
  bandit-rft measure --scan --model smollm2-135m --data gsm8k --indices 0:200 --samples 32 --wanted 0.25
  bandit-rft measure --model smollm2-135m --data gsm8k --index I --rollouts 128 --key 1

the same command on the same folder continues a scan that was interrupted, and gives the same numbers.
"""


def options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "--out", type=path, metavar="RUN", help="run folder (default: runs/measure- and a name made of the options)"
    )
    parser.add_argument(
        "--wanted", type=number, metavar="P0", help="--scan: name the questions nearest to this p0 (default: none)"
    )
    hosts.add_options(parser)
    add_options(parser, MeasureConfig)


def run(arguments: argparse.Namespace) -> int:
    """Measure, write and print."""
    typed = given(arguments, MeasureConfig)
    config = MeasureConfig(**typed)
    unused.refuse(unused.MEASURE, config, typed)
    if arguments.wanted is not None and not 0.0 < arguments.wanted < 1.0:
        raise InputError(f"--wanted is {arguments.wanted}: give a p0 strictly between 0 and 1, such as 0.25.")
    if arguments.wanted is not None and not config.scan:
        raise InputError("--wanted chooses among the questions of a scan: add --scan.")
    from llm_bridge.measuring.from_settings import measure

    with hosts.joined(arguments):
        measure(config, arguments.out, arguments.wanted)
    return 0
