"""Published rates for many or infinitely many arms: exponents, and a bound whose constant is unknown."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from bandit_rft import arguments
from bandit_rft.errors import InputError
from bandit_rft.theory.bound import Bound
from bandit_rft.theory.catalogue import about, entry

__all__ = [
    "ManyArmedExponents",
    "ReservoirExponents",
    "annealed_softmax_exponent",
    "batched_minimax",
    "bayati_bounds",
    "carpentier_valko",
    "quantile_lower",
    "wang_exponent",
]


class ReservoirExponents(NamedTuple):
    """Powers of the number of pulls n.

    Attributes:
        lower: no strategy's regret grows more slowly. upper: reached by UCB-F, up to a factor ln(n)^2.
        arms: how many arms UCB-F draws.
    """

    lower: float
    upper: float
    arms: float


@entry(
    formula=r"P(\mu > \mu^* - \epsilon) \sim \epsilon^\beta:\quad E R_n = \Omega(n^{\beta/(\beta+1)}),\quad "
    r"E R_n = \tilde O(n^{\beta/(\beta+1)})\ (\beta \ge 1 \text{ or } \mu^* = 1),\quad \tilde O(\sqrt n) \text{ else}",
    assumptions=(
        "Infinitely many arms, means drawn independently, rewards in [0, 1].",
        "Good arms are as rare as a power says: P(mean > best - eps) is of order eps^beta.",
        "Exponents only: constants and powers of ln n are left out; large n.",
    ),
    source="Wang, Audibert, Munos 2008 (NIPS 21); that mu* = 1 needs no exception was checked here with the run "
    "strategy (docs/derivations.md)",
    units={
        "beta": "how rare good arms are: P(mean > best - eps) ~ eps^beta, positive; 1 for uniform means",
        "best_mean_is_one": "whether the best reachable mean is the largest possible reward",
    },
    section="E10",
    kind="quantity",
    derivation="`wang_exponent`",
)
def wang_exponent(beta: float, best_mean_is_one: bool = True) -> ReservoirExponents:
    """How regret grows on a reservoir of arms: exponents of the lower bound, of UCB-F, and of its number of arms.

    Returns:
        `ReservoirExponents`.

    Raises:
        InputError: beta not positive and finite.

    Example:
        >>> from bandit_rft import theory
        >>> theory.wang_exponent(beta=1.0)
        ReservoirExponents(lower=0.5, upper=0.5, arms=0.5)
    """
    beta = arguments.positive("beta", beta)
    rare = 1.0 - 1.0 / (beta + 1.0)
    if not arguments.flag("best_mean_is_one", best_mean_is_one) and beta < 1:
        return ReservoirExponents(lower=rare, upper=0.5, arms=beta / 2.0)
    return ReservoirExponents(lower=rare, upper=rare, arms=rare)


class ManyArmedExponents(NamedTuple):
    """Powers of the horizon T for K = T^alpha arms, up to powers of ln T.

    Attributes:
        lower: no policy's Bayesian regret grows more slowly.
        ucb: UCB on all arms. subsampled: UCB on at most sqrt(T) of them. greedy: greedy on all arms (an upper bound
            only).
    """

    lower: float
    ucb: float
    subsampled: float
    greedy: float


@entry(
    formula=r"K = T^\alpha:\quad R \ge \Omega(T^{\min(\alpha, 1/2)}),\quad \mathrm{UCB}: \tilde O(T^{\alpha}),\quad "
    r"\mathrm{UCB\ on}\ \sqrt T: \tilde O(T^{\min(\alpha, 1/2)}),\quad "
    r"\mathrm{greedy}: \tilde O(T^{\max(\alpha, 1-\alpha/2)})",
    assumptions=(
        "Means drawn independently from a prior whose mass within eps of its top is of order eps (as uniform).",
        "Bayesian regret, against the best of the K arms; 1-subgaussian rewards.",
        "Exponents only: constants and powers of ln T are left out; large T, alpha in (0, 1).",
    ),
    source="Bayati, Hamidi, Johari, Khosravi 2020 (arXiv 2002.10121), abstract of version 1; UCB's own T^alpha: that "
    "every arm is tried, which costs K",
    units={"alpha": "ln K / ln T, strictly between 0 and 1"},
    section="E11",
    kind="quantity",
)
def bayati_bounds(alpha: float) -> ManyArmedExponents:
    """How Bayesian regret grows with T when there are T^alpha arms: lower bound, UCB, subsampled UCB, greedy.

    Returns:
        `ManyArmedExponents`. UCB is optimal for alpha below 1/2, subsampled UCB everywhere.

    Raises:
        InputError: alpha outside (0, 1).

    Example:
        >>> from bandit_rft import theory
        >>> theory.bayati_bounds(alpha=0.5)
        ManyArmedExponents(lower=0.5, ucb=0.5, subsampled=0.5, greedy=0.75)
    """
    alpha = arguments.fraction("alpha", alpha)
    best = min(alpha, 0.5)
    return ManyArmedExponents(lower=best, ucb=alpha, subsampled=best, greedy=max(alpha, 1.0 - alpha / 2.0))


@entry(
    formula=r"m = T^\alpha:\quad E R_T = \tilde O(m + T/m) = \tilde O(T^{\max(\alpha, 1-\alpha)}),\quad "
    r"\sqrt T\ \mathrm{at}\ \alpha = 1/2,\ T\ \mathrm{at}\ \alpha = 0",
    assumptions=(
        "A softmax of empirical means whose temperature falls with the round; Bernoulli rewards.",
        "Means drawn independently from a prior whose mass within eps of its top is of order eps (as uniform).",
        "Bayesian regret against the best of the m arms; powers of ln T are left out; large T.",
        "At alpha = 0, a fixed number of arms: linear at worst, since a softmax may give up the better arm for good.",
    ),
    source="Overman & Bayati 2026 (arXiv 2605.31034), abstract; linear regret of few arms: Cesa-Bianchi et al. 2017, "
    "as cited there",
    units={"alpha": "ln m / ln T, from 0 to 1 exclusive"},
    section="E11.1",
    kind="quantity",
    derivation="`annealed_softmax_exponent`",
)
def annealed_softmax_exponent(alpha: float) -> float:
    """How annealed softmax greedy's Bayesian regret grows with T on T^alpha arms: the exponent, from above.

    Returns:
        max(alpha, 1 - alpha): 1/2 at alpha = 1/2, and 1 (linear) for few arms.

    Raises:
        InputError: alpha outside [0, 1).

    Example:
        >>> from bandit_rft import theory
        >>> theory.annealed_softmax_exponent(0.5)
        0.5
    """
    alpha = arguments.between("alpha", alpha, 0.0, 1.0)
    if alpha == 1.0:
        raise InputError("alpha is 1: give a number from 0 to below 1, for fewer arms than rounds.")
    return max(alpha, 1.0 - alpha)


@entry(
    formula=r"E R_T \ge c\,\frac{\ln T}{p^*\Delta}",
    assumptions=(
        "A share p* of (infinitely many) arms is optimal, all others are worse by Delta or more; noisy rewards of unit "
        "variance.",
        "A policy that does well on all such instances; asymptotic.",
        "The constant c is not known here: 1 is a place-holder. With deterministic rewards there is no such bound.",
    ),
    source="de Heide, Cheshire, Menard, Carpentier 2021 (arXiv 2103.12452), abstract: the order only",
    units={
        "rounds": "horizons T, one or several, increasing, at least 2",
        "share": "p*, proportion of optimal arms, in (0, 1)",
        "gap": "Delta, in rewards, above 0",
        "constant": "c, unknown",
    },
    section="E12",
    kind="bound",
    confirmed=False,
)
def quantile_lower(rounds: ArrayLike, share: float, gap: float, constant: float = 1.0) -> Bound:
    """When a proportion of the arms is optimal: regret grows like ln T / (p* Delta), if rewards are noisy.

    Returns:
        A lower bound with the constant given, capped at (1 - p*) T Delta, which drawing arms evenly loses.

    Raises:
        InputError: horizons not increasing whole numbers from 2, share outside (0, 1), gap or constant not positive.

    Example:
        >>> import numpy as np
        >>> from bandit_rft import theory
        >>> round(float(np.max(theory.quantile_lower(rounds=1000, share=0.1, gap=0.2).value)), 2)
        180.0
    """
    at = arguments.numbers("rounds", rounds)
    if not np.all((at >= 2) & (at == np.floor(at)) & (at <= 1e15)) or np.any(np.diff(at) <= 0):
        raise InputError("rounds must hold increasing whole numbers from 2 to 1e15: give horizons in order.")
    share, gap = arguments.fraction("share", share), arguments.positive("gap", gap)
    constant = arguments.positive("constant", constant)
    return Bound(
        **about("quantile_lower"),
        kind="lower",
        at=at.astype(np.int64),
        uncapped=np.minimum(constant * np.log(at) / (share * gap), (1.0 - share) * gap * at),
        trivial=np.zeros(at.size),
        confirmed=False,
        asymptotic=True,
        flags=(f"The constant {constant:g} is the caller's: the source's is not known here.",),
        parameters={"rounds": rounds, "share": share, "gap": gap, "constant": constant},
    )


@entry(
    formula=r"\sqrt K\, T^{1/(2-2^{1-M})}",
    assumptions=(
        "K arms with rewards of unit variance, gaps at most 1, T >= K; policies that see rewards only at the ends of M "
        "batches, whose times are fixed in advance.",
        "A rate: the minimax regret is this up to a constant and powers of ln(K T); M = 1 is T sqrt(K), vacuous above "
        "the trivial T.",
    ),
    source="Gao, Han, Ren, Zhou 2019 (arXiv 1904.01763), Perchet, Rigollet, Chassang, Snowberg 2016: the rate; "
    "constants unknown. The exponent is derived here (docs/derivations.md)",
    units={"rounds": "horizon T, at least 1", "arms": "K, at least 2", "batches": "M, at least 1"},
    section="E13",
    kind="quantity",
    derivation="`batched_minimax`",
    confirmed=False,
)
def batched_minimax(rounds: float, arms: int, batches: int) -> float:
    """The rate of the minimax regret when rewards are seen only M times.

    Returns:
        sqrt(K) T^(1/(2 - 2^(1-M))), in rewards, without its constant.

    Raises:
        InputError: rounds below the arms, batches below 1, arms below 2.

    Example:
        >>> from bandit_rft import theory
        >>> round(float(theory.batched_minimax(rounds=1000, arms=2, batches=3)), 4)
        73.2488
    """
    rounds, arms = arguments.at_least("rounds", rounds, 1.0), arguments.whole("arms", arms, 2, most=None)
    batches = arguments.whole("batches", batches)
    if rounds < arms:
        raise InputError(
            f"rounds is {rounds:g} and arms {arguments.shown(arms)}: give as many rounds as arms at least."
        )
    return math.exp(math.log(arms) / 2.0) * rounds ** (1.0 / (2.0 - math.ldexp(2.0, -batches)))


@entry(
    formula=r"E[\mu^* - \mu_{\mathrm{recommended}}] = n^{-1/\max(\beta, 2)}\ \text{up to}\ \ln n;\quad "
    r"n^{-1/\max(\beta, 1)}\ \text{if good arms have small variance}",
    assumptions=(
        "Infinitely many arms, means drawn independently, P(mean > best - eps) of order eps^beta.",
        "n pulls, then one arm is recommended. Small variance: of order best - mean near the best, as for Bernoulli "
        "arms whose best mean is 1.",
        "Exponents only: constants and powers of ln n are left out; large n.",
    ),
    source="Carpentier, Valko 2015 (arXiv 1505.04627), exponents quoted from memory; 1/beta alone is derived here",
    units={
        "beta": "how rare good arms are, positive; 1 for uniform means",
        "small_variance": "whether an arm's variance vanishes like its gap",
    },
    section="E14",
    kind="quantity",
    derivation="`carpentier_valko`",
    confirmed=False,
)
def carpentier_valko(beta: float, small_variance: bool = False) -> float:
    """How fast simple regret falls on a reservoir of arms: the exponent of 1/n.

    Returns:
        The exponent r of n^(-r), above 0.

    Raises:
        InputError: beta not positive and finite.

    Example:
        >>> from bandit_rft import theory
        >>> round(float(theory.carpentier_valko(beta=1.0)), 4)
        0.5
    """
    beta = arguments.positive("beta", beta)
    return 1.0 / max(beta, 1.0 if arguments.flag("small_variance", small_variance) else 2.0)
