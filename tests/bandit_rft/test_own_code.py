"""The user's own learner or arm set: what it does wrong is one sentence that names it, and never a wrong number."""

import functools
import math
import random
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bandit_rft import arms, learners, own_code, run, sweep, verifiers
from bandit_rft.arms.lumped_arms import LumpedArms
from bandit_rft.contract import Info, Learner
from bandit_rft.errors import InputError
from bandit_rft.learners import tabular
from bandit_rft.learners.index import IndexLearner
from bandit_rft.learners.tabular_update import Lesson, TabularUpdate

TABLE = arms.Bernoulli([0.3, 0.9, 0.5])


def refused(table, learner, said: str, **options) -> str:
    with pytest.raises(InputError, match=said) as error:
        run(table, learner, **({"rounds": 4, "seeds": 1} | options))
    assert "\n" not in str(error.value)
    return str(error.value)


def with_index(function, **attributes) -> IndexLearner:
    def index(self, key, arm, time, rows, setting):
        return function(key, arm, time)

    return type("Mine", (IndexLearner,), {"index": index, **attributes})()


# -------------------------------------------------------------------------------- numbers not there yet


@dataclass(frozen=True)
class NumpyIndex(IndexLearner):
    def index(self, key, arm, time, rows, setting):
        return arm.mean + 1 / np.sqrt(arm.pulls)


@dataclass(frozen=True)
class IfIndex(IndexLearner):
    def index(self, key, arm, time, rows, setting):
        return arm.mean if time > 3 else -arm.mean


@dataclass(frozen=True)
class MaskIndex(IndexLearner):
    def index(self, key, arm, time, rows, setting):
        return arm.mean[arm.pulls > 0]


@pytest.mark.parametrize("loop", ["scan", "host"])
@pytest.mark.parametrize("kind", [NumpyIndex, IfIndex, MaskIndex])
def test_an_index_of_numpy_is_a_sentence_with_its_method_and_line(kind, loop: str) -> None:
    """It was JAX's traceback, of the lines of this package and none of the learner's name."""
    said = refused(TABLE, kind(), rf"^{kind.__name__}\.index ", loop=loop)
    assert "in test_own_code.py, line " in said
    assert "jnp." in said


def test_an_own_exception_keeps_its_traceback_to_the_users_line() -> None:
    with pytest.raises(ZeroDivisionError) as error:
        run(TABLE, with_index(lambda key, arm, time: 1 / 0), rounds=4)
    assert error.traceback[-1].path.name == "test_own_code.py"
    with pytest.raises(InputError) as refusal:
        run(TABLE, NumpyIndex(), rounds=4)
    cause = refusal.value.__cause__
    assert isinstance(cause, jax.errors.TracerArrayConversionError)


class Own:
    """A learner of the contract whose functions do what they are told."""

    def __init__(self, init=lambda key: jnp.zeros(3), act=None, update=lambda state, pulls, rewards: state) -> None:
        self.functions = {"init": init, "update": update}
        self.act = act or (lambda key, state: (jnp.zeros(1, int), Info(value=None)))

    def bind(self, arms, *, rounds, row_capacity=None):
        return Learner(act=self.act, rollouts=1, **self.functions)


class Bank:
    """An arm set of the contract, compiled or not."""

    def __init__(
        self, pull=lambda key, arms: np.ones(1), mean=lambda arms: np.ones(1), jittable=True, best=1.0
    ) -> None:
        self.functions, self.jittable, self.best_mean = (pull, mean), jittable, best

    def pull(self, key, arms):
        return self.functions[0](key, arms)

    def mean(self, arms):
        return self.functions[1](arms)


@pytest.mark.parametrize(
    ("table", "learner", "said"),
    [
        (Bank(lambda key, arms: np.asarray(arms) * 1.0), Own(), r"^Bank\.pull reads the numbers"),
        (Bank(), Own(update=lambda state, pulls, rewards: state + float(rewards[0])), "reads the numbers"),
    ],
)
def test_numpy_in_an_arm_set_or_in_a_learner_of_the_contract_is_a_sentence(table, learner, said: str) -> None:
    refused(table, learner, said)


# -------------------------------------------------------------------------------- what happens once, at compilation


