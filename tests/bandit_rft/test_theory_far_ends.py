"""Numbers at the ends of what a float holds, in laws of sequences and trees: a sentence, and no NaN or traceback."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from bandit_rft import arms, plan, summarize, theory
from bandit_rft.errors import InputError
from bandit_rft.theory.compared import chain_of_decisions
from simulations.prediction_audit import path_tables

CHAIN = chain_of_decisions(0.1, 40.0, 3)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: theory.rft_predict(0.1, 1e200, 1e200, 31), "step_size is 1e.200 and kappa is 1e.200"),
        (lambda: theory.rft_predict(1e-310, 1.0, 1.0, 31), "below 1e-300"),
        (lambda: theory.prefix_tree_jump(10, 3, 1.0, 31, p0=1e-310), "below 1e-300"),
        (lambda: theory.prefix_tree_flow(10, 3, 1.0, 31, p0=1e-310), "below 1e-300"),
        (lambda: theory.pg_jump_single(1e-310, 1.0, 31), "below 1e-300"),
        (lambda: theory.ppo_jump_single(1e-310, 1.0, 31), "below 1e-300"),
        (lambda: theory.pg_delayed(1e-310, 1.0, 31, 2), "below 1e-300"),
        (lambda: theory.cold_start_floor(1e-310), "below 1e-300"),
        (lambda: theory.ppo_clip_floor(1e-300, 0.0, clip=1e-17), "more rounds than a float holds"),
        (lambda: theory.pg_jump_single(0.1, 1e200, 31, kappa=1e200), "step_size is 1e.200 and kappa is 1e.200"),
        (lambda: theory.pg_ode(0.1, 1e200, 31, kappa=1e200), "step_size is 1e.200 and kappa is 1e.200"),
        (lambda: theory.grpo_flow(0.1, 1e200, 31, kappa=1e200), "step_size is 1e.200 and kappa is 1e.200"),
        (lambda: theory.pg_window(0.1, 1e200, 31, 2, 4, kappa=1e200), "step_size is 1e.200 and kappa is 1e.200"),
        (lambda: theory.pg_cold_start(0.1, 1e-200, kappa=1e-200), "step_size is 1e-200 and kappa is 1e-200"),
        (lambda: theory.log_likelihood_time(0.1, 1e-200, kappa=1e-200), "step_size is 1e-200 and kappa is 1e-200"),
        (lambda: theory.adam_flow(0.1, 1e200, 1e200, 31), "learning_rate is 1e.200 and kappa_adam is 1e.200"),
        (lambda: theory.prefix_tree_flow(10, 3, 1e300, 31, p0=0.5), "step_size is 1e.300"),
        (lambda: theory.pg_ode_general([0.5, 0.5], [0, 0], [True, False], 1e300, 31), "step_size is 1e.300"),
        (lambda: theory.contexts_flow([0.1, 0.5], np.eye(2), 1e300, 31), "step_size is 1e.300"),  # it never ended
        (lambda: theory.pg_ode(0.1, 1.0, 31, log_arms=0.1), "two arms or more"),
        (lambda: theory.symmetric_entropy(0.5, 1, 0.1), "two arms or more"),  # it was below 0
        (lambda: theory.pg_ode(0.1, 1.0, 31, optimal=10**5000, log_arms=5.0), "leaves no suboptimal arm"),
        (lambda: theory.batched_minimax(10, 10**5000, 2), "as many rounds as arms"),
        (lambda: theory.thompson_bayes_bound(10**5000, 10, entropy=1e6), "at most ln K"),
        (lambda: plan(p0=1e-310, kappa=40.0, step_size=0.005), "below 1e-300"),
        (lambda: theory.tree_jump(CHAIN, 1e307, 31), "step_size is 1e.307 and the largest entry of gram"),
        (lambda: theory.tree_rounds(CHAIN, 1e307, 31), "step_size is 1e.307 and the largest entry of gram"),
        (lambda: chain_of_decisions(1 - 1e-14, 1.0, 1000), "decisions is 1000.*fewer decisions"),
        (lambda: chain_of_decisions(1 - 2e-16, 1.0, 3), "decisions is 3"),
        (lambda: plan(p0=0.1, kappa=1.0, step_size=0.1, signal="mean_baseline"), "is always 0"),
        (lambda: plan(p0=0.1, kappa=1.0, step_size=0.1, signal="maxrl_centred"), "is always 0"),
        (lambda: plan(p0=0.1, kappa=1.0, step_size=0.1, signal="grpo", window=1), "is always 0"),
        (lambda: plan(p0=0.1, kappa=1.0, step_size=0.1, baseline_rollouts=99_999), "^baseline_rollouts is 99,999"),
        (lambda: theory.tree_transfer(CHAIN, [(CHAIN, CHAIN.gram)], 0.01, [0.5, 1.9]), "whole numbers"),
        (lambda: theory.tree_transfer(CHAIN, [(CHAIN, CHAIN.gram)], 0.01, [1, 1]), "increasing"),
    ],
)
def test_what_no_float_follows_is_a_sentence(call, words: str) -> None:
    with pytest.raises(InputError, match=words):
        call()


@pytest.mark.parametrize("step_size", [1e-8, 0.5, 50.0])
def test_a_start_that_is_1_but_for_rounding_has_curves(step_size: float) -> None:
    """Both ends of a search were the root itself, on one side of it by rounding, and the curves were NaN."""
    p0 = 1 - 2**-53
    curves = [theory.adam_flow(p0, step_size, 5.0, 20, spread=spread) for spread in ("response", "class")]
    curves.append(theory.prefix_tree_flow(10, 3, step_size, 20, p0=p0))
    for curve in curves:
        assert np.all((curve.value > 1 - 1e-15) & (curve.value <= 1))
        assert np.all((curve.regret > 0) & (curve.regret <= 1.001 * (1 - p0) * np.arange(1, 21)))


def test_a_floor_of_huge_steps_is_the_wait_for_one_success() -> None:
    assert theory.ppo_clip_floor(0.1, 1e308, clip=10.0) == pytest.approx(10.0)


def test_just_inside_there_are_numbers() -> None:
    assert np.isfinite(theory.rft_predict(1e-300, 1.0, 1e50, 31).value).all()
    assert np.isfinite(theory.tree_jump(CHAIN, 1e90, 31).value).all()
    nearly = chain_of_decisions(1 - 1e-9, 1.0, 1000)  # 1 - q by subtraction has 4 digits here, and kappa 8 of 9 wrong
    assert np.exp(nearly.log_prob[1]) == pytest.approx(1e-12, rel=1e-6)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"log_prob": np.array([np.nan, *CHAIN.log_prob[1:]])}, "log_prob holds a number that is not finite"),
        ({"log_prob": np.array([0.0, -np.inf, *CHAIN.log_prob[2:]])}, "log_prob holds a number that is not finite"),
        ({"truth": np.full(6, 5.0)}, "truth must be .6."),
        ({"truth": np.ones(2)}, "truth must be .6."),
        ({"gram": -np.eye(6)}, "squared norms"),
        ({"gram": np.triu(np.ones((6, 6)))}, "symmetric"),
    ],
)
def test_a_tree_of_no_policy_is_refused(change: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        dataclasses.replace(CHAIN, **change)


@pytest.mark.parametrize("adam", [(0.9, 0.999, 0.0), (0.9, 0.999, 1e-46), (0.9, 1 - 1e-9, 1e-8), (1 - 1e-9, 0.9, 1e-8)])
def test_adam_whose_step_would_be_nothing_by_nothing_is_refused(adam: tuple[float, float, float]) -> None:
    table = summarize(arms.Needle(log10_arms=1, p0=0.1))
    with pytest.raises(InputError, match="single precision"):
        theory.predict(table, step_size=0.05, rounds=3, optimizer="adam", adam=adam)
    assert theory.predict(table, step_size=0.05, rounds=3, adam=adam).value.size == 3  # plain steps have no use for it


def test_a_mean_time_beyond_what_is_simulated_is_not_infinity() -> None:
    """The law stands on a coarser search here: 64 rounds in place of 4,096."""
    found = theory.tree_rounds(CHAIN, 1e-4, 2, signal="signed")
    law: Any = found.law
    law.searched = 64
    with pytest.raises(InputError, match=r"level is 0.5 and 100.0% of the simulated runs are below it for 64 rounds"):
        found.mean_hitting_time(0.5)
    assert found.hitting_time_quantile(0.5, 0.5) == math.inf


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_the_audit_has_a_page_where_every_path_is_refused(optimizer: str) -> None:
    record = {"model": "m", "task": "t", "question": 1, "step": 0.1, "optimizer": optimizer, "refused": "too few"}
    page = "\n".join(path_tables.sections([record]))
    assert "refused: too few" in page
    assert "No run of plain gradient steps" in page
