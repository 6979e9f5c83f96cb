"""Pools: untouched arms of many classes in one row, each arm's class drawn when the arm is first pulled.

A learner that starts from ignorance treats all untouched arms alike, so which of them it pulls is a uniform draw
without replacement from those left. Drawn then and not before, 10^5 arms of different means, or infinitely many from a
reservoir, cost the arms touched.

    ClassPool       C classes of any size, counted down;          O(C) a draw
    ListedPool      K arms given one by one;                      O(arms touched) a draw, whatever K is
    ReservoirPool   infinitely many arms of random mean;          O(1) a draw
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from bandit_rft.choice import choose
from bandit_rft.keys import as_key

LARGEST_COUNT = 2**31 - 1


class Pool(Protocol):
    """Which arms are left in row 0, and what they are."""

    def start(self, mean: jax.Array) -> Any:
        """The state with nothing taken; `mean` [C], the true mean of each class."""
        ...

    def draw(self, key: jax.Array, state: Any, fresh: jax.Array) -> tuple[jax.Array, jax.Array]:
        """(class int32 [G], true mean float [G]) of distinct arms left, drawn uniformly without replacement where
        `fresh` [G] is True; undefined elsewhere. The state is unchanged: only `take` removes. The key is consumed.
        """
        ...

    def take(self, state: Any, class_index: jax.Array, leaves: jax.Array) -> Any:
        """The state once the arms `class_index` [G] have left where `leaves` [G] is True."""
        ...

    def mean(self, state: Any) -> jax.Array:
        """float scalar, average true mean of the arms left (0 when none is)."""
        ...


def log_left(count: jax.Array, log_total: jax.Array) -> jax.Array:
    """ln of the number of arms left: of `count` arms where log_total is 0, else of exp(log_total) + count (count ≤ 0);
    −inf for none.
    """
    number = count.astype(log_total.dtype)
    finite = jnp.where(count > 0, jnp.log(jnp.maximum(number, 1)), -jnp.inf)
    return jnp.where(log_total > 0, log_total + jnp.log1p(number * jnp.exp(-log_total)), finite)


def _one_by_one(key: jax.Array, state: Any, fresh: jax.Array, draw_one: Callable, take_one: Callable) -> jax.Array:
    """Classes [G] int32 drawn one after another without replacement; a draw that is not fresh removes nothing."""
    uniform = jax.random.uniform(as_key(key), fresh.shape, dtype=float)
    if fresh.shape[0] == 1:
        return draw_one(state, uniform[0])[None]

    def step(left: Any, drawn: tuple[jax.Array, jax.Array]) -> tuple[Any, jax.Array]:
        number, counts = drawn
        class_index = draw_one(left, number)
        return take_one(left, class_index, counts), class_index

    return jax.lax.scan(step, state, (uniform, fresh))[1]


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class ClassState:
    """Attributes: count: int32 [C], arms left; of a huge class, minus the arms taken. mean: float [C]."""

    count: jax.Array
    mean: jax.Array


@dataclass(frozen=True, kw_only=True)
class ClassPool:
    """C classes of exp(log_counts) arms.

    Attributes:
        log_counts: C natural logarithms of whole numbers of arms.
    """

    log_counts: tuple[float, ...]

    def start(self, mean: jax.Array) -> ClassState:
        """Nothing taken; `mean` [C]."""
        logs = np.asarray(self.log_counts)
        huge = logs > np.log(LARGEST_COUNT)
        count = np.where(huge, 0, np.rint(np.exp(np.where(huge, 0.0, logs)))).astype(np.int32)
        return ClassState(count=jnp.asarray(count), mean=jnp.asarray(mean, float))

    def _log_left(self, count: jax.Array) -> jax.Array:
        logs = np.asarray(self.log_counts)
        return log_left(count, jnp.asarray(np.where(logs > np.log(LARGEST_COUNT), logs, 0.0), float))

    def draw(self, key: jax.Array, state: ClassState, fresh: jax.Array) -> tuple[jax.Array, jax.Array]:
        def draw_one(count: jax.Array, uniform: jax.Array) -> jax.Array:
            left = self._log_left(count)
            return choose(uniform[None], jnp.exp(left - jnp.maximum(jnp.max(left), 0.0)))[0][0]

        def take_one(count: jax.Array, class_index: jax.Array, counts: jax.Array) -> jax.Array:
            return count.at[class_index].add(-counts.astype(jnp.int32))

        class_index = _one_by_one(key, state.count, fresh, draw_one, take_one)
        return class_index, state.mean[class_index]

    def take(self, state: ClassState, class_index: jax.Array, leaves: jax.Array) -> ClassState:
        return ClassState(count=state.count.at[class_index].add(-leaves.astype(jnp.int32)), mean=state.mean)

    def mean(self, state: ClassState) -> jax.Array:
        left = self._log_left(state.count)
        weight = jnp.exp(left - jnp.maximum(jnp.max(left), 0.0))
        return jnp.sum(weight * state.mean) / jnp.maximum(jnp.sum(weight), 1e-300)


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class ListedState:
    """Attributes: taken: int32 [N], the arms taken in rising order, then 2^31 − 1; number: int32, how many; total:
    float, summed mean of the arms left; mean: float [K], of each arm, or None where the pool itself knows them.
    """

    taken: jax.Array
    number: jax.Array
    total: jax.Array
    mean: jax.Array | None


@dataclass(frozen=True, kw_only=True)
class ListedPool:
    """K arms given one by one.

    The u-th arm left (u from 0) is u plus the number of taken arms t_0 < t_1 < … with t_i − i ≤ u.

    Attributes:
        arms: K. capacity: N, the most arms that are ever taken.
        fixed_mean: float64 [K], the arms' means where they are the same for every seed: they then stay out of the
            state, which would hold them once per seed.
    """

    arms: int
    capacity: int
    fixed_mean: np.ndarray | None = field(default=None, compare=False)

    def _means(self, state: ListedState) -> jax.Array:
        return jnp.asarray(self.fixed_mean, float) if state.mean is None else state.mean

    def start(self, mean: jax.Array) -> ListedState:
        """Nothing taken; `mean` [K]."""
        mean = jnp.asarray(mean, float)
        return ListedState(
            taken=jnp.full(self.capacity, LARGEST_COUNT, jnp.int32),
            number=jnp.zeros((), jnp.int32),
            total=jnp.sum(mean),
            mean=mean if self.fixed_mean is None else None,
        )

    def draw(self, key: jax.Array, state: ListedState, fresh: jax.Array) -> tuple[jax.Array, jax.Array]:
        def draw_one(left: tuple[jax.Array, jax.Array], uniform: jax.Array) -> jax.Array:
            taken, number = left
            remaining = (self.arms - number).astype(uniform.dtype)
            # A product that rounds up to the number of arms left would name one arm too many.
            order = jnp.minimum(jnp.floor(uniform * remaining), jnp.maximum(remaining - 1, 0.0)).astype(jnp.int32)
            offset = taken - jnp.arange(taken.shape[0], dtype=jnp.int32)
            return order + _number_of_positive(order + 1 - offset)

        def take_one(
            left: tuple[jax.Array, jax.Array], arm: jax.Array, counts: jax.Array
        ) -> tuple[jax.Array, jax.Array]:
            return _insert(left, arm, counts)

        # Draws of one round may fill the list to its end and beyond: it is lengthened by their number for the moment.
        longer = jnp.concatenate([state.taken, jnp.full(fresh.shape[0] - 1, LARGEST_COUNT, jnp.int32)])
        arm = _one_by_one(key, (longer, state.number), fresh, draw_one, take_one)
        return arm, self._means(state)[arm]

    def take(self, state: ListedState, class_index: jax.Array, leaves: jax.Array) -> ListedState:
        left = (state.taken, state.number)
        if class_index.shape[0] == 1:
            left = _insert(left, class_index[0], leaves[0])
        else:
            left, _ = jax.lax.scan(lambda kept, arm: (_insert(kept, *arm), None), left, (class_index, leaves))
        total = state.total - jnp.sum(jnp.where(leaves, self._means(state)[class_index], 0.0))
        return ListedState(taken=left[0], number=left[1], total=total, mean=state.mean)

    def mean(self, state: ListedState) -> jax.Array:
        left = (self.arms - state.number).astype(state.total.dtype)
        return jnp.where(left > 0, state.total / jnp.maximum(left, 1), 0.0)


def _number_of_positive(values: jax.Array) -> jax.Array:
    """How many of int32 [N] are above 0: clipped and added, since a comparison in a sum is slow on a CPU."""
    return jnp.sum(jnp.clip(values, 0, 1), dtype=jnp.int32)


def _insert(left: tuple[jax.Array, jax.Array], arm: jax.Array, counts: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(rising list, its length) with `arm` put in its place where `counts`."""
    taken, number = left
    place = _number_of_positive(arm - taken)
    index = jnp.arange(taken.shape[0], dtype=jnp.int32)
    # A pad moves the list by one in the same pass; a roll would be put together from two pieces first.
    moved = jax.lax.pad(taken, jnp.int32(0), [(1, -1, 0)])
    shifted = jnp.where(index < place, taken, jnp.where(index == place, arm, moved))
    return jnp.where(counts, shifted, taken), number + counts.astype(jnp.int32)


@dataclass(frozen=True, kw_only=True)
class ReservoirPool:
    """Infinitely many arms; the mean of each is a draw of its own.

    Attributes:
        quantile: float array in (0, 1) → float array, the quantile function of the arms' means, traceable.
        average: the expected mean of an arm.
    """

    quantile: Callable[[jax.Array], jax.Array]
    average: float

    def start(self, mean: jax.Array) -> tuple[()]:
        """There is nothing to remember."""
        del mean
        return ()

    def draw(self, key: jax.Array, state: tuple[()], fresh: jax.Array) -> tuple[jax.Array, jax.Array]:
        uniform = jax.random.uniform(as_key(key), fresh.shape, dtype=float)
        # No arm of a continuous reservoir sits at a quantile of exactly 0, where a quantile function may be −∞.
        mean = self.quantile(jnp.maximum(uniform, jnp.finfo(uniform.dtype).tiny))
        return jnp.zeros(fresh.shape, jnp.int32), mean

    def take(self, state: tuple[()], class_index: jax.Array, leaves: jax.Array) -> tuple[()]:
        return state

    def mean(self, state: tuple[()]) -> jax.Array:
        return jnp.asarray(self.average, dtype=float)
