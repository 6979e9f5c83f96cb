"""A run that only sweeps fresh arms takes a path of its own: it must be the same run."""

import math
import warnings

import jax
import numpy as np
import pytest

from bandit_rft import arms, learners, run
from bandit_rft.errors import SweepWarning
from bandit_rft.learners import tabular
from bandit_rft.loop import describe, scan
from bandit_rft.loop.description import described

TWENTY = arms.Classes(log_counts=[math.log(3)] * 20, means=np.linspace(0.0, 0.95, 20).tolist())
CASES = {
    "listed": (arms.Bernoulli(np.linspace(0.1, 0.9, 40).tolist()), learners.UCB1()),
    "every arm once": (arms.Bernoulli(np.linspace(0.1, 0.9, 12).tolist()), learners.MOSS()),
    "classes": (
        arms.Classes(log_counts=[math.log(3)] * 20, means=np.linspace(0.0, 0.95, 20).tolist()),
        learners.UCB1(),
    ),
    "reservoir": (arms.Reservoir(), learners.UCB1()),
    "subsample": (arms.Bernoulli(np.linspace(0.1, 0.9, 40).tolist()), learners.Subsampled(learners.UCB1(), size=15)),
    "memory": (arms.Bernoulli(np.linspace(0.1, 0.9, 40).tolist()), learners.SlidingWindowUCB(window=12)),
}


@pytest.mark.parametrize("case", CASES)
def test_a_run_that_only_sweeps_is_the_same_to_the_bit(case, monkeypatch):
    """Catches a draw from another key, a row, count or statistic written elsewhere, and a place taken from one seed
    that is not the others'."""
    table, learner = CASES[case]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SweepWarning)
        scan._cached.cache_clear()
        quick = run(table, learner, rounds=12, seeds=3, key=5)
        monkeypatch.setattr(tabular, "_only_sweeps", lambda *given: False)
        scan._cached.cache_clear()
        plain = run(table, learner, rounds=12, seeds=3, key=5)
    scan._cached.cache_clear()
    both = [(history.rewards, history.value, history.pulled_mean, history.final_state) for history in (quick, plain)]
    assert jax.tree.structure(both[0]) == jax.tree.structure(both[1])
    for one, other in zip(*(jax.tree.leaves(each) for each in both), strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


def test_a_run_that_outlasts_the_sweep_does_not_take_that_path():
    """Catches a path that would go on as if every arm were new."""
    rule = learners.UCB1().rule(arms.Bernoulli([0.1] * 12), 13)
    table = arms.Bernoulli([0.1] * 12)
    assert tabular._only_sweeps(table, rule, 12)
    assert not tabular._only_sweeps(table, rule, 13)
    assert not tabular._only_sweeps(arms.Delayed(table, rounds=2), rule, 12)


def test_states_of_different_rounds_are_told_not_to_be_used():
    """The rows of all seeds are written at the first one's place. Catches an update mapped over states of different
    rounds whose rows are silently those of another round."""
    learner = learners.UCB1().bind(CASES["listed"][0], rounds=12)
    keys = jax.random.split(jax.random.key(0), 2)

    def stepped(state):
        pulls, _ = jax.vmap(learner.act)(keys, state)
        return jax.vmap(learner.update)(state, pulls, jax.numpy.zeros((2, 1)))

    with jax.enable_x64(True):
        first = jax.vmap(learner.init)(keys)
        second = stepped(first)
        mixed = jax.tree.map(lambda one, other: jax.numpy.stack([one[0], other[1]]), first, second)
        assert np.asarray(stepped(second).rows.overflowed).tolist() == [False, False]
        assert np.asarray(stepped(mixed).rows.overflowed).tolist() == [False, True]


def test_a_long_table_is_described_the_same_from_memory():
    """Catches a description kept for a tuple of other types: 1 and 1.0 are equal and written differently."""
    whole, real = tuple(range(40)), tuple(float(number) for number in range(40))
    table = arms.Bernoulli([0.5] * 40)
    assert described(whole) == described(tuple(range(40))) == described(whole)
    assert described(whole) != described(real)
    assert describe(table) == describe(table) == describe(arms.Bernoulli([0.5] * 40))
