"""Contexts against automatic differentiation in feature space, and against dz_i/dt = (η/B) Σ_j ⟨δ_i, δ_j⟩ p_j(1 − p_j).

The oracle holds the weights W of a policy linear in features, whose gradient steps the kernel form must reproduce.
Bugs caught: a kernel applied to the wrong prompt, a missing 1/B, rewards judged by another prompt's verifier, signals
mixed between prompts.
"""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bandit_rft import run
from bandit_rft.arms.contexts import Contexts, Responses
from bandit_rft.arms.token_sequences import TokenSequences
from bandit_rft.contract import ArmSet
from bandit_rft.errors import InputError
from bandit_rft.verifiers import AnswerToken, HashFraction, ModularSum, Needle
from tests.bandit_rft.test_token_sequences import Gradient, jump_chain

V, H, B = 3, 3, 3
SEQUENCES = np.asarray(list(itertools.product(range(V), repeat=H)), np.int32)
FEATURES = np.asarray([[1.0, 0.0], [0.6, 0.8], [-0.5, 0.3]])  # the third prompt opposes the first
KERNEL = FEATURES @ FEATURES.T
VERIFIER_SETS = {
    "needles": (Needle((0, 1, 2)), Needle((0, 2, 2)), Needle((0, 1, 0))),
    "answers": (AnswerToken(0), AnswerToken(2, position=0), AnswerToken(0)),
    "sums": (ModularSum(2, 0), ModularSum(2, 1), ModularSum(2, 1)),
}


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def dense_log_probs(weights: jax.Array) -> jax.Array:
    """ln π_i of all sequences, [B, 27], from W [D, H, V]."""
    log_pi = jax.nn.log_softmax(jnp.einsum("id,dhv->ihv", jnp.asarray(FEATURES), weights), axis=-1)
    return jnp.sum(log_pi[:, np.arange(H), SEQUENCES], axis=-1)


def dense_logit(correct: np.ndarray, weights: jax.Array) -> jax.Array:
    log_pi = dense_log_probs(weights)
    log_p = jax.nn.logsumexp(jnp.where(correct, log_pi, -jnp.inf), axis=1)
    return log_p - jax.nn.logsumexp(jnp.where(correct, -jnp.inf, log_pi), axis=1)


@pytest.mark.parametrize("name", VERIFIER_SETS)
def test_kernel_form_is_the_gradient_step_in_feature_space(name: str) -> None:
    """20 rounds of 4 responses to random prompts: every ln π, every logit p and ⟨δ_i, δ_j⟩ agree with W's to 1e-9."""
    verifiers = VERIFIER_SETS[name]
    policies = Contexts(V, H, verifiers, kernel=KERNEL).policies(touches=80)
    correct = np.stack([np.asarray(v.reward(jnp.asarray(SEQUENCES))) > 0 for v in verifiers])
    generator = np.random.default_rng(1)

    @jax.jit
    def dense_step(weights, prompt, chosen, coefficient):
        return weights + jax.grad(lambda w: jnp.sum(coefficient * dense_log_probs(w)[prompt, chosen]))(weights)

    @jax.jit
    def dense_facts(weights):
        delta = jax.jacobian(lambda w: dense_logit(correct, w))(weights).reshape(B, -1)
        return dense_log_probs(weights), dense_logit(correct, weights), delta @ delta.T

    @jax.jit
    def facts(params):
        every = jnp.arange(B, dtype=jnp.int32)
        log_pi = jnp.stack(
            [policies.log_prob(params, every[i : i + 1].repeat(27), jnp.asarray(SEQUENCES)) for i in range(B)]
        )
        log_p, log_q = policies.log_success(params)
        return log_pi, log_p - log_q, policies.gram(params)

    params, weights = policies.init(), jnp.zeros((2, H, V))
    step, sample = jax.jit(policies.step), jax.jit(policies.sample)
    for t in range(20):
        for ours, theirs in zip(facts(params), dense_facts(weights), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-9)
        prompt = jnp.asarray(generator.integers(0, B, 4), jnp.int32)
        tokens = sample(jax.random.fold_in(jax.random.key(0), t), params, prompt)
        coefficient = jnp.asarray(generator.normal(size=4))
        params = step(params, prompt, tokens, coefficient)
        weights = dense_step(weights, prompt, np.asarray(tokens) @ np.asarray([9, 3, 1]), coefficient)


