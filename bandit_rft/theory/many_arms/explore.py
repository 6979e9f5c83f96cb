"""Explore until the first success, then stay: the benchmark to beat when there are more arms than rounds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from bandit_rft import arguments
from bandit_rft.errors import InputError
from bandit_rft.theory.catalogue import about, entry
from bandit_rft.theory.checks import check_log_arms, log_count
from bandit_rft.theory.prediction import Curves, Prediction, rounds_shown

__all__ = ["ExploreLaw", "explore_until_success"]

_MOST_ROUNDS = 10_000_000


class Survival(NamedTuple):
    """Float64 [rounds] each: P(no success before round t), its complement, value while exploring, and 1 less that."""

    none: np.ndarray
    some: np.ndarray
    share: np.ndarray
    gap: np.ndarray


@dataclass(frozen=True, kw_only=True)
class ExploreLaw:
    """Before the first success each round's pulls are fresh draws; after it the value is 1.

    Attributes:
        p0: m/K, the share of optimal arms.
        inverse_arms: 1/K when arms are never drawn twice, 0 with replacement.
        rollouts: pulls a round.
    """

    p0: float
    inverse_arms: float
    rollouts: int = 1

    def survival(self, rounds: int) -> Survival:
        """The four curves of `Survival` for rounds 0 .. rounds-1."""
        # Without replacement m/(K - t) = p0/(1 - t/K): no K is needed, only 1/K, which is 0 with replacement.
        left = 1.0 - np.arange(rounds, dtype=np.float64) * self.inverse_arms
        # Half an arm's slack: 1/K is rounded, and the last exploring pull leaves exactly zero wrong arms.
        exploring = left - self.p0 > 0.5 * self.inverse_arms
        left = np.where(exploring, left, self.p0)
        share = np.where(exploring, self.p0 / left, 1.0)
        gap = np.where(exploring, (left - self.p0) / left, 0.0)
        with np.errstate(divide="ignore"):
            # Each form is accurate where its argument is the small one of share and gap.
            log_failure = np.where(share < 0.5, np.log1p(-np.minimum(share, 0.5)), np.log(gap))
        log_none = np.concatenate([[0.0], np.cumsum(self.rollouts * log_failure[:-1])])
        return Survival(none=np.exp(log_none), some=-np.expm1(log_none), share=share, gap=gap)

    def mean_hitting_time(self, level: float) -> float:
        """Sum over t of P(value below the level still at round t)."""
        if level <= self.p0:
            return 0.0
        if not self.inverse_arms:
            return -1.0 / math.expm1(self.rollouts * math.log1p(-self.p0))
        survival = self.survival(self._horizon(level))
        return float(np.sum(survival.none[survival.share < level]))

    def hitting_time_quantile(self, level: float, q: float) -> float:
        """The first round at which the value has reached the level with probability q."""
        if level <= self.p0:
            return 0.0
        if not self.inverse_arms:
            return float(max(1, math.ceil(math.log1p(-q) / (self.rollouts * math.log1p(-self.p0)) - 1e-12)))
        survival = self.survival(self._horizon(level))
        return float(np.argmax((survival.some >= q) | (survival.share >= level)))

    def _horizon(self, level: float) -> int:
        """Rounds after which the value has surely reached the level, without replacement."""
        last = (1.0 - self.p0 / level) / self.inverse_arms + 2.0
        likely = 45.0 / self.p0 + 2.0
        if min(last, likely) > _MOST_ROUNDS:
            raise InputError(
                "The hitting time without replacement is summed over up to 1e7 rounds, and this one needs more: use "
                "replacement=True, whose law is the same up to a share pulls/K."
            )
        return int(min(last, likely))

    def sample(self, generator: np.random.Generator, seeds: int, at: np.ndarray) -> Curves:
        """`seeds` independent runs, recorded at the rounds `at`."""
        rounds = int(at[-1]) + 1
        none, _, share, gap = self.survival(rounds + 1)
        loss = np.concatenate([[0.0], np.cumsum(self.rollouts * gap)])
        # First success round by inversion: it is at most t with probability 1 - none[t + 1].
        uniform = generator.random(seeds)
        first = np.searchsorted(-none, -uniform, side="left") - 1
        exploring = at[None, :] <= first[:, None]
        spent = np.minimum(first[:, None], at[None, :]) + 1
        # Exploring rounds before the first success earn 0; in that round at least one of the rollouts is rewarded.
        earned = np.maximum(at[None, :] - first[:, None], 0).astype(np.float64)
        if self.rollouts == 1:
            earned += first[:, None] <= at[None, :]
        else:
            lucky = self._rewarded(generator, seeds) / self.rollouts
            earned += np.where(first[:, None] <= at[None, :], lucky[:, None], 0.0)
        return Curves(value=np.where(exploring, share[at], 1.0), regret=loss[spent], total_reward=earned)

    def _rewarded(self, generator: np.random.Generator, seeds: int) -> np.ndarray:
        """Rewarded rollouts in the round of the first success: Binomial(G, p0) given at least one."""
        # The first rewarded rollout's place is a truncated Geometric; those after it are free.
        some = -math.expm1(self.rollouts * math.log1p(-self.p0))
        place = np.floor(np.log1p(-some * generator.random(seeds)) / math.log1p(-self.p0)).astype(np.int64)
        return 1.0 + generator.binomial(np.maximum(self.rollouts - 1 - place, 0), self.p0)

    def value_quantile(self, q: float, at: np.ndarray) -> np.ndarray:
        """1 where a success came with probability above 1 - q, else the share of optimal arms left."""
        survival = self.survival(int(at[-1]) + 1)
        return np.where(survival.none[at] >= q, survival.share[at], 1.0)

    def value_given_rewards(self, rewards: np.ndarray) -> np.ndarray | None:
        """1 after a success, p0 (without replacement m/(K - t)) before."""
        success = rewards.max(axis=2) > 0
        found = np.concatenate(
            [np.zeros_like(success[:, :1]), np.logical_or.accumulate(success, axis=1)[:, :-1]], axis=1
        )
        return np.where(found, 1.0, self.survival(rewards.shape[1]).share)


@entry(
    formula=r"R_T = (1-p_0)\,(1-(1-p_0)^T)/p_0 \text{ with replacement};\quad "
    r"R_T = \sum_{t\le T}\binom{K-m}{t}\Big/\binom{K}{t} \to \frac{K-m}{m+1} \text{ without}",
    assumptions=(
        "Deterministic 0/1 rewards: one success identifies an optimal arm.",
        "Arms are drawn uniformly (or from a base policy whose mass on optimal arms is p0, with replacement).",
        "The rollouts of a round are drawn before any of their rewards is seen.",
        "Without replacement: one rollout a round.",
    ),
    source="derived here (docs/derivations.md)",
    units={
        "p0": "share of optimal arms m/K, in (0, 1); None: from optimal and log_arms",
        "rounds": "horizon T, rounds",
        "replacement": "whether an arm may be drawn again while exploring",
        "log_arms": "ln K; needed without replacement",
        "optimal": "m, number of optimal arms, an integer of any size",
        "rollouts": "G, pulls a round",
    },
    section="E1",
    kind="prediction",
    derivation="`explore_until_success`",
)
def explore_until_success(
    p0: float | None = None,
    rounds: int = 1,
    replacement: bool = True,
    log_arms: float | None = None,
    optimal: int | None = None,
    rollouts: int = 1,
) -> Prediction:
    """Draw fresh arms until one is rewarded, then pull it for ever.

    Stable for any K: only m/K and 1/K enter. K below 1e12 is rounded to a whole number.

    Raises:
        InputError: an argument out of range, p0 at odds with optimal and log_arms, or too little to know p0 from.

    Example:
        >>> from bandit_rft import theory
        >>> round(float(theory.explore_until_success(p0=0.05, rounds=400).regret[-1]), 2)
        19.0
    """
    rounds, rollouts = arguments.whole("rounds", rounds), arguments.whole("rollouts", rollouts)
    replacement = arguments.flag("replacement", replacement)
    if not replacement and rollouts != 1:
        raise InputError("explore_until_success without replacement pulls one arm a round: set rollouts=1.")
    if not replacement and log_arms is None:
        raise InputError("explore_until_success without replacement needs log_arms (ln K).")
    share = _share(p0, log_arms, optimal)
    inverse_arms = 0.0
    if not replacement and log_arms is not None:
        _check_number(share, _arms(log_arms))
        inverse_arms = 1.0 / _arms(log_arms)
    law = ExploreLaw(p0=share, inverse_arms=inverse_arms, rollouts=rollouts)
    parameters = {
        "p0": share,
        "rounds": rounds,
        "replacement": replacement,
        "log_arms": log_arms,
        "optimal": optimal,
        "rollouts": rollouts,
    }
    if rounds > _MOST_ROUNDS:
        return _long(law, rounds, parameters)
    none, some, share_now, gap = law.survival(rounds)
    loss = rollouts * gap
    # Cov(1{none before s}, 1{none before u}) = P_u (1 - P_s) for s <= u: the variance is a sum without cancellation.
    earlier = np.concatenate([[0.0], np.cumsum(loss * some)[:-1]])
    regret_var = np.cumsum(loss**2 * none * some + 2.0 * loss * none * earlier)
    return Prediction(
        **about("explore_until_success"),
        value=some + share_now * none,
        regret=np.cumsum(loss * none),
        value_sd=gap * np.sqrt(none * some),
        regret_sd=np.sqrt(regret_var),
        value_jump=gap * (none**2 + some**2),
        parameters=parameters,
        law=law,
    )


def _long(law: ExploreLaw, rounds: int, parameters: dict[str, Any]) -> Prediction:
    """With replacement the curves have a closed form, shown at some of the rounds; the regret's spread is left out."""
    if law.inverse_arms:
        raise InputError(
            f"rounds is {rounds}: without replacement the law steps through every round, {_MOST_ROUNDS:,} at most; use "
            "replacement=True, whose law is the same up to a share pulls/K."
        )
    at = rounds_shown(rounds)
    log_failure = law.rollouts * math.log1p(-law.p0)
    none = np.exp(log_failure * at)
    gap = 1.0 - law.p0
    return Prediction(
        **about("explore_until_success"),
        at=at,
        value=-np.expm1(log_failure * at) + law.p0 * none,
        regret=law.rollouts * gap * np.expm1(log_failure * (at + 1.0)) / math.expm1(log_failure),
        value_sd=gap * np.sqrt(none * -np.expm1(log_failure * at)),
        parameters=parameters,
        law=law,
    )


