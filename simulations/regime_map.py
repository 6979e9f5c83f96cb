"""Who learns within the horizon, by the number of arms and the mass that the base policy gives to the correct one?

    python -m simulations.regime_map --out runs/regime-map

One correct arm among K, base policy with mass p0 on it, T = 1000 pulls. A learner that starts from the base policy is
bound by p0 and does not see K; one that starts from ignorance is bound by K and does not see p0.
"""

# %% The learners and the grid
from __future__ import annotations

from pathlib import Path

import numpy as np

from bandit_rft import History, arms, learners, sweep
from bandit_rft.contract import ArmSet, LearnerFactory
from bandit_rft.sweep import SweepResult
from simulations.study import main_of

ROUNDS = 1000
LOG10_ARMS = [1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 6.0, 100.0]
P0 = [0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3]
LEARNERS = {
    "softmax PG (raw, .5)": learners.SoftmaxPolicyGradient(step_size=0.5),
    "explore until success": learners.ExploreUntilSuccess(),
    "UCB1": learners.UCB1(),
    "Thompson (Beta)": learners.ThompsonBeta(),
}


def make(learner: str, log10_arms: float, p0: float) -> tuple[ArmSet, LearnerFactory]:
    """One correct arm."""
    return arms.Needle(log10_arms=log10_arms, p0=p0), LEARNERS[learner]


def last_tenth(history: History) -> np.ndarray:
    """float64 [S], Pass@1 averaged over the last tenth of the rounds."""
    return history.value[:, -max(1, history.rounds // 10) :].mean(axis=1)


# %% The sweep
def study(out: Path | None, seeds: int, progress=None) -> SweepResult:
    """Pass@1 at the end of each learner at each K and p0."""
    over = {"learner": list(LEARNERS), "log10_arms": LOG10_ARMS, "p0": P0}
    return sweep(make, over, rounds=ROUNDS, seeds=seeds, out=out, measure={"value": last_tenth}, progress=progress)


if __name__ == "__main__":
    main_of(study, __doc__, seeds=32)
