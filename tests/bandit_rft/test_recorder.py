"""Both loops in recorded chunks: the same numbers however a run is cut and resumed."""

import dataclasses
import gc

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bandit_rft import InputError, arms, learners, run
from bandit_rft.contract import Info, Learner
from bandit_rft.history import History

NEEDLE = arms.Needle(log10_arms=2, optimal=3, p0=0.1)
LEARNER = learners.SoftmaxPolicyGradient(step_size=0.5, rollouts=2)
ROUNDS, SEEDS = 90, 4


class Kept:
    """Chunks of the given lengths, again and again; keeps all that it is told."""

    def __init__(self, lengths, groups=1, resumed=None) -> None:
        self.lengths, self.number, self.resumed = lengths, groups, resumed
        self.chunks, self.kept, self.arms = [], {}, []

    def groups(self, usual):
        return self.number

    def resume(self, state):
        return self.resumed

    def chunk_end(self, done):
        return done + self.lengths[len(self.chunks) % len(self.lengths)]

    def check(self, start, records, kept) -> None:
        self.chunks.append((start, records["rewards"].shape[1]))

    def record(self, history: History, state, kept) -> None:
        self.arms.append(kept)
        self.kept[history.rounds] = (history, jax.tree.map(lambda leaf: leaf.copy(), state))


def identical(a: History, b: History) -> None:
    np.testing.assert_array_equal(a.rewards, b.rewards)
    np.testing.assert_array_equal(a.value, b.value)
    assert set(a.metrics) == set(b.metrics)
    for name, values in a.metrics.items():
        np.testing.assert_array_equal(values, b.metrics[name])
    for x, y in zip(jax.tree.leaves(a.final_state), jax.tree.leaves(b.final_state), strict=True):
        np.testing.assert_array_equal(plain_numbers(x), plain_numbers(y))


def plain_numbers(leaf):
    return jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf


def records_of(history: History, rounds: int):
    cut = lambda values: None if values is None else values[:, :rounds]  # noqa: E731
    return {
        "rewards": cut(history.rewards),
        "pulled_mean": cut(history.pulled_mean),
        "value": cut(history.value),
        "best_mean": None,
        "metrics": {name: cut(values) for name, values in history.metrics.items()},
    }


@pytest.mark.parametrize("groups", [1, 2])
def test_cut_and_resumed_runs_are_the_one_that_was_not(groups: int) -> None:
    """Catches keys by place in the chunk, records of the room that a short chunk leaves, groups put together in another
    order, and a resumed state whose keys or groups differ."""
    whole = run(NEEDLE, LEARNER, ROUNDS, seeds=SEEDS, key=3)
    cut = Kept([1, 7, 30], groups)
    identical(run(NEEDLE, LEARNER, ROUNDS, seeds=SEEDS, key=3, recorder=cut), whole)
    assert cut.chunks == [(0, 1), (1, 7), (8, 30), (38, 1), (39, 7), (46, 30), (76, 1), (77, 7), (84, 6)]
    history, state = cut.kept[46]
    np.testing.assert_array_equal(history.rewards, whole.rewards[:, :46])
    again = Kept([200], groups, (records_of(history, 46), state))
    identical(run(NEEDLE, LEARNER, ROUNDS, seeds=SEEDS, key=3, recorder=again), whole)
    assert again.chunks == [(46, 44)]
    done = Kept([5], groups, (records_of(whole, ROUNDS), cut.kept[ROUNDS][1]))
    identical(run(NEEDLE, LEARNER, ROUNDS, seeds=SEEDS, key=3, recorder=done), whole)
    assert done.chunks == []


class Coin:
    """One arm, whose rounds are compiled."""

    jittable, best_mean = True, 0.5

    def pull(self, key, pulled):
        return jax.random.bernoulli(key, 0.5, pulled.shape).astype(float)

    def mean(self, pulled):
        return jnp.full(pulled.shape, 0.5)


