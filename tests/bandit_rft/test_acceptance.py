"""Simulation against theory through the public interface, as a user writes it: the toolkit's own falsification test.

`compare` states a false-alarm rate of 1% a history; keys are fixed. The 15% errors are refused by the law itself (a run
whose value is not the one that its own rewards force), so those refusals have no miss rate.
"""

import numpy as np
import pytest

from bandit_rft import arms, compare, learners, run, theory

CASES = [(0.05, 0.5, 400), (0.01, 2.0, 400), (0.3, 0.1, 300)]


@pytest.mark.parametrize(("p0", "step", "rounds"), CASES)
@pytest.mark.parametrize("log10_arms", [2, 100])
def test_jump_chain_agrees_and_a_step_off_by_15_percent_is_refused(
    p0: float, step: float, rounds: int, log10_arms: int
) -> None:
    needle = arms.Needle(log10_arms=log10_arms, optimal=1, p0=p0)
    history = run(
        needle, learners.SoftmaxPolicyGradient(step_size=step, signal="raw"), rounds=rounds, seeds=2000, key=0
    )
    of = lambda used: theory.pg_jump_single(p0=p0, step_size=used, rounds=rounds, log_arms=needle.log_arms)  # noqa: E731
    verdict = compare(history, of(step))
    assert verdict.agrees, verdict.report()
    assert np.isfinite(verdict.max_z)
    for wrong in (0.85 * step, 1.15 * step):
        assert not compare(history, of(wrong)).agrees


@pytest.mark.parametrize("replacement", [True, False])
def test_explore_until_success(replacement: bool) -> None:
    table = arms.Needle(log10_arms=2, optimal=4)
    history = run(table, learners.ExploreUntilSuccess(replacement=replacement), rounds=80, seeds=2000, key=2)
    options = {"log_arms": table.log_arms, "optimal": 4} if not replacement else {"p0": 0.04}
    assert compare(history, theory.explore_until_success(rounds=80, replacement=replacement, **options)).agrees
    other = theory.explore_until_success(rounds=80, replacement=True, p0=0.05)
    assert not compare(history, other).agrees


@pytest.mark.parametrize(
    ("signal", "rollouts"), [("raw", 4), ("mean_baseline", 4), ("signed", 1), ("grpo", 8), ("rloo", 4)]
)
def test_first_update_has_the_drift_of_table_b(signal: str, rollouts: int) -> None:
    """E[z after one round − z before] = step·M·κ p(1 − p) to first order in the step: |z-score| < 4 over 40,000 seeds
    (6e-5).

    At a step of .01 the second-order term is below a tenth of the standard error. A wrong normaliser of any signal is
    off by 25% or more.
    """
    p0, step, seeds = 0.3, 0.01, 40_000
    needle = arms.Needle(log10_arms=100, p0=p0)
    learner = learners.SoftmaxPolicyGradient(step_size=step, signal=signal, rollouts=rollouts, eps=0.0)
    history = run(needle, learner, rounds=2, seeds=seeds, key=1)
    logit = np.log(history.value) - np.log1p(-history.value)
    moved = (logit[:, 1] - logit[:, 0]) / step
    predicted = theory.drift_multiplier(signal, p=p0, rollouts=rollouts) * p0 * (1 - p0)
    error = moved.std(ddof=1) / np.sqrt(seeds)
    assert error < 0.03 * predicted
    assert abs(moved.mean() - predicted) < 4 * error + 0.01 * predicted
