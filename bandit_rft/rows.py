"""Rows: exact simulation at any number of arms, by lumping (THEORY.md C).

If a learner's update and the reward law commute with permutations of the arms inside a reward class, then the arms of
one class that share one learner statistic are interchangeable: they are one **row** with a multiplicity, and an arm's
identity inside its row is uniform. Two arms or 10^100000, memory and time are set by the arms touched.

    rows = Rows.of(classes, capacity)       one row a class, before anything is pulled
    pulls = draw(key, rows, log_weight, G)  G independent draws; two draws of one arm are recognised as one arm
    rows, place = split(rows, pulls, keep)  the pulled arms leave their rows; `place` is where each now lives

A learner keeps its statistics in arrays [capacity] beside the rows and copies them from `pulls.row` to `place`.

Counts are integers throughout. A class of 2^31 arms or more keeps its size as a logarithm and the integer number of
arms taken out of it, so that ln(N − k) = ln N + log1p(−k/N) never loses an arm however long the chain of splits.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from bandit_rft.errors import InputError

LARGEST_COUNT = 2**31 - 1


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class Rows:
    """Groups of interchangeable arms. R = row capacity.

    Attributes:
        class_index: int32 [R], reward class of the row's arms.
        count: int32 [R], arms in the row; in a row of a huge class, minus the number of arms split off it so far.
        log_total: float [R], ln of the class's size for a huge row (2^31 arms or more), else 0.
        log_multiplicity: float [R], ln of the number of arms in each row, −inf for an empty one. It follows from the
            two above and is kept because a logarithm a row and round would be most of a simulation's time.
        used: int32 scalar, rows in use: the first `used` ones.
        overflowed: bool scalar, whether a split found no free row (the run then stops; its numbers are void).
    """

    class_index: jax.Array
    count: jax.Array
    log_total: jax.Array
    log_multiplicity: jax.Array
    used: jax.Array
    overflowed: jax.Array

    @classmethod
    def of(cls, log_counts: np.ndarray, capacity: int) -> Rows:
        """One row for each class of exp(log_counts[c]) arms, with room for `capacity` rows in all.

        Raises:
            InputError: capacity below the number of classes.
        """
        classes = len(log_counts)
        if capacity < classes:
            raise InputError(
                f"Row capacity {capacity} is too small: the arm set starts with {classes} rows; give row_capacity "
                f"of at least {classes} plus the number of arms the run will touch."
            )
        huge = log_counts > np.log(LARGEST_COUNT)
        count = np.zeros(capacity, np.int32)
        count[:classes] = np.where(huge, 0, np.rint(np.exp(np.where(huge, 0.0, log_counts)))).astype(np.int32)
        log_total = np.zeros(capacity)
        log_total[:classes] = np.where(huge, log_counts, 0.0)
        class_index = np.zeros(capacity, np.int32)
        class_index[:classes] = np.arange(classes)
        totals = jnp.asarray(log_total, dtype=float)
        return cls(
            class_index=jnp.asarray(class_index),
            count=jnp.asarray(count),
            log_total=totals,
            log_multiplicity=_log_multiplicity(jnp.asarray(count), totals),
            used=jnp.asarray(classes, dtype=jnp.int32),
            overflowed=jnp.asarray(False),
        )

    @property
    def capacity(self) -> int:
        return self.count.shape[-1]

    def remove(self, row: jax.Array, number: jax.Array) -> Rows:
        """Take `number` [G] int32 arms out of the rows `row` [G] int32."""
        count = self.count.at[row].add(-number)
        changed = _log_multiplicity(count[row], self.log_total[row])
        return dataclasses.replace(self, count=count, log_multiplicity=self.log_multiplicity.at[row].set(changed))


def _log_multiplicity(count: jax.Array, log_total: jax.Array) -> jax.Array:
    number = count.astype(log_total.dtype)
    finite = jnp.where(count > 0, jnp.log(jnp.maximum(number, 1)), -jnp.inf)
    return jnp.where(log_total > 0, log_total + jnp.log1p(number * jnp.exp(-log_total)), finite)


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class Pulls:
    """The G arms pulled in a round, as the arm set and the learner see them.

    Attributes:
        row: int32 [G], the row that each was drawn from.
        first: int32 [G], the first draw of this round that pulled the same arm (its own index if none did before).
        class_index: int32 [G], the arm's reward class: the arm set's to read, never the learner's.
    """

    row: jax.Array
    first: jax.Array
    class_index: jax.Array


def draw(key: jax.Array, rows: Rows, log_weight: jax.Array, rollouts: int) -> tuple[Pulls, jax.Array]:
    """G independent draws of an arm with probability ∝ exp(log_weight) of its row, uniform inside the row.

    Args:
        key: consumed.
        rows: the rows.
        log_weight: float [R], ln of the total weight of each row (multiplicity included); −inf excludes a row.
        rollouts: G, static.

    Returns:
        The pulls, and float [R] the probability of each row.
    """
    row_key, arm_key = jax.random.split(key)
    weight = jnp.exp(log_weight - jnp.max(log_weight))
    row, total = _choose(row_key, weight, rollouts)
    pulls = Pulls(row=row, first=_same_arm(arm_key, rows, row), class_index=rows.class_index[row])
    return pulls, weight / total


def _choose(key: jax.Array, weight: jax.Array, rollouts: int) -> tuple[jax.Array, jax.Array]:
    """(int32 [G] rows drawn ∝ weight [R], the weights' sum), by inverse transform: one uniform a draw, whatever R.

    The cumulative sum has two levels, over blocks of about sqrt(R) rows and inside the block drawn, so that a draw
    costs one pass over the weights. Rounding may push a uniform past the last cumulative weight: the last row with any
    weight then takes it, never a row of weight zero and never an index past the end.
    """
    block = max(1, round(math.sqrt(weight.shape[0])))
    blocks = jnp.pad(weight, (0, -weight.shape[0] % block)).reshape(-1, block)
    block_end = jnp.cumsum(jnp.sum(blocks, axis=1))
    uniform = jax.random.uniform(key, (rollouts,), dtype=weight.dtype) * block_end[-1]
    chosen_block = _first_above(block_end, uniform)
    inside = jnp.cumsum(blocks[chosen_block], axis=1)
    start = jnp.where(chosen_block > 0, block_end[jnp.maximum(chosen_block - 1, 0)], jnp.zeros_like(uniform))
    row = chosen_block * block + jax.vmap(_first_above)(inside, (uniform - start)[:, None])[:, 0]
    return row.astype(jnp.int32), block_end[-1]


def _first_above(cumulative: jax.Array, target: jax.Array) -> jax.Array:
    """int [G], first index whose cumulative weight exceeds the target, at most the last index that adds weight."""
    last = jnp.searchsorted(cumulative, cumulative[-1], side="left")
    return jnp.minimum(jnp.searchsorted(cumulative, target, side="right"), last)


def _same_arm(key: jax.Array, rows: Rows, row: jax.Array) -> jax.Array:
    """int32 [G], for each draw the first draw of the same arm: inside its row every draw picks an arm uniformly.

    Two draws of a huge row coincide with probability 1/N < 2^-31 a pair; they are labelled apart below one uniform's
    resolution (2^-53), exactly by a uniform label otherwise.
    """
    rollouts = row.shape[0]
    index = jnp.arange(rollouts, dtype=jnp.int32)
    if rollouts == 1:
        return index
    multiplicity = jnp.exp(rows.log_multiplicity[row])
    uniform = jax.random.uniform(key, (rollouts,), dtype=multiplicity.dtype)
    label = jnp.where(multiplicity < 2.0**53, jnp.floor(uniform * jnp.round(multiplicity)), uniform)
    same = (row[:, None] == row[None, :]) & (label[:, None] == label[None, :])
    return jnp.argmax(same, axis=1).astype(jnp.int32)


def split(rows: Rows, pulls: Pulls, keep: jax.Array) -> tuple[Rows, jax.Array]:
    """Let each pulled arm leave its row for a row of its own, where `keep` says that its statistic has changed.

    An arm already alone in its row stays there, and an arm whose statistic is unchanged stays interchangeable with its
    row's others, so it is not split off (`keep` False): both keep the simulation exact and small.

    Args:
        rows: the rows that the pulls were drawn from.
        pulls: the round's pulls.
        keep: bool [G], equal for all draws of one arm.

    Returns:
        The rows, and int32 [G] the row where each pulled arm now lives. Where the capacity is exceeded, `overflowed` is
        set: the caller must discard the state.
    """
    first = pulls.first == jnp.arange(pulls.row.shape[0], dtype=jnp.int32)
    alone = (rows.count[pulls.row] == 1) & (rows.log_total[pulls.row] <= 0)
    moves = first & keep & ~alone
    fresh = rows.used + jnp.cumsum(moves, dtype=jnp.int32) - 1
    target = jnp.where(moves, fresh, rows.capacity)  # out of range: dropped by the scatters below
    place = jnp.where(moves, fresh, pulls.row)[pulls.first]
    used = rows.used + jnp.sum(moves, dtype=jnp.int32)
    rows = dataclasses.replace(
        rows.remove(pulls.row, moves.astype(jnp.int32)),
        class_index=rows.class_index.at[target].set(pulls.class_index, mode="drop"),
        used=jnp.minimum(used, rows.capacity),
        overflowed=rows.overflowed | (used > rows.capacity),
    )
    rows = dataclasses.replace(
        rows,
        count=rows.count.at[target].set(1, mode="drop"),
        log_multiplicity=rows.log_multiplicity.at[target].set(0.0, mode="drop"),
    )
    return rows, place


def move(statistic: jax.Array, pulls: Pulls, place: jax.Array) -> jax.Array:
    """The statistic [R] after `split`: each split arm carries its old row's value to its new row."""
    return statistic.at[place].set(statistic[pulls.row], mode="drop")
