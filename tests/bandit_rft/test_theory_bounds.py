"""Classic bounds: extremes of the numerics, limits, errors; the audit has the runs.

Warnings are errors here, so that an overflow or a 0/0 in any of them fails its test.
"""

from __future__ import annotations

import math
from decimal import Decimal, localcontext

import numpy as np
import pytest

from bandit_rft import theory
from bandit_rft.errors import InputError
from bandit_rft.theory.bounds.common import bernoulli_divergence
from tests.bandit_rft.bounds import LONG, MEANS, sound

EVERY = {
    "lai_robbins": lambda means, rounds, **more: theory.lai_robbins(means, rounds, **more),
    "thompson_bound": lambda means, rounds, **more: theory.thompson_bound(means, rounds, 0.1, **more),
    "ucb1_bound": lambda means, rounds, **more: theory.ucb1_bound(means, rounds, **more),
    "ucb_alpha_bound": lambda means, rounds, **more: theory.ucb_alpha_bound(means, rounds, 3.0, **more),
    "kl_ucb_bound": lambda means, rounds, **more: theory.kl_ucb_bound(means, rounds, **more),
    "kl_ucb_bound, c = 1": lambda means, rounds, **more: theory.kl_ucb_bound(means, rounds, 1.0, **more),
    "successive_elimination_bound": lambda means, rounds, **more: theory.successive_elimination_bound(
        means, rounds, **more
    ),
    "explore_then_commit_bound": lambda means, rounds, **more: theory.explore_then_commit_bound(
        means, rounds, 10, **more
    ),
    "moss_bound": lambda means, rounds, **more: theory.moss_bound(means, rounds, **more),
    "tsallis_inf_stochastic_bound": lambda means, rounds, **more: theory.tsallis_inf_stochastic_bound(
        means, rounds, **more
    ),
}
ANY_REWARDS = {
    "exp3 loss": lambda arms, rounds: theory.exp3_bound(arms, rounds, "loss"),
    "exp3 gain": lambda arms, rounds: theory.exp3_bound(arms, rounds, "gain"),
    "exp3_ix_bound": theory.exp3_ix_bound,
    "exp3_ix_bound, 1%": lambda arms, rounds: theory.exp3_ix_bound(arms, rounds, 0.01),
    "tsallis_inf_bound": theory.tsallis_inf_bound,
    "thompson_bayes_bound": theory.thompson_bayes_bound,
    "minimax_lower": theory.minimax_lower,
}
EXTREMES = (
    [0.9, 0.6],
    [1.0, 0.0],
    [1.0, 0.5],
    [0.5, 0.0],
    [1e-300, 0.0],
    [1e-300, 5e-301],
    [0.5, 0.5 - 1e-15],
    [1.0, 1.0 - 1e-15],
    [1.0 - 1e-12, 0.3],
    [0.7],
)


@pytest.mark.parametrize("means", EXTREMES, ids=str)
@pytest.mark.parametrize("name", EVERY)
def test_extreme_means_and_horizons(name: str, means: list[float]) -> None:
    """Catches 0/0 at means of 0 and 1, digits lost to tiny gaps, and loops over the horizon."""
    for rounds in (1, 2, 50, LONG):
        if name.startswith("tsallis") and len(means) == 1:
            continue
        sound(EVERY[name](means, rounds))


@pytest.mark.parametrize("name", ANY_REWARDS)
def test_extreme_numbers_of_arms(name: str) -> None:
    """Catches K as a float: 10^400 arms have none; every upper bound is vacuous there and says so."""
    for number in (2, 10**6, 10**400, 10**100_000):
        for rounds in (1, 3, LONG):
            sound(ANY_REWARDS[name](number, rounds))
    assert ANY_REWARDS[name](10**400, 1000).vacuous


@pytest.mark.parametrize("name", EVERY)
def test_counts_stand_for_repeated_means(name: str) -> None:
    once = EVERY[name]([0.9, 0.6, 0.6, 0.6, 0.2], 3000)
    counted = EVERY[name]([0.9, 0.6, 0.2], 3000, counts=[1, 3, 1])
    np.testing.assert_allclose(counted.uncapped, once.uncapped, rtol=1e-7)
    sound(EVERY[name]([0.9, 0.6], 1000, counts=[1, 1e300]))