def test_what_changes_by_itself_is_refused_where_rounds_are_compiled() -> None:
    """A counter of Python, or a draw of NumPy's, was that of the first round in all: a wrong curve, silently."""

    class Counter(learners.DenseLearner):
        def __init__(self) -> None:
            self.round = 0

        def choose(self, key, counts, sums, time):
            self.round += 1
            return jnp.where(self.round % 2 == 0, 0, 1)

    class Held(learners.DenseLearner):
        def __init__(self) -> None:
            self.generator = np.random.default_rng(0)

        def choose(self, key, counts, sums, time):
            return int(self.generator.integers(3))

    class Drawn(learners.DenseLearner):
        def choose(self, key, counts, sums, time):
            return np.random.randint(3)  # noqa: NPY002 (the mistake that is meant)

    refused(TABLE, Counter(), r"^Counter\.choose changes Counter\.round, which happens once")
    refused(TABLE, Held(), r"^Held\.choose changes Held\.generator")
    refused(TABLE, Drawn(), r"^Drawn\.choose draws random numbers by NumPy or Python")
    refused(TABLE, with_index(lambda key, arm, time: arm.mean + random.random()), r"^Mine\.index draws random")
    refused(Bank(lambda key, arms: np.random.rand(1)), Own(), r"^Bank\.pull draws random")  # noqa: NPY002
    own_signal = learners.SoftmaxPolicyGradient(0.1, signal=lambda rewards: rewards + random.random())
    refused(TABLE, own_signal, r"^The signal <lambda> draws random")
    # Where Python computes the rewards of every round, it may draw them.
    host = run(Bank(lambda key, arms: np.random.rand(1), jittable=False), Own(), rounds=4)  # noqa: NPY002
    assert np.unique(host.rewards).size == 4


ARM, TURN = 0, {"sign": 1.0}


@dataclass(frozen=True)
class ByGlobal(learners.DenseLearner):
    other = 0

    def choose(self, key, counts, sums, time):
        return chosen() + self.other


def chosen():
    return ARM


def turned(rewards):
    return TURN["sign"] * rewards


