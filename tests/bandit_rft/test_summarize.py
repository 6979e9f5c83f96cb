"""Summaries against brute force: every arm's probability and score written out. Catches a group of arms counted as one,
a base policy taken for a state, a pool's composition forgotten, and a κ of other coordinates.
"""

import itertools
import math

import jax
import numpy as np
import pytest

from bandit_rft import InputError, arms, learners, policies, run, summarize, verifiers


def kappa_of(policy: np.ndarray, correct: np.ndarray) -> float:
    """|∇ logit p|² of a softmax over explicit logits, by finite differences of logit p in every logit."""
    logit = np.log(policy)

    def log_odds(theta: np.ndarray) -> float:
        weight = np.exp(theta - theta.max())
        return np.log(weight[correct].sum()) - np.log(weight[~correct].sum())

    step = 1e-5
    slope = [(log_odds(logit + step * e) - log_odds(logit - step * e)) / (2 * step) for e in np.eye(policy.size)]
    return float(np.sum(np.square(slope)))


def test_a_table_before_its_first_pull() -> None:
    table = arms.Classes(log_counts=np.log([2, 5, 3]), means=[1.0, 0.0, 0.0], base_log_mass=np.log([0.3, 0.2, 0.5]))
    policy = np.repeat([0.3 / 2, 0.2 / 5, 0.5 / 3], [2, 5, 3])
    found = summarize(table)
    assert found.p0 == pytest.approx(0.3, rel=1e-12)
    assert found.kappa == pytest.approx(kappa_of(policy, np.arange(10) < 2), rel=1e-8)
    assert (found.symmetric, found.table, found.deterministic, found.exact) == (False, True, True, True)
    assert np.exp(found.log_correct) == pytest.approx(2)
    needle = summarize(arms.Needle(log10_arms=1, optimal=3, p0=0.2))
    assert needle.symmetric
    assert needle.kappa == pytest.approx(1 / 3 + 1 / 7, rel=1e-12)
    huge = summarize(arms.Needle(log10_arms=100_000, optimal=4, p0=1e-300))
    assert huge.log_p0 == pytest.approx(np.log(1e-300))
    assert huge.kappa == pytest.approx(0.25, rel=1e-12)


@pytest.mark.parametrize("signal", ["raw", "signed"])
def test_a_table_in_the_middle_of_a_run(signal: str) -> None:
    """Every arm's logit is followed by hand through the same pulls."""
    table = arms.Classes(log_counts=np.log([2, 5]), means=[1.0, 0.0])
    learner = learners.SoftmaxPolicyGradient(step_size=0.7, signal=signal)
    with jax.enable_x64(True):
        history = run(table, learner, rounds=30, seeds=3, key=5)
    state = jax.tree.map(lambda leaf: leaf[1], history.final_state)
    found = summarize(table, learner, state)
    rows = np.asarray(state.rows.log_multiplicity) > -np.inf
    number = np.rint(np.exp(np.asarray(state.rows.log_multiplicity)[rows])).astype(int)
    logit = np.repeat(np.asarray(state.statistic["logit"])[rows], number)
    correct = np.repeat(np.asarray(state.rows.class_index)[rows] == 0, number)
    policy = np.exp(logit - logit.max())
    policy /= policy.sum()
    assert number.sum() == 7
    assert found.p0 == pytest.approx(policy[correct].sum(), rel=1e-10)
    assert found.kappa == pytest.approx(kappa_of(policy, correct), rel=1e-7)
    assert not found.symmetric


def test_a_pool_knows_which_arms_have_left_it() -> None:
    means = [1.0, 1.0] + [0.0] * 300
    table, learner = arms.Bernoulli(means), learners.SoftmaxPolicyGradient(step_size=1.0, signal="signed")
    history = run(table, learner, rounds=40, seeds=2, key=1)
    state = jax.tree.map(lambda leaf: leaf[0], history.final_state)
    assert np.asarray(state.rows.class_index)[0] < 0  # else this is no pool
    found = summarize(table, learner, state)
    again = run(table, learner, rounds=41, seeds=2, key=1)
    assert found.p0 == pytest.approx(again.value[0, 40], rel=1e-9)