class Roomy:
    """A learner whose state is an array of a size that nothing else has."""

    room = 12_345

    def bind(self, arms, *, rounds, row_capacity=None):
        def act(key, state):
            return jnp.zeros(1, jnp.int32), Info(value=jnp.asarray(0.5))

        def update(state, pulled, rewards):
            return state + 1.0

        return Learner(init=lambda key: jnp.zeros(self.room), act=act, update=update, rollouts=1)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("resumes", [False, True])
def test_a_state_that_goes_on_is_held_once(groups: int, resumes: bool) -> None:
    """Numbers of the state that are alive when another is read, and as rounds are run. Catches the groups' first
    states, or the one that was read, that something still refers to: of weights, as many gigabytes again."""
    records = records_of(run(Coin(), Roomy(), rounds=3, seeds=SEEDS), 3)

    def alive() -> float:
        """In states of one seed."""
        gc.collect()
        return sum(array.size for array in jax.live_arrays() if array.shape[-1:] == (Roomy.room,)) / Roomy.room

    class Watching(Kept):
        def resume(self, state):
            self.seen = [alive()]
            if not resumes:
                return None
            state.delete()
            return dict(records), jnp.full((SEEDS, Roomy.room), 3.0)

        def chunk_end(self, done):
            self.seen.append(alive())
            return super().chunk_end(done)

        def record(self, history, state, kept) -> None:
            pass

    watching = Watching([2], groups)
    history = run(Coin(), Roomy(), rounds=8, seeds=SEEDS, recorder=watching)
    assert set(watching.seen) == {SEEDS}, watching.seen
    assert len(watching.seen) == 1 + len(watching.chunks) > 2
    np.testing.assert_array_equal(history.final_state, np.full((SEEDS, Roomy.room), 8.0))


def test_a_chunk_is_no_longer_than_there_is_room_for() -> None:
    told = Kept([1000])
    run(NEEDLE, LEARNER, 150, seeds=SEEDS, key=0, recorder=told)
    assert told.chunks == [(0, 64), (64, 64), (128, 22)]


class Read(arms.Needle):
    """Keeps what its arms are worth, which on a needle is what they pay."""

    def kept(self, arms):
        return {"worth": arms.mean.astype(jnp.uint8)}


@pytest.mark.parametrize("groups", [1, 2])
def test_what_an_arm_set_keeps_of_its_arms_is_handed_on(groups: int) -> None:
    """Chunk by chunk, the pulls behind the rewards. Catches seeds of two groups in another order, the room that a short
    chunk leaves, another round's arms; and numbers that change because something is kept."""
    told = Kept([1, 7, 30], groups)
    whole = run(NEEDLE, LEARNER, ROUNDS, seeds=SEEDS, key=3)
    identical(run(Read(log10_arms=2, optimal=3, p0=0.1), LEARNER, ROUNDS, seeds=SEEDS, key=3, recorder=told), whole)
    assert [part["worth"].shape for part in told.arms] == [(SEEDS, length, 2) for _, length in told.chunks]
    worth = np.concatenate([part["worth"] for part in told.arms], axis=1)
    assert worth.dtype == np.uint8
    np.testing.assert_array_equal(worth, whole.rewards)
    assert 0 < worth.mean() < 1
    plain = Kept([90], groups)
    run(NEEDLE, LEARNER, ROUNDS, seeds=SEEDS, key=3, recorder=plain)
    assert set(plain.arms) == {None}


@dataclasses.dataclass(frozen=True, init=False)
class OnTheHost(arms.Needle):
    """A needle whose rewards Python computes, seed by seed, as a verifier of texts does."""

    jittable = False

    def kept(self, arms):
        return {"worth": np.asarray(self.mean(arms), np.uint8)}


@dataclasses.dataclass(frozen=True, init=False)
class OfAllSeeds(OnTheHost):
    """Its rewards are computed for all seeds at once."""

    def pull_seeds(self, keys, arms):
        return [np.asarray(self.pull(key, own)) for key, own in zip(keys, arms, strict=True)]


@dataclasses.dataclass(frozen=True)
class Measured(learners.SoftmaxPolicyGradient):
    """With a metric that tells the rounds apart."""

    def bind(self, arms, **options):
        bound = super().bind(arms, **options)
        return bound._replace(metrics=lambda state: {"logit": jnp.max(state.statistic["logit"])})


