"""How small rewards' spread makes the gradient."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from bandit_rft import arguments
from bandit_rft.theory.catalogue import entry
from bandit_rft.theory.checks import check_probabilities

__all__ = ["gradient_norm"]


@entry(
    formula=r"\|\nabla p\| = \sqrt{\kappa}\;p(1-p) = \sqrt{\kappa}\;\mathrm{Var}(r)",
    assumptions=(
        "Any differentiable policy; deterministic 0/1 rewards, so that Var(r) = p(1-p).",
        "kappa is the squared gradient gap |grad logit p|^2 at this very policy.",
    ),
    source="derived here (docs/derivations.md); the exact form, for 0/1 rewards, of 'a small spread of rewards makes "
    "the gradient vanish' (Razin et al., arXiv 2310.20703)",
    units={
        "p": "probability of a correct answer, in (0, 1), any shape",
        "kappa": "squared gradient gap |grad logit p|^2; a symmetric table: 1/m + 1/(K - m)",
    },
    section="F10",
    kind="quantity",
    derivation="The master identity",
)
def gradient_norm(p: ArrayLike, kappa: float) -> float | np.ndarray:
    """Norm of the gradient of Pass@1.

    Returns:
        A float for scalar p, otherwise float64 of its shape.

    Raises:
        InputError: p outside (0, 1), kappa not positive.

    Example:
        >>> from bandit_rft import theory
        >>> round(float(theory.gradient_norm(0.5, kappa=4.0)), 4)
        0.5
    """
    probability = check_probabilities(p)
    result = math.sqrt(arguments.positive("kappa", kappa)) * probability * (1.0 - probability)
    return float(result) if np.ndim(result) == 0 else result
