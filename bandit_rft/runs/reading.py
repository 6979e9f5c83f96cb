"""A run's history and evaluations read back, from whoever's folder: what is not as a run writes it is refused here, so
that figures and reports can rely on it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bandit_rft import arguments
from bandit_rft.errors import InputError
from bandit_rft.history import History
from bandit_rft.runs.files import read_json
from bandit_rft.runs.lines import damaged, read_lines
from bandit_rft.runs.names import CONFIG, EVALUATIONS, HISTORY, LINES
from bandit_rft.runs.trees import read_tree

# Far above any run: arrays of so many rounds are made before anything is drawn.
_MOST_ROUNDS = 10**8


def _whole(value: Any) -> bool:
    return arguments.is_whole(value) and 0 <= value <= _MOST_ROUNDS


def _number(value: Any) -> bool:
    try:
        return arguments.is_number(value) and math.isfinite(value)
    except OverflowError:  # a whole number beyond the largest float
        return False


def _share(value: Any) -> bool:
    return _number(value) and 0 <= value <= 1


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _or_none(kind: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or kind(value)


def _measured(value: Any) -> bool:
    return not value or (
        isinstance(value, dict)
        and _fits(value, _MEASUREMENT)
        and all(value.get(name) is None or _number(value[name]) for name in _MEASURED_OPTIONAL)
    )


def _resolved(value: Any) -> bool:
    return isinstance(value, dict) and _number(value.get("learning_rate", 0.0)) and _measured(value.get("measurement"))


def _fits(record: Mapping[str, Any], kinds: Mapping[str, Callable[[Any], bool]]) -> bool:
    return all(name in record and kind(record[name]) for name, kind in kinds.items())


_MEASUREMENT = {"successes": _whole, "rollouts": lambda value: _whole(value) and value > 0}
_MEASURED_OPTIONAL = ("kappa", "kappa_standard_error")
_EVALUATION = {
    "round": _whole,
    "measured": _text,
    "pass_at_1": _share,
    "low": _share,
    "high": _share,
}
# What a later version may have added, or an older one may lack.
_EVALUATION_OPTIONAL = {
    "successes": _whole,
    "samples": lambda value: _whole(value) and value > 0,
    "questions": _whole,
    "seed": _or_none(_whole),
    "truncated": _or_none(_share),
    "mean_length": _or_none(_number),
    "verifier_timeouts": _whole,
    "verifier_crashes": _whole,
    "pass_at_k": lambda value: (
        isinstance(value, dict)
        and all(k.isascii() and k.isdigit() and len(k) < 10 and _share(share) for k, share in value.items())
    ),
}
# Of a fine-tuning run's config.json, what whoever draws or reports it relies on.
_FINETUNE = {
    "rounds": lambda value: _whole(value) and value > 0,
    "rollouts": _whole,
    "model": _text,
    "data": _or_none(_text),
    "index": lambda value: _whole(value) or (isinstance(value, list) and all(map(_whole, value))),
    "signal": _text,
    "epochs": _whole,
    "optimizer": _text,
    "aggregation": _text,
    "kl_coefficient": _number,
    "gradient_clip": _or_none(_number),
}
_FINETUNE_OPTIONAL = {"resolved": _resolved}


def _check_finetune(folder: Path, config: Mapping[str, Any]) -> None:
    """Raises InputError where a fine-tuning run's config.json lacks what figures and reports of it need."""
    for name, kind in (_FINETUNE | _FINETUNE_OPTIONAL).items():
        if name in config and not kind(config[name]):
            raise InputError(f"{folder / CONFIG} is damaged ({name}): restore it, or choose another folder.")
        if name not in config and name in _FINETUNE:
            raise InputError(f"{folder / CONFIG} has no {name}: name a folder of bandit-rft finetune.")


def read_history(folder: str | Path) -> History:
    """The history of a run folder, simulated (history.npz) or real (history.jsonl, as far as it has come).

    Raises:
        InputError: the folder holds neither, or a damaged one.
    """
    folder = Path(folder)
    config = read_json(folder / CONFIG)
    if config.get("command") == "finetune":
        _check_finetune(folder, config)
    elif (folder / HISTORY).exists():
        return dataclasses.replace(History.load(folder / HISTORY), config=config)
    path = folder / LINES
    records = read_lines(path)
    if not records:
        raise InputError(f"{folder} holds no history yet: let the run do at least one round.")
    found = rounds_as_arrays(path, records, seeds_of(folder) or 1)
    return History(
        rewards=found["rewards"],
        value=np.full(found["rewards"].shape[:2], np.nan),
        pulled_mean=None,
        best_mean=None,
        metrics=found["metrics"],
        evaluations=tuple(_evaluations(folder)),
        config=config,
        tree=read_tree(folder, (config.get("resolved") or {}).get("tree")),
    )


