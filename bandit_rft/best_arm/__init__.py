"""Best-arm identification: pull until it is known which arm is best, or as long as the budget lasts.

    found = identify(arms.Bernoulli([0.6, 0.4, 0.3]), TrackAndStop(delta=0.1), seeds=200, key=0)
    found.correct.mean(), found.mean_pulls            share of runs that named the best arm, and what it cost
    theory.identification_lower([0.6, 0.4, 0.3], delta=0.1)       what no rule of that confidence can go below

Two rules of a fixed confidence, `TrackAndStop` and `LUCB`, run on explicit tables. No such rule ends at 10^100 arms: it
has to pull every arm, so its lower bound grows with the number of arms. `SequentialHalving` has a budget instead, and
a stage of it treats all arms alike, so that an arm's class is all that matters between stages: it runs at 10^100 arms.
"""

from bandit_rft.best_arm.halving import SequentialHalving
from bandit_rft.best_arm.identify import Identified, identify
from bandit_rft.best_arm.lucb import LUCB
from bandit_rft.best_arm.track_and_stop import TrackAndStop, optimal_weights

__all__ = ["LUCB", "Identified", "SequentialHalving", "TrackAndStop", "identify", "optimal_weights"]
