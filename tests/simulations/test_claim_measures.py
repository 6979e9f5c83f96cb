"""What claims measure, on made-up outcomes: what is not known is not certain, and few seeds are no error."""

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest

from bandit_rft.experiments import Claim, Outcome, Results, Setting, judge, judge_all
from simulations.reproduction import table
from simulations.reproduction.claims import claims, d3_exponents
from simulations.reproduction.tables import SimulationTier


def results(claim: Claim, seeds: int, curves: Callable[[Setting], np.ndarray]) -> Results:
    """Of the simulation tier: float64 [S, T], training Pass@1 of each setting."""
    tier = SimulationTier(seeds=seeds)
    found = {}
    for experiment in claim.experiments:
        for setting in experiment.settings(tier.levels):
            train = curves(setting)
            empty = np.zeros((seeds, 0))
            outcome = Outcome(train=train, evaluated=np.zeros(0, int), test=empty, p0=0.01, pulls=setting.pulls)
            found[(setting, "made up")] = outcome
    return Results(found, tier.levels)


def jumps(seeds: int, at: int, arrived: int) -> np.ndarray:
    """From .01 to 1 at a round, but for the last seeds, which stay."""
    train = np.full((seeds, 400), 0.01)
    train[:arrived, at:] = 1.0
    return train


@pytest.mark.parametrize(("arrived", "alike"), [(0, True), (16, True), (8, False)])
@pytest.mark.parametrize("name", ["D5 GRPO rounds", "D5 GRPO pulls", "D5 MaxRL rounds", "D5 MaxRL pulls", "D2 small"])
def test_seeds_that_are_alike_or_never_get_to_one_half_decide_nothing(name: str, arrived: int, alike: bool) -> None:
    """Sixteen seeds of which none, all at one round, or a half arrive. Catches an interval of width 0, and "nothing was
    learnt" that supports a claim."""
    claim = dataclasses.replace(claims()[name], expected=None)
    outcomes = results(claim, 16, lambda setting: jumps(16, 800 // (4 + setting.rollouts), arrived))
    for one in (judge(claim, outcomes).strata or {}).values():
        assert one.verdict == "underpowered"
        assert one.interval == (-math.inf, math.inf)
        assert one.effect is not None
        assert one.effect.alike == alike or arrived < 15


def test_seeds_that_come_late_bound_a_difference_from_one_side() -> None:
    """Half of the seeds of groups of two are not there when the run ends, and all of groups of 64 long before: they are
    later by an unknown number of rounds. Catches an effect thrown away, and one whose upper end is the run's length."""
    claim = claims()["D2 small"]
    draw = np.random.default_rng(0)

    def curves(setting: Setting) -> np.ndarray:
        at = draw.integers(40, 60, 16) if setting.rollouts > 8 else draw.permutation([*range(380, 388), *[400] * 8])
        return np.where(np.arange(400) < at[:, None], 0.01, 1.0)

    for one in (judge(claim, results(claim, 16, curves)).strata or {}).values():
        assert one.verdict == "refuted"
        assert one.interval is not None
        assert 1 < one.interval[0] < math.inf == one.interval[1]


def test_the_exponent_of_rounds_is_that_of_the_rollouts() -> None:
    """Rounds that go as 1/G, scattered over seeds. Catches a scale that the interval does not get."""
    claim = dataclasses.replace(claims()["D5 MaxRL rounds"], expected=None)
    draw = np.random.default_rng(0)

    def curves(setting: Setting) -> np.ndarray:
        at = 1000 // setting.rollouts + draw.integers(-5, 6, 32)
        return np.where(np.arange(400) < at[:, None], 0.01, 1.0)

    (one,) = {one.verdict for one in (judge(claim, results(claim, 32, curves)).strata or {}).values()}
    assert one == "equivalent"


@pytest.mark.parametrize(("seeds", "units"), [(2, 1), (8, 4), (20, 10), (64, 16)])
def test_few_seeds_make_fewer_blocks(seeds: int, units: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches blocks of one seed, which have no spread, and empty ones, which have no curve."""
    monkeypatch.setattr(d3_exponents, "from_theory", lambda condition, rounds: 3.0)
    middle = np.random.default_rng(1).uniform(20, 60, (seeds, 1))
    made = 1 / (1 + (middle / np.maximum(np.arange(200), 1e-9)) ** 3)
    spread, fitted = claims()["A2 training"], claims()["D3"]
    assert {one.units for one in spread.measure(results(spread, seeds, lambda _: made)).values()} == {units}
    found = fitted.measure(results(fitted, seeds, lambda _: made))
    assert {one.units for one in found.values()} == {min(16, seeds)}
    assert all(abs(one.value) < 0.2 for one in found.values())


def test_what_cannot_be_measured_leaves_the_other_claims_their_verdicts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Curves that never rise: D3 has no sigmoid. Catches one claim that takes the whole table with it."""
    monkeypatch.setattr(d3_exponents, "from_theory", lambda condition, rounds: 3.0)
    both = [claims()["D3"], claims()["A1 training"]]
    held = [results(claim, 8, lambda _: np.full((8, 50), 0.25)) for claim in both]
    found = judge_all(both, Results({key: value for one in held for key, value in one._found.items()}, held[0]._levels))
    assert found["A1 training"].verdict == "refuted"
    assert found["D3"].verdict == "untested"
    assert "no unit with a finite number" in (found["D3"].reason or "")
    told = {"id": "D3", "statement": "So.", "source": "us", "effect": "it", "direction": "within", "margin": 0.2}
    record = {"tier": "made up", "seeds": 8, "rounds": 50, "claims": [{**told, **found["D3"].to_json()}]}
    assert "**untested** (An effect got no unit" in table.markdown([record])
