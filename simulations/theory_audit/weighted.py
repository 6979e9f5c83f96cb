"""Audit of losses that weigh responses by their length."""

from __future__ import annotations

from typing import Any

import numpy as np

from simulations.theory_audit.case import Case, Measured, exact

_SPREADS = (0.0, 1.0, 3.0, 9.0)
_STEP = 0.3
_RANDOM = np.random.default_rng(7)
_FEATURES = _RANDOM.standard_normal((12, 5))
_LOGITS = _RANDOM.standard_normal(12)
_CORRECT = np.arange(12) < 4


def _weights(spread: float) -> np.ndarray:
    """1/length: the correct responses are 1, 1 + spread, 1 + 2 spread, ... tokens long, the others 5."""
    return 1 / np.where(_CORRECT, 1 + spread * np.arange(12), 5.0)


def _policy(logits: np.ndarray) -> np.ndarray:
    weight = np.exp(logits - logits.max())
    return weight / weight.sum()


def _scores() -> np.ndarray:
    return _FEATURES - _policy(_LOGITS) @ _FEATURES


def _predicted(function: Any, weights: Any) -> list[float]:
    scores, policy = _scores(), _policy(_LOGITS)
    return [function(scores @ scores.T, policy, _CORRECT, weights(spread), _STEP) for spread in _SPREADS]


def _moved() -> Measured:
    """Logit p along the expected update of a log-linear policy, differentiated numerically."""
    policy, scores = _policy(_LOGITS), _scores()

    def logit(step: float, direction: np.ndarray) -> float:
        p = _policy(_LOGITS + step * _FEATURES @ direction)[_CORRECT].sum()
        return float(np.log(p) - np.log1p(-p))

    found = []
    for spread in _SPREADS:
        direction = _STEP * (policy * _weights(spread) * _CORRECT) @ scores
        # Fourth order, so that rounding and curvature both stay below 1e-9 of the derivative.
        h = 1e-3
        ends = [logit(k * h, direction) for k in (-2, -1, 1, 2)]
        found.append((ends[0] - 8 * ends[1] + 8 * ends[2] - ends[3]) / (12 * h))
    return exact(found)


CASES = (
    Case(
        entry="weighted_drift",
        instance="12 responses of 5 features, 4 correct, each weighed by 1/length",
        x=_SPREADS,
        x_label="tokens by which each correct response is longer than the one before",
        y_label="change of logit p a round",
        predict=lambda f: _predicted(f, _weights),
        measure=lambda key: _moved(),
        tolerance=1e-8,
        why="The derivative is taken numerically.",
    ),
    Case(
        entry="weighted_drift",
        instance="the same, as if every response weighed one over their mean length",
        x=_SPREADS[1:],
        x_label="tokens by which each correct response is longer than the one before",
        y_label="change of logit p a round",
        predict=lambda f: _predicted(f, lambda spread: np.full(12, 1 / np.mean(1 / _weights(spread))))[1:],
        measure=lambda key: Measured(*(part[1:] for part in _moved())),
        inside=False,
        why="The lengths differ, and short correct responses are learnt first.",
    ),
)
