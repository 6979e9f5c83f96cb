"""Arm sets made of others: a noisy verifier, delayed rewards, drifting means."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bandit_rft import arguments
from bandit_rft.arms.lumped_arms import LumpedArms
from bandit_rft.errors import InputError
from bandit_rft.keys import as_key
from bandit_rft.pools import Pool
from bandit_rft.rows import Pulls


@dataclass(frozen=True)
class _Wrapped(LumpedArms):
    """Everything as `arms` has it, unless a subclass says otherwise."""

    arms: LumpedArms

    def __post_init__(self) -> None:
        if not isinstance(self.arms, LumpedArms):
            raise InputError(f"{type(self).__name__} wraps a table of arms, not {type(self.arms).__name__}.")

    @property
    def log_counts(self) -> tuple[float, ...]:  # type: ignore[override]
        return self.arms.log_counts

    @property
    def base_log_mass(self) -> tuple[float, ...]:  # type: ignore[override]
        return self.arms.base_log_mass

    @property
    def sigma(self) -> float | None:  # type: ignore[override]
        return self.arms.sigma

    @property
    def delay(self) -> int:  # type: ignore[override]
        return self.arms.delay

    @property
    def moving(self) -> bool:  # type: ignore[override]
        return self.arms.moving

    @property
    def reservoir(self) -> bool:  # type: ignore[override]
        return self.arms.reservoir

    @property
    def best_mean(self) -> float | None:
        return self.arms.best_mean

    @property
    def fixed_means(self) -> np.ndarray | None:
        return self.arms.fixed_means

    @property
    def average_mean(self) -> float | None:
        return self.arms.average_mean

    @property
    def log_arms(self) -> float:
        return self.arms.log_arms

    @property
    def can_pay(self) -> np.ndarray:
        return self.arms.can_pay

    def means_within(self, low: float, high: float) -> bool:
        return self.arms.means_within(low, high)

    def start(self, key: jax.Array) -> Any:
        return self.arms.start(key)

    def class_means(self, world: Any) -> jax.Array:
        return self.arms.class_means(world)

    def advance(self, world: Any) -> Any:
        return self.arms.advance(world)

    def best(self, world: Any) -> jax.Array | None:
        return self.arms.best(world)

    def pool(self, capacity: int) -> Pool:
        return self.arms.pool(capacity)

    def pull(self, key: jax.Array, arms: Pulls) -> jax.Array:
        return self.arms.pull(key, arms)


@dataclass(frozen=True)
class Noisy(_Wrapped):
    """A verifier that errs: a response whose true reward is 1 is accepted with probability `true_positive`, one whose
    true reward is 0 with probability `false_positive` (arXiv 2601.04411).

    Rewards are what the verifier says; means, value and regret stay those of the truth (docs/theory.md, B: the drift is
    multiplied by true_positive − false_positive).

    Args:
        arms: a table with rewards 0 and 1.
        true_positive, false_positive: probabilities in [0, 1].

    Raises:
        InputError: a rate outside [0, 1], or arms whose rewards are not 0 and 1.

    Example:
        >>> from bandit_rft import arms
        >>> arms.Noisy(arms.Needle(2, p0=0.1), true_positive=0.9, false_positive=0.05).best_mean
        1.0
    """

    true_positive: float = 1.0
    false_positive: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("true_positive", "false_positive"):
            arguments.between(name, getattr(self, name), 0.0, 1.0)
        if self.arms.sigma is not None:
            raise InputError("Noisy is for rewards of 0 and 1: wrap Bernoulli, Classes or Needle without sigma.")

    @property
    def can_pay(self) -> np.ndarray:
        truth = self.arms.can_pay
        return np.full(truth.shape, True) if self.false_positive > 0 else truth & (self.true_positive > 0)

    def pull(self, key: jax.Array, arms: Pulls) -> jax.Array:
        truth_key, verdict_key = jax.random.split(as_key(key))
        truth = self.arms.pull(truth_key, arms)
        accepted = jnp.where(truth > 0, self.true_positive, self.false_positive)
        return (jax.random.uniform(verdict_key, truth.shape, dtype=truth.dtype) < accepted).astype(truth.dtype)


@dataclass(frozen=True)
class Delayed(_Wrapped):
    """The learner hears of a reward `rounds` rounds after the pull; what it pulls meanwhile it pulls without.

    Args:
        arms: a table.
        rounds: delay ≥ 1.

    Raises:
        InputError: rounds below 1, or arms that are delayed already.

    The history's rewards stand at the round of their pull. A learner's clock (ln t in an index) counts rounds. A policy
    gradient is taken at the policy of the round in which the reward is heard.

    Example:
        >>> from bandit_rft import arms
        >>> arms.Delayed(arms.Bernoulli(means=[0.2, 0.8]), rounds=4).best_mean
        0.8
    """

    rounds: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "rounds", arguments.whole("rounds", self.rounds))
        if self.arms.delay:
            raise InputError("Delayed wraps arms that are delayed already: give the sum of both delays once.")

    @property
    def delay(self) -> int:  # type: ignore[override]
        return self.rounds


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class DriftState:
    """Attributes: mean: float [C], class means now; key: of the next round's steps; inner: the wrapped arms' world;
    time: int32, rounds so far.
    """

    mean: jax.Array
    key: jax.Array
    inner: Any
    time: jax.Array


@dataclass(frozen=True)
class Drifting(_Wrapped):
    """Means that change with time: a reflected Gaussian random walk of each class, or sudden changes.

    Args:
        arms: a table with one row a class (no reservoir). The arms of a class move together; list arms singly
            (Bernoulli, Gaussian) for walks of their own.
        step: standard deviation of a round's step of the random walk, at least 0.
        low, high: finite; the walk is reflected at these. Where rewards are 0 and 1 and step is above 0, both lie in
            [0, 1].
        changes: rounds from 1 on (counted from 0) at whose start the means are permuted among the classes, at random.

    Each round is measured against the best mean of that round: the history's `best_mean` is an array.

    Raises:
        InputError: step negative, low or high not finite, a walk of 0/1 rewards' means that may leave [0, 1], means
            outside [low, high], a change before round 1 or after round 2^31 - 1, or a reservoir.

    Example:
        >>> from bandit_rft import arms
        >>> arms.Drifting(arms.Bernoulli(means=[0.2, 0.8]), step=0.01).jittable
        True
    """

    step: float = 0.0
    low: float = 0.0
    high: float = 1.0
    changes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        listed = self.changes if isinstance(self.changes, Sequence) else (self.changes,)
        object.__setattr__(
            self, "changes", tuple(arguments.whole("changes", change, most=2**31 - 1) for change in listed)
        )
        if self.arms.reservoir:
            raise InputError("Drifting wants one row a class, which a Reservoir has not: list the arms.")
        arguments.at_least("step", self.step, 0.0)
        low, high = arguments.finite("low", self.low), arguments.finite("high", self.high)
        if not high > low:
            raise InputError(f"high is {self.high} and low {self.low}: high must exceed low.")
        arguments.finite("twice high - low", 2 * (high - low))
        if self.step > 0 and self.arms.sigma is None and (low < 0 or high > 1):
            raise InputError(
                f"The walk of these means, of rewards 0 and 1, may leave [0, 1] (low is {low:g}, high {high:g}): give "
                "low and high that are probabilities."
            )
        if not self.arms.means_within(self.low, self.high):
            raise InputError(f"The means leave [{self.low:g}, {self.high:g}]: give low and high that hold them.")

    @property
    def moving(self) -> bool:  # type: ignore[override]
        return True

    @property
    def best_mean(self) -> None:
        return None

    @property
    def fixed_means(self) -> None:
        return None

    @property
    def average_mean(self) -> None:
        return None

    @property
    def can_pay(self) -> np.ndarray:
        return np.full(len(self.log_counts), True)

    def means_within(self, low: float, high: float) -> bool:
        if self.step > 0:
            return bool(low <= self.low and self.high <= high)
        return self.arms.means_within(low, high)

    def start(self, key: jax.Array) -> DriftState:
        inner_key, walk_key = jax.random.split(as_key(key))
        inner = self.arms.start(inner_key)
        mean = jnp.asarray(self.arms.class_means(inner), float)
        return DriftState(mean=mean, key=walk_key, inner=inner, time=jnp.zeros((), jnp.int32))

    def class_means(self, world: DriftState) -> jax.Array:
        return world.mean

    def best(self, world: DriftState) -> jax.Array:
        return jnp.max(world.mean)

    def advance(self, world: DriftState) -> DriftState:
        next_key, step_key, order_key = jax.random.split(world.key, 3)
        mean, time = world.mean, world.time + 1
        if self.step > 0:
            width = self.high - self.low
            moved = mean - self.low + self.step * jax.random.normal(step_key, mean.shape, mean.dtype)
            folded = jnp.mod(moved, 2 * width)
            mean = self.low + jnp.where(folded > width, 2 * width - folded, folded)
        if self.changes:
            permuted = jax.random.permutation(order_key, mean)
            mean = jnp.where(jnp.any(time == jnp.asarray(self.changes, jnp.int32)), permuted, mean)
        return dataclasses.replace(world, mean=mean, key=next_key, time=time)
