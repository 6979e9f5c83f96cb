"""Groups of rollouts: what a signal's normalisation does to the mean update, and how often a group teaches nothing."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaln

from bandit_rft import arguments
from bandit_rft.errors import InputError
from bandit_rft.theory.catalogue import entry

__all__ = ["SIGNALS", "dead_group_probability", "drift_multiplier"]

SIGNALS = ("raw", "signed", "mean_baseline", "rloo", "grpo")


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
    source="derived here (docs/derivations.md); THEORY.md B; signals as in verl (a GRPO group of one: r/(1 + eps))",
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
    rollouts = arguments.whole("rollouts", rollouts)
    if signal not in SIGNALS:
        raise InputError(f"Signal {signal!r} is unknown: choose one of {', '.join(SIGNALS)}.")
    if ddof not in (0, 1):
        raise InputError(f"ddof must be 0 (population) or 1 (sample standard deviation), but is {ddof!r}.")
    if not eps >= 0.0:
        raise InputError(f"eps must be at least 0, but is {eps!r}.")
    if p is None:
        if signal == "grpo" and rollouts > 1:
            raise InputError("The drift multiplier of grpo depends on p: give p.")
        probability = np.asarray(0.5)
    else:
        probability = _probabilities(p)
    if signal == "grpo" and rollouts > 1:
        result = _grpo(probability, rollouts, ddof, float(eps))
    else:
        constant = {
            "raw": 1.0,
            "rloo": 1.0,
            "signed": 2.0,
            "mean_baseline": 1.0 - 1.0 / rollouts,
            "grpo": 1.0 / (1.0 + eps),
        }[signal]
        result = np.full(probability.shape, constant)
    return float(result) if result.ndim == 0 else result


def _grpo(probability: np.ndarray, rollouts: int, ddof: int, eps: float) -> np.ndarray:
    k = np.arange(1, rollouts, dtype=np.float64)
    spread = k / rollouts * (1.0 - k / rollouts)
    ratio = spread / (np.sqrt(spread * rollouts / (rollouts - ddof)) + eps)
    log_weight = gammaln(rollouts + 1.0) - gammaln(k + 1.0) - gammaln(rollouts - k + 1.0) + np.log(ratio)
    result = np.empty(probability.size)
    for index, value in enumerate(probability.ravel()):
        # One factor p(1-p) is divided out inside the exponent, so that nothing underflows as p -> 0 or 1.
        result[index] = np.exp(log_weight + (k - 1.0) * np.log(value) + (rollouts - k - 1.0) * np.log1p(-value)).sum()
    return result.reshape(probability.shape)


@entry(
    formula=r"P(\text{all rewards equal}) = p^G + (1-p)^G",
    assumptions=("Independent rollouts of one policy, 0/1 rewards.",),
    source="elementary; THEORY.md B",
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
    probability = _probabilities(p)
    result = np.exp(rollouts * np.log(probability)) + np.exp(rollouts * np.log1p(-probability))
    return float(result) if result.ndim == 0 else result


def _probabilities(p: ArrayLike) -> np.ndarray:
    try:
        probability = np.asarray(p, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"p must be a number or an array of numbers, but is {p!r}.") from None
    if not np.all((probability > 0.0) & (probability < 1.0)):
        raise InputError("p must lie strictly between 0 and 1 everywhere.")
    return probability
