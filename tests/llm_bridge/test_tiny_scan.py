"""Fine-tuning inside the scan loop against the host loop, on an embedded model."""

import dataclasses

import flax.nnx as nnx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bandit_rft import run
from bandit_rft.errors import InputError
from bandit_rft.loop import scan
from llm_bridge.bandits.question_arms import PromptArms
from llm_bridge.bandits.response_arms import LonePrompt
from llm_bridge.bandits.token_arms import Responses, TokenPromptArms, TokenQuestionArms
from llm_bridge.language_model import LanguageModel, load_model
from llm_bridge.models.decoder import Decoder, rms_norm
from llm_bridge.sampling.generate import Rollouts
from llm_bridge.tiny import vocabulary
from llm_bridge.training import policy_gradient
from llm_bridge.training.learner import METRICS, FineTune
from llm_bridge.training.state import weights_of_seed
from llm_bridge.verifiers import GSM8K
from tests.llm_bridge import toy

MAX_TOKENS, PROMPT, ANSWER = 32, "188+690=?\n", "878"  # one carry: right about half of the time
PLAIN = {"optimizer": "sgd", "kl_coefficient": 0.0, "gradient_clip": None, "max_tokens": MAX_TOKENS, "donate": False}
PLAIN |= {"learning_rate": 1e-6}  # where a test does not name one


def random_model(family):
    """Two layers of width 32 over the embedded models' tokens."""
    shape = toy.config(model_type=family, tied=False, eos_ids=(vocabulary.EOS,))
    graphdef, params = nnx.split(Decoder(shape, rngs=nnx.Rngs(3)))
    params = jax.tree.map(lambda leaf: leaf * 4 if leaf.ndim > 1 else leaf, params)
    return LanguageModel(name="random", config=shape, graphdef=graphdef, params=params, tokenizer=None)


@pytest.fixture(scope="module")
def model():
    return load_model("tiny-llama")


@pytest.fixture(scope="module")
def arms(model):
    return TokenPromptArms(model, PROMPT, ANSWER)


def close(a, b, start, atol=5e-6):
    """Two sets of weights, to float32 rounding; and they have moved."""
    moved = 0.0
    for x, y, z in zip(*map(jax.tree.leaves, (a, b, start)), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=atol)
        moved = max(moved, float(jnp.max(jnp.abs(x - z))))
    assert moved > 20 * atol


@pytest.mark.parametrize("several", [False, True])
def test_runs_on_other_questions_are_the_same_program(model, several) -> None:
    """Catches a prompt or an answer that is written in the program, or whose length is: it is then compiled for each
    question, in six times the processor time of a short run."""
    texts = set()
    for prompt, answer in ((PROMPT, ANSWER), ("990+17=?\n", "1007")):
        questions = [(prompt, answer), ("4+4=?\n", "8")] if several else [(prompt, answer)]
        arms = TokenQuestionArms(model, [LonePrompt(*question) for question in questions])
        learner = FineTune(model, **PLAIN, rollouts=2, prompts=len(questions))
        with jax.enable_x64(True):
            compiled, values = scan._Compiled(arms, learner, 4, None), scan._values(arms, learner)
            keys = jax.random.split(jax.random.key(0), 2)
            state, start, length = jax.eval_shape(compiled.init, values, keys), jnp.int32(0), jnp.int32(4)
            texts.add(compiled.part.lower(values, keys, state, start, length).as_text())
    assert len(texts) == 1


def test_a_run_on_another_question_traces_nothing_and_is_what_it_is_by_itself(model) -> None:
    """A run on a second question traced what was compiled already. Catches a question of the first run that is left in
    the second."""
    learner = FineTune(model, **{**PLAIN, "learning_rate": 1e-3}, rollouts=4)
    questions = [TokenPromptArms(model, PROMPT, ANSWER), TokenPromptArms(model, "305+217=?\n", "522")]
    scan.forget()
    together = [run(arms, learner, 6, seeds=2, key=3) for arms in questions]
    assert scan._cached.cache_info().misses == 1
    for arms, found in zip(questions, together, strict=True):
        scan.forget()
        alone = run(arms, learner, 6, seeds=2, key=3)
        np.testing.assert_array_equal(found.rewards, alone.rewards)
        for name, values in found.metrics.items():
            np.testing.assert_array_equal(values, alone.metrics[name])
        jax.tree.map(np.testing.assert_array_equal, found.final_state.params, alone.final_state.params)
    assert not np.array_equal(together[0].rewards, together[1].rewards)


