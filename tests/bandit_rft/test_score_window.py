"""A window of scores: the learner against its definition round by round, and the drift's limits."""

import numpy as np
import pytest

from bandit_rft import arms, learners, run, theory
from bandit_rft.errors import InputError


@pytest.mark.parametrize(("signal", "window"), [("grpo", 2), ("grpo", 7), ("mean_baseline", 6)])
def test_a_run_is_the_definition_round_by_round(signal: str, window: int) -> None:
    """On two arms the rewards tell the arms, and z moves by 2 A (r - p). Catches the oldest scores kept for the newest,
    empty places counted as failures before the window is full, and a window in which this round is not.
    """
    step, rounds, group = 0.4, 12, 2
    learner = learners.SoftmaxPolicyGradient(
        step_size=step, signal=signal, rollouts=group, window=window, eps=0.05 if signal == "grpo" else 1e-6
    )
    history = run(arms.Bernoulli((1.0, 0.0), base_mass=(0.4, 0.6)), learner, rounds, 20, key=5)
    for seed in range(20):
        z = np.log(0.4 / 0.6)
        for t in range(rounds):
            p = 1 / (1 + np.exp(-z))
            assert history.value[seed, t] == pytest.approx(p, rel=1e-9)
            scores = history.rewards[seed, : t + 1].astype(float).reshape(-1)[-window:]
            signals = scores[-group:] - scores.mean()
            if signal == "grpo":
                signals = signals / (scores.std(ddof=1) + 0.05) if np.ptp(scores) else 0 * signals
            z += step * np.mean(signals * 2 * (scores[-group:] - p))


@pytest.mark.parametrize("signal", ["grpo", "mean_baseline"])
def test_a_policy_that_stands_still_has_the_drift_of_a_group_as_large_as_the_window(signal: str) -> None:
    for rollouts in (1, 3, 9):
        for p in (1e-9, 0.3, 0.99):
            found = theory.score_window_drift(p, rollouts, 9, signal=signal, ddof=0, eps=0.1)
            assert found == pytest.approx(theory.drift_multiplier(signal, p, 9, ddof=0, eps=0.1), rel=1e-9)
    assert theory.score_window_drift(0.7, 2, 9, 0.1, "mean_baseline") == pytest.approx(8 / 9)
    # A window of old failures sees today's success as a rare one.
    assert theory.score_window_drift(0.7, 1, 9, 1e-12) == pytest.approx(theory.drift_multiplier("grpo", 1e-12, 9))


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: theory.score_window_drift(0.1, 4, 3), "window is 3"),
        (lambda: theory.score_window_drift(0.1, 4, 8, signal="maxrl"), "grpo and mean_baseline"),
        (lambda: theory.score_window_drift(0.1, 4, 8, 0.0), "past"),
        (lambda: learners.SoftmaxPolicyGradient(step_size=0.1, rollouts=4, signal="grpo", window=3), "window is 3"),
        (lambda: learners.SoftmaxPolicyGradient(step_size=0.1, rollouts=4, window=8), "mean_baseline and grpo"),
    ],
)
def test_what_makes_no_sense_is_refused(call, word: str) -> None:
    with pytest.raises(InputError, match=word):
        call()
