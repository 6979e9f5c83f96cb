"""Theory: each prediction is a function that returns its curves with assumptions, formula and source.

    theory.pg_jump_single(p0=0.05, step_size=0.5, rounds=400)      softmax policy gradient, one rollout: the exact law
    theory.pg_ode(p0=0.05, step_size=0.5, rounds=400)              the same with exact gradients: closed form
    theory.explore_until_success(p0=0.05, rounds=400)              the benchmark to beat
    theory.drift_multiplier("grpo", p=0.1, rollouts=8)             what a signal's normalisation does
    theory.predict(summarize(arms), step_size=0.5, rounds=400)     the law that applies, and why
    theory.catalogue(), theory.describe(name)                      what there is

NumPy float64 throughout; nothing here knows whether a table or an LLM is described: p0 and kappa are the interface.
"""

from bandit_rft.theory.adam import adam_flow, adam_jump
from bandit_rft.theory.bound import Bound
from bandit_rft.theory.bounds.adversarial import (
    exp3_bound,
    exp3_ix_bound,
    tsallis_inf_bound,
    tsallis_inf_stochastic_bound,
)
from bandit_rft.theory.bounds.exploration import explore_then_commit_bound, tuned_explore_then_commit_bound
from bandit_rft.theory.bounds.fresh_arms import fresh_arm_sweep
from bandit_rft.theory.bounds.logarithmic import lai_robbins, lai_robbins_constant, thompson_bound
from bandit_rft.theory.bounds.minimax import minimax_lower, moss_bound, thompson_bayes_bound
from bandit_rft.theory.bounds.stochastic import (
    kl_ucb_bound,
    successive_elimination_bound,
    ucb1_bound,
    ucb_alpha_bound,
)
from bandit_rft.theory.catalogue import Entry, catalogue, describe
from bandit_rft.theory.clipped import ppo_clip_floor, ppo_jump_single
from bandit_rft.theory.commit import explore_then_commit_regret
from bandit_rft.theory.constant_step import (
    regret_per_log_round,
    two_arm_regret_exponent,
    two_arm_step_threshold,
)
from bandit_rft.theory.contexts import contexts_flow
from bandit_rft.theory.delayed import pg_delayed
from bandit_rft.theory.entropy import entropy_rate, symmetric_entropy
from bandit_rft.theory.explore import explore_until_success
from bandit_rft.theory.fresh_arms import (
    batch_explore_regret,
    epsilon_greedy_regret,
    simple_regret_fresh,
)
from bandit_rft.theory.gradient_norm import gradient_norm
from bandit_rft.theory.group_flow import pg_group
from bandit_rft.theory.group_noise import UpdateMoments, snr2, update_second_moment
from bandit_rft.theory.groups import dead_group_probability, drift_multiplier
from bandit_rft.theory.grpo_flow import grpo_flow
from bandit_rft.theory.infinite_arms import berry_lower, best_run_regret, one_failure_regret, two_target_regret
from bandit_rft.theory.kappa_estimate import kappa_estimator_sd
from bandit_rft.theory.kernel import kernel_flow, kernel_kappa
from bandit_rft.theory.kl_optimum import kl_optimum
from bandit_rft.theory.many_arms import batched_minimax, bayati_bounds, carpentier_valko, quantile_lower, wang_exponent
from bandit_rft.theory.mroueh import mroueh_map
from bandit_rft.theory.noisy_verifier import noisy_verifier
from bandit_rft.theory.pass_at_k import pass_at_k, pass_at_k_estimate
from bandit_rft.theory.predict import predict
from bandit_rft.theory.prediction import Curves, Law, Prediction
from bandit_rft.theory.published_rates import (
    cold_start_floor,
    exact_gradient_gap,
    lattimore_step_size,
    log_likelihood_time,
    mei_2020_gap,
)
from bandit_rft.theory.rare_start import ColdStart, Takeover, pg_cold_start, pg_monopoly
from bandit_rft.theory.rft import kappa_fit, rft_predict
from bandit_rft.theory.share_flow import path_instability, pg_ode_general
from bandit_rft.theory.softmax import pg_jump_single, pg_ode
from bandit_rft.theory.summary import Summary
from bandit_rft.theory.token_sequences import prefix_tree_flow, prefix_tree_jump
from bandit_rft.theory.transfer import transfer_slope
from bandit_rft.theory.weighted import weighted_drift

__all__ = [
    "Bound",
    "ColdStart",
    "Curves",
    "Entry",
    "Law",
    "Prediction",
    "Summary",
    "Takeover",
    "UpdateMoments",
    "adam_flow",
    "adam_jump",
    "batch_explore_regret",
    "batched_minimax",
    "bayati_bounds",
    "berry_lower",
    "best_run_regret",
    "carpentier_valko",
    "catalogue",
    "cold_start_floor",
    "contexts_flow",
    "dead_group_probability",
    "describe",
    "drift_multiplier",
    "entropy_rate",
    "epsilon_greedy_regret",
    "exact_gradient_gap",
    "exp3_bound",
    "exp3_ix_bound",
    "explore_then_commit_bound",
    "explore_then_commit_regret",
    "explore_until_success",
    "fresh_arm_sweep",
    "gradient_norm",
    "grpo_flow",
    "kappa_estimator_sd",
    "kappa_fit",
    "kernel_flow",
    "kernel_kappa",
    "kl_optimum",
    "kl_ucb_bound",
    "lai_robbins",
    "lai_robbins_constant",
    "lattimore_step_size",
    "log_likelihood_time",
    "mei_2020_gap",
    "minimax_lower",
    "moss_bound",
    "mroueh_map",
    "noisy_verifier",
    "one_failure_regret",
    "pass_at_k",
    "pass_at_k_estimate",
    "path_instability",
    "pg_cold_start",
    "pg_delayed",
    "pg_group",
    "pg_jump_single",
    "pg_monopoly",
    "pg_ode",
    "pg_ode_general",
    "ppo_clip_floor",
    "ppo_jump_single",
    "predict",
    "prefix_tree_flow",
    "prefix_tree_jump",
    "quantile_lower",
    "regret_per_log_round",
    "rft_predict",
    "simple_regret_fresh",
    "snr2",
    "successive_elimination_bound",
    "symmetric_entropy",
    "thompson_bayes_bound",
    "thompson_bound",
    "transfer_slope",
    "tsallis_inf_bound",
    "tsallis_inf_stochastic_bound",
    "tuned_explore_then_commit_bound",
    "two_arm_regret_exponent",
    "two_arm_step_threshold",
    "two_target_regret",
    "ucb1_bound",
    "ucb_alpha_bound",
    "update_second_moment",
    "wang_exponent",
    "weighted_drift",
]
