"""`bandit-rft finetune`: a real fine-tuning run in a run folder; the same command again continues it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from bandit_rft.cli.finetune_config import FineTuneConfig
from bandit_rft.cli.options import add_options, build, count, given, run_name
from bandit_rft.errors import InputError
from bandit_rft.runs.loggers import LOGGERS

_EPILOG = """the same command on the same folder continues the run, bit by bit as if it had never stopped; on Ctrl-C and
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


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = subparsers.add_parser(
        "finetune",
        help="fine-tune a language model on questions, into a run folder",
        description="Fine-tune a language model on one question, or on several, by policy gradient.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    output = parser.add_argument_group("run and output")
    output.add_argument(
        "--config",
        metavar="FILE",
        help="config.json of an earlier run, of one seed or of many; options given beside it win (default: none)",
    )
    output.add_argument("--out", metavar="RUN", help="run folder (default: runs/ and a name made of all options)")
    output.add_argument(
        "--seeds",
        metavar="N",
        type=count,
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
    add_options(parser, FineTuneConfig)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run, or continue, and print the summary."""
    from bandit_rft.cli.finetune_run import finetune

    config = config_of(arguments.config, given(arguments, FineTuneConfig))
    seeds = arguments.seeds
    out = arguments.out or default_folder(config) + (f"-{seeds}-seeds" if seeds > 1 else "")
    finetune(config, out, seeds=seeds, log=arguments.log)
    return 0


def config_of(file: str | None, options: dict[str, Any]) -> FineTuneConfig:
    """The configuration of a saved file (or of the defaults) with these options; of a run of many seeds, each seed's.

    Raises:
        InputError: the file is missing, of another command, or has unknown fields.
    """
    values: dict[str, Any] = {}
    if file is not None:
        from bandit_rft.runs import CONFIG, read_json

        path = Path(file) / CONFIG if Path(file).is_dir() else Path(file)
        if not path.exists():
            raise InputError(f"There is no {path}: name a run folder of bandit-rft finetune, or its {CONFIG}.")
        values = read_json(path)
        resolved = values.pop("resolved", None)
        given_anew = {"model", "optimizer", "learning_rate", "step_over_kappa"} & options.keys()
        if isinstance(resolved, dict) and not given_anew and values.get("step_over_kappa") is None:
            values["learning_rate"] = values.get("learning_rate") or resolved.get("learning_rate")
        values.pop("seeds", None)  # no part of one seed's settings: --seeds says how many run now
        if values.pop("command", None) != "finetune":
            raise InputError(
                f"{path} is not the configuration of a fine-tuning run: name a run folder of bandit-rft finetune."
            )
        if values.pop("python", False):
            raise InputError(
                f"{path} is of a run that was made in Python, whose objects it names and does not hold: continue it "
                "there, by llm_bridge.finetune(..., out=...)."
            )
        if "prompt" in options:
            values.update(data=None, index=0, indices=None)
        if "data" in options:
            values.update(prompt=None, answer=None)
        for one, other, unset in (("indices", "index", 0), ("index", "indices", None)):
            if one in options:
                values[other] = unset
    return build(FineTuneConfig, {**values, **options}, file or "The command line")


def default_folder(config: FineTuneConfig) -> str:
    """runs/MODEL-DATA-INDEX-HASH, the same for the same options."""
    listed = "-".join(map(str, config.places)) if len(config.places) <= 4 else "several"
    what = (config.indices or listed)[:40] if config.data else ""
    return run_name("", config.model, config.data or "prompt", what, config.to_json())
