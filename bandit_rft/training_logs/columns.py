"""From records to a `TrainingLog`: which column is the reward, which the step, and what stands behind each row."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bandit_rft import arguments
from bandit_rft.errors import InputError
from bandit_rft.training_logs.intervals import rounds_behind
from bandit_rft.training_logs.log import TrainingLog
from bandit_rft.training_logs.reading import Record, number, records
from bandit_rft.training_logs.rows import EVALUATIONS, rows_of

__all__ = ["read_log"]

# Names by format, the first that is there counts; a prefix ("train/", "my run - ") may stand before each.
_REWARD = {
    "trl": ("reward",),
    "verl": ("critic/score/mean", "critic/rewards/mean"),
    "tunix": ("rewards/overall", "rewards/sum"),
    "csv": ("reward", "critic/score/mean", "rewards/overall", "rewards/sum", "critic/rewards/mean"),
}
_RATE = ("learning_rate", "actor/lr", "lr")
_DEAD = ("frac_reward_zero_std",)
_STEP = ("step", "global_step", "Step", "_step", "train/global_step")
_ROLLOUTS = ("rollouts",)
# Of other columns, those that may be what was meant; not a spread, an extreme, or one of an evaluation.
_ALIKE = re.compile(r"reward|score|accuracy", re.IGNORECASE)
_OF_ANOTHER = re.compile(r"std|min|max|zero|eval|val-|val/|test", re.IGNORECASE)
_AVERAGED = ("trl",)  # formats whose records are means over the steps since the one before
_MOST_STEP = 2**53


def read_log(
    path: str | Path,
    form: str,
    *,
    rollouts: int | None = None,
    prompts: int = 1,
    reward: str | None = None,
    step: str | None = None,
    reward_right: float = 1.0,
    reward_wrong: float = 0.0,
) -> TrainingLog:
    """The log of one run.

    Args:
        path: the file. form: "trl", "verl", "tunix" or "csv".
        rollouts: G, responses to one prompt; None: the log's own column "rollouts", of all responses of a round.
        prompts: B, of a round.
        reward, step: names of columns; None: those of the format.
        reward_right, reward_wrong: what the log gives a right and a wrong response.

    Raises:
        InputError: a file that is no such log, or does not say what it must; one sentence.
    """
    path = Path(path)
    prompts = arguments.whole("prompts", prompts, most=1_000_000)
    for name, value in (("reward_right", reward_right), ("reward_wrong", reward_wrong)):
        arguments.finite(name, value)
    if reward_right == reward_wrong:
        raise InputError(f"reward_right and reward_wrong are both {reward_right:g}: give two rewards.")
    found = records(path, form)
    names = list(dict.fromkeys(name for record in found for name in record.values if isinstance(name, str)))
    if reward is None:
        column = _chosen(names, _REWARD[form], "--reward", path)
    else:
        column = _named(names, reward, "--reward", path)
    if column is None:
        raise InputError(
            f"{path} has no column {' or '.join(_REWARD[form])} in its {len(found)} records (it has "
            f"{_listed(names)}): name the reward's column with --reward, or give another --format."
        )
    at = None
    if step is not None or any(record.step is None for record in found):
        at = _chosen(names, _STEP, "--step", path) if step is None else _named(names, step, "--step", path)
        if at is None:
            raise InputError(f"{path} has no column of steps ({', '.join(_STEP[:3])}): name one with --step.")
    of_round = None if rollouts is None else arguments.whole("rollouts", rollouts, most=65_536) * prompts
    rows = rows_of(found, column, lambda record: _step_of(record, at, path), path, of_round)
    kept, steps = list(rows.records.values()), np.array(list(rows.records), np.int64)
    scale = reward_right - reward_wrong
    share = (np.array([_number_of(record, column, path) for record in kept]) - reward_wrong) / scale
    resolution = _resolution([record.values[column] for record in kept]) / abs(scale)
    group, responses = _behind(names, kept, rollouts, prompts, path)
    behind = rounds_behind(steps, rows.marks, share, responses, resolution, form in _AVERAGED)
    return TrainingLog(
        source=str(path),
        column=column,
        step=steps,
        reward=share,
        responses=responses * behind.seen,
        rounds=behind.rounds,
        seen=behind.seen,
        looks_back=behind.looks_back,
        group=group,
        rate=_optional(names, kept, _RATE, 0.0, math.inf),
        dead=_optional(names, kept, _DEAD, 0.0, 1.0),
        resolution=resolution,
        others=tuple(name for name in names if name != column and _ALIKE.search(name) and not _OF_ANOTHER.search(name)),
        notes=(*rows.notes, *behind.notes),
    )


def _matches(names: Sequence[str], wanted: str) -> list[str]:
    """The names that are the wanted one, alone or behind a prefix; none of an evaluation."""
    found = [name for name in names if name == wanted or name.endswith((f"/{wanted}", f" - {wanted}"))]
    return [name for name in found if EVALUATIONS.isdisjoint(name.replace(" - ", "/").split("/"))]


def _chosen(names: Sequence[str], wanted: Sequence[str], option: str, path: Path) -> str | None:
    for name in wanted:
        found = _matches(names, name)
        if name in found:
            return name
        if len(found) > 1:
            raise InputError(
                f"{path} has {len(found)} columns {name} ({arguments.shown(found[0])}, {arguments.shown(found[1])}): "
                f"name one with {option}."
            )
        if found:
            return found[0]
    return None


def _named(names: Sequence[str], wanted: str, option: str, path: Path) -> str:
    if wanted not in names:
        raise InputError(
            f"{option} is {arguments.shown(wanted)}{arguments.nearest(wanted, names)}, and {path} has the columns "
            f"{_listed(names)}: give one of them."
        )
    return wanted


def _listed(names: Sequence[str]) -> str:
    return ", ".join(arguments.shown(name) for name in names[:8]) + (", ..." if len(names) > 8 else "")


def _step_of(record: Record, at: str | None, path: Path) -> int:
    value = record.step if at is None else number(record.values.get(at))
    if value is None or not (0 <= value <= _MOST_STEP and float(value).is_integer()):
        raise InputError(f"{record.place.capitalize()} of {path} has no whole step of at least 0: mend or remove it.")
    return int(value)


def _number_of(record: Record, column: str, path: Path) -> float:
    value = number(record.values[column])
    if not math.isfinite(value):
        raise InputError(
            f"{record.place.capitalize()} of {path} has {column} = {arguments.shown(record.values[column])}, no finite "
            "number: mend or remove it."
        )
    return value


def _behind(
    names: Sequence[str], kept: Sequence[Record], rollouts: int | None, prompts: int, path: Path
) -> tuple[np.ndarray, np.ndarray]:
    """(responses to one prompt, responses of a round), int64 [T] each."""
    if rollouts is not None:
        rollouts = arguments.whole("rollouts", rollouts, most=65_536)
        return np.full(len(kept), rollouts), np.full(len(kept), rollouts * prompts)
    column = _chosen(names, _ROLLOUTS, "--rollouts", path)
    if column is None:
        raise InputError(f"{path} does not say how many responses a prompt gets: give --rollouts.")
    found = []
    for record in kept:
        value = number(record.values.get(column))
        if not (1 <= value <= 2**30 and value.is_integer() and value % prompts == 0):
            raise InputError(
                f"{record.place.capitalize()} of {path} has {column} = {arguments.shown(record.values.get(column))}: "
                f"give a whole number of responses, of {prompts} {'prompt' if prompts == 1 else 'prompts'}."
            )
        found.append(int(value))
    responses = np.array(found, np.int64)
    return responses // prompts, responses


def _optional(
    names: Sequence[str], kept: Sequence[Record], wanted: Sequence[str], low: float, high: float
) -> np.ndarray | None:
    """A column that may be missing: float64 [T], or None where it is, or where one of its values is none."""
    try:
        column = _chosen(names, wanted, "", Path())
    except InputError:  # several: it is not needed
        return None
    if column is None:
        return None
    values = np.array([number(record.values.get(column)) for record in kept])
    good = np.isfinite(values) & (values >= low) & (values <= high)
    return values if good.all() else None


def _resolution(values: Sequence[Any]) -> float:
    """Half a unit of the last digit that any of them has; half of 10^-6 at least."""
    most = 0
    for value in values:
        text = str(value).strip().lower()
        mantissa, _, power = text.partition("e")
        digits = len(mantissa.partition(".")[2])
        most = max(most, digits - int(power) if power.lstrip("+-").isdigit() else digits)
    return max(0.5 * 10.0 ** -min(most, 6), 5e-7)