@pytest.fixture
def float64():
    """Arms that are not jittable are run in the precision of their caller, and draw by it."""
    with jax.enable_x64(True):
        yield


WORLDS = {
    "jittable": (NEEDLE, {"loop": "host"}),
    "each": (OnTheHost(log10_arms=2, optimal=3, p0=0.1), {}),
    "rewards together": (OfAllSeeds(log10_arms=2, optimal=3, p0=0.1), {}),
}


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.usefixtures("float64")
def test_host_loop_runs_cut_and_resumed_are_the_one_that_was_not(world: str, seeds: int) -> None:
    """Bit by bit, and to rounding those of the scan loop. Catches keys by place in the chunk, a state or records of
    another seed or round, a resumed run that starts anew, and means and values that are lost where the rewards of all
    seeds are computed at once."""
    world, options = WORLDS[world]
    learner, rounds = Measured(step_size=0.5, rollouts=2), 12
    whole = run(world, learner, rounds, seeds=seeds, key=3, **options)
    cut = Kept([1, 4, 3], groups=1)
    identical(run(world, learner, rounds, seeds=seeds, key=3, recorder=cut, **options), whole)
    assert cut.chunks == [(0, 1), (1, 4), (5, 3), (8, 1), (9, 3)]
    states = cut.kept[12][1]
    assert (type(whole.final_state) is tuple, type(states) is tuple) == (seeds > 1, seeds > 1)
    for done in (1, 8):
        history, state = cut.kept[done]
        assert history.rounds == done
        np.testing.assert_array_equal(history.rewards, whole.rewards[:, :done])
        again = Kept([200], 1, (records_of(history, done), state))
        identical(run(world, learner, rounds, seeds=seeds, key=3, recorder=again, **options), whole)
        assert again.chunks == [(done, rounds - done)]
    done = Kept([5], 1, (records_of(whole, rounds), states))
    identical(run(world, learner, rounds, seeds=seeds, key=3, recorder=done, **options), whole)
    assert done.chunks == []
    scan = run(NEEDLE, learner, rounds, seeds=seeds, key=3)
    np.testing.assert_array_equal(scan.rewards, whole.rewards)
    np.testing.assert_array_equal(scan.pulled_mean, whole.pulled_mean)
    np.testing.assert_allclose(scan.value, whole.value, rtol=1e-12)
    np.testing.assert_allclose(scan.metrics["logit"], whole.metrics["logit"], rtol=1e-12)
    alone = run(world, learner, rounds, key=3, **options)
    np.testing.assert_array_equal(alone.rewards, whole.rewards[:1])


@pytest.mark.parametrize("world", ["each", "rewards together"])
def test_the_host_loop_hands_on_what_an_arm_set_keeps(world: str) -> None:
    """Chunk by chunk, the pulls behind the rewards, which on a needle are what its arms are worth."""
    world, _ = WORLDS[world]
    told = Kept([2, 3], groups=1)
    whole = run(world, LEARNER, 9, seeds=SEEDS, key=3, recorder=told)
    assert [part["worth"].shape for part in told.arms] == [(SEEDS, length, 2) for _, length in told.chunks]
    np.testing.assert_array_equal(np.concatenate([part["worth"] for part in told.arms], axis=1), whole.rewards)
    plain = Kept([9], groups=1)
    run(NEEDLE, LEARNER, 9, seeds=SEEDS, key=3, recorder=plain, loop="host")
    assert set(plain.arms) == {None}


@pytest.mark.parametrize("options", [{}, {"loop": "host"}], ids=["scan", "host"])
def test_what_a_recorder_refuses_is_not_recorded(options) -> None:
    """A run that is not sound ends with its check. Catches a chunk that is written before it is looked at."""

    class Refusing(Kept):
        def check(self, start, records, kept) -> None:
            super().check(start, records, kept)
            if start == 4:
                raise InputError("not sound")

    told = Refusing([4])
    with pytest.raises(InputError, match="not sound"):
        run(NEEDLE, LEARNER, 12, seeds=2, recorder=told, **options)
    assert list(told.kept) == [4]
