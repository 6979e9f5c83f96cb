"""The newest scores of every training question, whose mean and spread a round's signals take (`bandit_rft.signals`).

A score is what a response is learned from: of a token policy the reward, of a language model the verifier's reward as
mapped, less the KL penalty where it is in the reward. Each question has a window of its own, which moves in the rounds
that draw the question. All of it is traceable.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from bandit_rft import signals

Array = jax.Array


@partial(jax.tree_util.register_dataclass, data_fields=["past", "seen"], meta_fields=[])
@dataclass(frozen=True, kw_only=True)
class Scores:
    """The scores of earlier rounds, of Q questions. W is the window and G the rollouts that a round adds to it.

    Attributes:
        past: float [Q, W - G], the newest first; zeros where there are none yet.
        seen: int32 [Q], how many there are.
    """

    past: Array
    seen: Array


def start(questions: int, window: int | None, rollouts: int, dtype: Any = jnp.float32) -> Scores | None:
    """No scores yet, in the dtype of the rewards; None for no window."""
    if window is None:
        return None
    return Scores(past=jnp.zeros((questions, window - rollouts), dtype), seen=jnp.zeros((questions,), jnp.int32))


def signals_of(
    scores: Scores, questions: Array, rewards: Array, *, normalised: bool, ddof: int, eps: float
) -> tuple[Array, Scores]:
    """(signals [B, G], the scores after the round) of one group for each of B different questions.

    Args:
        scores: of the rounds before.
        questions: int32 [B].
        rewards: float [B, G], the scores of this round.
        normalised, ddof, eps: as `signals.windowed` takes them.
    """
    past, seen = scores.past[questions], scores.seen[questions]
    signal = partial(signals.windowed, normalised=normalised, ddof=ddof, eps=eps)
    after, count = jax.vmap(signals.slid)(rewards, past, seen)
    kept = Scores(past=scores.past.at[questions].set(after), seen=scores.seen.at[questions].set(count))
    return jax.vmap(signal)(rewards, past, seen), kept
