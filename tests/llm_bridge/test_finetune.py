"""One update of the fine-tuning learner against independent gradients (torch, full-sequence logits, enumeration)."""

import dataclasses
import math
from functools import partial

import flax.nnx as nnx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from bandit_rft.errors import InputError
from llm_bridge.bandits.question_arms import PromptArms
from llm_bridge.models.weights import export_tensors
from llm_bridge.training.learner import FineTune
from tests.llm_bridge import toy
from tests.llm_bridge.updates import (
    MAX_TOKENS,
    assert_moved,
    by_hand,
    early_letter,
    full_log_probs,
    identical,
    learner_and_state,
    reference_gradient,
    sample,
    weighted_gradient,
)


@pytest.fixture(scope="module")
def model():
    return toy.model(spread=4.0)


@pytest.fixture(scope="module")
def arms(model):
    return PromptArms(model, "hello", early_letter)


@pytest.mark.parametrize(
    "family", ["llama", pytest.param("qwen2", marks=pytest.mark.slow), pytest.param("olmo2", marks=pytest.mark.slow)]
)
def test_one_round_is_step_size_times_reward_times_torch_score(family):
    """The minimalist round moves transformers' torch weights by η R ∇ log π, computed by torch autograd."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    small = toy.model(3, spread=4.0, model_type=family, tied=family != "olmo2")
    shape = small.config
    names = {"llama": "Llama", "qwen2": "Qwen2", "olmo2": "Olmo2"}[family]
    theirs = getattr(transformers, f"{names}ForCausalLM")(
        getattr(transformers, f"{names}Config")(
            vocab_size=shape.vocabulary,
            hidden_size=shape.width,
            intermediate_size=shape.mlp_width,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.kv_heads,
            max_position_embeddings=shape.max_positions,
            rms_norm_eps=shape.norm_epsilon,
            rope_theta=shape.rope_theta,
            tie_word_embeddings=shape.tied,
        )
    ).double()
    tensors = export_tensors(shape, small.params)
    theirs.load_state_dict({k: torch.tensor(np.asarray(v, np.float64)) for k, v in tensors.items()}, strict=False)
    theirs.tie_weights()

    # Torch also says what the sampling policy's log-probabilities were: a wrong scorer would show as a ratio off 1.
    prompt, response = small.encode("hello"), np.array([7, 30, 30, 0])
    tokens = torch.tensor(np.concatenate([prompt, response]).astype(np.int64))
    log_probs = torch.log_softmax(theirs(tokens[None]).logits[0, len(prompt) - 1 : -1], dim=-1)
    log_probs = log_probs[torch.arange(MAX_TOKENS), tokens[len(prompt) :]]
    log_probs.sum().backward()
    bound, state = learner_and_state(PromptArms(small, "hello", early_letter), learning_rate=0.3, rollouts=1)
    rollouts = by_hand(response[None], log_probs.detach().numpy()[None])
    after = bound.update(state, rollouts, jnp.array([0.7], jnp.float32))
    assert float(after.metrics["sampler_trainer_gap"]) < 1e-4
    moved = export_tensors(shape, after.params)
    checked = 0
    for name, parameter in theirs.named_parameters():
        if name not in tensors:
            continue
        want = 0.3 * 0.7 * parameter.grad.numpy()
        got = np.asarray(moved[name], np.float64) - np.asarray(tensors[name], np.float64)
        np.testing.assert_allclose(got, want, atol=2e-4 * np.abs(want).max() + 3e-7, rtol=0, err_msg=name)
        checked += 1
    assert checked == len(tensors)


@pytest.mark.parametrize(
    "mode", ["seq-mean-token-sum", "seq-mean-token-sum-norm", "seq-mean-token-mean", "token-mean", "token-sum"]
)
def test_update_for_every_aggregation_and_in_micro_batches(model, arms, mode):
    """Rollouts of unequal lengths, one with zero signal (left out of the passes), one by one or at once."""
    rollouts = dataclasses.replace(sample(model, 3, seed=4), lengths=np.array([3, 1, 4], np.int32))
    rewards = jnp.array([1.0, 0.0, -2.0], jnp.float32)
    want = reference_gradient(model, model.params, rollouts, rewards, mode)
    for micro_batch in (None, 1):
        bound, state = learner_and_state(arms, learning_rate=0.1, rollouts=3, aggregation=mode, micro_batch=micro_batch)
        assert_moved(state.params, bound.update(state, rollouts, rewards).params, want, 0.1)


def test_signals_reach_the_update(model, arms):
    """GRPO's advantage, computed here in numpy, multiplies each rollout's score."""
    rollouts = sample(model, 3, seed=5)
    rewards = np.array([1.0, 0.0, 1.0])
    advantage = (rewards - rewards.mean()) / (rewards.std(ddof=1) + 1e-6)
    bound, state = learner_and_state(arms, learning_rate=0.1, rollouts=3, signal="grpo", micro_batch=1)
    after = bound.update(state, rollouts, jnp.asarray(rewards, jnp.float32))
    assert_moved(state.params, after.params, reference_gradient(model, model.params, rollouts, advantage), 0.1)
    assert float(after.metrics["signal_mean"]) == pytest.approx(0.0, abs=1e-7)
    assert float(after.metrics["signal_spread"]) == pytest.approx(advantage.std(), rel=1e-6)


def test_temperature_is_that_of_the_sampling_policy(model, arms):
    bound, state = learner_and_state(arms, learning_rate=0.1, temperature=0.5)
    rollouts, _ = bound.act(jax.random.key(3), state)
    after = bound.update(state, rollouts, jnp.ones(1, jnp.float32))
    assert_moved(
        state.params, after.params, reference_gradient(model, model.params, rollouts, [1.0], temperature=0.5), 0.1
    )
    assert float(after.metrics["sampler_trainer_gap"]) < 1e-4


def test_plain_reinforce_and_ppo_clip_agree_on_policy(model, arms):
    rollouts, rewards = sample(model, 1), jnp.array([-0.5], jnp.float32)
    moved = []
    for clip in (None, 0.2):
        bound, state = learner_and_state(arms, learning_rate=0.1, clip=clip)
        moved.append(bound.update(state, rollouts, rewards).params)
    for x, y in zip(*map(jax.tree.leaves, moved), strict=True):
        np.testing.assert_allclose(x, y, atol=1e-6)


def test_expected_update_over_all_arms_is_the_gradient_of_pass_at_1():
    """Σ_a π(a) Δθ(a) = η ∇p, by enumerating every response: the contract's update, exactly."""
    tiny = toy.model(1, spread=4.0, vocabulary=6)
    arms = PromptArms(tiny, "abc", lambda text: float(text in ("a", "c")))
    bound, state = learner_and_state(arms, learning_rate=0.5, max_tokens=1)
    prompt = jnp.asarray(tiny.encode("abc"))[None]

    def log_policy(params):
        return jax.nn.log_softmax(nnx.merge(tiny.graphdef, params)(prompt)[0, -1])

    correct = jnp.array([0, 1, 0, 1, 0, 0], jnp.float32)
    gradient = jax.grad(lambda params: jnp.sum(jnp.exp(log_policy(params)) * correct))(tiny.params)
    policy = np.exp(np.asarray(log_policy(tiny.params), np.float64))
    expected = jax.tree.map(np.asarray, state.params)
    for token in range(6):
        text = tiny.tokenizer.decode([token], skip_special_tokens=True)
        rollouts = dataclasses.replace(by_hand(np.array([[token]]), np.log(policy[token])[None, None]), text=[text])
        after = bound.update(state, rollouts, arms.pull(jax.random.key(0), rollouts))
        expected = jax.tree.map(
            lambda e, new, old, p=policy[token]: e + np.float32(p) * (new - old), expected, after.params, state.params
        )
    assert_moved(state.params, expected, gradient, 0.5, rtol=1e-3)


