"""A Zipf base policy in log bins: very many arms of unequal prior mass in a few classes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from bandit_rft.errors import InputError


def zipf_log_mass(log_counts: Sequence[float], exponent: float = 1.0) -> list[float]:
    """Base-policy log masses of classes that are log bins of a Zipf law over ranks: class 0 holds the likeliest arms.

    Arm of rank r has mass ∝ r^−exponent; class c holds the next exp(log_counts[c]) ranks. The mass of a bin is the
    Euler–Maclaurin value of its sum (exact to 1e-10 for bins beyond rank 10; bins before it are summed).

    Args:
        log_counts: C logarithms of whole numbers of arms.
        exponent: at least 0.

    Returns:
        C logarithms, not normalised: `Classes(base_log_mass=)` normalises them.

    Raises:
        InputError: exponent negative or no class.

    Example:
        >>> from bandit_rft import arms
        >>> [round(mass, 3) for mass in arms.zipf_log_mass([0.0, 0.0])]
        [0.0, -0.693]
    """
    if not (exponent >= 0 and math.isfinite(exponent)) or not len(log_counts):
        raise InputError("A Zipf base policy needs an exponent of at least 0 and one class or more.")
    masses: list[float] = []
    log_start = -math.inf  # ln of the number of ranks before this bin
    for log_count in log_counts:
        log_end = float(np.logaddexp(log_start, log_count))
        first, last = (
            0 if log_start == -math.inf else round(math.exp(min(log_start, 40.0))),
            math.exp(min(log_end, 40.0)),
        )
        if last <= 1e6:
            ranks = np.arange(first + 1, round(last) + 1, dtype=np.float64)
            masses.append(math.log(float(np.sum(ranks**-exponent))))
        else:
            masses.append(_log_power_integral(log_start, log_end, exponent))
        log_start = log_end
    return masses


def _log_power_integral(log_start: float, log_end: float, exponent: float) -> float:
    """ln of the sum of r^−exponent over start < r ≤ end, by the midpoint form of Euler–Maclaurin: the integral from
    start + 1/2 to end + 1/2.
    """
    low = math.log(0.5) if log_start == -math.inf else float(np.logaddexp(log_start, math.log(0.5)))
    high = float(np.logaddexp(log_end, math.log(0.5)))
    if exponent == 1.0:
        return math.log(high - low)
    power = 1.0 - exponent
    top, bottom = (power * high, power * low) if power > 0 else (power * low, power * high)
    return top + math.log(-math.expm1(bottom - top)) - math.log(abs(power))