@pytest.mark.parametrize("name", [name for name in EVERY if name not in ("lai_robbins", "thompson_bound")])
def test_more_arms_than_rounds_make_it_vacuous(name: str) -> None:
    """docs/theory.md, D. One exception is exact: where the best arm pays always KL-UCB needs no logarithm."""
    bound = EVERY[name]([0.9, 0.5], 1000, counts=[1, 1000])
    assert bound.vacuous
    np.testing.assert_allclose(bound.value, 0.4 * bound.at)
    assert "vacuous" in bound.report()


def divergence(low: float, gap: float) -> np.ndarray:
    return bernoulli_divergence(low, gap, 1 - low, 1 - low - gap)


@pytest.mark.parametrize(
    ("low", "gap"),
    [(0.5, 1e-9), (0.5, 1e-3), (0.3, 0.029), (0.3, 0.031), (0.2, 0.7), (1e-10, 2e-11), (1e-300, 1e-300), (0.0, 0.3)],
)
def test_divergence_keeps_its_digits(low: float, gap: float) -> None:
    """Against 700 digits; the plain formula has none left at a gap of 1e-9, and the two forms meet at a tenth."""
    with localcontext() as context:
        context.prec = 700
        p, q = Decimal(low), Decimal(low) + Decimal(gap)
        exact = (p * (p / q).ln() if p else Decimal(0)) + (1 - p) * ((1 - p) / (1 - q)).ln()
        assert float(Decimal(float(divergence(low, gap))) / exact) == pytest.approx(1, rel=1e-13)


def test_divergence_at_the_ends() -> None:
    assert divergence(0.5, 0.5) == math.inf
    assert divergence(0.0, 1.0) == math.inf
    assert divergence(1.0, 0.0) == divergence(0.0, 0.0) == divergence(0.4, 0.0) == 0


@pytest.mark.parametrize(("worse", "best"), [(0.3, 1 - 2**-53), (0.3, 1 - 1e-12)])
def test_a_best_arm_that_nearly_always_pays_is_not_one_that_always_does(worse: float, best: float) -> None:
    """1 - low - gap has no digit left there: the divergence was infinite, and the constant 0."""
    with localcontext() as context:
        context.prec = 60
        p, q = Decimal(worse), Decimal(best)
        exact = (q - p) / (p * (p / q).ln() + (1 - p) * ((1 - p) / (1 - q)).ln())
    assert theory.lai_robbins_constant([worse, best]) == pytest.approx(float(exact), rel=1e-13)


@pytest.mark.parametrize("delta", [5e-324, 1e-300, 1e-17, 1e-4, 0.3, 0.5 - 2**-54])
def test_a_confidence_beyond_the_digits_of_a_float_is_finite(delta: float) -> None:
    """kl(d, 1 - d) = (1 - 2d) ln((1 - d)/d); below 1e-16 it was infinite."""
    with localcontext() as context:
        context.prec = 400
        d = Decimal(delta)
        exact = float((1 - 2 * d) * ((1 - d) / d).ln())
    means = [0.9, 0.5]
    found = theory.identification_lower(means, delta) / theory.best_arm_complexity(means)
    assert found == pytest.approx(exact, rel=1e-13)


def test_a_gap_below_the_normal_floats_makes_no_nan() -> None:
    """1/d overflowed, and an infinity times ln 1 is NaN."""
    bound = theory.kl_ucb_bound([1e-310, 0.0], rounds=3)
    assert np.isfinite(bound.value).all()
    assert np.all(bound.value <= bound.trivial)


def test_deterministic_rewards_have_no_logarithm() -> None:
    """docs/theory.md, D: KL is infinite at 0/1 rewards, and wherever the best arm pays always."""
    assert theory.lai_robbins_constant([1.0, 0.0, 0.0]) == theory.lai_robbins_constant([1.0, 0.7]) == 0.0
    bound = theory.lai_robbins([1.0, 0.0], 1000)
    assert bound.vacuous
    assert bound.asymptotic
    np.testing.assert_array_equal(bound.value, 0.0)
    # KL-UCB then pulls each wrong arm once, or until its first failure.
    np.testing.assert_allclose(theory.kl_ucb_bound([1.0, 0.0, 0.0], 1000).uncapped, 2.0)
    assert theory.kl_ucb_bound([1.0, 0.75], LONG).value[-1] == pytest.approx(1.0)


