"""The KL to the reference: exactly nothing at its weights, in reward, loss and report; and what it is elsewhere."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bandit_rft import run
from llm_bridge.bandits.token_arms import TokenPromptArms, TokenQuestionArms
from llm_bridge.language_model import load_model
from llm_bridge.training.learner import FineTune
from llm_bridge.training.policy_gradient import Objective, objective_sums
from llm_bridge.training.state import weights_of_seed
from tests.llm_bridge import toy
from tests.llm_bridge.updates import MAX_TOKENS, identical
from tests.llm_bridge.written_out import answered, elsewhere, question_arms, start

ADAMW = {"optimizer": "adamw", "learning_rate": 1e-3, "weight_decay": 0.0, "signal": "grpo", "donate": False}
IN_THE_REWARD = {"reward_kl_coefficient": 0.001, "kl_coefficient": 0.0}
IN_THE_LOSS = {"kl_coefficient": 0.001}


@pytest.fixture(scope="module")
def arms():
    return question_arms(toy.model(spread=4.0, layers=1))


def drawn(arms, questions, key):
    """Responses of unequal lengths as the sampler recorded them."""
    return arms.generate(np.asarray(questions), max_tokens=MAX_TOKENS, key=jax.random.key(key), temperature=1.0)


@pytest.mark.parametrize(
    "settings",
    [
        IN_THE_REWARD | {"micro_batch": 3},
        IN_THE_REWARD | {"reward_kl": "k3", "kl": "k1", "baseline_rollouts": 1, "old_log_probs": "trainer"},
        IN_THE_LOSS | {"epochs": 2, "mini_batches": 2, "replay": 1},
        IN_THE_LOSS | IN_THE_REWARD | {"kl": "k2", "micro_batch": 3, "kl_coefficient": 0.01, "kl_weighted": True},
    ],
    ids=["reward-micro-batches", "reward-estimators-baseline", "loss-steps-replay", "both"],
)
def test_equal_rewards_at_the_reference_move_no_weight_by_a_bit(arms, settings):
    """Catches the sampler's rounding, or the gradient's own, read as a divergence: GRPO and AdamW made full steps of
    it.
    """
    bound, state = start(arms, prompts=2, rollouts=4, **ADAMW, **settings)
    group = 4 + settings.get("baseline_rollouts", 0)
    for key in range(2):
        rollouts = drawn(arms, np.repeat([key, 2], group), key)
        after = bound.update(state, rollouts, jnp.zeros(2 * group, jnp.float32))
        assert float(after.metrics["kl"]) == 0.0
        assert float(after.metrics["gradient_norm"]) == 0.0
        assert float(after.metrics["dead_groups"]) == 1.0
        assert identical(after.params, state.params)
        state = after


def test_a_dead_group_among_living_ones_adds_nothing(arms):
    """With the same rewards, the KL in the reward changes no bit of the step while the weights are the reference's."""
    rollouts, rewards = drawn(arms, np.repeat([0, 2], 4), 5), jnp.asarray([1, 0, 0, 1, 1, 1, 1, 1], jnp.float32)
    moved = []
    for coefficient in (0.0, 0.001):
        bound, state = start(
            arms, prompts=2, rollouts=4, **ADAMW, kl_coefficient=0.0, reward_kl_coefficient=coefficient
        )
        moved.append(bound.update(state, rollouts, rewards).params)
    assert identical(*moved)
    assert not identical(moved[0], state.params)


