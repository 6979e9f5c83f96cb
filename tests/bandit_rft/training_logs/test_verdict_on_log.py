"""The verdict on logs of runs where the law holds, and of runs where one assumption is broken on purpose."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bandit_rft import InputError, theory, verdict_on_log
from bandit_rft.cli import main
from bandit_rft.theory.compared import chain_of_decisions
from bandit_rft.training_logs import TrainingLog, judge, read_log
from bandit_rft.training_logs.assumptions import _dead, _rises, holm
from bandit_rft.training_logs.assumptions import tested as assumptions_of
from bandit_rft.training_logs.fitting import fit
from bandit_rft.training_logs.following import Follower, Parameters, Signal
from tests.bandit_rft import run_folders
from tests.bandit_rft.training_logs import simulated

REAL = Path(__file__).resolve().parents[3] / "examples" / "trainer_state.json"


def blank(rounds: int, responses: int, group: int) -> TrainingLog:
    one = np.ones(rounds, np.int64)
    return TrainingLog(
        source="log",
        column="reward",
        step=np.arange(rounds),
        reward=np.zeros(rounds),
        responses=one * responses,
        rounds=one,
        seen=one,
        group=one * group,
    )


def log_of(rewards: np.ndarray, prompts: int = 1) -> TrainingLog:
    rounds, responses = rewards.shape
    return replace(blank(rounds, responses, responses // prompts), reward=rewards.mean(axis=1))


@pytest.mark.parametrize(("signal", "group"), [("raw", 1), ("grpo", 8), ("signed", 4), ("maxrl", 4), ("nsr", 2)])
def test_runs_drawn_from_the_followed_law_have_the_mean_curve_of_the_catalogue(signal, group) -> None:
    """An independent implementation: the tree of one decision. 4000 runs against 1024; fails by chance in 10^-4."""
    rounds, runs = 40, 4000
    follower = Follower(blank(rounds, group, group), Signal(signal))
    start = np.full(runs, np.log(0.1 / 0.9))
    drawn = follower.drawn(Parameters.plain(start, np.full(runs, 0.3)), np.random.default_rng(0))
    tree = chain_of_decisions(0.1, 1.0)
    if signal == "raw":
        law = theory.tree_jump(tree, 0.3, rounds)
    else:
        law = theory.tree_rounds(tree, 0.3, rounds, signal, group)
    assert law.value_sd is not None
    error = np.sqrt(drawn.var(axis=0) / runs + law.value_sd**2 / 1024)
    assert np.all(np.abs(drawn.mean(axis=0) - law.value) < 5 * error + 1e-3)


def test_the_fit_finds_the_gain_that_made_the_log() -> None:
    """Bias or a wrong interval: of 40 intervals of 95%, fewer than 33 hold the truth with probability 10^-3."""
    runs, gain = 40, 0.4
    follower = Follower(blank(60, 64, 16), Signal("grpo"))
    start = np.full(runs, np.log(0.2 / 0.8))
    drawn = follower.drawn(Parameters.plain(start, np.full(runs, gain)), np.random.default_rng(1))
    found = [fit(Follower(replace(follower.log, reward=reward), Signal("grpo"))) for reward in drawn]
    assert sum(one.low <= gain <= one.high for one in found) >= 33
    assert np.mean([np.log(one.gain) for one in found]) == pytest.approx(np.log(gain), abs=0.1)


def test_holm_multiplies_the_smallest_p_by_the_number_of_tests_and_never_falls() -> None:
    log = log_of(np.random.default_rng(0).integers(0, 2, (30, 8)).astype(float))
    _, found = assumptions_of(log, Follower(log, Signal("grpo")))
    given = [replace(one, p=p) for one, p in zip(found, (0.01, 0.04, 0.03, 0.5, 0.02), strict=True)]
    assert [one.p_holm for one in holm(given)] == pytest.approx([0.05, 0.09, 0.09, 0.5, 0.08])


def test_dead_groups_where_few_are_expected_are_as_rare_an_alarm_as_stated() -> None:
    """400 logs of prompts alike, .08 dead groups expected in each: at a p of .05/7 over 10 alarms (mean 2.9) have
    probability 2e-4. By a normal law of their number one dead group was an alarm: 26 of the logs.
    """
    generator, alarms = np.random.default_rng(5), 0
    for _ in range(400):
        rewards = (generator.random((40, 48)) < 0.5).astype(float)
        found = _dead(replace(log_of(rewards, 4), dead=simulated.dead_share(rewards, 4)))
        alarms += found is not None and found.p < 0.05 / 7
    assert alarms <= 10


def test_a_reward_that_stays_falls_as_rarely_as_stated() -> None:
    """3,000 logs of 96 responses at p = 1/2: at a p of .05/7 over 40 alarms (mean at most 21) have probability 1e-4. By
    the variance of each block alone there were 56.
    """
    generator = np.random.default_rng(6)
    logs = (log_of((generator.random((32, 3)) < 0.5).astype(float)) for _ in range(3000))
    assert sum(_rises(log).p < 0.05 / 7 for log in logs) <= 40


def test_runs_of_one_arm_among_very_many_are_inside() -> None:
    """The law is exact there. False alarms are at most 5%: three of six have probability 0.002."""
    verdicts = [judge(log_of(rewards), signal=simulated.SIGNAL).verdict for rewards in simulated.within(6)]
    assert verdicts.count("INSIDE") >= 4


@pytest.mark.slow
def test_the_share_of_false_alarms_is_the_stated_one() -> None:
    """Of 100 runs at most 12 are OUTSIDE where the rate is 5%: more has probability 0.0015."""
    verdicts = [judge(log_of(rewards), signal=simulated.SIGNAL).verdict for rewards in simulated.within(100, key=7)]
    assert verdicts.count("OUTSIDE") <= 12
    assert verdicts.count("INSIDE") >= 85


def holed(tmp_path: Path, form: str, runs: int, share: float) -> list[TrainingLog]:
    """Logs of 80 rounds of 64 groups of 8 that obey the law from p0 = .15 at a gain of .15, of which a share of the
    records is missing at random, as read from files.
    """
    start = Parameters.plain(np.full(runs, LOGIT), np.full(runs, GAIN))
    follower = Follower(blank(80, 512, 8), Signal("grpo", 1, 1e-4))
    generator = np.random.default_rng(3)
    found = []
    for place, means in enumerate(follower.drawn(start, generator).tolist()):
        kept = generator.random(80) >= share
        kept[0] = True
        path = tmp_path / f"{place}.log"
        if form == "trl":
            history = [{"step": step, "reward": means[step - 1]} for step in range(1, 81) if kept[step - 1]]
            path.write_text(json.dumps({"log_history": history}))
        else:
            path.write_text("step,reward\n" + "".join(f"{step},{means[step]!r}\n" for step in range(80) if kept[step]))
        found.append(read_log(path, form, rollouts=8, prompts=64))
    return found


LOGIT, GAIN = float(np.log(0.15 / 0.85)), 0.15


@pytest.mark.parametrize("form", ["trl", "csv"])
def test_a_round_behind_a_hole_is_held_against_the_policy_of_then(tmp_path, form) -> None:
    """A record of TRL is the mean of the steps since the one before: behind a hole it is of the policy after the rounds
    that are missing, and was held against that before them, .55 standard errors too low in the mean: of 10 such logs 4
    were OUTSIDE. Under the law the mean of some 480 has a standard error of .046; 5 of them are passed by chance in
    10^-6.
    """
    scores = []
    for log in holed(tmp_path, form, 12, 0.5):
        follower = Follower(log, Signal("grpo", 1, 1e-4))
        chance = follower.chances(Parameters.plain(np.array([LOGIT]), np.array([GAIN])))[0]
        spread = np.sqrt(log.responses * chance * (1 - chance))
        scores.append((log.successes - log.responses * chance) / spread)
    found = np.concatenate(scores)
    assert abs(found.mean()) < 5 / np.sqrt(found.size)


@pytest.mark.slow
def test_holes_raise_no_false_alarm(tmp_path) -> None:
    """Of 30 logs at most 6 are OUTSIDE where the rate is 5%: more has probability 7e-4."""
    verdicts = [judge(log, signal="grpo", prompts=64, eps=1e-4).verdict for log in holed(tmp_path, "trl", 30, 0.5)]
    assert verdicts.count("OUTSIDE") <= 6


def test_a_verifier_that_refuses_right_answers_is_named() -> None:
    for rewards in simulated.noisy(2):
        found = judge(log_of(rewards), signal=simulated.SIGNAL)
        assert found.verdict == "OUTSIDE"
        assert found.explains_best == "verifier_exact"
        ceiling = next(one for one in found.assumptions if one.name == "verifier_exact")
        assert ceiling.estimate == pytest.approx(0.75, abs=0.05)


def test_a_kappa_that_falls_as_the_decisions_of_a_response_are_learnt_is_named() -> None:
    for rewards in simulated.falling(2):
        found = judge(log_of(rewards), signal=simulated.SIGNAL)
        assert found.verdict == "OUTSIDE"
        assert found.explains_best == "kappa_constant"
        ratio = next(one for one in found.assumptions if one.name == "kappa_constant")
        assert ratio.high is not None
        assert ratio.high < 1


def test_prompts_that_start_from_different_p0_are_named(tmp_path) -> None:
    """The dead groups of the log tell them from a kappa that falls, which gives nearly the same curve."""
    rewards = simulated.spread(1)[0]
    dead = simulated.dead_share(rewards, len(simulated.PROMPTS))
    path = simulated.trl(rewards.mean(axis=1), tmp_path / "trainer_state.json", dead)
    found = verdict_on_log(path, signal=simulated.SIGNAL, rollouts=simulated.ROLLOUTS, prompts=len(simulated.PROMPTS))
    assert found.verdict == "OUTSIDE"
    assert found.explains_best == "groups_alike"
    assert "prompts_alike" in found.fell


def test_a_reward_that_falls_is_named_first() -> None:
    chance = np.concatenate([np.linspace(0.1, 0.9, 40), np.linspace(0.9, 0.3, 40)])
    rewards = np.random.default_rng(3).random((80, 32)) < chance[:, None]
    found = judge(log_of(rewards.astype(float)), signal="grpo")
    assert (found.verdict, found.explains_best) == ("OUTSIDE", "reward_never_falls")


def test_rounds_that_draw_different_prompts_scatter_too_much() -> None:
    generator = np.random.default_rng(4)
    chance = np.clip(np.linspace(0.2, 0.8, 80) + generator.normal(0, 0.2, 80), 0.02, 0.98)
    found = judge(log_of((generator.random((80, 64)) < chance[:, None]).astype(float)), signal="grpo")
    assert (found.verdict, found.explains_best) == ("OUTSIDE", "rounds_binomial")


def test_a_long_log_is_added_up_without_losing_a_success() -> None:
    rewards = (np.random.default_rng(5).random((1003, 8)) < 0.3).astype(float)
    log = log_of(rewards)
    merged = log.merged(100)
    assert merged.rows == 100
    assert merged.successes.sum() == rewards.sum()
    assert (merged.rounds.sum(), merged.responses.sum()) == (1003, 8024)


def test_a_log_that_trl_wrote_has_a_kappa_that_falls(tmp_path, capsys) -> None:
    """`make_trl_log.py` fine-tuned an embedded model, whose answer takes several decisions: the tree law's effect."""
    figure = tmp_path / "verdict.png"
    command = ["verdict", "--log", str(REAL), "--rollouts", "16", "--step-size", "0.0004", "--json"]
    assert main([*command, "--figure", str(figure)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["rounds"], found["verdict"], found["explains_best"]) == (80, "OUTSIDE", "kappa_constant")
    assert found["kappa"]["low"] < found["kappa"]["value"] < found["kappa"]["high"]
    assert figure.stat().st_size > 10_000


def test_bad_input_on_the_command_line_is_one_sentence_and_exit_code_2(tmp_path, capsys) -> None:
    for given in (["--log", str(tmp_path / "none")], ["--log", str(REAL)], ["--log", str(REAL), "--figure", "a.pdf"]):
        assert main(["verdict", *given]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert main(["verdict", "--log", str(REAL), "--rollouts", "1", "--signal", "mean_baseline"]) == 2
    assert "give --rollouts" in capsys.readouterr().err


def test_a_run_folder_of_ours_is_judged_by_its_own_signal_and_seed(tmp_path, capsys) -> None:
    folder = run_folders.fine_tuned(tmp_path / "run", rounds=200)
    found = verdict_on_log(folder, format="run")
    assert (found.signal, found.rollouts, found.rounds, found.law) == ("raw", 1, 200, "tree_jump")
    assert main(["verdict", "--log", str(folder), "--format", "run", "--seed", "1"]) == 2
    assert "count from 0" in capsys.readouterr().err
    for given in ({"rollouts": 3}, {"prompts": 2}, {"reward": "x"}, {"step": "x"}):
        with pytest.raises(InputError, match=f"{next(iter(given))} is .* a run folder says its own"):
            verdict_on_log(folder, format="run", **given)
    with pytest.raises(InputError, match="seed is 1, and only a run folder"):
        verdict_on_log(REAL, rollouts=16, seed=1)


@pytest.mark.parametrize(
    "setting",
    [
        {"window": 16}, {"kl_coefficient": 0.5}, {"baseline_rollouts": 3}, {"dynamic_sampling": 2}, {"replay": 4},
        {"epochs": 2}, {"schedule": "cosine"}, {"optimizer": "adamw"}, {"aggregation": "token-mean"}, {"signal_k": 2},
        {"normalise": "batch"}, {"delay": 2}, {"mini_batches": 2}, {"entropy_coefficient": 0.1},
        {"reward_kl_coefficient": 0.1}, {"warmup_rounds": 5}, {"truncated_importance": 0.5},
    ],
    ids=lambda setting: next(iter(setting)),
)  # fmt: skip
def test_a_run_whose_settings_the_followed_law_leaves_out_is_not_tested(setting, tmp_path) -> None:
    """Catches a run with a window or a KL term held against the law of a run without."""
    found = verdict_on_log(run_folders.fine_tuned(tmp_path / "run", rounds=60, **setting), format="run")
    assert found.verdict == "NOT TESTED"
    ((name, value),) = setting.items()
    said = {
        "optimizer": "optimiser",
        "delay": "rounds late",
        "aggregation": "averaged",
        "truncated_importance": "weight",
    }
    assert str(said.get(name, name)) in found.reason
    assert str(value) in found.reason


def test_a_run_that_learnt_from_minus_one_and_one_is_held_against_the_law_of_the_signed_reward() -> None:
    """Catches the raw reward's law for a run of --reward-wrong -1."""
    log = log_of(np.random.default_rng(1).integers(0, 2, (40, 4)).astype(float))
    at = Parameters.plain(np.array([-1.0, 0.0]), np.array([0.1, 0.3]))
    signed, raw = (Follower(log, Signal(name)).likelihood(at)[0] for name in ("signed", "raw"))
    np.testing.assert_allclose(Follower(log, Signal("raw", wrong=-1.0)).likelihood(at)[0], signed)
    assert np.all(np.abs(signed - raw) > 1e-3)


def test_kappa_is_told_where_the_step_size_was_given_alone(tmp_path) -> None:
    """A trainer's learning rate is no step of the law: its loss may be a mean over tokens, and Adam scales it."""
    rewards = simulated.two_arms(0.2, 0.3, 8, 4, 40, 1)[0].mean(axis=1) / 8
    path = simulated.trl(rewards, tmp_path / "trainer_state.json")
    assert verdict_on_log(path, rollouts=8, prompts=4).kappa is None
    found = verdict_on_log(path, rollouts=8, prompts=4, step_size=0.1)
    assert found.kappa is not None
    assert found.kappa_times_step is not None
    assert found.kappa["value"] == pytest.approx(10 * found.kappa_times_step["value"])


def test_an_interval_that_reaches_the_end_of_the_search_says_so() -> None:
    """Catches the grid's e^-14 told as a limit of 95%: here the reward does not rise."""
    found = fit(Follower(log_of(np.random.default_rng(0).integers(0, 2, (30, 8)).astype(float)), Signal("grpo")))
    assert found.low == 0.0
    assert np.isfinite(found.high)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("trl") is None, reason="trl is not installed: pip install trl")
def test_trl_writes_such_a_log_again(tmp_path) -> None:
    from tests.bandit_rft.training_logs import make_trl_log

    path = make_trl_log.main(tmp_path, seed=1)
    found = verdict_on_log(path, rollouts=make_trl_log.ROLLOUTS, step_size=make_trl_log.STEP_SIZE)
    assert found.rounds == make_trl_log.ROUNDS
    assert found.verdict in ("INSIDE", "OUTSIDE")
