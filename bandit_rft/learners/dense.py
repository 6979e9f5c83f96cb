"""Your own learner on a small table, from arrays: how often each arm was pulled, and what it has paid in all.

    class Optimist(learners.DenseLearner):
        def choose(self, key, counts, sums, time):
            return jnp.argmax(sums / jnp.maximum(counts, 1) + jnp.where(counts > 0, 1 / jnp.sqrt(counts), jnp.inf))

It keeps one number for each arm, so that a table may have 10^4 of them at most; the index learners (`learners.index`)
run on any number.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bandit_rft import arguments, own_code
from bandit_rft.contract import Info, Learner
from bandit_rft.errors import InputError
from bandit_rft.keys import as_key
from bandit_rft.learners.tabular import require_table
from bandit_rft.rows import Pulls

MOST_ARMS = 10_000


class DenseState(NamedTuple):
    """Attributes: counts, sums: float [K], pulls and summed reward of each arm; world: of the arm set."""

    counts: jax.Array
    sums: jax.Array
    world: Any


class DenseLearner(ABC):
    """Pulls the arm that `choose` names; one pull per round. Subclass it; as a frozen dataclass if it has settings:
    runs of equal settings then share one compiled program, where an object of a plain class, which may have changed, is
    compiled in every run.
    """

    @abstractmethod
    def choose(self, key: jax.Array, counts: jax.Array, sums: jax.Array, time: jax.Array) -> Any:
        """The arm to pull: a whole number from 0 to K − 1, in the order of the table. It is compiled, so that only
        `jax.numpy` may be used.

        Args:
            key: of this round's random draws, such as `jax.random.uniform(key, counts.shape)`.
            counts: float [K], pulls of each arm so far.
            sums: float [K], what each arm has paid so far.
            time: float scalar, pulls so far, at least 1.
        """

    def bind(self, arms: object, *, rounds: int, row_capacity: int | None = None) -> Learner:
        """The learner on a table of arms.

        Raises:
            InputError: no table, more than 10^4 arms, late rewards, or a `choose` that gives no arm.
        """
        name = type(self).__name__
        table = require_table(arms, name)
        arguments.whole("rounds", rounds)
        own_code.require_arguments(self.choose, f"{name}.choose", "key", "counts", "sums", "time")
        if table.reservoir or table.log_arms > np.log(MOST_ARMS) + 1e-9:
            raise InputError(
                f"{name} keeps a number for each arm, at most {MOST_ARMS:,} of them: write it as an IndexLearner "
                "(bandit_rft.learners.index), which runs on any number."
            )
        if table.delay:
            raise InputError(f"{name} has to hear of a reward in the round of its pull: give it arms without delay.")
        count = np.rint(np.exp(np.asarray(table.log_counts))).astype(int)
        class_of = jnp.asarray(np.repeat(np.arange(count.size), count), jnp.int32)
        number = int(count.sum())

        def init(key: jax.Array) -> DenseState:
            nothing = jnp.zeros(number, float)
            return DenseState(counts=nothing, sums=nothing, world=table.start(as_key(key)))

        def act(key: jax.Array, state: DenseState) -> tuple[Pulls, Info]:
            time = jnp.maximum(jnp.sum(state.counts), 1.0)
            arm = self._arm(as_key(key), state, time, number)
            mean = jnp.asarray(table.class_means(state.world))[class_of[arm]]
            # JAX would take the last arm for one past the end: NaN is refused where rewards are checked.
            mean = jnp.where(arm >= 0, mean, jnp.nan)
            pulls = Pulls(
                row=arm[None], first=jnp.zeros(1, jnp.int32), class_index=class_of[arm][None], mean=mean[None]
            )
            return pulls, Info(value=None, best_mean=table.best(state.world))

        def update(state: DenseState, pulls: Pulls, rewards: jax.Array) -> DenseState:
            return DenseState(
                counts=state.counts.at[pulls.row].add(1.0),
                sums=state.sums.at[pulls.row].add(rewards),
                world=table.advance(state.world),
            )

        return Learner(init=init, act=act, update=update)

    def _arm(self, key: jax.Array, state: DenseState, time: jax.Array, number: int) -> jax.Array:
        """int32 scalar, −1 for an arm that there is not. Raises InputError where `choose` gives no one whole number."""
        name = f"{type(self).__name__}.choose"
        with own_code.same_each_round(name, self):
            given = self.choose(key, state.counts, state.sums, time)
        try:
            arm = jnp.asarray(given)
        except (TypeError, ValueError, OverflowError):
            arm = jnp.zeros((2,))
        if arm.size != 1 or not jnp.issubdtype(arm.dtype, jnp.integer):
            raise InputError(
                f"{name} returned {_said(given)}: return one whole number, the arm to pull, from 0 to {number - 1}."
            )
        arm = arm.reshape(())
        if arm.dtype.itemsize < 4:  # a type that may not hold K itself
            arm = arm.astype(jnp.int32)
        # Looked at before it is cast: 2^32 + 1 would be arm 1.
        return jnp.where((arm >= 0) & (arm < number), arm.astype(jnp.int32), jnp.int32(-1))


def _said(given: Any) -> str:
    shape, dtype = getattr(given, "shape", None), getattr(given, "dtype", None)
    return arguments.shown(given) if shape is None else f"an array of {dtype} of shape {shape}"
