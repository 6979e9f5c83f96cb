"""Rounds of several prompts, baselines, rewards, mini-batches and replay, against the objective written out: every row
alone through the plain forward pass, verl's formulas in their own order, and the gradient of that."""

import dataclasses
from functools import partial
from types import SimpleNamespace

import flax.nnx as nnx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bandit_rft import run
from bandit_rft.errors import InputError
from llm_bridge import checkpoints, policy_gradient
from llm_bridge.decoder import Decoder
from llm_bridge.finetune import FineTune
from llm_bridge.prompt_arms import PromptArms
from llm_bridge.question_arms import QuestionArms, QuestionRollouts
from llm_bridge.rollouts import Rollouts
from tests.llm_bridge import toy
from tests.llm_bridge.test_finetune import MAX_TOKENS, PLAIN, assert_moved, identical

PROMPTS = ("hello", "a", "abcdefgh", "zz", "hello")


def starts_in(answer: str):
    """1 where the response starts with one of the answer's letters."""
    return lambda text: float(text[:1] != "" and text[:1] in answer)


@pytest.fixture(scope="module")
def model():
    return toy.model(spread=4.0, layers=1)


@pytest.fixture(scope="module")
def arms(model):
    answers = ("abcdefghijklmnop", "ABCDEFGHIJKLM", "nopqrstuvwxyz", "0123456789", "qrst")
    examples = [SimpleNamespace(prompt=p, answer=a) for p, a in zip(PROMPTS, answers, strict=True)]
    return QuestionArms(model, examples, starts_in)


def start(arms, rounds=4, **settings):
    bound = FineTune(arms.model, **(PLAIN | settings)).bind(arms, rounds=rounds)
    return bound, bound.init(jax.random.key(0))


def answered(arms, questions, seed=1, params=None) -> QuestionRollouts:
    """Responses whose recorded log-probabilities are a little off, so that ratios are not 1 and some leave the clip."""
    rollouts = arms.generate(
        np.asarray(questions), max_tokens=MAX_TOKENS, key=jax.random.key(seed), temperature=1.0, params=params
    )
    rng = np.random.default_rng(seed)
    lengths = np.minimum(rollouts.lengths, rng.integers(1, MAX_TOKENS + 1, len(questions))).astype(np.int32)
    noise = rng.normal(0, 0.3, rollouts.log_probs.shape).astype(np.float32)
    return dataclasses.replace(rollouts, lengths=lengths, log_probs=rollouts.log_probs + noise)


def elsewhere(state):
    """The state at other weights than the reference's."""
    return dataclasses.replace(state, params=jax.tree.map(lambda leaf: leaf * 1.03, state.params))


@partial(jax.jit, static_argnames=("graphdef", "aggregation", "kl"))
def written_out(
    params, reference, rows, places, chosen, old, counted, signal, low, high, beta, bonus, *, graphdef, aggregation, kl
):
    """The loss, and its gradient: verl's compute_policy_loss, kl_penalty (k3), entropy and agg_loss, spelt out.

    Prompts and responses run as whole rows [R, W] through the plain forward pass: no cache, no chunks, no micro-batch.
    """

    def log_softmax(params):
        return jnp.take_along_axis(jax.nn.log_softmax(nnx.merge(graphdef, params)(rows)), places[..., None], axis=1)

    def loss(params):
        every = log_softmax(params)
        log_probs = jnp.take_along_axis(every, chosen[..., None], axis=2)[..., 0]
        ratio = jnp.exp(jnp.where(counted, log_probs - old, 0.0))
        a = signal[:, None]
        losses = jnp.maximum(-a * ratio, -a * jnp.clip(ratio, 1 - low, 1 + high))
        if kl:
            behind = jnp.take_along_axis(log_softmax(reference), chosen[..., None], axis=2)[..., 0] - log_probs
            losses = losses + beta * (jnp.exp(behind) - behind - 1)
        losses = losses - bonus * -(jnp.exp(every) * every).sum(-1)
        losses = jnp.where(counted, losses, 0.0)
        tokens = counted.astype(jnp.float32)
        if aggregation == "token-mean":
            return losses.sum() / tokens.sum()
        by_row = losses.sum(1)
        if aggregation == "seq-mean-token-mean":
            by_row = by_row / tokens.sum(1)
        else:
            assert aggregation == "seq-mean-token-sum"
        return by_row.mean()

    return jax.value_and_grad(loss)(params)


