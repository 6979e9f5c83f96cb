"""Rows that are the mean of several rounds, and groups that are filtered, against runs of an independent simulation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bandit_rft import InputError, verdict_on_log
from bandit_rft.training_logs import TrainingLog, judge, read_log
from bandit_rft.training_logs.following import Follower, Parameters, Signal
from bandit_rft.training_logs.groups import live_mean, live_spread
from tests.bandit_rft.training_logs import simulated

P0, GROUP = 0.1, 8


def averaged(path: Path, each: int, rewards: np.ndarray) -> Path:
    """trainer_state.json with the means over `each` rounds of rewards [T]."""
    means = rewards.reshape(-1, each).mean(axis=1).tolist()
    history = [{"step": each * row, "reward": mean} for row, mean in enumerate(means, start=1)]
    path.write_text(json.dumps({"log_history": history}))
    return path


def scores(log: TrainingLog, gain: float, signal: Signal | None = None) -> np.ndarray:
    """float [T], rows' right responses from the law's mean, in its standard deviations."""
    follower = Follower(log, signal or Signal("grpo"))
    found = follower.followed(Parameters.plain(np.array([np.log(P0 / (1 - P0))]), np.array([gain])))
    return (log.successes - log.responses * found.chance[0]) / found.spread[0]


@pytest.mark.parametrize("prompts", [1, 16])
def test_a_mean_over_ten_rounds_is_held_against_the_policies_of_all_ten(prompts, tmp_path) -> None:
    """Catches a row held against the policy before its first round, 1.8 standard deviations too low in the mean; one
    whose scatter leaves out that early rewards move the later rounds (1.11 for one prompt); and a path that forgets
    what it does not know, whose residuals add up (the spread of a log's sum was 1.6). Of 24 logs of 20 rows the mean
    has a standard error of .046, the mean square of .065, the sums' spread of .14; 3.5 of them.
    """
    found = []
    for rewards in simulated.two_arms(P0, 0.3, GROUP, prompts, 200, 24).mean(axis=2) / GROUP:
        path = averaged(tmp_path / "trainer_state.json", 10, rewards)
        found.append(scores(read_log(path, "trl", rollouts=GROUP, prompts=prompts), 0.3))
    z = np.array(found)
    assert abs(z.mean()) < 0.16
    assert np.mean(z**2) == pytest.approx(1, abs=0.23)
    assert np.std(z.sum(axis=1)) / np.sqrt(z.shape[1]) == pytest.approx(1, abs=0.5)


@pytest.mark.parametrize(("gain", "rising"), [(0.03, 100), (0.3, 12)])
def test_a_log_of_2500_rounds_that_are_added_up_is_held_against_the_policies_of_all(gain, rising) -> None:
    """Ten rounds in each of 250 rows, of which these rise: catches those held against the policy before them, and those
    whose ten rounds are taken in one stride where the logit moves by one in them.
    """
    z = []
    for rewards in simulated.two_arms(P0, gain, GROUP, 16, 2500, 3).mean(axis=2) / GROUP:
        z.append(scores(_log(rewards, 16).merged(), gain)[:rising])
    assert abs(np.mean(z)) < 4 / np.sqrt(np.size(z))
    assert np.mean(np.square(z)) == pytest.approx(1, abs=5 * np.sqrt(2 / np.size(z)))


@pytest.mark.slow
@pytest.mark.parametrize(("each", "gain", "rounds", "logs", "most"), [(10, 0.3, 250, 30, 6), (1, 0.03, 2500, 10, 3)])
def test_rows_of_several_rounds_raise_no_false_alarm(each, gain, rounds, logs, most, tmp_path) -> None:
    """Where the rate is 5%, more than 6 of 30 are OUTSIDE with probability 7e-4, more than 3 of 10 with 1e-3; all were
    where a row was held against the policy before it.
    """
    verdicts = []
    for rewards in simulated.two_arms(P0, gain, GROUP, 16, rounds, logs).mean(axis=2) / GROUP:
        log = read_log(averaged(tmp_path / "log", each, rewards), "trl", rollouts=GROUP, prompts=16)
        verdicts.append(judge(log, signal="grpo", prompts=16).verdict)
    assert verdicts.count("OUTSIDE") <= most


def test_logs_drawn_in_rows_of_ten_have_the_moments_of_the_simulation() -> None:
    """Catches rows that are drawn at the probability before them. 2000 runs against 2000; fails by chance in 10^-4."""
    runs = simulated.two_arms(P0, 0.3, GROUP, 1, 100, 2000)
    rows = runs.reshape(2000, 10, 10).sum(axis=2) / (10 * GROUP)
    log = _log(np.zeros(100), 1).merged(10)
    start = Parameters.plain(np.full(2000, np.log(P0 / (1 - P0))), np.full(2000, 0.3))
    drawn = Follower(log, Signal("grpo")).drawn(start, np.random.default_rng(0))
    error = np.sqrt(rows.var(axis=0) / 2000 + drawn.var(axis=0) / 2000)
    assert np.all(np.abs(rows.mean(axis=0) - drawn.mean(axis=0)) < 5 * error)
    np.testing.assert_allclose(drawn.std(axis=0), rows.std(axis=0), rtol=0.2)


def test_the_reward_of_groups_that_have_both_rewards_is_that_of_an_enumeration() -> None:
    from scipy import stats

    for chance in (1e-9, 0.03, 0.5, 0.8, 1 - 1e-9):
        k = np.arange(1, 5)
        weight = stats.binom.pmf(k, 5, chance)
        mean = np.sum(weight * k) / np.sum(weight) / 5
        spread = np.sum(weight * (k / 5 - mean) ** 2) / np.sum(weight) * 5
        assert live_mean(np.array(chance), 5) == pytest.approx(mean, rel=1e-6)
        assert live_spread(np.array(chance), 5) == pytest.approx(spread, rel=1e-3, abs=1e-7)


def test_filtered_groups_are_held_against_their_own_law() -> None:
    """DAPO's reward is of groups that have both rewards: it begins at .19 where p0 is .1, and ends below 1."""
    found = []
    for rewards in simulated.two_arms(P0, 0.15, GROUP, 16, 80, 12, filtered=True).mean(axis=2) / GROUP:
        found.append(scores(_log(rewards, 16), 0.15, Signal("grpo", filtered=True)))
    z = np.concatenate(found)
    assert abs(z.mean()) < 5 / np.sqrt(z.size)
    assert np.mean(z**2) == pytest.approx(1, abs=0.25)


def test_filtered_groups_of_two_say_nothing(tmp_path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("step,reward\n" + "".join(f"{step},0.5\n" for step in range(40)))
    with pytest.raises(InputError, match="give rollouts of 3 or more"):
        verdict_on_log(path, format="csv", rollouts=2, dynamic_sampling=True)


def _log(rewards: np.ndarray, prompts: int) -> TrainingLog:
    one = np.ones(len(rewards), np.int64)
    return TrainingLog(
        source="log",
        column="reward",
        step=np.arange(len(rewards)),
        reward=rewards,
        responses=one * GROUP * prompts,
        rounds=one,
        seen=one,
        group=one * GROUP,
    )
