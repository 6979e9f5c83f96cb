"""Pools: untouched arms of any class in one row. No arm is lost or met twice, and which comes is uniform."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bandit_rft import InputError, SweepWarning, arms, learners, run
from bandit_rft.arms.priors import Beta, prior_of
from bandit_rft.pools import ClassPool, ListedPool, ReservoirPool
from bandit_rft.rows import Rows, draw, split


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_chains_of_splits_conserve_every_arm(data: st.DataObject) -> None:
    """Arms left in the pool and arms with a row of their own make up the classes, exactly, however the chain runs; the
    pool's mean is that of the arms left.
    """
    with jax.enable_x64(True):
        counts = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
        listed = data.draw(st.booleans())
        mean = np.linspace(0.1, 0.9, sum(counts) if listed else len(counts))
        total = sum(counts)
        pool = (
            ListedPool(arms=total, capacity=total)
            if listed
            else ClassPool(log_counts=tuple(np.log(np.asarray(counts, float)).tolist()))
        )
        rows = Rows.pooled(pool, float(np.log(total)), capacity=total + 1, pool_state=pool.start(jnp.asarray(mean)))
        per_class = np.ones(total) if listed else np.asarray(counts)
        for step in range(data.draw(st.integers(1, 7))):
            pulls, _ = draw(jax.random.key(step), rows, jnp.exp(rows.log_multiplicity), 3, pool)
            keep = jnp.asarray(data.draw(st.lists(st.booleans(), min_size=3, max_size=3)))[pulls.first]
            np.testing.assert_allclose(pulls.mean, mean[np.asarray(pulls.class_index)], rtol=0)
            rows, _ = split(rows, pulls, keep, pool)
            touched = np.asarray(rows.class_index)[1 : int(rows.used)]
            taken = np.bincount(touched, minlength=len(mean))
            assert (taken <= per_class).all()
            left = per_class - taken
            assert int(rows.count[0]) == left.sum()
            if left.sum():
                np.testing.assert_allclose(float(rows.mean[0]), (left * mean).sum() / left.sum(), rtol=1e-12)
            assert not bool(rows.overflowed)


@pytest.mark.parametrize("listed", [True, False])
def test_fresh_arms_come_uniformly_without_replacement(listed: bool) -> None:
    """Six arms in three classes, drawn three at a time and then two more: all ordered triples are equally likely.
    Chi-square at level 1e-4. A draw with replacement, or an off-by-one among the taken, would fail.
    """
    sizes = [1] * 6 if listed else [1, 2, 3]
    pool = ListedPool(arms=6, capacity=6) if listed else ClassPool(log_counts=tuple(np.log(np.array(sizes)).tolist()))

    def triple(key: jax.Array) -> jax.Array:
        first_key, second_key = jax.random.split(key)
        state = pool.start(jnp.zeros(len(sizes)))
        fresh = jnp.ones(1, bool)
        one, _ = pool.draw(first_key, state, fresh)
        state = pool.take(state, one, fresh)
        two, _ = pool.draw(second_key, state, jnp.ones(2, bool))
        return jnp.concatenate([one, two])

    drawn = np.asarray(jax.vmap(triple)(jax.random.split(jax.random.key(0), 30_000)))
    code = drawn @ np.asarray([len(sizes) ** 2, len(sizes), 1])
    expected = {}
    for a in range(len(sizes)):
        for b in range(len(sizes)):
            for c in range(len(sizes)):
                left, chance = list(sizes), 1.0
                for pick in (a, b, c):
                    chance *= left[pick] / sum(left)
                    left[pick] -= 1
                if chance > 0:
                    expected[a * len(sizes) ** 2 + b * len(sizes) + c] = chance
    assert set(code.tolist()) <= set(expected)
    counts = np.asarray([np.sum(code == key) for key in expected])
    assert stats.chisquare(counts, 30_000 * np.asarray(list(expected.values()))).pvalue > 1e-4


@pytest.mark.parametrize(
    ("means", "law"),
    [
        ("uniform", stats.uniform),
        (Beta(2.0, 3.0), stats.beta(2, 3)),
        (Beta(0.3, 0.2), stats.beta(0.3, 0.2)),
        (Beta(40.0, 7.5), stats.beta(40, 7.5)),
        (Beta(3.0, 1.0), stats.beta(3, 1)),
        (Beta(1.0, 0.5), stats.beta(1, 0.5)),
        # Quantiles below any float, and within one rounding of 1: NaN where they are put down in one form only.
        (Beta(0.01, 2.0), stats.beta(0.01, 2)),
        (Beta(3.0, 0.005), stats.beta(3, 0.005)),
        (Beta(0.01, 0.01), stats.beta(0.01, 0.01)),
    ],
)
def test_priors_have_their_quantiles(means: object, law) -> None:
    """Against SciPy, in the bulk and in both tails, error below 1e-6."""
    tails = np.asarray([1e-12, 1e-6, 1e-3])
    u = np.concatenate([tails, np.linspace(0.01, 0.99, 37), 1 - tails])
    prior = prior_of(means)
    np.testing.assert_allclose(np.asarray(prior.quantile(jnp.asarray(u))), law.ppf(u), atol=1e-6, rtol=1e-4)
    assert prior.average == pytest.approx(law.mean())
    mean = ReservoirPool(quantile=prior.quantile, average=prior.average).draw(
        jax.random.key(1), (), jnp.ones(20_000, bool)
    )[1]
    if law.sf(1 - 1e-15) > 1e-3:  # many arms are 1 but for rounding: no law for a test of continuous ones
        assert abs(np.mean(np.asarray(mean) > 0.5) - law.sf(0.5)) < 0.02  # five standard errors
        return
    assert stats.kstest(np.asarray(mean), law.cdf).pvalue > 1e-4


def test_a_function_of_quantiles() -> None:
    prior = prior_of(lambda u: 0.2 + 0.5 * u**2)
    assert (prior.supremum, prior.average) == (pytest.approx(0.7), pytest.approx(0.2 + 0.5 / 3, abs=1e-6))


def test_a_reservoir_s_best_mean_is_the_bound_of_its_means() -> None:
    """The quantile at 1 - 10^-12 stood for the supremum: .99602 of Beta(1, 5), 7.03 of a normal, which has none."""
    slow = arms.Reservoir(lambda u: 1 - (1 - u) ** 0.2)
    assert (slow.best_mean, slow.prior.low) == (1.0, 0.0)
    assert slow.average_mean == pytest.approx(1 / 6)
    normal = jax.scipy.special.ndtri
    with pytest.raises(InputError, match="have no supremum: give best_mean"):
        arms.Reservoir(normal, sigma=1.0)
    assert arms.Reservoir(normal, best_mean=8.0, sigma=1.0).best_mean == 8.0
    with pytest.raises(InputError, match="below what one arm in 10\\^12 exceeds"):
        arms.Reservoir(normal, best_mean=5.0, sigma=1.0)
    with pytest.raises(InputError, match="leave"):  # downwards, without bound
        arms.Reservoir(lambda u: jax.numpy.log(u) + 1.0)
    assert not arms.Instances(normal, sigma=1.0).means_within(-7.0, 7.0)
    with pytest.raises(InputError, match="is NaN at 1, and moves near it"):
        prior_of(lambda u: jax.numpy.where(u < 1, 1 - (1 - u) ** 0.2, np.nan))
    for refused in (
        lambda: arms.TwoPoint(0.1, high=np.inf),
        lambda: arms.TwoPoint(0.1, low=-np.inf),
        lambda: arms.Reservoir("uniform", best_mean=np.inf),
    ):
        with pytest.raises(InputError, match="finite number"):
            refused()


def test_an_index_that_sweeps_fresh_arms_says_so() -> None:
    """K ≥ T: the warning, the note, and the exact expected regret T(1 − m/K), which the run shows."""
    needle = arms.Needle(log10_arms=2, optimal=20)
    with pytest.warns(SweepWarning, match=r"exactly T\(best - average\) = 40"):
        history = run(needle, learners.UCB1(), 50, seeds=2000, key=0)
    assert "50 rounds do not exceed 100 arms" in history.notes[0]
    regret = history.regret("pulled")[:, -1]  # hypergeometric: |z| < 4, false alarm 6e-5
    assert abs(regret.mean() - 40) < 4 * regret.std(ddof=1) / np.sqrt(2000)
    assert run(needle, learners.UCB1(), 101, key=0).notes == ()
    assert run(needle, learners.ThompsonBeta(), 50, key=0).notes == ()
    endless = run(arms.Reservoir("uniform"), learners.KLUCB(), 5, key=0).notes[0]
    assert "infinitely many" in endless
    assert endless.endswith("= 2.5.")  # T(1 − ½): of the reservoir's own average


def test_cost_goes_with_the_arms_touched() -> None:
    """10^5 different means and 40 rounds: the rows are those of 40 arms, not of 10^5."""
    table = arms.Bernoulli(np.linspace(0, 1, 100_000).tolist())
    state = run(table, learners.SoftmaxPolicyGradient(step_size=0.5), 40, seeds=2, key=0).final_state
    assert state.rows.capacity == 41
