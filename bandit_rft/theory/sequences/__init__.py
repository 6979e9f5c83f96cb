"""Token sequences, language models and many prompts: what the structure of a policy adds to a table of arms.

kernel.py            scores as a kernel: how one response's update moves another, and kappa from it
token_sequences.py   one correct sequence among V^H
rft.py               reinforcement fine-tuning from two measured numbers, p0 and kappa; kappa from a curve
kappa_estimate.py    how noisy a measured kappa is
weighted.py          losses that weigh responses
tree.py              the tree law: the decisions that sampled responses show, with their kernel
transfer.py          what training on one prompt does to another
contexts.py          many prompts trained in one batch
pass_at_k.py         pass@k and its estimate
"""

from bandit_rft.theory.sequences.contexts import ContextsPrediction, contexts_flow
from bandit_rft.theory.sequences.kappa_estimate import kappa_estimator_sd
from bandit_rft.theory.sequences.kernel import kernel_flow, kernel_kappa
from bandit_rft.theory.sequences.pass_at_k import pass_at_k, pass_at_k_estimate
from bandit_rft.theory.sequences.rft import kappa_fit, rft_predict
from bandit_rft.theory.sequences.token_sequences import prefix_tree_flow, prefix_tree_jump
from bandit_rft.theory.sequences.transfer import transfer_slope
from bandit_rft.theory.sequences.tree import tree_jump, tree_rounds, tree_transfer
from bandit_rft.theory.sequences.weighted import weighted_drift

__all__ = [
    "ContextsPrediction",
    "contexts_flow",
    "kappa_estimator_sd",
    "kappa_fit",
    "kernel_flow",
    "kernel_kappa",
    "pass_at_k",
    "pass_at_k_estimate",
    "prefix_tree_flow",
    "prefix_tree_jump",
    "rft_predict",
    "transfer_slope",
    "tree_jump",
    "tree_rounds",
    "tree_transfer",
    "weighted_drift",
]