def test_a_global_that_changed_between_two_runs_is_read_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a notebook a constant is changed and the run is made again: the compiled run of an equal learner was taken,
    with the constant of before.
    """
    table = arms.Deterministic([0.0, 1.0])
    assert run(table, ByGlobal(), rounds=2).rewards.sum() == 0.0
    monkeypatch.setitem(globals(), "ARM", 1)
    assert run(table, ByGlobal(), rounds=2).rewards.sum() == 2.0
    monkeypatch.setitem(globals(), "ARM", 0)
    monkeypatch.setattr(ByGlobal, "other", 1)
    assert run(table, ByGlobal(), rounds=2).rewards.sum() == 2.0
    learner = learners.SoftmaxPolicyGradient(step_size=1.0, signal=turned)
    up = run(table, learner, rounds=8).value[0, -1]
    monkeypatch.setitem(TURN, "sign", -1.0)
    assert run(table, learner, rounds=8).value[0, -1] < up
    assert own_code.read_by(learners.UCB1()) == own_code.read_by(TABLE) == ()


# -------------------------------------------------------------------------------- shapes and no numbers


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda key, arm, time: arm.mean[:, None], r"Mine\.index returned float64 \[3, 1\]: return 3 numbers"),
        (lambda key, arm, time: jnp.argmax(arm.mean), r"Mine\.index returned int64 \[\]"),
        (lambda key, arm, time: None, r"Mine\.index returned None"),
        (lambda key, arm, time: "a", r"Mine\.index returned 'a'"),
    ],
)
def test_an_index_of_another_shape_is_refused(function, said: str) -> None:
    """A column was spread over the rows, and the number of an arm over all arms: other learners, without a word."""
    refused(TABLE, with_index(function), said)


def test_an_index_that_is_no_number_pulls_no_arm() -> None:
    """It pulled the first row: among 10^100 arms the one that pays, in every round, at a regret of NaN."""
    never = with_index(lambda key, arm, time: jnp.nan * arm.mean, untouched_first=False)
    refused(arms.Needle(log10_arms=100, p0=0.05), never, "its index, weights or signal must be numbers")
    later = with_index(lambda key, arm, time: jnp.log(3.5 - time) + arm.mean)
    refused(TABLE, later, "pulled in round 4", rounds=6)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (arms.Needle(log10_arms=100, p0=0.05), "its index, weights or signal must be numbers"),
        (arms.TokenSequences(5, 2, verifiers.Needle((1, 2)), p0=0.1), "a signal or Info"),
    ],
)
def test_an_own_signal_that_is_no_number_is_refused(table, said: str) -> None:
    """A group of equal rewards over its spread of 0: every round then pulled the right one of 10^100 arms, and of token
    sequences the row capacity was said to be exceeded.
    """
    learner = learners.SoftmaxPolicyGradient(
        step_size=0.5, signal=lambda rewards: (rewards - rewards.mean()) / rewards.std(), rollouts=4
    )
    refused(table, learner, said, rounds=12)


def test_an_arm_that_there_is_not_is_refused_on_a_noisy_verifier_too() -> None:
    """Its verdict on no arm was a reward of 0 or 1, and regret was NaN."""

    class Beyond(learners.DenseLearner):
        def choose(self, key, counts, sums, time):
            return 3

    refused(arms.Noisy(TABLE, 0.9, 0.1), Beyond(), "pull an arm that there is")


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (lambda before, rewards: {"square": rewards**2}, r"returned square: .*\(squares\)"),
        (lambda before, rewards: None, "returned NoneType"),
        (lambda before, rewards: {"squares": jnp.zeros(3)}, r"observe_extra, squares, returned float64 \[3\]"),
    ],
)
def test_a_statistic_by_a_name_that_is_none_is_refused(extra, said: str) -> None:
    """A misspelt name was left aside, so that the statistic stayed what it was at the start."""
    learner = with_index(
        lambda key, arm, time: arm.mean,
        extra_statistic={"squares": 0.0},
        observe_extra=lambda self, before, rewards: extra(before, rewards),
    )
    refused(TABLE, learner, said)


@dataclass(frozen=True)
class Greedy0(IndexLearner):
    untouched_first = False

    def index(self, key, arm, time, rows, setting):
        return jnp.where(arm.pulls > 0, arm.mean, 0.0)


@dataclass(frozen=True)
class PessimisticUCB1(learners.UCB1):
    """The index of UCB1 but that an arm never pulled has 0.5."""

    def index(self, key, arm, time, rows, setting):
        return jnp.where(arm.pulls > 0, super().index(key, arm, time, rows, setting), 0.5)


def test_an_own_index_that_leaves_fresh_arms_behind_is_not_taken_for_one_that_tries_them_all() -> None:
    """On as many arms as rounds it pulled each of them once, whatever its index said, and a note called that exact."""
    table = arms.Bernoulli(np.linspace(0.3, 0.9, 40))
    mine = run(table, Greedy0(), rounds=30, seeds=8)
    assert mine.notes == ()
    np.testing.assert_array_equal(mine.rewards, run(table, learners.Greedy(0.0), rounds=30, seeds=8).rewards)
    assert not PessimisticUCB1().bind(table, rounds=30).notes
    for learner in (learners.UCB1(), learners.MOSS(), with_index(lambda key, arm, time: arm.mean)):
        assert learner.bind(table, rounds=30).notes  # these do try them all


def test_an_index_that_draws_says_that_it_is_random() -> None:
    """Its numbers came from the key of the draw among ties, and a random choice was told as the policy's own value."""

    def noisy(key, arm, time):
        return arm.mean + jax.random.uniform(key, arm.mean.shape)

    refused(TABLE, with_index(noisy), r"^Mine\.index uses its key, .*: say random = True")
    history = run(TABLE, with_index(noisy, random=True), rounds=8)
    np.testing.assert_array_equal(history.value, history.pulled_mean[:, :, 0])


def test_a_statistic_by_the_name_of_a_count_is_refused() -> None:
    learner = with_index(lambda key, arm, time: arm.mean, extra_statistic={"total": 0.0})
    refused(TABLE, learner, "extra_statistic has total, which is kept anyway")


