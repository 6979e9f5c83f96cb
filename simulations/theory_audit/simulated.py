"""Runs of the library that several audits draw."""

from __future__ import annotations

from typing import Any

import numpy as np

from bandit_rft import arms, learners, run


def hitting_times(rounds: int, seeds: int, key: int, needle: dict[str, Any], **learner: Any) -> np.ndarray:
    """First round with Pass@1 >= 1/2 of each seed; `rounds` where there was none."""
    history = run(arms.Needle(**needle), learners.SoftmaxPolicyGradient(**learner), rounds=rounds, seeds=seeds, key=key)
    reached = history.value >= 0.5
    return np.where(reached.any(axis=1), reached.argmax(axis=1), rounds).astype(float)
