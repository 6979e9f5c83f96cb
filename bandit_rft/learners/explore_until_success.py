"""Explore until the first success, then pull that arm for ever: the benchmark that every learner on K ≥ T arms must
beat.

    before a success: draw from the base policy, with or without replacement;   after it: the arm that succeeded
docs/theory.md, E. For deterministic 0/1 rewards its expected regret with replacement is (1 − p0)(1 − (1 − p0)^T)/p0. No
learner exploits a correct arm better than by never leaving it, or finds one sooner than by drawing without replacement.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from bandit_rft import arguments
from bandit_rft.contract import Learner
from bandit_rft.errors import InputError
from bandit_rft.learners import tabular
from bandit_rft.learners.tabular_update import Lesson, State, Statistic, TabularUpdate
from bandit_rft.rows import Pulls, relative_weight


@dataclass(frozen=True)
class ExploreUntilSuccess:
    """Sample the arm set's base policy (uniform where it has none) until a reward above 0; keep that arm.

    Args:
        replacement: True draws every arm afresh from the base policy; False never draws an arm twice (after the last
            one it starts over).
        rollouts: G, pulls per round; with several successes in a round the first is kept. Without replacement G must be
            1.

    Raises:
        InputError: rollouts below 1, or above 1 without replacement; replacement neither True nor False; on binding,
            delayed rewards without replacement.

    Example:
        >>> from bandit_rft import arms, learners, run
        >>> table = arms.Needle(log10_arms=2, p0=0.1)
        >>> run(table, learners.ExploreUntilSuccess(), rounds=20, seeds=2, key=0).rewards.shape
        (2, 20, 1)
    """

    replacement: bool = True
    rollouts: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "rollouts", arguments.whole("rollouts", self.rollouts))
        if not arguments.flag("replacement", self.replacement) and self.rollouts != 1:
            raise InputError("ExploreUntilSuccess without replacement pulls one arm a round: set rollouts=1.")

    def bind(self, arms: object, *, rounds: int, row_capacity: int | None = None) -> Learner:
        """The learner on a table of arms. Raises InputError where `arms` is not a table."""
        table = tabular.require_table(arms, "ExploreUntilSuccess")
        replacement = self.replacement

        def weight(key: jax.Array, state: State) -> jax.Array:
            del key
            log_multiplicity = state.rows.log_multiplicity
            kept, tried = state.statistic["kept"], state.statistic["tried"]
            mass = log_multiplicity + state.statistic["logit"]
            # Without replacement only the arms tried least often are drawn: after the last one of those to which the
            # base policy gives mass it starts over.
            least = jnp.min(jnp.where(mass > -jnp.inf, tried, jnp.inf))
            explore = jnp.where(tried == least, mass, -jnp.inf)
            return relative_weight(jnp.where(jnp.any(kept > 0), jnp.where(kept > 0, 0.0, -jnp.inf), explore))

        def learn(state: State, pulls: Pulls, rewards: jax.Array) -> Lesson:
            success = rewards > 0
            newly = jnp.any(success) & ~jnp.any(state.statistic["kept"] > 0)
            found = (pulls.first == pulls.first[jnp.argmax(success)]) & newly

            def observe(before: Statistic) -> Statistic:
                kept = jnp.where(found, 1.0, before["kept"])
                return {"kept": kept, "tried": before["tried"] if replacement else before["tried"] + 1}

            return Lesson(observe=observe, keep=found if replacement else None)

        rule = TabularUpdate(
            weight=weight,
            learn=learn,
            initial={"logit": tabular.base_logit(table), "kept": 0.0, "tried": 0.0},
            rollouts=self.rollouts,
            most_splits=1 if replacement else None,
            delayable=replacement,  # what it has drawn it knows by its rewards
        )
        return tabular.bind(arms, rule, name="ExploreUntilSuccess", rounds=rounds, row_capacity=row_capacity)
