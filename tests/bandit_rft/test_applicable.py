"""One place says which laws apply: `predict`, `times_to` and `plan` refuse the same, and leave the same tree out.

Catches times of laws that `predict` refuses, a refused tree that is followed, a verifier's errors that are left out,
and first tokens that are taken for questions.
"""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from bandit_rft import arms, plan, summarize, theory
from bandit_rft.errors import InputError, NoLawError
from bandit_rft.theory import Summary
from bandit_rft.theory.compared import chain_of_decisions
from bandit_rft.theory.forests import forest
from tests.bandit_rft.test_group_of_one import mean_curve

NEEDLE = arms.Needle(log10_arms=1, p0=0.05)
CHAIN = chain_of_decisions(0.1, 40.0, 3)
PRUNED = dataclasses.replace(CHAIN, responses=1000, counted=0.5, pruned=0.5)
MEASURED = Summary(log_p0=math.log(0.1), kappa=40.0)


@pytest.mark.parametrize(
    ("summary", "settings", "words"),
    [
        (dataclasses.replace(MEASURED, deterministic=False), {}, "not 0 or 1"),
        (dataclasses.replace(MEASURED, prompt_success=np.array([0.05, 0.15])), {}, "Several prompts"),
        (dataclasses.replace(MEASURED, true_positive=0.5), {}, "The verifier errs"),
        (dataclasses.replace(MEASURED, delay=2, tree=PRUNED), {}, "explains a Pass@1"),
        (summarize(arms.Noisy(arms.Needle(log10_arms=6, p0=0.05), 0.9, 0.1)), {}, "do not stay alike"),
        (summarize(NEEDLE), {"signal": "mean_baseline", "extra_rollouts": 3}, "extra rollouts alone"),
    ],
)
def test_what_predict_refuses_has_no_time(summary, settings, words: str) -> None:
    with pytest.raises(NoLawError, match=words):
        theory.predict(summary, step_size=0.01, rounds=5, **settings)
    with pytest.raises(NoLawError, match=words):
        theory.times_to(summary, step_size=0.01, **settings)


def test_a_verifier_that_pays_half_takes_twice_as_long() -> None:
    """By the exact chain in which a success is paid half of the time. The mean of 1,024 simulated runs is there within
    8% of it (standard error 2%).
    """
    times = theory.times_to(summarize(arms.Noisy(NEEDLE, true_positive=0.5)), step_size=0.3)
    assert list(times) == ["tree"]
    gain = 0.3 * 10 / 9
    logit, states, p = math.log(0.05 / 0.95), np.eye(1, 60)[0], []
    for _ in range(60):
        p.append(1 / (1 + math.exp(-logit)))
        logit += gain * (1 - p[-1])
    p, time = np.array(p), 0
    while states @ p < 0.5:
        paid = 0.5 * p * states
        states, time = states - paid + np.concatenate([[0.0], paid[:-1]]), time + 1
    assert times["tree"] == pytest.approx(time, rel=0.08)
    assert time > 1.8 * np.argmax(mean_curve(0.05, gain, 200) >= 0.5)


def test_a_tree_that_predict_leaves_out_is_followed_by_none() -> None:
    summary = dataclasses.replace(MEASURED, tree=PRUNED)
    assert theory.predict(summary, step_size=0.005, rounds=5).name == "rft_predict"
    assert "tree" not in theory.times_to(summary, step_size=0.005)
    several: list[dict[str, Any]] = [{"epochs": 2}, {"optimizer": "adam"}]
    for asked in several:  # the tree's own refusal, not that no tree was measured
        with pytest.raises(NoLawError, match="explains a Pass@1"):
            theory.predict(summary, step_size=0.005, rounds=5, **asked)
    with pytest.raises(NoLawError, match="measure it with coordinates"):
        theory.predict(dataclasses.replace(MEASURED, tree=CHAIN), step_size=0.005, rounds=5, optimizer="adam")
    with pytest.raises(NoLawError, match="explains a Pass@1"):
        plan(p0=0.1, kappa=40.0, step_size=0.005, tree=PRUNED)


def test_questions_are_those_of_a_forest() -> None:
    """Of a tree of one question and of a table's arms, none; and a forest's groups are each of one question."""
    for summary in (dataclasses.replace(MEASURED, tree=CHAIN), summarize(NEEDLE)):
        with pytest.raises(InputError, match=r"the tree is of one question.*leave questions"):
            theory.predict(summary, step_size=0.005, rounds=5, questions=1)
    several = forest([CHAIN, chain_of_decisions(0.3, 40.0, 1)])
    assert (several.questions, CHAIN.questions) == (2, 0)
    assert theory.tree_rounds(several, 0.005, 3, signal="grpo", rollouts=4, questions=2).value.size == 3
    assert theory.tree_rounds(several, 0.005, 3, signal="signed", rollouts=4).value.size == 3
    with pytest.raises(InputError, match=r"forest of 2 questions.*grpo compares.*give questions"):
        theory.tree_rounds(several, 0.005, 3, signal="grpo", rollouts=4)
    with pytest.raises(InputError, match=r"forest of 2 questions, and a plan is of one"):
        plan(p0=0.1, kappa=40.0, step_size=0.005, tree=several)


def test_a_forest_s_decisions_are_those_of_its_responses() -> None:
    assert forest([CHAIN, CHAIN]).decisions == pytest.approx(CHAIN.decisions) == pytest.approx(3.0)


def test_a_plan_on_a_reward_that_errs_starts_at_pass_at_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bandit_rft.planning._cheapest", lambda *_: None)
    tree = summarize(arms.Noisy(NEEDLE, true_positive=0.5)).tree
    assert tree is not None
    assert tree.p0 == pytest.approx(0.05)
    assert tree.paid == pytest.approx(0.025)
    found = plan(p0=0.5, kappa=1.0, step_size=0.5, level=0.06, rollouts=2, tree=tree)
    assert found.p0 == pytest.approx(0.05)
    assert found.dead_group_probability == pytest.approx(tree.paid**2 + (1 - tree.paid) ** 2)
