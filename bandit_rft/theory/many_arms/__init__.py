"""More arms than rounds: what exploration costs, and what no strategy beats.

explore.py           explore until the first success, then stay: the benchmark
fresh_arms.py        constant exploration, and batches, over fresh arms
commit.py            a fixed number of fresh arms, then one of them for ever
infinite_arms.py     infinitely many arms of uniform means: the lower bound, and strategies that judge by runs
published_rates.py   rates as papers state them
waiting.py           the wait for a first success where none was seen
"""

from bandit_rft.theory.many_arms.commit import explore_then_commit_regret
from bandit_rft.theory.many_arms.explore import explore_until_success
from bandit_rft.theory.many_arms.fresh_arms import batch_explore_regret, epsilon_greedy_regret, simple_regret_fresh
from bandit_rft.theory.many_arms.infinite_arms import (
    berry_lower,
    best_run_regret,
    one_failure_regret,
    two_target_regret,
)
from bandit_rft.theory.many_arms.published_rates import (
    ManyArmedExponents,
    ReservoirExponents,
    annealed_softmax_exponent,
    batched_minimax,
    bayati_bounds,
    carpentier_valko,
    quantile_lower,
    wang_exponent,
)
from bandit_rft.theory.many_arms.waiting import pulls_to_first_success

__all__ = [
    "ManyArmedExponents",
    "ReservoirExponents",
    "annealed_softmax_exponent",
    "batch_explore_regret",
    "batched_minimax",
    "bayati_bounds",
    "berry_lower",
    "best_run_regret",
    "carpentier_valko",
    "epsilon_greedy_regret",
    "explore_then_commit_regret",
    "explore_until_success",
    "one_failure_regret",
    "pulls_to_first_success",
    "quantile_lower",
    "simple_regret_fresh",
    "two_target_regret",
    "wang_exponent",
]
