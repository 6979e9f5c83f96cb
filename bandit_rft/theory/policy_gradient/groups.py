"""Groups of rollouts: what a signal's normalisation does to the mean update, and how often a group teaches nothing."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betaln

from bandit_rft import arguments, signals
from bandit_rft.errors import InputError
from bandit_rft.theory.catalogue import entry
from bandit_rft.theory.checks import check_probabilities

__all__ = [
    "ANY",
    "MOST_SUMMED",
    "SIGNALS",
    "check_group",
    "check_k",
    "dead_group_probability",
    "depends_on_p",
    "drift_multiplier",
    "log_binomial",
    "multiplier",
    "summed_group",
]

SIGNALS = signals.NAMES

ANY = 0.5  # a p for signals whose multiplier is the same at all
MOST_SUMMED = 1_000_000  # rollouts of a group whose sum over k is taken at thousands of p: some seconds
_MOST_TERMS = 4_000_000  # terms of the sums over k held in memory at once
_ALL_TERMS = 4096  # rollouts up to which no term is left out


@entry(
    formula=r"E[\mathrm{update}] = M\,\nabla p:\quad M = 1\ (\mathrm{raw, rloo, psr, nsr}),\ "
    r"1-1/G\ (\mathrm{mean\_baseline}),\ 2\ (\mathrm{signed}),"
    "\n"
    r"M = \frac{1-(1-p)^G}{p}\ (\mathrm{maxrl}),\ \frac{1-(1-p)^{G-1}}{p}\ (\mathrm{maxrl\_centred}),\ "
    r"k(1-p)^{k-1}\ (\mathrm{pass\_at\_k}),"
    "\n"
    r"M = \frac{1}{p(1-p)}\sum_k \binom{G}{k}p^k(1-p)^{G-k}\,\frac{v_k}{\sqrt{v_k G/(G-\mathrm{ddof})}+\epsilon},"
    r"\ v_k = \tfrac{k}{G}(1-\tfrac{k}{G})\ (\mathrm{grpo})",
    assumptions=(
        "Independent rollouts of one policy, deterministic 0/1 rewards.",
        "The update is the mean over the rollouts of signal times the score (no clipping, no further normalisation).",
        "Only the mean is described: the noise of the update changes too.",
    ),
    source="derived here (docs/derivations.md); signals as in verl (a GRPO group of one: r/(1 + eps)), maxrl of arXiv "
    "2602.02710, pass_at_k of arXiv 2505.15201, psr and nsr of arXiv 2506.01347",
    units={
        "signal": f"one of {', '.join(SIGNALS)}",
        "p": "probability of a correct answer, in (0, 1), any shape; grpo, maxrl(_centred), pass_at_k need it",
        "rollouts": "G, rollouts a group",
        "ddof": "1: sample standard deviation, 0: population (grpo)",
        "eps": "added to the standard deviation, at least 0 (grpo)",
        "k": "of pass_at_k, from 1 to G; None: G",
    },
    section="B1",
    kind="quantity",
    derivation="`drift_multiplier`",
)
def drift_multiplier(
    signal: str,
    p: ArrayLike | None = None,
    rollouts: int = 1,
    ddof: int = 1,
    eps: float = 0.0,
    k: int | None = None,
) -> float | np.ndarray:
    """How much faster (or slower) a signal drives the policy than the raw reward, on average.

    Returns:
        M, a float for scalar (or no) p, otherwise float64 of p's shape.

    Raises:
        InputError: an unknown signal, p outside (0, 1) or missing where M depends on it, rollouts < 1 (or, of grpo,
            above 10^7), ddof not 0 or 1, eps < 0, k outside 1 to rollouts.

    Example:
        >>> from bandit_rft import theory
        >>> round(float(theory.drift_multiplier("grpo", p=0.1, rollouts=8)), 4)
        2.1774
    """
    rollouts, eps = check_group(signal, rollouts, ddof, eps)
    k = check_k(signal, rollouts, k)
    if p is None and depends_on_p(signal, rollouts, k):
        raise InputError(f"The drift multiplier of {signal} depends on p: give p.")
    probability = np.asarray(ANY) if p is None else check_probabilities(p)
    result = multiplier(signal, np.log(probability), np.log1p(-probability), rollouts, ddof, eps, k)
    return float(result) if result.ndim == 0 else result


def check_group(signal: str, rollouts: int, ddof: int, eps: float) -> tuple[int, float]:
    """(rollouts, eps) in their proper types. Raises InputError for what `drift_multiplier` refuses."""
    if signal not in SIGNALS:
        raise InputError(f"Signal {arguments.shown(signal)} is unknown: choose one of {', '.join(SIGNALS)}.")
    if ddof not in (0, 1):
        raise InputError(f"ddof must be 0 (population) or 1 (sample standard deviation), but is {ddof!r}.")
    rollouts = summed_group(rollouts) if signal == "grpo" else arguments.whole("rollouts", rollouts)
    return rollouts, arguments.at_least("eps", eps, 0.0)


def summed_group(rollouts: int, name: str = "rollouts") -> int:
    """The size of a group whose numbers of right rollouts are summed over, one by one. Raises InputError."""
    return arguments.whole(name, rollouts, most=MOST_SUMMED)


def check_k(signal: str, rollouts: int, k: int | None) -> int:
    """The k of pass_at_k, 1 for other signals. Raises InputError for a k outside 1 to rollouts."""
    return signals.check_k(k, rollouts) if signal == "pass_at_k" else 1


def depends_on_p(signal: str, rollouts: int, k: int) -> bool:
    """Whether the drift multiplier is not the same at all p."""
    return k > 1 if signal == "pass_at_k" else rollouts > 1 and signal in ("grpo", "maxrl", "maxrl_centred")


def multiplier(
    signal: str, log_p: np.ndarray, log_q: np.ndarray, rollouts: int, ddof: int, eps: float, k: int = 1
) -> np.ndarray:
    """M at ln p and ln(1-p), which keep the digits of both ends; float64 of their shape. Arguments are not checked."""
    if signal == "pass_at_k":
        # A product of 0 and ln 0 is no number, and k = 1 is the raw reward.
        return k * np.exp((k - 1) * log_q) if k > 1 else np.ones(log_q.shape)
    if signal in ("maxrl", "maxrl_centred"):
        return _success_over_p(log_q, rollouts if signal == "maxrl" else rollouts - 1)
    if signal == "grpo" and rollouts > 1:
        return _grpo(log_p, log_q, rollouts, ddof, eps)
    return np.full(log_p.shape, _constant(signal, rollouts, eps))


def _success_over_p(log_q: np.ndarray, draws: int) -> np.ndarray:
    """(1 - (1-p)^n)/p, the chance that one of n draws succeeds over that of one; n where p has no float."""
    if draws == 0:
        return np.zeros(log_q.shape)
    some = np.where(log_q == 0.0, -1.0, log_q)
    return np.where(log_q == 0.0, draws, np.expm1(draws * some) / np.expm1(some))


def _grpo(log_p: np.ndarray, log_q: np.ndarray, rollouts: int, ddof: int, eps: float) -> np.ndarray:
    """GRPO's M for two rollouts or more, by its sum over the number of correct rollouts: all of them, or of large
    groups those within twelve standard deviations and 60 of the mean, since the rest is less than 1e-30 of the sum."""
    terms = rollouts - 1
    if rollouts > _ALL_TERMS:
        terms = min(terms, math.ceil(12.0 * math.sqrt(rollouts)) + 120)
    flat_p, flat_q = log_p.reshape(-1), log_q.reshape(-1)
    result = np.empty(flat_p.size)
    chunk = max(_MOST_TERMS // terms, 1)
    for start in range(0, result.size, chunk):
        ln_p, ln_q = flat_p[start : start + chunk, None], flat_q[start : start + chunk, None]
        first = np.clip(np.floor(rollouts * np.exp(ln_p) - terms / 2), 1, rollouts - terms)
        k = (first if rollouts - 1 > terms else np.ones((1, 1))) + np.arange(terms, dtype=np.float64)
        spread = k / rollouts * (1.0 - k / rollouts)
        ratio = spread / (np.sqrt(spread * rollouts / (rollouts - ddof)) + eps)
        # One factor p(1-p) is divided out inside the exponent, so that nothing underflows as p -> 0 or 1.
        exponent = log_binomial(rollouts, k) + np.log(ratio) + ln_p * (k - 1.0) + ln_q * (rollouts - k - 1.0)
        result[start : start + chunk] = np.exp(exponent).sum(axis=1)
    return result.reshape(log_p.shape)


def log_binomial(rollouts: ArrayLike, k: ArrayLike) -> np.ndarray:
    """ln of the binomial coefficient, float64 of the arguments' common shape."""
    rollouts, k = np.asarray(rollouts, np.float64), np.asarray(k, np.float64)
    return -np.log(rollouts + 1.0) - betaln(k + 1.0, rollouts - k + 1.0)


