"""`bandit-rft export`: a fine-tuning run's weights as a Hugging Face folder."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bandit_rft.cli.options import or_none, whole
from bandit_rft.errors import InputError

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
    parser.add_argument(
        "--seed",
        type=whole,
        default=None,
        metavar="N",
        help="of a run of many seeds the one to write, from 0; it must be named (default: none, a run of one seed)",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Export and print what was written."""
    from bandit_rft.cli.pinned_model import load_pinned
    from bandit_rft.runs import seeds_of
    from llm_bridge.training import checkpoints, export

    # What can be refused without the model is refused before it is loaded.
    folder = Path(arguments.folder)
    config = _config_of(folder)
    seeds = seeds_of(folder, arguments.seed)
    if seeds is not None and arguments.seed is None:
        raise InputError(f"{folder} holds {seeds} seeds: name the one to export with --seed, 0 to {seeds - 1}.")
    export.refuse_occupied(Path(arguments.out).expanduser())
    saved = folder / "checkpoints"
    checkpoints.require(saved, arguments.round)
    model = load_pinned(folder, config)
    seed = None if seeds is None else arguments.seed
    done, params = checkpoints.load_part(saved, "params", model.params, round=arguments.round, seed=seed)
    out = export.save_pretrained(model, arguments.out, params, dtype=arguments.dtype)
    size = sum(file.stat().st_size for file in out.iterdir())
    name = config["model"]
    which = name if seeds is None else f"Seed {arguments.seed} of {name}"
    print(f"{which} after {done} rounds: {size / 1e6:.0f} MB in {out}")
    return 0


def _config_of(folder: Path) -> Mapping[str, Any]:
    """The configuration of a fine-tuning run, made by the command or in Python.

    Raises:
        InputError: the folder is none of a fine-tuning run, or damaged.
    """
    from bandit_rft.cli.finetune import config_of
    from bandit_rft.runs import CONFIG, read_json

    path = folder / CONFIG
    found = read_json(path) if path.exists() else {}
    names = ("model", "dtype", "param_dtype")
    if found.get("python") is True and all(isinstance(found.get(name), str) for name in names):
        return {name: found[name] for name in names}
    return config_of(str(folder), {}).to_json()
