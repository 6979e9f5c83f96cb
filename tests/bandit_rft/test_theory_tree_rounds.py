"""What a round of the tree law draws and compares, against enumeration and trained token policies.

Windows of scores, dead groups drawn again, rollouts for the baseline alone, the spread of a batch.
"""

import itertools

import numpy as np
import pytest
from scipy import stats

from bandit_rft import arms, learners, policies, run, summarize, theory, verifiers
from bandit_rft.errors import InputError, NoLawError
from bandit_rft.theory.forests import forest
from bandit_rft.theory.laws.tree_round import RoundDraws, last_groups
from bandit_rft.theory.laws.tree_rounds_law import TreeRoundsLaw
from bandit_rft.theory.sequences.tree import rounds_law
from bandit_rft.theory.update_settings import UpdateSettings
from tests.bandit_rft.test_theory_tree import chain_tree, several_paths

SHARES = np.array([0.15, 0.35, 0.2, 0.3])
RIGHT = np.array([1.0, 0.0, 0.5, 0.0])


def test_last_groups_have_the_law_of_groups_drawn_one_by_one() -> None:
    """Every outcome of three responses, each a leaf and its reward, over up to three groups: 400,000 draws against
    their chances by a chi-square test (false alarm 1e-6). Catches a group that is conditioned on another event than
    that its rewards differ, draws counted off by one, and rewards that are not drawn with their leaves.
    """
    group, most, runs = 3, 2, 400_000
    single = [(leaf, reward) for leaf in range(4) for reward in (0, 1) if RIGHT[leaf] not in (1 - reward,)]
    chance = {one: SHARES[one[0]] * (RIGHT[one[0]] if one[1] else 1 - RIGHT[one[0]]) for one in single}
    outcome = list(itertools.product(single, repeat=group))
    weight = np.array([np.prod([chance[one] for one in group_]) for group_ in outcome])
    alive = np.array([len({reward for _, reward in group_}) == 2 for group_ in outcome])
    dead = weight[~alive].sum()
    last = weight * np.where(alive, sum(dead**n for n in range(most + 1)), dead**most)
    found = last_groups(np.tile(3 * SHARES, (runs, 1)), RIGHT, group, most, np.random.default_rng(0))
    places = {group_: place for place, group_ in enumerate(outcome)}
    drawn = np.zeros(len(outcome))
    keys, counts = np.unique(np.stack([found.leaf, found.rewards.astype(int)], axis=2), axis=0, return_counts=True)
    for key, count in zip(keys, counts, strict=True):
        drawn[places[tuple(map(tuple, key.tolist()))]] = count
    assert stats.chisquare(drawn, last * runs).pvalue > 1e-6
    numbers = np.bincount(found.drawn[:, 0].astype(int), minlength=most + 2)[1:]
    expected = np.array([1 - dead, dead * (1 - dead), dead**2])
    assert stats.chisquare(numbers, expected * runs).pvalue > 1e-6
    rewards = np.array([np.mean([reward for _, reward in group_]) for group_ in outcome])
    np.testing.assert_allclose(found.earned, last @ rewards, rtol=1e-9)
    mean = theory.dynamic_sampling_pulls(float(SHARES @ RIGHT), group, most)
    assert group * expected @ np.arange(1, most + 2) == pytest.approx(mean)


def test_groups_that_can_never_live_are_dead_after_every_draw() -> None:
    """Catches a NaN where the policy is certain, and a loop as long as the draws that are allowed."""
    for reward in (0.0, 1.0):
        found = last_groups(np.ones((3, 1)), np.array([reward]), 2, 10**6, np.random.default_rng(0))
        assert (found.drawn == 10**6 + 1).all()
        assert (found.earned == reward).all()
        assert (found.rewards == reward).all()


