"""The audit of the theory: complete, and able to fail.

Measurements are those of docs/theory-audit.json, which `bandit-rft simulate theory-audit` made; the formulas are
evaluated here. Catches a formula edited into a wrong one (the verdicts change), an entry without a simulation, and an
audit so lax that a constant off by a fifth would pass it.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bandit_rft import theory
from simulations.theory_audit import CASES, Case, Measured, judge
from tests.simulations.mutation import mutants
from tests.simulations.unnoticed import UNNOTICED

AUDIT = Path(os.environ.get("THEORY_AUDIT", Path(__file__).parents[2] / "docs" / "theory-audit.json"))
RECORDS = {(r["entry"], r["instance"]): r for r in json.loads(AUDIT.read_text())["cases"]}
NAMES = list(theory.catalogue())


def measured_in(case: Case) -> Measured:
    record = RECORDS[case.entry, case.instance]
    return Measured(np.asarray(record["measured"]), np.asarray(record["standard_error"]))


def inside(name: str) -> list[Case]:
    return [case for case in CASES if case.entry == name and case.inside]


def notices(case: Case, function: Callable[..., Any]) -> bool:
    """Whether the case refuses this form of the formula; an error is a refusal."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            predicted = case.predict(function)
            return not judge(predicted, measured_in(case), case.relation, case.tolerance).holds
    except Exception:
        return True


def excused(name: str, text: str) -> bool:
    """Whether `UNNOTICED` names this literal, for every entry or for this one."""
    for key in UNNOTICED:
        entry, colon, part = key.partition(": ")
        if (entry == name and part in text) if colon and entry in NAMES else key in text:
            return True
    return False


def test_every_case_has_its_measurement_and_no_other_is_kept() -> None:
    assert {(case.entry, case.instance) for case in CASES} == set(RECORDS)
    assert len(CASES) == len(RECORDS)


@pytest.mark.parametrize("name", NAMES)
def test_verdicts_are_those_written_down(name: str) -> None:
    cases = [case for case in CASES if case.entry == name]
    assert inside(name), f"{name} has no case inside its assumptions"
    for case in cases:
        record = RECORDS[case.entry, case.instance]
        predicted = np.atleast_1d(case.predict(theory.catalogue()[name].function))
        np.testing.assert_allclose(predicted, [np.inf if v is None else v for v in record["predicted"]], rtol=1e-9)
        outcome = judge(predicted, measured_in(case), case.relation, case.tolerance)
        assert outcome.holds == record["holds"], case.instance


@pytest.mark.parametrize("name", NAMES)
def test_a_changed_constant_is_noticed(name: str) -> None:
    """For predictions and quantities: each literal times 1.2 is refused by some case inside the assumptions."""
    function = theory.catalogue()[name].function
    cases = [case for case in inside(name) if RECORDS[case.entry, case.instance]["holds"]]
    assert cases, "refuted as it stands: a changed constant cannot be told from the published one"
    survivors = [
        f"{mutant.where}: {mutant.text}"
        for mutant in mutants(function)
        if not any(notices(case, mutant.function) for case in cases) and not excused(name, mutant.text)
    ]
    assert not survivors, "\n".join(survivors)


def can_be_tightened(case: Case) -> bool:
    """Whether a finite bound stands beside something measured above 0: below 0 no lower bound can be too high."""
    record = RECORDS[case.entry, case.instance]
    return record["holds"] and None not in record["predicted"] and min(record["measured"]) > 0


@pytest.mark.parametrize(
    "case",
    [case for case in CASES if case.relation != "equal" and case.inside and can_be_tightened(case)],
    ids=lambda case: f"{case.entry}, {case.instance}",
)
def test_a_bound_is_violated_when_divided_by_its_slack(case: Case) -> None:
    """The audit refuses a bound that is too tight: catches a comparison that cannot fail."""
    measured = measured_in(case)
    sign = 1 if case.relation == "upper" else -1
    too_tight = (measured.value - 4 * sign * measured.standard_error) * (1 - 0.001 * sign)
    assert not judge(too_tight, measured, case.relation, 0.0).holds


@pytest.mark.parametrize(
    ("relation", "value", "holds"),
    [
        ("equal", 1.2, False),
        ("equal", 1.03, True),
        ("upper", 0.9, False),
        ("upper", 1.1, True),
        ("upper", 0.98, True),
        ("lower", 1.1, False),
        ("lower", 0.9, True),
    ],
)
def test_judge(relation: str, value: float, holds: bool) -> None:
    measured = Measured(np.ones(3), np.full(3, 0.01))
    assert judge(np.array([1.0, value, 1.0]), measured, relation, 0.0).holds == holds


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.entry}, {case.instance}")
def test_measurements_are_reproduced(case: Case) -> None:
    """The key is the case's name: the same numbers come again, to rounding."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        again = case.measure(case.key)
    before = measured_in(case)
    np.testing.assert_allclose(again.value, before.value, rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(again.standard_error, before.standard_error, rtol=1e-5, atol=1e-12)
