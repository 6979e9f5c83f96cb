"""The configuration of a fine-tuning run from a saved file and options.

A run makes something of settings that are left open: a learning rate of the number of weights that it trains, a length
that the model's context allows. Its config.json says what became of them, so that the same is run again; where
something is given anew that they follow from, they are open again.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bandit_rft.arguments import is_number
from bandit_rft.errors import InputError
from bandit_rft.runs import CONFIG, read_json
from bandit_rft.settings import unused
from bandit_rft.settings.finetune import FineTuneConfig
from bandit_rft.settings.options import build

# In config.json, among what the run resolved: settings as they were asked, where config.json says what became of them.
REQUESTED = "requested"
_QUESTIONS = ("data", "split", "index", "indices", "prompt", "template", "train_samples", "train_questions")
_TESTS = ("test_data", "test_split", "test_questions")
# Settings that a run resolves where they are left open: those that the outcome follows from.
_FOLLOWS = {
    "learning_rate": {"learning_rate", "step_over_kappa", "model", "optimizer", "lora_rank", "lora_weights"},
    "max_tokens": {"model", "prompt_column", "prompt_date", "thinking", *_QUESTIONS, *_TESTS},
    "attention": {"model", "dtype", "mesh"},
}


def config_of(file: str | None, options: dict[str, Any]) -> FineTuneConfig:
    """The configuration of a saved file (or of the defaults) with these options; of a run of many seeds, each seed's.

    Raises:
        InputError: the file is missing, of another command, or has unknown fields.
    """
    values: dict[str, Any] = {}
    if file is not None:
        path = Path(file) / CONFIG if Path(file).is_dir() else Path(file)
        if not path.exists():
            raise InputError(f"There is no {path}: name a run folder of bandit-rft finetune, or its {CONFIG}.")
        values = read_json(path)
        _keep_resolved(values, values.pop("resolved", None), options)
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
    if "index" in options and "indices" in options:
        raise InputError("The training questions are named twice: give --index or --indices, not both.")
    config = build(FineTuneConfig, {**values, **options}, file or "The command line")
    unused.refuse(unused.FINETUNE, config, options)
    return config


def requested_of(file: str | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that the run of a saved file left open and that stay as it resolved them, with what they were asked as.

    The new run records them too: a third one that begins from its config.json then still tells them from what was
    typed, however many runs hand them on.

    Args:
        file: as in `config_of`, which has read it.
        options: that were typed beside it.
    """
    if file is None:
        return {}
    values = read_json(Path(file) / CONFIG if Path(file).is_dir() else Path(file))
    opened = _left_open(values, values.get("resolved"))
    return {name: value for name, value in opened.items() if not ({name} | _FOLLOWS[name]) & options.keys()}


def _keep_resolved(values: dict[str, Any], resolved: Any, options: Mapping[str, Any]) -> None:
    """What a run made of settings that were left open stays, unless something that it follows from is given anew."""
    for name, value in _left_open(values, resolved).items():
        if _FOLLOWS[name] & options.keys():
            values[name] = value
        elif values.get(name) is None:  # config.json has the others as they were resolved, and this one as it was asked
            values[name] = resolved.get(name)


def _left_open(values: Mapping[str, Any], resolved: Any) -> dict[str, Any]:
    """Settings that a run resolved by itself: name -> as it was asked."""
    resolved = resolved if isinstance(resolved, dict) else {}
    asked = resolved.get(REQUESTED)
    opened = {name: value for name, value in asked.items() if name in _FOLLOWS} if isinstance(asked, dict) else {}
    by_kappa = values.get("step_over_kappa") is not None  # such a rate is of a measurement, which is made again
    if values.get("learning_rate") is None and is_number(resolved.get("learning_rate")) and not by_kappa:
        opened["learning_rate"] = None
    return opened
