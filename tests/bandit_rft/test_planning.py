"""A plan's numbers against exact laws, simulated tables and a power computed by hand."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from bandit_rft import InputError, arms, learners, plan, run, theory
from bandit_rft.cli import main
from bandit_rft.theory.compared import chain_of_decisions
from bandit_rft.theory.sequences.tree import jump_law
from tests.bandit_rft import command_line


def test_the_plan_of_one_rollout_is_the_exact_chain() -> None:
    """Of a table among 10^100 arms kappa is 1. Catches a level that is read before the update instead of after."""
    found = plan(p0=0.1, kappa=1.0, step_size=0.4, level=0.8)
    exact = theory.pg_jump_single(p0=0.1, step_size=0.4, rounds=400, kappa=1.0)
    assert found.rounds_to_level.mean == float(np.argmax(np.asarray(exact.value) >= 0.8))
    assert found.law == "tree_jump"
    assert found.pulls == found.rounds_to_level.mean


def test_a_group_s_times_are_those_of_simulated_seeds() -> None:
    """512 seeds of GRPO in groups of 4 on a needle; the mean curve's time within two rounds, and 80% of single runs
    inside the band, within four standard errors of that share."""
    found = plan(p0=0.1, kappa=1.0, signal="grpo", rollouts=4, step_size=0.3, level=0.8)
    learner = learners.SoftmaxPolicyGradient(step_size=0.3, signal="grpo", rollouts=4)
    history = run(arms.Needle(log10_arms=100, p0=0.1), learner, 120, seeds=512, key=0)
    times, low, high = found.rounds_to_level.mean, found.rounds_to_level.low, found.rounds_to_level.high
    assert times is not None
    assert low is not None
    assert high is not None
    assert abs(times - np.argmax(history.value.mean(axis=0) >= 0.8)) <= 2
    first = np.argmax(history.value >= 0.8, axis=1)
    share = ((first >= low) & (first <= high)).mean()
    assert abs(share - 0.8) < 4 * math.sqrt(0.8 * 0.2 / 512) + 0.04  # rounds are whole: the ends hold some of the mass


def test_a_run_at_two_generations_is_told_before_it_is_paid_for() -> None:
    """p = .18, G = 2: seven of ten groups are dead. By hand: .82² + .18²."""
    found = plan(p0=0.18, kappa=40.0, signal="grpo", rollouts=2, step_size=0.005)
    assert found.dead_group_probability == pytest.approx(0.82**2 + 0.18**2)
    assert found.idle_probability == pytest.approx(found.dead_group_probability)
    raw = plan(p0=0.18, kappa=40.0, rollouts=2, step_size=0.005)
    assert raw.idle_probability == pytest.approx(0.82**2)


def test_the_cheapest_costs_no_more_than_any_other() -> None:
    found = plan(p0=0.1, kappa=2.0, step_size=0.1, level=0.7)
    assert found.cheapest is not None
    for signal, rollouts in (("raw", 1), ("grpo", 2), ("grpo", 8), ("maxrl_centred", 16), ("signed", 4)):
        law = theory.pg_group(signal, 0.1, 0.1, 1, rollouts, kappa=2.0, eps=1e-6)
        assert found.cheapest.pulls <= law.mean_hitting_time(0.7) * rollouts + 1e-9


def test_the_power_is_that_of_a_z_test_on_the_laws_moments() -> None:
    found = plan(p0=0.18, kappa=1.0, step_size=0.2, level=0.7, against=("grpo", 4), seeds=3).against
    assert found is not None
    shift = abs(found.difference) * math.sqrt(3) / found.spread
    assert found.power == pytest.approx(stats.norm.sf(1.959964 - shift) + stats.norm.cdf(-1.959964 - shift), abs=1e-5)
    assert found.seeds_for_80 is not None
    alike = plan(p0=0.18, kappa=1.0, step_size=0.2, level=0.7, against=("raw", 1), seeds=4).against
    assert alike is not None
    assert alike.power == pytest.approx(0.05)
    assert alike.seeds_for_80 is None


def test_a_budget_buys_what_the_curve_says() -> None:
    found = plan(p0=0.1, kappa=1.0, step_size=0.4, level=0.8, budget=50)
    assert found.budget is not None
    exact = theory.pg_jump_single(p0=0.1, step_size=0.4, rounds=51, kappa=1.0)
    assert found.budget["mean"] == pytest.approx(float(np.asarray(exact.value)[50]), abs=1e-6)
    assert found.budget["low"] <= found.budget["mean"] <= 1


@pytest.mark.parametrize(
    "setting", [{"rollouts": 2, "window": 16}, {"rollouts": 3, "dynamic_sampling": 4}], ids=["window", "redraws"]
)
def test_windows_and_dead_groups_again_are_planned_as_seeds_run(setting: dict) -> None:
    """512 seeds of GRPO on a needle at a large step: the mean curve's time within two rounds (the plain plan is off by
    over ten), its pulls within 3%, and both ends of 80% of single runs within four standard errors and a round.
    Catches a setting that does not reach the law, and pulls of dead groups that nobody pays.
    """
    found = plan(p0=0.1, kappa=1.0, signal="grpo", step_size=0.3, level=0.8, **setting)
    plain = plan(p0=0.1, kappa=1.0, signal="grpo", step_size=0.3, level=0.8, rollouts=setting["rollouts"])
    learner = learners.SoftmaxPolicyGradient(step_size=0.3, signal="grpo", **setting)
    history = run(arms.Needle(log10_arms=100, p0=0.1), learner, 150, seeds=512, key=0)
    mean, low, high = found.rounds_to_level.mean, found.rounds_to_level.low, found.rounds_to_level.high
    assert mean is not None
    assert low is not None
    assert high is not None
    assert found.pulls is not None
    assert plain.rounds_to_level.mean is not None
    measured = int(np.argmax(history.value.mean(axis=0) >= 0.8))
    assert abs(mean - measured) <= 2
    assert plain.rounds_to_level.mean > mean + 10
    first = np.argmax(history.value >= 0.8, axis=1)
    ends = np.quantile(first, [0.1, 0.9], method="inverted_cdf")
    np.testing.assert_allclose([low, high], ends, atol=1 + first.std() / 4)
    if "window" in setting:
        assert found.pulls == 2 * mean
        assert found.idle_probability == pytest.approx(0.1**16 + 0.9**16)
        return
    drawn = history.metrics["pulls"][:, : int(mean)].sum(axis=1).mean()
    assert found.pulls == pytest.approx(drawn, rel=0.03)
    assert found.first_round_pulls == theory.dynamic_sampling_pulls(0.1, 3, 4)
    assert found.idle_probability == pytest.approx((0.1**3 + 0.9**3) ** 5)
    bought = plan(p0=0.1, kappa=1.0, signal="grpo", step_size=0.3, budget=round(found.pulls), **setting).budget
    assert bought is not None
    assert abs(bought["rounds"] - mean) <= 1


def test_rollouts_for_the_baseline_are_pulls_that_are_paid() -> None:
    """Catches a group of G + E that is learned from whole: its band is narrower."""
    found, whole = (
        plan(p0=0.1, kappa=1.0, signal="rloo", step_size=0.5, rollouts=8 - extra, baseline_rollouts=extra)
        for extra in (7, 0)
    )
    assert found.rounds_to_level.mean == pytest.approx(whole.rounds_to_level.mean, rel=0.15)
    assert found.rounds_to_level.mean is not None
    assert found.pulls == 8 * found.rounds_to_level.mean
    ends = np.array([[one.rounds_to_level.low, one.rounds_to_level.high] for one in (found, whole)], float)
    widths = np.diff(ends, axis=1)
    assert widths[0] > 1.5 * widths[1]
    assert "7 more responses per round serve the baseline alone" in found.report()


def test_the_other_design_has_neither_window_nor_redraws() -> None:
    """Against the same signal and group: what the window alone is worth."""
    found = plan(p0=0.1, kappa=1.0, signal="grpo", rollouts=2, step_size=0.3, window=16, against=("grpo", 2)).against
    assert found is not None
    assert found.difference > 0.1


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"p0": 1.2}, "p0"),
        ({"level": 0.05}, "give a level above p0"),
        ({"kappa": -1.0}, "kappa"),
        ({"step_size": 0.0}, "step_size"),
        ({"signal": "ppo"}, "ppo"),
        ({"rollouts": 0}, "rollouts"),
        ({"budget": 0}, "budget"),
        ({"window": 8}, "mean_baseline and grpo"),
        ({"signal": "grpo", "rollouts": 4, "window": 3}, "window is 3"),
        ({"signal": "grpo", "window": 8, "baseline_rollouts": 2}, "without baseline_rollouts"),
        ({"dynamic_sampling": 3}, "teaches"),
        ({"signal": "grpo", "dynamic_sampling": 3}, "at least 2 rollouts"),
        ({"tokens": 0, "p0": 1e-9}, "tokens"),  # also where the level is not reached
        ({"seeds": 3}, "give against too"),
        ({"against": "grpo"}, "against is 'grpo': give a signal and a number"),
        ({"against": ("grpo", 10**6)}, "The group of against is 1,000,000"),
        ({"rollouts": 10**6}, "rollouts is 1,000,000"),  # a thousand runs of them would not fit into memory
        ({"decisions": 10**6}, "decisions is 1,000,000"),
        ({"kappa": 1e-300}, "step_size is 0.1 and kappa is 1e-300: their product"),  # was an overflow of NumPy
        ({"kappa": 1e300, "step_size": 1e300}, "their product"),
    ],
)
def test_what_cannot_be_planned_is_refused(changed, message: str) -> None:
    with pytest.raises(InputError, match=message):
        plan(**{"p0": 0.1, "kappa": 1.0, "step_size": 0.1, **changed})


def test_runs_of_one_right_path_are_followed_once(capsys: pytest.CaptureFixture[str]) -> None:
    """All walks of successes would be the same, and 256 were followed: from p0 = .001 a plan took over 20 s of
    processor time instead of one. The mean curve is that of the exact chain. Also: long numbers are not written out."""
    law = jump_law(chain_of_decisions(0.02, 40.0), 0.005)
    assert law.success(3).shape == (1, 3)
    exact = theory.pg_jump_single(p0=0.02, step_size=0.005, rounds=800, kappa=40.0)
    found = plan(p0=0.02, kappa=40.0, step_size=0.005)
    assert found.rounds_to_level.mean == float(np.argmax(np.asarray(exact.value) >= 0.8))
    low, high = (float(law.value_quantile(q, np.array([300]))[0]) for q in (0.1, 0.9))
    assert exact.law is not None
    np.testing.assert_allclose(
        [low, high], [exact.law.value_quantile(q, np.array([300]))[0] for q in (0.1, 0.9)], atol=0.06
    )
    assert main(["plan", "--p0", "0.18", "--kappa", "1e-12", "--step-size", "1"]) == 0
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) < 150
    assert "not within the 20,000 rounds that tree_jump is followed for" in said


def test_the_command_prints_json_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["plan", "--p0", "0.18", "--kappa", "40", "--signal", "grpo", "--rollouts", "2", "--step-size", "0.005"]
    assert main([*given, "--level", "0.8", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert {"dead_group_probability", "rounds_to_level", "pulls", "law", "cheapest"} <= set(said)
    assert set(said["rounds_to_level"]) == {"mean", "low", "high"}
    assert not any(name.startswith("_") for name in said)
    assert main([*given, "--figure", str(tmp_path / "plan.png"), "--budget", "300", "--against", "raw:2"]) == 0
    assert (tmp_path / "plan.png").stat().st_size > 5000
    assert "tree_rounds" in capsys.readouterr().out
    assert main(["plan", "--p0", "2", "--kappa", "1", "--step-size", "1"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert main([*given, "--against", "grpo"]) == 2
    capsys.readouterr()
    assert main([*given, "--dynamic-sampling", "3", "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["dynamic_sampling"] == 3
    assert again["first_round_pulls"] > 2
    for wrong, word in (("--window 1", "--window is 1"), ("--window 8 --dynamic-sampling 2", "or --dynamic-sampling")):
        assert main([*given, *wrong.split()]) == 2
        said = capsys.readouterr().err
        assert word in said
        assert len(said.splitlines()) == 1
    (tmp_path / "file").touch()
    assert main([*given, "--figure", str(tmp_path / "file" / "plan.png")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_delay_costs_what_the_delayed_law_of_small_steps_says():
    """`plan` follows simulated rounds on a tree, `theory.pg_delayed` its own recursion: rounds to the level agree.

    Catches a delay that is not handed on, one counted twice or off by one, and a price against another step or signal.
    """
    level, delay, gain = 0.8, 20, 0.1
    found = plan(p0=0.1, kappa=40.0, rollouts=64, step_size=gain / 40.0, level=level, delay=delay)
    late, early = (theory.pg_delayed(0.1, gain, 400, lag).value for lag in (delay, 0))
    rounds = [int(np.argmax(curve >= level)) for curve in (late, early)]
    assert found.rounds_to_level.mean == pytest.approx(rounds[0], rel=0.03)
    assert found.undelayed == pytest.approx(rounds[1], rel=0.03)
    assert found.law == "tree_rounds"
    assert f"learned from {delay} rounds late" in found.report()
    assert found.cheapest is None
    with pytest.raises(InputError, match="delay"):
        plan(p0=0.1, kappa=40.0, step_size=0.01, delay=-1)


def test_a_figure_that_cannot_be_drawn_is_refused_before_anything_is_printed(tmp_path, capsys) -> None:
    """Half an answer on the terminal, and then exit code 2."""
    never = ["plan", "--p0", "1e-9", "--kappa", "40", "--step-size", "0.005", "--figure", str(tmp_path / "plan.png")]
    assert "is not reached" in command_line.refused(never, capsys)
    assert not list(tmp_path.iterdir())


def test_one_rollout_is_said_in_the_singular() -> None:
    assert "raw, 1 rollout per round" in plan(p0=0.18, kappa=40.0, step_size=0.005).report()


@pytest.mark.parametrize("p0", [1e-300, 1e-20, 0.5])
def test_the_mean_field_law_of_any_float_is_a_curve_without_a_warning(p0: float) -> None:
    """Steps so small that a float holds no number of rounds overflowed, and steps so large that neighbouring panels
    end at one time were a ValueError of SciPy.
    """
    for rate in (1e-100, 1e-30, 1.0, 1e30, 1e100):
        law = theory.pg_group("grpo", p0=p0, step_size=1.0, rounds=50, rollouts=4, kappa=rate)
        assert np.isfinite(law.value).all()
        assert np.isfinite(law.regret).all()
    for rate in (1e-320, 1e300):
        with pytest.raises(InputError, match="their product"):
            theory.pg_group("grpo", p0=p0, step_size=1.0, rounds=50, rollouts=4, kappa=rate)