def trained(**settings):
    sequences = arms.TokenSequences(5, 3, verifiers.Needle((3, 1, 4)), policy=policies.PrefixTree(), p0=0.1)
    learner = learners.SoftmaxPolicyGradient(step_size=0.5, signal="grpo", **settings)
    return run(sequences, learner, rounds=40, seeds=400, key=3)


Q = np.array([0.1 ** (1 / 3), *[(1 - 0.1 ** (1 / 3)) / 4] * 4])


@pytest.mark.parametrize("settings", [{"rollouts": 2, "window": 7}, {"rollouts": 3, "dynamic_sampling": 5}])
def test_a_trained_prefix_tree_policy_follows_it(settings: dict) -> None:
    """A real token policy whose tree is complete, at a large step: mean Pass@1, regret, and rewards of 400 seeds within
    4.5 standard errors of the law (false alarm below 1e-3), which the law without the setting is far from.
    """
    history = trained(**settings)
    tree = chain_tree([Q] * 3)
    found = theory.tree_rounds(tree, 0.5, 40, "grpo", eps=1e-6, **settings)
    plain = theory.tree_rounds(tree, 0.5, 40, "grpo", eps=1e-6, rollouts=settings["rollouts"])

    def apart(measured: np.ndarray, expected: np.ndarray, spread: np.ndarray) -> float:
        error = np.sqrt(measured.var(axis=0) / 400 + spread**2 / 1024) + 1e-6
        return float(np.max(np.abs(measured.mean(axis=0) - expected) / error))

    assert found.value_sd is not None
    assert found.regret_sd is not None
    assert plain.value_sd is not None
    assert apart(history.value, found.value, found.value_sd) < 4.5
    assert apart(history.value, plain.value, plain.value_sd) > 8
    assert apart(history.regret(), found.regret, found.regret_sd) < 4.5
    rewards = history.rewards.mean(axis=2)
    expected = found.value if found.reward is None else found.reward
    assert apart(rewards, expected, rewards.std(axis=0)) < 4.5
    if "dynamic_sampling" in settings:
        law = found.law
        assert isinstance(law, TreeRoundsLaw)
        pulls = history.metrics["pulls"]
        assert apart(pulls, law.pulled(40), pulls.std(axis=0)) < 4.5
        assert apart(rewards, found.value, rewards.std(axis=0)) > 8  # living groups are no sample of the policy's


def test_a_window_of_the_round_s_own_scores_is_no_window() -> None:
    """The same draws, and the signals of the group. Catches a window that leaves this round out."""
    own, group = (theory.tree_rounds(several_paths(), 0.4, 20, "grpo", 4, eps=1e-6, window=w) for w in (4, None))
    np.testing.assert_allclose(own.value, group.value, rtol=1e-4)


@pytest.mark.parametrize(("signal", "window", "rollouts"), [("grpo", 6, 2), ("mean_baseline", 5, 1)])
def test_windows_are_those_of_the_learners(signal: str, window: int, rollouts: int) -> None:
    """Twelve rounds of scores on two leaves, a run at a time by hand. Catches the oldest scores kept for the newest,
    windows of other runs or questions, and empty places that count.
    """
    settings = UpdateSettings(step_size=1.0, signal=signal, rollouts=rollouts, window=window, questions=1, eps=0.1)
    one = theory.ResponseTree(np.zeros(2, int), np.full(2, -1), np.eye(2)[0], np.log([0.4, 0.6]), np.eye(2))
    draws, generator = Watched(forest([one, one]), settings, 3), np.random.default_rng(4)
    held: dict[tuple[int, int], list[float]] = {}
    for _ in range(12):
        onto = draws.next(np.tile([0.2, 0.3, 0.2, 0.3], (3, 1)), generator).onto
        for row in range(3):
            question, rewards = int(draws.asked[row, 0]), draws.rewards[row]
            scores = held[row, question] = [*held.get((row, question), []), *rewards][-window:]
            spread = np.std(scores, ddof=1) + 0.1 if signal == "grpo" else 1.0
            signals = (rewards - np.mean(scores)) / spread if np.ptp(scores) else 0 * rewards
            expected = np.zeros(4)
            expected[2 * question : 2 * question + 2] = [signals[rewards == r].sum() / rollouts for r in (1, 0)]
            np.testing.assert_allclose(onto[row], expected, atol=1e-6)


