"""What can be said of a question that no sampled response was right on: how long the first success lets wait."""

from __future__ import annotations

import math

from scipy.optimize import brentq
from scipy.special import betaln

from bandit_rft import arguments
from bandit_rft.errors import InputError
from bandit_rft.theory.catalogue import entry

__all__ = ["pulls_to_first_success", "wait_in_words"]

_FARTHEST = 700.0  # ln of the pulls above which the answer is infinite: exp would overflow


@entry(
    formula=r"P(N > t) = \frac{B(k+\frac12,\; n-k+\frac12+t)}{B(k+\frac12,\; n-k+\frac12)};\qquad "
    r"N_q:\ P(N > N_q) = 1-q",
    assumptions=(
        "Responses are independent and each is right with the same unknown p0: the policy has not moved yet. So it is "
        "under a signal that is zero in a group without a success (raw, GRPO, RLOO, MaxRL), until the first success.",
        "Nothing is known of p0 but that k of n responses were right: Jeffreys' prior, Beta(1/2, 1/2).",
    ),
    source="derived here (docs/derivations.md); the beta-geometric law, and Jeffreys' prior for a proportion: Brown, "
    "Cai and DasGupta 2001",
    units={"probability": "q, 0 to 1", "successes": "k", "rollouts": "n"},
    section="E1",
    kind="quantity",
    derivation="`pulls_to_first_success`",
)
def pulls_to_first_success(probability: float, successes: int, rollouts: int) -> float:
    """Pulls that the first success has come within, with this probability, where k of n responses were right before.

    With none of n right p0 has no estimate, so that no learning curve can be predicted; the wait for the first success
    can. For k = 0 and many responses P(N > t) is sqrt(n / (n + t)): the median is 3 n pulls, and the wait is from .23 n
    to 99 n with probability .8. The interval is wide because n failures say no more.

    Args:
        probability: q, strictly between 0 and 1.
        successes: k, of the responses that were sampled. rollouts: n.

    Returns:
        Pulls, a real number that interpolates between whole ones; inf above exp(700).

    Raises:
        InputError: q outside 0 to 1, or counts that do not fit.

    Example:
        >>> from bandit_rft import theory
        >>> [round(theory.pulls_to_first_success(q, 0, 256)) for q in (0.1, 0.5, 0.9)]
        [60, 769, 25369]
    """
    if not 0.0 < arguments.number("probability", probability) < 1.0:
        raise InputError(f"probability is {probability}: give a number strictly between 0 and 1.")
    k, n = arguments.whole("successes", successes, least=0), arguments.whole("rollouts", rollouts)
    if k > n:
        raise InputError(f"successes is {k} of {n} rollouts: give at most {n}.")
    a, b = k + 0.5, n - k + 0.5
    wanted = math.log1p(-probability) + betaln(a, b)

    def above(log_pulls: float) -> float:
        return betaln(a, b + math.exp(log_pulls)) - wanted

    if above(_FARTHEST) >= 0.0:
        return math.inf
    return math.exp(float(brentq(above, -_FARTHEST, _FARTHEST)))  # type: ignore[arg-type]


def wait_in_words(rollouts: int) -> str:
    """What n wrong responses say of the first right one: a sentence."""
    low, middle, high = (pulls_to_first_success(share, 0, rollouts) for share in (0.1, 0.5, 0.9))
    return (
        f"The first right response comes within {middle:,.0f} pulls with probability 1/2, and after {low:,.0f} to "
        f"{high:,.0f} with probability .8 (theory.pulls_to_first_success)."
    )
