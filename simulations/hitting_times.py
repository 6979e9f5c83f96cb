"""When does a run of the minimalist configuration first get half of its answers right, and how random is that?

    python -m simulations.hitting_times --out runs/hitting-times

One correct arm among 10^100, p0 = .05, one rollout per round, the raw reward, three step sizes. 1/p0 = 20 rounds is a
floor that no step size beats, and the larger the step the nearer the spread comes to an exponential law's.
"""

# %% The steps
from __future__ import annotations

from pathlib import Path

import numpy as np

from bandit_rft import History, arms, learners, sweep
from bandit_rft.contract import ArmSet, LearnerFactory
from bandit_rft.sweep import SweepResult
from simulations.study import main_of

LEVEL = 0.5
ROUNDS = 600
P0 = 0.05
STEPS = [0.25, 1.0, 4.0]


def make(step_size: float) -> tuple[ArmSet, LearnerFactory]:
    """A needle among 10^100 arms."""
    return arms.Needle(log10_arms=100, p0=P0), learners.SoftmaxPolicyGradient(step_size=step_size)


def first_round(history: History) -> np.ndarray:
    """float64 [S], first round whose Pass@1 is at least the level; the number of rounds where none is."""
    reached = history.value >= LEVEL
    return np.where(reached.any(axis=1), reached.argmax(axis=1), history.rounds).astype(np.float64)


# %% The sweep
def study(out: Path | None, seeds: int, progress=None) -> SweepResult:
    """The hitting time of each seed at each step size."""
    over = {"step_size": STEPS}
    measure = {"hitting_time": first_round}
    return sweep(make, over, rounds=ROUNDS, seeds=seeds, out=out, measure=measure, progress=progress)


if __name__ == "__main__":
    main_of(study, __doc__, seeds=8000)
