"""Asynchronous rounds: what a round samples is learned from a fixed number of rounds later.

A trainer that does not wait for its sampler learns in round t from the responses that the weights of round t − D wrote.
Here round t samples by its own weights, as a sampler that never waits does; its responses and rewards stand behind
those that wait, and the ones that have waited D rounds are learned from, with the log-probabilities recorded as they
were sampled. The first D rounds learn nothing. So rewards and Pass@1 of a round are those of its own weights, and D = 0
is the synchronous round. The rows that wait are part of the state: a resumed run goes on with them.

What the lag costs depends on the ratio. Without one (`clip=None`) the update is the score of stale responses, whose
curve `theory.pg_delayed` and the tree law have; PPO's ratio or `truncated_importance` corrects for it, in part.

Left out: sampling and learning at the same moment. Both halves of a round still follow one another on one device, and a
round waits for its verifier: the schedule is that of an asynchronous trainer, not its speed.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from llm_bridge.training.learned_rows import Rows, remembered

Array = jax.Array


@jax.jit
def exchanged(pending: Rows, rows: Rows, round_index: Array) -> tuple[Rows, Rows]:
    """(the rows that were sampled D rounds ago, those that wait from here on).

    Args:
        pending: the rows of the last D rounds, [D, R, ...], that of round t at place t mod D.
        rows: this round's, whose signals are their rewards as yet.
        round_index: int32, of this round; in the first D rounds the rows that are handed out are empty.
    """
    return pending.take(round_index % len(pending)), remembered(pending, rows, round_index)


def chosen(heard: Array, new: Any, old: Any) -> Any:
    """A tree as it is in a round that learned, else as it was; traceable."""
    return jax.tree.map(lambda after, before: jnp.where(heard, after, before), new, old)