def test_lai_robbins_says_when_no_run_can_be_so_bad() -> None:
    """At small gaps the asymptotic curve exceeds T times the gap for long: catches a number printed without a word."""
    assert "too short" in theory.lai_robbins([0.52, 0.5], 1000).flags[0]
    assert not theory.lai_robbins([0.52, 0.5], 10**5).flags


def test_pinsker_orders_lai_robbins_below_the_others() -> None:
    """Lower below upper at every T, and the leading constants of docs/theory.md: 8/gap >= 2 alpha/gap >= gap/KL."""
    lower = theory.lai_robbins(MEANS, LONG)
    for name in EVERY:
        if name not in ("lai_robbins", "explore_then_commit_bound"):
            assert (lower.uncapped <= EVERY[name](MEANS, LONG).uncapped).all(), name


def test_minimax_says_nothing_below_k_minus_one_rounds() -> None:
    bound = theory.minimax_lower(100, 98)
    assert bound.vacuous
    assert "below K - 1" in bound.flags[0]
    assert theory.minimax_lower(100, 99).value[-1] == pytest.approx(99 / 27)


def test_thompson_bayes_entropy() -> None:
    """ln K by default; 0 when the best arm is known; more than ln K is impossible."""
    assert theory.thompson_bayes_bound(8, 100, math.log(8)).value[-1] == theory.thompson_bayes_bound(8, 100).value[-1]
    assert theory.thompson_bayes_bound(8, 100, 0.0).value[-1] == 0
    with pytest.raises(InputError, match="at most ln K"):
        theory.thompson_bayes_bound(8, 100, 2.1)


def test_fresh_arm_sweep_is_flagged_beyond_k_rounds() -> None:
    assert not theory.fresh_arm_sweep(0.1, 100, log_arms=math.log(100)).flags
    assert "outnumber" in theory.fresh_arm_sweep(0.1, 101, log_arms=math.log(100)).flags[0]
    long = theory.fresh_arm_sweep(1e-300, LONG, log_arms=1e6)
    assert long.rounds == LONG
    assert long.regret[-1] == LONG
    with pytest.raises(InputError, match="at most best_mean"):
        theory.fresh_arm_sweep(0.9, 10, 0.8)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: theory.ucb1_bound([0.5, 1.2], 10), "1.2"),
        (lambda: theory.ucb1_bound([], 10), "empty"),
        (lambda: theory.ucb1_bound([0.5, math.nan], 10), "nan"),
        (lambda: theory.ucb1_bound([0.5, 0.2], 0), "rounds"),
        (lambda: theory.ucb1_bound([0.5, 0.2], 10, [1]), "counts"),
        (lambda: theory.ucb1_bound([0.5, 0.2], 10, [1, 0.5]), "counts"),
        (lambda: theory.ucb_alpha_bound([0.5, 0.2], 10, -1.0), "alpha"),
        (lambda: theory.kl_ucb_bound([0.5, 0.2], 10, -1.0), "c is"),
        (lambda: theory.explore_then_commit_bound([0.5, math.inf], 10, 2), "finite"),
        (lambda: theory.explore_then_commit_bound([0.5, 0.2], 10, 0), "pulls_per_arm"),
        (lambda: theory.explore_then_commit_bound([0.5, 0.2], 10, 1, 0.0), "sigma"),
        (lambda: theory.tuned_explore_then_commit_bound(0.0, 10), "gap"),
        (lambda: theory.tuned_explore_then_commit_bound(1e-200, 10), "between 1e-150"),
        (lambda: theory.exp3_bound(10, 100, "both"), "gain or loss"),
        (lambda: theory.exp3_bound(1, 100, "gain"), "arms"),
        (lambda: theory.exp3_ix_bound(10, 100, 1.0), "failure"),
        (lambda: theory.minimax_lower(2, 100, -1.0), "sigma"),
        (lambda: theory.thompson_bound([0.5, 0.2], 10, -0.1), "epsilon"),
        (lambda: theory.lai_robbins_constant([0.5, 0.2], sigma=0.0), "sigma"),
    ],
)
def test_bad_input_is_one_sentence(call, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()
