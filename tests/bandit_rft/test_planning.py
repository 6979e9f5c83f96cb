"""A plan's numbers against exact laws, simulated tables, and tests and signals that are counted by hand."""

import itertools
import json
import math
import warnings
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from bandit_rft import InputError, arms, learners, plan, run, signals, theory
from bandit_rft.cli import main
from bandit_rft.regret.power import Design, power, seeds_for
from bandit_rft.theory.compared import chain_of_decisions
from bandit_rft.theory.laws.tree_round import idle_probability
from bandit_rft.theory.sequences.tree import jump_law
from bandit_rft.theory.update_settings import UpdateSettings
from tests.bandit_rft import command_line


def test_the_plan_of_one_rollout_is_the_exact_chain() -> None:
    """Of a table among 10^100 arms kappa is 1. Catches a level that is read before the update instead of after."""
    found = plan(p0=0.1, kappa=1.0, step_size=0.4, level=0.8)
    exact = theory.pg_jump_single(p0=0.1, step_size=0.4, rounds=400, kappa=1.0)
    assert found.rounds_to_level.mean == pytest.approx(exact.mean_hitting_time(0.8))
    assert found.mean_curve == float(np.argmax(np.asarray(exact.value) >= 0.8))
    assert (found.law, found.reached) == ("tree_jump", 1.0)
    assert found.pulls == found.rounds_to_level.mean


def test_the_mean_is_that_of_single_runs_and_not_of_their_mean_curve() -> None:
    """20,000 chains drawn by NumPy, whose mean curve is at the level after 528 rounds, beyond the band; the mean within
    five standard errors, the ends within 3%."""
    found = plan(p0=0.01, kappa=40.0, step_size=0.0125, level=0.95)
    generator, logit, times = np.random.default_rng(0), math.log(0.01 / 0.99), np.zeros(20_000)
    while (p := 1 / (1 + math.exp(-logit))) < 0.95:
        times += generator.geometric(p, times.size)
        logit += 0.5 * (1 - p)
    assert found.rounds_to_level.mean == pytest.approx(times.mean(), abs=5 * times.std() / math.sqrt(times.size))
    low, high = np.quantile(times, [0.1, 0.9])
    assert (found.rounds_to_level.low, found.rounds_to_level.high) == pytest.approx((low, high), rel=0.03)
    assert found.mean_curve is not None
    assert found.mean_curve > high
    assert "316 in the mean, single runs 182 to 481 (80%; tree_jump); their mean curve: 528" in found.report()


def test_waits_of_any_length_are_summed() -> None:
    """Beyond the 20,000 rounds for which the mean curve is followed: mean and band as `pg_jump_single` has them."""
    found, exact = plan(p0=1e-9, kappa=40.0, step_size=0.25), theory.pg_jump_single(1e-9, 0.25, 10, kappa=40.0)
    times = found.rounds_to_level
    assert times.mean == pytest.approx(exact.mean_hitting_time(0.8))
    ends = [exact.hitting_time_quantile(0.8, q) for q in (0.1, 0.9)]
    assert [times.low, times.high] == pytest.approx(ends, rel=0.04)
    assert found.mean_curve is None
    assert "not reached" not in found.report().splitlines()[2]


def test_the_share_that_arrives_and_its_quantiles_are_told() -> None:
    """At so large a step the first success nearly makes the run: within 4,096 rounds of two it has come with the
    probability below, four standard errors of 1,024 runs. The mean curve stays under the level all the while."""
    found = plan(p0=1e-4, kappa=40.0, signal="maxrl", rollouts=2, step_size=0.25)
    share = 1 - (1 - 1e-4) ** (2 * 4096)
    assert found.reached == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / 1024))
    assert found.rounds_to_level.low == pytest.approx(-math.log(0.9) / 2e-4, rel=0.4)  # of 102 runs
    assert (found.rounds_to_level.mean, found.rounds_to_level.high, found.pulls, found.mean_curve) == (None,) * 4
    assert f"reached by {found.reached:.1%} of runs, the others not within the 4,096 rounds" in found.report()


def test_a_group_s_times_are_those_of_simulated_seeds() -> None:
    """512 seeds of GRPO in groups of 4 on a needle; the mean curve's time within two rounds, the mean of single runs
    within five standard errors, and 80% of them inside the band, within four standard errors of that share."""
    found = plan(p0=0.1, kappa=1.0, signal="grpo", rollouts=4, step_size=0.3, level=0.8)
    learner = learners.SoftmaxPolicyGradient(step_size=0.3, signal="grpo", rollouts=4)
    history = run(arms.Needle(log10_arms=100, p0=0.1), learner, 120, seeds=512, key=0)
    low, high = found.rounds_to_level.low, found.rounds_to_level.high
    assert low is not None
    assert high is not None
    assert found.mean_curve is not None
    assert abs(found.mean_curve - np.argmax(history.value.mean(axis=0) >= 0.8)) <= 2
    first = np.argmax(history.value >= 0.8, axis=1)
    error = first.std() * math.sqrt(1 / 512 + 1 / 1024)  # of both simulations
    assert found.rounds_to_level.mean == pytest.approx(first.mean(), abs=5 * error)
    share = ((first >= low) & (first <= high)).mean()
    assert abs(share - 0.8) < 4 * math.sqrt(0.8 * 0.2 / 512) + 0.04  # rounds are whole: the ends hold some of the mass


