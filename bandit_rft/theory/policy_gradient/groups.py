"""Groups of rollouts: what a signal's normalisation does to the mean update, and how often a group teaches nothing."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betaln

from bandit_rft import arguments
from bandit_rft.errors import InputError
from bandit_rft.theory.catalogue import entry
from bandit_rft.theory.checks import check_probabilities

__all__ = [
    "SIGNALS",
    "check_group",
    "dead_group_probability",
    "drift_multiplier",
    "log_binomial",
    "multiplier",
]

SIGNALS = ("raw", "signed", "mean_baseline", "rloo", "grpo")

_MOST_TERMS = 4_000_000  # terms of the sums over k held in memory at once


@entry(
    formula=r"E[\mathrm{update}] = M\,\nabla p:\quad M = 1\ (\mathrm{raw, rloo}),\ "
    r"1-1/G\ (\mathrm{mean\_baseline}),\ 2\ (\mathrm{signed}),"
    "\n"
    r"M = \frac{1}{p(1-p)}\sum_k \binom{G}{k}p^k(1-p)^{G-k}\,\frac{v_k}{\sqrt{v_k G/(G-\mathrm{ddof})}+\epsilon},"
    r"\ v_k = \tfrac{k}{G}(1-\tfrac{k}{G})\ (\mathrm{grpo})",
    assumptions=(
        "Independent rollouts of one policy, deterministic 0/1 rewards.",
        "The update is the mean over the rollouts of signal times the score (no clipping, no further normalisation).",
        "Only the mean is described: the noise of the update changes too.",
    ),
    source="derived here (docs/derivations.md); signals as in verl (a GRPO group of one: r/(1 + eps))",
    units={
        "signal": f"one of {', '.join(SIGNALS)}",
        "p": "probability of a correct answer, in (0, 1), any shape; needed by grpo alone",
        "rollouts": "G, rollouts a group",
        "ddof": "1: sample standard deviation, 0: population (grpo)",
        "eps": "added to the standard deviation, at least 0 (grpo)",
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
) -> float | np.ndarray:
    """How much faster (or slower) a signal drives the policy than the raw reward, on average.

    Returns:
        M, a float for scalar (or no) p, otherwise float64 of p's shape.

    Raises:
        InputError: an unknown signal, p outside (0, 1) or missing for grpo, rollouts < 1, ddof not 0 or 1, eps < 0.
    """
    rollouts, eps = check_group(signal, rollouts, ddof, eps)
    if p is None:
        if signal == "grpo" and rollouts > 1:
            raise InputError("The drift multiplier of grpo depends on p: give p.")
        return _constant(signal, rollouts, eps)
    probability = check_probabilities(p)
    result = multiplier(signal, np.log(probability), np.log1p(-probability), rollouts, ddof, eps)
    return float(result) if result.ndim == 0 else result


def check_group(signal: str, rollouts: int, ddof: int, eps: float) -> tuple[int, float]:
    """(rollouts, eps) in their proper types. Raises InputError for what `drift_multiplier` refuses."""
    if signal not in SIGNALS:
        raise InputError(f"Signal {signal!r} is unknown: choose one of {', '.join(SIGNALS)}.")
    if ddof not in (0, 1):
        raise InputError(f"ddof must be 0 (population) or 1 (sample standard deviation), but is {ddof!r}.")
    return arguments.whole("rollouts", rollouts), arguments.at_least("eps", eps, 0.0)


def multiplier(signal: str, log_p: np.ndarray, log_q: np.ndarray, rollouts: int, ddof: int, eps: float) -> np.ndarray:
    """M at ln p and ln(1-p), which keep the digits of both ends; float64 of their shape. Arguments are not checked."""
    if signal != "grpo" or rollouts == 1:
        return np.full(log_p.shape, _constant(signal, rollouts, eps))
    k = np.arange(1, rollouts, dtype=np.float64)
    spread = k / rollouts * (1.0 - k / rollouts)
    ratio = spread / (np.sqrt(spread * rollouts / (rollouts - ddof)) + eps)
    log_weight = log_binomial(rollouts, k) + np.log(ratio)
    flat_p, flat_q = log_p.reshape(-1), log_q.reshape(-1)
    result = np.empty(flat_p.size)
    chunk = max(_MOST_TERMS // rollouts, 1)
    for start in range(0, result.size, chunk):
        part = slice(start, start + chunk)
        # One factor p(1-p) is divided out inside the exponent, so that nothing underflows as p -> 0 or 1.
        exponent = log_weight + np.outer(flat_p[part], k - 1.0) + np.outer(flat_q[part], rollouts - k - 1.0)
        result[part] = np.exp(exponent).sum(axis=1)
    return result.reshape(log_p.shape)


def log_binomial(rollouts: int, k: np.ndarray) -> np.ndarray:
    """ln of the binomial coefficient, float64 of k's shape."""
    return -np.log(rollouts + 1.0) - betaln(k + 1.0, rollouts - k + 1.0)


def _constant(signal: str, rollouts: int, eps: float) -> float:
    """M where it does not depend on p."""
    return {
        "raw": 1.0,
        "rloo": 1.0,
        "signed": 2.0,
        "mean_baseline": 1.0 - 1.0 / rollouts,
        "grpo": 1.0 / (1.0 + eps),
    }[signal]


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
    """
    rollouts = arguments.whole("rollouts", rollouts)
    probability = check_probabilities(p)
    result = np.exp(rollouts * np.log(probability)) + np.exp(rollouts * np.log1p(-probability))
    return float(result) if result.ndim == 0 else result
