"""Classic regret bounds: what textbooks promise, and how little of it is left when arms outnumber rounds.

fresh_arms.py    what every learner does that tries untouched arms first: exact
logarithmic.py   Lai and Robbins' lower bound, Thompson sampling's asymptote
stochastic.py    UCB1, UCB(alpha), KL-UCB, successive elimination
exploration.py   explore-then-commit
adversarial.py   EXP3 in both forms, EXP3-IX, Tsallis-INF
minimax.py       MOSS from above, any learner from below, Thompson sampling under a prior
best_arm.py      identifying the best arm: pulls that are needed, sequential halving
common.py        what they share: an instance's gaps, the rounds shown, the cap
"""

from bandit_rft.theory.bounds.adversarial import (
    exp3_bound,
    exp3_ix_bound,
    tsallis_inf_bound,
    tsallis_inf_stochastic_bound,
)
from bandit_rft.theory.bounds.best_arm import best_arm_complexity, identification_lower, sequential_halving_bound
from bandit_rft.theory.bounds.exploration import explore_then_commit_bound, tuned_explore_then_commit_bound
from bandit_rft.theory.bounds.fresh_arms import fresh_arm_sweep
from bandit_rft.theory.bounds.logarithmic import lai_robbins, lai_robbins_constant, thompson_bound
from bandit_rft.theory.bounds.minimax import minimax_lower, moss_bound, thompson_bayes_bound
from bandit_rft.theory.bounds.stochastic import kl_ucb_bound, successive_elimination_bound, ucb1_bound, ucb_alpha_bound

__all__ = [
    "best_arm_complexity",
    "exp3_bound",
    "exp3_ix_bound",
    "explore_then_commit_bound",
    "fresh_arm_sweep",
    "identification_lower",
    "kl_ucb_bound",
    "lai_robbins",
    "lai_robbins_constant",
    "minimax_lower",
    "moss_bound",
    "sequential_halving_bound",
    "successive_elimination_bound",
    "thompson_bayes_bound",
    "thompson_bound",
    "tsallis_inf_bound",
    "tsallis_inf_stochastic_bound",
    "tuned_explore_then_commit_bound",
    "ucb1_bound",
    "ucb_alpha_bound",
]
