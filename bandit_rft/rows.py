"""Rows: exact simulation at any number of arms, by lumping (docs/lumping.md).

If a learner's update and the reward law commute with permutations of the arms inside a reward class, then the arms of
one class that share one learner statistic are interchangeable: they are one **row** with a multiplicity, and an arm's
identity inside its row is uniform. Two arms or 10^100000, memory and time are set by the arms touched.

    rows = Rows.of(log_counts, capacity)    one row per class, before anything is pulled
    pulls = draw(key, rows, log_weight, G)  G independent draws; two draws of one arm are recognised as one arm
    rows, place = split(rows, pulls, keep)  the pulled arms leave their rows; `place` is where each now lives

A learner keeps its statistics in arrays [capacity] beside the rows and copies them from `pulls.row` to `place`.

Where the learner treats all untouched arms alike, whatever their class, row 0 may hold every one of them (`pools`): an
arm's class is then drawn when the arm is first pulled, and a table of 10^5 different means costs the arms touched too.

Counts are integers throughout. A class of 2^31 arms or more keeps its size as a logarithm and the integer number of
arms taken out of it, so that ln(N − k) = ln N + log1p(−k/N) never loses an arm however long the chain of splits.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bandit_rft.choice import choose
from bandit_rft.errors import InputError
from bandit_rft.keys import as_key
from bandit_rft.pools import LARGEST_COUNT, Pool, log_left


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class Rows:
    """Groups of interchangeable arms. R = row capacity.

    Attributes:
        class_index: int32 [R], reward class of the row's arms; −1 for a pool's row, which holds arms of any class.
        mean: float [R], true mean reward of an arm of the row (for a pool's row, the average over its arms).
        count: int32 [R], arms in the row; in a row of a huge class, minus the number of arms split off it so far.
        log_total: float [R], ln of the class's size for a huge row (2^31 arms or more), else 0.
        log_multiplicity: float [R], ln of the number of arms in each row, −inf for an empty one. It follows from the
            two above and is kept because a logarithm a row and round would be most of a simulation's time.
        used: int32 scalar, rows in use: the first `used` ones.
        overflowed: bool scalar, whether a split found no free row (the run then stops; its numbers are void).
        pool: what a pool remembers of the arms that left row 0, or None where every row has one class.
        heads: static; only the first `heads` rows can hold more than one arm.
        full: static; every row holds one arm from the start.
    """

    class_index: jax.Array
    mean: jax.Array
    count: jax.Array
    log_total: jax.Array
    log_multiplicity: jax.Array
    used: jax.Array
    overflowed: jax.Array
    pool: Any = None
    heads: int = field(default=0, metadata={"static": True})
    full: bool = field(default=False, metadata={"static": True})

    @classmethod
    def of(cls, log_counts: np.ndarray, capacity: int, mean: jax.Array | np.ndarray | None = None) -> Rows:
        """One row for each class of exp(log_counts[c]) arms of true mean `mean[c]` (0 where None), with room for
        `capacity` rows in all.

        Raises:
            InputError: capacity below the number of classes.
        """
        classes = len(log_counts)
        if capacity < classes:
            raise InputError(
                f"Row capacity {capacity} is too small: the arm set starts with {classes} rows; give row_capacity "
                f"of at least {classes} plus the number of arms the run will touch."
            )
        count, log_total = np.zeros(capacity, np.int32), np.zeros(capacity)
        count[:classes], log_total[:classes] = counted(log_counts)
        class_index = np.zeros(capacity, np.int32)
        class_index[:classes] = np.arange(classes)
        totals = jnp.asarray(log_total, dtype=float)
        means = jnp.zeros(capacity, float)
        return cls(
            class_index=jnp.asarray(class_index),
            mean=means if mean is None else means.at[:classes].set(jnp.asarray(mean, float)),
            count=jnp.asarray(count),
            log_total=totals,
            log_multiplicity=log_left(jnp.asarray(count), totals),
            used=jnp.asarray(classes, dtype=jnp.int32),
            overflowed=jnp.asarray(False),
            heads=classes if np.any(log_counts > 0) else 0,
            full=bool(np.all(log_counts == 0)) and capacity == classes,
        )

    @property
    def capacity(self) -> int:
        return self.count.shape[-1]

    def splits(self, pool: Pool | None) -> bool:
        """Whether an arm can leave a row; else every arm is alone from the start."""
        return self.heads > 0 or pool is not None

    def multiplicity_among(self, chosen: jax.Array) -> jax.Array:
        """float [R], the number of arms of each row up to a common factor, times `chosen` (float [R], 0 or 1; at least
        one row with arms is chosen). An empty row has 0, chosen or not: an index of −∞ ties with what masks it.
        """
        if self.full:
            return chosen
        # Beyond the heads a row holds one arm or none, ln 1 or −∞: no exponential is taken of a thousand zeros, and a
        # minimum costs less than a comparison.
        alone = jnp.maximum(jnp.minimum(chosen[self.heads :], 1 + self.log_multiplicity[self.heads :]), 0.0)
        if self.heads == 0:
            return alone
        head = jnp.where(chosen[: self.heads] > 0, self.log_multiplicity[: self.heads], -jnp.inf)
        top = jnp.maximum(jnp.max(head), 0.0)
        return jnp.concatenate([jnp.exp(head - top), alone * jnp.exp(-top)])

    def share(self, log_arms: float) -> jax.Array:
        """float [R], each row's part of exp(log_arms) arms."""
        inhabited = (self.log_multiplicity[self.heads :] > -jnp.inf).astype(self.log_multiplicity.dtype)
        head = jnp.exp(self.log_multiplicity[: self.heads] - log_arms)
        return jnp.concatenate([head, inhabited * math.exp(-log_arms)])

    def for_each_arm(self, row_weight: jax.Array) -> jax.Array:
        """The weights [R] of whole rows, per arm of the row; 0 where a row has no arm."""
        logs = self.log_multiplicity[: self.heads]
        per_arm = jnp.where(logs > -jnp.inf, jnp.exp(-jnp.maximum(logs, 0.0)), 0.0)
        return jnp.concatenate([row_weight[: self.heads] * per_arm, row_weight[self.heads :]])

    def remove(self, row: jax.Array, number: jax.Array) -> Rows:
        """Take `number` [G] int32 arms out of the rows `row` [G] int32."""
        count = self.count.at[row].add(-number)
        changed = log_left(count[row], self.log_total[row])
        return dataclasses.replace(self, count=count, log_multiplicity=self.log_multiplicity.at[row].set(changed))

    @classmethod
    def pooled(cls, pool: Pool, log_arms: float, capacity: int, pool_state: Any) -> Rows:
        """Every arm in row 0, of a class to be drawn by `pool` when the arm is first pulled.

        Raises:
            InputError: capacity below one.
        """
        rows = cls.of(np.asarray([log_arms]), capacity)
        return dataclasses.replace(
            rows,
            class_index=rows.class_index.at[0].set(-1),
            mean=rows.mean.at[0].set(pool.mean(pool_state)),
            pool=pool_state,
        )


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class Pulls:
    """The G arms pulled in a round, as the arm set and the learner see them.

    Attributes:
        row: int32 [G], the row that each was drawn from.
        first: int32 [G], the first draw of this round that pulled the same arm (its own index if none did before).
        class_index: int32 [G], the arm's reward class: the arm set's to read, never the learner's.
        mean: float [G], the arm's true mean reward: the arm set's to read, never the learner's.
    """

    row: jax.Array
    first: jax.Array
    class_index: jax.Array
    mean: jax.Array


def draw(
    key: jax.Array,
    rows: Rows,
    weight: jax.Array,
    rollouts: int,
    pool: Pool | None = None,
    mean: jax.Array | None = None,
) -> tuple[Pulls, jax.Array]:
    """G independent draws of an arm with probability ∝ weight of its row, uniform inside the row.

    Args:
        key: consumed.
        rows: the rows.
        weight: float [R], total weight of each row (multiplicity included) up to a common factor; 0 excludes a row.
        rollouts: G, static.
        pool: of row 0, or None where every row has one class.
        mean: float [R], `rows.mean` where the caller has it as a constant, which all seeds then read from one place.

    Returns:
        The pulls, and the expected true mean of a pull.
    """
    row_key, arm_key = jax.random.split(as_key(key))
    uniform = jax.random.uniform(row_key, (rollouts,), dtype=weight.dtype)
    row, total, value = choose(uniform, weight, rows.mean if mean is None else mean)
    assert value is not None
    if rows.splits(pool):
        row = once_read(row, value)
    pulls = _pulls_of(arm_key, rows, row, pool)
    # Weights that are no numbers, or all 0, choose no arm: its mean is none either, which is refused on the host.
    return dataclasses.replace(pulls, mean=jnp.where(total > 0, pulls.mean, jnp.nan)), value


def relative_weight(log_weight: jax.Array) -> jax.Array:
    """exp(log_weight − its maximum) [R]: the weights up to a factor, the largest 1."""
    # Written down once: an exponential is dear, and a draw reads its weights twice.
    return jax.lax.optimization_barrier(jnp.exp(log_weight - jnp.max(log_weight)))


def once_read(index: jax.Array, values: jax.Array) -> jax.Array:
    """The same index [G], which XLA knows only once it has `values`.

    An array that is written at an index while it may still be read is copied whole, every round; so what was read of
    the rows comes before the index that they are written at.
    """
    zero = jnp.zeros((), values.dtype)
    return jnp.where(jnp.any(jnp.minimum(values, zero) > zero), 0, index)  # never, which XLA does not see


def counted(log_counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`Rows.count` and `Rows.log_total` of classes of exp(log_counts) arms."""
    huge = log_counts > np.log(LARGEST_COUNT)
    count = np.where(huge, 0, np.rint(np.exp(np.where(huge, 0.0, log_counts)))).astype(np.int32)
    return count, np.where(huge, log_counts, 0.0)


def _pulls_of(key: jax.Array, rows: Rows, row: jax.Array, pool: Pool | None) -> Pulls:
    """The arms drawn from the rows `row` [G]: which draws are of one arm, and what each arm is."""
    if pool is None:
        return Pulls(row=row, first=_same_arm(key, rows, row), class_index=rows.class_index[row], mean=rows.mean[row])
    same_key, class_key = jax.random.split(key)
    first = _same_arm(same_key, rows, row)
    fresh = row == 0
    class_index, mean = pool.draw(class_key, rows.pool, fresh & (first == jnp.arange(row.shape[0], dtype=jnp.int32)))
    return Pulls(
        row=row,
        first=first,
        class_index=jnp.where(fresh, class_index, rows.class_index[row])[first],
        mean=jnp.where(fresh, mean, rows.mean[row])[first],
    )


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


def split(rows: Rows, pulls: Pulls, keep: jax.Array, pool: Pool | None = None) -> tuple[Rows, jax.Array]:
    """Let each pulled arm leave its row for a row of its own, where `keep` says that its statistic has changed.

    An arm already alone in its row stays there, and an arm whose statistic is unchanged stays interchangeable with its
    row's others, so it is not split off (`keep` False): both keep the simulation exact and small. Row 0 of a pool is
    left even by its last arm, since a row of its own is where an arm's class is written down.

    Args:
        rows: the rows that the pulls were drawn from.
        pulls: the round's pulls.
        keep: bool [G], equal for all draws of one arm.
        pool: of row 0, or None where every row has one class.

    Returns:
        The rows, and int32 [G] the row where each pulled arm now lives. Where the capacity is exceeded, `overflowed` is
        set: the caller must discard the state.
    """
    if not rows.splits(pool):
        return rows, pulls.row
    first = pulls.first == jnp.arange(pulls.row.shape[0], dtype=jnp.int32)
    alone = (rows.count[pulls.row] == 1) & (rows.log_total[pulls.row] <= 0)
    if pool is not None:
        alone &= pulls.row != 0
    moves = first & keep & ~alone
    fresh = rows.used + jnp.cumsum(moves, dtype=jnp.int32) - 1
    target = jnp.where(moves, fresh, rows.capacity)  # out of range: dropped by the scatters below
    place = jnp.where(moves, fresh, pulls.row)[pulls.first]
    used = rows.used + jnp.sum(moves, dtype=jnp.int32)
    left_pool = moves & (pulls.row == 0)
    rows = dataclasses.replace(
        rows.remove(pulls.row, moves.astype(jnp.int32)),
        class_index=rows.class_index.at[target].set(pulls.class_index, mode="drop"),
        mean=rows.mean.at[target].set(pulls.mean, mode="drop"),
        used=jnp.minimum(used, rows.capacity),
        overflowed=rows.overflowed | (used > rows.capacity),
    )
    target = once_read(target, rows.log_multiplicity[pulls.row])
    rows = dataclasses.replace(
        rows,
        count=rows.count.at[target].set(1, mode="drop"),
        log_multiplicity=rows.log_multiplicity.at[target].set(0.0, mode="drop"),
    )
    if pool is not None:
        taken = pool.take(rows.pool, pulls.class_index, left_pool)
        rows = dataclasses.replace(rows, pool=taken, mean=rows.mean.at[0].set(pool.mean(taken)))
    return rows, place
