"""The tree law against laws that it must reduce to, against brute force, and against trained token policies."""

import dataclasses
import itertools

import numpy as np
import pytest

from bandit_rft import arms, learners, policies, run, theory, verifiers
from bandit_rft.errors import InputError, NoLawError
from bandit_rft.theory.compared import mean_curve_time
from bandit_rft.theory.laws.adam_step import Adam
from bandit_rft.theory.response_tree import ResponseTree
from bandit_rft.theory.sampled_tree import Branch, grow
from bandit_rft.theory.sequences.tree import rounds_law
from bandit_rft.theory.update_settings import UpdateSettings


def table_kernel(policies_: list[np.ndarray]) -> np.ndarray:
    """Inner products of d log q_e / d logits, each decision with logits of its own."""
    size = sum(one.size for one in policies_)
    scores, start = np.zeros((size, size)), 0
    for q in policies_:
        part = slice(start, start + q.size)
        scores[part, part] = np.eye(q.size) - q
        start += q.size
    return scores @ scores.T


def chain_tree(decisions: list[np.ndarray]) -> ResponseTree:
    """One correct path: the first edge of every decision leads on, all others are wrong."""
    node = np.concatenate([[n] * q.size for n, q in enumerate(decisions)])
    child, reward = np.full(node.size, -1), np.zeros(node.size)
    first = np.flatnonzero(np.diff(node, prepend=-1))
    child[first[:-1]] = np.arange(1, len(decisions))
    reward[first[-1]] = 1.0
    return ResponseTree(node, child, reward, np.log(np.concatenate(decisions)), table_kernel(decisions))


def test_one_decision_is_the_jump_chain_of_a_table() -> None:
    """Catches a kernel applied twice, or a softmax over the wrong edges."""
    q = np.array([0.05, *[0.95 / 9] * 9])
    found = theory.tree_jump(chain_tree([q]), 0.7, 300)
    expected = theory.pg_jump_single(0.05, 0.7, 300, log_arms=np.log(10))
    np.testing.assert_allclose(found.value, expected.value, rtol=1e-9)
    np.testing.assert_allclose(found.regret_sd, expected.regret_sd, rtol=1e-6, atol=1e-12)
    assert found.mean_hitting_time(0.5) == pytest.approx(expected.mean_hitting_time(0.5), rel=1e-9)
    assert found.hitting_time_quantile(0.5, 0.8) == pytest.approx(expected.hitting_time_quantile(0.5, 0.8), rel=0.05)


def test_equal_decisions_are_the_prefix_tree() -> None:
    """H decisions alike at the start: the chain whose κ falls as they are learnt."""
    q = np.array([0.1 ** (1 / 3), *[(1 - 0.1 ** (1 / 3)) / 4] * 4])
    found = theory.tree_jump(chain_tree([q] * 3), 0.5, 200)
    np.testing.assert_allclose(found.value, theory.prefix_tree_jump(5, 3, 0.5, 200, p0=0.1).value, rtol=1e-9)


def several_paths() -> ResponseTree:
    """Two decisions of three; correct: (0, 0), (1, 1), and a leaf that is right in half of its responses."""
    decisions = [np.array([0.3, 0.2, 0.5]), np.array([0.2, 0.5, 0.3]), np.array([0.6, 0.1, 0.3])]
    return ResponseTree(
        np.repeat([0, 1, 2], 3),
        np.array([1, 2, -1, -1, -1, -1, -1, -1, -1]),
        np.array([0, 0, 0.0, 1, 0, 0, 0, 1, 0.5]),
        np.log(np.concatenate(decisions)),
        table_kernel(decisions),
    )