@pytest.mark.parametrize("change", ["weights", "weights in place", "setting", "signal", "several"])
def test_what_decides_a_program_is_not_shared(model, change: str) -> None:
    """Another model's weights, exchanged ones of the same model, another number or function, several questions: none
    takes the program of the run before, in which these are constants."""
    model = dataclasses.replace(random_model("llama"), tokenizer=model.tokenizer)
    settings = {**PLAIN, "learning_rate": 1e-2, "rollouts": 4, "kl_coefficient": 0.1}
    arms, learner = TokenPromptArms(model, PROMPT, ANSWER), FineTune(model, **settings)
    scan.forget()
    run(arms, learner, 2, seeds=2, key=3)
    if change == "weights":
        model = dataclasses.replace(model, params=jax.tree.map(lambda leaf: leaf * 1.5, model.params))
    elif change == "weights in place":
        name = next(iter(model.params))
        model.params[name] = jax.tree.map(lambda leaf: leaf * 1.5, model.params[name])
    settings |= {"setting": {"kl_coefficient": 0.2}, "signal": {"signal": lambda rewards: rewards + 1.0}}.get(
        change, {}
    )
    questions = [LonePrompt(PROMPT, ANSWER), LonePrompt("305+217=?\n", "522")][: 1 + (change == "several")]
    arms, learner = TokenQuestionArms(model, questions), FineTune(model, **settings)
    found = run(arms, learner, 2, seeds=2, key=3)
    scan.forget()
    alone = run(arms, learner, 2, seeds=2, key=3)
    np.testing.assert_array_equal(found.rewards, alone.rewards)
    jax.tree.map(np.testing.assert_array_equal, found.final_state.params, alone.final_state.params)


SETTINGS = [
    {"learning_rate": 1e-3},
    {
        "learning_rate": 3e-4,
        "rollouts": 2,
        "baseline_rollouts": 2,
        "signal": "grpo",
        "eps": 1.0,  # a dead group's KL penalties are rounding, which GRPO would divide by its own spread
        "reward_wrong": -1.0,
        "entropy_coefficient": 0.01,
        "kl_coefficient": 0.05,
        "reward_kl_coefficient": 0.02,
        "schedule": "cosine",
    },
    {"learning_rate": 3e-4, "rollouts": 4, "signal": "grpo", "clip": (0.1, 0.3), "epochs": 2},
    # Adam divides by the gradient's own size: its epsilon is large enough here not to amplify rounding.
    {
        "learning_rate": 1e-3,
        "rollouts": 3,
        "optimizer": "adamw",
        "kl_coefficient": 0.1,
        "gradient_clip": 0.5,
        "adam_eps": 1e-2,
    },
    {
        "learning_rate": 1e-3,
        "rollouts": 3,
        "baseline_rollouts": 1,
        "kl_coefficient": 0.05,
        "kl_weighted": True,
        "old_log_probs": "trainer",
        "epochs": 2,
    },
    {"learning_rate": 1e-3, "rollouts": 3, "signal": "signed", "aggregation": "token-mean", "temperature": 0.8},
]


@pytest.mark.parametrize(
    "settings",
    [SETTINGS[0], *(pytest.param(settings, marks=pytest.mark.slow) for settings in SETTINGS[1:])],
    ids=["minimalist", "every-term", "grpo-epochs", "adamw-kl", "trainer-weighted-kl", "signed-token-mean"],
)
def test_scan_equals_host_round_by_round(model, arms, settings):
    """The run's own draws, taught to the host's learner round by round: the same rewards by the text verifier, the same
    metrics, the same weights."""
    rounds = 8
    history = run(arms, FineTune(model, **(PLAIN | settings)), rounds, seeds=2, key=5)
    host_arms = PromptArms(model, PROMPT, GSM8K(answer=ANSWER, rule="strict"))
    host = FineTune(model, **(PLAIN | settings)).bind(host_arms, rounds=rounds)
    for seed in range(2):
        seed_key = jax.random.fold_in(jax.random.key(5), seed)
        state = host.init(seed_key)
        for index in range(rounds):
            act_key, pull_key = jax.random.split(jax.random.fold_in(seed_key, index))
            pulled, _ = host.act(act_key, state)
            rewards = host_arms.pull(pull_key, pulled)
            np.testing.assert_array_equal(rewards, history.rewards[seed, index])
            state = host.update(state, pulled, rewards)
            for name in METRICS:
                np.testing.assert_allclose(
                    history.metrics[name][seed, index], float(state.metrics[name]), rtol=1e-4, atol=1e-5, err_msg=name
                )
        close(weights_of_seed(history.final_state, seed), state.params, model.params)
        assert int(history.final_state.updates[seed]) == int(state.updates)
    assert 0 < history.rewards.mean() < 1


