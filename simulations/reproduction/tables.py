"""The simulation tier: settings on tables of arms, 10^100 or 200, and on log-linear token policies, in seconds."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import logsumexp

from bandit_rft import arms, learners, policies, run, summarize, verifiers
from bandit_rft.errors import InputError
from bandit_rft.experiments import Outcome, Setting, Unit

TABLE, TOKENS, SMALL_TABLE = "table", "token policy", "200 arms"
SMALL_ARMS, SMALL_CORRECT = 200, 20  # of the small table
KEY = 301
P0 = {"0.25": 0.25, "0.1": 0.1, "0.05": 0.05, "0.02": 0.02, "0.01": 0.01, "0.002": 0.002}
# Times the tier's rounds, where a policy takes longer.
LONGER = {"0.002": 4}
LONGER_SMALL_TABLE = 5


@dataclass(frozen=True)
class SimulationTier:
    """Needles among 10^100 arms, and sequences of four tokens of 1,000 whose positions share one softmax; where a
    setting asks for it, 20 correct among 200 arms.

    Every seed is a unit of its own; there are no test questions, and no AdamW.
    """

    seeds: int = 256
    rounds: int = 400
    name: str = "simulation"
    key: int = KEY
    version: int = 1

    @property
    def levels(self) -> Mapping[str, tuple[Mapping[str, Any], ...]]:
        """Steps are in units of 1/kappa."""
        return {
            "world": ({"model": TABLE}, {"model": TOKENS}),
            "optimiser": ({"optimizer": "sgd", "step": 0.2}, {"optimizer": "sgd", "step": 0.7}),
            "difficulty": ({"p0": "0.25"}, {"p0": "0.05"}, {"p0": "0.01"}),
        }

    def with_seeds(self, seeds: int) -> SimulationTier:
        """The same with so many seeds in each run."""
        return dataclasses.replace(self, seeds=seeds)

    def held_out(self, *, key: int | None = None, first: int | None = None) -> SimulationTier:
        """The same with another key; its name says so, and with it the digest of every run. Raises InputError for
        questions, which it has not."""
        if first is not None:
            raise InputError("--first is of training questions, which --tier simulation has not: leave it out.")
        return self if key is None else dataclasses.replace(self, name=f"{self.name}-key-{key}", key=key)

    def seeds_of(self, setting: Setting) -> int:
        """As many everywhere."""
        del setting
        return self.seeds

    def planned(self, setting: Setting) -> int:
        """How many units a setting has: one, or none where the learner of its world lacks what it asks for.

        Raises:
            InputError: settings of the learner that no world's has.
        """
        _learner(setting, setting.step)
        plain = setting.score_window is None and not setting.extra_rollouts
        return int(setting.optimizer == "sgd" and setting.pool == 1 and (plain or setting.model != TOKENS))

    def units(self, setting: Setting, folder: Path) -> Sequence[Unit]:
        """One: seeds differ, the instance does not."""
        del folder
        return (Unit(setting.model or TABLE),) if self.planned(setting) else ()

    def run(self, setting: Setting, unit: Unit, folder: Path) -> Outcome:
        """In this process; nothing is kept but the outcome."""
        del folder
        p0 = P0.get(setting.p0)
        if p0 is None:
            raise InputError(f"p0 is {setting.p0!r}: the simulation tier has {', '.join(P0)}.")
        if unit.name == TOKENS:
            made: Any = arms.TokenSequences(1000, 4, verifiers.Needle((7, 7, 7, 7)), policy=policies.LogLinear(), p0=p0)
        elif unit.name == SMALL_TABLE:
            made = arms.Needle(log10_arms=math.log10(SMALL_ARMS), optimal=SMALL_CORRECT, p0=p0)
        else:
            made = arms.Needle(log10_arms=100, p0=p0)
        summary = summarize(made)
        learner = learners.SoftmaxPolicyGradient(**_learner(setting, setting.step / summary.kappa))
        history = run(made, learner, self.rounds_of(setting), seeds=self.seeds, key=self.key)
        empty = np.zeros(0, np.int64)
        return Outcome(
            train=history.value,
            evaluated=empty,
            test=np.zeros((self.seeds, 0)),
            p0=p0,
            pulls=setting.pulls,
            correct_arms=None if unit.name == TOKENS else effective_correct(history.final_state),
        )

    def rounds_of(self, setting: Setting) -> int:
        """The tier's, or more of them where little is right at first, or many arms are."""
        longer = LONGER.get(setting.p0, 1)
        if setting.model == SMALL_TABLE and setting.rollouts == 1:  # of groups only the first rounds are compared
            longer = LONGER_SMALL_TABLE
        return self.rounds * longer

    def seconds(self, setting: Setting) -> float:
        """About a hundredth of a second for a round of 256 seeds."""
        return 2 + 0.01 * self.rounds_of(setting) * (self.seeds / 256) * (1 + setting.pulls / 8)

    def scan_seconds(self) -> float:
        """Nothing has to be chosen."""
        return 0.0


def effective_correct(state: Any) -> np.ndarray:
    """float64 [S], 1 / sum of squared shares of the correct arms among themselves, of a softmax on a table.

    Args:
        state: final state of all seeds, `tabular_update.State` with a leading axis; class 0 is the correct one.
    """
    logit = np.asarray(state.statistic["logit"], np.float64)
    log_arms = np.asarray(state.rows.log_multiplicity, np.float64)
    correct = np.asarray(state.rows.class_index) == 0
    log_arms = np.where(correct, log_arms, -np.inf)
    # In logarithms: a row may hold more arms than a float can count.
    top = np.where(np.isfinite(log_arms), logit, -np.inf).max(axis=-1, keepdims=True)
    above = np.where(np.isfinite(log_arms), logit - top, 0.0)
    total = np.asarray(logsumexp(log_arms + above, axis=-1))
    squares = np.asarray(logsumexp(log_arms + 2 * above, axis=-1))
    return np.exp(2 * total - squares)


def _learner(setting: Setting, step: float) -> dict[str, Any]:
    """What the run's learner is made with. Raises InputError for what `setting.learner` must not say."""
    decided = {
        "step_size": step,
        "signal": _signal(setting),
        "rollouts": setting.rollouts,
        "extra_rollouts": setting.extra_rollouts,
        "window": setting.score_window,
    }
    return setting.learner_of(learners.SoftmaxPolicyGradient, decided, {})


def _signal(setting: Setting) -> str:
    """Negative rewards are the signal "signed"; a signal that is centred does not feel them."""
    if setting.reward_wrong == 0 or setting.signal != "raw":
        return setting.signal
    if setting.reward_wrong == -1:
        return "signed"
    raise InputError(f"reward_wrong is {setting.reward_wrong}: the simulation tier has 0 and -1.")