def test_the_reported_kl_is_the_trainers_and_not_the_samplers(arms):
    """With sampling recorded .3 nats off, as in low precision: 0 at the reference, that of the weights elsewhere."""
    bound, state = start(arms, prompts=2, rollouts=3, learning_rate=0.1, log_kl=True, kl="k1")
    rollouts, rewards = answered(arms, np.repeat([0, 2], 3)), jnp.ones(6, jnp.float32)
    assert float(bound.update(state, rollouts, rewards).metrics["kl"]) == 0.0
    away = elsewhere(state)
    total = 0.0
    for row in range(6):
        one = dataclasses.replace(rollouts, **{n: getattr(rollouts, n)[row : row + 1] for n in ("tokens", "lengths")})
        prompt = ("hello", "abcdefgh")[row // 3]
        scores = [arms.model.log_probs(prompt, one, params=params).sum() for params in (away.params, None)]
        total += scores[0] - scores[1]
    assert float(bound.update(away, rollouts, rewards).metrics["kl"]) == pytest.approx(total / 6, rel=1e-3)


def test_old_log_probabilities_of_the_trainer_put_every_ratio_at_one(arms):
    """Whatever the sampler recorded; and the gap between the two is still reported."""
    rollouts, rewards = answered(arms, np.repeat([0, 2], 3)), jnp.ones(6, jnp.float32)
    found = {}
    for old in ("sampler", "trainer"):
        bound, state = start(arms, prompts=2, rollouts=3, learning_rate=0.1, old_log_probs=old)
        found[old] = bound.update(elsewhere(state), rollouts, rewards).metrics
    assert float(found["sampler"]["ratio_outside"]) > 0.1
    assert float(found["trainer"]["ratio_outside"]) == 0.0
    for name in ("sampler_trainer_gap", "sampler_trainer_gap_mean", "effective_sample_size"):
        assert float(found["trainer"][name]) == pytest.approx(float(found["sampler"][name]), rel=1e-3)
    assert 0.1 < float(found["trainer"]["effective_sample_size"]) < 0.999


def test_clipped_tokens_are_a_share_of_all_response_tokens(arms):
    """verl's pg_clipfrac. Catches responses without signal, which are not scored, left out of the denominator."""
    rollouts = drawn(arms, np.repeat([0], 2), 1)
    lengths = np.array([MAX_TOKENS, MAX_TOKENS - 1], np.int32)
    rollouts = dataclasses.replace(rollouts, lengths=lengths, log_probs=rollouts.log_probs - np.log(np.float32(2)))
    bound, state = start(arms, rollouts=2, learning_rate=0.1)
    after = bound.update(state, rollouts, jnp.asarray([1, 0], jnp.float32))
    assert float(after.metrics["pg_clipfrac"]) == pytest.approx(MAX_TOKENS / (2 * MAX_TOKENS - 1))


def test_weighted_k3_has_the_gradient_of_the_divergence_itself():
    """Summed over a whole categorical under π: ∇ KL(π ‖ reference), where k3 alone has ∇ KL(reference ‖ π)."""
    logits = jnp.array([0.3, -1.0, 0.8, 0.1])
    reference = jax.nn.log_softmax(jnp.array([0.0, 0.5, 0.2, -0.4]))
    old = jax.nn.log_softmax(logits)
    numbers = {"kl_coefficient": jnp.float32(1.0)}

    def loss(z, weighted):
        objective = Objective(
            clipped=False, dual_clipped=False, kl="k3", remat=False, kl_weighted=weighted
        )  # a row a token
        rows = [x[:, None] for x in (jax.nn.log_softmax(z), old, reference)]
        return objective_sums(objective, *rows, jnp.zeros(4), jnp.exp(old)[:, None], numbers)[0]

    forward = jax.grad(lambda z: jnp.sum(jax.nn.softmax(z) * (jax.nn.log_softmax(z) - reference)))(logits)
    reverse = jax.grad(lambda z: jnp.sum(jnp.exp(reference) * (reference - jax.nn.log_softmax(z))))(logits)
    np.testing.assert_allclose(jax.grad(loss)(logits, True), forward, atol=1e-6)
    np.testing.assert_allclose(jax.grad(loss)(logits, False), reverse, atol=1e-6)
    # Off policy, and inside the clamps, it is TRL's per_token_kl · exp(log π − log π_old).
    ratio = jnp.exp(jax.nn.log_softmax(logits * 1.2) - old)
    behind = reference - jax.nn.log_softmax(logits * 1.2)
    want = jnp.sum(jnp.exp(old) * ratio * (jnp.exp(behind) - behind - 1))
    assert float(loss(logits * 1.2, True)) == pytest.approx(float(want), rel=1e-5)


@pytest.mark.parametrize("several", [False, True], ids=["one-question", "two-questions"])
def test_the_scan_moves_nothing_at_the_reference_either(several):
    """Seeds vmapped, where two calls of the scorer differed: the reference's weights are one for all seeds."""
    model = load_model("tiny-llama")
    prompts, settings = ("188+690=?\n", "12+31=?\n"), {"rollouts": 4, "epochs": 2, "max_tokens": 8}
    arms = TokenPromptArms(model, prompts[0], "999999")
    if several:
        from types import SimpleNamespace

        arms = TokenQuestionArms(model, [SimpleNamespace(prompt=p, answer="999999") for p in prompts])
        settings["prompts"] = 2
    learner = FineTune(model, **ADAMW, **IN_THE_LOSS, reward_kl_coefficient=0.001, **settings)
    history = run(arms, learner, 2, seeds=3, key=0)
    assert not np.any(history.rewards)
    assert not np.any(history.metrics["kl"])
    assert not np.any(history.metrics["gradient_norm"])
    for seed in range(3):
        assert identical(weights_of_seed(history.final_state, seed), model.params)
