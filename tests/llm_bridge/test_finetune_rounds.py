"""One round of several prompts, baselines, rewards, mini-batches and replay, against the objective written out."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bandit_rft import signals
from llm_bridge.bandits.question_arms import PromptArms
from llm_bridge.sampling.rollouts import Rollouts
from tests.llm_bridge import toy
from tests.llm_bridge.updates import MAX_TOKENS, assert_moved, identical
from tests.llm_bridge.written_out import PROMPTS, answered, down, elsewhere, question_arms, start, starts_in


@pytest.fixture(scope="module")
def model():
    return toy.model(spread=4.0, layers=1)


@pytest.fixture(scope="module")
def arms(model):
    return question_arms(model)


@pytest.mark.parametrize("micro_batch", [None, 3])
def test_several_prompts_move_as_the_mean_of_each_prompt_alone(arms, micro_batch):
    """Catches groups mixed up between prompts, rewards normalised over the round, a prompt read at a wrong length."""
    questions, group = [2, 1, 3], 3
    rollouts = answered(arms, np.repeat(questions, group))
    rewards = np.array([1, 0, 1, 0, 0, 1, 1, 1, 0], np.float32)
    settings = {"rollouts": group, "signal": "grpo", "learning_rate": 0.1}
    bound, state = start(arms, prompts=3, micro_batch=micro_batch, **settings)
    together = bound.update(state, rollouts, jnp.asarray(rewards))
    moves = []
    for place, question in enumerate(questions):
        rows = slice(place * group, (place + 1) * group)
        example = arms.examples[question]
        one = PromptArms(arms.model, example.prompt, starts_in(example.answer))
        cut = {
            name: getattr(rollouts, name)[rows]
            for name in ("tokens", "lengths", "log_probs", "text", "truncated", "prompt_lengths")
        }
        alone, before = start(one, **settings)
        after = alone.update(before, Rollouts(**cut), jnp.asarray(rewards[rows]))
        moves.append(jax.tree.map(jnp.subtract, after.params, before.params))
    mean = jax.tree.map(lambda *parts: sum(parts) / len(parts), *moves)
    assert_moved(state.params, together.params, mean, 1.0)


@pytest.mark.parametrize("aggregation", ["token-mean", "seq-mean-token-mean"])
def test_every_term_is_the_gradient_of_the_objective_written_out(arms, aggregation):
    """Asymmetric clip off policy, KL in the loss and entropy bonus at once, at weights away from the reference."""
    questions = np.repeat([0, 2], 2)
    bound, state = start(
        arms,
        prompts=2,
        rollouts=2,
        learning_rate=0.1,
        clip=(0.1, 0.3),
        kl_coefficient=0.4,
        entropy_coefficient=0.2,
        aggregation=aggregation,
        signal="mean_baseline",
        micro_batch=2,
    )
    state = elsewhere(state)
    rollouts = answered(arms, questions, params=state.params)
    rewards = np.array([1, 0, 0, 0.5], np.float32)
    signal = np.array([0.5, -0.5, -0.25, 0.25])
    after = bound.update(state, rollouts, jnp.asarray(rewards))
    terms = {"aggregation": aggregation, "low": 0.1, "high": 0.3, "beta": 0.4, "entropy": 0.2}
    loss, want = down(arms, state.params, rollouts, signal, **terms)
    assert_moved(state.params, after.params, want, 0.1, rtol=1e-3)
    assert float(after.metrics["loss"]) == pytest.approx(loss, rel=1e-4)


def test_extra_rollouts_enter_the_baseline_and_nothing_else(arms):
    """One rollout learned from, seven more only for mean and standard deviation (arXiv 2601.22532).

    Catches a gradient through the extra rows, and a mean over eight where one is learned from.
    """
    rollouts = answered(arms, np.repeat([1, 3], 8))
    rewards = np.array([1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 1, 1, 0, 1, 1, 1], np.float32)
    # By hand: means 1/4 and 3/4; sample variance (8/7)·(3/16), the same of both.
    spread = (8 / 7 * 3 / 16) ** 0.5 + 1e-6
    signal = np.array([0.75, -0.75]) / spread
    bound, state = start(arms, prompts=2, baseline_rollouts=7, signal="grpo", learning_rate=0.1)
    assert bound.rollouts == 16
    after = bound.update(state, rollouts, jnp.asarray(rewards))
    learned = dataclasses.replace(
        rollouts, **{name: getattr(rollouts, name)[[0, 8]] for name in ("questions", "tokens", "lengths", "log_probs")}
    )
    _, want = down(arms, state.params, learned, signal)
    assert_moved(state.params, after.params, want, 0.1)
    assert float(after.metrics["reward_mean"]) == pytest.approx(0.5)
    assert float(after.metrics["signal_spread"]) == pytest.approx(0.75 / spread, rel=1e-5)


def test_negative_rewards_are_learned_and_not_reported(arms):
    """−1 for wrong: signals +1 and −1, while the reported reward stays the share that is right."""
    rollouts = answered(arms, [0, 1])
    rewards = jnp.array([1.0, 0.0], jnp.float32)
    bound, state = start(arms, prompts=2, learning_rate=0.1, reward_wrong=-1.0)
    after = bound.update(state, rollouts, rewards)
    _, want = down(arms, state.params, rollouts, np.array([1.0, -1.0]))
    assert_moved(state.params, after.params, want, 0.1)
    assert [float(after.metrics[n]) for n in ("reward_mean", "signal_mean", "signal_spread")] == [0.5, 0.0, 1.0]
    bound, state = start(arms, prompts=2, learning_rate=0.1, reward_right=2.0, reward_wrong=0.5)
    assert float(bound.update(state, rollouts, rewards).metrics["signal_mean"]) == pytest.approx(1.25)


@pytest.mark.parametrize("estimator", ["k1", "k2"])
def test_kl_in_the_reward_is_the_responses_sum_before_the_signal(model, arms, estimator):
    """verl: token_level_rewards = scores − β · kld, summed over the response; then the group's mean is taken away."""
    bound, state = start(
        arms,
        prompts=2,
        rollouts=2,
        learning_rate=0.1,
        signal="mean_baseline",
        reward_kl_coefficient=0.3,
        reward_kl=estimator,
        kl="k1",
    )
    state = elsewhere(state)
    rollouts = answered(arms, np.repeat([0, 4], 2))
    rewards = np.array([1, 0, 1, 1], np.float32)
    totals, signed = [], []
    for row in range(4):
        n = int(rollouts.lengths[row])
        one = dataclasses.replace(
            rollouts, tokens=rollouts.tokens[row : row + 1, :n], lengths=rollouts.lengths[row : row + 1]
        )
        prompt = PROMPTS[int(rollouts.questions[row])]
        gap = model.log_probs(prompt, one, params=state.params)[0] - model.log_probs(prompt, one)[0]
        signed.append(gap.sum())
        totals.append((gap if estimator == "k1" else gap**2 / 2).sum())
    mapped = (rewards - 0.3 * np.array(totals)).reshape(2, 2)
    signal = (mapped - mapped.mean(1, keepdims=True)).reshape(-1)
    after = bound.update(state, rollouts, jnp.asarray(rewards))
    _, want = down(arms, state.params, rollouts, signal)
    assert_moved(state.params, after.params, want, 0.1, rtol=1e-3)
    assert float(after.metrics["kl"]) == pytest.approx(np.mean(signed), rel=1e-3)


