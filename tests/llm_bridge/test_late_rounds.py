"""Rounds that learn late: whose responses, at which weights, against which log-probabilities; and their law."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bandit_rft import run, run_law
from bandit_rft.errors import InputError, NoLawError
from bandit_rft.settings.finetune import FineTuneConfig
from bandit_rft.theory.compared import chain_of_decisions
from llm_bridge import FineTune, PromptArms, finetune, load_model, verifiers
from llm_bridge.training import checkpoints
from llm_bridge.training.run import Measuring
from tests.llm_bridge import toy
from tests.llm_bridge.updates import assert_moved, identical
from tests.llm_bridge.written_out import answered, down, question_arms, start

DELAY = 2


@pytest.fixture(scope="module")
def arms():
    return question_arms(toy.model(spread=4.0, layers=1))


def test_a_round_learns_from_the_responses_of_two_rounds_before_with_their_own_ratios(arms, tmp_path):
    """Against the objective written out on the rows of round t − 2, at the weights of round t; and killed on the way.

    Catches responses learned from early, twice or never, rewards that go with other responses, ratios against the
    newest policy, an optimiser that steps in rounds that learn nothing, and a resumed run that has lost what waited.
    """
    bound, state = start(arms, prompts=2, delay=DELAY, clip=(0.1, 0.3), learning_rate=0.05)
    past = []
    for index in range(4):
        rollouts = answered(arms, [index % 5, (index + 1) % 5], seed=index + 3)
        rewards = np.array([[1, 0.5], [0, -1], [1, 1], [0.2, 0]][index], np.float32)
        past.append((rollouts, rewards))
        after = bound.update(state, rollouts, jnp.asarray(rewards))
        assert float(after.metrics["reward_mean"]) == pytest.approx(rewards.mean())
        assert int(after.round) == index + 1
        if index < DELAY:
            assert identical(after.params, state.params)
            assert int(after.updates) == 0
            assert float(after.metrics["loss"]) == float(after.metrics["gradient_norm"]) == 0.0
            assert float(after.metrics["dead_groups"]) == 1.0
        else:
            old, heard = past[index - DELAY]
            _, want = down(arms, state.params, old, heard, low=0.1, high=0.3)
            assert_moved(state.params, after.params, want, 0.05)
            assert float(after.metrics["signal_mean"]) == pytest.approx(heard.mean())
            assert int(after.updates) == index + 1 - DELAY
        if index == 3:
            checkpoints.save(tmp_path, index, state)
            loaded = checkpoints.load_latest(tmp_path, bound.init(jax.random.key(9)))
            assert loaded is not None
            resumed = bound.update(loaded[1], rollouts, jnp.asarray(rewards))
            for name in ("params", "pending", "round", "updates", "key_data"):
                assert identical(getattr(after, name), getattr(resumed, name))
        state = after


@pytest.mark.parametrize("delay", [0, 3])
def test_a_schedule_ends_with_the_run_whatever_it_waits(arms, delay):
    """The rate of each step of six rounds. Catches a schedule of all rounds that only those which learn go through, so
    that with a delay it never ends, and one without room for its warmup."""
    learner = FineTune(arms.model, max_tokens=4, delay=delay, schedule="linear", learning_rate=0.5, optimizer="sgd")
    rate = learner.rate(6)
    assert callable(rate)
    steps = 6 - delay
    found = [float(rate(step)) for step in range(steps)]
    np.testing.assert_allclose(found, 0.5 * (1 - np.arange(steps) / steps), rtol=1e-6)
    with pytest.raises(InputError, match="give more rounds than warmup"):
        dataclasses.replace(learner, warmup_rounds=steps).rate(6)


def test_truncated_importance_corrects_stale_responses(arms):
    """Without a clip, by token: each weighs min(π now / π as it was sampled, C), of the loss's own pass."""
    settings = {"delay": 1, "clip": None, "learning_rate": 0.05}
    bound, state = start(arms, **settings, truncated_importance=1e9)
    rollouts = answered(arms, [2], seed=5)
    first = bound.update(state, rollouts, jnp.ones(1, jnp.float32))
    after = bound.update(first, answered(arms, [0]), jnp.zeros(1, jnp.float32))
    # The gradient of an unclipped ratio is the ratio times the score: the same weight.
    _, want = down(arms, state.params, rollouts, np.ones(1), low=np.inf, high=np.inf)
    assert_moved(state.params, after.params, want, 0.05)
    plain, begun = start(arms, **settings)
    begun = plain.update(begun, rollouts, jnp.ones(1, jnp.float32))
    moved = plain.update(begun, answered(arms, [0]), jnp.zeros(1, jnp.float32)).params
    with pytest.raises(AssertionError):
        assert_moved(state.params, moved, want, 0.05)