def down(arms, params, rollouts, signal, *, aggregation="seq-mean-token-sum", low=0.2, high=0.2, beta=0.0, entropy=0.0):
    """(loss, minus its gradient) of the objective written out."""
    width = max(map(len, arms.question_tokens)) + MAX_TOKENS
    rows = np.zeros((len(signal), width), np.int32)
    places = np.zeros((len(signal), MAX_TOKENS), np.int32)
    counted = np.arange(MAX_TOKENS) < rollouts.lengths[:, None]
    for row, question in enumerate(rollouts.questions):
        prompt = arms.question_tokens[int(question)]
        rows[row, : len(prompt) + MAX_TOKENS] = np.concatenate([prompt, rollouts.tokens[row]])
        places[row] = len(prompt) - 1 + np.arange(MAX_TOKENS)
    numbers = (jnp.float32(x) for x in (low, high, beta, entropy))
    arrays = (jnp.asarray(x) for x in (rows, places, rollouts.tokens, rollouts.log_probs, counted))
    loss, gradient = written_out(
        params,
        arms.model.params,
        *arrays,
        jnp.asarray(signal, jnp.float32),
        *numbers,
        graphdef=arms.model.graphdef,
        aggregation=aggregation,
        kl=beta > 0,
    )
    return float(loss), jax.tree.map(jnp.negative, gradient)


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
    rollouts = answered(arms, np.repeat([0, 4], 2))
    rewards = np.array([1, 0, 1, 1], np.float32)
    totals, signed = [], []
    for row in range(4):
        n = int(rollouts.lengths[row])
        one = dataclasses.replace(
            rollouts, tokens=rollouts.tokens[row : row + 1, :n], lengths=rollouts.lengths[row : row + 1]
        )
        reference = model.log_probs(PROMPTS[int(rollouts.questions[row])], one)[0]
        gap = rollouts.log_probs[row, :n] - reference
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
    assert float(after.metrics["clipped"]) == pytest.approx(0.25)
    assert float(after.metrics["sampling_gap"]) == pytest.approx(np.log(2), rel=1e-3)


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


def _rounds(bound, arms, state, rounds):
    for index in rounds:
        key = jax.random.fold_in(jax.random.key(9), index)
        pulled, _ = bound.act(key, state)
        state = bound.update(state, pulled, arms.pull(key, pulled))
    return state


def test_a_resumed_run_is_bit_identical(arms, tmp_path):
    """Questions drawn, mini-batches shuffled, a window and a schedule, saved and loaded; Muon, epochs and the rest are
    in the command's own test."""
    settings = {
        "prompts": 2,
        "mini_batches": 2,
        "replay": 1,
        "optimizer": "adamw",
        "learning_rate": 1e-2,
        "rounds": 4,
        "schedule": "cosine",
        "warmup_rounds": 1,
        "donate": True,
        "kl_coefficient": 0.01,
    }
    bound, state = start(arms, **settings)
    whole = _rounds(bound, arms, state, range(4))
    bound, state = start(arms, **settings)
    checkpoints.save(tmp_path, 2, _rounds(bound, arms, state, range(2)))
    bound, state = start(arms, **settings)
    loaded = checkpoints.load_latest(tmp_path, state)
    assert loaded is not None
    resumed = _rounds(bound, arms, loaded[1], range(2, 4))
    assert jax.tree.structure(resumed) == jax.tree.structure(whole)
    assert identical(resumed, whole)
    assert int(whole.updates) == 4 * 2


