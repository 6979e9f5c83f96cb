"""How noisy the two-fold estimate of kappa is."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import gammaln, logsumexp

from bandit_rft import arguments
from bandit_rft.errors import InputError
from bandit_rft.theory.catalogue import entry
from bandit_rft.theory.sequences.kernel import check_scores

__all__ = ["kappa_estimator_sd"]

_MOST = 10_000_000  # rollouts: the sum over the right ones of a fold is held in memory


@entry(
    formula=r"\frac{\mathrm{sd}(\hat\kappa)}{\kappa} = \frac{1}{\kappa}\sqrt{2\,\delta^\top C\delta + "
    r"\mathrm{tr}\,C^2},\quad "
    r"\hat\kappa = \langle\hat\delta_A, \hat\delta_B\rangle,\ "
    r"C = \Sigma_g E[1/k] + \Sigma_b E[1/(N-k)],\ k \sim \mathrm{Binomial}(N, p) \mid 1 \le k < N,\ N = n/2",
    assumptions=(
        "Independent rollouts of one policy, split in two folds of n/2.",
        "A fold without a success or without a failure is drawn again (the other fold stays).",
        "Deterministic 0/1 rewards; a fold's delta is the mean score of its correct less that of its wrong rollouts.",
    ),
    source="derived here (docs/derivations.md)",
    units={
        "gram": "[K, K] inner products <s_a, s_b> of the scores (or features) of all responses",
        "policy": "[K] probabilities pi(a), which sum to 1",
        "correct": "[K] booleans (or 0/1), which responses are correct",
        "rollouts": "n, rollouts in both folds together, even, at least 4",
    },
    section="F4",
    kind="quantity",
    derivation="`kappa_estimator_sd`: the two-fold estimate",
)
def kappa_estimator_sd(gram: Any, policy: Any, correct: Any, rollouts: int) -> float:
    """Relative standard deviation of the unbiased two-fold estimate of kappa: exact, from inner products of scores.

    Returns:
        sd(estimate)/kappa, a pure number.

    Raises:
        InputError: gram, policy or correct misfit (see kernel_kappa), rollouts odd or below 4, or kappa = 0.

    Example:
        >>> from bandit_rft import theory
        >>> gram, policy = [[0.49, -0.21], [-0.21, 0.09]], [0.3, 0.7]
        >>> round(theory.kappa_estimator_sd(gram, policy, correct=[True, False], rollouts=32), 4)
        0.0
    """
    scores = check_scores(gram, policy, correct)
    rollouts = arguments.whole("rollouts", rollouts, 4, _MOST)
    if rollouts % 2:
        raise InputError(f"rollouts is {rollouts}: give an even number, half of them for each fold.")
    kappa = float(scores.contrast @ scores.gram @ scores.contrast)
    if not kappa > 1e-12 * float(np.abs(scores.gram).max()):
        raise InputError("kappa is 0 to rounding: an error relative to it is undefined.")
    # Scores less their class mean: c_a = s_a - sum of the class's weight_b s_b.
    same_class = scores.correct[:, None] == scores.correct[None, :]
    centre = np.eye(scores.weight.size) - np.where(same_class, scores.weight[None, :], 0.0)
    inner = centre @ scores.gram @ centre.T
    along = centre @ scores.gram @ scores.contrast
    right, wrong = _mean_reciprocals(scores.p, float(np.sum(np.asarray(policy)[~scores.correct])), rollouts // 2)
    share = scores.weight * np.where(scores.correct, right, wrong)
    variance = 2.0 * float(share @ along**2) + float(share @ inner**2 @ share)
    return float(np.sqrt(variance)) / kappa


def _mean_reciprocals(p: float, q: float, fold: int) -> tuple[float, float]:
    """(E[1/k], E[1/(N-k)]), k ~ Binomial(N, p) given 1 <= k <= N-1."""
    k = np.arange(1, fold, dtype=np.float64)
    log_weight = k * np.log(p) + (fold - k) * np.log(q) - gammaln(k + 1.0) - gammaln(fold - k + 1.0)
    weight = np.exp(log_weight - logsumexp(log_weight))
    return float(weight @ (1.0 / k)), float(weight @ (1.0 / (fold - k)))
