"""Learners on common random numbers: what is paired, the band's coverage, and the seeds that pairs save."""

import dataclasses
import json
import math

import numpy as np
import pytest

from bandit_rft import arms, compare_learners, learners, policies, run, verifiers
from bandit_rft.errors import InputError, UnknownOptimumError
from bandit_rft.loop import describe
from bandit_rft.regret import band
from tests.bandit_rft.histories import make_history, misses_allowed

TABLE = arms.Bernoulli([0.2, 0.5, 0.8])
SETTING = {"rounds": 60, "seeds": 12}


@pytest.fixture(scope="module")
def histories():
    return {
        "UCB1": run(TABLE, learners.UCB1(), **SETTING),
        "Thompson": run(TABLE, learners.ThompsonBeta(), **SETTING),
        "uniform": run(TABLE, learners.Uniform(), **SETTING),
    }


def recorded(regret: np.ndarray, key: int = 0):
    """A history whose pseudo-regret is `regret` [S, T]."""
    value = 1.0 - np.diff(regret, axis=1, prepend=0.0)
    config = {"arms": {"type": "Toy"}, "key": key}
    return make_history(*value.shape, 1, value=value, best_mean=1.0, config=config)


def test_differences_are_those_of_the_seeds_regrets(histories) -> None:
    """Catches a difference of the wrong sign, and a band of one learner's own regret."""
    found = compare_learners(histories, baseline="Thompson")
    assert [(one.name, one.baseline) for one in found.differences] == [("UCB1", "Thompson"), ("uniform", "Thompson")]
    difference = histories["UCB1"].regret() - histories["Thompson"].regret()
    np.testing.assert_allclose(found.differences[0].mean, difference.mean(axis=0), atol=1e-12)
    alone = band(difference, kind="simultaneous")
    # Two differences at once need a band at least as wide as one.
    assert (found.differences[0].high - found.differences[0].low >= alone.high - alone.low - 1e-9).all()
    assert found.differences[1].differs
    assert "uniform - Thompson" in found.report()


def test_the_band_covers_all_rounds_of_all_differences_as_often_as_stated() -> None:
    """Random walks of three learners that share a walk; true differences known. 300 experiments of a stated 10%: a true
    rate of 10% exceeds the allowed count with probability below 0.001."""
    generator = np.random.default_rng(5)
    drift = np.linspace(0.2, 0.6, 40)
    misses = 0
    for _ in range(300):
        shared = generator.exponential(1.0, (30, 40))
        walks = [np.cumsum(shared + factor * drift + generator.uniform(0, 1, (30, 40)), axis=1) for factor in (1, 2, 3)]
        highest = max(walk.max() for walk in walks)
        scaled = [recorded(walk / highest / 40) for walk in walks]
        found = compare_learners(scaled, confidence=0.9)
        for factor, one in zip((1, 2), found.differences, strict=True):
            truth = factor * np.cumsum(drift) / highest / 40
            if np.any((truth < one.low) | (truth > one.high)):
                misses += 1
                break
    assert misses <= misses_allowed(300, 0.10)
    assert misses >= 8  # and not by a band without end: P(Binomial(300, 0.1) < 8) < 1e-5


def test_seeds_saved_are_the_ratio_of_variances() -> None:
    """Shared noise of variance 4 and own noise of variance 1 each: the difference has 2, independent runs have 10."""
    generator = np.random.default_rng(1)
    shared = generator.normal(0, 2, 4000)
    regrets = [np.cumsum(np.stack([10 + shared + generator.normal(0, 1, 4000)] * 2, axis=1), axis=1) for _ in range(2)]
    found = compare_learners([recorded(regret / 100) for regret in regrets])
    [one] = found.differences
    assert one.variance_ratio == pytest.approx(0.2, rel=0.1)
    assert found.independent_seeds(one.name) == pytest.approx(4000 / one.variance_ratio)
    assert "times that of learners on random numbers of their own" in found.report()
    assert "independent runs would need" in found.report()
    line = repr(found)  # what it is of, and every number with a name
    assert f"regret after {found.rounds} rounds, 4000 seeds each on the same random numbers" in line
    assert f"{one.name} - {one.baseline} {one.mean[-1]:.4g} in [{one.low[-1]:.4g}, {one.high[-1]:.4g}]" in line


def test_common_random_numbers_save_seeds_on_a_table() -> None:
    """Two softmax learners of nearly one step meet the same rewards. Catches keys that depend on the learner."""
    table = arms.Bernoulli([0.4, 0.6])
    pair = [run(table, learners.SoftmaxPolicyGradient(step_size=step), rounds=200, seeds=64) for step in (0.1, 0.11)]
    [one] = compare_learners(pair).differences
    assert one.variance_ratio < 0.5


