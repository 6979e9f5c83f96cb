"""Infinitely many Bernoulli arms, means uniform on [0, 1]: who comes near the bound sqrt(2n)?

    python -m simulations.infinite_arms --out runs/infinite-arms

Berry et al. 1997 show that no strategy has expected regret below sqrt(2n) for large n; Bonald and Proutière 2013 that
two targets reach it; the best run costs 2 sqrt(n) if it never gives up, (2 + 2/e) sqrt(n) as it is here.
"""

# %% The strategies
from __future__ import annotations

from pathlib import Path

from bandit_rft import arms, learners, sweep
from bandit_rft.contract import ArmSet, LearnerFactory
from bandit_rft.sweep import SweepResult
from simulations.study import main_of

PULLS = [100, 300, 1000, 3000, 10_000]
LEARNERS = {
    "one failure": learners.OneFailure(),
    "best run": learners.BestRun(),
    "two targets, m = 3": learners.TwoTarget(failures=3),
    "two targets, m = 6": learners.TwoTarget(failures=6),
    "UCB-F": learners.UCBF(),
    "Thompson on sqrt(n) arms": None,
}


def make(learner: str, rounds: int) -> tuple[ArmSet, LearnerFactory]:
    """The uniform reservoir."""
    chosen = LEARNERS[learner]
    if chosen is None:
        chosen = learners.Subsampled(learners.ThompsonBeta(), size=max(2, round(rounds**0.5)))
    return arms.Reservoir("uniform"), chosen


# %% The sweep
def study(out: Path | None, seeds: int, progress=None) -> SweepResult:
    """Final regret of each strategy at each horizon, which the strategies know."""
    over = {"learner": list(LEARNERS), "rounds": PULLS}
    # No strategy here touches more arms than this in 10^4 pulls; one that did would stop the sweep with an error.
    return sweep(make, over, seeds=seeds, out=out, row_capacity=3000, progress=progress)


if __name__ == "__main__":
    main_of(study, __doc__, seeds=128)
