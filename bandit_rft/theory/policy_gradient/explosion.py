r"""The law of Y = E_0 + q E_1 + q^2 E_2 + ..., E_n independent standard exponentials, q = e^{-step}, for any step.

Y is the time at which a pure birth process of rates e^{step n} explodes: the time that one arm needs to reinforce
itself to the top. Two forms, each where it keeps its digits:

    large steps   P(Y > y) = sum_n a_n e^{-e^{step n} y},  a_n = (-1)^n q^{n(n+1)/2} / [(q;q)_n (q;q)_inf],  sum a_n = 1
    small steps   P(Y <= y) = 1/(2 pi i) int e^{sy} phi(s)/s ds  over Re s = c,  phi(s) = prod_n 1/(1 + s q^n)

The sum's terms cancel like e^{pi^2/(4 step)}; the integral is taken through its saddle c, where nothing cancels, by the
trapezoidal rule, whose error is known. Each point y is named by its saddle, y(c) = 1/c + sum_n q^n/(1 + c q^n).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.polynomial import Polynomial
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.special import bernoulli, factorial, spence

from bandit_rft.errors import InputError

__all__ = ["Explosion", "Point"]

_DIRECT_STEP = 0.3  # sums over n are taken term by term from here, by Euler and Maclaurin below
_SERIES_STEP = 0.2  # the alternating sum is hopeless below
_PRECISION = 1e-11  # relative, of P(Y <= y); or that much of 1/number, which the smallest of `number` cannot tell
_EPSILON = 2.0**-52
_TOLERANCE = 1e-9  # relative, of the moments
_ROOT = 1e-12  # absolute, of ln c
_EDGE = 34.0  # e^-34 = 2e-15: what the trapezoidal rule and tails of products leave out
_FAR = 28.0  # e^-28 = 7e-13: what integrals over P(T > y) leave out at either end
_STRIDE, _MOST_STRIDES = 1.0, 100  # by which brackets grow
_BELOW_ONE, _LARGEST_LOG, _LARGEST_SQUARE, _TAIL = 1.0 - 2.0**-53, 700.0, 1500.0, 40.0
_BLOCK, _MOST_NODES = 512, 4_000_000
_ORDERS = 7
_EULER_MACLAURIN = bernoulli(2 * _ORDERS)[2::2] / factorial(np.arange(2, 2 * _ORDERS + 1, 2))


def _logistic_derivatives(count: int) -> list[Polynomial]:
    """The derivatives of x = w/(1 + w) by ln w, as polynomials in x: x' = x(1 - x)."""
    found = [Polynomial([0.0, 1.0])]
    while len(found) < count:
        found.append(found[-1].deriv() * Polynomial([0.0, 1.0, -1.0]))
    return found


_DERIVATIVES = _logistic_derivatives(2 * _ORDERS + 2)


class Point(NamedTuple):
    """Y's law at one place: y, P(Y <= y), and -dy/d ln c."""

    y: float
    below: float
    slope: float


