"""How long does a table take to learn when m arms are correct, in units of m/p0, the wait of each arm for its turn?

    python -m simulations.takeover --out runs/takeover

Each success reinforces the one arm that was pulled; the first to run ahead takes the policy over (an exponential Pólya
urn). p0 = .01 is small enough for the rise after the takeover to take few rounds beside the wait.
"""

# %% The instances
from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from bandit_rft import History, arms, learners, sweep, theory
from bandit_rft.contract import ArmSet, LearnerFactory
from bandit_rft.sweep import SweepResult
from simulations.study import main_of

CORRECT = [1, 3, 10, 30, 100, 300, 1000]
STEPS = [0.5, 1.0, 2.0]
P0 = 0.01


def make(correct: int, step_size: float) -> tuple[ArmSet, LearnerFactory]:
    """m correct arms of equal mass among 10^100."""
    return arms.Needle(log10_arms=100, optimal=correct, p0=P0), learners.SoftmaxPolicyGradient(step_size=step_size)


def horizon(correct: int, step_size: float) -> int:
    """Rounds enough for all but one seed in a million, by the law itself and half as many again."""
    return math.ceil(1.5 * theory.pg_monopoly(P0, step_size, correct).quantile(1 - 1e-6))


def takeover(history: History) -> np.ndarray:
    """float64 [S], first round with Pass@1 of a half, in units of m/p0; NaN would show a horizon that is too short."""
    reached = history.value >= 0.5
    found = np.where(reached.any(axis=1), reached.argmax(axis=1), np.nan)
    return found * P0 / history.config["arms"]["optimal"]


# %% The sweep
def study(out: Path | None, seeds: int, progress=None) -> SweepResult:
    """The takeover time of each seed at each m and step size."""
    over = [
        {"correct": correct, "step_size": step, "rounds": horizon(correct, step)}
        for step in STEPS
        for correct in CORRECT
    ]
    measure = {"takeover": takeover}
    return sweep(make, over, seeds=seeds, out=out, measure=measure, progress=progress)


if __name__ == "__main__":
    main_of(study, __doc__, seeds=256)
