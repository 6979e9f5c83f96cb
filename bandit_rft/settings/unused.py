"""Options that mean nothing beside the others: they are refused where they were typed, by somebody who expected more.

A configuration as such may hold them: defaults do, and so do conditions of an experiment that change one setting alone.
Left out: when and how evaluations are made, where --train-samples 0 and --test-questions 0 switch them off for a while.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bandit_rft.errors import InputError


@dataclass(frozen=True)
class Needs:
    """What some options need, to mean anything.

    Attributes:
        names: of the options' fields.
        met: whether a configuration has it.
        why: what it has instead, for the middle of a sentence.
        give: what to do about it, where the option is to stay.
        default_too: whether the default's value asks for something as well, where it was typed.
    """

    names: tuple[str, ...]
    met: Callable[[Any], Any]
    why: str
    give: str
    default_too: bool = False


def is_file(source: str | None) -> bool:
    """Whether data are one file, which has no splits."""
    return source is not None and os.path.isfile(os.path.expanduser(source))


def _has_split(source: str | None, split: str) -> bool:
    """Whether data have a split of that name. The rows of a file are "train", as the datasets library calls them, or
    what the file is called."""
    return source is None or not is_file(source) or split in ("train", Path(source).stem)


# Who types even the default's name expects to be spared the rows of the other splits.
_SPLIT = Needs(
    ("split",),
    lambda c: _has_split(c.data, c.split),
    "--data is one file, which has no splits",
    "give a folder or a name",
    default_too=True,
)
FINETUNE = (
    Needs(
        ("split", "prompt_column", "answer_column", "template", "index"),
        lambda c: c.data is not None,
        "--prompt is the only question",
        "give --data",
    ),
    Needs(
        ("test_data", "test_split", "test_questions"),
        lambda c: c.test_source is not None,
        "there are no test questions",
        "give --test-questions a number above 0, and with --prompt --test-data too",
    ),
    _SPLIT,
    Needs(
        ("test_split",),
        lambda c: _has_split(c.test_source, c.test_split),
        "the test questions are those of one file, which has no splits",
        "give --test-data a folder or a name",
        default_too=True,
    ),
    Needs(("train_questions",), lambda c: c.train_samples, "--train-samples is 0", "raise that"),
    Needs(
        ("weight_decay", "beta1", "beta2", "adam_eps"),
        lambda c: c.optimizer != "sgd",
        "--optimizer is sgd",
        "choose adamw",
    ),
    Needs(
        ("learning_rate_floor",),
        lambda c: c.schedule != "constant",
        "--schedule is constant",
        "choose linear or cosine",
    ),
    Needs(("ddof", "eps"), lambda c: c.signal == "grpo", "--signal is not grpo", "choose that"),
    Needs(
        ("kl",),
        lambda c: c.kl_coefficient or c.reward_kl_coefficient or c.log_kl,
        "there is no KL divergence",
        "give --kl-coefficient or --log-kl",
    ),
    Needs(
        ("reward_kl",), lambda c: c.reward_kl_coefficient, "--reward-kl-coefficient is 0", "give that a number above 0"
    ),
    Needs(
        ("measure_rollouts", "measure_tree", "measure_error"),
        lambda c: c.measures,
        "nothing is measured before the run",
        "add --measure",
    ),
)
EVALUATE = (
    _SPLIT,
    Needs(("questions",), lambda c: c.index is None, "--index names one question", "leave out --index"),
)
MEASURE = (
    _SPLIT,
    Needs(("indices", "shortest", "samples"), lambda c: c.scan, "one measurement is no scan", "add --scan"),
    Needs(
        ("index", "rollouts", "error", "tree", "remat"),
        lambda c: not c.scan,
        "a scan counts right answers alone",
        "leave out --scan",
    ),
)


def refuse(needs: tuple[Needs, ...], config: Any, typed: Mapping[str, Any]) -> None:
    """Refuse options that mean nothing in a configuration.

    Args:
        needs: of the command's options.
        config: the configuration as it is.
        typed: the fields whose options were typed; a value that is the default's, 0 or "no" asks for nothing, unless
            `default_too`.

    Raises:
        InputError: the first such option.
    """
    default = {entry.name: entry.default for entry in dataclasses.fields(config)}
    for need in needs:
        for name in need.names:
            asks = typed.get(name) and (need.default_too or typed[name] != default[name])
            if asks and not need.met(config):
                flag = f"--{name.replace('_', '-')}"
                raise InputError(f"{flag} does nothing here, for {need.why}: leave it out, or {need.give}.")
