"""Classic bounds held against each other, against a search of one's own and against a limit; the audit has the runs."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bandit_rft import arms, learners, run, theory
from bandit_rft.errors import InputError
from tests.bandit_rft.bounds import LONG, MEANS, sound


def test_kl_ucb_tends_to_lai_robbins() -> None:
    """Catches a leading term below the lower bound, or one that is not reached. E[n] / ln T falls to 1/KL, slowly."""
    constant = theory.lai_robbins_constant([0.9, 0.3])
    horizons = (10**3, 10**6, 10**9, 10**18)
    pulls = [theory.kl_ucb_bound([0.9, 0.3], rounds, 2.0).uncapped[-1] for rounds in horizons]
    ratios = [regret / (constant * math.log(rounds)) for regret, rounds in zip(pulls, horizons, strict=True)]
    assert sorted(ratios, reverse=True) == ratios
    assert ratios[-1] > 1


def test_kl_ucb_levels_are_the_best_of_a_grid() -> None:
    """Catches a search that stops early: no pair of a fine grid of levels may do better by more than its rounding."""
    rounds, worse, best = 5000, 0.35, 0.8
    found = theory.kl_ucb_bound([best, worse], rounds).uncapped[-1] / (best - worse)
    x, y = np.meshgrid(*[np.linspace(worse, best, 400)[1:-1]] * 2, indexing="ij")
    x, y = x[x < y], y[x < y]

    def divergence(p: np.ndarray, q: np.ndarray | float) -> np.ndarray:
        return p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))

    failures = 1 / 2 + math.log((rounds - 1) / 2)
    pulls = (
        1
        + math.log(rounds - 1) / divergence(x, y)
        + 1 / np.expm1(divergence(x, worse))
        + failures / np.expm1(divergence(y, best))
    )
    assert 0.999 * pulls.min() < found < pulls.min() * (1 + 1e-9)


def test_ucb_alpha_at_four_is_close_to_ucb1() -> None:
    """2 alpha = 8: they differ by constants only. At alpha <= 2 nothing is proved, and it says so."""
    one, four = theory.ucb1_bound(MEANS, 1000).uncapped, theory.ucb_alpha_bound(MEANS, 1000, 4.0).uncapped
    np.testing.assert_allclose(np.diff(one), np.diff(four), rtol=1e-9)
    unproved = theory.ucb_alpha_bound(MEANS, 1000, 2.0)
    assert unproved.vacuous
    assert "alpha > 2" in unproved.flags[0]
    np.testing.assert_allclose(unproved.value, unproved.trivial)


def test_tuned_explore_then_commit_covers_its_own_m() -> None:
    """The tuned bound is at least the general one at the m that it names: catches a lost ceiling."""
    for gap, sigma in ((0.5, 1.0), (0.3, 0.5), (2.0, 1.0)):
        tuned = theory.tuned_explore_then_commit_bound(gap, 5000, sigma)
        for rounds in (10, 300, 5000):
            unit = gap**2 / (4 * sigma**2)
            pulls = max(1, math.ceil(math.log(rounds * unit) / unit)) if rounds * unit > 1 else 1
            if 2 * pulls <= rounds:
                general = theory.explore_then_commit_bound([gap, 0.0], rounds, pulls, sigma)
                assert general.value[-1] <= tuned.value[rounds - 1] * (1 + 1e-12)
    for gap, sigma in ((1e-100, 1.0), (1e100, 1.0), (1e-6, 1e6)):
        sound(theory.tuned_explore_then_commit_bound(gap, LONG, sigma))


def test_bounds_scale_with_the_noise() -> None:
    """In units of sigma nothing changes: catches a sigma in one term only."""
    for scale in (0.1, 30.0):
        np.testing.assert_allclose(
            theory.explore_then_commit_bound([0.5 * scale, 0.0], 500, 10, scale).uncapped,
            scale * theory.explore_then_commit_bound([0.5, 0.0], 500, 10).uncapped,
        )
        np.testing.assert_allclose(
            theory.tuned_explore_then_commit_bound(0.5 * scale, 500, scale).uncapped,
            scale * theory.tuned_explore_then_commit_bound(0.5, 500).uncapped,
        )
        assert theory.lai_robbins_constant([scale, 0.0], sigma=scale) == pytest.approx(2 * scale)


def test_tsallis_on_random_rewards_is_never_worse_than_on_any() -> None:
    for means in (MEANS, (0.9, 0.89), (1.0, 0.0)):
        random, anyway = theory.tsallis_inf_stochastic_bound(means, 10**6), theory.tsallis_inf_bound(len(means), 10**6)
        assert (random.uncapped <= anyway.uncapped).all()
    # Its slope in ln T tends to 4/gap.
    late = theory.tsallis_inf_stochastic_bound([1.0, 0.0], LONG)
    place = int(np.argmin(np.abs(late.at - 10**8)))
    slope = (late.uncapped[-1] - late.uncapped[place]) / math.log(LONG / late.at[place])
    assert slope == pytest.approx(4.0, rel=0.01)
    with pytest.raises(InputError, match="one alone is best"):
        theory.tsallis_inf_stochastic_bound([0.5, 0.5, 0.1], 100)
    with pytest.raises(InputError, match="one alone is best"):
        theory.tsallis_inf_stochastic_bound([0.5], 100)


def test_orders_without_gaps() -> None:
    """sqrt(KT): Tsallis-INF has no ln K; all are above the minimax lower bound; IX is 1.5 times the loss form."""
    number, rounds = 1000, 10**6
    lower = theory.minimax_lower(number, rounds)
    loss, gain = (theory.exp3_bound(number, rounds, form) for form in ("loss", "gain"))
    tsallis = theory.tsallis_inf_bound(number, rounds)
    assert lower.value[-1] < tsallis.uncapped[-1] < loss.uncapped[-1] * 1.2 < gain.uncapped[-1]
    np.testing.assert_allclose(theory.exp3_ix_bound(number, rounds).uncapped, 1.5 * loss.uncapped)
    # 10 times as sure costs ln 10 (1/eta + 1), eta = sqrt(2 ln K/(TK)).
    sure = [theory.exp3_ix_bound(number, rounds, failure).uncapped[-1] for failure in (0.1, 0.01)]
    rate = math.sqrt(2 * math.log(number) / (number * rounds))
    assert sure[1] - sure[0] == pytest.approx(math.log(10) * (1 / rate + 1))


def test_two_forms_of_exp3_and_a_third_of_ten_thousand_arms() -> None:
    """113 against 990. Auer's gain form mixes with gamma = 1 here and draws uniformly: 990 to the last
    digit; the loss form loses as much. 113 is neither, but the gain form without mixing at the loss form's rate:
    catches a table that gives one learner's number to another. 60 seeds; |z| < 4.
    """
    table, final = arms.Needle(log10_arms=4, optimal=100), {}
    for form in ("gain", "loss"):
        final[form] = run(table, learners.EXP3(form), rounds=1000, seeds=2, key=0).regret()[:, -1]
    np.testing.assert_allclose(final["gain"], 990.0, rtol=1e-9)
    np.testing.assert_allclose(final["loss"], 989.47, atol=0.01)
    unmixed = np.array([_unmixed_gain(seed) for seed in range(60)])
    assert abs(unmixed.mean() - 113) < 4 * unmixed.std(ddof=1) / math.sqrt(60)
    assert unmixed.mean() < 200


def _unmixed_gain(seed: int, number: int = 10**4, optimal: int = 100, rounds: int = 1000) -> float:
    """Regret of w <- w exp(eta r / p), eta = sqrt(2 ln K / (T K)). Only arms that paid ever move: they are listed."""
    generator, rate = np.random.default_rng(seed), math.sqrt(2 * math.log(number) / (rounds * number))
    paid, regret = np.zeros(0), 0.0
    for _ in range(rounds):
        top = max(float(paid.max(initial=0.0)), 0.0)
        listed, fresh = np.exp(paid - top), (optimal - paid.size) * math.exp(-top)
        total = listed.sum() + fresh + (number - optimal) * math.exp(-top)
        success = (listed.sum() + fresh) / total
        regret += 1 - success
        if generator.random() < success:
            weights = np.append(listed, fresh)
            which = int(generator.choice(weights.size, p=weights / weights.sum()))
            if which == paid.size:
                paid = np.append(paid, 0.0)
            paid[which] += rate * total / math.exp(paid[which] - top)
    return regret
