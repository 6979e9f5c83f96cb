"""Score windows and dynamic sampling on token policies: each round against its definition, on every sequence there is.

The oracle holds the logits of each decision in NumPy (one softmax for all positions, or one for each prefix) and knows
nothing of the learner but the responses that it learned from.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bandit_rft import arms, keys, learners, run
from bandit_rft.arms.contexts import Contexts, Responses
from bandit_rft.contract import Learner
from bandit_rft.errors import InputError
from bandit_rft.loop.one_round import round_keys
from bandit_rft.loop.redraws import settled
from bandit_rft.policies import LogLinear, PrefixTree, Product
from bandit_rft.verifiers import AnswerToken, ModularSum, Needle

V, H = 3, 2
SEQUENCES = list(itertools.product(range(V), repeat=H))
STEP = 0.8


class Dense:
    """The policy by its definition. `place` says which logits decide a position after a prefix."""

    def __init__(self, place) -> None:
        self.place, self.logit = place, defaultdict(lambda: np.zeros(V))

    def chances(self, prefix) -> np.ndarray:
        weight = np.exp(self.logit[self.place(prefix)])
        return weight / weight.sum()

    def success(self, reward) -> float:
        chance = [np.prod([self.chances(y[:h])[y[h]] for h in range(H)]) for y in SEQUENCES]
        return float(np.dot(chance, [reward(y) for y in SEQUENCES]))

    def step(self, tokens: np.ndarray, coefficient: np.ndarray) -> None:
        moves = defaultdict(lambda: np.zeros(V))
        for y, weight in zip(map(tuple, tokens.tolist()), coefficient, strict=True):
            for h in range(H):
                moves[self.place(y[:h])] += weight * (np.eye(V)[y[h]] - self.chances(y[:h]))
        for place, move in moves.items():
            self.logit[place] = self.logit[place] + move


def rounds_of(world, bound: Learner, count: int, key: int) -> Iterator[tuple]:
    """(value before, responses learned from, their rewards, responses drawn) of each round of one seed, as `run`."""
    seed_key = jax.random.fold_in(keys.as_key(key), 0)
    state = bound.init(seed_key)

    @jax.jit  # of all rounds: traced once
    def one(state, t):
        act_key, pull_key, round_key = round_keys(seed_key, t)
        pulled, info = bound.act(act_key, state)
        pulled, rewards, drawn = settled(world, bound, round_key, state, pulled, world.pull(pull_key, pulled))
        return info.value, pulled, rewards, drawn.get("pulls", rewards.size), bound.update(state, pulled, rewards)

    for t in range(count):
        value, pulled, rewards, pulls, state = one(state, np.int32(t))
        yield float(value), pulled, np.asarray(rewards), int(pulls)


def windowed(scores: np.ndarray, group: int, signal: str) -> np.ndarray:
    """Signals of the last `group` of the scores [N] in the window."""
    found = scores[-group:] - scores.mean()
    if signal == "mean_baseline" or not np.ptp(scores):
        return found * (np.ptp(scores) > 0)
    return found / (scores.std(ddof=1) + 0.05)


CASES = {
    "one softmax": (LogLinear(), lambda prefix: (), ModularSum(3, 1)),
    "a softmax for each prefix": (PrefixTree(), lambda prefix: prefix, Needle((1, 2))),
    "a softmax for each position": (Product(), len, AnswerToken(2)),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("signal", ["grpo", "mean_baseline"])
def test_a_window_is_the_definition_round_by_round(name: str, signal: str) -> None:
    """Catches the oldest scores kept for the newest, empty places counted before the window is full, older responses
    learned from again, and a step that is not the mean over the round's own rollouts.
    """
    policy, place, verifier = CASES[name]
    world = arms.TokenSequences(V, H, verifier, policy)
    learner = learners.SoftmaxPolicyGradient(step_size=STEP, signal=signal, rollouts=2, window=7, eps=0.05)
    dense, scores = Dense(place), np.zeros(0)
    with jax.enable_x64(True):
        rewards_of = dict(zip(SEQUENCES, np.asarray(verifier.reward(jnp.asarray(SEQUENCES, jnp.int32))), strict=True))
        for value, tokens, rewards, _ in rounds_of(world, learner.bind(world, rounds=10), 10, key=4):
            assert value == pytest.approx(dense.success(rewards_of.__getitem__), rel=1e-9)
            scores = np.append(scores, rewards)[-7:]
            dense.step(np.asarray(tokens), windowed(scores, 2, signal) * STEP / 2)


@pytest.mark.parametrize("name", CASES)
def test_dead_groups_are_drawn_again_until_one_lives(name: str) -> None:
    """Catches a first draw that is learned from, a living group drawn again, a draw too many, pulls not counted, and
    further draws of another policy than the round's.
    """
    policy, place, verifier = CASES[name]
    world = arms.TokenSequences(V, H, verifier, policy)
    learner = learners.SoftmaxPolicyGradient(step_size=STEP, signal="grpo", rollouts=3, dynamic_sampling=2, eps=0.05)
    dense, most, again = Dense(place), 9, 0
    with jax.enable_x64(True):
        rewards_of = dict(zip(SEQUENCES, np.asarray(verifier.reward(jnp.asarray(SEQUENCES, jnp.int32))), strict=True))
        for value, tokens, rewards, pulls in rounds_of(world, learner.bind(world, rounds=12), 12, key=2):
            assert value == pytest.approx(dense.success(rewards_of.__getitem__), rel=1e-9)
            assert np.ptp(rewards) > 0 or pulls == most
            again += pulls > 3
            dense.step(np.asarray(tokens), windowed(rewards, 3, "grpo") * STEP / 3)
    assert again


def test_both_loops_draw_again_alike_and_every_pull_costs_regret() -> None:
    world = arms.TokenSequences(V, H, AnswerToken(2), LogLinear())
    learner = learners.SoftmaxPolicyGradient(step_size=STEP, signal="grpo", rollouts=3, dynamic_sampling=2)
    history, other = run(world, learner, 6, 2, key=2), run(world, learner, 6, 2, key=2, loop="host")
    np.testing.assert_array_equal(history.metrics["pulls"], other.metrics["pulls"])
    np.testing.assert_array_equal(history.rewards, other.rewards)
    np.testing.assert_allclose(history.regret(), np.cumsum(history.metrics["pulls"] * (1 - history.value), axis=1))


def test_each_prompt_has_a_window_of_its_own_that_moves_when_it_is_drawn() -> None:
    """Two prompts with a softmax for each position, one drawn each round. Catches one window for all prompts, and one
    that grows in rounds of the other prompt.
    """
    verifiers = (AnswerToken(2), AnswerToken(0))
    world = Contexts(V, H, verifiers)
    learner = learners.SoftmaxPolicyGradient(step_size=STEP, signal="grpo", rollouts=2, window=6, eps=0.05)
    dense, scores = [Dense(len), Dense(len)], [np.zeros(0), np.zeros(0)]
    drawn = []
    with jax.enable_x64(True):
        tables = [
            dict(zip(SEQUENCES, np.asarray(one.reward(jnp.asarray(SEQUENCES, jnp.int32))), strict=True))
            for one in verifiers
        ]
        for value, found, rewards, _ in rounds_of(world, learner.bind(world, rounds=14), 14, key=1):
            values = [one.success(table.__getitem__) for one, table in zip(dense, tables, strict=True)]
            assert value == pytest.approx(np.mean(values), rel=1e-9)
            (which,) = set(np.asarray(found.prompt).tolist())
            drawn.append(which)
            scores[which] = np.append(scores[which], rewards)[-6:]
            dense[which].step(np.asarray(found.tokens), windowed(scores[which], 2, "grpo") * STEP / 2)
    assert min(drawn.count(0), drawn.count(1)) >= 4


def test_a_dead_group_is_drawn_again_for_its_own_prompt() -> None:
    """All prompts each round, one of them never right. Catches a living group that is replaced, another prompt's
    responses in its place, and pulls counted for living groups.
    """
    verifiers = (AnswerToken(2), Needle((1, 1)), AnswerToken(0))
    world = Contexts(V, H, verifiers, batch="all", p0=(0.4, 1e-12, 0.5))
    learner = learners.SoftmaxPolicyGradient(step_size=1e-9, signal="rloo", rollouts=2, dynamic_sampling=3)
    bound = learner.bind(world, rounds=1)
    assert bound.redraws is not None
    with jax.enable_x64(True):
        state = bound.init(jax.random.key(0))
        first, _ = bound.act(jax.random.key(1), state)
        again = bound.redraws.again(jax.random.key(2), state, first, jnp.ones(3, bool))
        assert isinstance(again, Responses)
        np.testing.assert_array_equal(again.prompt, first.prompt)
        assert np.any(np.asarray(again.tokens) != np.asarray(first.tokens))
        np.testing.assert_array_equal(bound.redraws.dead(jnp.array([1.0, 0, 0, 0, 1, 1])), [False, True, True])
        assert int(bound.redraws.cost(again, np.array([False, True, True]))["pulls"]) == 4
    history = run(world, learner, 20, 4, key=0)
    groups = history.rewards.reshape(4, 20, 3, 2)
    assert not groups[:, :, 1].any()
    # The prompt that is never right takes all four draws of every round: 8 responses of at least 8 + 2 + 2.
    assert history.metrics["pulls"].min() >= 12
    assert history.metrics["pulls"].max() <= 24
    alone = run(world, learners.SoftmaxPolicyGradient(step_size=1e-9, signal="rloo", rollouts=2), 20, 4, key=0)
    alive = np.ptp(alone.rewards.reshape(4, 20, 3, 2), axis=3) > 0
    np.testing.assert_array_equal(groups[:, 0][alive[:, 0]], alone.rewards.reshape(4, 20, 3, 2)[:, 0][alive[:, 0]])


@pytest.mark.parametrize("setting", [{"extra_rollouts": 2}, {"clip": 0.2}, {"epochs": 2}, {"replay": 1}])
def test_what_token_policies_do_not_take_is_refused(setting: dict) -> None:
    learner = learners.SoftmaxPolicyGradient(step_size=0.1, signal="grpo", rollouts=2, **setting)
    with pytest.raises(InputError, match="but for k, window and dynamic_sampling"):
        learner.bind(arms.TokenSequences(V, H, AnswerToken(2)), rounds=2)