def test_one_update_on_given_tokens_equals_the_host(model, arms):
    """Tokens, lengths and rewards chosen by hand, one response cut short: nothing but the update is compared."""
    tokens = np.array([[14, 22, 7, 1, 0, 0], [22, 7, 8, 9, 5, 6], [3, 1, 0, 0, 0, 0]], np.int32)
    lengths, rewards = np.array([4, 6, 2], np.int32), jnp.array([1.0, 0.0, -0.5], jnp.float32)
    given = Rollouts(
        tokens=tokens,
        lengths=lengths,
        log_probs=np.where(np.arange(6) < lengths[:, None], np.float32(-2.0), np.float32(0.0)),
        text=["?"] * 3,
        truncated=np.array([False, True, False]),
        prompt_lengths=np.full(3, 7, np.int32),
    )
    settings = FineTune(model, **(PLAIN | {"learning_rate": 1e-3, "rollouts": 3, "clip": None}))
    host = settings.bind(PromptArms(model, PROMPT, GSM8K(answer=ANSWER)), rounds=1)
    scan = settings.bind(arms, rounds=1)
    state = host.init(jax.random.key(0))
    on_host = host.update(state, given, rewards)
    responses = Responses(*map(jnp.asarray, (tokens, lengths, given.log_probs, given.truncated)))
    on_scan = jax.jit(scan.update)(state, responses, rewards)
    close(on_scan.params, on_host.params, model.params)


@pytest.mark.parametrize(("cotangents", "shape"), [(31, (31, 5, 32)), (16, (8, 64, 64)), (20, (31, 5, 32))])
def test_vmapped_gradient_of_the_norm_equals_its_formula(cotangents, shape):
    """Float64, written out: g/r − x ⟨g, x⟩/(n r³), r² = mean(x²) + ε. At these shapes XLA on a CPU was seen to
    miscompute the vmapped VJP of x · rsqrt(…) by more than 1 (CONTRIBUTING.md)."""
    rng = np.random.Generator(np.random.PCG64(0))
    x, g = rng.normal(size=shape), rng.normal(size=(cotangents, *shape))
    ones = jnp.ones(shape[-1], jnp.float32)
    _, pull_back = jax.vjp(
        lambda value: rms_norm(toy.config(norm_epsilon=1e-5), value, ones), jnp.asarray(x, jnp.float32)
    )
    [got] = jax.jit(jax.vmap(pull_back))(jnp.asarray(g, jnp.float32))
    root = np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + 1e-5)
    want = g / root - x * np.sum(g * x, axis=-1, keepdims=True) / (shape[-1] * root**3)
    np.testing.assert_allclose(got, want, atol=1e-4)


