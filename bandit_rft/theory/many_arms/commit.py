"""A fixed number of fresh arms under 0/1 rewards, then one of them for ever."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from bandit_rft import arguments
from bandit_rft.theory.catalogue import about, entry
from bandit_rft.theory.prediction import Curves, Prediction, rounds_shown

__all__ = ["CommitLaw", "explore_then_commit_regret"]


@dataclass(frozen=True, kw_only=True)
class CommitLaw:
    """N fresh pulls, then one arm for ever: a rewarded one if there was any.

    Attributes:
        p0: chance of a success while exploring.
        explore: N.
    """

    p0: float
    explore: int

    @property
    def failure(self) -> float:
        """P(no pull of the N was rewarded)."""
        return math.exp(self.explore * math.log1p(-self.p0))

    def sample(self, generator: np.random.Generator, seeds: int, at: np.ndarray) -> Curves:
        """`seeds` independent runs, recorded at the rounds `at`."""
        exploring = np.minimum(at + 1, self.explore)
        left = self.explore - int(exploring[-1])
        pulls = np.broadcast_to(np.diff(exploring, prepend=0), (seeds, at.size))
        found = np.cumsum(generator.binomial(pulls, self.p0), axis=1)
        good = (found[:, -1:] + generator.binomial(left, self.p0, size=(seeds, 1))) > 0
        committed = at + 1 - exploring
        return Curves(
            value=np.where(at < self.explore, self.p0, good),
            regret=(1.0 - self.p0) * exploring + ~good * committed,
            total_reward=found + good * committed,
        )

    def mean_hitting_time(self, level: float) -> float:
        """Infinite: a run may have committed to an arm that never pays (0 below p0)."""
        return 0.0 if level <= self.p0 else math.inf

    def hitting_time_quantile(self, level: float, q: float) -> float:
        """N where that share of the runs found a rewarded arm, else infinity."""
        if level <= self.p0:
            return 0.0
        return float(self.explore) if 1.0 - self.failure >= q else math.inf

    def value_quantile(self, q: float, at: np.ndarray) -> np.ndarray:
        """p0, then 0 or 1."""
        return np.where(at < self.explore, self.p0, 0.0 if self.failure >= q else 1.0)

    def value_given_rewards(self, rewards: np.ndarray) -> np.ndarray:
        """p0, then whether one of the first N pulls was rewarded."""
        good = rewards[:, : self.explore].max(axis=(1, 2), keepdims=True)[..., 0] > 0
        return np.where(np.arange(rewards.shape[1]) < self.explore, self.p0, good)


@entry(
    formula=r"R_T = (1-p_0)\min(T, N) + (T-N)^+(1-p_0)^N",
    assumptions=(
        "Deterministic 0/1 rewards; N fresh arms are pulled once each, then the best of them for ever, although none "
        "of them may have been rewarded.",
        "Fresh arms are drawn with replacement, or K is much larger than N squared.",
    ),
    source="derived here (docs/derivations.md)",
    units={
        "p0": "share of optimal arms, in (0, 1)",
        "rounds": "horizon T, rounds of one pull",
        "explore": "N, fresh arms tried before one is committed to",
    },
    section="E3",
    kind="prediction",
    derivation="`explore_then_commit_regret`",
)
def explore_then_commit_regret(p0: float, rounds: int, explore: int) -> Prediction:
    """Try N fresh arms once each, then commit: linear regret at the rate of having found nothing.

    Returns:
        Exact curves with their spread, and the law of a run.

    Raises:
        InputError: p0 outside (0, 1), rounds or explore < 1.

    Example:
        >>> from bandit_rft import theory
        >>> round(float(theory.explore_then_commit_regret(p0=0.05, rounds=400, explore=20).regret[-1]), 2)
        155.22
    """
    p0, rounds = arguments.fraction("p0", p0), arguments.whole("rounds", rounds)
    law = CommitLaw(p0=p0, explore=arguments.whole("explore", explore))
    shown = rounds_shown(rounds)
    exploring = np.minimum(shown + 1, law.explore)
    committed = (shown + 1 - exploring).astype(np.float64)
    success = -math.expm1(law.explore * math.log1p(-p0))
    late, spread = shown >= law.explore, math.sqrt(success * law.failure)
    return Prediction(
        **about("explore_then_commit_regret"),
        value=np.where(late, success, p0),
        regret=(1.0 - p0) * exploring + law.failure * committed,
        value_sd=np.where(late, spread, 0.0),
        regret_sd=spread * committed,
        value_jump=np.where(late, success**2 + law.failure**2, 0.0),
        at=None if shown.size == rounds else shown,
        parameters={"p0": p0, "rounds": rounds, "explore": law.explore},
        law=law,
    )
