"""Regret and what is read off it: curves, bands over seeds, growth with the horizon or with a parameter, hitting times.

curve = regret_curve(history, kind="satisficing", level=0.9)       float64 [S, T]
band(curve), regret_band(history), bayesian_regret(history)        mean over seeds with a confidence band
growth_exponent(curve), log_constant(curve)                        R ~ t^a, or R ~ a + c ln t, with intervals
scaling_exponent(arms, final)                                      the same over a swept parameter
hitting_time(history, level=0.5)                                   first round of a value, censoring kept
compare_learners(histories)                                        differences on common random numbers, with a band
"""

from bandit_rft.regret.bands import Band, band, bayesian_regret, regret_band
from bandit_rft.regret.curves import CURVES, best_mean_of, quantile_level, regret_curve
from bandit_rft.regret.growth import Growth, growth_exponent, log_constant, scaling_exponent
from bandit_rft.regret.hitting import HittingTime, hitting_time
from bandit_rft.regret.paired import LearnerComparison, LearnerDifference, compare_learners, named

__all__ = [
    "CURVES",
    "Band",
    "Growth",
    "HittingTime",
    "LearnerComparison",
    "LearnerDifference",
    "band",
    "bayesian_regret",
    "best_mean_of",
    "compare_learners",
    "growth_exponent",
    "hitting_time",
    "log_constant",
    "named",
    "quantile_level",
    "regret_band",
    "regret_curve",
    "scaling_exponent",
]
