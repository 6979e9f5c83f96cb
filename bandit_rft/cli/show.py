"""`bandit-rft show RUN`: a fine-tuning run's rollouts to read, with their rewards."""

from __future__ import annotations

import argparse

from bandit_rft.settings.options import count, path, whole

HELP = "read a fine-tuning run's responses and their rewards"
DESCRIPTION = (
    "Print a fine-tuning run's responses with rewards and lengths; the run may be going on. Colour on a terminal only, "
    "and not where NO_COLOR is set; control characters are shown escaped."
)


def options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "run_folder", type=path, metavar="RUN", help="run folder of bandit-rft finetune, finished or not"
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--round", type=whole, metavar="R", help="this round only, from 0 (default: the last ones)")
    which.add_argument(
        "--last", type=count, default=3, metavar="N", help="newest rounds that have anything to show (default: 3)"
    )
    parser.add_argument(
        "--question",
        type=whole,
        nargs="?",
        const=-1,
        metavar="INDEX",
        help="print the questions whole, with their answers; with an INDEX of the data, that question's responses only "
        "(default: off)",
    )
    parser.add_argument(
        "--seed", type=whole, metavar="N", help="of a run of many seeds this one only, from 0 (default: all)"
    )
    side = parser.add_mutually_exclusive_group()
    side.add_argument("--right", action="store_true", help="only responses with a reward above 0 (default: off)")
    side.add_argument("--wrong", action="store_true", help="only the others (default: off)")
    parser.add_argument("--width", type=count, metavar="N", help="columns (default: the terminal's, else 100)")


def run(arguments: argparse.Namespace) -> int:
    """Print what the options select."""
    from bandit_rft.reports import terminal

    side = True if arguments.right else False if arguments.wrong else None
    last = None if arguments.round is not None else arguments.last
    terminal.show(
        arguments.run_folder,
        round=arguments.round,
        last=last,
        seed=arguments.seed,
        right=side,
        question=None if arguments.question == -1 else arguments.question,
        whole=arguments.question is not None,
        width=arguments.width,
    )
    return 0
