"""`bandit-rft export`: a fine-tuning run's weights as a Hugging Face folder."""

from __future__ import annotations

import argparse

from bandit_rft.cli.options import or_none
from bandit_rft.settings.options import path, whole

HELP = "write a run's weights as a folder that transformers loads"
DESCRIPTION = (
    "Write the weights of a fine-tuning run as a Hugging Face folder: config.json, safetensors, tokenizer. "
    "transformers loads it with the same logits, and so does every --model option here."
)
DTYPES = ("float32", "bfloat16", "float16")


def options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("folder", type=path, metavar="RUN", help="run folder of bandit-rft finetune")
    parser.add_argument(
        "--out",
        type=path,
        metavar="FOLDER",
        required=True,
        help="folder to make; refused unless new or empty (default: none, it must be given)",
    )
    parser.add_argument(
        "--dtype", choices=DTYPES, default=None, help="of the weights written (default: as the run holds them)"
    )
    parser.add_argument(
        "--round",
        type=or_none(whole),
        default=None,
        metavar="N",
        help="the checkpoint after N rounds (default: the newest)",
    )
    parser.add_argument(
        "--seed",
        type=whole,
        default=None,
        metavar="N",
        help="of a run of many seeds the one to write, from 0; it must be named (default: none, a run of one seed)",
    )

    parser.add_argument(
        "--adapter",
        action="store_true",
        help="of a run with --lora-rank: the adapters alone, as peft reads them (default: merged into the weights)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Export and print what was written."""
    from llm_bridge.training.export import export_run

    given = (arguments.folder, arguments.out, arguments.dtype, arguments.round, arguments.seed)
    print(export_run(*given, adapter=arguments.adapter))
    return 0
