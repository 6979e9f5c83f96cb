"""Keys: every spelling of one key is one key, and everything else is one sentence."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bandit_rft import arms, learners, run, sweep
from bandit_rft.errors import InputError
from bandit_rft.keys import MOST, as_key, recorded, row_keys
from bandit_rft.random_bits import quick

NEEDLE = arms.Needle(log10_arms=100, optimal=1, p0=0.3)
LEARNER = learners.SoftmaxPolicyGradient(step_size=0.5)

SPELLINGS = [
    *(7, np.int8(7), np.int64(7), np.uint32(7), np.uint64(7), np.asarray(7), jnp.asarray(7, jnp.int32)),
    *(jax.random.key(7), jax.random.PRNGKey(7), np.asarray([0, 7], np.uint32), quick(jax.random.key(7))),
]
WRONG = {
    "a bool": (True, "key is True"),
    "numpy's bool": (np.True_, "give a whole number"),
    "an array of a bool": (jnp.asarray(True), "give a whole number"),
    "a float": (1.0, "key is 1.0"),
    "numpy's float": (np.float64(2.0), "2.0"),
    "a text": ("1", "key is '1'"),
    "nothing": (None, "key is None"),
    "a list": ([0, 7], "one JAX key"),
    "below 0": (-1, "key is -1"),
    "numpy's below 0": (np.int64(-3), "key is -3"),
    "too large": (2**63, "9223372036854775808"),
    "numpy's too large": (np.uint64(2**63), "9223372036854775808"),
    "of many digits": (10**5000, "very many digits"),
    "several typed": (jax.random.split(jax.random.key(0), 2), r"shape \(2,\)"),
    "several raw": (np.zeros((2, 2), np.uint32), r"shape \(2, 2\)"),
    "three words": (np.zeros(3, np.uint32), r"shape \(3,\)"),
    "other words": (np.zeros(2, np.int64), "int64"),
    "one in a list": (np.asarray([3]), r"shape \(1,\)"),
    "another implementation": (jax.random.key(0, impl="rbg"), "rbg"),
    "another implementation, raw": (np.zeros(4, np.uint32), r"shape \(4,\)"),
}


def words(key) -> list[int]:
    return jax.random.key_data(key).tolist()


@pytest.mark.parametrize("spelling", SPELLINGS, ids=lambda key: type(key).__name__)
def test_every_spelling_of_a_key_gives_the_same_run(spelling):
    """A raw key of JAX, or a numpy integer where another call takes only Python's, must not be another key."""
    assert words(as_key(spelling)) == [0, 7]
    expected = run(NEEDLE, LEARNER, 8, seeds=4, key=7)
    np.testing.assert_array_equal(run(NEEDLE, LEARNER, 8, seeds=4, key=spelling).rewards, expected.rewards)


@pytest.mark.parametrize("number", [0, 1, 2**31, 2**32 - 1, 2**32, 2**32 + 5, 2**40 + 3, MOST])
def test_large_numbers_keep_all_their_bits_in_both_precisions(number):
    """Without 64-bit mode JAX drops the upper half: 2^32 was the key 0, silently."""
    with jax.enable_x64(True):
        expected = words(jax.random.key(number))
        assert words(as_key(number)) == expected
    with jax.enable_x64(False):
        assert words(as_key(number)) == expected
    assert recorded(number) == number
    assert recorded(jax.random.key(3)) == [0, 3]


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_key_is_one_sentence_everywhere(name):
    """A bool was the key 1, a key of another implementation made a seed depend on how many run beside it, and the rest
    ended in tracebacks of JAX."""
    key, said = WRONG[name]
    bound = LEARNER.bind(NEEDLE, rounds=4)
    state = bound.init(0)
    pulled, _ = bound.act(1, state)
    calls = [
        lambda: as_key(key),
        lambda: run(NEEDLE, LEARNER, 2, key=key),
        lambda: sweep(lambda p0: (NEEDLE, LEARNER), over={"p0": [0.3]}, rounds=2, key=key),
        lambda: bound.init(key),
        lambda: bound.act(key, state),
        lambda: NEEDLE.pull(key, pulled),
    ]
    for call in calls:
        with pytest.raises(InputError, match=said) as error:
            call()
        assert "\n" not in str(error.value)


def test_a_learner_and_its_arms_take_numbers_as_keys():
    bound = LEARNER.bind(NEEDLE, rounds=4)
    for number, key in ((5, jax.random.key(5)), (5, jax.random.PRNGKey(5))):
        some, other = (bound.act(each, bound.init(each))[0] for each in (number, key))
        np.testing.assert_array_equal(NEEDLE.pull(number, some), NEEDLE.pull(key, other))


def test_a_traced_key_passes():
    drawn = jax.jit(lambda key: jax.random.bits(as_key(key)))
    assert drawn(jax.random.key(4)) == drawn(jax.random.PRNGKey(4)) == jax.random.bits(jax.random.key(4))


def test_a_row_key_is_the_key_with_the_rows_numbers_folded_in():
    """Whatever the number of rows: they are padded for the compiler, which must not show."""
    numbers = np.asarray([[3, 1], [2**32 - 1, 0], [5, 5]])
    key = as_key(9)
    expected = [words(jax.random.fold_in(jax.random.fold_in(key, np.uint32(a)), np.uint32(b))) for a, b in numbers]
    assert row_keys(key, numbers).tolist() == expected
    assert row_keys(key, numbers[1:2]).tolist() == expected[1:2]
    assert row_keys(key, np.arange(5)).tolist() == [words(jax.random.fold_in(key, row)) for row in range(5)]
