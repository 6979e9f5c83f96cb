"""The responses that a round learns from, as arrays: chosen, joined, kept for replay, cut into batches.

Rows            the responses of a round with what was recorded of them
window, replayed, remembered      the last rounds' rows, in arrays of a fixed size
share                             which rows a step learns from
prompt_batch, padded_batches      rows in bucketed shapes, so that what is compiled for them stays little
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from llm_bridge.buckets import bucket

Array = Any  # numpy on the host; JAX arrays where the rows stand in a learner's state


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["questions", "tokens", "lengths", "log_probs", "ref_log_probs", "signal"],
    meta_fields=[],
)
@dataclass(frozen=True, kw_only=True)
class Rows:
    """R responses; in a window, every array has an axis of W rounds before.

    Attributes:
        questions: int32 [R], which question of the arm set each answers.
        tokens: int32 [R, T], right-padded.
        lengths: int32 [R].
        log_probs: float32 [R, T], of the policy that sampled them, as recorded then.
        ref_log_probs: float32 [R, T] of the reference; None where no term needs them.
        signal: float32 [R], as computed from the rewards of their own round.
    """

    questions: Array
    tokens: Array
    lengths: Array
    log_probs: Array
    ref_log_probs: Array | None
    signal: Array

    def __len__(self) -> int:
        return len(self.lengths)

    def take(self, chosen: np.ndarray) -> Rows:
        """The rows of these indices, or where a mask [R] is True."""
        return jax.tree.map(lambda leaf: leaf[chosen], self)

    @property
    def mask(self) -> np.ndarray:
        """bool [R, T], True on the tokens of the responses."""
        return np.arange(self.tokens.shape[-1]) < np.asarray(self.lengths)[..., None]


def joined(parts: Sequence[Rows]) -> Rows:
    """All their rows, in order."""
    return parts[0] if len(parts) == 1 else jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)


def window(rounds: int, rows: int, length: int, *, reference: bool) -> Rows | None:
    """An empty memory of that many rounds of `rows` responses of at most `length` tokens; None for no round."""
    if rounds == 0:
        return None
    row, token = (rounds, rows), (rounds, rows, length)
    return Rows(
        questions=jnp.zeros(row, jnp.int32),
        tokens=jnp.zeros(token, jnp.int32),
        lengths=jnp.zeros(row, jnp.int32),
        log_probs=jnp.zeros(token, jnp.float32),
        ref_log_probs=jnp.zeros(token, jnp.float32) if reference else None,
        signal=jnp.zeros(row, jnp.float32),
    )


def replayed(memory: Rows, round_index: int) -> list[Rows]:
    """The rows of the rounds before `round_index` that are remembered, the newest round first."""
    rounds = len(memory)
    host = jax.tree.map(np.asarray, memory)
    return [host.take((round_index - age) % rounds) for age in range(1, min(round_index, rounds) + 1)]


def remembered(memory: Rows, rows: Rows, round_index: int) -> Rows:
    """The memory with this round's rows in place of its oldest."""

    def write(kept: jax.Array, new: np.ndarray) -> jax.Array:
        short = [(0, size - have) for size, have in zip(kept.shape[1:], new.shape, strict=True)]
        return kept.at[round_index % len(kept)].set(jnp.asarray(np.pad(new, short)))

    return jax.tree.map(write, memory, rows)


def share(key: jax.Array, step: int, parts: int, rows: int) -> np.ndarray:
    """The rows of a step of `parts` an epoch: all of them, or an equal share of the epoch's own shuffled order."""
    if parts == 1:
        return np.arange(rows)
    epoch, part = divmod(step, parts)
    return np.asarray(jax.random.permutation(jax.random.fold_in(key, epoch), rows)).reshape(parts, -1)[part]


def bucket_rows(count: int, most: int) -> int:
    """Rows of a micro-batch: a power of two, or `most`. Coarser than lengths: each pair of the two is a compilation."""
    return min(1 << (count - 1).bit_length(), most)


def prompt_batch(prompts: Sequence[np.ndarray], questions: np.ndarray, *, shared: bool) -> dict[str, jax.Array]:
    """The prompts of some rows: [P] and a scalar length where all rows share one, else [R, P] and [R].

    A lone question's prompt has its own length, so nothing is padded; of several, P is a power of two.
    """
    if shared:
        ids = prompts[int(questions[0])]
        width = len(ids) if len(prompts) == 1 else _power_of_two(len(ids))
        padded = np.zeros(width, np.int32)
        padded[: len(ids)] = ids
        return {"prompt": jnp.asarray(padded), "prompt_lengths": jnp.int32(len(ids))}
    lengths = np.asarray([len(prompts[question]) for question in questions], np.int32)
    padded = np.zeros((len(questions), _power_of_two(int(lengths.max()))), np.int32)
    for row, question in enumerate(questions):
        padded[row, : lengths[row]] = prompts[question]
    return {"prompt": jnp.asarray(padded), "prompt_lengths": jnp.asarray(lengths)}


def _power_of_two(length: int) -> int:
    return max(32, 1 << (length - 1).bit_length())


def padded_batches(
    lengths: np.ndarray, rows: np.ndarray, *, size: int, widest: int
) -> Iterator[tuple[np.ndarray, int, int]]:
    """Micro-batches of these rows: (indices with padding, rows that are real, tokens wide).

    Rows are sorted by length: a batch is as long as its longest row. Padding rows repeat a real one, so that every
    value in them is ordinary; the caller weighs them zero.
    """
    rows = rows[np.argsort(lengths[rows], kind="stable")]
    for start in range(0, len(rows), size):
        chosen = rows[start : start + size]
        width = min(bucket(int(lengths[chosen].max()), smallest=16), widest)
        height = bucket_rows(len(chosen), size)
        yield np.concatenate([chosen, np.repeat(chosen[:1], height - len(chosen))]), len(chosen), width
