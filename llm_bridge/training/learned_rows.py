"""The responses that a round learns from, as arrays: chosen, joined, kept for replay, cut into batches.

Rows            the responses of a round with what was recorded of them
window, replayed, remembered      the last rounds' rows, in arrays of a fixed size
share                             which rows per step learns from
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

from llm_bridge.sampling.buckets import bucket

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
    def mask(self) -> Any:
        """bool [R, T], True on the tokens of the responses; traceable."""
        ends = self.lengths[..., None]
        return (jnp if isinstance(ends, jax.Array) else np).arange(self.tokens.shape[-1], dtype=np.int32) < ends


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


def prompt_batch(prompts: Sequence[np.ndarray], questions: np.ndarray) -> dict[str, Array]:
    """The distinct prompts of R rows, and which of them each row continues.

    Returns:
        prompt: int32 [P], its length a scalar, where all rows have one question; else [H, P] and lengths [H]. H and P
            are powers of two, except that a lone question's prompt has its own length and H may be R. Prompts that
            only fill H have one token and no row.
        owners: int32 [R], or None for the one prompt, and for one per row (H = R).
    """
    distinct, owners = np.unique(questions, return_inverse=True)
    held, width = _prompt_shape(prompts, questions)
    if held == len(questions):
        distinct, owners = questions, None
    padded, lengths = np.zeros((held, width), np.int32), np.ones(held, np.int32)
    for place, question in enumerate(distinct):
        ids = prompts[int(question)]
        padded[place, : len(ids)], lengths[place] = ids, len(ids)
    if held == 1:
        return {"prompt": jnp.asarray(padded[0]), "prompt_lengths": jnp.asarray(lengths[0]), "owners": None}
    owners = None if owners is None else jnp.asarray(owners, jnp.int32)
    return {"prompt": jnp.asarray(padded), "prompt_lengths": jnp.asarray(lengths), "owners": owners}


def _prompt_shape(prompts: Sequence[np.ndarray], questions: np.ndarray) -> tuple[int, int]:
    """(H, P) of `prompt_batch`."""
    if len(prompts) == 1:
        return 1, len(prompts[0])
    distinct = set(questions.tolist())
    longest = max(len(prompts[question]) for question in distinct)
    return bucket_rows(len(distinct), len(questions)), max(32, 1 << (longest - 1).bit_length())


Batch = tuple[np.ndarray, int, int]


def padded_batches(
    rows: Rows, chosen: np.ndarray, prompts: Sequence[np.ndarray], *, size: int, widest: int
) -> list[Batch]:
    """Micro-batches of these rows: (indices with padding, rows that are real, tokens wide).

    A batch is as long as its longest response and reads each of its prompts once. Rows are therefore cut in the order
    of their lengths, or question by question, whichever computes fewer tokens. Which rows meet in a micro-batch, and so
    the order in which floats are added up, depends on the lengths of all rows and is not promised; which rows per step
    learns from is `share`'s matter alone. Padding rows repeat a real one, so that every value in them is ordinary; the
    caller weighs them zero.
    """
    lengths, questions = rows.lengths[chosen], rows.questions[chosen]

    def cut(order: np.ndarray) -> Iterator[Batch]:
        for start in range(0, len(order), size):
            part = chosen[order[start : start + size]]
            width = min(bucket(int(rows.lengths[part].max()), smallest=16), widest)
            height = bucket_rows(len(part), size)
            yield np.concatenate([part, np.repeat(part[:1], height - len(part))]), len(part), width

    def tokens(batches: list[Batch]) -> int:
        shapes = [_prompt_shape(prompts, rows.questions[places]) for places, _, _ in batches]
        prompt_tokens = sum(held * width for held, width in shapes)
        return prompt_tokens + sum(len(places) * width for places, _, width in batches)

    orders = np.argsort(lengths, kind="stable"), np.lexsort((lengths, questions))
    return min((list(cut(order)) for order in orders), key=tokens)
