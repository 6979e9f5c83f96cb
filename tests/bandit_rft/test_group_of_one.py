"""Signals that are the reward itself, or a multiple, where a group is of one: the exact chain is their law everywhere.

The chain is written out here: after n successes p is known, so that the curve is a sum over n and the mean time one of
1/p_n. Catches the flow of the mean update, or simulated rounds, in its place, and grpo's 1/(1 + eps) left out.
"""

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from bandit_rft import arms, learners, plan, signals, summarize, theory, theory_for
from bandit_rft.theory import Summary
from tests.bandit_rft.test_run_law import law

EPS = 0.25
OWN = {"raw": 1.0, "psr": 1.0, "rloo": 1.0, "maxrl": 1.0, "pass_at_k": 1.0, "grpo": 1 / (1 + EPS)}


def chain(p0: float, gain: float, most: int) -> np.ndarray:
    """float64 [most + 1], p after n successes."""
    logits = [np.log(p0 / (1 - p0))]
    for _ in range(most):
        logits.append(logits[-1] + gain / (1 + np.exp(logits[-1])))
    return 1 / (1 + np.exp(-np.array(logits)))


def mean_curve(p0: float, gain: float, rounds: int) -> np.ndarray:
    """float64 [rounds], the mean of p before each round."""
    p, found = chain(p0, gain, rounds), np.zeros(rounds)
    state = np.eye(1, rounds + 1)[0]
    for t in range(rounds):
        found[t] = state @ p
        state = state * (1 - p) + np.concatenate([[0.0], (state * p)[:-1]])
    return found


def test_of_one_is_what_the_signals_give() -> None:
    for name in signals.NAMES:
        right, wrong = (float(signals.make(name, eps=EPS)(jnp.array([reward]))[0]) for reward in (1.0, 0.0))
        found = signals.of_one(name, EPS)
        assert (found is None) == (wrong != 0.0 or name == "nsr")
        assert found is None or found == pytest.approx(right)
    assert signals.of_one(lambda rewards: rewards) is None
    assert signals.of_one("module:function") is None


@pytest.mark.parametrize("signal", OWN)
def test_the_prediction_is_the_chain(signal: str) -> None:
    given: dict[str, Any] = {"signal": signal, "eps": EPS, "rounds": 121}
    expected = mean_curve(0.05, 0.7 * OWN[signal], 121)
    found = theory.predict(Summary(log_p0=np.log(0.05), kappa=40.0), step_size=0.7 / 40, **given)
    assert found.name == "rft_predict"
    np.testing.assert_allclose(found.value, expected, rtol=1e-9)
    assert found.value_sd is not None
    table = theory.predict(summarize(arms.Needle(log10_arms=100, p0=0.05)), step_size=0.7, **given)
    assert table.name == "pg_jump_single"
    np.testing.assert_allclose(table.value, expected, rtol=1e-9)
    assert ("raw reward" if signal in ("raw", "psr") else f"{signal} is the raw reward") in table.why
    # Ten correct arms among so many wrong ones that these are lumped, which failures that teach would forbid.
    many = theory.predict(summarize(arms.Needle(log10_arms=50, optimal=10, p0=0.05)), step_size=0.7, **given)
    assert many.name == "tree_jump"


@pytest.mark.parametrize("signal", ["rloo", "grpo"])
def test_times_and_plans_are_those_of_the_chain(signal: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bandit_rft.planning._cheapest", lambda *_: None)  # other designs, which take seconds
    gain = 0.4 * OWN[signal]
    p = chain(0.05, gain, 100)
    found = plan(p0=0.05, kappa=40.0, step_size=0.01, level=0.5, signal=signal, eps=EPS)
    assert (found.law, found.reached) == ("tree_jump", 1.0)
    assert found.rounds_to_level.mean == pytest.approx((1 / p[p < 0.5]).sum())
    times = theory.times_to(Summary(log_p0=np.log(0.05), kappa=40.0), step_size=0.01, signal=signal, eps=EPS)
    assert times["constant_kappa_chain"] == np.argmax(mean_curve(0.05, gain, 400) >= 0.5)


def test_what_is_no_multiple_of_the_reward_is_not_the_chain() -> None:
    """Failures that teach, groups of two, windows, and late rewards."""
    summary = Summary(log_p0=np.log(0.05), kappa=40.0)
    others: list[dict[str, Any]] = [
        {"signal": "signed"},
        {"signal": "grpo", "rollouts": 2},
        {"signal": "grpo", "window": 4},
        {"signal": "rloo", "extra_rollouts": 1},
    ]
    for given in others:
        assert theory.predict(summary, step_size=0.01, rounds=5, **given).name in ("pg_group", "pg_window")
    late = summarize(arms.Delayed(arms.Needle(log10_arms=2, p0=0.05), rounds=2))
    assert theory.predict(late, step_size=0.01, rounds=5, signal="rloo").name == "tree_rounds"


def test_a_fit_without_a_measurement_and_the_catalogue_know_of_them() -> None:
    raw, grpo = (law(signal=name, resolved={"learning_rate": 0.25}).fallback for name in ("raw", "grpo"))
    assert raw is not None
    assert grpo is not None
    assert grpo.kappa == pytest.approx(raw.kappa * (1 + 1e-6))
    needle, learner = arms.Needle(log10_arms=100, p0=0.05), learners.SoftmaxPolicyGradient(step_size=0.7)
    [found] = theory_for(needle, dataclasses.replace(learner, signal="grpo", eps=EPS), 50)
    np.testing.assert_allclose(found.value, mean_curve(0.05, 0.7 * OWN["grpo"], 50), rtol=1e-9)
