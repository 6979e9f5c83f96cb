"""`bandit-rft verdict`: anybody's training log held against the law of its signal."""

from __future__ import annotations

import argparse

from bandit_rft.settings.options import count, number, path, picture, whole

HELP = "is a trainer's log (TRL, verl, Tunix, CSV) inside the law, or which assumption fell"
DESCRIPTION = (
    "Fit kappa x step on the first fifth of a training log's rounds and hold the rest against the law of its signal: "
    "INSIDE, OUTSIDE with the assumption that fell, or NOT TESTED and why. The exit code is 0 whatever the verdict."
)
EPILOG = """\
formats:
  trl     trainer_state.json (log_history)
  verl    console output (step:N - critic/score/mean:X - ...), or the lines of its file logger
  tunix   JSON lines or CSV with rewards/overall or rewards/sum
  csv     any comma-separated file, a Weights & Biases export among them (tabs and semicolons too)
  run     a run folder of bandit-rft finetune
  Each text file may be compressed by gzip; the law is of rewards 0 or 1 (--reward names another column, and
  --reward-right and --reward-wrong say what a column of two other rewards holds).
  A TensorBoard event file or its folder is read under each of the first four, where tensorboardX is installed."""


def options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "--log", type=path, metavar="FILE", required=True, help="what the trainer wrote; a folder with --format run"
    )
    parser.add_argument(
        "--format", choices=("trl", "verl", "tunix", "csv", "run"), default="trl", help="who wrote it (default: trl)"
    )
    parser.add_argument(
        "--signal", metavar="NAME", help="learning signal, or advantage (default: grpo, or that of the run folder)"
    )
    parser.add_argument(
        "--rollouts",
        type=count,
        metavar="G",
        help="responses to one prompt (default: the log's column rollouts over B)",
    )
    parser.add_argument("--prompts", type=count, default=1, metavar="B", help="prompts of a round (default: 1)")
    parser.add_argument(
        "--step-size",
        type=number,
        metavar="E",
        help="of plain steps whose loss sums over a response's tokens, to tell kappa (default: kappa x step alone)",
    )
    parser.add_argument("--reward", metavar="COLUMN", help="the reward's column (default: that of the format)")
    parser.add_argument("--step", metavar="COLUMN", help="the step's column (default: that of the format)")
    parser.add_argument("--eps", type=number, metavar="X", help="of GRPO's standard deviation (default: the trainer's)")
    parser.add_argument(
        "--reward-right", type=number, metavar="X", help="what the log gives a right response (default: 1)"
    )
    parser.add_argument(
        "--reward-wrong", type=number, metavar="X", help="what the log gives a wrong response (default: 0)"
    )
    parser.add_argument(
        "--dynamic-sampling",
        action="store_true",
        help="groups of equal rewards were drawn anew, and the reward is of those that differ (default: not)",
    )
    parser.add_argument("--seed", type=whole, metavar="N", help="of a run folder of many seeds (default: 0)")
    parser.add_argument("--json", action="store_true", help="print JSON (default: lines to read)")
    parser.add_argument(
        "--figure", type=picture, metavar="FILE", help="write a PNG of the log and the band (default: none)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Judge and print."""
    import sys

    from bandit_rft.runs import dumps
    from bandit_rft.runs.rollouts import printable
    from bandit_rft.training_logs import verdict_on_log

    given = {name: value for name, value in vars(arguments).items() if name not in ("command", "json", "figure", "log")}
    found = verdict_on_log(arguments.log, **given)
    drawn = None
    if arguments.figure is not None:  # before anything is printed, for it may be refused
        from bandit_rft.plots import log_verdict

        drawn = log_verdict.draw(found, arguments.figure)
    # A column's name is a stranger's text, and nothing in it is to act on the terminal.
    print(dumps(found.to_json(), indent=1) if arguments.json else printable(found.report()))
    if drawn is not None:
        print(f"Figure: {drawn}", file=sys.stderr if arguments.json else sys.stdout)
    return 0
