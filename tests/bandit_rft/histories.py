"""Histories made by hand, and how often an honest interval may miss."""

import numpy as np
from scipy import stats

from bandit_rft.history import History


def make_history(seeds=3, rounds=5, rollouts=2, seed=0, best_mean=0.9, **changes):
    """Random rewards and means: nothing that a curve may assume beyond the shapes."""
    generator = np.random.default_rng(seed)
    fields = {
        "rewards": generator.random((seeds, rounds, rollouts)),
        "value": generator.random((seeds, rounds)),
        "pulled_mean": generator.random((seeds, rounds, rollouts)),
        "best_mean": best_mean,
    }
    return History(**{**fields, **changes})


def valued(value, **changes):
    value = np.atleast_2d(np.asarray(value, dtype=np.float64))
    return make_history(*value.shape, 1, value=value, **changes)


def misses_allowed(experiments, rate):
    """Largest count of misses that a true `rate` exceeds with probability below 0.001."""
    return int(stats.binom.ppf(0.999, experiments, rate))
