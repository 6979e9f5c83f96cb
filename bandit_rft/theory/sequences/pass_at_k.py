"""Pass@k: the chance of a correct answer among k, and its unbiased estimate from n samples."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from bandit_rft import arguments
from bandit_rft.errors import InputError
from bandit_rft.theory.catalogue import entry
from bandit_rft.theory.checks import check_probabilities

__all__ = ["pass_at_k", "pass_at_k_estimate"]

_MOST_FACTORS = 10_000_000


@entry(
    formula=r"\mathrm{pass@}k = 1 - (1-p)^k",
    assumptions=(
        "The k answers are independent draws of one policy at one question.",
        "An average over questions of different p is the average of this, not this at the average p.",
    ),
    source="elementary",
    units={"p": "probability of a correct answer, in (0, 1), any shape", "k": "answers drawn"},
    section="F8.1",
    kind="quantity",
    derivation="`pass_at_k`",
)
def pass_at_k(p: ArrayLike, k: int) -> float | np.ndarray:
    """Chance that at least one of k answers is correct.

    Returns:
        A float for scalar p, otherwise float64 of its shape.

    Raises:
        InputError: p outside (0, 1), k no integer of at least 1.

    Example:
        >>> from bandit_rft import theory
        >>> round(float(theory.pass_at_k(0.1, k=8)), 4)
        0.5695
    """
    probability, k = check_probabilities(p), arguments.integer("k", k)
    result = -np.expm1(k * np.log1p(-probability))
    return float(result) if result.ndim == 0 else result


@entry(
    formula=r"\widehat{\mathrm{pass@}k} = 1 - \binom{n-c}{k}\Big/\binom{n}{k}",
    assumptions=("The n samples are independent draws of one policy at one question.",),
    source="Chen et al., arXiv 2107.03374; unbiased: docs/derivations.md",
    units={
        "samples": "n, answers sampled",
        "correct": "c, correct ones among them, 0 .. n",
        "k": "answers that pass@k is about, 1 .. n",
    },
    section="F8.2",
    kind="quantity",
    derivation="`pass_at_k`",
)
def pass_at_k_estimate(samples: int, correct: int, k: int) -> float:
    """Unbiased estimate of pass@k from the number of correct answers among n.

    Returns:
        A float in [0, 1].

    Raises:
        InputError: a count that is no integer, counts that do not fit each other, or both k and c above ten million.

    Example:
        >>> from bandit_rft import theory
        >>> round(float(theory.pass_at_k_estimate(samples=16, correct=2, k=8)), 4)
        0.7667
    """
    samples = arguments.integer("samples", samples)
    correct, k = arguments.integer("correct", correct, 0), arguments.integer("k", k)
    if correct > samples:
        raise InputError(f"correct is {correct} and samples is {samples}: give at most as many correct as samples.")
    if k > samples:
        raise InputError(f"pass@{k} needs at least {k} samples and there are {samples}: lower k, or sample more.")
    fewer, more = min(correct, k), max(correct, k)
    if fewer == 0:
        return 0.0
    if samples - more < fewer:
        return 1.0
    if fewer > _MOST_FACTORS:
        raise InputError(f"correct and k are both above {_MOST_FACTORS}: give a smaller k.")
    # C(n-c, k)/C(n, k) is symmetric in c and k: a product of min(c, k) factors 1 - max(c, k)/(n - j).
    return float(-np.expm1(np.sum(np.log1p(-more / (samples - np.arange(fewer, dtype=np.float64))))))