def test_success_probability_and_kappa_by_enumeration() -> None:
    """κ of the tree is that of all its responses' scores and their policy."""
    tree = several_paths()
    q = np.exp(tree.log_prob)
    leaves = {(0, 3): 1.0, (0, 4): 0.0, (0, 5): 0.0, (1, 6): 0.0, (1, 7): 1.0, (1, 8): 0.5, (2,): 0.0}
    probability = {leaf: np.prod(q[list(leaf)]) for leaf in leaves}
    assert tree.p0 == pytest.approx(sum(probability[leaf] * leaves[leaf] for leaf in leaves))
    jacobian = np.zeros((9, 9))
    for start in (0, 3, 6):
        part = slice(start, start + 3)
        jacobian[part, part] = np.eye(3) - q[part]
    score = {leaf: jacobian[list(leaf)].sum(axis=0) for leaf in leaves}
    p = tree.p0
    right = sum(probability[leaf] * leaves[leaf] / p * score[leaf] for leaf in leaves)
    wrong = sum(probability[leaf] * (1 - leaves[leaf]) / (1 - p) * score[leaf] for leaf in leaves)
    assert tree.kappa == pytest.approx(np.sum((right - wrong) ** 2))


def test_the_law_by_rounds_is_the_jump_law_for_one_rollout() -> None:
    """The two ways to integrate agree: mean curves to 4 standard errors of 1,024 runs (false alarm below 2e-3)."""
    tree = several_paths()
    jump, rounds = theory.tree_jump(tree, 0.8, 80), theory.tree_rounds(tree, 0.8, 80)
    error = np.maximum(jump.value_sd, 1e-3) / np.sqrt(1024)
    assert np.max(np.abs(jump.value - rounds.value) / error) < 4.5
    np.testing.assert_allclose(jump.value_sd, rounds.value_sd, atol=0.02)


@pytest.mark.parametrize("signal", ["raw", "signed", "rloo", "grpo"])
def test_the_first_mean_update_is_the_signal_s_drift(signal: str) -> None:
    """Catches a signal that is summed over rollouts, or failures that are not counted: Δlogit p = η κ p(1−p) M.

    Twenty thousand groups, a step so small that Δ is linear; 4.5 standard errors (false alarm 7e-6).
    """
    tree = dataclasses.replace(several_paths())
    law = rounds_law(tree, UpdateSettings(step_size=1e-3, signal=signal, rollouts=4))
    scores = law.scores(np.array([1]), 20_000)[:, 0]
    after = tree.walks(tree.log_prob + 1e-3 * scores @ tree.gram).path @ tree.leaf_reward
    p = tree.p0
    moved = (after - p) / (p * (1 - p))
    expected = 1e-3 * tree.kappa * p * (1 - p) * theory.drift_multiplier(signal, p, 4)
    assert abs(moved.mean() - expected) < 4.5 * moved.std() / np.sqrt(moved.size) + 2e-3 * expected


def test_a_trained_prefix_tree_policy_follows_it() -> None:
    """A real token policy, trained: mean Pass@1 over 2,000 seeds within 4 standard errors of the law."""
    sequences = arms.TokenSequences(5, 3, verifiers.Needle((3, 1, 4)), policy=policies.PrefixTree(), p0=0.1)
    learner = learners.SoftmaxPolicyGradient(step_size=0.5, rollouts=4, signal="grpo")
    history = run(sequences, learner, rounds=60, seeds=500, key=3)
    q = np.array([0.1 ** (1 / 3), *[(1 - 0.1 ** (1 / 3)) / 4] * 4])
    found = theory.tree_rounds(chain_tree([q] * 3), 0.5, 60, "grpo", 4, eps=1e-6)
    error = np.sqrt(history.value.var(axis=0) / 500 + found.value_sd**2 / 1024) + 1e-6
    assert np.max(np.abs(history.value.mean(axis=0) - found.value) / error) < 4.5


def test_transfer_to_a_question_that_shares_everything_is_its_own_curve() -> None:
    tree = several_paths()
    at = np.array([0, 20, 79])
    found = theory.tree_transfer(tree, [(tree, tree.gram), (tree, 0 * tree.gram)], 0.8, at)
    np.testing.assert_allclose(found[0], theory.tree_rounds(tree, 0.8, 80).value[at], rtol=1e-9)
    np.testing.assert_allclose(found[1], tree.p0)


