"""The Lai–Robbins constant: what logarithmic regret costs at least on Bernoulli arms."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import rel_entr

from bandit_rft.errors import InputError


def lai_robbins_constant(means: Sequence[float]) -> float:
    """Σ over suboptimal arms of Δ_a / KL(μ_a, μ*): for a consistent learner, lim inf E[R_T] / ln T is at least this.

    Args:
        means: Bernoulli means in [0, 1], one an arm.

    Returns:
        The constant; 0 where every divergence is infinite (the best arm always pays) or no arm is suboptimal.

    Raises:
        InputError: no mean, or one outside [0, 1].

    Source: Lai & Robbins 1985, theorem 1.
    """
    mean = np.asarray(means, dtype=np.float64)
    if mean.ndim != 1 or mean.size == 0 or not np.all((mean >= 0) & (mean <= 1)):
        raise InputError("means must be a list of one or more numbers between 0 and 1.")
    best = mean.max()
    worse = mean[mean < best]
    divergence = rel_entr(worse, best) + rel_entr(1 - worse, 1 - best)
    return float(np.sum((best - worse) / divergence))
