"""What the learners for changing means promise, and Bayes-UCB: growth of regret, an independent quantile."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from bandit_rft import InputError, arms, learners, run, theory
from bandit_rft.learners.bayes_ucb import upper_quantile
from bandit_rft.regret import scaling_exponent


def final(learner, table, rounds: int, seeds: int) -> tuple[float, float]:
    """(mean final regret, its standard error)."""
    regret = run(table, learner, rounds, seeds=seeds, key=2).regret("pulled")[:, -1]
    return float(regret.mean()), float(regret.std(ddof=1) / np.sqrt(seeds))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "most"),
    [
        (lambda rounds: learners.SlidingWindowUCB(window=int(2 * np.sqrt(rounds * np.log(rounds) / 3))), 0.65),
        (lambda rounds: learners.DiscountedUCB(discount=1 - np.sqrt(3 / rounds) / 4), 0.85),
    ],
    ids=["sliding window", "discounted"],
)
def test_regret_grows_with_the_root_of_time_where_arms_change_places(make, most: float) -> None:
    """Three changes whatever T, and the paper's tuning: of order sqrt(T ln T), and sqrt(T) ln T.

    From T = 1000 to 16,000 the logarithms add .06 and .12 to the exponent 1/2, and the discounted width 2B is still of
    the gaps' size; a learner that does not follow has exponent 1. Four standard errors (3e-5).
    """
    horizons, means = (1000, 4000, 16000), [0.9, 0.5, 0.2]
    regret = []
    for rounds in horizons:
        table = arms.Drifting(arms.Bernoulli(means), changes=tuple(rounds * part // 4 for part in (1, 2, 3)))
        regret.append(run(table, make(rounds), rounds, seeds=40, key=2).regret("pulled")[:, -1])
    growth = scaling_exponent(horizons, regret)
    assert 0.5 - 4 * growth.standard_error < growth.slope < most - 4 * growth.standard_error


def test_nothing_forgotten_is_ucb1() -> None:
    """A window as long as the run at xi = 2, and no discount at xi = 1/2, are UCB1 pull for pull."""
    table = arms.Bernoulli([0.6, 0.5, 0.2])
    ucb1 = run(table, learners.UCB1(), 500, seeds=5, key=3)
    window = run(table, learners.SlidingWindowUCB(window=500, xi=2.0), 500, seeds=5, key=3)
    discounted = run(table, learners.DiscountedUCB(discount=1.0, xi=0.5), 500, seeds=5, key=3)
    np.testing.assert_array_equal(window.rewards, ucb1.rewards)
    np.testing.assert_allclose(discounted.value, ucb1.value)


def test_a_count_that_fades_below_the_floats_is_not_that_of_an_arm_never_pulled() -> None:
    """gamma^400 is 0 in floats. In the second sweep the arms come in the order of the first, the one pulled longest ago
    before all; and without any width the best mean stays the best.
    """
    table = arms.Deterministic(np.linspace(0.4, 0.5, 400).tolist())
    paid = run(table, learners.DiscountedUCB(discount=0.1), 800, seeds=2, key=1).rewards[:, :, 0]
    assert len(set(paid[0, :400])) == 400
    np.testing.assert_array_equal(paid[:, :400], paid[:, 400:])
    no_width = run(arms.Deterministic([0.5, 0.9, 0.4]), learners.DiscountedUCB(discount=1e-30), 60, seeds=2, key=1)
    np.testing.assert_array_equal(no_width.rewards[:, 3:], 0.9)


def test_a_window_too_short_for_the_arms_never_learns() -> None:
    """Five rewards on forty arms: the window has always forgotten one, and the regret is that of blind choice."""
    table = arms.Bernoulli([0.9] + [0.1] * 39)
    mean, error = final(learners.SlidingWindowUCB(window=5), table, 400, 200)
    assert abs(mean - 400 * 0.8 * 39 / 40) < 4 * error + 1


@pytest.mark.parametrize("learner", [learners.SlidingWindowUCB(window=50), learners.DiscountedUCB(discount=0.98)])
def test_they_run_at_ten_to_the_hundred_arms(learner) -> None:
    history = run(arms.Needle(log10_arms=100, p0=0.5), learner, 60, seeds=2, key=0)
    assert np.isfinite(history.value).all()


def test_the_quantile_is_scipys() -> None:
    """Posteriors from none to 10^6 pulls, all failures and all successes among them, to 1e-9."""
    rng = np.random.default_rng(0)
    pulls = np.floor(10 ** rng.uniform(0, 6, 400)) - 1
    wins = np.floor(pulls * rng.random(400) ** rng.choice([0.05, 1.0, 10.0], 400))
    wins[:20], wins[20:40] = pulls[:20], 0
    level = rng.uniform(0.05, 20, 400)
    with jax.enable_x64(True):
        ours = np.asarray(upper_quantile(jnp.asarray(wins), jnp.asarray(pulls - wins), jnp.asarray(level)))
    np.testing.assert_allclose(ours, 1 - stats.beta.ppf(np.exp(-level), 1 + pulls - wins, 1 + wins), atol=1e-9)


def test_a_quantile_next_to_one_is_not_nought() -> None:
    """One failure in 10^5 to 10^6 pulls, and tails that a c of 10 to 100 asks for: the start was rounded to 1, from
    where Newton's method fell to 0, so that the best arm came last.
    """
    with jax.enable_x64(True):
        wins, level = jnp.asarray([682977.0, 93592.0, 1e5, 3.0]), jnp.asarray([47.58, 60.0, 380.0, 380.0])
        assert np.all(np.asarray(upper_quantile(wins, jnp.ones(4), level)) > 1 - 1e-9)


def test_a_temperature_may_fall_beyond_floats() -> None:
    """t^400 is infinite from t = 6 on, and infinity times a mean of 0 was NaN: the arm of the first row was pulled."""
    history = run(arms.Deterministic([0.0, 1.0]), learners.AnnealedSoftmax(power=400.0), 20, seeds=2, key=0)
    np.testing.assert_array_equal(history.rewards[:, 2:], 1.0)


def test_bayes_ucb_grows_as_lai_and_robbins_say() -> None:
    """From T = 500 to 3000 the regret grows by the constant times ln 6, within 40% and four standard errors: Bayes-UCB
    reaches the constant as T grows. UCB1's growth on these arms is four times as much.
    """
    means = [0.9, 0.6]
    history = run(arms.Bernoulli(means), learners.BayesUCB(), 3000, seeds=100, key=5)
    regret = history.regret("pulled")
    grown = regret[:, -1] - regret[:, 499]
    wanted = theory.lai_robbins_constant(means) * np.log(6)
    assert abs(grown.mean() - wanted) < 0.4 * wanted + 4 * grown.std(ddof=1) / 10


def test_a_walk_s_range_is_that_of_its_means() -> None:
    """Means of 0/1 rewards walked out of [0, 1] while rewards were clipped to it; learners for rewards in [0, 1] took
    a walk beyond it by where it started; and between infinite bounds every mean was NaN.
    """
    for low, high in ((-1.0, 1.0), (0.0, 2.0)):
        with pytest.raises(InputError, match=r"may leave \[0, 1\]"):
            arms.Drifting(arms.Bernoulli([0.2, 0.8]), step=0.3, low=low, high=high)
    wide = arms.Drifting(arms.Deterministic([0.2, 0.8]), step=0.3, low=-1.0, high=2.0)
    assert [wide.means_within(*span) for span in ((0.0, 1.0), (-1.0, 1.9), (-1.0, 2.0))] == [False, False, True]
    with pytest.raises(InputError, match="KLUCB"):
        learners.KLUCB().bind(wide, rounds=10)
    still = arms.Drifting(arms.Bernoulli([0.2, 0.8]), low=-1.0, high=2.0, changes=(5,))
    assert still.means_within(0.0, 1.0)  # the means change places only
    for low, high in ((-np.inf, 1.0), (0.0, np.inf), (-1e308, 1e308)):
        with pytest.raises(InputError, match="finite"):
            arms.Drifting(arms.Gaussian([0.2, 0.8]), step=0.1, low=low, high=high)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: learners.SlidingWindowUCB(window=0), "window"),
        (lambda: learners.SlidingWindowUCB(window=5, xi=0.0), "xi"),
        (lambda: learners.DiscountedUCB(discount=1.5), "discount"),
        (lambda: learners.DiscountedUCB(discount=0.0), "discount"),
        (lambda: learners.BayesUCB(c=-1.0), "c"),
        (lambda: learners.BayesUCB(c=101.0), "c"),
        (lambda: learners.LinUCB(ridge=1e-16), "ridge"),  # V⁻¹ kept no digit, and regret was thirty times as large
        (lambda: learners.LinTS(ridge=1e-16), "ridge"),
        (lambda: learners.AnnealedSoftmax(scale=0.0), "scale"),
        (lambda: learners.AnnealedSoftmax(power=-1.0), "power"),
    ],
)
def test_arguments_out_of_range_are_refused_by_name(make, said: str) -> None:
    with pytest.raises(InputError, match=said):
        make()
