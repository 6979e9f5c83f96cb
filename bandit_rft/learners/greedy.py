"""Greedy: the arm of the largest mean so far (Bayati, Hamidi, Johari, Khosravi 2020, arXiv 2002.10121, algorithm 2).

index(a) = total(a)/n(a),   initial_value for an arm never pulled;   pull the largest, ties uniform over arms
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from bandit_rft import arguments
from bandit_rft.arms.lumped_arms import LumpedArms
from bandit_rft.errors import InputError
from bandit_rft.learners.index import Arm, IndexLearner, Setting
from bandit_rft.learners.tabular_update import TabularUpdate
from bandit_rft.rows import Rows


@dataclass(frozen=True)
class Greedy(IndexLearner):
    """Greedy on a table; starts from ignorance and ignores the arm set's base policy. One pull per round.

    Args:
        initial_value: what an arm is taken to be worth before its first pull. Infinity, the default and the paper's,
            pulls every arm once first; with 0 and rewards of 0 and 1 it explores until the first success and then
            never leaves an arm whose mean is positive.

    Raises:
        InputError: initial_value is NaN or no number.

    Example:
        >>> from bandit_rft import arms, learners, run
        >>> table = arms.Bernoulli(means=[0.2, 0.8])
        >>> run(table, learners.Greedy(), rounds=20, seeds=2, key=0).rewards.shape
        (2, 20, 1)
    """

    initial_value: float = math.inf
    untouched_first = False

    def __post_init__(self) -> None:
        if math.isnan(arguments.number("initial_value", self.initial_value)):
            raise InputError("initial_value is NaN: give a number, or infinity to pull every arm once first.")

    def index(self, key: jax.Array, arm: Arm, time: jax.Array, rows: Rows, setting: Setting) -> jax.Array:
        return jnp.where(arm.pulls > 0, arm.mean, self.initial_value)

    def rule(self, table: LumpedArms, rounds: int, arms: int | None = None) -> TabularUpdate:
        return super().rule(table, rounds, arms)._replace(sweeps=self.initial_value == math.inf)
