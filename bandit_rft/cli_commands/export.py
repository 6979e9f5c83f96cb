"""`bandit-rft export`: a fine-tuning run's weights as a Hugging Face folder."""

from __future__ import annotations

import argparse
from pathlib import Path

from bandit_rft.cli_commands.options import or_none, whole

DTYPES = ("float32", "bfloat16", "float16")


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = subparsers.add_parser(
        "export",
        help="write a run's weights as a folder that transformers loads",
        description="Write the weights of a fine-tuning run as a Hugging Face folder: config.json, safetensors, "
        "tokenizer. transformers loads it with the same logits, and so does every --model option here.",
    )
    parser.add_argument("folder", metavar="RUN", help="run folder of bandit-rft finetune")
    parser.add_argument(
        "--out",
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
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Export and print what was written."""
    from bandit_rft.cli_commands.finetune import config_of
    from bandit_rft.cli_commands.pinned_model import load_pinned
    from llm_bridge import checkpoints, export

    # What can be refused without the model is refused before it is loaded.
    config = config_of(str(Path(arguments.folder)), {})
    export.refuse_occupied(Path(arguments.out).expanduser())
    saved = Path(arguments.folder) / "checkpoints"
    checkpoints.require(saved, arguments.round)
    model = load_pinned(arguments.folder, config)
    done, params = checkpoints.load_part(saved, "params", model.params, round=arguments.round)
    out = export.save_pretrained(model, arguments.out, params, dtype=arguments.dtype)
    size = sum(file.stat().st_size for file in out.iterdir())
    print(f"{config.model} after {done} rounds: {size / 1e6:.0f} MB in {out}")
    return 0