def _check_number(share: float, arms: float) -> None:
    """Raises InputError for a share of the arms that is no whole number of them, where floats can tell: with 3 arms p0
    = .05 is none.
    """
    optimal = share * arms
    if arms < 1e12 and abs(optimal - round(optimal)) > 1e-6 * optimal:
        raise InputError(
            f"p0 = {share:g} of {arms:.0f} arms are {optimal:.6g} optimal ones: give a whole number, as optimal."
        )


def _arms(log_arms: float) -> float:
    """K, a whole number where floats can tell, infinite above e^709."""
    arms = math.exp(log_arms) if log_arms < 709.0 else math.inf
    return float(round(arms)) if arms < 1e12 else arms


def _share(p0: float | None, log_arms: float | None, optimal: int | None) -> float:
    if optimal is None:
        if p0 is None:
            raise InputError("explore_until_success needs p0, or optimal and log_arms.")
        return arguments.fraction("p0", p0)
    optimal = arguments.whole("optimal", optimal, most=None)
    if log_arms is None:
        raise InputError("explore_until_success needs log_arms (ln K) beside optimal.")
    log_arms = check_log_arms(log_arms, optimal)
    arms = _arms(log_arms)
    share = optimal / arms if math.isfinite(arms) else math.exp(log_count(optimal) - log_arms)
    if share == 0.0:
        raise InputError(
            f"optimal/K = exp({log_count(optimal) - log_arms:.6g}) is too small for a float: "
            "no success will ever be seen; give a larger optimal."
        )
    if p0 is not None and not math.isclose(p0, share, rel_tol=1e-6):
        raise InputError(f"p0 = {p0!r} is at odds with optimal/K = {share:.6g}: give one of the two.")
    return arguments.fraction("optimal/K", share)