def test_kl_is_reported_on_request_where_nothing_needs_it(arms):
    rollouts, rewards = answered(arms, [0]), jnp.zeros(1, jnp.float32)
    for log_kl in (False, True):
        bound, state = start(arms, learning_rate=0.1, log_kl=log_kl)
        after = bound.update(state, rollouts, rewards)
        assert np.isfinite(float(after.metrics["kl"])) == log_kl
        assert identical(after.params, state.params)


def test_ratios_outside_the_clip_are_counted_on_either_side(arms):
    """Ratios 2, ½, 1, 1 with ε = 0.2: half the tokens outside; of a positive signal only the first is stopped."""
    rollouts = arms.generate(np.array([0]), max_tokens=MAX_TOKENS, key=jax.random.key(1), temperature=1.0)
    assert rollouts.lengths[0] == MAX_TOKENS
    shift = np.log(np.array([[2, 0.5, 1, 1]], np.float32))
    rollouts = dataclasses.replace(rollouts, log_probs=rollouts.log_probs - shift)
    bound, state = start(arms, learning_rate=0.1)
    after = bound.update(state, rollouts, jnp.ones(1, jnp.float32))
    assert float(after.metrics["ratio_outside"]) == pytest.approx(0.5)
    assert float(after.metrics["pg_clipfrac"]) == pytest.approx(0.25)
    assert float(after.metrics["sampler_trainer_gap"]) == pytest.approx(np.log(2), rel=1e-3)


