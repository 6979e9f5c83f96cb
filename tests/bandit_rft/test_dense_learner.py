"""Own learners on small tables: what `choose` is given and gives, and the sentences for what cannot be."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bandit_rft import arms, learners, run
from bandit_rft.contract import Info, Learner
from bandit_rft.errors import InputError
from bandit_rft.loop import scan
from tests.bandit_rft.test_learners_law import ARMS, LEARNERS

MEANS = [0.3, 0.9, 0.5]
TABLE = arms.Bernoulli(MEANS)


@dataclass(frozen=True)
class Optimist(learners.DenseLearner):
    bonus: float = 1.0

    def choose(self, key, counts, sums, time):
        index = sums / jnp.maximum(counts, 1) + self.bonus * jnp.sqrt(jnp.log(time + 1) / jnp.maximum(counts, 1))
        return jnp.argmax(jnp.where(counts > 0, index, jnp.inf))


def choosing(function):
    class Mine(learners.DenseLearner):
        def choose(self, key, counts, sums, time):
            return function(key, counts, sums, time)

    return Mine()


@pytest.mark.parametrize("loop", ["scan", "host"])
def test_it_pulls_as_the_same_lines_do_in_numpy(loop: str) -> None:
    """Deterministic rewards, so that the path is one. Catches counts of another arm, and a time that is off by one."""
    counts, sums, path = np.zeros(3), np.zeros(3), []
    for _ in range(60):
        time = max(counts.sum(), 1)
        index = sums / np.maximum(counts, 1) + 0.7 * np.sqrt(np.log(time + 1) / np.maximum(counts, 1))
        arm = int(np.argmax(np.where(counts > 0, index, np.inf)))
        counts[arm] += 1
        sums[arm] += MEANS[arm]
        path.append(MEANS[arm])
    history = run(arms.Deterministic(MEANS), Optimist(bonus=0.7), rounds=60, seeds=2, loop=loop)
    np.testing.assert_allclose(history.rewards[:, :, 0], [path, path])
    np.testing.assert_allclose(
        history.final_state.counts[0] if loop == "scan" else history.final_state[0].counts, counts
    )


def test_random_choices_are_uniform_and_paid_by_the_arm_that_they_name() -> None:
    """Classes of several arms are told apart. A count of 4000 outside +-5.5 standard deviations: below 1e-6."""
    table = arms.Classes(np.log([2.0, 3.0]), [0.2, 0.8])
    learner = choosing(lambda key, counts, sums, time: jax.random.randint(key, (), 0, counts.size))
    history = run(table, learner, rounds=500, seeds=8)
    counts = np.asarray(history.final_state.counts).sum(axis=0)
    assert counts.shape == (5,)
    assert np.all(np.abs(counts - 800) < 5.5 * np.sqrt(800))
    assert (history.pulled_mean == 0.2).mean() == pytest.approx(counts[:2].sum() / 4000)


def test_a_python_int_is_an_arm_too_and_drift_and_noise_are_met() -> None:
    first = choosing(lambda key, counts, sums, time: 1)
    np.testing.assert_array_equal(run(TABLE, first, rounds=5).pulled_mean, np.full((1, 5, 1), 0.9))
    assert run(arms.Drifting(TABLE, 0.1), Optimist(), rounds=20, seeds=2).regret().shape == (2, 20)
    assert run(arms.Noisy(arms.Needle(log10_arms=1), 0.9, 0.1), Optimist(), rounds=20).rounds == 20


class Stubborn(learners.DenseLearner):
    """No dataclass."""

    def __init__(self, arm: int) -> None:
        self.arm = arm

    def choose(self, key, counts, sums, time):
        return self.arm


class Moved(arms.Bernoulli):
    """A dataclass by inheritance only: what is set beside its fields is in no comparison."""

    def class_means(self, world):
        return super().class_means(world) * self.scale


class Turned(learners.DenseLearner):
    def __init__(self, held) -> None:
        self.held = held

    def choose(self, key, counts, sums, time):
        return self.held[0]


def test_a_setting_that_changed_between_two_runs_is_run_as_it_is() -> None:
    """The compiled run of an object was kept by the object itself: what was set in it later was ignored."""
    learner, table = Stubborn(0), arms.Deterministic([0.0, 1.0])
    before = run(table, learner, rounds=2).rewards.sum()
    learner.arm = 1
    assert (before, run(table, learner, rounds=2).rewards.sum()) == (0.0, 2.0)
    moved = Moved([1.0, 1.0])
    for scale in (0.0, 1.0):
        object.__setattr__(moved, "scale", scale)
        assert run(moved, Optimist(), rounds=2).rewards.sum() == 2 * scale


def test_what_is_compiled_once_is_what_cannot_change() -> None:
    """Also within another: a wrapped arm set that can change. All of the package's own are compiled once."""
    for thing in [*LEARNERS.values(), *(table for table, _ in ARMS.values()), Optimist(), TABLE]:
        assert scan._is_by_value(thing[0] if isinstance(thing, tuple) else thing), thing
    assert TABLE.mean_of_class.size == 3  # kept by a cached property
    assert scan._is_by_value(TABLE)
    moved = Moved([1.0])
    object.__setattr__(moved, "scale", 1.0)
    for thing in (Stubborn(0), moved, arms.Delayed(moved, 1), Turned([0])):
        assert not scan._is_by_value(thing)


