"""`bandit-rft finetune`: a real fine-tuning run in a run folder; the same command again continues it."""

from __future__ import annotations

import argparse
import sys

from bandit_rft.cli import hosts
from bandit_rft.cli.options import add_options, given
from bandit_rft.errors import InputError
from bandit_rft.runs.loggers import LOGGERS
from bandit_rft.settings.finetune import FineTuneConfig, default_folder
from bandit_rft.settings.options import path
from bandit_rft.settings.ranges import ABOVE_0, COUNT, ROWS
from bandit_rft.settings.saved_finetune import config_of, requested_of

HELP = "fine-tune a language model on questions, into a run folder"
DESCRIPTION = "Fine-tune a language model on one question, or on several, by policy gradient."
EPILOG = """the same command on the same folder continues the run, bit by bit as if it had never stopped; on Ctrl-C and
on SIGTERM it finishes the round in hand, saves, and exits with code 130 or 143 (a second Ctrl-C ends it at once). With
more --rounds, and a constant schedule, the run of a folder goes on to that number: name it with --out, as other options
have another default name.

the theory's own setting (arXiv 2601.14599, minimalist; no fitted parameter):
  bandit-rft finetune --model smollm2-135m --data arithmetic --index 0 --optimizer sgd --step-over-kappa 0.5 \\
      --kl-coefficient 0 --gradient-clip none --rounds 200 --out runs/minimalist

32 questions per round, one response each, raw reward (arXiv 2601.22532, its baseline):
  bandit-rft finetune --model qwen2.5-0.5b --data gsm8k --indices 0:7473 --prompts-per-round 32 --rollouts 1 \\
      --aggregation token-mean --rounds 500 --out runs/batched
"""

# What a plan takes and leaves aside: it is of each device, whatever process has it, and writes and sends nothing.
UNPLANNED = ("out", "log", "coordinator", "processes", "process", "join_wait")
PLAN_OPTIONS = ("json", "prompt_tokens", "device_memory", "device_bandwidth", "device_tflops")


def options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    output = parser.add_argument_group("run and output")
    output.add_argument(
        "--config",
        type=path,
        metavar="FILE",
        help="config.json of an earlier run, of one seed or of many; options given beside it win (default: none)",
    )
    output.add_argument(
        "--out", type=path, metavar="RUN", help="run folder (default: runs/ and a name made of all options)"
    )
    output.add_argument(
        "--seeds",
        metavar="N",
        type=ROWS,
        default=1,
        help="independent runs side by side, S, from the model as loaded (default: 1)",
    )
    output.add_argument(
        "--log",
        action="append",
        default=[],
        choices=tuple(LOGGERS),
        help="also write to TensorBoard (RUN/tensorboard) or Weights & Biases; repeatable (default: none)",
    )
    hosts.add_options(parser)
    add_options(parser, FineTuneConfig)
    planning = parser.add_argument_group("plan of the memory, before anything is loaded")
    planning.add_argument(
        "--plan",
        nargs="?",
        const="here",
        choices=("here", "accelerator"),
        help="say what the run would hold on each device, from the model's config.json alone, and run nothing; "
        "accelerator: estimate an accelerator's memory where there is none (default: run)",
    )
    planning.add_argument("--json", action="store_true", help="print the plan as JSON (default: a table)")
    planning.add_argument(
        "--prompt-tokens",
        type=COUNT,
        metavar="N",
        help="tokens of a prompt in the plan (default: 256, or fewer where the model's context leaves fewer)",
    )
    planning.add_argument(
        "--device-memory",
        type=ABOVE_0,
        metavar="GB",
        help="memory of a device, to say whether the run fits (default: not asked)",
    )
    planning.add_argument(
        "--device-bandwidth",
        type=ABOVE_0,
        metavar="GB",
        help="a device's memory bandwidth per second, for the most tokens per second that decoding can make "
        "(default: not asked)",
    )
    planning.add_argument(
        "--device-tflops",
        type=ABOVE_0,
        metavar="X",
        help="a device's 10^12 operations per second, for the most tokens per second that it can learn from "
        "(default: not asked)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run, or continue, and print the summary."""
    from llm_bridge.training.from_settings import finetune

    typed = given(arguments, FineTuneConfig)
    config = config_of(arguments.config, typed)
    if arguments.plan is not None:
        return _plan(arguments, config)
    for name in PLAN_OPTIONS:
        if getattr(arguments, name):
            raise InputError(f"--{name.replace('_', '-')} is of the plan: give --plan too, or leave it out.")
    out = arguments.out or default_folder(config, arguments.seeds)
    requested = requested_of(arguments.config, typed)
    with hosts.joined(arguments):
        finetune(config, out, seeds=arguments.seeds, log=arguments.log, requested=requested)
    return 0


def _plan(arguments: argparse.Namespace, config: FineTuneConfig) -> int:
    """Print what the run would hold."""
    from bandit_rft.runs import dumps
    from bandit_rft.runs.progress import ProgressLine
    from llm_bridge.training.memory_plan import plan_memory

    if arguments.seeds > 1:
        raise InputError("--plan is of a run of one seed: leave out --seeds.")
    with ProgressLine("planning memory") as line:
        found = plan_memory(
            config,
            prompt_tokens=arguments.prompt_tokens,
            target=arguments.plan,
            limit_gb=arguments.device_memory,
            gb_per_second=arguments.device_bandwidth,
            tflops=arguments.device_tflops,
            progress=line.doing,
        )
    print(dumps(found.to_json(), indent=1) if arguments.json else found.report())
    if aside := [f"--{name.replace('_', '-')}" for name in UNPLANNED if getattr(arguments, name) not in (None, [])]:
        does = "does" if len(aside) == 1 else "do"
        print(f"{', '.join(aside)} {does} not change the plan.", file=sys.stderr if arguments.json else sys.stdout)
    return 0
