"""The policy that a KL penalty towards the base policy leads to."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit

from bandit_rft import arguments
from bandit_rft.theory.catalogue import entry
from bandit_rft.theory.checks import check_probabilities

__all__ = ["kl_optimum"]


@entry(
    formula=r"p^* = \frac{p_0 e^{1/\beta}}{1 - p_0 + p_0 e^{1/\beta}},\quad \mathrm{logit}\,p^* = "
    r"\mathrm{logit}\,p_0 + 1/\beta",
    assumptions=(
        "Rewards 0 and 1; the objective is E[r] - beta KL(policy | base), the expectation under the policy "
        "(the penalty's other direction, and what k3 in the loss descends, has another optimum).",
        "The policy class holds every policy, or at least the base policy tilted by e^{r/beta}.",
    ),
    source="elementary (the Gibbs variational principle); derived here (docs/derivations.md)",
    units={
        "p0": "probability of a correct answer under the base policy, in (0, 1), any shape",
        "beta": "weight of the KL penalty, above 0",
    },
    section="F8",
    kind="quantity",
    derivation="`kl_optimum`",
)
def kl_optimum(p0: ArrayLike, beta: float) -> float | np.ndarray:
    """Pass@1 of the best policy under a KL penalty: the most that such training can reach.

    Returns:
        A float for scalar p0, otherwise float64 of its shape.

    Raises:
        InputError: p0 outside (0, 1), beta not positive.

    Example:
        >>> from bandit_rft import theory
        >>> round(float(theory.kl_optimum(0.1, beta=0.5)), 4)
        0.4509
    """
    base, beta = check_probabilities(p0), arguments.positive("beta", beta)
    result = expit(np.log(base) - np.log1p(-base) + np.reciprocal(beta))
    return float(result) if result.ndim == 0 else result
