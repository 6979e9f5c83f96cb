"""The responses behind a measurement: sampled, scored, and counted by what differs among them."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bandit_rft import arguments
from bandit_rft.keys import Key, as_key, row_keys
from bandit_rft.settings.ranges import ROWS
from llm_bridge.bandits.question_arms import PromptArms
from llm_bridge.bandits.response_arms import Prompt
from llm_bridge.bandits.text_rewards import Verifier, score
from llm_bridge.measuring.evaluate import Progress, check_callable, require_finite
from llm_bridge.models.compilation_cache import make_room

if TYPE_CHECKING:
    from llm_bridge.language_model import LanguageModel


@dataclass(frozen=True, kw_only=True)
class Response:
    """A distinct response among the rollouts, and how often it came."""

    tokens: np.ndarray  # [T] int32, T = length
    correct: bool
    count: int


@dataclass(frozen=True, kw_only=True)
class Sampled:
    """Rollouts of one prompt.

    Attributes:
        prompt: int32 [P].
        responses: the distinct ones.
        successes, rollouts: counts. total_length: their tokens. truncated: how many were stopped by the token limit.
        params: the weights that sampled them.
        progress: called with (done, total, share correct, seconds); `total` counts the rollouts once per phase.
        phases: of the work; sampling is the first.
        start: seconds, monotonic.
    """

    prompt: np.ndarray
    responses: list[Response]
    successes: int
    rollouts: int
    total_length: int
    truncated: int
    params: Any
    progress: Progress | None
    phases: int
    start: float

    @property
    def share(self) -> float:
        """p̂0, the share of correct rollouts."""
        return self.successes / self.rollouts

    def tell(self, phase: int, done: int, total: int) -> None:
        """Report that `done` of `total` steps of a later phase, counted from 1, are done."""
        if self.progress is not None:
            at = phase * self.rollouts + self.rollouts * done // total
            self.progress(at, self.phases * self.rollouts, self.share, time.monotonic() - self.start)


def sampled(
    model: LanguageModel,
    prompt: Prompt,
    verifier: Verifier,
    *,
    what: str,
    key: Key,
    max_tokens: int,
    rollouts: int = 64,
    batch: int = 32,
    temperature: float = 1.0,
    params: Any = None,
    phases: int = 1,
    progress: Progress | None = None,
) -> Sampled:
    """Sample and score; response g draws from fold_in(key, g), whatever the batch. Arguments as `measure` takes them.

    Args:
        what: needs the responses, as the subject of an error.
        phases: of the work for `progress`, sampling included.

    Raises:
        InputError: rollouts or batch below 1, or a prompt that does not fit the model's context.
        NoPolicyError: weights whose log-probabilities are not finite.
    """
    rollouts = ROWS.checked(f"{what}'s rollouts", rollouts)
    batch = arguments.whole(f"{what}'s batch", batch)
    check_callable("progress", progress)
    make_room()
    arms = PromptArms(model, prompt, verifier)
    arms.check_fits(max_tokens)
    params = model.params if params is None else params
    answers: list[tuple[bytes, bool]] = [(b"", False)] * rollouts
    successes, done, total_length, truncated, start = 0, 0, 0, 0, time.monotonic()
    parts = model.sample_waiting(
        [arms.prompt_tokens],
        row_keys(as_key(key), np.arange(rollouts)),
        width=batch,
        max_tokens=max_tokens,
        temperature=temperature,
        params=params,
    )
    for rows, some in parts:  # while these are verified, the device goes on
        require_finite(model, some)
        correct = score(verifier, some.text) > 0.5
        lengths = np.asarray(some.lengths)
        for place, (row, length) in enumerate(zip(rows, lengths, strict=True)):
            answers[row] = np.asarray(some.tokens[place, :length], np.int32).tobytes(), bool(correct[place])
        successes += int(correct.sum())
        total_length += int(lengths.sum())
        truncated += int(np.sum(np.asarray(some.truncated)))
        done += len(lengths)
        if progress is not None:
            progress(done, phases * rollouts, successes / done, time.monotonic() - start)
    # Counted in the order of the rollouts, which is the same in whatever order they ended.
    counts = Counter(tokens for tokens, _ in answers)
    verdicts = dict(answers)
    # The vectors to come are each as large as the model: its decoding copy makes room for one of them.
    model.release_decoding_weights()
    return Sampled(
        prompt=arms.prompt_tokens,
        responses=[
            Response(tokens=np.frombuffer(tokens, np.int32), correct=verdicts[tokens], count=count)
            for tokens, count in counts.items()
        ],
        successes=successes,
        rollouts=rollouts,
        total_length=total_length,
        truncated=truncated,
        params=params,
        progress=progress,
        phases=phases,
        start=start,
    )
