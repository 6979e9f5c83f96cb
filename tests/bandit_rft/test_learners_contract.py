"""Every learner keeps the contract: pure functions, the same eager and compiled, one trace, reproducible, finite."""

import dataclasses
import inspect

import jax
import numpy as np
import pytest

from bandit_rft import arms, learners, run
from bandit_rft.contract import Learner
from bandit_rft.errors import InputError
from bandit_rft.learners import tabular
from simulations.support_table import LEARNERS as ALL
from simulations.support_table import supported

NEEDLE = arms.Needle(log10_arms=2, optimal=3, p0=0.1)
LEARNERS = {name: learner for name, learner in ALL.items() if supported(learner, NEEDLE)}
HUGE = arms.Needle(log10_arms=100_000, optimal=10**50, p0=0.2)


@pytest.mark.parametrize("name", LEARNERS)
def test_signature_and_states(name: str) -> None:
    """bind gives a Learner of the contract's signatures; two inits of one key are equal; states keep their structure,
    shapes and dtypes from round to round (a drifting dtype would retrace, a weak type would surprise).
    """
    learner = LEARNERS[name]
    assert dataclasses.is_dataclass(learner)
    with jax.enable_x64(True):
        bound = learner.bind(NEEDLE, rounds=20)
        assert isinstance(bound, Learner)
        assert list(inspect.signature(bound.act).parameters) == ["key", "state"]
        state = jax.jit(bound.init)(jax.random.key(0))

        def one(state):
            pulls, _ = bound.act(jax.random.key(1), state)
            return bound.update(state, pulls, NEEDLE.pull(jax.random.key(2), pulls))

        before, after = jax.eval_shape(lambda: state), jax.eval_shape(one, state)
        assert jax.tree.structure(before) == jax.tree.structure(after)
        for old, new in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
            assert (old.shape, old.dtype) == (new.shape, new.dtype)


@pytest.mark.parametrize(
    "name", [n if n in ("UCB1", "SoftmaxPolicyGradient") else pytest.param(n, marks=pytest.mark.slow) for n in LEARNERS]
)
def test_eager_and_compiled_are_equal(name: str) -> None:
    with jax.enable_x64(True):
        bound = LEARNERS[name].bind(NEEDLE, rounds=20, row_capacity=24)
        eager = compiled = bound.init(jax.random.key(0))
        act, update = jax.jit(bound.act), jax.jit(bound.update)
        for step in range(3):
            key, pull_key = jax.random.split(jax.random.key(step))
            pulls, _ = bound.act(key, eager)
            fast, _ = act(key, compiled)
            np.testing.assert_array_equal(pulls.row, fast.row)
            rewards = NEEDLE.pull(pull_key, pulls)
            eager, compiled = bound.update(eager, pulls, rewards), update(compiled, fast, rewards)
            for a, b in zip(jax.tree.leaves(eager), jax.tree.leaves(compiled), strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-12)


@pytest.mark.parametrize("name", LEARNERS)
def test_finite_reproducible_and_alike_in_both_loops(name: str) -> None:
    """ln K = 230,258 and jax_debug_nans: a NaN behind a `where`, a number that leaves log space, or a loop of its own
    keys shows here.
    """
    learner = LEARNERS[name]
    with jax.debug_nans(True):
        history = run(HUGE, learner, rounds=15, seeds=3, key=4)
        host = run(HUGE, learner, rounds=15, seeds=3, key=4, loop="host")
    assert np.isfinite(history.value).all()
    assert (np.diff(history.regret(), axis=1, prepend=0.0) >= 0).all()
    np.testing.assert_array_equal(history.rewards, host.rewards)
    np.testing.assert_allclose(history.value, host.value, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", LEARNERS)
def test_a_seed_does_not_depend_on_its_neighbours(name: str) -> None:
    many = run(NEEDLE, LEARNERS[name], rounds=15, seeds=8, key=3)
    np.testing.assert_array_equal(many.rewards[:2], run(NEEDLE, LEARNERS[name], rounds=15, seeds=2, key=3).rewards)


def test_a_table_of_arms_is_asked_for_by_name() -> None:
    assert not any(supported(learner, object()) for learner in LEARNERS.values())


def test_rows_beyond_memory_are_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """10^9 rounds on 10^100 arms ended in an allocation that fails, or in the machine's swap. Here shapes alone are
    asked for, and nothing is allocated.
    """
    needle = arms.Needle(log10_arms=100, p0=0.5)
    endless = learners.UCB1().bind(needle, rounds=2**31)  # what is known of it without a run stays known
    assert endless.notes
    with pytest.raises(InputError, match="UCB1 would need 2,147,483,650 rows"):
        jax.eval_shape(endless.init, jax.random.key(0))
    monkeypatch.setattr(tabular, "_memory", lambda: 2.0**20)
    with pytest.raises(InputError, match=r"this machine has 0\.000977 GiB"):
        run(needle, learners.UCB1(), 10**5)
    assert run(needle, learners.UCB1(), 10).rounds == 10


def test_elimination_keeps_an_arm_where_it_dropped_them_all() -> None:
    """Means that change may drop every arm: catches the policy without arms, whose value was NaN."""
    table = arms.Drifting(arms.Bernoulli([0.95, 0.05]), changes=(200, 400, 600, 800))
    history = run(table, learners.SuccessiveElimination(), rounds=1000, seeds=10, key=0)
    assert np.isfinite(history.value).all()