@pytest.mark.parametrize("jittable", [True, False])
@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"pull": lambda key, arms: 1.0}, r"Bank\.pull returned .*: return an array of 1 reward"),
        ({"pull": lambda key, arms: np.ones(2)}, r"Bank\.pull returned float64 \[2\]"),
        ({"pull": lambda key, arms: None}, r"Bank\.pull returned "),
        ({"mean": lambda arms: np.ones((1, 1))}, r"Bank\.mean returned float64 \[1, 1\]"),
        ({"mean": lambda arms: np.full(1, np.nan)}, "has the mean nan"),
        ({"best": 0.5}, "best_mean = 0.5, and an arm of mean 1 was pulled"),
        ({"best": "high"}, "best_mean of Bank is 'high'"),
    ],
)
def test_an_own_arm_set_whose_numbers_are_of_another_shape_is_refused(table, said: str, jittable: bool) -> None:
    """A reward without an axis made a history [S, T], a mean of NaN a regret of NaN, a best mean too low one of 0."""
    refused(Bank(**table, jittable=jittable), Own(), said)


def test_what_a_learner_of_the_contract_says_of_itself_is_one_number() -> None:
    def valued(value):
        return Own(act=lambda key, state: (jnp.zeros(1, int), Info(value=value)))

    refused(Bank(), valued(jnp.ones(1)), r"Info\(value=\.\.\.\) of shape \[1\]")
    refused(Bank(), valued(jnp.nan), r"value is nan in round 0 .*Info\(value=\.\.\.\)")


@pytest.mark.parametrize(
    ("update", "said"),
    [
        (lambda state, pulls, rewards: jnp.concatenate([state, state]), r"float64 \[6\] and was float64 \[3\]"),
        (lambda state, pulls, rewards: state.astype(int), r"int64 \[3\] and was float64 \[3\]"),
        (lambda state, pulls, rewards: (state, state), "another structure"),
    ],
)
def test_a_state_that_changes_its_shape_is_a_sentence(update, said: str) -> None:
    """It was JAX's text of ten lines about the carry of a scan."""
    refused(Bank(), Own(update=update), said)


def test_a_state_of_pythons_numbers_may_become_one_of_arrays() -> None:
    counting = Own(init=lambda key: 0, update=lambda state, pulls, rewards: state + rewards[0])
    assert float(run(Bank(), counting, rounds=4).final_state[0]) == 4.0


# -------------------------------------------------------------------------------- what cannot be called


def test_missing_methods_and_arguments_are_named() -> None:
    class NoMean:
        jittable, best_mean = True, 1.0

        def pull(self, key, arms):
            return jnp.ones(1)

    class NoRounds:
        def bind(self, arms):
            return None

    class FewArguments(IndexLearner):
        def index(self, arm, time):
            return arm.mean

    refused(NoMean(), Own(), "^NoMean has no mean")
    refused(arms.Bernoulli, Own(), "^arms is Bernoulli, no arm set")
    refused(Bank(), NoRounds(), r"^NoRounds\.bind takes \(arms\) .*: write it as NoRounds\.bind\(arms, rounds, row_cap")
    refused(TABLE, FewArguments(), r"^FewArguments\.index takes \(arm, time\) .*\(key, arm, time, rows, setting\)")
    refused(Bank(), Own(act=lambda key: None), r"^The learner's act takes \(key\)")
    with pytest.raises(InputError, match=r"^At step=1: learner is UCB1, no learner: make one"):
        sweep(lambda step: (TABLE, learners.UCB1), over={"step": [1]}, rounds=4)
    with pytest.raises(InputError, match=r"^make is \(.*: give a function"):
        sweep((TABLE, learners.UCB1()), over={"step": [1]}, rounds=4)


@dataclass(frozen=True)
class Ladder(LumpedArms):
    """K arms of means 1/K, ..., 1 but for what is changed."""

    means: object = (0.25, 0.5, 0.75, 1.0)
    log_counts: tuple = (0.0,) * 4
    base_log_mass: tuple = (0.0,) * 4

    @property
    def best_mean(self):
        return 1.0

    def class_means(self, world):
        return np.asarray(self.means)


def test_the_classes_of_an_own_table_are_as_many_everywhere() -> None:
    """One mean for four classes was the mean of all of them."""
    refused(Ladder(means=1.0), learners.UCB1(), r"Ladder\.class_means returned .*: return 4 numbers")
    refused(Ladder(base_log_mass=(0.0,)), learners.UCB1(), "base_log_mass has 1 entries, and log_counts has 4")
    refused(Ladder(log_counts=(-1.0,) * 4), learners.UCB1(), "log_counts holds -1: give the natural logarithm")
    refused(Ladder(means=(0.2, 0.5, 1.5, 1.0)), learners.UCB1(), r"mean 1\.5 .*, and its rewards are 0 and 1")


