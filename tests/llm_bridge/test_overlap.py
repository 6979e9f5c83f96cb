"""Verification while the device samples: the same rewards, and both at work at one time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import pytest

from bandit_rft.errors import InputError
from bandit_rft.keys import as_key
from llm_bridge import FineTune, QuestionArms
from llm_bridge.measuring.evaluate import evaluate
from llm_bridge.sampling import refill
from tests.llm_bridge import toy

pytestmark = pytest.mark.usefixtures("compiled_quickly")
SLEEP = 0.05  # seconds, of a response's verification and of each piece of the device's work
Spans = list[tuple[float, float]]


@dataclass(frozen=True)
class Question:
    prompt: str
    answer: str


QUESTIONS = [Question(prompt, "a") for prompt in ("abc", "hello", "x", "yz", "Zw", "long.long")]


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> tuple[Spans, Spans, Callable[[str], Callable[[str], float]]]:
    """When the device and the verifier were at work: each stop of the decode loop takes `SLEEP` more on the device, in
    its own thread, and each response as long in the verifier."""
    device: Spans = []
    host: Spans = []
    original = refill.advance

    def asleep(steps: np.ndarray) -> np.ndarray:
        start = time.monotonic()
        time.sleep(SLEEP)
        device.append((start, time.monotonic()))
        assert threading.current_thread() is not threading.main_thread()
        return steps

    @jax.jit
    def slowed(steps: jax.Array) -> jax.Array:
        return jax.pure_callback(asleep, jax.ShapeDtypeStruct(steps.shape, steps.dtype), steps)

    def advance(*given: Any, **settings: Any) -> Any:
        places, records = original(*given, **settings)
        return places, records._replace(steps=slowed(records.steps))

    monkeypatch.setattr(refill, "advance", advance)

    def verifier(answer: str) -> Callable[[str], float]:
        def check(text: str) -> float:
            start = time.monotonic()
            time.sleep(SLEEP)
            host.append((start, time.monotonic()))
            return float(answer in text)

        return check

    return device, host, verifier


def met(device: Spans, host: Spans) -> int:
    """How many pieces of the device's work shared some time with a verification."""
    return sum(any(start < end and begin < stop for start, stop in host) for begin, end in device)


def test_an_evaluation_verifies_while_the_device_samples(slow: Any) -> None:
    """One after the other, the two never meet, however busy the machine is; here nearly every stop but the first is
    passed while responses are verified. Catches a loop that waits for its verdicts before it decodes on."""
    device, host, verifier = slow
    model = toy.model(1, spread=3.0, eos_ids=(0, 5, 9, 17, 23, 31))
    settings = {"key": 2, "max_tokens": 16, "samples": 4, "verifier": verifier}
    found = evaluate(model, QUESTIONS, batch=4, **settings)
    pieces, checked = len(device), len(host)
    assert checked == 24
    assert met(device, host) >= (pieces - 1) // 2
    assert found.samples == 24


def test_a_round_in_parts_verifies_while_the_device_samples(slow: Any) -> None:
    """The rewards of a round's parts are there when it is pulled, and are those of the whole round verified at once.
    Catches verdicts of another response, and responses that are verified twice."""
    device, host, verifier = slow
    model = toy.model(1, spread=3.0, eos_ids=(0, 5, 9, 17, 23, 31))
    arms = QuestionArms(model, QUESTIONS, verifier)
    settings = {"prompts": 3, "rollouts": 4, "max_tokens": 12, "optimizer": "sgd", "learning_rate": 0.01}
    parts = FineTune(model, generation_batch=4, **settings).bind(arms)
    rollouts, _ = parts.act(as_key(1), parts.init(as_key(0)))
    assert met(device, host) >= (len(device) - 1) // 2
    checked = len(host)
    assert checked == 12
    rewards = np.asarray(arms.pull(as_key(2), rollouts))
    seeds = arms.pull_seeds(jax.random.split(as_key(2), 2), [rollouts, rollouts])
    assert len(host) == checked
    np.testing.assert_array_equal(seeds, [rewards, rewards])
    whole = FineTune(model, **settings).bind(arms)
    at_once, _ = whole.act(as_key(1), whole.init(as_key(0)))
    assert at_once.rewards is None
    np.testing.assert_array_equal(at_once.tokens, rollouts.tokens)
    np.testing.assert_array_equal(arms.pull(as_key(2), at_once), rewards)
    assert 0 < rewards.sum() < 12


def test_a_bad_reward_names_the_rollout_of_the_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches the number of a response within its part."""
    model = toy.model(1, spread=3.0, eos_ids=(0, 5, 9, 17, 23, 31))
    asked = np.zeros(6, np.int64)
    plain = QuestionArms(model, QUESTIONS[:1], lambda answer: len)
    texts = plain.generate(asked, max_tokens=12, key=3, temperature=1.0).text
    place = next(place for place, text in enumerate(texts) if texts.count(text) == 1 and place > 2)

    def careless(answer: str) -> Callable[[str], float]:
        return lambda text: float("nan") if text == texts[place] else 0.0

    arms = QuestionArms(model, QUESTIONS[:1], careless)
    with pytest.raises(InputError, match=rf"gave nan for rollout {place}, "):
        arms.generate(asked, max_tokens=12, key=3, temperature=1.0, batch=2, verify=True)