def test_traces_stay_few_over_rounds_of_unequal_questions(arms):
    """Not one trace a round: prompts, responses and row counts are padded to a few sizes."""
    bound, state = start(arms, prompts=2, rollouts=2, replay=1, learning_rate=1e-3, kl_coefficient=0.01, signal="grpo")
    policy_gradient.loss_and_gradient.clear_cache()
    policy_gradient.token_log_probs.clear_cache()
    _rounds(bound, arms, state, range(8))
    assert policy_gradient.loss_and_gradient._cache_size() <= 3  # 4 rows of 2 prompts, then 8 of 2 or 4
    assert policy_gradient.token_log_probs._cache_size() == 1


def test_a_model_learns_several_questions_under_run(model, arms):
    """Mean reward over three questions, drawn two a round, from under .4 to over .9; rewards are [T, B·G]."""
    arms = QuestionArms(model, arms.examples[:3], starts_in)
    settings = {"prompts": 2, "rollouts": 4, "signal": "rloo", "learning_rate": 1e-2, "max_tokens": MAX_TOKENS}
    history = run(arms, FineTune(model, **settings), rounds=90, key=0)
    assert history.rewards.shape == (1, 90, 8)
    assert history.rewards[0, :10].mean() < 0.4
    assert history.rewards[0, -10:].mean() > 0.9
    assert history.metrics["sampling_gap"][~np.isnan(history.metrics["sampling_gap"])].max() < 1e-3


def test_float32_masters_keep_steps_that_bfloat16_weights_round_away(arms):
    """With bfloat16 arithmetic, at 1e-6: AdamW moves every float32 master and no bfloat16 norm, which is near 1."""
    moved = {}
    for param_dtype in (jnp.float32, jnp.bfloat16):
        decoder = Decoder(toy.config(layers=1), rngs=nnx.Rngs(0), dtype=jnp.bfloat16, param_dtype=param_dtype)
        graphdef, params = nnx.split(decoder)
        model = dataclasses.replace(arms.model, graphdef=graphdef, params=params)
        both = QuestionArms(model, arms.examples[:2], starts_in)
        bound, state = start(both, prompts=2, optimizer="adamw", learning_rate=1e-6, weight_decay=0.0)
        rollouts, _ = bound.act(jax.random.key(1), state)
        after = bound.update(state, rollouts, jnp.ones(2, jnp.float32))
        assert after.params["final_norm"][...].dtype == param_dtype
        assert float(after.metrics["gradient_norm"]) > 0
        changed = np.asarray(after.params["final_norm"][...] != params["final_norm"][...])
        moved[param_dtype] = changed.mean()
    assert moved[jnp.float32] > 0.9
    assert moved[jnp.bfloat16] == 0.0


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"prompts": 0}, "prompts"),
        ({"baseline_rollouts": -1}, "baseline_rollouts"),
        ({"reward_wrong": float("nan")}, "reward_wrong"),
        ({"entropy_coefficient": float("inf")}, "entropy_coefficient"),
        ({"reward_kl": "k4"}, "k4"),
        ({"reward_kl_coefficient": -1.0}, "reward_kl_coefficient"),
        ({"replay": -1}, "replay"),
        ({"rollouts": 4, "mini_batches": 3}, "mini_batches"),
        ({"schedule": "step"}, "step"),
        ({"schedule": "linear", "learning_rate": lambda count: 0.1}, "twice"),
        ({"warmup_rounds": -1}, "warmup_rounds"),
        ({"learning_rate_floor": 2.0}, "learning_rate_floor"),
        ({"generation_batch": 0}, "generation_batch"),
    ],
)
def test_settings_out_of_range_are_refused(model, settings, word):
    with pytest.raises(InputError, match=word):
        FineTune(model, **settings)


def test_arms_that_do_not_fit_are_refused(model, arms):
    with pytest.raises(InputError, match="6 prompts a round and there are 5"):
        FineTune(model, prompts=6, max_tokens=4).bind(arms)
    with pytest.raises(InputError, match=r"Question 2 of 5.*context"):
        FineTune(model, max_tokens=58).bind(arms)
    with pytest.raises(InputError, match="rounds"):
        FineTune(model, max_tokens=4, schedule="cosine").bind(arms)
    bound, state = start(arms, prompts=2)
    with pytest.raises(InputError, match="1 rewards"):
        bound.update(state, answered(arms, [0, 1]), jnp.ones(1, jnp.float32))
