"""`bandit-rft plan`: rounds, responses, groups that teach nothing and seeds, before a run is paid for."""

from __future__ import annotations

import argparse

from bandit_rft.errors import InputError
from bandit_rft.settings.options import count, number, picture, whole

HELP = "what a run will take: rounds to a level, dead groups, responses, seeds to tell two designs apart"
DESCRIPTION = (
    "Plan a fine-tuning run of plain gradient steps from p0 and kappa (bandit-rft measure gives both): every number is "
    "a law of the theory, named."
)


def options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--p0", type=number, required=True, help="Pass@1 before training, between 0 and 1")
    parser.add_argument("--kappa", type=number, required=True, help="squared gradient gap, as bandit-rft measure says")
    parser.add_argument("--signal", default="raw", metavar="NAME", help="learning signal (default: raw)")
    parser.add_argument("--rollouts", type=count, default=1, metavar="G", help="responses per round (default: 1)")
    parser.add_argument("--step-size", type=number, required=True, metavar="E", help="of the gradient step")
    parser.add_argument("--level", type=number, default=0.8, metavar="L", help="Pass@1 to reach (default: 0.8)")
    parser.add_argument(
        "--decisions", type=count, default=1, metavar="H", help="equal decisions in a correct response (default: 1)"
    )
    parser.add_argument(
        "--delay",
        type=whole,
        default=0,
        metavar="D",
        help="rounds from sampling a response to learning from it, without a ratio: finetune --delay --clip none "
        "(default: 0)",
    )
    parser.add_argument(
        "--window",
        type=count,
        metavar="W",
        help="scores of the question, of this round and earlier ones, whose mean and spread mean_baseline and grpo "
        "take (default: the round's)",
    )
    parser.add_argument(
        "--dynamic-sampling",
        type=whole,
        default=0,
        metavar="N",
        help="how often a group whose rewards are all equal is drawn again at most (default: 0)",
    )
    parser.add_argument(
        "--baseline-rollouts",
        type=whole,
        default=0,
        metavar="E",
        help="more responses per round, which enter the signal's mean and spread alone (default: 0)",
    )
    parser.add_argument("--budget", type=count, metavar="N", help="responses that can be paid for (default: not asked)")
    parser.add_argument("--tokens", type=number, metavar="N", help="mean length of a response (default: not asked)")
    parser.add_argument(
        "--against", type=_design, metavar="SIGNAL:G", help="another design to be told apart, such as grpo:8"
    )
    parser.add_argument("--seeds", type=count, metavar="N", help="of each of the two designs (default: not asked)")
    parser.add_argument("--json", action="store_true", help="print JSON (default: lines to read)")
    parser.add_argument(
        "--figure", type=picture, metavar="FILE", help="write a PNG of the predicted curve (default: none)"
    )


def _design(text: str) -> tuple[str, int]:
    signal, colon, rollouts = text.partition(":")
    if not colon:
        raise argparse.ArgumentTypeError(f"{text!r} is no design: give SIGNAL:G, such as grpo:8")
    return signal, count(rollouts)


def run(arguments: argparse.Namespace) -> int:
    """Plan and print."""
    import sys

    from bandit_rft import planning, signal_checks
    from bandit_rft.arguments import whole as whole_number
    from bandit_rft.runs import dumps
    from bandit_rft.theory.sequences.tree import MOST_ROLLOUTS

    if arguments.seeds is not None and arguments.against is None:
        raise InputError("--seeds is of two designs: give --against too, such as --against grpo:8.")
    # Here and not by `plan` alone, so that the sentence names the options.
    spelt = {"window": "--window", "extra": "--baseline-rollouts", "dynamic_sampling": "--dynamic-sampling"}
    signal, window, extra = arguments.signal, arguments.window, arguments.baseline_rollouts
    group = arguments.rollouts + extra
    if arguments.against is not None:
        whole_number("The group of --against", arguments.against[1], most=MOST_ROLLOUTS)
    signal_checks.check_window(window, signal, arguments.rollouts, extra, spelt)
    signal_checks.check_dynamic_sampling(arguments.dynamic_sampling, signal, group, window, spelt)
    given = {name: value for name, value in vars(arguments).items() if name not in ("command", "json", "figure")}
    found = planning.plan(**given)
    drawn = None
    if arguments.figure is not None:  # before anything is printed, for it may be refused
        from bandit_rft.plots import plan_curve

        drawn = plan_curve.draw(found, arguments.figure)
    print(dumps(found.to_json(), indent=1) if arguments.json else found.report())
    if drawn is not None:
        print(f"Figure: {drawn}", file=sys.stderr if arguments.json else sys.stdout)
    return 0
