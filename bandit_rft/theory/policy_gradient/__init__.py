"""Softmax policy gradient and its relatives: how a policy's value rises, for every signal, clip, delay and penalty.

softmax.py           one rollout with the raw reward: the exact jump chain; exact gradients: the flow in closed form
share_flow.py        the flow from any start: which of several correct arms wins
rare_start.py        the wait when correct arms are rare, and which one takes over (explosion.py has the law behind it)
constant_step.py     what a constant step does to the growth of regret
published_rates.py   rates as papers state them
groups.py            what a signal's normalisation does to the mean update of a group of rollouts
group_flow.py        the flow of that mean update; grpo_flow.py: very large groups in closed form
mean_update.py       which of the curves of mean updates a round's settings have
group_noise.py       the noise of that update
dynamic_sampling.py  the drift where dead groups are drawn again
score_window.py      the drift where mean and spread are those of a window of scores; window_flow.py: its curve
noisy_verifier.py    what a verifier that errs leaves of the drift
clipped.py           PPO's clip
delayed.py           rewards that come late
adam.py              Adam in place of plain steps
mroueh.py            GRPO as a sequence of optima under a KL penalty; kl_optimum.py: that optimum
entropy.py           the policy's entropy on the way
gradient_norm.py     how small rewards of little spread make the gradient
"""

from bandit_rft.theory.policy_gradient.adam import adam_flow, adam_jump
from bandit_rft.theory.policy_gradient.clipped import ppo_clip_floor, ppo_jump_single
from bandit_rft.theory.policy_gradient.constant_step import (
    regret_per_log_round,
    two_arm_regret_exponent,
    two_arm_step_threshold,
)
from bandit_rft.theory.policy_gradient.delayed import pg_delayed
from bandit_rft.theory.policy_gradient.dynamic_sampling import dynamic_sampling_drift, dynamic_sampling_pulls
from bandit_rft.theory.policy_gradient.entropy import entropy_rate, symmetric_entropy
from bandit_rft.theory.policy_gradient.gradient_norm import gradient_norm
from bandit_rft.theory.policy_gradient.group_flow import pg_group
from bandit_rft.theory.policy_gradient.group_noise import UpdateMoments, snr2, update_second_moment
from bandit_rft.theory.policy_gradient.groups import dead_group_probability, drift_multiplier
from bandit_rft.theory.policy_gradient.grpo_flow import grpo_flow
from bandit_rft.theory.policy_gradient.kl_optimum import kl_optimum
from bandit_rft.theory.policy_gradient.mroueh import mroueh_map
from bandit_rft.theory.policy_gradient.noisy_verifier import noisy_verifier
from bandit_rft.theory.policy_gradient.published_rates import (
    cold_start_floor,
    exact_gradient_gap,
    lattimore_step_size,
    log_likelihood_time,
    mei_2020_gap,
)
from bandit_rft.theory.policy_gradient.rare_start import ColdStart, Takeover, pg_cold_start, pg_monopoly
from bandit_rft.theory.policy_gradient.score_window import score_window_drift
from bandit_rft.theory.policy_gradient.share_flow import path_instability, pg_ode_general
from bandit_rft.theory.policy_gradient.softmax import pg_jump_single, pg_ode
from bandit_rft.theory.policy_gradient.window_flow import pg_window

__all__ = [
    "ColdStart",
    "Takeover",
    "UpdateMoments",
    "adam_flow",
    "adam_jump",
    "cold_start_floor",
    "dead_group_probability",
    "drift_multiplier",
    "dynamic_sampling_drift",
    "dynamic_sampling_pulls",
    "entropy_rate",
    "exact_gradient_gap",
    "gradient_norm",
    "grpo_flow",
    "kl_optimum",
    "lattimore_step_size",
    "log_likelihood_time",
    "mei_2020_gap",
    "mroueh_map",
    "noisy_verifier",
    "path_instability",
    "pg_cold_start",
    "pg_delayed",
    "pg_group",
    "pg_jump_single",
    "pg_monopoly",
    "pg_ode",
    "pg_ode_general",
    "pg_window",
    "ppo_clip_floor",
    "ppo_jump_single",
    "regret_per_log_round",
    "score_window_drift",
    "snr2",
    "symmetric_entropy",
    "two_arm_regret_exponent",
    "two_arm_step_threshold",
    "update_second_moment",
]
