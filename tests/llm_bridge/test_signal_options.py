"""A k for pass_at_k, a window of scores a question and the batch's spread: the update against NumPy's signals."""

import itertools
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bandit_rft import signals
from bandit_rft.errors import InputError
from bandit_rft.settings.finetune import FineTuneConfig
from llm_bridge.training.description import settings_of
from llm_bridge.training.from_settings import learner
from llm_bridge.training.learner import FineTune
from tests.llm_bridge import toy
from tests.llm_bridge.updates import assert_moved
from tests.llm_bridge.written_out import answered, down, question_arms, start

REWARDS = np.array([[1, 0, 0, 1], [0, 0, 0, 0], [1, 0, 0, 0]], np.float64)  # the second group is dead


@pytest.fixture(scope="module")
def model():
    return toy.model(spread=4.0, layers=1)


@pytest.fixture(scope="module")
def arms(model):
    return question_arms(model)


def best_of_others(rewards: np.ndarray, k: int) -> list[float]:
    """pass_at_k's signal of one group by all sets of k - 1 others."""
    found = []
    for own in range(len(rewards)):
        sets = itertools.combinations(np.delete(rewards, own), k - 1)
        found.append(k * np.mean([max(rewards[own] - max(others), 0.0) for others in sets]))
    return found


def test_pass_at_k_has_its_k_by_name(arms):
    """Catches a k that reaches nothing: k = 4 of 4 is the default."""
    bound, state = start(arms, prompts=3, rollouts=4, signal="pass_at_k", k=2, learning_rate=0.1)
    rollouts = answered(arms, np.repeat([1, 3, 0], 4))
    after = bound.update(state, rollouts, jnp.asarray(REWARDS.reshape(-1), jnp.float32))
    signal = np.concatenate([best_of_others(group, 2) for group in REWARDS])
    _, want = down(arms, state.params, rollouts, signal)
    assert_moved(state.params, after.params, want, 0.1, rtol=1e-3)


@pytest.mark.parametrize("extra", [0, 1])
def test_the_batchs_spread_is_that_of_all_rewards_of_the_round(arms, extra):
    """TRL's scale_rewards="batch": (rewards - group mean) / (rewards.std() + eps), rewards those of the whole batch.

    Catches the spread of centred rewards, of a group, or of the rollouts learned from alone, and a dead group that
    teaches.
    """
    rollouts = answered(arms, np.repeat([1, 3, 0], 4))
    settings = {"prompts": 3, "rollouts": 4 - extra, "baseline_rollouts": extra, "signal": "grpo", "eps": 1e-4}
    bound, state = start(arms, normalise="batch", learning_rate=0.1, reward_wrong=-1.0, **settings)
    after = bound.update(state, rollouts, jnp.asarray(REWARDS.reshape(-1), jnp.float32))
    mapped = 2 * REWARDS - 1
    trl = (mapped - mapped.mean(1, keepdims=True)) / (mapped.std(ddof=1) + 1e-4)
    learned = np.ones((3, 4), bool)
    learned[:, 4 - extra :] = False
    rows = np.flatnonzero(learned)
    chosen = {name: getattr(rollouts, name)[rows] for name in ("questions", "tokens", "lengths", "log_probs")}
    _, want = down(arms, state.params, SimpleNamespace(**chosen), trl.reshape(-1)[rows])
    assert_moved(state.params, after.params, want, 0.1, rtol=1e-3)
    assert float(after.metrics["dead_groups"]) == pytest.approx(1 / 3)


def test_a_batch_of_one_group_is_grpo_and_equal_rewards_are_zero() -> None:
    rewards = jnp.asarray([[0.3, 0.9, 0.1]], jnp.float32)
    found = signals.batch_normalised(rewards, ddof=0, eps=1e-3)
    np.testing.assert_allclose(found[0], signals.grpo(rewards[0], ddof=0, eps=1e-3), rtol=1e-6)
    equal = signals.batch_normalised(jnp.full((2, 3), 0.7, jnp.float32), eps=0.0)
    np.testing.assert_array_equal(equal, np.zeros((2, 3)))
    apart = signals.batch_normalised(jnp.asarray([[1.0, 1.0], [0.0, 0.0]], jnp.float32), eps=0.0)
    np.testing.assert_array_equal(apart, np.zeros((2, 2)))


