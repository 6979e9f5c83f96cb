"""Runs the cases of the audit into a folder; what a rerun finds there already it keeps."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bandit_rft import theory
from bandit_rft.errors import InputError, SweepWarning
from bandit_rft.runs import RunFolder, now, read_json, to_json, write_atomically
from simulations.theory_audit import CASES
from simulations.theory_audit.case import Case, Measured, judge

RESULT = "audit.json"
CONFIG = {"command": "theory-audit", "key": "by the name of each case"}

# (cases done, cases in all, the newest case, its verdict)
Progress = Callable[[int, int, Case, str], None]


def audit(out: Path, *, only: Sequence[str] = (), progress: Progress | None = None) -> list[dict[str, Any]]:
    """Measure every case (of the named entries, where any are), judge it, and write `audit.json` after each.

    Returns:
        One record a case, as `record_of` makes them, in the order of the catalogue.

    Raises:
        InputError: an entry that the catalogue has not.
    """
    known = theory.catalogue()
    for name in only:
        if name not in known:
            raise InputError(f"The theory has no entry {name!r}: choose one of {', '.join(known)}.")
    chosen = [case for name in known for case in CASES if case.entry == name and (not only or name in only)]
    with RunFolder.claim(out, CONFIG) as folder:
        folder.write_manifest(started=now(), finished=None)
        target = folder.path / RESULT
        found = {(r["entry"], r["instance"]): r for r in read_json(target)["cases"]} if target.exists() else {}
        found = {(c.entry, c.instance): found[c.entry, c.instance] for c in CASES if (c.entry, c.instance) in found}
        records = []
        for done, case in enumerate(chosen, 1):
            record = found.get((case.entry, case.instance))
            if record is None or record["x"] != list(map(float, case.x)):
                record = record_of(case)
            else:
                record = record | verdict_of(case, record)  # the formula may have changed since it was measured
            found[case.entry, case.instance] = record
            records.append(record)
            write_atomically(target, to_json({"cases": list(found.values())}))
            if progress is not None:
                progress(done, len(chosen), case, record["verdict"])
        folder.amend_manifest(finished=now())
    return records


def restore(out: Path, saved: Path) -> None:
    """Make a run folder of what was measured before, from where the audit goes on with new cases alone.

    Args:
        out: the folder. saved: docs/theory-audit.json, or another file of the same form.

    Raises:
        InputError: no such file, or a folder that holds measurements already or another run.
    """
    if not saved.is_file():
        raise InputError(f"{saved} is no file: give the audit as it was saved, docs/theory-audit.json.")
    if (out / RESULT).exists():
        raise InputError(f"{out} holds measurements already: the audit goes on from them as they are.")
    started = now()
    with RunFolder.claim(out, CONFIG) as folder:
        write_atomically(folder.path / RESULT, to_json({"cases": read_json(saved)["cases"]}))
        folder.write_manifest(started=started, finished=now())


def record_of(case: Case) -> dict[str, Any]:
    """Simulate one case and judge it, as plain JSON values."""
    start = time.monotonic()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SweepWarning)  # sweeping fresh arms is what some cases are about
        measured = case.measure(case.key)
    record: dict[str, Any] = {
        "entry": case.entry,
        "instance": case.instance,
        "key": case.key,
        "x": [float(x) for x in case.x],
        "x_label": case.x_label,
        "y_label": case.y_label,
        "measured": np.asarray(measured.value, np.float64).tolist(),
        "standard_error": np.asarray(measured.standard_error, np.float64).tolist(),
        "seconds": round(time.monotonic() - start, 2),
    }
    return record | verdict_of(case, record)


def verdict_of(case: Case, record: Mapping[str, Any]) -> dict[str, Any]:
    """Predict anew, and hold it against what the record says was measured."""
    predicted = np.atleast_1d(np.asarray(case.predict(theory.catalogue()[case.entry].function), np.float64))
    measured = Measured(np.asarray(record["measured"]), np.asarray(record["standard_error"]))
    outcome = judge(predicted, measured, case.relation, case.tolerance)
    return {
        "inside": case.inside,
        "relation": case.relation,
        "tolerance": case.tolerance,
        "why": case.why,
        "predicted": predicted.tolist(),
        "holds": outcome.holds,
        "worst": outcome.worst,
        "excess": outcome.excess,
        "verdict": _verdict(case, outcome.holds),
    }


def _verdict(case: Case, holds: bool) -> str:
    if case.inside:
        return "kept" if holds else "REFUTED"
    return "holds outside too" if holds else "breaks, as it says it may"


def table(records: Sequence[Mapping[str, Any]]) -> str:
    """One line a case, at its worst point: predicted, measured with its standard error, verdict."""
    lines = [f"{'entry':28s} {'predicted':>11s} {'measured':>11s} {'± se':>9s}  verdict; instance"]
    for record in records:
        at = record["worst"]
        numbers = (record["predicted"][at], record["measured"][at], record["standard_error"][at])
        shown = [f"{'-' if number is None else format(number, '.4g'):>11s}" for number in numbers]
        lines.append(
            f"{record['entry']:28s} {shown[0]} {shown[1]} {shown[2][2:]}  {record['verdict']}; {record['instance']}"
        )
    refuted = sum(record["verdict"] == "REFUTED" for record in records)
    lines.append(f"{len(records)} cases, {refuted} refuted inside their assumptions")
    return "\n".join(lines)
