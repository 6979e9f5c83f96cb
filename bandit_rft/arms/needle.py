"""A needle in a haystack: m correct arms (reward 1) among K (reward 0), K up to 10^100000 and beyond.

The bandit reading of one training prompt under a verifier (arXiv 2601.14599): each possible response is an arm, a
correct response an optimal arm, and the base model gives the correct ones mass p0, its Pass@1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from bandit_rft import arguments
from bandit_rft.arms.classes import Classes
from bandit_rft.errors import InputError


@dataclass(frozen=True, init=False)
class Needle(Classes):
    """m optimal arms among K = 10^log10_arms; deterministic rewards 1 and 0.

    Args:
        log10_arms: log10 of the number of arms K. Arms come whole: below 10^15, K is 10^log10_arms rounded to the
            nearest whole number (log10_arms=2.30103 is 200 arms).
        optimal: m, the number of arms of reward 1 (a Python integer of any size), at least 1 and below K.
        p0: mass that the base policy gives to the optimal arms as a whole, in (0, 1); None is the uniform policy, m/K.

    Raises:
        InputError: K ≤ optimal, optimal below 1, p0 outside (0, 1), or log10_arms not finite.

    Example:
        >>> from bandit_rft import arms
        >>> round(arms.Needle(log10_arms=100, optimal=1, p0=0.05).log_arms, 2)
        230.26
    """

    log10_arms: float
    optimal: int

    def __init__(self, log10_arms: float, optimal: int = 1, p0: float | None = None) -> None:
        log10_arms = arguments.positive("log10_arms", log10_arms)
        optimal = arguments.whole("optimal", optimal, most=None)
        log_optimal = math.log(optimal)
        log_wrong = _log_difference(log10_arms, optimal)
        p0 = None if p0 is None else arguments.fraction("p0", p0)
        base = None if p0 is None else [math.log(p0), math.log1p(-p0)]
        super().__init__([log_optimal, log_wrong], [1.0, 0.0], base)
        object.__setattr__(self, "log10_arms", float(log10_arms))
        object.__setattr__(self, "optimal", optimal)


def _log_difference(log10_arms: float, optimal: int) -> float:
    """ln(K − m): in whole numbers where 10^log10_arms is one (up to 10^100000), in logarithms otherwise.

    Raises:
        InputError: K ≤ m.
    """
    arms = None
    if log10_arms == int(log10_arms) and log10_arms <= 100_000:
        arms = 10 ** int(log10_arms)
    elif log10_arms < 15:
        arms = round(10.0**log10_arms)
    # Within rounding of its own logarithm a K this large cannot be told from m: it is refused like K = m.
    ratio = math.log(optimal) - log10_arms * math.log(10.0)
    if (arms is not None and arms <= optimal) or (arms is None and ratio > -1e-12):
        raise InputError(
            f"There are 10^{log10_arms:g} arms with {_short(optimal)} optimal: the number of arms must exceed the "
            "number of optimal ones."
        )
    return math.log(arms - optimal) if arms is not None else log10_arms * math.log(10.0) + math.log1p(-math.exp(ratio))


def _short(number: int) -> str:
    return str(number) if number < 10**9 else f"10^{math.log10(number):g}"