@pytest.mark.parametrize("batch", ["one", "all"])
def test_expected_update_is_the_theorys_drift(batch: str) -> None:
    """Mean Δz_i of 40,000 small rounds against (η/B) Σ_j ⟨δ_i, δ_j⟩ p_j(1 − p_j): z-scores under 4.5 (rate 2e-5 in
    all).
    """
    arms = Contexts(V, H, VERIFIER_SETS["needles"], kernel=KERNEL, batch=batch, p0=[0.3, 0.1, 0.2])
    step, replicates = 1e-3, 40_000
    bound = Gradient(step, "raw", 2).bind(arms, rounds=1)
    policies = arms.policies(touches=0)
    start = policies.init()

    def logit(params):
        log_p, log_q = policies.log_success(params)
        return log_p - log_q

    def one(key: jax.Array) -> jax.Array:
        responses, _ = bound.act(key, start)
        return logit(bound.update(start, responses, arms.pull(key, responses))) - logit(start)

    moved = np.asarray(jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(4), replicates)))
    log_p, log_q = jax.jit(policies.log_success)(start)
    gram = np.asarray(jax.jit(policies.gram)(start))
    drift = step / B * gram @ np.exp(np.asarray(log_p + log_q))
    error = moved.std(axis=0) / math.sqrt(replicates)
    assert gram.min() < -0.1  # interference is part of the test
    assert np.all(np.abs(drift) > 5 * error)
    assert np.all(np.abs(moved.mean(axis=0) - drift) < 4.5 * error + 20 * step * np.abs(drift).max())


def test_independent_prompts_follow_the_scalar_law() -> None:
    """Identity kernel, all prompts a round: prompt 0's p depends on its own successes alone, by its own jump chain
    with η/B.
    """
    targets = [(7, 8, 9), (7, 0, 9), (1, 1, 1)]
    arms = Contexts(40, 3, [Needle(target) for target in targets], batch="all", p0=0.2)
    history = run(arms, Gradient(3.0), 60, 8, key=2)
    assert history.rewards.shape == (8, 60, 3)
    chain = jump_chain(0.2, 3, 40, 3.0 / 3, 60)
    for prompt in range(3):
        successes = np.cumsum(history.rewards[:, :, prompt], axis=1).astype(int)
        np.testing.assert_allclose(history.metrics[f"p_{prompt}"], chain[successes], rtol=1e-11)
    means = np.mean([history.metrics[f"p_{i}"] for i in range(3)], axis=0)
    np.testing.assert_allclose(history.value[:, 1:], means[:, :-1], rtol=1e-12)


def test_a_single_prompt_is_token_sequences() -> None:
    one = run(Contexts(30, 4, [AnswerToken(3)], batch="all", p0=0.2), Gradient(1.0), 1, 1, key=0)
    assert one.value[0, 0] == pytest.approx(0.2, rel=1e-12)
    alone = TokenSequences(30, 4, AnswerToken(3), p0=0.2).policy.bind(30, 4, AnswerToken(3), 0.2)
    many = Contexts(30, 4, [AnswerToken(3)], p0=0.2).policies(touches=5)
    assert alone.kappa is not None
    np.testing.assert_allclose(jax.jit(many.gram)(many.init())[0, 0], jax.jit(alone.kappa)(alone.init()), rtol=1e-13)


