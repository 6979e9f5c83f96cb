"""What the index learners share: pull the arm of the largest index, ties uniform over arms.

An index learner starts from ignorance and ignores the base policy of the arm set; one pull per round. A subclass gives
the index; what an arm's rewards leave behind is `Counts` unless it says otherwise.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bandit_rft import own_code
from bandit_rft.arms.lumped_arms import LumpedArms
from bandit_rft.choice import at_the_top
from bandit_rft.contract import Learner
from bandit_rft.errors import InputError
from bandit_rft.learners.tabular import bind, require_table
from bandit_rft.learners.tabular_update import Lesson, State, Statistic, TabularUpdate
from bandit_rft.rows import Pulls, Rows


def whole_part(number: float) -> int:
    """The largest whole number that is not above, where a root or a power may be short of one by rounding."""
    return math.floor(number * (1 + 1e-12))


class Setting(NamedTuple):
    """What an index may know of the run besides its arms.

    Attributes:
        arms: K, the number of arms as a float (inf beyond 1e308). log_arms: ln K.
        rounds: T, the horizon: only for indices that are defined with it.
    """

    arms: float
    log_arms: float
    rounds: int


class Arm(NamedTuple):
    """One arm of each row; every array is [R].

    Attributes:
        pulls: float, number of pulls n. total: float, summed reward. mean: float, total / n, 0 for an untouched arm.
        extra: what the learner keeps beside.
    """

    pulls: jax.Array
    total: jax.Array
    mean: jax.Array
    extra: Statistic


@dataclass(frozen=True)
class IndexLearner(ABC):
    """Pulls the largest index. Subclasses define `index`, and may override the rest.

    Class attributes:
        extra_statistic: name -> value of an untouched arm, kept beside the counts.
        untouched_first: whether an arm never pulled is put before all others here (its index is then +∞).
        sweeps: whether an arm never pulled comes before all others, put there or by the index itself; of an index that
            is not put there it counts where the class that gives the index says it too.
        random: whether the index draws random numbers.
        delayable: as in `TabularUpdate`.
    """

    extra_statistic: ClassVar[dict[str, float]] = {}
    untouched_first: ClassVar[bool] = True
    sweeps: ClassVar[bool] = True
    random: ClassVar[bool] = False
    delayable: ClassVar[bool] = True

    @abstractmethod
    def index(self, key: jax.Array, arm: Arm, time: jax.Array, rows: Rows, setting: Setting) -> Any:
        """float [R], the index of the best arm of each row.

        Args:
            key: to be consumed where `random`.
            arm: the statistics. Of an untouched row the result is ignored where `untouched_first`.
            time: float scalar, pulls so far, at least 1.
            rows: the rows themselves, for ln of the number of arms in each.
            setting: of the run.
        """

    def observe_extra(self, before: Arm, rewards: jax.Array) -> Statistic:
        """The extra statistics [G] of the pulled arms after a reward."""
        del before, rewards
        return {}

    def check(self, table: LumpedArms) -> None:  # noqa: B027 (most learners fit every table)
        """Raises InputError where the learner does not fit the table."""

    def subsample_size(self, setting: Setting) -> int | None:
        """Number of arms it confines itself to, or None for all."""
        del setting
        return None

    def bind(self, arms: object, *, rounds: int, row_capacity: int | None = None) -> Learner:
        """The learner on a table of arms. Raises InputError where `arms` is not one, or does not suit the learner."""
        name = type(self).__name__
        table = require_table(arms, name)
        if own_code.is_own(self):
            own_code.require_arguments(self.index, f"{name}.index", "key", "arm", "time", "rows", "setting")
            own_code.require_arguments(self.observe_extra, f"{name}.observe_extra", "before", "rewards")
            if kept := {"pulls", "total"} & set(self.extra_statistic):
                raise InputError(f"{name}.extra_statistic has {min(kept)}, which is kept anyway: give it another name.")
        self.check(table)
        return bind(arms, self.rule(table, rounds), name=name, rounds=rounds, row_capacity=row_capacity)

    def rule(self, table: LumpedArms, rounds: int, arms: int | None = None) -> TabularUpdate:
        """The rule on the rows of this table, or on a subsample of `arms` of them."""
        log_arms = table.log_arms if arms is None else math.log(arms)
        setting = Setting(arms=math.exp(log_arms) if log_arms < 709 else math.inf, log_arms=log_arms, rounds=rounds)

        own = own_code.is_own(self)
        index_of = self._own_index if own else self.index

        def weight(key: jax.Array, state: State) -> jax.Array:
            log_multiplicity = state.rows.log_multiplicity
            arm = _arm(state.statistic)
            time = jnp.maximum(state.time, 1).astype(arm.total.dtype)
            index = index_of(key, arm, time, state.rows, setting)
            if self.untouched_first:
                index = jnp.where(arm.pulls > 0, index, jnp.inf)
            if not state.rows.full:
                index = jnp.where(log_multiplicity > -jnp.inf, index, -jnp.inf)
            among = state.rows.multiplicity_among(at_the_top(index))
            # A NaN chooses no arm: weights of NaN are refused where the rounds are looked at. The package's own indices
            # have none, and are spared the look at every row.
            return jnp.where(jnp.any(jnp.isnan(index)), jnp.nan, among) if own else among

        def learn(state: State, pulls: Pulls, rewards: jax.Array) -> Lesson:
            del state, pulls

            def observe(before: Statistic) -> Statistic:
                arm = _arm(before)
                after = {"pulls": arm.pulls + 1, "total": arm.total + rewards}
                return after | (self._own_extra(arm, rewards) if own else self.observe_extra(arm, rewards))

            return Lesson(observe=observe)

        return TabularUpdate(
            weight=weight,
            learn=learn,
            initial={"pulls": 0.0, "total": 0.0, **self.extra_statistic},
            random=self.random,
            value_known=not self.random,
            subsample=self.subsample_size(setting),
            sweeps=self._sweeps(),
            delayable=self.delayable,
        )

    def _sweeps(self) -> bool:
        """Whether an arm never pulled comes before all others, as said of the index that is used, not one inherited."""
        places = {
            name: next(place for place, kind in enumerate(type(self).__mro__) if name in vars(kind))
            for name in ("index", "sweeps")
        }
        return self.sweeps and (self.untouched_first or places["sweeps"] <= places["index"])

    def _own_index(self, key: jax.Array, arm: Arm, time: jax.Array, rows: Rows, setting: Setting) -> jax.Array:
        """`index` of a user's own class. Raises InputError where it is not a number for each row."""
        name, wanted = f"{type(self).__name__}.index", arm.pulls.shape
        with own_code.same_each_round(name, self):
            given = self.index(key, arm, time, rows, setting)
        found = own_code.real_array(name, given, wanted, "the index of an arm of each row, as arm.mean has its mean")
        if not self.random and own_code.uses(lambda key: self.index(key, arm, time, rows, setting), key):
            raise InputError(
                f"{name} uses its key, which the draw among ties uses too: say random = True in the class, so that it "
                "is given a key of its own."
            )
        return found

    def _own_extra(self, before: Arm, rewards: jax.Array) -> Statistic:
        """`observe_extra` of a user's own class. Raises InputError for other names than `extra_statistic` has, or other
        shapes than the rewards'.
        """
        name = f"{type(self).__name__}.observe_extra"
        with own_code.same_each_round(name, self):
            given = self.observe_extra(before, rewards)
        if not isinstance(given, dict) or set(given) - set(self.extra_statistic):
            said = ", ".join(map(str, given)) if isinstance(given, dict) else type(given).__name__
            known = ", ".join(self.extra_statistic) or "none"
            raise InputError(
                f"{name} returned {said or 'nothing'}: return a dict of what extra_statistic names ({known})."
            )
        each = "a number for each reward"
        return {
            label: jnp.broadcast_to(value, rewards.shape)
            if np.shape(value) == ()
            else own_code.real_array(f"{name}, {label},", value, rewards.shape, each)
            for label, value in given.items()
        }