def test_a_run_at_two_generations_is_told_before_it_is_paid_for() -> None:
    """p = .18, G = 2: seven of ten groups are dead. By hand: .82² + .18²."""
    found = plan(p0=0.18, kappa=40.0, signal="grpo", rollouts=2, step_size=0.005)
    assert found.dead_group_probability == pytest.approx(0.82**2 + 0.18**2)
    assert found.idle_probability == pytest.approx(found.dead_group_probability)
    raw = plan(p0=0.18, kappa=40.0, rollouts=2, step_size=0.005)
    assert raw.idle_probability == pytest.approx(0.82**2)


@pytest.mark.parametrize("learned", [1, 2, 3])
@pytest.mark.parametrize("extra", [0, 2])
@pytest.mark.parametrize("signal", signals.NAMES)
def test_idle_rounds_are_those_whose_signals_are_all_zero(signal: str, learned: int, extra: int) -> None:
    """Every reward vector is counted, by the signal itself. Groups of one are not like larger ones: rloo's and grpo's
    signal there is the reward."""
    p, found = 0.3, 0.0
    for rewards in itertools.product((0.0, 1.0), repeat=learned + extra):
        given = np.asarray(signals.make(signal)(jnp.asarray(rewards, jnp.float32)))[:learned]
        found += math.prod(p if reward else 1 - p for reward in rewards) * (not given.any())
    settings = UpdateSettings(step_size=1.0, signal=signal, rollouts=learned, extra_rollouts=extra, eps=1e-6)
    assert idle_probability(settings, p) == pytest.approx(found, abs=1e-12)


def test_a_window_of_one_score_never_teaches() -> None:
    """And one of three is idle where all of its scores are equal; drawn again, twice in a row."""
    one = UpdateSettings(step_size=1.0, signal="grpo", window=1)
    assert idle_probability(one, 0.18) == 1.0
    three = UpdateSettings(step_size=1.0, signal="mean_baseline", rollouts=2, window=3)
    assert idle_probability(three, 0.3) == pytest.approx(0.3**3 + 0.7**3)
    again = UpdateSettings(step_size=1.0, signal="grpo", rollouts=3, dynamic_sampling=1)
    assert idle_probability(again, 0.3) == pytest.approx((0.3**3 + 0.7**3) ** 2)


@pytest.mark.parametrize(
    ("design", "others"),
    [
        (
            {"p0": 0.1, "kappa": 2.0, "step_size": 0.1, "level": 0.7},
            [("raw", 1), ("grpo", 2), ("maxrl_centred", 16), ("signed", 4), ("nsr", 1)],
        ),
        # Of one decision a push away from wrong responses would halve the responses; of eight, some runs die of it.
        ({"p0": 0.1, "kappa": 40.0, "step_size": 0.0125, "decisions": 8}, [("raw", 1)]),
        # The mean-field law takes the wait for a success, 1/p0 rounds, for a single round.
        ({"p0": 0.18, "kappa": 1e5, "step_size": 1.0}, [("raw", 1), ("maxrl", 2)]),
        ({"kappa": 1.0, "p0": 0.5, "step_size": 0.0125, "tree": chain_of_decisions(0.1, 40.0, 4)}, [("raw", 1)]),
    ],
    ids=["one decision", "eight decisions", "one step", "tree"],
)
def test_the_cheapest_is_what_its_own_plan_says_and_no_dearer_than_others(design: dict, others: list) -> None:
    """Catches a cheapest by another law than the plan's, or without the decisions and the tree."""
    plans = {other: plan(**design, signal=other[0], rollouts=other[1]) for other in others}
    best = plans["raw", 1].cheapest
    assert best is not None
    own = plans.get((best.signal, best.rollouts)) or plan(**design, signal=best.signal, rollouts=best.rollouts)
    assert (own.rounds_to_level.mean, own.pulls, own.law) == (best.rounds, best.pulls, best.law)
    for found in plans.values():
        assert found.pulls is None or best.pulls <= found.pulls