def round_record(round: int, rewards: Sequence[Sequence[float]], metrics: Mapping[str, Any]) -> dict[str, Any]:
    """A line of history.jsonl: rewards [S][G] and, of each metric, [S]; NaN is null."""
    values = {name: [float(value) for value in of_seeds] for name, of_seeds in metrics.items()}
    return {"round": round, "rewards": rewards, "metrics": values}


def rounds_as_arrays(path: Path, lines: Sequence[Mapping[str, Any]], seeds: int) -> dict[str, Any]:
    """The lines of history.jsonl as a loop's records: rewards float64 [S, T, G], metrics float64 [S, T] by name.

    Raises:
        InputError: a line of other seeds, another number of rewards or another place, or with no finite reward; a file
            of an older version.
    """
    rewards = lines[0].get("rewards")
    if seeds == 1 and isinstance(rewards, list) and rewards and all(map(_number, rewards)):
        raise InputError(
            f"{path} is of an older version of bandit_rft, which wrote the rounds of one seed only: read it with that "
            "version, or run its config.json again in another folder."
        )
    for number, line in enumerate(lines, start=1):
        if not _is_round(line, number - 1, seeds, lines[0]):
            raise damaged(number, path)
    rewards = np.asarray([line["rewards"] for line in lines], np.float64).swapaxes(0, 1)
    metrics = {
        name: np.asarray([line["metrics"][name] for line in lines], np.float64).T  # null, of a NaN, is NaN again
        for name in lines[0]["metrics"]
    }
    return {"rewards": rewards, "pulled_mean": None, "value": None, "best_mean": None, "metrics": metrics}


def _evaluations(folder: Path) -> list[dict[str, Any]]:
    evaluations = read_lines(folder / EVALUATIONS)
    for number, record in enumerate(evaluations, start=1):
        optional = {name: kind for name, kind in _EVALUATION_OPTIONAL.items() if name in record}
        if not _fits(record, _EVALUATION | optional):
            raise damaged(number, folder / EVALUATIONS)
    return evaluations


def _is_round(line: Mapping[str, Any], place: int, seeds: int, first: Mapping[str, Any]) -> bool:
    """Whether a line is that round's: of every seed as many finite rewards as the first line has, and its metrics."""

    def each(values: Any, fits: Callable[[Any], bool]) -> bool:
        return isinstance(values, list) and len(values) == seeds and all(map(fits, values))

    rewards, metrics = line.get("rewards"), line.get("metrics")
    if line.get("round") != place or not each(rewards, lambda own: isinstance(own, list) and bool(own)):
        return False
    rollouts = len(first["rewards"][0])
    if not each(rewards, lambda own: len(own) == rollouts and all(map(_number, own))):
        return False
    return isinstance(metrics, dict) and all(
        each(metrics.get(name), lambda value: value is None or _number(value)) for name in first["metrics"]
    )


def seeds_of(folder: str | Path, seed: int | None = None) -> int | None:
    """How many seeds a fine-tuning run of several seeds has; None where the folder is of a run of one seed, or of none.

    Args:
        folder: the run folder.
        seed: the seed to look up in it, from 0.

    Raises:
        InputError: config.json is damaged, or the run has no such seed.
    """
    folder = Path(folder)
    config = read_json(folder / CONFIG)
    seeds = config.get("seeds", 1) if config.get("command") == "finetune" else 1
    if not _whole(seeds) or not seeds:
        raise InputError(f"{folder / CONFIG} is damaged (seeds): restore it, or choose another folder.")
    if seed is not None and seed >= seeds:
        held = "one seed, so leave out --seed" if seeds == 1 else f"seeds 0 to {seeds - 1}, so give one of them"
        raise InputError(f"{folder} has no seed {seed}: it is a run of {held}.")
    return seeds if seeds > 1 else None
