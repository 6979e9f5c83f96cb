"""Keys of random draws: what every public call takes for one, and the keys of many rows made from one.

A key is a whole number, or one JAX key, typed (`jax.random.key`) or raw (`jax.random.PRNGKey`, uint32 [2]). All are
turned into a typed Threefry key: only there does a row's draw not depend on how many others are drawn beside it.

Where randomness comes from, key by key; `Purpose` lists every constant that is folded in:

    base key = as_key(key)                the key of a run, with its purposes folded in (evaluations, a measurement)
    seed key = fold_in(base key, s)       of seed s of the run
    round    = fold_in(seed key, r)       split into the learner's draw and the arms' rewards
    fold_in(round, FURTHER_DRAW)          of groups drawn again; the draw's number follows, and is split like a round
    state    = fold_in(seed key, INITIAL_STATE)      of the learner's initial state; an LLM's learner keeps this key
    fold_in(state, QUESTION_ORDER or MINI_BATCHES)   and folds the epoch or the round into that
"""

from __future__ import annotations

import operator
from enum import IntEnum, unique
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bandit_rft.errors import InputError
from bandit_rft.random_bits import THREEFRY

# Whole numbers, numpy's and JAX's included; typed and raw JAX keys.
Key = int | np.integer | np.ndarray | jax.Array
MOST = 2**63 - 1  # the largest number that jax.random.key takes


@unique
class Purpose(IntEnum):
    """What a key is used for: `fold_in(key, purpose)` is a key that no other purpose has. No number may ever change.

    Numbers of seeds, rounds, questions and rows are folded in too, and they are int32. A purpose of 2^31 or more
    therefore meets none of them; one below may only be folded into a key that takes no such number.
    """

    # Folded into the key that an LLM's learner keeps, which takes no number of its own.
    QUESTION_ORDER = 1  # the order of the questions in an epoch; the epoch is folded in after it
    MINI_BATCHES = 2  # the order of the rows within an update; the round is folded in after it
    # Folded into a run's base key, beside the numbers of its seeds.
    TRAIN_EVALUATION = 2**31 + 1  # responses to training questions; rounds done, then the seed, are folded in after it
    TEST_EVALUATION = 2**31 + 2  # responses to test questions, the same
    MEASUREMENT = 2**31 + 3  # responses from which p0 and kappa are measured
    QUESTION_CHOICE = 2**31 + 4  # responses by which the demo chooses its question
    OWN_EVALUATION = 2**31 + 5  # responses of an evaluation of the user's; its name, rounds done and the seed follow
    # Folded into a round's key, which is split beside.
    FURTHER_DRAW = 2**31 + 6  # groups that are drawn again within the round; the number of the draw is folded in after
    # Folded into a run's base key, beside the numbers of its seeds.
    ADAPTERS = 2**31 + 9  # the random half of low-rank adapters; the place of each weight is folded in after it
    # Folded into a seed's key, beside the numbers of its rounds.
    INITIAL_STATE = 2**32 - 1  # the learner's state before the first round


def as_key(key: Any, name: str = "key") -> jax.Array:
    """The typed key [] that `key` stands for; traced keys pass.

    The number s gives what `jax.random.key(s)` gives in JAX's 64-bit mode, in either mode: in 32 bits JAX drops the
    upper half, so that 2^32 would silently be 0.

    Args:
        key: a whole number from 0 to 2^63 − 1 of any integer type, a typed Threefry key, or a raw one, uint32 [2].
        name: what the message calls it.

    Raises:
        InputError: anything else: a bool, a float, a number out of range, several keys, another implementation.
    """
    dtype, shape = getattr(key, "dtype", None), getattr(key, "shape", ())
    if dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key):
        if shape != ():
            raise InputError(f"{name} is an array of keys of shape {shape}: give one key, such as keys[0].")
        if jax.random.key_impl(key) not in THREEFRY:
            raise InputError(
                f"{name} is a key of the implementation {jax.random.key_impl(key)}: give a threefry2x32 key, such as "
                'jax.random.key(0, impl="threefry2x32"), or a whole number.'
            )
        return key
    if shape != ():
        if isinstance(key, jax.Array | np.ndarray) and dtype == np.uint32 and shape == (2,):
            return jax.random.wrap_key_data(jnp.asarray(key), impl="threefry2x32")
        raise InputError(
            f"{name} is an array of {dtype} of shape {shape}: give a whole number, or one JAX key, typed or raw "
            "(uint32 of shape (2,))."
        )
    number = _number(key)
    if number is None:
        shown = repr(key)
        raise InputError(
            f"{name} is {shown if len(shown) <= 60 else shown[:57] + '...'}: give a whole number, or one JAX key, such "
            "as jax.random.key(0)."
        )
    if not 0 <= number <= MOST:
        shown = str(number) if number.bit_length() < 200 else "a number of very many digits"
        raise InputError(f"{name} is {shown}: give a whole number from 0 to 2^63 - 1.")
    words = np.asarray([number >> 32, number & 0xFFFFFFFF], np.uint32)
    return jax.random.wrap_key_data(jnp.asarray(words), impl="threefry2x32")


def recorded(key: Any) -> int | list[int]:
    """A key as config.json holds it: a number as it is, a JAX key as its two words."""
    number = _number(key)
    return np.asarray(jax.random.key_data(as_key(key))).tolist() if number is None else number


def row_keys(key: jax.Array, numbers: np.ndarray) -> np.ndarray:
    """A key for each row: raw keys uint32 [R, 2], each `key` with the row's numbers folded in one after another.

    Args:
        key: as `as_key` returns it.
        numbers: integers from 0 to 2^32 − 1, [R] or [R, W].
    """
    words = np.asarray(numbers).astype(np.uint32).reshape(len(numbers), -1)
    # Padded to powers of two, so that few shapes are compiled for.
    padded = np.pad(words, ((0, (1 << max(len(words) - 1, 0).bit_length()) - len(words)), (0, 0)))
    return np.asarray(_folded(key, padded))[: len(words)]


@jax.jit
def _folded(key: jax.Array, words: jax.Array) -> jax.Array:
    def one(row: jax.Array) -> jax.Array:
        found = key
        for place in range(words.shape[1]):
            found = jax.random.fold_in(found, row[place])
        return jax.random.key_data(found)

    return jax.vmap(one)(words)


def _number(key: Any) -> int | None:
    """A whole number of any integer type, arrays of shape () included; None for anything else, bools included."""
    if isinstance(key, bool) or getattr(getattr(key, "dtype", None), "kind", "i") not in "iu":
        return None
    try:
        return operator.index(key)
    except TypeError:
        return None
