"""`theory.predict` sees a summary and nothing else, and the law that it picks is held against a run of the real thing.
Catches a law chosen where it does not hold, a κ or p0 lost on the way, and a refusal that gives no reason.
"""

import dataclasses

import numpy as np
import pytest

from bandit_rft import NoLawError, arms, compare, learners, policies, run, summarize, theory, verifiers
from bandit_rft.errors import InputError
from bandit_rft.theory import Summary

NEEDLE = arms.Needle(log10_arms=100, p0=0.1)
SEQUENCES = arms.TokenSequences(7, 3, verifiers.Needle((1, 2, 3)), p0=0.1)


@pytest.mark.parametrize(
    ("world", "law"),
    [
        (NEEDLE, "pg_jump_single"),
        (SEQUENCES, "prefix_tree_jump"),
        (dataclasses.replace(SEQUENCES, policy=policies.PrefixTree()), "prefix_tree_jump"),
        (arms.TokenSequences(9, 4, verifiers.AnswerToken(3), p0=0.1), "prefix_tree_jump"),
    ],
)
def test_an_exact_law_agrees_with_a_run(world, law: str) -> None:
    """False-alarm rate 1e-3 each; κ, p0 and the step come from the summary alone."""
    learner = learners.SoftmaxPolicyGradient(step_size=0.6)
    prediction = theory.predict(summarize(world), step_size=0.6, rounds=120)
    assert prediction.name == law
    assert law in prediction.why
    assert not prediction.flags
    verdict = compare(run(world, learner, rounds=120, seeds=1500, key=11), prediction, false_alarm=1e-3)
    assert verdict.agrees, verdict.report()
    assert not compare(
        run(world, learners.SoftmaxPolicyGradient(step_size=0.9), rounds=120, seeds=1500, key=11), prediction
    ).agrees


def test_groups_take_the_mean_field() -> None:
    """Small steps and groups of 32 at K = 100: within 2% of Pass@1 at all rounds (measured .9%)."""
    table = arms.Needle(log10_arms=2, p0=0.1)
    learner = learners.SoftmaxPolicyGradient(step_size=0.05, signal="grpo", rollouts=32, eps=0.0)
    history = run(table, learner, rounds=300, seeds=400, key=2)
    prediction = theory.predict(summarize(table), step_size=0.05, rounds=300, signal="grpo", rollouts=32)
    assert prediction.name == "pg_group"
    np.testing.assert_allclose(history.value.mean(axis=0), prediction.value, rtol=0.02)


def test_shared_parameters_are_only_approximated_and_say_so() -> None:
    shared = arms.TokenSequences(7, 3, verifiers.Needle((1, 2, 3)), policy=policies.LogLinear())
    found = theory.predict(summarize(shared), step_size=0.6, rounds=10)
    assert found.name == "rft_predict"
    assert "constant" in found.flags[-1]
    measured = Summary(log_p0=np.log(0.1), kappa=5.0, kappa_standard_error=1.0)
    told = theory.predict(measured, step_size=0.1, rounds=10)
    assert any("20%" in flag for flag in told.flags)
    assert told.value[0] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("world", "settings", "message"),
    [
        (arms.Needle(log10_arms=3, optimal=10), {}, "pg_monopoly"),
        (arms.Needle(log10_arms=3, optimal=10), {"rollouts": 4}, "several correct arms"),
        (arms.Noisy(NEEDLE, true_positive=0.9), {}, "verifier errs"),
        (arms.Delayed(NEEDLE, rounds=3), {}, "3 rounds late"),
        (arms.Bernoulli([0.9, 0.1]), {}, "not 0 or 1"),
        (NEEDLE, {"optimizer": "adam"}, "adam_flow"),
        (arms.Contexts(5, 1, [verifiers.Needle((0,)), verifiers.Needle((1,))]), {}, "contexts_flow"),
    ],
)
def test_where_no_law_applies_it_says_so(world, settings, message: str) -> None:
    with pytest.raises(NoLawError, match=message):
        theory.predict(summarize(world), step_size=0.5, rounds=10, **settings)


def test_bad_input() -> None:
    summary = summarize(NEEDLE)
    for settings, message in [
        ({"signal": "best"}, "unknown"),
        ({"optimizer": "lion"}, "optimizer is 'lion'"),
        ({"rollouts": 0}, "rollouts is 0"),
        ({"step_size": -1.0}, "step_size is -1"),
    ]:
        with pytest.raises(InputError, match=message):
            theory.predict(summary, **{"step_size": 0.5, "rounds": 10, **settings})
    with pytest.raises(InputError, match="kappa is nan"):
        Summary(log_p0=-1.0, kappa=float("nan"))
    with pytest.raises(InputError, match="sometimes right"):
        Summary(log_p0=0.0, kappa=1.0)