def test_a_round_without_reward_leaves_the_weights_bit_identical(model, arms):
    bound, state = learner_and_state(arms, learning_rate=0.3, rollouts=2)
    after = bound.update(state, sample(model, 2), jnp.zeros(2, jnp.float32))
    assert identical(state.params, after.params)
    assert int(after.round) == 1
    assert int(after.updates) == 0
    assert float(after.metrics["dead_groups"]) == 1.0
    assert float(after.metrics["gradient_norm"]) == 0.0


def test_a_round_without_reward_still_moves_adam_by_its_momentum(model, arms):
    """Skipping the passes must equal handing Adam a gradient of exactly zero."""
    bound, state = learner_and_state(arms, optimizer="adamw", learning_rate=1e-2)
    state = bound.update(state, sample(model, 1), jnp.ones(1, jnp.float32))
    after = bound.update(state, sample(model, 1, seed=2), jnp.zeros(1, jnp.float32))
    optimizer = optax.adamw(1e-2, weight_decay=0.01)

    @jax.jit
    def by_hand(params, opt_state):
        with jax.numpy_dtype_promotion("standard"):
            updates, _ = optimizer.update(jax.tree.map(jnp.zeros_like, params), opt_state, params)
            return optax.apply_updates(params, updates)

    want = by_hand(state.params, state.opt_state)
    assert not identical(after.params, state.params)
    for x, y in zip(*map(jax.tree.leaves, (after.params, want)), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-6, atol=1e-8)


