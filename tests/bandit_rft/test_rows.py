"""Rows: no arm is ever lost, no row of weight zero is drawn, draws of one arm are recognised."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bandit_rft import arms, learners, run
from bandit_rft.choice import at_the_top, choose
from bandit_rft.errors import InputError
from bandit_rft.rows import Pulls, Rows, draw, split
from bandit_rft.sampling import log_gamma


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def pulls_of(rows: Rows, row: list[int], first: list[int]) -> Pulls:
    index = jnp.asarray(row, jnp.int32)
    return Pulls(
        row=index, first=jnp.asarray(first, jnp.int32), class_index=rows.class_index[index], mean=rows.mean[index]
    )


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_splits_conserve_every_arm(data: st.DataObject) -> None:
    """Any chain of splits keeps the number of arms of each class, exactly and in integers (a float32 ln n − 1 chain
    would drift).
    """
    with jax.enable_x64(True):
        counts = data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))
        rows = Rows.of(np.log(np.asarray(counts, float)), capacity=len(counts) + 30)
        for step in range(data.draw(st.integers(1, 8))):
            pulls, _ = draw(jax.random.key(step), rows, jnp.exp(rows.log_multiplicity), 3)
            gain = data.draw(st.lists(st.booleans(), min_size=3, max_size=3))
            keep = jnp.asarray(gain)[pulls.first]
            rows, _ = split(rows, pulls, keep)
            per_class = np.bincount(np.asarray(rows.class_index), weights=np.asarray(rows.count), minlength=len(counts))
            assert per_class.tolist() == counts
            assert not bool(rows.overflowed)
            expected = np.where(rows.count > 0, np.log(np.maximum(rows.count, 1)), -np.inf)
            np.testing.assert_array_equal(np.asarray(rows.log_multiplicity), expected)


def test_a_huge_class_counts_its_splits_in_integers() -> None:
    rows = Rows.of(np.asarray([100.0 * np.log(10.0), 0.0]), capacity=40)
    for step in range(30):
        rows, place = split(rows, pulls_of(rows, [0], [0]), jnp.asarray([True]))
        assert int(place[0]) == 2 + step
    assert int(rows.count[0]) == -30
    assert int(rows.used) == 32
    np.testing.assert_allclose(float(rows.log_multiplicity[0]), 100 * np.log(10.0), rtol=1e-15)


def test_the_last_arm_of_a_huge_looking_class_is_exact() -> None:
    """2^31 − 1 arms are counted exactly; one more is kept as a logarithm and loses its arms one by one."""
    rows = Rows.of(np.log(np.asarray([2.0**31 - 1, 2.0**31])), capacity=4)
    assert rows.count[:2].tolist() == [2**31 - 1, 0]
    rows, _ = split(rows, pulls_of(rows, [1], [0]), jnp.asarray([True]))
    np.testing.assert_allclose(float(jnp.exp(rows.log_multiplicity[1])), 2.0**31 - 1, rtol=1e-12)


def test_overflow_is_flagged_and_capacity_below_classes_refused() -> None:
    rows = Rows.of(np.log([4.0]), capacity=2)
    rows, _ = split(rows, pulls_of(rows, [0], [0]), jnp.asarray([True]))
    assert not bool(rows.overflowed)
    rows, _ = split(rows, pulls_of(rows, [0], [0]), jnp.asarray([True]))
    assert bool(rows.overflowed)
    with pytest.raises(InputError, match="Row capacity 1 is too small"):
        Rows.of(np.log([4.0, 5.0]), capacity=1)


def test_one_arm_drawn_twice_moves_once() -> None:
    rows = Rows.of(np.log([3.0]), capacity=8)
    rows, place = split(rows, pulls_of(rows, [0, 0, 0], [0, 0, 2]), jnp.asarray([True, True, True]))
    assert place.tolist() == [1, 1, 2]
    assert rows.count[:3].tolist() == [1, 1, 1]


def test_draws_follow_the_weights_and_never_a_row_of_weight_zero() -> None:
    """Chi-square over 200,000 draws at level 1e-4; 37 rows make an uneven last block of the two-level search."""
    weight = np.random.default_rng(0).random(37)
    weight[[0, 5, 6, 36]] = 0.0
    row, total, _ = choose(jax.random.uniform(jax.random.key(0), (200_000,)), jnp.asarray(weight))
    counts = np.bincount(np.asarray(row), minlength=37)
    assert counts[weight == 0].sum() == 0
    kept = weight > 0
    expected = weight[kept] / weight.sum() * 200_000
    assert stats.chisquare(counts[kept], expected).pvalue > 1e-4
    np.testing.assert_allclose(float(total), weight.sum(), rtol=1e-14)


@pytest.mark.parametrize("entries", [5, 37, 700])
def test_a_uniform_at_the_very_end_takes_the_last_entry_with_weight(entries: int) -> None:
    """u·total may round up to the total: an unguarded search would return an index past the end, which JAX clamps
    silently.
    """
    weight = np.zeros(entries)
    weight[[0, 1, 2]] = [0.3, 0.7, 0.1]
    row, _, _ = choose(jnp.ones(2), jnp.asarray(weight))
    # Entries are searched column by column, so "last" is the last of the last column with any weight.
    assert (weight[np.asarray(row)] > 0).all()


def test_only_equal_entries_are_at_the_top() -> None:
    """A slope that is not steep enough ties with the largest what is one unit in the last place, or 1e300, below it."""
    for top, next_to_it in ((1.0, np.nextafter(1.0, 0.0)), (0.0, -1e-290), (np.inf, 1e299)):
        np.testing.assert_array_equal(at_the_top(jnp.asarray([top, next_to_it, top, -np.inf])), [1, 0, 1, 0])


@pytest.mark.parametrize(
    ("learner", "counts", "capacity"),
    [
        (learners.EpsilonGreedy(0.0, initial_value=-np.inf), [5, 5], None),
        (learners.Greedy(initial_value=-np.inf), [1, 1], 7),
    ],
    ids=["EpsilonGreedy", "Greedy"],
)
def test_an_index_of_minus_infinity_draws_no_empty_row(learner, counts: list[int], capacity: int | None) -> None:
    """Empty rows are masked with -infinity: an untouched arm of that index tied with them, and arms that there were not
    were pulled, of mean 0. With row_capacity, where no class has two arms, as well.
    """
    table = arms.Classes(np.log(counts).tolist(), [1.0, 1.0])
    history = run(table, learner, 6, 4, row_capacity=capacity)
    np.testing.assert_array_equal(history.value, 1.0)
    np.testing.assert_array_equal(history.rewards, 1.0)


def test_two_draws_of_a_row_meet_with_probability_one_over_its_size() -> None:
    """5 arms, pairs of draws: the meeting rate is 1/5 (binomial test, level 1e-4). Labels drawn without regard to size
    would fail.
    """
    rows = Rows.of(np.log([5.0]), capacity=2)
    keys = jax.random.split(jax.random.key(0), 20_000)
    first = jax.vmap(lambda key: draw(key, rows, jnp.exp(rows.log_multiplicity), 2)[0].first)(keys)
    assert stats.binomtest(int((first[:, 1] == 0).sum()), 20_000, 0.2).pvalue > 1e-4


def test_log_gamma_has_its_law() -> None:
    """KS against SciPy's gamma at level 1e-4 for each shape; shape 1 is the hardest of the rejection sampler's
    range.
    """
    for index, shape in enumerate([1.0, 1.5, 2.0, 17.0, 4000.0]):
        sample = np.exp(log_gamma(jax.random.key(index), jnp.full(40_000, shape)))
        assert stats.kstest(sample, stats.gamma(shape).cdf).pvalue > 1e-4