class Watched(RoundDraws):
    """Keeps which questions a round took, int [R, B], and their rewards [R, B n]."""

    asked: np.ndarray
    rewards: np.ndarray

    def _asked(self, runs, generator):
        asked = super()._asked(runs, generator)
        assert asked is not None
        self.asked = asked
        return asked

    def _once(self, paths, generator):
        groups = super()._once(paths, generator)
        self.rewards = groups.rewards
        return groups


def test_the_first_update_of_extra_rollouts_is_that_of_a_group_of_all_and_noisier() -> None:
    """Δlogit p = η κ p(1−p) M(G + E), 4.5 standard errors of 20,000 groups (false alarm 7e-6), and a spread above that
    of a group of G + E. Catches extra rollouts that are learned from, and a mean over all of them.
    """
    tree, spreads = several_paths(), []
    for group, extra in ((2, 6), (8, 0)):
        settings = UpdateSettings(step_size=1e-3, signal="grpo", rollouts=group, extra_rollouts=extra)
        scores = rounds_law(tree, settings).scores(np.array([1]), 20_000)[:, 0]
        p = tree.p0
        moved = (tree.walks(tree.log_prob + 1e-3 * scores @ tree.gram).path @ tree.leaf_reward - p) / (p * (1 - p))
        expected = 1e-3 * tree.kappa * p * (1 - p) * theory.drift_multiplier("grpo", p, 8)
        assert abs(moved.mean() - expected) < 4.5 * moved.std() / np.sqrt(moved.size) + 2e-3 * expected
        spreads.append(moved.std())
    assert spreads[0] > 1.5 * spreads[1]
    assert theory.tree_rounds(tree, 0.1, 5, "rloo", 2, extra_rollouts=6).rollouts == 8


def test_the_spread_of_a_batch_of_one_question_is_its_own() -> None:
    same = [
        theory.tree_rounds(several_paths(), 0.4, 20, "grpo", 4, eps=1e-6, normalise=name).value
        for name in ("batch", "group")
    ]
    np.testing.assert_allclose(same[0], same[1], rtol=1e-4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"signal": "raw", "window": 4}, "mean_baseline and grpo"),
        ({"rollouts": 4, "window": 3}, "window is 3"),
        ({"window": 8, "extra_rollouts": 2}, "without extra_rollouts"),
        ({"window": 8, "dynamic_sampling": 2}, "leave out window or dynamic_sampling"),
        ({"signal": "signed", "dynamic_sampling": 2}, "teaches"),
        ({"rollouts": 1, "dynamic_sampling": 2}, "at least 2 rollouts"),
        ({"extra_rollouts": -1}, "extra_rollouts is -1"),
        ({"k": 3}, "has no k"),
        ({"signal": "rloo", "normalise": "batch"}, "choose grpo"),
    ],
)
def test_what_does_not_go_together_is_refused(settings: dict, message: str) -> None:
    given = {"signal": "grpo", "rollouts": 2, **settings}
    with pytest.raises(InputError, match=message):
        theory.tree_rounds(several_paths(), 0.4, 5, **given)


def test_a_table_s_baseline_of_extra_rollouts_alone_is_refused() -> None:
    """On a table mean_baseline takes away the mean of the extra pulls, in fine-tuning that of all."""
    summary = summarize(arms.Needle(log10_arms=1, optimal=3, p0=0.2))
    with pytest.raises(NoLawError, match="extra rollouts alone"):
        theory.predict(summary, step_size=0.1, rounds=5, signal="mean_baseline", rollouts=2, extra_rollouts=2)