def test_a_pool_of_more_arms_than_a_float_counts() -> None:
    """Two correct arms and 18 classes of e^1000 wrong ones: the pool's count was an OverflowError of Python's."""
    table = arms.Classes([1000.0] * 18 + [0.0, 0.0], [0.0] * 18 + [1.0, 1.0])
    learner = learners.SoftmaxPolicyGradient(step_size=0.5)
    state = jax.tree.map(lambda leaf: leaf[0], run(table, learner, rounds=2, seeds=1, key=0).final_state)
    assert np.asarray(state.rows.class_index)[0] < 0  # else this is no pool
    found, start = summarize(table, learner, state), summarize(table)
    for summary in (found, start):
        assert summary.log_p0 == pytest.approx(math.log(2 / 18) - 1000, rel=1e-12)
        assert summary.kappa == pytest.approx(0.5, rel=1e-9)


def test_wrapped_tables() -> None:
    noisy = arms.Noisy(arms.Needle(log10_arms=2, p0=0.1), true_positive=0.9, false_positive=0.2)
    found = summarize(noisy)
    assert (found.true_positive, found.false_positive, found.deterministic) == (0.9, 0.2, False)
    assert summarize(arms.Delayed(arms.Needle(log10_arms=2), rounds=7)).delay == 7
    assert not summarize(arms.Bernoulli([0.9, 0.1])).deterministic
    assert not summarize(arms.Gaussian([1.0, 0.0], sigma=0.5)).deterministic


@pytest.mark.parametrize("policy", [policies.Product(), policies.PrefixTree(), policies.LogLinear()])
def test_token_policies_against_every_sequence(policy) -> None:
    vocabulary, length, target = 3, 2, (2, 1)
    sequences = arms.TokenSequences(vocabulary, length, verifiers.Needle(target), policy=policy)
    learner = learners.SoftmaxPolicyGradient(step_size=0.8, signal="signed")
    history = run(sequences, learner, rounds=12, seeds=2, key=3)
    state = jax.tree.map(lambda leaf: leaf[1], history.final_state)
    bound = policy.bind(vocabulary, length, sequences.verifier, None, touches=12)
    every = np.asarray(list(itertools.product(range(vocabulary), repeat=length)), np.int32)
    with jax.enable_x64(True):
        log_prob = np.asarray(bound.log_prob(state, every))
    found = summarize(sequences, learner, state)
    assert np.exp(log_prob).sum() == pytest.approx(1, rel=1e-9)
    at = int(np.flatnonzero((every == np.asarray(target)).all(axis=1))[0])
    assert found.log_p0 == pytest.approx(log_prob[at], rel=1e-9)
    if found.position_log_odds is not None:
        q = 1 / (1 + np.exp(-found.position_log_odds))
        first = np.exp(log_prob)[every[:, 0] == target[0]].sum()
        np.testing.assert_allclose(q, [first, np.exp(log_prob[at]) / first], rtol=1e-9)
    else:
        assert isinstance(policy, policies.LogLinear)


def test_prompts_together() -> None:
    """κ of the mean p by finite differences of the base policies' logits."""
    contexts = arms.Contexts(5, 1, [verifiers.Needle((0,)), verifiers.Needle((1,))], kernel=[[1, 0.5], [0.5, 1]])
    found = summarize(contexts)
    np.testing.assert_allclose(found.prompt_success, [0.2, 0.2])
    assert found.gram.shape == (2, 2)
    np.testing.assert_allclose(found.gram, [[1.25, 0.5 * -0.3125], [0.5 * -0.3125, 1.25]], rtol=1e-9)
    # Both prompts alike: δ of the mean is the mean of the two gaps.
    assert found.kappa == pytest.approx(found.gram.sum() / 4, rel=1e-9)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: summarize(arms.Reservoir("uniform")), "no fixed means"),
        (lambda: summarize(arms.Bernoulli([0.5, 0.5])), "same mean"),
        (lambda: summarize(arms.Needle(log10_arms=2), learners.UCB1()), "together"),
        (lambda: summarize(arms.Classes([1000.0, 1000.0], [0.0, 1.0])), "below any float"),
        (lambda: summarize("a table"), "cannot be summarised"),
        (
            lambda: summarize(arms.TokenSequences(5, 2, verifiers.HashFraction(0.1))),
            "no closed form",
        ),
    ],
)
def test_what_cannot_be_summarised_is_refused(make, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()
    table, learner = arms.Needle(log10_arms=2), learners.UCB1()
    state = jax.tree.map(lambda leaf: leaf[0], run(table, learner, rounds=3, seeds=1, key=0).final_state)
    with pytest.raises(InputError, match="holds no logits"):
        summarize(table, learner, state)
