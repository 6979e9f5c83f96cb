"""`bandit-rft evaluate`: Pass@1 and pass@k of a model on questions with known answers."""

from __future__ import annotations

import argparse

from bandit_rft.cli import hosts
from bandit_rft.cli.options import add_options, given
from bandit_rft.settings import unused
from bandit_rft.settings.options import path
from bandit_rft.settings.questions import EvaluateConfig

HELP = "Pass@1 and pass@k of a model on a data set"
DESCRIPTION = "Sample responses to questions with known answers: Pass@1 with its 95% interval, and pass@k."


def options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--json", type=path, metavar="FILE", help="also write the numbers to this file (default: none)")
    hosts.add_options(parser)
    add_options(parser, EvaluateConfig)


def run(arguments: argparse.Namespace) -> int:
    """Evaluate and print."""
    typed = given(arguments, EvaluateConfig)
    config = EvaluateConfig(**typed)
    unused.refuse(unused.EVALUATE, config, typed)
    from llm_bridge.measuring.from_settings import evaluate

    with hosts.joined(arguments):
        evaluate(config, arguments.json)
    return 0
