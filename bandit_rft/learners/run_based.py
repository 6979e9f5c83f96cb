"""Strategies for infinitely many arms that judge an arm by its runs of successes; rewards 0 and 1.

One failure, best run: Berry, Chen, Zame, Heath, Shepp 1997. Two targets: Bonald & Proutière 2013, algorithm 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp

from bandit_rft import arguments
from bandit_rft.arms.lumped_arms import LumpedArms
from bandit_rft.learners.index import Arm, IndexLearner, Setting, require_unit_rewards, whole_part
from bandit_rft.learners.tabular_update import Statistic
from bandit_rft.rows import Rows

# Where an index only ranks: a fresh arm between an arm that is being tried and one that was given up.
GIVEN_UP, FRESH, TRIED, KEPT = 0.0, 1.0, 2.0, 3.0


@dataclass(frozen=True)
class OneFailure(IndexLearner):
    """Pull an arm until its first failure, then a fresh one; never return while a fresh arm is left.

    With a finite number of arms and none fresh, the arms given up are pulled uniformly at random.

    Example:
        >>> from bandit_rft import arms, learners, run
        >>> table = arms.Bernoulli(means=[0.2, 0.8])
        >>> run(table, learners.OneFailure(), rounds=20, seeds=2, key=0).rewards.shape
        (2, 20, 1)
    """

    untouched_first: ClassVar[bool] = False
    sweeps: ClassVar[bool] = False

    def check(self, table: LumpedArms) -> None:
        require_unit_rewards(table, "OneFailure")

    def index(self, key: jax.Array, arm: Arm, time: jax.Array, rows: Rows, setting: Setting) -> jax.Array:
        spotless = jnp.where(arm.total >= arm.pulls, TRIED, GIVEN_UP)
        return jnp.where(arm.pulls > 0, spotless, FRESH)


@dataclass(frozen=True)
class _Runs(IndexLearner):
    """Keeps each arm's successes before its first failure."""

    delayable: ClassVar[bool] = False
    extra_statistic: ClassVar[dict[str, float]] = {"run": 0.0}
    untouched_first: ClassVar[bool] = False
    sweeps: ClassVar[bool] = False

    def check(self, table: LumpedArms) -> None:
        require_unit_rewards(table, type(self).__name__)

    def observe_extra(self, before: Arm, rewards: jax.Array) -> Statistic:
        return {"run": before.extra["run"] + jnp.where(before.total >= before.pulls, rewards, 0.0)}


@dataclass(frozen=True)
class BestRun(_Runs):
    """The sqrt(T)-run strategy: as `OneFailure`, until an arm succeeds m times running, or m arms have failed; then the
    arm of the longest first run for the rest, ties broken once.

    Args:
        run_length: m ≥ 1, or None for sqrt(T), rounded down.

    Raises:
        InputError: run_length below 1.

    Example:
        >>> from bandit_rft import arms, learners, run
        >>> table = arms.Bernoulli(means=[0.2, 0.8])
        >>> run(table, learners.BestRun(), rounds=20, seeds=2, key=0).rewards.shape
        (2, 20, 1)
    """

    run_length: int | None = None

    def __post_init__(self) -> None:
        if self.run_length is not None:
            object.__setattr__(self, "run_length", arguments.whole("run_length", self.run_length))

    def index(self, key: jax.Array, arm: Arm, time: jax.Array, rows: Rows, setting: Setting) -> jax.Array:
        length = max(1, math.isqrt(setting.rounds)) if self.run_length is None else self.run_length
        inhabited = rows.log_multiplicity > -jnp.inf
        run, touched = arm.extra["run"], inhabited & (arm.pulls > 0)
        failed = touched & (arm.total < arm.pulls)
        fresh_left = jnp.any(inhabited & (arm.pulls == 0))
        done = (
            jnp.any(touched & (run >= length))
            | (jnp.sum(failed) >= length)
            | ~(fresh_left | jnp.any(touched & ~failed))
        )
        # Once an arm is kept it has pulls beyond its first run and failure: that is how a tie is broken once.
        returned = jnp.where(arm.pulls > run + 1, 0.5, 0.0)
        exploring = jnp.where(arm.pulls > 0, jnp.where(failed, GIVEN_UP, TRIED), FRESH)
        return jnp.where(done, jnp.where(touched, run + returned, -1.0), exploring)


@dataclass(frozen=True)
class TwoTarget(_Runs):
    """Two targets: an arm is given up at its first failure unless it had l1 successes before it, and at its m-th
    failure unless it had l2 in all; one that meets both is kept for ever.

        l1 = floor((T/2)^(1/3)),   l2 = floor(m sqrt(T/2)):   for means uniform on [0, 1]

    Args:
        failures: m ≥ 1.

    Raises:
        InputError: failures below 1.

    Example:
        >>> from bandit_rft import arms, learners, run
        >>> table = arms.Bernoulli(means=[0.2, 0.8])
        >>> run(table, learners.TwoTarget(), rounds=20, seeds=2, key=0).rewards.shape
        (2, 20, 1)
    """

    failures: int = 3

    def __post_init__(self) -> None:
        object.__setattr__(self, "failures", arguments.whole("failures", self.failures))

    def index(self, key: jax.Array, arm: Arm, time: jax.Array, rows: Rows, setting: Setting) -> jax.Array:
        first_target = whole_part((setting.rounds / 2) ** (1 / 3))
        second_target = whole_part(self.failures * math.sqrt(setting.rounds / 2))
        failed = arm.pulls - arm.total
        missed_first = (failed >= 1) & (arm.extra["run"] < first_target)
        # An arm that met the second target is pulled on: only what it had at its m-th failure counts, and successes
        # since then cannot matter, because an arm that missed it is never pulled again while a fresh one is left.
        missed_second = (failed >= self.failures) & (arm.total < second_target)
        kept = (failed >= self.failures) & (arm.total >= second_target) & ~missed_first
        rank = jnp.where(missed_first | missed_second, GIVEN_UP, jnp.where(kept, KEPT, TRIED))
        return jnp.where(arm.pulls > 0, rank, FRESH)
