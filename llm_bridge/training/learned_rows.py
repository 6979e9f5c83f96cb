"""The responses that a round learns from, as arrays: chosen, kept for replay, cut into batches.

Rows                              the responses of a round with what was recorded of them
window, pooled, remembered        the last rounds' rows in a ring buffer of a fixed size; traceable
present, share                    how many rows there are to learn from, and which of them a step takes; traceable
prompt_batch, padded_batches      rows in bucketed shapes, so that what is compiled for them stays little; on the host
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from llm_bridge.sampling import buckets

Array = Any  # numpy on the host; JAX arrays where the rows stand in a learner's state


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["questions", "tokens", "lengths", "log_probs", "ref_log_probs", "signal", "sampler_log_probs"],
    meta_fields=[],
)
@dataclass(frozen=True, kw_only=True)
class Rows:
    """R responses; in a window, every array has an axis of W rounds before.

    Attributes:
        questions: int32 [R], which question of the arm set each answers.
        tokens: int32 [R, T], right-padded.
        lengths: int32 [R].
        log_probs: float32 [R, T], of the policy that sampled them, as recorded then, or as the trainer scored it.
        ref_log_probs: float32 [R, T] of the reference; None where no term needs them.
        signal: float32 [R], as computed from the rewards of their own round.
        sampler_log_probs: float32 [R, T], as recorded while sampling, where `log_probs` are the trainer's and truncated
            importance compares the two; else None.
    """

    questions: Array
    tokens: Array
    lengths: Array
    log_probs: Array
    ref_log_probs: Array | None
    signal: Array
    sampler_log_probs: Array | None = None

    def __len__(self) -> int:
        return len(self.lengths)

    def take(self, chosen: Any) -> Rows:
        """The rows of these indices."""
        return jax.tree.map(lambda leaf: leaf[chosen], self)

    @property
    def mask(self) -> Any:
        """bool [R, T], True on the tokens of the responses; traceable."""
        ends = self.lengths[..., None]
        return (jnp if isinstance(ends, jax.Array) else np).arange(self.tokens.shape[-1], dtype=np.int32) < ends


def window(rounds: int, rows: int, length: int, *, reference: bool, sampler: bool = False) -> Rows | None:
    """An empty memory of that many rounds of `rows` responses of at most `length` tokens; None for no round. It has the
    reference's and the sampler's own log-probabilities where asked for.
    """
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
        sampler_log_probs=jnp.zeros(token, jnp.float32) if sampler else None,
    )


@jax.jit
def pooled(memory: Rows, fresh: Rows, round_index: jax.Array) -> Rows:
    """The rows that a round may learn from: its own, then those of the rounds before, the newest round first.

    There are always R · (1 + W) of them; in the first rounds those at the end are empty (`present`).
    """
    ages = jnp.arange(1, len(memory) + 1, dtype=jnp.int32)
    past = memory.take((round_index - ages) % len(memory))

    def join(new: jax.Array, old: jax.Array) -> jax.Array:
        return jnp.concatenate([_widened(new, old.shape[1:]), old.reshape(-1, *old.shape[2:])])

    return jax.tree.map(join, fresh, past)


@jax.jit
def remembered(memory: Rows, rows: Rows, round_index: jax.Array) -> Rows:
    """The memory with this round's rows in place of its oldest."""
    place = round_index % len(memory)
    return jax.tree.map(lambda kept, new: kept.at[place].set(_widened(new, kept.shape[1:])), memory, rows)