@dataclass(frozen=True)
class RootIndexLearner(IndexLearner):
    """An index mean + c(t) / sqrt(n): both terms are kept, so that a round costs a multiplication an arm. An arm never
    pulled has an average beyond all others.
    """

    extra_statistic: ClassVar[dict[str, float]] = {"average": math.inf, "width": 0.0}
    untouched_first: ClassVar[bool] = False
    sweeps: ClassVar[bool] = True

    @abstractmethod
    def scale(self, time: jax.Array) -> jax.Array:
        """float scalar, c(t)."""

    def index(self, key: jax.Array, arm: Arm, time: jax.Array, rows: Rows, setting: Setting) -> jax.Array:
        return arm.extra["average"] + self.scale(time) * arm.extra["width"]

    def observe_extra(self, before: Arm, rewards: jax.Array) -> Statistic:
        pulls = before.pulls + 1
        return {"average": (before.total + rewards) / pulls, "width": 1 / jnp.sqrt(pulls)}


def _arm(statistic: Statistic) -> Arm:
    pulls, total = statistic["pulls"], statistic["total"]
    extra = {name: values for name, values in statistic.items() if name not in ("pulls", "total")}
    # The mean is always total / n, never an average updated in place: arms of equal statistics must tie exactly.
    return Arm(pulls=pulls, total=total, mean=total / jnp.maximum(pulls, 1), extra=extra)


def require_unit_rewards(table: LumpedArms, learner: str) -> None:
    """Refuse rewards that can leave [0, 1]."""
    if table.sigma is not None and (table.sigma > 0 or not table.means_within(0.0, 1.0)):
        raise InputError(
            f"{learner} is for rewards in [0, 1], which {type(table).__name__} can leave: choose another learner."
        )
