"""Verifiers against enumeration of V^H, exact counts against big integers, and the hash against uniformity.

Bugs caught: an off-by-one residue or position, an int32 overflow in a long sum, a hash that differs with x64, that
ignores order or the first tokens, or whose threshold is off.
"""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from bandit_rft.errors import InputError
from bandit_rft.verifiers import AnswerToken, HashFraction, ModularSum, Needle


def sequences(vocabulary_size: int, length: int) -> np.ndarray:
    return np.asarray(list(itertools.product(range(vocabulary_size), repeat=length)), np.int32)


@pytest.mark.parametrize(
    ("verifier", "rule"),
    [
        (Needle((2, 0, 1, 2)), lambda y: tuple(y) == (2, 0, 1, 2)),
        (AnswerToken(1), lambda y: y[3] == 1),
        (AnswerToken(2, position=1), lambda y: y[1] == 2),
        (AnswerToken(0, position=-4), lambda y: y[0] == 0),
        (ModularSum(2, 1), lambda y: sum(y) % 2 == 1),
        (ModularSum(7, 5), lambda y: sum(y) % 7 == 5),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_rewards_and_counts_by_enumeration(verifier, rule) -> None:
    every = sequences(3, 4)
    verifier.check(3, 4)
    reward = np.asarray(jax.jit(verifier.reward)(jnp.asarray(every)))
    np.testing.assert_array_equal(reward, [float(rule(y)) for y in every.tolist()])
    np.testing.assert_allclose(verifier.log_correct(3, 4), math.log(reward.sum()), rtol=1e-14, atol=1e-14)
    needed = verifier.required(4)
    if needed is not None:
        np.testing.assert_array_equal(reward > 0, np.all((needed < 0) | (every == needed), axis=1))


def test_counts_of_huge_sets_are_exact() -> None:
    """50,000 ≡ 0 mod 10: exactly a tenth of all; 50,001 tokens: Σ ω^(jr) P(ω^j)^H over roots of unity, by hand for
    mod 2.
    """
    assert ModularSum(10, 3).log_correct(50_000, 1000) == pytest.approx(
        1000 * math.log(50_000) - math.log(10), abs=1e-9
    )
    exact = math.log((50_001**20 + 1) // 2)  # even sums: (V^H + (even − odd)^H)/2 with even − odd = 1
    assert ModularSum(2, 0).log_correct(50_001, 20) == pytest.approx(exact, abs=1e-12)
    assert ModularSum(50, 49).log_correct(3, 4) == -math.inf
    assert Needle((1, 2)).log_correct(5, 2) == 0.0
    assert AnswerToken(4).log_correct(100_000, 1000) == pytest.approx(999 * math.log(100_000), rel=1e-15)


def test_long_sums_do_not_overflow() -> None:
    """30,000 tokens of 99,999: the raw sum is 3·10^9, past int32."""
    tokens = jnp.full((1, 30_000), 99_999, jnp.int32)
    assert float(ModularSum(7, 30_000 * 99_999 % 7).reward(tokens)[0]) == 1.0


def test_hash_is_the_same_with_and_without_x64_and_for_ever() -> None:
    """The bits of 64 answers are written down: a change of the hash would silently change every saved run's correct
    set.
    """
    tokens = np.arange(64 * 5, dtype=np.int32).reshape(64, 5) * 977 % 100_000
    answers = []
    for x64 in (False, True):
        with jax.enable_x64(x64):
            answers.append(np.asarray(jax.jit(HashFraction(0.3, salt=5).reward)(jnp.asarray(tokens))) > 0)
    np.testing.assert_array_equal(answers[0], answers[1])
    assert np.packbits(answers[0]).tobytes().hex() == "407002a01020d210"


@pytest.mark.parametrize("fraction", [0.5, 0.1, 0.003])
@pytest.mark.parametrize("salt", [0, 1, 2**32 - 1])
def test_hash_has_its_fraction_on_structured_sets(fraction: float, salt: int) -> None:
    """All 4^8 sequences, and counts given any one token: binomial; 33 z-scores under 4.5 (false-alarm rate 2e-4)."""
    every = sequences(4, 8)
    correct = np.asarray(jax.jit(HashFraction(fraction, salt).reward)(jnp.asarray(every))) > 0
    groups = [np.ones(len(every), bool)] + [every[:, h] == token for h in range(8) for token in range(4)]
    for group in groups:
        count, mean = correct[group].sum(), group.sum() * fraction
        assert abs(count - mean) < 4.5 * math.sqrt(mean * (1 - fraction)) + 1


def test_hash_answers_of_neighbours_are_independent() -> None:
    """Sequences that differ in one token, in order, or in salt: 2 × 2 tables of answers, chi-square at 1e-4 each."""
    every = sequences(4, 7)

    def answer(tokens: np.ndarray, salt: int = 0) -> np.ndarray:
        return np.asarray(jax.jit(HashFraction(0.4, salt).reward)(jnp.asarray(tokens))) > 0

    base = answer(every)
    moved = [(every + np.eye(7, dtype=np.int32)[h] * 4) for h in range(7)]
    unequal = every[:, 0] != every[:, 1]
    swapped = every[:, [1, 0, 2, 3, 4, 5, 6]]
    pairs = [(base, answer(tokens)) for tokens in moved]
    pairs += [(base, answer(every, salt=1))]
    keep = unequal & (every[:, 0] < every[:, 1])
    pairs += [(base[keep], answer(swapped)[keep])]
    for left, right in pairs:
        table = np.histogram2d(left, right, bins=2)[0]
        assert stats.chi2_contingency(table).pvalue > 1e-4


def test_hash_counts() -> None:
    small = HashFraction(0.25, salt=3)
    count = np.asarray(small.reward(jnp.asarray(sequences(5, 4)))).sum()
    assert small.log_correct(5, 4) == pytest.approx(math.log(count), rel=1e-12)
    assert small.log_correct(50_000, 100) == pytest.approx(100 * math.log(50_000) + math.log(0.25), rel=1e-15)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Needle(()), "non-empty"),
        (lambda: Needle((1, -1)), "at least 0"),
        (lambda: Needle((1.5,)), "whole numbers"),  # type: ignore[arg-type]
        (lambda: Needle((1, 2)).check(5, 3), "has 2 tokens"),
        (lambda: Needle((1, 9)).check(9, 2), "outside the vocabulary 0 … 8"),
        (lambda: AnswerToken(-1), "at least 0"),
        (lambda: AnswerToken(9).check(9, 2), "outside the vocabulary"),
        (lambda: AnswerToken(1, position=2).check(9, 2), "outside sequences of 2"),
        (lambda: ModularSum(1), "from 2"),
        (lambda: ModularSum(5, 5), "one of 0 … 4"),
        (lambda: ModularSum(50, 49).check(3, 4), "No sequence"),
        (lambda: HashFraction(1.0), "strictly between"),
        (lambda: HashFraction(0.5, salt=-1), "salt"),
    ],
)
def test_bad_input_is_one_sentence(make, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()