@dataclass(frozen=True)
class Sinking(Ladder):
    """Every mean falls by a tenth in each round."""

    moving: bool = True

    @property
    def best_mean(self):
        return None

    def start(self, key):
        return jnp.ones(())

    def advance(self, world):
        return 0.9 * world

    def class_means(self, world):
        return world * jnp.asarray(self.means)

    def best(self, world):
        return jnp.max(self.class_means(world))


def test_a_world_that_changes_says_that_it_moves() -> None:
    """Without `moving` the means stayed as they started, in the rewards and in the regret."""
    refused(Sinking(moving=False), learners.UCB1(), r"^Sinking\.advance changes the world, and moving is False")
    history = run(Sinking(), learners.UCB1(), rounds=3)
    np.testing.assert_allclose(history.best_mean, [[1.0, 0.9, 0.81]])


def test_means_of_numpy_serve_every_learner() -> None:
    """A learner of one's own on means that are NumPy's ended in JAX's traceback."""

    class First(learners.DenseLearner):
        def choose(self, key, counts, sums, time):
            return 1

    # A table of rewards 0 and 1 that does not say its means was held to leave [0, 1], and not to drift.
    history = run(arms.Drifting(Ladder(), 0.1), First(), rounds=3)
    assert history.pulled_mean[0, 0, 0] == 0.5
    assert np.all(history.pulled_mean[0, 1:] != 0.5)


def test_what_another_thread_draws_is_no_fault_of_the_packages_own_learner(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's generator belongs to all threads: a data loader that shuffles beside a run ended it, one time in many,
    in a sentence about the learner.
    """

    def meanwhile(function):
        def drawn_beside(*given):
            random.random()
            return function(*given)

        return drawn_beside

    monkeypatch.setattr(learners.UCB1, "index", meanwhile(learners.UCB1.index))
    run(arms.Bernoulli([0.21, 0.43]), learners.UCB1(), rounds=4)
    monkeypatch.setattr(arms.Bernoulli, "pull", meanwhile(arms.Bernoulli.pull))
    run(arms.Bernoulli([0.22, 0.44]), learners.SoftmaxPolicyGradient(0.1), rounds=4)


def test_holds_own_finds_what_is_within() -> None:
    """A learner of the package with a user's signal, an arm set within another, a partial: all are told."""
    plain = learners.SoftmaxPolicyGradient(0.1)
    assert not any(map(own_code.holds_own, (plain, TABLE, learners.UCB1(), arms.Needle(10**9), np.zeros(3), 3, "a")))
    mine = with_index(lambda key, arm, time: arm.mean)
    for thing in (
        mine,
        Bank(),
        Own(),
        learners.SoftmaxPolicyGradient(0.1, signal=lambda rewards: rewards),
        functools.partial(math.hypot, mine),
        (1, mine),
        mine.index,
        jax.jit(refused),
    ):
        assert own_code.holds_own(thing), thing


def test_an_attribute_named_holding_is_the_users_own() -> None:
    """An arm set that has `holding` and no `tables` was asked for them: an AttributeError."""

    class Held(Bank):
        holding = 3

    run(Held(lambda key, arms: jnp.ones(1)), Own(), rounds=4)


@pytest.mark.parametrize("random_said", [False, True])
def test_an_own_update_that_uses_its_key_must_say_so(random_said: bool) -> None:
    """Its noise and the draw of an arm were made of one key: a wrong distribution over arms, silently."""

    class Noisy:
        def bind(self, table, *, rounds, row_capacity=None):
            def weight(key, state):
                return jnp.exp(state.rows.log_multiplicity + jax.random.normal(key, state.rows.log_multiplicity.shape))

            rule = TabularUpdate(
                weight=weight,
                learn=lambda state, pulls, rewards: Lesson(observe=lambda before: before),
                initial={},
                random=random_said,
                value_known=not random_said,
            )
            return tabular.bind(table, rule, name="Noisy", rounds=rounds, row_capacity=row_capacity)

    if random_said:
        run(TABLE, Noisy(), rounds=4)
    else:
        refused(TABLE, Noisy(), r"^Noisy's weight uses its key, .*say random=True in its TabularUpdate")