def test_adam_s_first_step_has_the_size_of_the_learning_rate() -> None:
    """The first move of Adam is lr × sign of the gradient, whatever its size: logits move by the sum of |scores|."""
    tree = several_paths()
    q = np.exp(tree.log_prob)
    scores = np.eye(9) - np.where(np.repeat([0, 1, 2], 3)[:, None] == np.repeat([0, 1, 2], 3), q, 0.0)
    tree = dataclasses.replace(tree, coordinates=scores.astype(np.float32), dimension=9)
    law = rounds_law(tree, UpdateSettings(step_size=1e-3, optimizer="adam"))
    update = np.zeros((1, 9))
    update[0, 0] = 1.0
    np.testing.assert_allclose(law.move(tree, 1)(update)[0, 0], 1e-3 * np.abs(scores[0]).sum(), rtol=1e-3)


def test_adam_s_steps_are_those_of_the_textbook() -> None:
    """Twelve rounds, some without any success, against Adam written out on the weights; catches a padded edge that
    moves, a moment that is not carried on, and corrections of the wrong round.
    """
    generator = np.random.default_rng(0)
    scores = generator.standard_normal((9, 40))
    step = Adam(scores, 80, learning_rate=0.01, beta1=0.8, beta2=0.9, eps=1e-3).stepper(5)
    first, second = np.zeros((2, 5, 40))
    for t in range(1, 13):
        update = generator.standard_normal((5, 9)) * (generator.random((5, 1)) < 0.4)
        gradient = update @ scores
        first, second = 0.8 * first + 0.2 * gradient, 0.9 * second + 0.1 * gradient**2
        direction = first / (1 - 0.8**t) / (np.sqrt(second / (1 - 0.9**t)) + 1e-3)
        np.testing.assert_allclose(step(update), 0.01 * 2 * direction @ scores.T, rtol=1e-4, atol=1e-5)


def bent_answer(slopes: np.ndarray, bend: float, p0: float) -> ResponseTree:
    """One decision, right or wrong, of logit difference z = z0 + s·θ + bend (s·θ)²/(2 Σs): scores in proportion to
    s (1 + bend a), where all weights have gone a."""
    scores = np.array([[1 - p0], [-p0]]) * slopes
    return ResponseTree(
        node=np.zeros(2, np.int64),
        child=np.full(2, -1),
        reward=np.array([1.0, 0.0]),
        log_prob=np.log([p0, 1 - p0]),
        gram=scores @ scores.T,
        coordinates=scores.astype(np.float32),
        dimension=slopes.size,
        turned=(bend * scores).astype(np.float32),
        toward=np.ones(slopes.size, np.float32),
    )


@pytest.mark.parametrize("bend", [60.0, -25.0])
def test_a_step_of_adam_is_the_integral_of_scores_along_it(bend: float) -> None:
    """All weights go as far as the learning rate, and the logit by its own quadratic form. Catches scores of the step's
    start, or its end, where those of its middle belong.
    """
    slopes, rate = np.linspace(2.0, 6.0, 24), 0.02
    tree = bent_answer(slopes, bend, 0.15)
    assert tree.coordinates is not None
    step = Adam(tree.coordinates, tree.dimension, learning_rate=rate, turned=tree.turned, way=tree.way).stepper(1)
    moved = step(tree.score(tree.walks(tree.log_prob[None]), np.array([0])))[0]
    gain = rate * slopes.sum()
    assert moved[0] - moved[1] == pytest.approx(gain + bend * gain**2 / (2 * slopes.sum()), rel=1e-5)


