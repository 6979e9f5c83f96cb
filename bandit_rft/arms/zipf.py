"""A Zipf base policy in log bins: very many arms of unequal prior mass in a few classes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from bandit_rft import arguments
from bandit_rft.errors import InputError

_SUMMED = 10_000  # ranks


def zipf_log_mass(log_counts: Sequence[float], exponent: float = 1.0) -> list[float]:
    """Base-policy log masses of classes that are log bins of a Zipf law over ranks: class 0 holds the likeliest arms.

    Arm of rank r has mass ∝ r^−exponent; class c holds the next exp(log_counts[c]) ranks. The first 10,000 ranks are
    summed, and of the others the sum is Euler–Maclaurin's, to ten digits and more for exponents up to 10.

    Args:
        log_counts: C logarithms of whole numbers of arms.
        exponent: at least 0.

    Returns:
        C logarithms, not normalised: `Classes(base_log_mass=)` normalises them.

    Raises:
        InputError: exponent negative or not finite, no class, or one of less than one arm.

    Example:
        >>> from bandit_rft import arms
        >>> [round(mass, 3) for mass in arms.zipf_log_mass([0.0, 0.0])]
        [0.0, -0.693]
    """
    exponent = arguments.at_least("exponent", exponent, 0.0)
    counts = arguments.numbers("log_counts", log_counts)
    if not np.all(np.isfinite(counts)) or np.any(counts < -1e-12):
        raise InputError("log_counts must be finite and at least 0: every class needs one arm or more.")
    return [
        _log_sum(float(np.logaddexp.reduce([-math.inf, *counts[:place]])), float(log_count), exponent)
        for place, log_count in enumerate(counts)
    ]


def _log_sum(log_before: float, log_count: float, exponent: float) -> float:
    """ln of the sum of r^−exponent over the exp(log_count) ranks after the first exp(log_before)."""
    before = round(math.exp(log_before)) if log_before < math.log(_SUMMED) else _SUMMED
    count = round(math.exp(log_count)) if log_count < math.log(_SUMMED) else _SUMMED
    summed = np.arange(before + 1, min(before + count, _SUMMED) + 1, dtype=np.float64)
    if summed.size == count < _SUMMED:
        return math.log(float(np.sum(summed**-exponent)))
    if not summed.size:
        return _log_tail(log_before, log_count, exponent)
    log_head, summed_share = math.log(float(np.sum(summed**-exponent))), summed.size * math.exp(-log_count)
    if 1 - summed_share < 0.5 * math.exp(-log_count):  # not half an arm is left
        return log_head
    rest = math.log(_SUMMED), log_count + math.log1p(-summed_share)
    return float(np.logaddexp(log_head, _log_tail(*rest, exponent)))


def _log_tail(log_before: float, log_count: float, exponent: float) -> float:
    """`_log_sum` beyond `_SUMMED` ranks: the integral of x^−s from a half below the first rank to a half above the
    last, and the first correction of the midpoint rule, s/24 (high^(−s−1) − low^(−s−1)).
    """
    log_low = float(np.logaddexp(log_before, math.log(0.5)))
    width = float(np.logaddexp(0.0, log_count - log_low))  # ln(high/low), to its last digits where it is tiny
    power = 1.0 - exponent
    area = width if power * width == 0.0 else abs(_expm1(power * width)[0] / power)
    log_area = math.log(area) + _expm1(power * width)[1] + power * log_low
    correction = exponent / 24.0 * math.expm1(-(exponent + 1.0) * width)
    return log_area + math.log1p(correction * math.exp(-(exponent + 1.0) * log_low - log_area))


def _expm1(x: float) -> tuple[float, float]:
    """e^x − 1 as (number, logarithm of a factor), which does not overflow."""
    return (-math.expm1(-x), x) if x > 1.0 else (math.expm1(x), 0.0)
