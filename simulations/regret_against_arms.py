"""How does regret grow with the number of arms at a fixed horizon, and what happens where K passes T?

    python -m simulations.regret_against_arms --out runs/regret-against-arms

One arm pays with probability .9, the K − 1 others with .5; T = 1000 pulls; six learners; K from 2 to 10^100. An index
that tries every arm first has the regret T (best − average) once K ≥ T, which is T·.4·(1 − 1/K): it never uses what it
saw. What samples with replacement, or commits to what has paid, need not.
"""

# %% The instances and the learners
from __future__ import annotations

import math
from pathlib import Path

from bandit_rft import arms, learners, sweep
from bandit_rft.contract import ArmSet, LearnerFactory
from bandit_rft.sweep import SweepResult
from simulations.study import main_of

ROUNDS = 1000
LOG10_ARMS = [math.log10(2), 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 6.0, 100.0]
LEARNERS = {
    "UCB1": learners.UCB1(),
    "Thompson (Beta)": learners.ThompsonBeta(),
    "greedy": learners.Greedy(initial_value=0.0),
    "epsilon-greedy (.1)": learners.EpsilonGreedy(epsilon=0.1),
    "EXP3 (loss)": learners.EXP3("loss"),
    "softmax PG (raw, .5)": learners.SoftmaxPolicyGradient(step_size=0.5),
}


def make(learner: str, log10_arms: float) -> tuple[ArmSet, LearnerFactory]:
    """One arm of mean .9 among K."""
    others = math.log10(max(10**log10_arms - 1, 1)) if log10_arms < 15 else log10_arms
    table = arms.Classes(log_counts=[0.0, others * math.log(10)], means=[0.9, 0.5])
    return table, LEARNERS[learner]


# %% The sweep
def study(out: Path | None, seeds: int, progress=None) -> SweepResult:
    """Final regret of each learner at each K."""
    over = {"learner": list(LEARNERS), "log10_arms": LOG10_ARMS}
    return sweep(make, over, rounds=ROUNDS, seeds=seeds, out=out, progress=progress)


if __name__ == "__main__":
    main_of(study, __doc__, seeds=64)
