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
from bandit_rft.training_logs.log import TrainingLog
from bandit_rft.training_logs.reading import Record, number, records

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
_EVALUATIONS = {"eval", "val", "validation", "test"}
_MOST_STEP = 2**53
_USUAL = 0.1  # share of the ways between records from which on their common divisor is taken for the logging interval


def read_log(
    path: str | Path,
    form: str,
    *,
    rollouts: int | None = None,
    prompts: int = 1,
    reward: str | None = None,
    step: str | None = None,
) -> TrainingLog:
    """The log of one run.

    Args:
        path: the file. form: "trl", "verl", "tunix" or "csv".
        rollouts: G, responses to one prompt; None: the log's own column "rollouts", of all responses of a round.
        prompts: B, of a round.
        reward, step: names of columns; None: those of the format.

    Raises:
        InputError: a file that is no such log, or does not say what it must; one sentence.
    """
    path = Path(path)
    prompts = arguments.whole("prompts", prompts, most=1_000_000)
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
    rows, notes = _rows(found, column, at, path)
    rewards = [_number_of(record, column, path) for record in rows.values()]
    order = np.argsort(list(rows))
    steps, kept = np.array(list(rows), np.int64)[order], [list(rows.values())[place] for place in order]
    group, responses = _behind(names, kept, rollouts, prompts, path)
    rounds, seen = _rounds(steps, form in _AVERAGED)
    return TrainingLog(
        source=str(path),
        column=column,
        step=steps,
        reward=np.array(rewards)[order],
        responses=responses * seen if form in _AVERAGED else responses,
        rounds=rounds,
        seen=seen,
        looks_back=form in _AVERAGED,
        group=group,
        rate=_optional(names, kept, _RATE, 0.0, math.inf),
        dead=_optional(names, kept, _DEAD, 0.0, 1.0),
        resolution=_resolution([record.values[column] for record in kept]),
        others=tuple(name for name in names if name != column and _ALIKE.search(name) and not _OF_ANOTHER.search(name)),
        notes=tuple(notes),
    )


def _rows(found: Sequence[Record], column: str, at: str | None, path: Path) -> tuple[dict[int, Record], list[str]]:
    """(the records with a reward, by step; what was left out, in sentences).

    Raises:
        InputError: more than one reward in ten is missing.
    """
    rows: dict[int, Record] = {}
    notes, again = [], 0
    for record in found:
        if column not in record.values:
            continue
        step = _step_of(record, at, path)
        if step in rows:  # the run was resumed from there: what it had logged since is of weights that are gone
            before = len(rows)
            while rows and next(reversed(rows)) >= step:
                rows.popitem()
            rows.pop(step, None)
            again += before - len(rows)
        rows[step] = record
    if again:
        notes.append(
            f"{again} records were left out: the log goes back to an earlier step, as that of a resumed run or of a "
            "second one does, and the later records stand"
        )
    missing = [step for step, record in rows.items() if _is_missing(record.values[column])]
    if 10 * len(missing) > len(rows):
        first = rows[missing[0]]
        raise InputError(
            f"{first.place.capitalize()} of {path} has {column} = {arguments.shown(first.values[column])}, no finite "
            f"number, as {len(missing)} of its {len(rows)} records: mend or remove them."
        )
    if missing:
        notes.append(
            f"{len(missing)} records whose {column} is no number (the first at step {missing[0]}) are left out"
        )
    return {step: record for step, record in rows.items() if step not in set(missing)}, notes


def _is_missing(value: Any) -> bool:
    """Whether a trainer wrote this where it had no reward."""
    return value is None or str(value).strip().lower() in ("", "nan", "none", "null")


def _matches(names: Sequence[str], wanted: str) -> list[str]:
    """The names that are the wanted one, alone or behind a prefix; none of an evaluation."""
    found = [name for name in names if name == wanted or name.endswith((f"/{wanted}", f" - {wanted}"))]
    return [name for name in found if _EVALUATIONS.isdisjoint(name.replace(" - ", "/").split("/"))]


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
            f"{option} is {arguments.shown(wanted)}, and {path} has the columns {_listed(names)}: give one of them."
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
                f"give a whole number of responses, of {prompts} prompt(s)."
            )
        found.append(int(value))
    responses = np.array(found, np.int64)
    return responses // prompts, responses


def _rounds(steps: np.ndarray, averaged: bool) -> tuple[np.ndarray, np.ndarray]:
    """(rounds that a row stands for, rounds that its reward is the mean of), int64 [T] each."""
    gaps = np.diff(steps)
    if averaged:  # the row looks back, to the one before; a longer way than usual has a record that is missing
        sizes, times = np.unique(gaps, return_counts=True)
        usual = int(sizes[np.argmax(times)]) if gaps.size else 1
        # With many holes two ways at once may be the most frequent; the true one divides all of them.
        common = int(np.gcd.reduce(gaps)) if gaps.size else 1
        if np.mean(gaps == common) >= _USUAL:
            usual = common
        rounds = np.concatenate([[min(max(int(steps[0]), 1), usual)], gaps])
        return rounds, np.minimum(rounds, usual)
    rounds = np.concatenate([gaps, gaps[-1:] if gaps.size else [1]])
    return rounds, np.ones_like(rounds)


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