@pytest.mark.parametrize("bend", [60.0, -25.0])
def test_adam_s_law_follows_scores_that_turn_on_its_way(bend: float) -> None:
    """A policy whose logit bends, trained by Adam written out on its weights: mean Pass@1 of 4,000 seeds within 4.5
    standard errors of the law, and the law in which scores stay is off by more than .03. Catches a way of the wrong
    unit or sign, and scores that turn in the gradient but not in the move.
    """
    slopes, p0, rate, rounds, seeds = np.linspace(2.0, 6.0, 24), 0.15, 2e-3, 40, 4000
    generator = np.random.default_rng(5)
    weights, first, second = np.zeros((3, seeds, slopes.size))
    value = np.zeros((rounds, seeds))
    for t in range(rounds):
        gain = weights @ slopes
        z = np.log(p0 / (1 - p0)) + gain + bend * gain**2 / (2 * slopes.sum())
        value[t] = 1 / (1 + np.exp(-z))
        success = generator.random(seeds) < value[t]
        slope = (success * (1 - value[t]) * (1 + bend * gain / slopes.sum()))[:, None] * slopes
        first, second = 0.9 * first + 0.1 * slope, 0.999 * second + 0.001 * slope**2
        corrected = first / (1 - 0.9 ** (t + 1)), second / (1 - 0.999 ** (t + 1))
        weights = weights + rate * corrected[0] / (np.sqrt(corrected[1]) + 1e-8)
    tree = bent_answer(slopes, bend, p0)
    assert tree.coordinates is not None
    assert tree.turned is not None
    assert tree.toward is not None
    found = theory.tree_rounds(tree, rate, rounds, optimizer="adam")
    error = np.sqrt(value.var(axis=1) / seeds + found.value_sd**2 / 1024) + 1e-6
    assert np.max(np.abs(value.mean(axis=1) - found.value) / error) < 4.5
    still = theory.tree_rounds(dataclasses.replace(tree, turned=None), rate, rounds, optimizer="adam")
    assert np.max(np.abs(still.value - found.value)) > 0.03
    # Every second weight, the larger of each pair: too much, unless it is known what they have of the slope.
    some = np.arange(1, slopes.size, 2)
    sampled = dataclasses.replace(
        tree,
        coordinates=tree.coordinates[:, some],
        turned=tree.turned[:, some],
        toward=tree.toward[some],
        stands_for=slopes.sum() / slopes[some].sum(),
    )
    np.testing.assert_allclose(
        theory.tree_rounds(sampled, rate, rounds, optimizer="adam").value, found.value, atol=2e-3
    )


def test_a_tree_grown_of_all_responses_is_the_policy() -> None:
    """Growing from every response of a small policy gives its success probability back."""
    generator = np.random.default_rng(0)
    q = {(): generator.dirichlet(np.ones(4))} | {(a,): generator.dirichlet(np.ones(4)) for a in range(4)}
    responses = list(itertools.product(range(4), repeat=2))
    rewards = [float(sum(one) == 3) for one in responses]
    logs = [[np.log(q[()][a]), np.log(q[(a,)][b])] for a, b in responses]
    grown = grow(responses, rewards, [10] * 16, logs)
    tree = grown.with_gram(np.eye(len(grown.scored)))
    expected = sum(np.exp(sum(log)) * reward for log, reward in zip(logs, rewards, strict=True))
    assert tree.p0 == pytest.approx(expected)
    assert grown.pruned == 0.0
    assert grown.counted == pytest.approx(4 / 16)


def test_rare_wrong_tokens_become_all_the_others() -> None:
    """Pruned edges keep their probability, and their score is minus that of the edges beside them."""
    responses = [(0, 9), (1, 9), (2, 9), (3, 9)]
    logs = [[np.log(share), np.log(0.999)] for share in (0.5, 0.3, 0.1, 0.05)]
    grown = grow(responses, [1.0, 0.0, 0.0, 0.0], [5, 3, 1, 1], logs)
    assert grown.branches == (Branch((), 0), Branch((), 1), Branch((), None))
    np.testing.assert_allclose(np.exp(grown.log_prob), [0.5, 0.3, 0.2])
    np.testing.assert_allclose(grown.mixing, [[1, 0], [0, 1], [-0.5 / 0.2, -0.3 / 0.2]])
    np.testing.assert_allclose(grown.with_gram(np.eye(2)).reward, [1, 0, 0])


def test_responses_that_came_once_are_counted() -> None:
    """Of 8 that were right 3 came once; what was wrong is none of them."""
    responses = [(0, 9), (1, 9), (2, 9), (3, 9), (4, 9)]
    logs = [[np.log(0.2), 0.0]] * 5
    assert grow(responses, [1.0, 1.0, 1.0, 1.0, 0.0], [5, 1, 1, 1, 1], logs).once == pytest.approx(3 / 8)
    assert grow(responses, [0.0] * 5, [5, 1, 1, 1, 1], logs).once == 0.0


