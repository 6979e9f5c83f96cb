"""Signals of a window of scores, written out: what the audit of windows is measured with."""

from __future__ import annotations

from typing import Any

import numpy as np

from simulations.theory_audit.explicit_groups import signal_of

PROBABILITIES = (0.1, 0.3, 0.5, 0.8)


def of_window(signal: str, scores: np.ndarray, group: int, **options: Any) -> np.ndarray:
    """Signals of the newest scores [group] in a window [N], which come first."""
    if not np.ptp(scores):
        return np.zeros(group)
    return signal_of(signal, scores, **options)[:group]