def test_same_features_share_everything_and_opposite_ones_undo_each_other() -> None:
    """Kernel of ones and one target: prompts stay equal. Kernel −1 and one target: what one gains the other loses."""
    target = Needle((1, 2, 3))
    alike = run(Contexts(20, 3, [target, target], kernel=np.ones((2, 2)), p0=0.3), Gradient(1.0), 40, 4, key=1)
    np.testing.assert_allclose(alike.metrics["p_0"], alike.metrics["p_1"], rtol=1e-12)
    assert alike.value[:, -1].min() > 0.5
    rival = np.asarray([[1.0, -1.0], [-1.0, 1.0]])
    arms = Contexts(20, 3, [target, target], kernel=rival, p0=0.3)
    policies = arms.policies(touches=0)
    gram = np.asarray(jax.jit(policies.gram)(policies.init()))
    np.testing.assert_allclose(gram[0, 1], -gram[0, 0], rtol=1e-12)


def test_each_response_is_judged_by_its_own_prompt() -> None:
    arms = Contexts(5, 2, [Needle((1, 2)), AnswerToken(4), HashFraction(0.5)])
    tokens = jnp.asarray([[1, 2], [1, 2], [0, 4], [0, 4]], jnp.int32)
    rewards = arms.pull(jax.random.key(0), Responses(jnp.asarray([0, 1, 1, 0], jnp.int32), tokens))
    np.testing.assert_array_equal(rewards, [1, 0, 1, 0])
    assert isinstance(arms, ArmSet)


def test_mixed_verifiers_run_without_a_closed_form() -> None:
    arms = Contexts(5, 3, [HashFraction(0.3), ModularSum(2, 0)])
    history = run(arms, Gradient(1.0, "rloo", 4), 30, 2, key=0)
    np.testing.assert_allclose(history.value, history.rewards.mean(-1))
    with pytest.raises(InputError, match="closed form"):
        arms.policies(touches=0).log_success(arms.policies(touches=0).init())


def test_prompts_are_drawn_evenly() -> None:
    """4000 rounds over 4 prompts: counts within 4.5 standard deviations (rate 3e-5)."""
    arms = Contexts(5, 2, [AnswerToken(0)] * 4)
    bound = Gradient(1.0).bind(arms, rounds=1)
    state = bound.init(jax.random.key(0))
    keys = jax.random.split(jax.random.key(1), 4000)
    drawn = np.asarray(jax.jit(jax.vmap(lambda key: bound.act(key, state)[0].prompt))(keys))[:, 0]
    assert np.abs(np.bincount(drawn, minlength=4) - 1000).max() < 4.5 * math.sqrt(4000 * 0.25 * 0.75)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Contexts(5, 2, []), "0 verifiers"),
        (lambda: Contexts(5, 2, AnswerToken(1)), "give a list"),  # type: ignore[arg-type]
        (lambda: Contexts(5, 2, [1]), "verifier is 1: give one of"),  # type: ignore[list-item]
        (lambda: Contexts(5, 2, [AnswerToken]), "give one of"),  # type: ignore[list-item]
        (lambda: Contexts(5, 2, [AnswerToken(1)] * 2, kernel=[[1, 0], [0]]), "kernel"),
        (lambda: Contexts(5, 2, [AnswerToken(1)], kernel="none"), "kernel"),  # type: ignore[arg-type]
        (lambda: Contexts(5, 2, [AnswerToken(5)]), "outside the vocabulary"),
        (lambda: Contexts(5, 2, [AnswerToken(1)], batch="some"), "batch is 'some'"),
        (lambda: Contexts(5, 2, [AnswerToken(1)] * 2, kernel=[[1.0, 2.0], [2.0, 1.0]]), "positive semi-definite"),
        (lambda: Contexts(5, 2, [AnswerToken(1)] * 2, kernel=[[1.0]]), "2 × 2"),
        (lambda: Contexts(5, 2, [AnswerToken(1)] * 2, p0=[0.1]), "1 entries"),
        (lambda: Contexts(5, 2, [ModularSum(2)], p0=0.1), "leave p0 out"),
    ],
)
def test_bad_input_is_refused(make, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()