def test_a_count_above_what_the_tree_shows_is_refused_where_chance_does_not_explain_it() -> None:
    """61 successes of 256 where p0 is .18 are chance; 610 of 2,560 are not, and neither are successes that all differ
    from each other, however few.
    """
    tree = several_paths()
    p0 = tree.p0
    few = dataclasses.replace(tree, responses=100, counted=p0 + 2 * np.sqrt(p0 * (1 - p0) / 100))
    assert tree.p0 < 0.8 * few.counted
    few.refuse()
    with pytest.raises(NoLawError, match="explains a Pass@1"):
        dataclasses.replace(few, responses=1000).refuse()
    with pytest.raises(NoLawError, match="explains a Pass@1"):
        dataclasses.replace(few, once=1.0).refuse()


def test_a_tree_of_too_few_responses_is_refused() -> None:
    tree = several_paths()
    with pytest.raises(NoLawError, match="explains a Pass@1"):
        dataclasses.replace(tree, responses=10, counted=0.9).refuse()
    with pytest.raises(NoLawError, match="sampled too rarely"):
        dataclasses.replace(tree, responses=10, counted=tree.p0, pruned=0.5).refuse()
    with pytest.raises(NoLawError, match="strictly between"):
        dataclasses.replace(tree, reward=np.zeros(9)).refuse()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"child": np.full(9, -1)}, "no tree"),
        ({"reward": np.full(9, 2.0)}, "outside 0 to 1"),
        ({"gram": np.eye(8)}, "9 edges"),
        ({"gram": np.full((9, 9), np.nan)}, "not finite"),
        ({"log_prob": np.zeros(9)}, "add up"),
    ],
)
def test_bad_trees_are_refused_in_a_sentence(change, message) -> None:
    with pytest.raises(InputError, match=message):
        dataclasses.replace(several_paths(), **change)


def test_equal_trees_share_one_law() -> None:
    """A report, a figure and a verdict ask for the law of one run again and again; catches a law drawn anew each time,
    and one shared by trees that differ.
    """
    first, second = several_paths(), several_paths()
    law = theory.tree_jump(first, 0.5, 10).law
    assert theory.tree_jump(second, 0.5, 20).law is law
    assert theory.tree_jump(second, 0.6, 20).law is not law
    other = dataclasses.replace(first, gram=2 * first.gram)
    assert theory.tree_jump(other, 0.5, 20).law is not law
    groups = theory.tree_rounds(first, 0.5, 5, "grpo", 4).law
    assert theory.tree_rounds(second, 0.5, 9, "grpo", 4).law is groups


def test_a_level_that_is_never_reached_is_found_out_in_seconds() -> None:
    """A policy that a KL term holds at its start: times are infinite, and neither memory nor time is spent on them."""
    law = theory.tree_rounds(several_paths(), 0.1, 5, "raw", 2, kl_coefficient=50.0).law
    assert law is not None
    with pytest.raises(InputError, match="4,096 rounds"):
        law.mean_hitting_time(0.99)
    assert mean_curve_time(law, 0.99) == np.inf


def test_many_runs_are_drawn_from_those_that_the_law_has_simulated() -> None:
    """A verdict asks for thousands of runs: catches new simulations, and rewards of other runs than values."""
    law = theory.tree_rounds(several_paths(), 0.4, 12, "raw", 2).law
    assert law is not None
    found = law.sample(np.random.default_rng(1), 3000, np.arange(12))
    held = {row.tobytes() for row in law.values(12)}
    assert all(row.tobytes() in held for row in found.value)
    rewards = np.diff(found.total_reward, axis=1, prepend=0.0)
    # The means over 3,000 of 1,024 runs of two rollouts: 5 standard errors.
    assert np.max(np.abs(rewards.mean(axis=0) - found.value.mean(axis=0))) < 5 * 0.5 / np.sqrt(2 * 1024)
