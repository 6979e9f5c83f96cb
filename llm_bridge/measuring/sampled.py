"""The responses behind a measurement: sampled, scored, and counted by what differs among them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bandit_rft.keys import Key, as_key, row_keys
from llm_bridge.bandits.text_rewards import Verifier, score

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
        responses: the distinct ones.
        successes, rollouts: counts. total_length: their tokens. truncated: how many were stopped by the token limit.
    """

    responses: list[Response]
    successes: int
    rollouts: int
    total_length: int
    truncated: int


def sampled(
    model: LanguageModel,
    prompt: np.ndarray,
    verifier: Verifier,
    *,
    key: Key,
    rollouts: int,
    batch: int,
    max_tokens: int,
    temperature: float,
    params: Any,
    tell: Callable[[int, float], None] = lambda done, share: None,
) -> Sampled:
    """Sample and score; response g draws from fold_in(key, g), whatever the batch.

    Args:
        model, params: whose responses. prompt: int [P]. verifier: text -> reward; correct where it exceeds ½.
        key: a whole number or a JAX key. rollouts: n. batch: generated together. tell: told (done, share correct).
    """
    counts: dict[bytes, int] = {}
    verdicts: dict[bytes, bool] = {}
    successes, done, total_length, truncated = 0, 0, 0, 0
    keys = row_keys(as_key(key), np.arange(rollouts))
    while done < rollouts:
        some = model.sample_rows(
            [prompt], keys[done : done + batch], max_tokens=max_tokens, temperature=temperature, params=params
        )
        correct = score(verifier, some.text) > 0.5
        lengths = np.asarray(some.lengths)
        for row, length in enumerate(lengths):
            tokens = np.asarray(some.tokens[row, :length], np.int32).tobytes()
            counts[tokens] = counts.get(tokens, 0) + 1
            verdicts[tokens] = bool(correct[row])
        successes += int(correct.sum())
        total_length += int(lengths.sum())
        truncated += int(np.sum(np.asarray(some.truncated)))
        done += len(lengths)
        tell(done, successes / done)
    return Sampled(
        responses=[
            Response(tokens=np.frombuffer(tokens, np.int32), correct=verdicts[tokens], count=count)
            for tokens, count in counts.items()
        ],
        successes=successes,
        rollouts=rollouts,
        total_length=total_length,
        truncated=truncated,
    )