@pytest.mark.parametrize(
    ("p0", "gain", "level", "other", "seeds"),
    [(0.18, 0.2, 0.8, ("grpo", 8), 3), (0.05, 10.0, 0.5, ("grpo", 2), 20)],
    ids=["near the level", "runs at both ends"],
)
def test_the_power_is_that_of_welchs_test_on_new_runs(p0, gain, level, other, seeds) -> None:
    """8,192 tests by SciPy on runs that the plan has not seen, moved so that their means differ as the plan says.

    Within .04: these tests' own error is .005, and that of 1,024 runs' shape a few times as much. A z test of known
    spread would say .96 for the first.
    """
    found = plan(p0=p0, kappa=1.0, step_size=gain, level=level, against=other, seeds=seeds).against
    assert found is not None
    at, generator = np.array([found.round]), np.random.default_rng(1)
    tree = chain_of_decisions(p0, 1.0)
    one = theory.tree_jump(tree, gain, found.round + 1).law
    two = theory.tree_rounds(tree, gain, found.round + 1, *other, eps=1e-6).law
    assert one is not None
    assert two is not None
    runs = [law.sample(generator, 1024, at).value[:, 0] for law in (one, two)]
    centred = (runs[0] - runs[0].mean() + found.difference, runs[1] - runs[1].mean())
    drawn = [generator.choice(some, (8192, seeds)) for some in centred]
    with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):  # seeds that are all alike
        _, chance = stats.ttest_ind(*drawn, axis=1, equal_var=False)
    power = (np.asarray(chance) < 0.05).mean()
    assert found.power == pytest.approx(power, abs=0.04)
    assert "Welch" in found.test


def test_so_many_seeds_have_the_power_that_is_wanted() -> None:
    """One seed fewer has less; the few drawn and the many of normal means meet; and alike designs are never told
    apart."""
    generator = np.random.default_rng(0)
    one, two = (Design(mean, 1.0, generator.exponential(size=4096)) for mean in (0.0, 0.49))
    needed = seeds_for(one, two, 0.8)
    assert needed is not None
    assert power(one, two, needed) >= 0.8 > power(one, two, needed - 1)
    assert power(one, two, 64) == pytest.approx(power(one, two, 65), abs=0.03)
    assert needed == pytest.approx(2 * ((1.96 + 0.84) / 0.49) ** 2, abs=4)  # by hand, of a z test
    assert seeds_for(one, one, 0.8) is None
    assert power(one, one, 10) < 0.07
    still = Design(0.5, 0.0, np.full(16, 0.5))
    assert (power(still, still, 3), power(still, still._replace(mean=0.6), 3)) == (0.0, 1.0)


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
    over ten), pulls to the level within 3%, both ends of 80% of single runs within four standard errors and a round.
    Catches a setting that does not reach the law, and pulls of dead groups that nobody pays.
    """
    found = plan(p0=0.1, kappa=1.0, signal="grpo", step_size=0.3, level=0.8, **setting)
    plain = plan(p0=0.1, kappa=1.0, signal="grpo", step_size=0.3, level=0.8, rollouts=setting["rollouts"])
    learner = learners.SoftmaxPolicyGradient(step_size=0.3, signal="grpo", **setting)
    history = run(arms.Needle(log10_arms=100, p0=0.1), learner, 150, seeds=512, key=0)
    mean, low, high = found.mean_curve, found.rounds_to_level.low, found.rounds_to_level.high
    assert mean is not None
    assert low is not None
    assert high is not None
    assert found.pulls is not None
    assert plain.mean_curve is not None
    measured = int(np.argmax(history.value.mean(axis=0) >= 0.8))
    assert abs(mean - measured) <= 2
    assert plain.mean_curve > mean + 10
    first = np.argmax(history.value >= 0.8, axis=1)
    ends = np.quantile(first, [0.1, 0.9], method="inverted_cdf")
    np.testing.assert_allclose([low, high], ends, atol=1 + first.std() / 4)
    if "window" in setting:
        assert found.rounds_to_level.mean is not None
        assert found.pulls == 2 * found.rounds_to_level.mean
        assert found.idle_probability == pytest.approx(0.1**16 + 0.9**16)
        return
    drawn = (history.metrics["pulls"] * (np.arange(150) < first[:, None])).sum(axis=1)
    assert found.pulls == pytest.approx(drawn.mean(), rel=0.03)
    assert found.first_round_pulls == theory.dynamic_sampling_pulls(0.1, 3, 4)
    assert found.idle_probability == pytest.approx((0.1**3 + 0.9**3) ** 5)
    bought = plan(p0=0.1, kappa=1.0, signal="grpo", step_size=0.3, budget=round(found.pulls), **setting).budget
    assert bought is not None
    assert found.rounds_to_level.mean == pytest.approx(bought["rounds"], abs=2)


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
        ({"seeds": 1, "against": ("grpo", 8)}, "seeds is 1: give a whole number of at least 2"),  # one has no spread
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
    assert found.mean_curve == float(np.argmax(np.asarray(exact.value) >= 0.8))
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