def test_kl_penalty_is_zero_at_the_reference_and_pulls_back_elsewhere(model, arms):
    """Off the reference, a round with zero reward moves along −β ∇ Σ k3 / G, computed from the full-sequence forward
    pass."""
    bound, state = learner_and_state(arms, learning_rate=0.1, rollouts=2, kl_coefficient=0.5)
    rollouts = sample(model, 2)
    still = bound.update(state, rollouts, jnp.zeros(2, jnp.float32))
    assert float(still.metrics["kl"]) == pytest.approx(0.0, abs=1e-9)
    away = dataclasses.replace(state, params=jax.tree.map(lambda leaf: leaf * 1.05, state.params))
    drawn = sample(model, 2, seed=8, params=away.params)
    tokens, prompt = jnp.asarray(drawn.tokens), jnp.asarray(model.encode("hello"))
    assert np.all(drawn.lengths == MAX_TOKENS)
    log_probs = partial(
        full_log_probs, prompt=prompt, tokens=tokens, temperature=jnp.float32(1.0), graphdef=model.graphdef
    )
    difference = np.asarray(log_probs(model.params) - log_probs(away.params), np.float64)
    # d k3 / d log π = 1 − e^d, so the penalty's gradient is that of log π at these weights, halved for two rollouts.
    weights = jnp.asarray((1 - np.exp(difference)) / 2, jnp.float32)
    want = weighted_gradient(away.params, prompt, tokens, weights, jnp.float32(1.0), graphdef=model.graphdef)
    after = bound.update(away, drawn, jnp.zeros(2, jnp.float32))
    assert_moved(away.params, after.params, want, -0.05, rtol=2e-3)
    assert float(after.metrics["kl"]) == pytest.approx((np.expm1(difference) - difference).sum() / 2, rel=1e-3)


def test_second_epoch_stops_at_the_clip(model, arms):
    """After a step that raises the one token's ratio past 1 + ε, a second epoch has no gradient left; without a clip it
    has."""
    rollouts = dataclasses.replace(sample(model, 1), lengths=np.ones(1, np.int32))
    reward = jnp.ones(1, jnp.float32)
    moved = {}
    for epochs, clip in ((1, 1e-4), (2, 1e-4), (2, None)):
        bound, state = learner_and_state(arms, learning_rate=1e-4, epochs=epochs, clip=clip)
        after = bound.update(state, rollouts, reward)
        moved[epochs, clip] = after
        assert int(after.updates) == epochs
    assert identical(moved[1, 1e-4].params, moved[2, 1e-4].params)
    assert float(moved[2, 1e-4].metrics["pg_clipfrac"]) == 1.0
    assert not identical(moved[1, 1e-4].params, moved[2, None].params)


def test_gradient_clip_bounds_the_step(model, arms):
    bound, state = learner_and_state(arms, learning_rate=1.0, gradient_clip=0.01)
    after = bound.update(state, sample(model, 1), jnp.ones(1, jnp.float32))
    squares = [
        np.sum((np.asarray(x, np.float64) - np.asarray(y)) ** 2)
        for x, y in zip(*map(jax.tree.leaves, (after.params, state.params)), strict=True)
    ]
    assert float(after.metrics["gradient_norm"]) > 0.02
    assert math.sqrt(sum(squares)) == pytest.approx(0.01, rel=1e-3)


def test_own_optax_optimiser_and_schedule(model, arms):
    """An own transformation is used as given; a schedule is read at the number of updates."""
    rollouts, reward = sample(model, 1), jnp.ones(1, jnp.float32)
    want = reference_gradient(model, model.params, rollouts, [1.0])
    bound, state = learner_and_state(arms, optimizer=optax.sgd(0.2), learning_rate=123.0)
    assert_moved(state.params, bound.update(state, rollouts, reward).params, want, 0.2)
    bound, state = learner_and_state(arms, learning_rate=lambda count: jnp.where(count == 0, 0.0, 0.2))
    first = bound.update(state, rollouts, jnp.zeros(1, jnp.float32))
    assert identical(first.params, state.params)
    assert_moved(first.params, bound.update(first, rollouts, reward).params, want, 0.2)


@pytest.mark.parametrize("given", [{"schedule": "linear"}, {"warmup_rounds": 5}])
def test_an_own_optax_optimiser_takes_no_schedule_of_ours(arms, given):
    """Catches a schedule that config.json records and no step follows."""
    with pytest.raises(InputError, match="an optax optimizer of your own does not follow"):
        FineTune(arms.model, optimizer=optax.sgd(0.2), **given)


def test_sgd_holds_no_moments(arms):
    _, state = learner_and_state(arms)
    assert sum(leaf.size for leaf in jax.tree.leaves(state.opt_state)) == 0


def test_the_entropy_reported_is_that_of_the_whole_distribution(model, arms):
    """Mean over all tokens of all rollouts, those without signal too, by one plain forward pass over the vocabulary.
    Catches the sampled estimate, −log π of the tokens drawn, which is another number."""
    rollouts = sample(model, 4)
    learner, state = learner_and_state(arms, rollouts=4)
    state = learner.update(state, rollouts, jnp.array([1.0, 0.0, 0.0, 0.0]))
    prompt = model.encode("hello")
    rows = np.concatenate([np.tile(prompt, (4, 1)), rollouts.tokens], axis=1)
    logits = np.asarray(model.logits(rows), np.float64)[:, len(prompt) - 1 : -1]
    log_p = logits - np.log(np.sum(np.exp(logits), axis=-1, keepdims=True))
    mask = np.arange(rollouts.tokens.shape[1]) < rollouts.lengths[:, None]
    wanted = -(np.exp(log_p) * log_p).sum(axis=-1)[mask].mean()
    assert abs(float(state.metrics["entropy"]) - wanted) < 1e-4
    assert abs(wanted + rollouts.log_probs[mask].mean()) > 1e-3
