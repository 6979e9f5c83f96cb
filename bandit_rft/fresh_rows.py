"""Rows in a run that only sweeps fresh arms: what a round draws and writes where it never pulls an arm twice.

`rows.draw` and `rows.split` for one pull a round, each of them from the pool, as an index learner's are in its first
K rounds. The same bits, at the cost of the pool's own draw: no weights are read, and every seed writes the same row,
in place, where rows of each seed's own are scatters, for which XLA's CPU code copies the whole array.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bandit_rft.keys import as_key
from bandit_rft.pools import Pool, log_left
from bandit_rft.rows import Pulls, Rows, counted


def draw_fresh(key: jax.Array, rows: Rows, pool: Pool) -> tuple[Pulls, jax.Array]:
    """`draw` of one arm where the untouched arms of the pool alone have weight: the same bits, and no row is read.

    The key is consumed.
    """
    _, arm_key = jax.random.split(as_key(key))
    _, class_key = jax.random.split(arm_key)
    class_index, mean = pool.draw(class_key, rows.pool, jnp.ones((1,), bool))
    row = jnp.zeros((1,), jnp.int32)
    return Pulls(row=row, first=row, class_index=class_index, mean=mean), pool.mean(rows.pool)


def split_fresh(rows: Rows, pulls: Pulls, place: jax.Array, pool: Pool, log_arms: float) -> Rows:
    """`split` of the one arm of `draw_fresh` into the row `place`, int32 scalar, which is `rows.used`, the same
    for every seed.

    exp(log_arms) arms were in the pool, and all that left it did so by this function: its count is not read.
    """
    start, log_total = counted(np.asarray([log_arms]))
    count = jnp.int32(start[0]) - rows.used
    taken = pool.take(rows.pool, pulls.class_index, jnp.ones((1,), bool))

    def written(values: jax.Array, last: Any, pool_row: jax.Array | None = None) -> jax.Array:
        if pool_row is not None:
            values = write_row(values, jnp.zeros_like(place), pool_row)
        return write_row(values, place, jnp.asarray(last, values.dtype))

    return dataclasses.replace(
        rows,
        class_index=written(rows.class_index, pulls.class_index[0]),
        mean=written(rows.mean, pulls.mean[0], pool.mean(taken)),
        count=written(rows.count, 1, count),
        log_multiplicity=written(rows.log_multiplicity, 0.0, log_left(count, jnp.asarray(log_total[0], float))),
        used=jnp.minimum(rows.used + 1, rows.capacity),
        # Whoever maps an update over states of different rounds is told by the flag that his rows are not to be used.
        overflowed=rows.overflowed | (rows.used >= rows.capacity) | (place != of_first_seed(place)),
        pool=taken,
    )


@jax.custom_batching.custom_vmap
def of_first_seed(place: jax.Array) -> jax.Array:
    """The scalar itself; under `vmap`, that of the first seed, for all."""
    return place


@of_first_seed.def_vmap
def _of_first_seed(size: int, batched: list[bool], place: jax.Array) -> tuple[jax.Array, bool]:
    del size
    return (place[0] if batched[0] else place), False


@jax.custom_batching.custom_vmap
def write_row(values: jax.Array, place: jax.Array, value: jax.Array) -> jax.Array:
    """`values` [R] with one entry changed, at a place that is the same for every seed.

    Under `vmap` the place of the first seed is taken, and the entry is then written in place: a place of each seed's
    own is a scatter, for which XLA's CPU code copies the whole array.
    """
    return jax.lax.dynamic_update_slice(values, value[None], (place,))


@write_row.def_vmap
def _write_rows(
    size: int, batched: list[bool], values: jax.Array, place: jax.Array, value: jax.Array
) -> tuple[jax.Array, bool]:
    of_seeds = values if batched[0] else jnp.broadcast_to(values, (size, *values.shape))
    column = jnp.broadcast_to(value[:, None] if batched[2] else value[None, None], (size, 1))
    place = place[0] if batched[1] else place
    return jax.lax.dynamic_update_slice(of_seeds, column, (jnp.zeros((), place.dtype), place)), True