@pytest.mark.parametrize(("signal", "window", "replay"), [("grpo", 5, 0), ("mean_baseline", 2, 0), ("grpo", 3, 1)])
def test_every_question_has_a_window_of_its_own_scores(arms, signal, window, replay):
    """Five rounds of two of five questions against scores kept in lists by NumPy.

    Catches one window for all questions, a window in which this round is not, the oldest scores kept for the newest,
    empty places counted as failures, the verifier's rewards for the mapped ones, and replayed signals made anew.
    """
    settings = {"prompts": 2, "rollouts": 2, "signal": signal, "window": window, "replay": replay, "reward_wrong": -1.0}
    bound, state = start(arms, rounds=5, learning_rate=0.05, eps=0.1, **settings)
    rng = np.random.default_rng(3)
    kept: dict[int, list[float]] = {}
    before = None
    for index, questions in enumerate(([0, 1], [1, 2], [1, 0], [4, 1], [0, 4])):
        rollouts = answered(arms, np.repeat(questions, 2), seed=index)
        rewards = rng.integers(0, 2, (2, 2))
        found = []
        for question, scores in zip(questions, 2.0 * rewards - 1.0, strict=True):
            kept[question] = [*kept.get(question, []), *scores][-window:]
            held = np.array(kept[question])
            own = scores - held.mean()
            if signal == "grpo":
                own = own / (held.std(ddof=1) + 0.1) if np.ptp(held) else 0 * own
            found += list(own)
        fields = ("questions", "tokens", "lengths", "log_probs")
        rows = {name: getattr(rollouts, name) for name in fields}
        now = (rows, np.array(found))
        if before is None or not replay:
            _, want = down(arms, state.params, rollouts, now[1])
        else:
            joined = SimpleNamespace(**{name: np.concatenate([now[0][name], before[0][name]]) for name in fields})
            _, want = down(arms, state.params, joined, np.concatenate([now[1], before[1]]))
        after = bound.update(state, rollouts, jnp.asarray(rewards.reshape(-1), jnp.float32))
        assert_moved(state.params, after.params, want, 0.05, rtol=1e-3)
        state, before = after, now
    assert state.scores is not None
    assert state.scores.past.shape == (5, window - 2)
    assert state.scores.seen.tolist() == [min(2 * times, window - 2) for times in (3, 4, 1, 0, 2)]
    for question, scores in kept.items():
        newest = scores[::-1][: window - 2]
        np.testing.assert_array_equal(state.scores.past[question, : len(newest)], newest)


def test_the_command_hands_its_options_on_and_records_them(model):
    options = {"signal": "pass_at_k", "signal_k": 2, "rollouts": 4, "k": "1,8", "learning_rate": 0.1}
    made = learner(FineTuneConfig(data="arithmetic", **options), model)
    assert (made.k, settings_of(made)["signal_k"]) == (2, 2)
    assert "k" not in settings_of(made)
    options = {"signal": "grpo", "rollouts": 4, "learning_rate": 0.1}
    made = learner(FineTuneConfig(data="arithmetic", window=9, **options), model)
    assert (made.window, settings_of(made)["window"]) == (9, 9)
    made = learner(FineTuneConfig(data="arithmetic", normalise="batch", **options), model)
    assert (made.normalise, settings_of(made)["normalise"]) == ("batch", "batch")


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"k": 2, "rollouts": 4}, "k is 2 and the signal is 'raw', which has no k"),
        ({"k": 2, "rollouts": 4, "signal": lambda rewards: rewards}, "a function, which has no k"),
        ({"k": 5, "rollouts": 4, "signal": "pass_at_k"}, "k is 5 and a group has 4 rollouts"),
        ({"k": 0, "rollouts": 4, "signal": "pass_at_k"}, "k is 0"),
        ({"window": 3, "rollouts": 4, "signal": "grpo"}, "window is 3"),
        ({"window": 8, "rollouts": 4}, "mean_baseline and grpo"),
        ({"window": 8, "rollouts": 4, "signal": lambda rewards: rewards}, "mean_baseline and grpo"),
        ({"window": 8, "rollouts": 4, "signal": "grpo", "baseline_rollouts": 1}, "without baseline_rollouts"),
        ({"normalise": "none", "signal": "grpo", "rollouts": 4}, "normalise is 'none': give group or batch"),
        ({"normalise": "batch", "signal": "rloo", "rollouts": 4}, "the signal is 'rloo'"),
        ({"normalise": "batch", "signal": "grpo"}, "at least 2 rollouts"),
        ({"normalise": "batch", "signal": "grpo", "rollouts": 4, "window": 8}, "leave out window"),
    ],
)
def test_what_a_signal_has_no_use_for_is_refused_by_learner_and_command(model, settings, word):
    with pytest.raises(InputError, match=word):
        FineTune(model, **settings)
    if callable(settings.get("signal")):
        return
    renamed = {"signal_k" if name == "k" else name: value for name, value in settings.items()}
    with pytest.raises(InputError, match="--"):
        FineTuneConfig(data="arithmetic", **renamed)


def test_a_window_is_traced_once_however_full_it_is(arms):
    bound, state = start(arms, prompts=2, rollouts=2, signal="grpo", window=9, learning_rate=1e-3)
    assert isinstance(bound.update.signals, type(jax.jit(lambda x: x)))
    for index in range(3):
        state = bound.update(state, answered(arms, [0, 0, 1, 1], seed=index), jnp.asarray([1.0, 0, 0, 1], jnp.float32))
    assert bound.update.signals._cache_size() == 1
