"""An index learner confined to a uniform subsample of the arms (Bayati et al. 2020, arXiv 2002.10121, algorithms 3, 4).

An arm not touched yet is a uniform draw from those that are left. So a subsample of m arms is exactly: at most m arms
are ever touched, each drawn when it is first pulled.
"""

from __future__ import annotations

from dataclasses import dataclass

from bandit_rft import arguments
from bandit_rft.arms.lumped_arms import LumpedArms
from bandit_rft.contract import Learner
from bandit_rft.errors import InputError
from bandit_rft.learners import tabular
from bandit_rft.learners.index import IndexLearner


@dataclass(frozen=True)
class Subsampled:
    """`learner` on `size` arms drawn uniformly without replacement before the first round, anew for each seed.

    Args:
        learner: an index learner (UCB, Thompson, greedy, …).
        size: number of arms, at least 1 and at most K. A learner that takes a number of arms itself (UCB-F) takes it of
            these: the smaller of the two.

    Raises:
        InputError: size below 1 or above the number of arms, or a learner that is no index learner.

    Example:
        >>> from bandit_rft import arms, learners, run
        >>> table = arms.Bernoulli(means=[0.2, 0.8])
        >>> run(table, learners.Subsampled(learners.UCB1(), size=2), rounds=20, seeds=2, key=0).rewards.shape
        (2, 20, 1)
    """

    learner: IndexLearner
    size: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", arguments.whole("size", self.size))
        if not isinstance(self.learner, IndexLearner):
            raise InputError(f"Subsampled is for index learners (UCB1, Greedy, ThompsonBeta …), not {self.learner!r}.")

    def bind(self, arms: object, *, rounds: int, row_capacity: int | None = None) -> Learner:
        """The learner on a table of arms. Raises InputError where `arms` is no table or has fewer than `size` arms."""
        name = f"Subsampled({type(self.learner).__name__})"
        table: LumpedArms = tabular.require_table(arms, name)
        self.learner.check(table)
        tabular.require_subsample(table, self.size, name)
        rule = self.learner.rule(table, rounds, arms=self.size)
        own = self.size if rule.subsample is None else min(rule.subsample, self.size)
        return tabular.bind(arms, rule._replace(subsample=own), name=name, rounds=rounds, row_capacity=row_capacity)