def test_a_learner_against_itself_does_not_differ(histories) -> None:
    found = compare_learners([histories["UCB1"], histories["UCB1"]])
    [one] = found.differences
    assert (one.name, one.baseline) == ("UCB1 (2)", "UCB1")
    assert not one.differs
    assert found.independent_seeds("UCB1 (2)") == math.inf
    assert "every seed gave the same difference" in found.report()


def test_what_is_not_paired_is_refused_in_a_sentence(histories) -> None:
    """Each of these would give a difference that means nothing, or a wrong number of seeds saved."""
    base = histories["UCB1"]

    def other(table=TABLE, learner=None, **changes):
        return run(table, learner or learners.ThompsonBeta(), **{**SETTING, **changes})

    many = np.linspace(0.1, 0.9, 40)
    wide = run(arms.Bernoulli(many), learners.UCB1(), **SETTING)
    nearly = other(arms.Bernoulli(np.append(many[:-1], 0.91)))
    cases = [
        ([base, other(key=1)], "same key"),
        ([base, other(rounds=61)], "rounds = 61"),
        ([base, other(seeds=13)], "seeds = 13"),
        ([base, other(learner=learners.SoftmaxPolicyGradient(step_size=0.1, rollouts=2))], "rollouts = 2"),
        ([base, other(arms.Bernoulli([0.2, 0.5, 0.81]))], "other arms"),
        ([wide, nearly], "other arms"),
        ([run(arms.Delayed(TABLE, 1), learners.UCB1(), **SETTING), base], "other arms"),
        (
            [other(arms.Delayed(table, 1)) for table in (TABLE, arms.Bernoulli([0.1, 0.5, 0.8]))],
            "other arms",
        ),
        ([base, dataclasses.replace(base, config={})], "cannot be paired"),
        ([base], "at least 2"),
        ([base, base.rewards], "no history"),
        ([other(seeds=1), other(seeds=1)], "one seed"),
    ]
    for given, said in cases:
        with pytest.raises(InputError, match=said) as refused:
            compare_learners(given)
        assert "\n" not in str(refused.value)
    with pytest.raises(InputError, match="baseline"):
        compare_learners([base, other()], baseline="UCB2")
    with pytest.raises(InputError, match="confidence"):
        compare_learners([base, other()], confidence=1.0)
    with pytest.raises(UnknownOptimumError):
        compare_learners([dataclasses.replace(base, best_mean=None)] * 2)


class Coin:
    """Arms of a user's own, no dataclass."""

    jittable, best_mean = True, None

    def __init__(self, p: float) -> None:
        self.p = p


def pairs_of_arms():
    """Two arm sets each that one description stood for."""
    tokens, features = tuple(range(20)), np.eye(3)[:, :2]
    two = [verifiers.Needle((1,)), verifiers.Needle((2,))]
    return {
        "rows of a kernel": [arms.Contexts(5, 1, two, kernel=[[1, one], [one, 1]]) for one in (0.5, -0.5)],
        "a list with none in it": [arms.Contexts(5, 1, two, p0=[one, None]) for one in (0.1, 0.9)],
        "tokens beyond the name": [
            arms.TokenSequences(30, 20, verifiers.Needle(target)) for target in (tokens, tokens[::-1])
        ],
        "features": [
            arms.TokenSequences(5, 3, verifiers.Needle((1, 2, 3)), policies.LogLinear(one))
            for one in (features, -features)
        ],
        "functions": [arms.Instances(one, arms=3) for one in (lambda u: u, lambda u: u * u)],
        "what a function holds": [arms.Instances(lambda u, by=by: u * by, arms=3) for by in (0.5, 0.6)],
        "float32": [arms.Noisy(TABLE, np.float32(one)) for one in (0.9, 0.8)],
        "no dataclass": [Coin(0.2), Coin(0.8)],
    }


@pytest.mark.parametrize("name", pairs_of_arms())
def test_arms_that_differ_anywhere_are_not_paired(name: str) -> None:
    """A tuple of tuples was "tuple", a function "function", a verifier its name: other arms were paired silently."""
    one, other = (describe(table) for table in pairs_of_arms()[name])
    again = describe(pairs_of_arms()[name][0])
    assert one == again
    json.dumps(one, allow_nan=False)  # plain values, as a saved history has them
    recorded_on = [
        dataclasses.replace(recorded(np.ones((3, 4))), config={"arms": table, "key": 0}) for table in (one, other)
    ]
    with pytest.raises(InputError, match="had other arms"):
        compare_learners(recorded_on)


def test_a_key_is_the_same_key_however_it_is_written(histories) -> None:
    import jax

    typed = run(TABLE, learners.ThompsonBeta(), key=jax.random.key(0, impl="threefry2x32"), **SETTING)
    np.testing.assert_array_equal(typed.rewards, histories["Thompson"].rewards)
    compare_learners([histories["UCB1"], typed])
