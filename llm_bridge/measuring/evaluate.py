"""Pass@1 and pass@k of a model on questions with known answers, with honest intervals.

Each response has a key of its own, made of the evaluation's key, the question and the number of the draw (`draw_keys`):
the batch, the order of the questions, which others are evaluated and how many responses each gets change none of its
random numbers.

    wilson       score interval for a proportion (Wilson 1927)
    evaluate     sample, verify, count

Left out: majority voting, and log-likelihood scoring of given answers.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from scipy.stats import norm

from bandit_rft import arguments
from bandit_rft.errors import InputError
from bandit_rft.keys import Key, as_key, row_keys
from bandit_rft.settings.ranges import COUNT, GREEDY, ROWS
from bandit_rft.theory import pass_at_k_estimate
from llm_bridge.bandits.question_arms import verifier_of
from llm_bridge.bandits.response_arms import Question, check_fit
from llm_bridge.bandits.text_rewards import VerifierFactory, score_each
from llm_bridge.data.given import given
from llm_bridge.language_model import LanguageModel, require_model
from llm_bridge.sampling.rollouts import Rollouts

# (done, total, mean so far, seconds so far), as the run loop reports.
Progress = Callable[[int, int, float, float], None]


def wilson(successes: float, n: float, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval (low, high) for a proportion; both within [0, 1].

    Args:
        successes: 0 … n; need not be whole (an effective count).
        n: trials; 0 gives (0, 1).
        confidence: two-sided, in (0, 1).

    Raises:
        InputError: values out of range.
    """
    if not (n >= 0 and 0 <= successes <= n):
        raise InputError(f"A proportion of {successes} successes in {n} trials cannot be: give 0 ≤ successes ≤ trials.")
    confidence = arguments.fraction("confidence", confidence)
    if n == 0:
        return 0.0, 1.0
    z2 = float(norm.isf((1 - confidence) / 2)) ** 2
    p = successes / n
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2 * (p * (1 - p) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    # At the ends the exact limit is 0 or 1, which centre ∓ half only reaches up to rounding.
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    return low, 1.0 if successes == n else min(1.0, centre + half)


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What a model got right.

    Attributes:
        pass_at_1: share of correct responses.
        low, high: interval at `confidence`. One question, or one sample per question: Wilson's. Several samples of
            several questions: samples of a question are alike, so the question is the unit: Wilson's interval at the
            effective number of samples, N divided by the variance inflation that the spread between questions shows. It
            covers both the drawing of the questions and of the samples.
        confidence: of the interval.
        successes, samples: counts over all questions.
        questions: number of questions.
        truncated: share of responses stopped by the token limit.
        mean_length: mean response length in tokens, the end-of-sequence token included.
        per_question: int [Q], correct samples of each question, in the order given.
        samples_per_question: n.
    """

    pass_at_1: float
    low: float
    high: float
    confidence: float
    successes: int
    samples: int
    questions: int
    truncated: float
    mean_length: float
    per_question: np.ndarray
    samples_per_question: int

    def pass_at(self, k: int) -> float:
        """Pass@k, averaged over the questions (`bandit_rft.theory.pass_at_k_estimate`).

        Raises:
            InputError: k is not a whole number from 1 to the samples per question.
        """
        counts = self.per_question.tolist()
        return float(np.mean([pass_at_k_estimate(self.samples_per_question, c, k) for c in counts]))


def check_callable(name: str, value: Any) -> None:
    """Raises InputError where it is neither a function nor None."""
    if value is not None and not callable(value):
        raise InputError(f"{name} is {arguments.shown(value)}: give a function, or leave it out.")


class NoPolicyError(InputError):
    """Weights whose log-probabilities are not finite: what is drawn from NaN are tokens like any other, all of them
    wrong answers."""


def require_finite(model: LanguageModel, rollouts: Rollouts) -> None:
    """Raises NoPolicyError where log-probabilities of what was sampled are not finite."""
    if not np.isfinite(rollouts.log_probs).all():
        raise NoPolicyError(
            f"{model.name} gives log-probabilities that are not finite, so its responses mean nothing: check its "
            "weights, or give dtype float32 or bfloat16 where it is float16."
        )


def interval(per_question: np.ndarray, samples: int, confidence: float = 0.95) -> tuple[float, float]:
    """The interval of `Evaluation` for int [Q] correct counts out of `samples` each."""
    questions, total = len(per_question), len(per_question) * samples
    successes = int(per_question.sum())
    if questions == 1 or samples == 1:
        return wilson(successes, total, confidence)
    p = successes / total
    effective: float = questions  # all correct or all wrong: the data say nothing of the spread, so assume the worst
    if 0 < p < 1:
        variance = float(np.var(per_question / samples, ddof=1)) / questions
        effective = min(p * (1 - p) / variance, total) if variance > 0 else total
    return wilson(p * effective, effective, confidence)


def draw_keys(key: jax.Array, prompts: Sequence[np.ndarray], samples: int) -> np.ndarray:
    """Raw keys uint32 [Q, n, 2], one for each question and draw.

    A question is known by its tokens: the key is folded with the first eight bytes of their SHA-256, with how many
    equal prompts stand before it (so that a question given twice is drawn twice), and with the draw's number.

    Args:
        key: as `as_key` returns it.
        prompts: token ids [P] of Q questions.
        samples: n.
    """
    seen: Counter[bytes] = Counter()
    words = np.empty((len(prompts), samples, 4), np.uint32)
    for place, prompt in enumerate(prompts):
        digest = hashlib.sha256(np.asarray(prompt, "<i4").tobytes()).digest()[:8]
        words[place, :, :2] = np.frombuffer(digest, "<u4")
        words[place, :, 2] = seen[digest]
        seen[digest] += 1
    words[:, :, 3] = np.arange(samples)
    return row_keys(key, words.reshape(-1, 4)).reshape(len(prompts), samples, 2)


def evaluate(
    model: LanguageModel,
    examples: Iterable[Question],
    *,
    key: Key,
    max_tokens: int,
    verifier: str | VerifierFactory | None = None,
    samples: int = 1,
    temperature: float = 1.0,
    batch: int = 32,
    params: Any = None,
    confidence: float = 0.95,
    progress: Progress | None = None,
    encoded: Sequence[np.ndarray] | None = None,
) -> Evaluation:
    """Sample each question `samples` times and count the correct responses.

    On a mesh of devices (`load_model(..., mesh=)`) the numbers are those of one device. Of several processes that have
    joined (`llm_bridge.join_hosts`) each calls this with the same arguments, verifies its share, and has all numbers.

    Args:
        model: the language model.
        examples: questions, each with `.prompt` and `.answer` (`llm_bridge.data.datasets.Example`, or a whole dataset),
            or a row of named columns, as a data file has them.
        key: a whole number or a JAX key; the responses are those of `draw_keys`.
        max_tokens: longest response.
        verifier: a name of `llm_bridge.verifiers`, or a function from an answer to (response text -> reward); None:
            the one that each question names (`Example.verifier`), gsm8k-numeric where it names none. A response is
            correct where the reward exceeds ½.
        samples: per question.
        temperature: of sampling; 1.0 evaluates the policy that fine-tuning moves.
        batch: responses generated together, to bound memory; where one has ended, the next question begins
            (`LanguageModel.sample_waiting`). It changes no random number; a token only where rounding does.
        params: weights to use in place of the model's own (a fine-tuned state's).
        confidence: of the interval.
        progress: called with (responses done, all, Pass@1 so far, seconds) as they end.
        encoded: int32 [P] each, `model.encode(question.prompt)` of every question, where that is known: who evaluates
            the same questions many times need not encode them each time. None: encoded here.

    Raises:
        InputError: no question, a question too long for the model's context, `samples` or `batch` below 1, or `encoded`
            of another number of questions.
        NoPolicyError: weights whose log-probabilities are not finite.
    """
    require_model(model)
    questions = given(examples, "examples", verifier)
    if not questions:
        raise InputError("There is no question to evaluate on: give at least one example.")
    samples, batch = ROWS.checked("samples", samples), arguments.whole("batch", batch)
    max_tokens, temperature = COUNT.checked("max_tokens", max_tokens), GREEDY.checked("temperature", temperature)
    confidence = arguments.fraction("confidence", confidence)
    check_callable("progress", progress)
    checks = [verifier_of(verifier, question) for question in questions]
    if encoded is not None and len(encoded) != len(questions):
        raise InputError(f"encoded has {len(encoded)} prompts, and examples {len(questions)}: give one for each.")
    encoded = [model.encode(question.prompt) for question in questions] if encoded is None else list(encoded)
    encoded = [np.asarray(tokens) for tokens in encoded]
    check_fit(model, encoded, max_tokens)
    keys = draw_keys(as_key(key), encoded, samples)
    # Alike lengths together: a batch is padded to its longest prompt.
    by_length = np.argsort([tokens.size for tokens in encoded], kind="stable")
    order, keys = np.repeat(by_length, samples), keys[by_length].reshape(-1, 2)
    correct = np.zeros(len(questions), np.int64)
    done, truncated, total_length, start_time = 0, 0, 0, time.monotonic()
    parts = model.sample_waiting(
        [encoded[row] for row in order],
        keys,
        width=batch,
        max_tokens=max_tokens,
        temperature=temperature,
        params=params,
    )
    for places, rollouts in parts:  # while these are verified, the device goes on
        require_finite(model, rollouts)
        rows = order[places]
        right = score_each([checks[row] for row in rows], rollouts.text) > 0.5
        np.add.at(correct, rows, right)
        truncated += int(np.sum(np.asarray(rollouts.truncated)))
        total_length += int(np.sum(np.asarray(rollouts.lengths, np.int64)))
        done += len(rows)
        if progress is not None:
            progress(done, len(order), float(correct.sum() / done), time.monotonic() - start_time)
    low, high = interval(correct, samples, confidence)
    return Evaluation(
        pass_at_1=float(correct.sum() / len(order)),
        low=low,
        high=high,
        confidence=confidence,
        successes=int(correct.sum()),
        samples=len(order),
        questions=len(questions),
        truncated=truncated / len(order),
        mean_length=total_length / len(order),
        per_question=correct,
        samples_per_question=samples,
    )
