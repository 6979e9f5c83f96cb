"""Scores as a kernel: how one response's update moves another, and kappa as a squared mean discrepancy."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from bandit_rft import arguments
from bandit_rft.errors import InputError
from bandit_rft.theory.catalogue import entry

__all__ = ["Scores", "check_gram", "check_scores", "kernel_flow", "kernel_kappa"]

_UNITS = {
    "gram": "[K, K] inner products <s_a, s_b> of the scores s_a = grad log pi(a); symmetric, positive semi-definite",
    "policy": "[K] probabilities pi(a), which sum to 1",
    "correct": "[K] booleans (or 0/1), which responses are correct",
}


class Scores(NamedTuple):
    """What was checked, and the responses' weights within their class.

    Attributes:
        gram: float64 [K, K].
        correct: bool [K].
        p: probability of a correct response.
        weight: float64 [K], pi(a)/p on correct and pi(a)/(1-p) on wrong responses.
        contrast: float64 [K], the same with a minus on wrong responses: delta = sum_a contrast_a s_a.
    """

    gram: np.ndarray
    correct: np.ndarray
    p: float
    weight: np.ndarray
    contrast: np.ndarray


def check_scores(gram: Any, policy: Any, correct: Any) -> Scores:
    """Refuses what is no Gram matrix, no policy, or has one class only. Raises InputError."""
    probability = check_policy(policy)
    matrix = check_gram(gram, probability.size)
    flags = arguments.numbers("correct", correct)
    if flags.shape != probability.shape or not np.all((flags == 0.0) | (flags == 1.0)):
        raise InputError(f"correct must be {probability.size} booleans, one a response.")
    right = flags == 1.0
    p, wrong = float(probability[right].sum()), float(probability[~right].sum())
    if not (p > 0.0 and wrong > 0.0):
        raise InputError("kappa compares correct with wrong responses: give both a positive probability.")
    weight = probability / np.where(right, p, wrong)
    return Scores(gram=matrix, correct=right, p=p, weight=weight, contrast=np.where(right, weight, -weight))


def check_policy(policy: Any) -> np.ndarray:
    """float64 [K]. Raises InputError."""
    probability = arguments.numbers("policy", policy)
    if not (np.all(probability >= 0.0) and abs(float(probability.sum()) - 1.0) < 1e-6):
        raise InputError("policy must hold probabilities of at least 0 that sum to 1.")
    return probability


def check_gram(gram: Any, size: int) -> np.ndarray:
    """float64 [size, size], symmetric. Raises InputError."""
    try:
        matrix = np.asarray(gram, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise InputError("gram must be a square matrix of numbers.") from None
    if matrix.shape != (size, size) or not np.all(np.isfinite(matrix)):
        raise InputError(f"gram has shape {matrix.shape}: give finite numbers, {size} x {size}.")
    if np.abs(matrix - matrix.T).max() > 1e-6 * np.abs(matrix).max():
        raise InputError("gram is not symmetric: give the inner products of score vectors.")
    return matrix


@entry(
    formula=r"\kappa = \bar k_{gg} + \bar k_{bb} - 2\bar k_{gb} = \|\bar u_g - \bar u_b\|^2,\quad "
    r"\bar k_{xy} = E[\langle s_a, s_b\rangle \mid a \in x, b \in y]",
    assumptions=(
        "The policy is differentiable, and gram and policy belong to the same parameters.",
        "Rewards are 0 or 1 and deterministic given the response.",
        "All responses of positive probability are listed (a sample of them gives an estimate, biased upwards by the "
        "diagonal of gram: use two folds).",
    ),
    source="derived here (docs/derivations.md); delta is the gradient gap of Suk and Duan, arXiv 2510.08539",
    units=_UNITS,
    section="F1",
    kind="quantity",
    derivation="`kernel_kappa` and `kernel_flow`: scores as a kernel",
)
def kernel_kappa(gram: Any, policy: Any, correct: Any) -> float:
    """kappa, the squared gradient of logit p, from inner products of scores: a squared mean discrepancy.

    Adding one vector to every score changes nothing, so features phi of a log-linear policy serve as well as its
    scores phi - E phi.

    Returns:
        kappa, squared length of a gradient per unit of logit p, at least 0.

    Raises:
        InputError: gram is no symmetric [K, K] matrix or no Gram matrix, policy no distribution, or a class has no
            probability.

    Example:
        >>> from bandit_rft import theory
        >>> round(float(theory.kernel_kappa([[1.0, 0.0], [0.0, 1.0]], policy=[0.3, 0.7], correct=[True, False])), 4)
        2.0
    """
    scores = check_scores(gram, policy, correct)
    kappa = float(scores.contrast @ scores.gram @ scores.contrast)
    if kappa < -1e-6 * float(np.abs(scores.gram).max()):
        raise InputError(
            f"gram is not positive semi-definite (it makes kappa {kappa:.3g}): give inner products of scores."
        )
    return max(kappa, 0.0)


@entry(
    formula=r"\frac{d\log\pi(a)}{dt} = \eta \sum_b \pi(b)\,A(b)\,\langle s_a, s_b\rangle",
    assumptions=(
        "Gradient flow: exact gradients of the expected advantage, in the limit of small steps.",
        "gram, policy and advantages belong to the same parameters: it is a velocity at one moment.",
        "gram holds scores, so that sum_b pi(b) <s_a, s_b> = 0 (checked): a constant added to the advantages is "
        "without effect.",
    ),
    source="derived here (docs/derivations.md)",
    units={
        "gram": _UNITS["gram"],
        "policy": _UNITS["policy"],
        "advantages": "[K] signals A(a), rewards or any baseline's",
        "step_size": "eta, logit per unit gradient, above 0",
    },
    section="F1.1",
    kind="quantity",
    derivation="`kernel_kappa` and `kernel_flow`: scores as a kernel",
)
def kernel_flow(gram: Any, policy: Any, advantages: Any, step_size: float) -> np.ndarray:
    """How fast each response's log-probability moves, from inner products of scores.

    Returns:
        float64 [K], nats per round.

    Raises:
        InputError: gram, policy or advantages misfit, step_size not positive, or gram not that of scores.

    Example:
        >>> from bandit_rft import theory
        >>> gram, policy = [[0.49, -0.21], [-0.21, 0.09]], [0.3, 0.7]
        >>> [round(float(p), 4) for p in theory.kernel_flow(gram, policy, advantages=[0.7, -0.3], step_size=0.1)]
        [0.0147, -0.0063]
    """
    probability = check_policy(policy)
    matrix = check_gram(gram, probability.size)
    signal = arguments.numbers("advantages", advantages)
    if signal.shape != probability.shape or not np.all(np.isfinite(signal)):
        raise InputError(f"advantages must be {probability.size} finite numbers, one a response.")
    if np.abs(matrix @ probability).max() > 1e-6 * np.abs(matrix).max():
        raise InputError(
            "gram is not that of scores, whose mean under the policy is 0: subtract the mean from the features first."
        )
    return arguments.positive("step_size", step_size) * (matrix @ (probability * signal))
