"""What sampling gives: responses with what was recorded of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import jax
import numpy as np

Array = jax.Array


@dataclass(frozen=True, kw_only=True)
class Rollouts:
    """Sampled responses, on the host. G rows, T = max_tokens columns.

    Attributes:
        tokens: int32 [G, T] response tokens, padded past the end with the config's pad id.
        lengths: int32 [G], response tokens including the first end-of-text token.
        log_probs: float32 [G, T] in nats, of each token under the policy that sampled it (softmax at the sampling
            temperature; for greedy decoding, at temperature 1); 0 past the length.
        text: the responses decoded, special tokens stripped.
        truncated: bool [G], no end-of-text token within max_tokens.
        prompt_lengths: int32 [G], tokens in each row's prompt.
        entropy: float32 [G, T] in nats, exact over the vocabulary, of the distribution that each token was drawn from;
            0 past the length. NaN where it was not recorded.
    """

    tokens: np.ndarray
    lengths: np.ndarray
    log_probs: np.ndarray
    text: list[str]
    truncated: np.ndarray
    prompt_lengths: np.ndarray
    entropy: np.ndarray = None  # pyright: ignore[reportAssignmentType]

    def __post_init__(self) -> None:
        if self.entropy is None:
            object.__setattr__(self, "entropy", np.full(np.shape(self.log_probs), np.nan, np.float32))


@dataclass(frozen=True, kw_only=True)
class QuestionRollouts(Rollouts):
    """Sampled responses to several questions, as `Rollouts`, and

    Attributes:
        questions: int32 [R], the place among the arm set's questions that each row answers.
        rewards: float32 [R], where they were computed while the responses were sampled; None: not yet. They are of
            `text` as it was then.
    """

    questions: np.ndarray
    rewards: np.ndarray | None = None


class Responses(NamedTuple):
    """G sampled responses, on the device; a pytree.

    Attributes:
        tokens: int32 [G, T], padded past the end.
        lengths: int32 [G], the end-of-text token included.
        log_probs: float32 [G, T] in nats, of each token under the policy that sampled it; 0 past the length.
        truncated: bool [G], no end-of-text token within T.
        entropy: float32 [G, T] in nats, exact, of what each token was drawn from; None where it was not recorded.
        questions: int32 [G], the place among the arm set's questions that each answers; None where there is one.
    """

    tokens: Array
    lengths: Array
    log_probs: Array
    truncated: Array
    entropy: Array | None = None
    questions: Array | None = None


def joined(parts: Sequence[tuple[np.ndarray, Rollouts]]) -> dict[str, Any]:
    """The fields of the `Rollouts` that parts make up: (rows int [n], their responses) each, every row in one part."""
    if len(parts) == 1 and np.array_equal(parts[0][0], np.arange(len(parts[0][0]))):
        return {field.name: getattr(parts[0][1], field.name) for field in fields(Rollouts)}
    order = np.argsort(np.concatenate([rows for rows, _ in parts]))
    found: dict[str, Any] = {
        field.name: np.concatenate([getattr(part, field.name) for _, part in parts])[order]
        for field in fields(Rollouts)
        if field.name != "text"
    }
    texts = [text for _, part in parts for text in part.text]
    return found | {"text": [texts[place] for place in order]}
