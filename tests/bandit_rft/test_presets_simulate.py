"""Simulations end to end: the run folder, its repetition, and the theory that is held against each."""

import json
from pathlib import Path

import numpy as np
import pytest

from bandit_rft import History
from bandit_rft.errors import InputError, RowCapacityError
from bandit_rft.presets.config import Simulation, read
from bandit_rft.presets.named import preset
from bandit_rft.presets.simulate import predict, simulate

SMALL = {"rounds": 60, "seeds": 64}


@pytest.mark.parametrize(("name", "theory"), [("needle", "pg_jump_single"), ("explore", "explore_until_success")])
def test_the_run_agrees_with_the_theory_that_applies(tmp_path: Path, name: str, theory: str) -> None:
    """False-alarm rate 0.01 each at this fixed key; a law held against the wrong arms or learner is off by far more."""
    outcome = simulate(preset(name, **SMALL), tmp_path / "run")
    assert outcome.prediction is not None
    assert outcome.prediction.name == theory
    assert outcome.verdict is not None
    assert outcome.verdict.agrees, outcome.verdict.report()
    assert "AGREES" in outcome.summary()
    assert outcome.summary().startswith(f"{name}: 60 rounds of 1 pull, 64 seeds\n")


def test_the_prediction_depends_on_what_is_simulated() -> None:
    """Catches an overlay that ignores the settings: a step twice as long must be predicted to learn faster."""
    slow, _ = predict(preset("needle", **SMALL))
    fast, _ = predict(preset("needle", **SMALL).with_settings(["step_size=1.0"]))
    without, _ = predict(preset("explore", **SMALL).with_settings(["replacement=false", "p0=none", "log10_arms=2"]))
    assert slow is not None
    assert fast is not None
    assert without is not None
    assert fast.value[-1] > slow.value[-1] + 0.1
    # Without replacement among 100 arms the needle is found within 100 rounds: share found after t rounds is t/100.
    np.testing.assert_allclose(without.value[30], 30 / 100 + 70 / 100 * 1 / 70, rtol=1e-9)


@pytest.mark.parametrize("name", ["grpo", "ucb1", "thompson"])
def test_where_no_exact_law_applies_the_reason_is_said(name: str) -> None:
    prediction, why_not = predict(preset(name))
    assert prediction is None
    assert why_not


def test_the_bounds_that_exist_for_a_learner_are_held_against_its_run(tmp_path: Path) -> None:
    """Catches "no prediction" for UCB1, whose bounds the catalogue has, and a bound that is vacuous and "agrees"."""
    long = simulate(preset("ucb1", seeds=8), tmp_path / "long").summary()
    assert "AGREES with ucb1_bound" in long
    assert "NOT TESTED: lai_robbins" in long
    assert "no prediction" not in long
    short = simulate(preset("ucb1", **SMALL), tmp_path / "short").summary()
    assert "NOT TESTED: ucb1_bound" in short
    assert "AGREES" not in short


def test_a_saved_configuration_repeats_the_run_bit_by_bit(tmp_path: Path) -> None:
    config = preset("thompson", rounds=40, seeds=4)
    first = simulate(config, tmp_path / "a")
    simulate(read(tmp_path / "a" / "config.json"), tmp_path / "b")
    again = History.load(tmp_path / "b" / "history.npz")
    np.testing.assert_array_equal(first.history.rewards, again.rewards)
    np.testing.assert_array_equal(first.history.value, again.value)
    manifest = json.loads((tmp_path / "b" / "manifest.json").read_text())
    assert manifest["key"] == 0
    assert manifest["versions"]["jax"]


def test_a_refused_simulation_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"rounds.* 0"):
        simulate(preset("needle", rounds=0), tmp_path / "run")
    wrong = {"type": "Needle", "log10_arms": 1, "p0": 2.0}
    with pytest.raises(InputError, match="p0 is 2"):
        simulate(preset("ucb1", arms=wrong, rounds=20, seeds=2), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_single_seed_is_summarised_without_a_band(tmp_path: Path) -> None:
    assert "(one seed)" in simulate(preset("ucb1", rounds=20, seeds=1), tmp_path / "run").summary()


def test_what_was_simulated_before_an_overflow_is_kept(tmp_path: Path) -> None:
    """UCB1 touches an arm a round: ten rows hold one row of untouched arms, one of the needle, and eight pulls."""
    config = Simulation(
        name="short",
        arms={"type": "Needle", "log10_arms": 3},
        learner={"type": "UCB1"},
        rounds=30,
        seeds=4,
        row_capacity=10,
    )
    with pytest.raises(RowCapacityError):
        simulate(config, tmp_path / "run")
    assert History.load(tmp_path / "run" / "history.partial.npz").rounds == 8
    assert not (tmp_path / "run" / "history.npz").exists()
