"""GRPO as a sequence of policies, each the optimum of whitened rewards under a KL penalty (Mroueh 2025)."""

from __future__ import annotations

import math

import numpy as np

from bandit_rft import arguments
from bandit_rft.errors import InputError
from bandit_rft.theory.catalogue import entry

__all__ = ["mroueh_map"]

_MOST_ITERATIONS = 1_000_000
_REFERENCES = ("mirror", "fixed")


@entry(
    formula=r"z_{n+1} = z_n + \frac{1}{\beta\sqrt{p_n(1-p_n)+\epsilon}}\ (\mathrm{mirror}),\quad "
    r"z_{n+1} = z_0 + \frac{1}{\beta\sqrt{p_n(1-p_n)+\epsilon}}\ (\mathrm{fixed});\quad "
    r"\frac{1}{\sqrt{p(1-p)}} = 2\cosh(z/2)",
    assumptions=(
        "Each iteration finds the exact maximum of E[A] - beta KL(policy | reference) over all policies.",
        "A = (r - p_n)/sqrt(p_n (1 - p_n) + eps) is whitened by the true p_n of the policy before: infinite groups.",
        "Deterministic 0/1 rewards, no clipping.",
        "mirror: the reference is the policy before; fixed: it is the policy at the start.",
    ),
    source="the scheme of Mroueh, arXiv 2503.06639; recurrences derived here (docs/derivations.md)",
    units={
        "p0": "probability of a correct answer at the start, and of the fixed reference, in (0, 1)",
        "beta": "weight of the KL penalty, above 0",
        "iterations": "number of maximisations, at most a million",
        "reference": "mirror or fixed",
        "eps": "added to the variance, at least 0",
    },
    section="B6",
    kind="quantity",
    derivation="`mroueh_map`",
)
def mroueh_map(p0: float, beta: float, iterations: int, reference: str = "mirror", eps: float = 0.0) -> np.ndarray:
    """Pass@1 of the sequence of KL-regularised GRPO optima.

    The mirror sequence rises to 1. The fixed one rests where z = z0 + 2 cosh(z/2)/beta, which (eps = 0) has a solution
    only if z0 <= 2 asinh(beta) - 2 sqrt(1 + beta^2)/beta; otherwise it too goes to 1, and where it starts below p = 1/2
    a small beta overshoots past the solution.

    Returns:
        float64 [iterations + 1], p_0 first.

    Raises:
        InputError: an argument out of range, or another reference.

    Example:
        >>> from bandit_rft import theory
        >>> [round(float(p), 3) for p in theory.mroueh_map(0.1, beta=1.0, iterations=3)]
        [0.1, 0.757, 0.97, 1.0]
    """
    beta, eps = arguments.positive("beta", beta), arguments.at_least("eps", eps, 0.0)
    p0, iterations = arguments.fraction("p0", p0), arguments.whole("iterations", iterations)
    if iterations > _MOST_ITERATIONS:
        raise InputError(f"iterations is {iterations}: give at most {_MOST_ITERATIONS}.")
    if reference not in _REFERENCES:
        raise InputError(f"reference is {reference!r}: choose one of {', '.join(_REFERENCES)}.")
    start = math.log(p0) - math.log1p(-p0)
    z, found = start, [p0]
    for _ in range(iterations):
        z = (z if reference == "mirror" else start) + _whitened_gap(z, eps) / beta
        found.append(_probability(z))
    return np.asarray(found)


def _whitened_gap(logit: float, eps: float) -> float:
    """1/sqrt(p(1-p) + eps), the whitened reward of a correct answer less that of a wrong one."""
    scale = _probability(logit) * _probability(-logit) + eps
    return math.pow(scale, -0.5) if scale > 0.0 else math.inf


def _probability(logit: float) -> float:
    """1/(1 + e^-z) without overflow."""
    if logit < 0.0:
        return math.exp(logit) / (1.0 + math.exp(logit))
    return 1.0 / (1.0 + math.exp(-logit))