@pytest.mark.parametrize("loop", ["scan", "host"])
@pytest.mark.parametrize(
    ("choose", "said"),
    [
        (lambda key, counts, sums, time: np.argmax(np.asarray(sums)), "jax.numpy"),
        (lambda key, counts, sums, time: 0 if time < 3 else 1, "jax.numpy"),
        (lambda key, counts, sums, time: sums, "one whole number, the arm to pull, from 0 to 2"),
        (lambda key, counts, sums, time: jnp.max(sums), "one whole number"),
        (lambda key, counts, sums, time: None, "returned None"),
        (lambda key, counts, sums, time: "first", "one whole number"),
        (lambda key, counts, sums, time: True, "one whole number"),
        (lambda key, counts, sums, time: 3, "arm that there is"),
        (lambda key, counts, sums, time: -1, "arm that there is"),
        (lambda key, counts, sums, time: jnp.argmax(counts) + 3, "arm that there is"),
        (lambda key, counts, sums, time: 2**32 + 1, "arm that there is"),
        (lambda key, counts, sums, time: 2**70, "one whole number"),
    ],
)
def test_a_choice_that_is_no_arm_is_a_sentence(choose, said: str, loop: str) -> None:
    """Catches an arm past the end that JAX takes for the last one, and NumPy's own traceback."""
    with pytest.raises(InputError, match=said) as refused:
        run(TABLE, choosing(choose), rounds=4, loop=loop)
    assert "\n" not in str(refused.value)


def test_arms_that_are_too_many_or_late_are_refused() -> None:
    for table, said in [
        (arms.Needle(log10_arms=100, p0=0.05), "at most 10,000"),
        (arms.Bernoulli(np.full(10_001, 0.5)), "at most 10,000"),
        (arms.Delayed(TABLE, 2), "without delay"),
    ]:
        with pytest.raises(InputError, match=said):
            run(table, Optimist(), rounds=4)


# ------------------------------------------------------------------------ learners of the contract, all one's own


class Own:
    """A learner of one's own whose functions give what they are told to."""

    def __init__(self, act=lambda key, state: 0, update=lambda state, pulls, rewards: state, bound=None) -> None:
        self.act, self.update, self.bound = act, update, bound

    def bind(self, arms, *, rounds, row_capacity=None):
        return self.bound or Learner(init=lambda key: jnp.zeros(3), act=self.act, update=self.update)


@pytest.mark.parametrize("loop", ["scan", "host"])
@pytest.mark.parametrize(
    ("learner", "said"),
    [
        (Own(act=lambda key, state: 2), "act returned int"),
        (Own(act=lambda key, state: jnp.argmax(state)), "act returned an array of int"),
        (Own(act=lambda key, state: (2, Info(value=None))), "int where pulls are wanted"),
        (Own(act=lambda key, state: (jnp.argmax(state)[None], Info(value=None))), "where pulls are wanted"),
        (Own(act=lambda key, state: (2, 0.5)), "act returned tuple"),
        (Own(act=lambda key, state: None), "act returned NoneType"),
        (Own(bound=3), "bind returned int"),
    ],
)
def test_an_own_learner_that_gives_no_pulls_gets_a_sentence(learner, said: str, loop: str) -> None:
    """Catches "'int' object has no attribute 'mean'"."""
    with pytest.raises(InputError, match=said) as refused:
        run(TABLE, learner, rounds=4, loop=loop)
    assert "DenseLearner" in str(refused.value)


def test_an_update_that_returns_nothing_gets_a_sentence() -> None:
    learner = learners.UCB1().bind(TABLE, rounds=4)._replace(update=lambda state, pulls, rewards: None)
    with pytest.raises(InputError, match="update returned nothing"):
        run(TABLE, Own(bound=learner), rounds=4)