def test_mini_batches_step_one_after_the_other(arms):
    """Two steps, the second on the weights of the first with ratios against the sampling policy; order by the key."""
    questions, rewards = [0, 3], np.array([1.0, -0.5], np.float32)
    rollouts = answered(arms, questions)
    bound, state = start(arms, prompts=2, mini_batches=2, learning_rate=0.05)
    seen = set()
    for round_index in range(8):
        begin = dataclasses.replace(state, round=jnp.int32(round_index))
        after = bound.update(begin, rollouts, jnp.asarray(rewards))
        assert int(after.updates) == 2
        errors = []
        for order in ((0, 1), (1, 0)):
            params = state.params
            for row in order:
                picked = ("questions", "tokens", "lengths", "log_probs")
                one = dataclasses.replace(rollouts, **{n: getattr(rollouts, n)[[row]] for n in picked})
                _, way = down(arms, params, one, rewards[[row]])
                params = jax.tree.map(lambda p, g: p + 0.05 * g, params, way)
            pairs = zip(jax.tree.leaves(params), jax.tree.leaves(after.params), strict=True)
            errors.append(max(float(jnp.abs(a - b).max()) for a, b in pairs))
        assert min(errors) < 1e-5 < max(errors)
        seen.add(int(np.argmin(errors)))
        if len(seen) == 2:
            break
    assert len(seen) == 2


def test_replayed_rounds_count_with_their_own_ratios_and_signals(arms):
    """Three rounds with a window of two: each is a step on all rows present, old ones at their own log-probabilities.

    Catches a window that forgets early or late, signals recomputed, and ratios against the newest policy.
    """
    bound, state = start(arms, prompts=2, replay=2, learning_rate=0.05)
    past = []
    for index, (questions, rewards) in enumerate(
        (([0, 1], [1, 0.5]), ([2, 3], [0, -1]), ([4, 0], [1, 1]), ([1, 2], [0, 0]))
    ):
        past.append((answered(arms, questions, seed=index + 3), np.array(rewards, np.float32)))
        kept = past[-3:]
        fields = ("questions", "tokens", "lengths", "log_probs")
        rows = dataclasses.replace(kept[0][0], **{n: np.concatenate([getattr(r, n) for r, _ in kept]) for n in fields})
        _, want = down(arms, state.params, rows, np.concatenate([s for _, s in kept]))
        after = bound.update(state, past[-1][0], jnp.asarray(past[-1][1]))
        assert_moved(state.params, after.params, want, 0.05)
        assert after.window is not None
        assert [leaf.shape[:2] for leaf in jax.tree.leaves(after.window)] == [(2, 2)] * 5
        state = after
    # Nothing new was right in the fourth round: whatever moved the weights was replayed.
    assert float(state.metrics["dead_groups"]) == 1.0
    assert float(state.metrics["gradient_norm"]) > 0


def test_replay_without_a_clip_keeps_its_ratio(arms):
    """REINFORCE on replayed rows is importance-weighted, or it would be the gradient of another objective."""
    bound, state = start(arms, replay=1, clip=None, learning_rate=0.05)
    first = bound.update(state, answered(arms, [0]), jnp.zeros(1, jnp.float32))
    rollouts = answered(arms, [2], seed=5)
    after = bound.update(first, rollouts, jnp.ones(1, jnp.float32))
    _, want = down(arms, state.params, rollouts, np.ones(1), low=np.inf, high=np.inf)
    assert_moved(state.params, after.params, want, 0.025)
    assert np.isnan(float(after.metrics["ratio_outside"]))


@pytest.mark.parametrize(
    ("name", "by_hand"),
    [
        ("maxrl", [2, 0, 0, 2, 0, 0, 4, 0]),
        ("maxrl_centred", [1, -1, -1, 1, -1, -1, 3, -1]),
        ("pass_at_k", [0, 0, 0, 0, 0, 0, 4, 0]),
        ("nsr", [0, -1, -1, 0, -1, -1, 0, -1]),
    ],
)
def test_signals_of_successes_and_failures_are_of_each_prompt(arms, name, by_hand):
    """Catches a mean reward of the round for that of the prompt, and a k of pass_at_k that is not the group's size."""
    rollouts = answered(arms, np.repeat([1, 3], 4))
    rewards = np.array([1, 0, 0, 1, 0, 0, 1, 0], np.float32)
    bound, state = start(arms, prompts=2, rollouts=4, signal=name, learning_rate=0.1)
    after = bound.update(state, rollouts, jnp.asarray(rewards))
    _, want = down(arms, state.params, rollouts, np.array(by_hand, np.float32))
    assert_moved(state.params, after.params, want, 0.1, rtol=1e-3)


def test_pass_at_k_takes_a_k_as_a_function(arms):
    """k = 2 of 4: a correct response counts with the share of single others that are wrong."""
    rollouts = answered(arms, np.repeat([1], 4))
    bound, state = start(arms, rollouts=4, signal=signals.make("pass_at_k", k=2), learning_rate=0.1)
    after = bound.update(state, rollouts, jnp.asarray([1.0, 0.0, 0.0, 1.0], jnp.float32))
    _, want = down(arms, state.params, rollouts, np.array([4 / 3, 0, 0, 4 / 3], np.float32))
    assert_moved(state.params, after.params, want, 0.1, rtol=1e-3)