def _widened(array: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """The array with zeros behind, in this shape."""
    return jnp.pad(array, [(0, size - have) for size, have in zip(shape, array.shape, strict=True)])


def present(round_index: Any, rounds: int, rows: int) -> Any:
    """How many rows of `pooled` are responses, where each of a round and of `rounds` before gives `rows`."""
    return (1 + jnp.minimum(jnp.asarray(round_index, jnp.int32), rounds)) * rows


@partial(jax.jit, static_argnames=("parts", "capacity"))
def share(key: jax.Array, step: Any, rows: Any, *, parts: int, capacity: int) -> tuple[jax.Array, jax.Array]:
    """The rows of a step of `parts` an epoch: an equal share of the epoch's own shuffled order.

    Args:
        key: of the round.
        step: int32, from 0; step // parts is its epoch.
        rows: int32, how many there are, a multiple of `parts`; these come first among the `capacity`.

    Returns:
        Indices int32 [capacity / parts] and bool of the same shape, True on the share; the others repeat a row.
    """
    places = jnp.arange(capacity // parts, dtype=jnp.int32)
    size = jnp.asarray(rows, jnp.int32) // parts
    inside = places < size
    epoch, part = jnp.divmod(jnp.asarray(step, jnp.int32), parts)
    # An order of so many rows as there are, in a fixed shape: sorted by random bits, the empty rows last.
    bits = jax.random.bits(jax.random.fold_in(key, epoch), (capacity,), jnp.uint32)
    empty = jnp.arange(capacity, dtype=jnp.int32) >= rows
    order = jnp.argsort(jnp.where(empty, jnp.uint32(0xFFFFFFFF), bits), stable=True).astype(jnp.int32)
    return order[part * size + jnp.where(inside, places, 0)], inside


def bucket_rows(count: int, most: int, shards: int = 1) -> int:
    """Rows of a micro-batch: a power of two, or `most`. Coarser than lengths: each pair of the two is a compilation.
    Where a mesh divides rows into `shards`, those of each.
    """
    count, most = -(-count // shards), -(-most // shards)
    return shards * min(1 << (count - 1).bit_length(), most)


def prompt_batch(
    prompts: Sequence[np.ndarray], questions: np.ndarray, *, shards: int = 1, widths: Sequence[int] | None = None
) -> dict[str, Array]:
    """The distinct prompts of R rows, and which of them each row continues; where a mesh divides the rows, the one
    prompt of all or each row's own, so that it stands on the row's device.

    Returns:
        prompt: int32 [P], its length a scalar, where all rows have one question; else [H, P] and lengths [H]. H is a
            power of two, or R; P is one of `widths` (None: of `buckets.prompt_widths` of all prompts), and of a
            lone question `buckets.lone_width`. Prompts that only fill H have one token and no row.
        owners: int32 [R], or None for the one prompt, and for one per row (H = R).
    """
    distinct, owners = np.unique(questions, return_inverse=True)
    held, width = _prompt_shape(prompts, questions, shards, widths)
    if held == len(questions):
        distinct, owners = questions, None
    padded, lengths = np.zeros((held, width), np.int32), np.ones(held, np.int32)
    for place, question in enumerate(distinct):
        ids = prompts[int(question)]
        padded[place, : len(ids)], lengths[place] = ids, len(ids)
    if held == 1:
        return {"prompt": padded[0], "prompt_lengths": lengths[0], "owners": None}
    return {"prompt": padded, "prompt_lengths": lengths, "owners": None if owners is None else owners.astype(np.int32)}


def _prompt_shape(
    prompts: Sequence[np.ndarray], questions: np.ndarray, shards: int, widths: Sequence[int] | None
) -> tuple[int, int]:
    """(H, P) of `prompt_batch`."""
    if len(prompts) == 1:
        return 1, buckets.lone_width(len(prompts[0]))
    distinct = set(questions.tolist())
    longest = max(len(prompts[question]) for question in distinct)
    held = bucket_rows(len(distinct), len(questions)) if shards == 1 or len(distinct) == 1 else len(questions)
    return held, buckets.narrowest(widths or buckets.prompt_widths([*map(len, prompts)]), longest)


Batch = tuple[np.ndarray, int, int]


def padded_batches(
    rows: Rows,
    chosen: np.ndarray,
    prompts: Sequence[np.ndarray],
    *,
    size: int,
    widest: int,
    shards: int = 1,
    widths: Sequence[int] | None = None,
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
            width = buckets.narrowest(buckets.widths_to(widest), int(rows.lengths[part].max()))
            height = bucket_rows(len(part), size, shards)
            yield np.concatenate([part, np.repeat(part[:1], height - len(part))]), len(part), width

    def tokens(batches: list[Batch]) -> int:
        shapes = [_prompt_shape(prompts, rows.questions[places], shards, widths) for places, _, _ in batches]
        prompt_tokens = sum(held * width for held, width in shapes)
        return prompt_tokens + sum(len(places) * width for places, _, width in batches)

    orders = np.argsort(lengths, kind="stable"), np.lexsort((lengths, questions))
    return min((list(cut(order)) for order in orders), key=tokens)
