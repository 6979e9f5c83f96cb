"""Which records of a log are the rows of its curve: those of training, each step once, of the run that stands last."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from bandit_rft import arguments
from bandit_rft.errors import InputError
from bandit_rft.training_logs.reading import Record, number

__all__ = ["EVALUATIONS", "Rows", "rows_of"]

EVALUATIONS = {"eval", "evaluation", "val", "valid", "validation", "dev", "test"}
_TRAINING = {"train", "training"}
_MISSING = ("", "nan", "none", "null")  # what trainers write where they have no reward


class Rows(NamedTuple):
    """The rows of a curve, by rising step.

    Attributes:
        records: with a reward each, by step.
        marks: steps of all records of training, those without a reward too.
        notes: what was left out, in sentences.
    """

    records: dict[int, Record]
    marks: list[int]
    notes: list[str]


def rows_of(
    found: Sequence[Record],
    column: str,
    step_of: Callable[[Record], int],
    path: Path,
    responses: int | None = None,
) -> Rows:
    """The rows with a reward in this column.

    Args:
        found: all records, as they stand in the file.
        column: of the reward.
        step_of: a record's step; raises InputError where it has none.
        path: of the file.
        responses: of a round, where they are known: so many rows of one step are its responses.

    Raises:
        InputError: several rows of one step, or more than one reward in ten is missing.
    """
    notes: list[str] = []
    found = _of_training(found, notes)
    kept = [(step_of(record), record) for record in found if column in record.values]
    steps = [step for step, _ in kept]
    if all(later <= earlier for earlier, later in pairwise(steps)) and steps[0] > steps[-1]:
        kept.reverse()  # exported with the last round first
    kept = _last_run(kept, notes)
    records = _missing_left_out(_each_once(kept, column, path, responses, notes), column, path, notes)
    return Rows(dict(sorted(records.items())), _marks(found, column, step_of, records), notes)


def _of_training(found: Sequence[Record], notes: list[str]) -> Sequence[Record]:
    """Those of training, where a column says of each which it is of."""
    for name in dict.fromkeys(name for record in found for name in record.values):
        said = [str(record.values.get(name, "train")).strip().lower() for record in found]
        held_out = sum(value in EVALUATIONS for value in said)
        if 0 < held_out < len(found) and set(said) <= EVALUATIONS | _TRAINING:
            notes.append(f"{_left_out(held_out)}: the column {name} says that it is of evaluations")
            found = [record for record, value in zip(found, said, strict=True) if value not in EVALUATIONS]
    return found


def _last_run(kept: list[tuple[int, Record]], notes: list[str]) -> list[tuple[int, Record]]:
    """Where the log goes back to an earlier step, what it had logged from there on is of weights that are gone."""
    last: list[tuple[int, Record]] = []
    for step, record in kept:
        if last and step < last[-1][0]:
            while last and last[-1][0] >= step:
                last.pop()
        last.append((step, record))
    if len(last) < len(kept):
        notes.append(
            f"{_left_out(len(kept) - len(last))}: the log goes back to an earlier step, as that of a resumed run or of "
            "a second one does, and the later records stand"
        )
    return last


def _each_once(
    kept: list[tuple[int, Record]], column: str, path: Path, responses: int | None, notes: list[str]
) -> dict[int, Record]:
    """One record a step.

    Raises:
        InputError: several, and they are not the responses of a round.
    """
    of_step: dict[int, list[Record]] = {}
    for step, record in kept:
        of_step.setdefault(step, []).append(record)
    again = [step for step, records in of_step.items() if len(records) > 1]
    if not again:
        return dict(kept)
    if responses is not None and all(len(records) == responses for records in of_step.values()):
        notes.append(f"the log has {responses} rows of each step, one of each response: their mean is judged")
        return {step: _mean(records, column) for step, records in of_step.items()}
    step, times = again[0], len(of_step[again[0]])
    first, *_, last = of_step[step]
    if len(again) == 1 and times == 2 and _words(first) == _words(last):  # killed behind a step, resumed before it
        notes.append(
            f"{_left_out(1)}: step {step} stands twice, as in the log of a resumed run, and the later record stands"
        )
        return dict(kept)
    of_each = "" if responses is None else f" (or {responses} rows of every step, one of each response)"
    raise InputError(
        f"{path} has {times} rows of step {step} ({first.place} and {last.place}): keep one row a step, of training, "
        f"with the mean reward of its responses{of_each}, or name another column with --step."
    )


def _mean(records: list[Record], column: str) -> Record:
    rewards = [number(record.values[column]) for record in records]
    return Record(records[0].place, {**records[0].values, column: sum(rewards) / len(rewards)}, records[0].step)


def _left_out(number: int) -> str:
    return "1 record was left out" if number == 1 else f"{number} records were left out"


def _words(record: Record) -> dict[str, Any]:
    return {name: value for name, value in record.values.items() if math.isnan(number(value))}


def _missing_left_out(records: dict[int, Record], column: str, path: Path, notes: list[str]) -> dict[int, Record]:
    missing = [step for step, record in records.items() if _is_missing(record.values[column])]
    if 10 * len(missing) > len(records):
        first = records[missing[0]]
        raise InputError(
            f"{first.place.capitalize()} of {path} has {column} = {arguments.shown(first.values[column])}, no finite "
            f"number, as {len(missing)} of its {len(records)} records: mend or remove them."
        )
    if missing:
        notes.append(f"{_left_out(len(missing))}, in which {column} is no number (the first at step {missing[0]})")
    return {step: record for step, record in records.items() if step not in set(missing)}


def _is_missing(value: Any) -> bool:
    return value is None or str(value).strip().lower() in _MISSING


def _marks(
    found: Sequence[Record], column: str, step_of: Callable[[Record], int], records: dict[int, Record]
) -> list[int]:
    """Steps of all records of training between the first and the last of the curve."""
    marks = set(records)
    for record in found:
        own = column not in record.values and not any(
            name.startswith(("eval", "train_runtime")) for name in record.values
        )
        if own:
            try:
                step = step_of(record)
            except InputError:  # of something else
                continue
            if records and min(records) < step < max(records):
                marks.add(step)
    return sorted(marks)