@pytest.mark.parametrize(
    ("family", "seeds"),
    [
        ("olmo2", 8),
        *(pytest.param(family, 8, marks=pytest.mark.slow) for family in ("llama", "qwen2")),
        *(pytest.param(family, 31, marks=pytest.mark.slow) for family in ("llama", "qwen2", "olmo2")),
    ],
)
def test_vmapped_gradients_equal_unbatched_ones(family, seeds):
    """A gradient vmapped over weights, as seeds are, against one at a time: XLA on a CPU once miscomputed the vmapped
    VJP of x · rsqrt(mean(x²)) (CONTRIBUTING.md)."""
    model = random_model(family)
    prompt = jnp.asarray(vocabulary.encode(PROMPT), jnp.int32)
    rng = np.random.Generator(np.random.PCG64(seeds))
    rows = {
        "tokens": jnp.asarray(rng.integers(3, 60, (seeds, 2, 9)), jnp.int32),
        "lengths": jnp.asarray(rng.integers(1, 10, (seeds, 2)), jnp.int32),
        "signal": jnp.asarray(rng.normal(size=(seeds, 2)), jnp.float32),
        "scale": jnp.asarray(rng.uniform(0.8, 1.2, seeds), jnp.float32),
    }
    numbers = {
        name: jnp.float32(value)
        for name, value in (
            ("clip_low", 0),
            ("clip_high", 0),
            ("dual_clip", 0),
            ("kl_coefficient", 0),
            ("temperature", 1),
        )
    }
    objective = policy_gradient.Objective(clipped=False, dual_clipped=False, kl=None, remat=False)

    def gradient(row):
        params = jax.tree.map(lambda leaf: leaf * row["scale"], model.params)
        weights = jnp.where(jnp.arange(9, dtype=jnp.int32) < row["lengths"][:, None], jnp.float32(1), jnp.float32(0))
        zeros = jnp.zeros((2, 9), jnp.float32)
        return policy_gradient.loss_and_gradient(
            params,
            prompt,
            jnp.int32(prompt.size),
            row["tokens"],
            row["lengths"],
            weights,
            row["signal"],
            zeros,
            None,
            jnp.ones(2, bool),
            numbers,
            graphdef=model.graphdef,
            objective=objective,
        )[1]

    together = jax.jit(jax.vmap(gradient))(rows)
    alone = jax.jit(gradient)
    for seed in range(seeds):
        one = alone(jax.tree.map(lambda leaf, seed=seed: leaf[seed], rows))
        for x, y in zip(jax.tree.leaves(together), jax.tree.leaves(one), strict=True):
            np.testing.assert_allclose(x[seed], y, rtol=0, atol=2e-4 * float(jnp.max(jnp.abs(y))) + 1e-6)


def test_the_same_key_gives_the_same_history_and_seeds_do_not_meet(model, arms):
    """Also with another number of seeds: a seed's rewards depend on its own key alone."""
    settings = FineTune(model, **(PLAIN | {"learning_rate": 1e-3}))
    first, again = (run(arms, settings, 10, seeds=2, key=7) for _ in range(2))
    np.testing.assert_array_equal(first.rewards, again.rewards)
    for x, y in zip(*(jax.tree.leaves(h.final_state.params) for h in (first, again)), strict=True):
        np.testing.assert_array_equal(x, y)
    alone = run(arms, settings, 10, seeds=1, key=7)
    np.testing.assert_array_equal(alone.rewards[0], first.rewards[0])
    assert not np.array_equal(first.metrics["entropy"][0], first.metrics["entropy"][1])


def test_rewards_rise_and_the_model_keeps_its_weights(model, arms):
    """The mean reward over 4 seeds, from about a half to over .85 in 60 rounds of the minimalist configuration."""
    before = jax.tree.map(np.array, model.params)
    history = run(arms, FineTune(model, **(PLAIN | {"learning_rate": 1e-3})), 60, seeds=4, key=0)
    assert history.rewards[:, :10].mean() < 0.7
    assert history.rewards[:, -20:].mean() > 0.85
    assert np.nanmax(history.metrics["sampler_trainer_gap"]) < 1e-3
    for x, y in zip(jax.tree.leaves(before), jax.tree.leaves(model.params), strict=True):
        np.testing.assert_array_equal(x, y)


def test_weights_that_are_no_policy_any_more_are_refused(model, arms):
    """Responses whose log-probabilities are not finite have no reward, so that the run stops in a sentence."""
    tokens = jnp.asarray([[*vocabulary.encode("#### 878"), vocabulary.EOS, 0]] * 2, jnp.int32)
    log_probs = jnp.zeros((2, 6), jnp.float32).at[1, 2].set(jnp.nan)
    sampled = Responses(tokens, jnp.asarray([5, 5], jnp.int32), log_probs, jnp.zeros(2, bool))
    rewards = np.asarray(arms.pull(jax.random.key(0), sampled))
    assert rewards[0] == 1.0
    assert np.isnan(rewards[1])


def test_arms_and_settings_that_do_not_fit_are_refused(model, arms):
    with pytest.raises(InputError, match="64 tokens"):
        TokenPromptArms(toy.model(), "hello", "4")
    with pytest.raises(InputError, match="plain digits"):
        TokenPromptArms(model, PROMPT, "-4")
    with pytest.raises(InputError, match="context"):
        FineTune(model, max_tokens=120).bind(arms, rounds=1)
    with pytest.raises(InputError, match="generation_batch"):
        FineTune(model, **(PLAIN | {"rollouts": 4, "generation_batch": 2})).bind(arms, rounds=1)
    with pytest.raises(InputError, match="different models"):
        FineTune(dataclasses.replace(model, name="other"), **PLAIN).bind(arms, rounds=1)