@dataclass(frozen=True)
class Explosion:
    """The law of Y for one step above 0, and of the smallest of `number` independent copies."""

    step: float
    number: float = 1.0

    def point(self, log_tilt: float) -> Point:
        """The law at the y whose saddle is c = e^log_tilt."""
        tilt = math.exp(log_tilt)
        share = self._sum(0, tilt)
        spread = 1.0 + share - self._sum(1, tilt)  # 1 + sum_n (c q^n)^2 / (1 + c q^n)^2
        y = (1.0 + share) / tilt
        below = self._series(y) or self._contour(tilt, y, spread)
        return Point(y, below, spread / tilt)

    def log_tilt_at(self, y: float) -> float:
        """ln c of the point y."""
        low = -math.log(y)  # y(c) falls in c and is at least 1/c
        high = _search(lambda v: self._place(v) > y, low, _STRIDE)
        return _root(lambda v: self._place(v) - y, low, high)

    def log_survival(self, log_tilt: float) -> float:
        """ln P(all copies > y) at the point named by its saddle."""
        return self._log_survival(self.point(log_tilt))

    def _log_survival(self, point: Point) -> float:
        return self.number * math.log1p(-min(point.below, _BELOW_ONE))

    def log_tilt_of_survival(self, log_survival: float) -> float:
        """ln c of the y with ln P(all copies > y) = log_survival, which must lie in [-_FAR, 0)."""
        low = _search(lambda v: self.log_survival(v) > log_survival, 0.0, -_STRIDE)
        high = _search(lambda v: self.log_survival(v) < log_survival, low, _STRIDE)
        return _root(lambda v: self.log_survival(v) - log_survival, low, high)

    def smallest(self) -> tuple[float, float]:
        """Mean and standard deviation of the smallest of the copies."""
        low = self.log_tilt_of_survival(-_FAR)
        high = self.log_tilt_of_survival(-math.exp(-_FAR))
        start = self._place(high)

        @functools.lru_cache(maxsize=4096)
        def weighted(log_tilt: float) -> tuple[float, float]:
            """(y, P(T > y) dy)"""
            point = self.point(log_tilt)
            return point.y, math.exp(self._log_survival(point)) * point.slope

        mean = start + quad(lambda v: weighted(v)[1], low, high, epsabs=0.0, epsrel=_TOLERANCE, limit=400)[0]
        below = (mean - start) ** 2

        def spread(log_tilt: float) -> float:
            y, weight = weighted(log_tilt)
            return 2.0 * (y - mean) * weight

        # E(T - mean)^2 = (mean - a)^2 + 2 int_a (y - mean) P(T > y) dy wherever P(T > a) = 1.
        variance = below + quad(spread, low, high, epsabs=_TOLERANCE * below, epsrel=_TOLERANCE, limit=400)[0]
        return mean, math.sqrt(variance)

    def _place(self, log_tilt: float) -> float:
        tilt = math.exp(log_tilt)
        return (1.0 + self._sum(0, tilt)) / tilt

    def _sum(self, order: int, s):
        """sum_{n >= 0} of the order-th derivative of w/(1 + w) by ln w at w = s q^n; order -1 is ln(1 + w)."""
        if self.step >= _DIRECT_STEP:
            terms = math.ceil((_EDGE + math.log1p(float(np.max(np.abs(s))))) / self.step)
            w = np.multiply.outer(np.exp(-self.step * np.arange(terms)), s)
            each = np.log1p(w) if order < 0 else _DERIVATIVES[order](w / (1.0 + w))
            return each.sum(axis=0)
        share = s / (1.0 + s)

        def derivative(k: int):
            if k >= 0:
                return _DERIVATIVES[k](share)
            return np.log1p(s) if k == -1 else -spence(1.0 + s)

        total = derivative(order - 1) / self.step + derivative(order) / 2.0
        for k, coefficient in enumerate(_EULER_MACLAURIN):
            total = total + coefficient * self.step ** (2 * k + 1) * derivative(order + 2 * k + 1)
        return total

    def _series(self, y: float) -> float | None:
        """P(Y <= y) by the alternating sum, None where too many digits cancel."""
        if self.step < _SERIES_STEP:
            return None
        coefficient, rate = _series_terms(self.step)
        risen = coefficient * -np.expm1(-rate * y)
        below = float(risen.sum())
        return below if _EPSILON * np.abs(risen).sum() < _PRECISION * max(below, 1.0 / self.number) else None

    def _contour(self, tilt: float, y: float, spread: float) -> float:
        """The same by the integral along Re s = tilt."""
        log_peak = tilt * y - float(self._sum(-1, tilt))
        log_below = min(log_peak - 0.5 * math.log(2.0 * math.pi * spread), 0.0)  # the saddle's own estimate
        # A spacing of 2 pi/L adds e^{-cL} P(Y <= y + L) to P(Y <= y), and no more that could count.
        spacing = 2.0 * math.pi * tilt / (_EDGE - log_below)
        total, largest = 0.5, math.inf
        for first in range(1, _MOST_NODES, _BLOCK):
            s = tilt + 1j * spacing * np.arange(first, first + _BLOCK)
            exponent = (s - tilt) * y - (self._sum(-1, s) - self._sum(-1, tilt))
            part = np.exp(exponent) * (tilt / s)
            total += float(part.real.sum())
            largest = float(np.abs(part[-1]))
            if largest * (first + _BLOCK) < 1e-13 * abs(total):
                break
        if largest > 1e-9:
            raise InputError(f"step size {self.step:.6g}: the law at y = {y:.6g} is beyond this quadrature.")
        return spacing / math.pi / tilt * math.exp(log_peak) * total


def _search(goes_on: Callable[[float], bool], start: float, stride: float) -> float:
    """The first place from `start`, stride by stride, where `goes_on` is false."""
    for place in start + stride * np.arange(_MOST_STRIDES):
        if not goes_on(float(place)):
            return float(place)
    raise InputError("The law of the takeover was not found at this step size: give one nearer to 1.")


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    return float(brentq(function, low, high, xtol=_ROOT)) if high > low else low  # type: ignore[arg-type]


@functools.lru_cache(maxsize=64)
def _series_terms(step: float) -> tuple[np.ndarray, np.ndarray]:
    """a_n and e^{step n}, as far as a_n is no zero of float64."""
    n = np.arange(math.ceil(math.sqrt(_LARGEST_SQUARE / step)))
    log_factor = np.log(-np.expm1(-step * np.arange(1, math.ceil(_TAIL / step))))  # ln(1 - q^k); the rest are 0
    log_product = np.concatenate([[0.0], np.cumsum(log_factor)])
    partial = log_product[np.minimum(n, log_product.size - 1)]
    log_size = -step * n * (n + 1) / 2.0 - partial - log_product[-1]
    return np.where(n % 2 == 0, 1.0, -1.0) * np.exp(log_size), np.exp(np.minimum(step * n, _LARGEST_LOG))
