"""Theory: each prediction is a function that returns its curves with assumptions, formula and source.

    theory.pg_jump_single(p0=0.05, step_size=0.5, rounds=400)      softmax policy gradient, one rollout: the exact law
    theory.pg_ode(p0=0.05, step_size=0.5, rounds=400)              the same with exact gradients: closed form
    theory.explore_until_success(p0=0.05, rounds=400)              the benchmark to beat
    theory.drift_multiplier("grpo", p=0.1, rollouts=8)             what a signal's normalisation does
    theory.catalogue(), theory.describe(name)                      what there is

NumPy float64 throughout; nothing here knows whether a table or an LLM is described: p0 and kappa are the interface.
"""

from bandit_rft.theory.bound import Bound
from bandit_rft.theory.catalogue import Entry, catalogue, describe
from bandit_rft.theory.explore import explore_until_success
from bandit_rft.theory.groups import dead_group_probability, drift_multiplier
from bandit_rft.theory.lai_robbins import lai_robbins_constant
from bandit_rft.theory.prediction import Curves, Law, Prediction
from bandit_rft.theory.softmax import pg_jump_single, pg_ode

__all__ = [
    "Bound",
    "Curves",
    "Entry",
    "Law",
    "Prediction",
    "catalogue",
    "dead_group_probability",
    "describe",
    "drift_multiplier",
    "explore_until_success",
    "lai_robbins_constant",
    "pg_jump_single",
    "pg_ode",
]
