"""Simulations give the numbers that they gave when the tables were written, on whatever platform this runs.

Catches a change of any learner, arm set, draw or key that nobody meant, and arithmetic that differs between processors
by more than rounding. Where a change is meant, `python -m simulations.golden_tables --write` writes the tables anew.
"""

from typing import Any

import pytest

from simulations import golden_tables

GOLDEN: dict[str, Any] = golden_tables.written()["tables"]
# One of each kind of arithmetic; the rest takes minutes.
SOON = {
    "SoftmaxPolicyGradient, Needle",
    "SoftmaxPolicyGradient, TokenSequences",
    "EXP3, Bernoulli",
    "KLUCB, Bernoulli",
    "ThompsonBeta, Classes",
    "ThompsonGaussian, Gaussian",
    "UCB1, Drifting",
    "LinTS, LinearContexts",
}


def test_every_pair_has_a_table() -> None:
    assert set(GOLDEN) == {f"{learner}, {arm_set}" for learner, arm_set in golden_tables.pairs()}
    assert set(GOLDEN) >= SOON


@pytest.mark.parametrize("name", [n if n in SOON else pytest.param(n, marks=pytest.mark.slow) for n in GOLDEN])
def test_the_numbers_are_those_of_the_table(name: str) -> None:
    here = golden_tables.table_of(*name.split(", "))
    assert golden_tables.compared(here, GOLDEN[name]) != "different", (here, GOLDEN[name])


def test_a_reward_more_or_a_value_that_moved_is_told() -> None:
    """The comparison can fail: it would let nothing pass that is more than rounding."""
    table = GOLDEN["SoftmaxPolicyGradient, Needle"]
    moved = {**table, "digest": 0}
    assert golden_tables.compared(moved, table) == "equal"
    more = {**moved, "rewards": [table["rewards"][0] + 1, *table["rewards"][1:]]}
    assert golden_tables.compared(more, table) == "different"
    assert golden_tables.compared({**moved, "values": [v * (1 + 1e-6) for v in table["values"]]}, table) == "different"