def test_a_run_that_ends_before_it_learns_is_refused(arms, tmp_path):
    """Catches a run of rounds that only sample, which would end as if it had been trained."""
    with pytest.raises(InputError, match="--delay is 3 and --rounds 3: the first 3 rounds only sample"):
        FineTuneConfig(data="arithmetic", index=0, delay=3, rounds=3)
    with pytest.raises(InputError, match="delay is 3 and rounds 2: the first 3 rounds only sample"):
        finetune(arms, FineTune(arms.model, delay=3), 2, shown=False, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_late_rounds_with_replay_are_refused_in_the_users_words(arms):
    with pytest.raises(InputError, match="delay is 1 and replay 2"):
        FineTune(arms.model, delay=1, replay=2)
    with pytest.raises(InputError, match="--delay is 1 and --replay 2"):
        FineTuneConfig(prompt="a", answer="b", delay=1, replay=2)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"clip": 0.2}, "--clip none"),
        ({"truncated_importance": 2.0}, "without --truncated-importance"),
        ({"optimizer": "adamw"}, "--optimizer sgd"),
        ({"tree": None}, "--measure"),
    ],
)
def test_the_law_of_late_rounds_is_refused_where_it_is_another(changes, words):
    """Catches a synchronous law drawn over an asynchronous run, and the stale one over a run that corrects for it."""
    tree = changes.pop("tree", chain_of_decisions(0.1, 4.0))
    learned = {"learning_rate": 0.01, "optimizer": "sgd", "clip": None, "delay": 4}
    config = FineTuneConfig(prompt="a", answer="b", **(learned | changes)).to_json()
    with pytest.raises(NoLawError, match=words):
        run_law.refuse(config, tree)
    plain = FineTuneConfig(prompt="a", answer="b", **learned).to_json()
    run_law.refuse(plain, chain_of_decisions(0.1, 4.0))
    run_law.refuse(dict(plain, delay=0, clip=0.2), None)


def test_a_summary_with_a_delay_gets_the_late_law_of_its_tree():
    """A run's law with a delay is `tree_rounds` at that delay, and its half-time is later by at least the delay."""
    found = [
        run_law.RunLaw(
            successes=10,
            responses=100,
            kappa=4.0,
            step_size=0.05,
            tree=chain_of_decisions(0.1, 4.0),
            prediction=run_law._UNKNOWN,
            delay=delay,
            _arguments={"rollouts": 8, "optimizer": "sgd", "epochs": 1, "signal": "raw", "questions": 0}
            | {"ddof": 1, "eps": 1e-6, "kl_coefficient": 0.0},
        )
        for delay in (0, 10)
    ]
    early, late = (dataclasses.replace(law, prediction=law.at(200)) for law in found)
    assert late.prediction is not None
    assert late.prediction.parameters["delay"] == 10
    assert "10 rounds late" in late.sentence()
    assert late.half_times()["tree"] >= early.half_times()["tree"] + 10
    assert "flow" not in late.half_times()


def test_a_checkpoint_of_an_older_version_is_refused_in_a_sentence(arms, tmp_path):
    """Its state lacks the metrics that are new. Catches a crash, or a state whose leaves are each other's."""
    bound, state = start(arms)
    new = ("sampler_trainer_gap_mean", "effective_sample_size")
    metrics = {name: value for name, value in state.metrics.items() if name not in new}
    checkpoints.save(tmp_path, 3, dataclasses.replace(state, metrics=metrics))
    with pytest.raises(InputError, match="other ones than the"):
        checkpoints.load_latest(tmp_path, bound.init(jax.random.key(0)))


@pytest.mark.slow
def test_a_delay_costs_an_embedded_model_what_its_measured_tree_says(tmp_path):
    """16 seeds of tiny-llama learn 8 rounds late, and at once: the rewards lost by it, summed over 40 rounds.

    Within three standard errors of the seeds, and a tenth for the tree's own error, of the law of the responses that
    were measured before the run. Catches a run that is late by more or less than it says, and a ratio where the law
    has none.
    """
    model = load_model("tiny-llama")
    question = "178+607=?\n"
    arms = PromptArms(model, question, verifiers.GSM8K(answer="785", rule="strict"))
    settings = {"optimizer": "sgd", "clip": None, "kl_coefficient": 0.0, "gradient_clip": None, "max_tokens": 32}
    learner = FineTune(model, step_over_kappa=0.5, rollouts=4, delay=8, **settings)
    late = finetune(arms, learner, 40, seeds=16, key=1, out=tmp_path / "late", measure=Measuring(512, False, 64, True))
    law = late.predict()
    assert law.prediction is not None, law.reason
    at_once = dataclasses.replace(late.learner, delay=0, step_over_kappa=None, learning_rate=law.step_size)
    prompt = run(arms, at_once, 40, seeds=16, key=2)
    lost = prompt.rewards.mean(2).sum(1), late.history.rewards.mean(2).sum(1)
    measured = float(lost[0].mean() - lost[1].mean())
    error = float(np.sqrt(sum(one.var(ddof=1) / len(one) for one in lost)))
    curves = [dataclasses.replace(law, delay=delay).at(40).value for delay in (0, 8)]
    expected = float(np.sum(curves[0] - curves[1]))
    print(f"rewards lost by 8 rounds of delay: {measured:.2f} ± {error:.2f}, law {expected:.2f}; p0 {law.p0:.3f}")
    assert expected > 3.0
    assert measured == pytest.approx(expected, abs=3 * error + 0.1 * expected)