def _constant(signal: str, rollouts: int, eps: float) -> float:
    """M where it does not depend on p."""
    if signal in ("raw", "rloo", "psr", "nsr"):
        return 1.0
    return {"signed": 2.0, "mean_baseline": 1.0 - 1.0 / rollouts, "grpo": 1.0 / (1.0 + eps)}[signal]


@entry(
    formula=r"P(\text{all rewards equal}) = p^G + (1-p)^G",
    assumptions=("Independent rollouts of one policy, 0/1 rewards.",),
    source="elementary",
    units={"p": "probability of a correct answer, in (0, 1), any shape", "rollouts": "G, rollouts a group"},
    section="B3",
    kind="quantity",
)
def dead_group_probability(p: ArrayLike, rollouts: int) -> float | np.ndarray:
    """The share of groups whose rewards are all equal: with a group baseline they teach nothing.

    Returns:
        A float for scalar p, otherwise float64 of p's shape.

    Raises:
        InputError: p outside (0, 1), rollouts < 1.

    Example:
        >>> from bandit_rft import theory
        >>> round(float(theory.dead_group_probability(0.18, rollouts=2)), 4)
        0.7048
    """
    rollouts = arguments.whole("rollouts", rollouts)
    probability = check_probabilities(p)
    result = np.exp(rollouts * np.log(probability)) + np.exp(rollouts * np.log1p(-probability))
    return float(result) if result.ndim == 0 else result
