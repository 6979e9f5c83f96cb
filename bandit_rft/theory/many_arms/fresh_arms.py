"""Fresh arms under 0/1 rewards: what constant exploration and batches cost."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from bandit_rft import arguments
from bandit_rft.errors import InputError
from bandit_rft.theory.catalogue import about, entry
from bandit_rft.theory.prediction import Curves, Prediction, rounds_shown

__all__ = [
    "TwoLevelLaw",
    "batch_explore_regret",
    "epsilon_greedy_regret",
    "simple_regret_fresh",
]


@dataclass(frozen=True, kw_only=True)
class TwoLevelLaw:
    """Pulls are fresh until a success is seen; what was pulled is seen at the end of its batch.

    Attributes:
        p0: value before, the chance of a success.
        after: value after.
        batch: pulls from one look to the next.
    """

    p0: float
    after: float
    batch: int = 1

    def none(self, at: np.ndarray) -> np.ndarray:
        """P(no success seen before pull t)."""
        return np.exp(self.batch * (at // self.batch) * math.log1p(-self.p0))

    def some(self, at: np.ndarray) -> np.ndarray:
        """P(a success was seen before pull t)."""
        return -np.expm1(self.batch * (at // self.batch) * math.log1p(-self.p0))

    def blind(self, at: np.ndarray) -> np.ndarray:
        """E[pulls up to and including t that were made before a success was seen]."""
        whole, rest = np.divmod(at + 1, self.batch)
        log_failure = self.batch * math.log1p(-self.p0)
        return self.batch * np.expm1(whole * log_failure) / math.expm1(log_failure) + rest * np.exp(whole * log_failure)

    def sample(self, generator: np.random.Generator, seeds: int, at: np.ndarray) -> Curves:
        """`seeds` independent runs, recorded at the pulls `at`."""
        wait = np.floor(np.log(generator.random(seeds)) / math.log1p(-self.p0))  # failures before the first success
        first = np.minimum(wait, 2.0**62).astype(np.int64)[:, None]
        seen = (first // self.batch + 1) * self.batch
        spent = np.minimum(seen, at + 1)
        # After the first success the batch goes on blindly, and what follows pays with probability `after`.
        lucky = generator.binomial(np.diff(np.clip(spent - first - 1, 0, None), axis=1, prepend=0), self.p0)
        kept = np.diff(at + 1 - spent, axis=1, prepend=0)
        later = kept if self.after == 1.0 else generator.binomial(kept, self.after)
        return Curves(
            value=np.where(at < seen, self.p0, self.after),
            regret=(1.0 - self.p0) * spent + (1.0 - self.after) * (at + 1 - spent),
            total_reward=(at >= first) + np.cumsum(lucky + later, axis=1),
        )

    def mean_hitting_time(self, level: float) -> float:
        """Infinite above the value after a success."""
        if level <= self.p0:
            return 0.0
        if level > self.after:
            return math.inf
        return -self.batch / math.expm1(self.batch * math.log1p(-self.p0))

    def hitting_time_quantile(self, level: float, q: float) -> float:
        """The first pull at which the value has reached the level with probability q."""
        if level <= self.p0:
            return 0.0
        if level > self.after:
            return math.inf
        batches = math.log1p(-q) / (self.batch * math.log1p(-self.p0))
        return float(self.batch * max(1, math.ceil(batches - 1e-12)))

    def value_quantile(self, q: float, at: np.ndarray) -> np.ndarray:
        """The value after a success where one was seen with probability above 1 - q."""
        return np.where(self.none(at) >= q, self.p0, self.after)

    def value_given_rewards(self, rewards: np.ndarray) -> np.ndarray:
        """p0 until a success was seen, `after` from then on."""
        success = np.logical_or.accumulate(rewards.max(axis=2) > 0, axis=1)
        before = np.concatenate([np.zeros_like(success[:, :1]), success[:, :-1]], axis=1)
        looked = np.arange(success.shape[1]) // self.batch * self.batch
        return np.where(before[:, looked], self.after, self.p0)

    def prediction(self, name: str, rounds: int, parameters: dict[str, object]) -> Prediction:
        """Its curves; the regret is that above 1 - after a pull."""
        shown = rounds_shown(rounds)
        every = shown.size == rounds
        none, some, blind = self.none(shown), self.some(shown), self.blind(shown)
        gap = self.after - self.p0
        spread = None
        if every:
            # Cov(1{none before s}, 1{none before u}) = P_u (1 - P_s) for s <= u: no cancellation.
            earlier = np.concatenate([[0.0], np.cumsum(some)[:-1]])
            spread = gap * np.sqrt(np.cumsum(none * some + 2.0 * none * earlier))
        return Prediction(
            **about(name),
            value=self.p0 + gap * some,
            regret=gap * blind,
            value_sd=gap * np.sqrt(none * some),
            regret_sd=spread,
            value_jump=gap * (none**2 + some**2),
            at=None if every else shown,
            parameters=parameters,
            law=self,
        )


@entry(
    formula=r"R_T = (1-p_0)\left[\epsilon T + (1-\epsilon)\,\frac{1-(1-p_0)^T}{p_0}\right],\quad "
    r"E[\mathrm{value}_t] = p_0 + (1-\epsilon)(1-p_0)\left(1-(1-p_0)^t\right)",
    assumptions=(
        "Deterministic 0/1 rewards; arms are drawn uniformly, p0 = m/K (the learner ignores a base policy).",
        "Constant epsilon; an arm never pulled is taken to be worth 0, like one that failed, so that ties are drawn "
        "from all arms, with replacement.",
        "With an initial value between 0 and 1 the same holds up to a share T/K: fresh arms are then preferred.",
    ),
    source="derived here (docs/derivations.md)",
    units={
        "p0": "share of optimal arms m/K, in (0, 1)",
        "rounds": "horizon T, rounds of one pull",
        "epsilon": "share of rounds that explore, 0 to 1",
    },
    section="E2",
    kind="prediction",
    derivation="`epsilon_greedy_regret`",
)
def epsilon_greedy_regret(p0: float, rounds: int, epsilon: float) -> Prediction:
    """Epsilon-greedy on arms of 0/1 reward: the value stops at 1 - epsilon (1 - p0), regret grows linearly.

    Returns:
        Exact curves and the law of a run; regret_sd up to 10^6 rounds.

    Raises:
        InputError: p0 outside (0, 1), rounds < 1, epsilon outside [0, 1].

    Example:
        >>> from bandit_rft import theory
        >>> round(float(theory.epsilon_greedy_regret(p0=0.05, rounds=400, epsilon=0.1).regret[-1]), 2)
        55.1
    """
    p0, rounds = arguments.fraction("p0", p0), arguments.whole("rounds", rounds)
    epsilon = arguments.between("epsilon", epsilon, 0.0, 1.0)
    law = TwoLevelLaw(p0=p0, after=max(p0, 1.0 - epsilon * (1.0 - p0)))  # by rounding it could be below
    found = law.prediction("epsilon_greedy_regret", rounds, {"p0": p0, "rounds": rounds, "epsilon": epsilon})
    return replace(found, regret=found.regret + epsilon * (1.0 - p0) * (rounds_shown(rounds) + 1.0))


@entry(
    formula=r"R_T = (1-p_0)\left[B\,\frac{1-(1-p_0)^{Bn}}{1-(1-p_0)^B} + r(1-p_0)^{Bn}\right],\ n = \lfloor T/B\rfloor,"
    r"\ r = T - nB;\qquad R_\infty = \frac{(1-p_0)B}{1-(1-p_0)^B}",
    assumptions=(
        "Deterministic 0/1 rewards; fresh arms are drawn with replacement, or K is much larger than the pulls squared.",
        "The rewards of a batch are seen together, at its end; a rewarded arm is then pulled for ever.",
    ),
    source="derived here (docs/derivations.md)",
    units={
        "p0": "share of optimal arms, in (0, 1)",
        "rounds": "horizon T, in single pulls",
        "batch": "B, pulls from one look at the rewards to the next",
    },
    section="E4",
    kind="prediction",
    derivation="`batch_explore_regret`",
)
def batch_explore_regret(p0: float, rounds: int, batch: int) -> Prediction:
    """Explore until the first success in batches of B: what it costs to look only after every B pulls.

    Returns:
        Exact curves by pull, and the law of a run; regret_sd up to 10^6 pulls.

    Raises:
        InputError: p0 outside (0, 1), rounds or batch < 1.

    Example:
        >>> from bandit_rft import theory
        >>> round(float(theory.batch_explore_regret(p0=0.05, rounds=400, batch=8).regret[-1]), 2)
        22.58
    """
    p0, rounds = arguments.fraction("p0", p0), arguments.whole("rounds", rounds)
    batch = arguments.whole("batch", batch)
    law = TwoLevelLaw(p0=p0, after=1.0, batch=batch)
    return law.prediction("batch_explore_regret", rounds, {"p0": p0, "rounds": rounds, "batch": batch})


@entry(
    formula=r"E[1 - \mu_{\mathrm{recommended}}] = (1-p_0)^{N+1}",
    assumptions=(
        "Deterministic 0/1 rewards; N fresh arms were pulled once each (with replacement, or K much larger than N).",
        "A rewarded arm is recommended if there is one, else an arm not yet pulled; an arm that failed would give "
        "(1 - p0)^N.",
    ),
    source="derived here (docs/derivations.md)",
    units={"p0": "share of optimal arms, in (0, 1)", "pulls": "N, fresh arms pulled, whole numbers from 0, any number"},
    section="E5",
    kind="quantity",
    derivation="`simple_regret_fresh`",
)
def simple_regret_fresh(p0: float, pulls: ArrayLike) -> float | np.ndarray:
    """Simple regret after N pulls of fresh arms: no strategy does better on exchangeable arms.

    Returns:
        A float for a single number of pulls, otherwise float64 [len(pulls)].

    Raises:
        InputError: p0 outside (0, 1), pulls that are no whole numbers from 0.

    Example:
        >>> from bandit_rft import theory
        >>> round(float(theory.simple_regret_fresh(p0=0.05, pulls=20)), 4)
        0.3406
    """
    p0, count = arguments.fraction("p0", p0), arguments.numbers("pulls", pulls)
    if not np.all((count >= 0) & (count == np.floor(count)) & np.isfinite(count)):
        raise InputError("pulls holds a number that is no whole number of at least 0: give numbers of pulls.")
    result = np.exp((count + 1.0) * math.log1p(-p0))
    return float(result[0]) if np.ndim(pulls) == 0 else result
