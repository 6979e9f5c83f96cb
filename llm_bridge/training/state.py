"""What fine-tuning carries from round to round, and what it reports of each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax

from bandit_rft.learners.score_window import Scores
from llm_bridge.training.learned_rows import Rows

Array = jax.Array
PyTree = Any

# Of rounds that learn late, `reward_mean`, `entropy`, `response_length` and `truncated` are of the responses sampled in
# the round, all others of those it learns from; where it learns from none they are as in a round without a gradient.
METRICS = (
    "reward_mean",  # mean reward of the round's rollouts, as the verifier gave it: Pass@1 for a 0/1 reward,
    # but for groups that are drawn again until they differ: it is then of the last draws
    "signal_mean",  # mean and population spread of the learning signal, of the rollouts learned from
    "signal_spread",
    "dead_groups",  # share of the round's prompts whose every signal is zero: nothing to learn from them
    "loss",  # of the last epoch, mean of its steps, each before it moves; 0 where no rollout carried a gradient
    "gradient_norm",  # Euclidean, before clipping; of the last epoch, mean of its steps
    "kl",  # nats per response, k1/k2/k3 to the reference at sampling, as the trainer scores both; NaN where no term
    # needs it and log_kl is off
    "entropy",  # nats per token, exact over the vocabulary, at sampling: mean over all tokens of the round's rollouts
    "response_length",  # mean tokens, including the end-of-sequence token
    "truncated",  # share of rollouts stopped by max_tokens
    "pg_clipfrac",  # share of all tokens learned from where the clip stops the gradient, in the last epoch: verl's
    # pg_clipfrac, which is the mean of micro-batches' shares and so differs where they have unequal numbers of tokens.
    # With GSPO's ratio all tokens of a response that is clipped; with CISPO's those whose weight the clip changes
    "ratio_outside",  # share of the tokens scored then whose ratio is outside [1 − low, 1 + high]; NaN without a clip
    "sampler_trainer_gap",  # largest |log-probability scored − sampled| of a token, of those that the trainer scores
    # before the round's first step (in its first mini-batch, those of rows with a gradient; with old log-probabilities
    # of the trainer, all): sampler and trainer must agree. NaN where it scores none; so are the two that follow
    "sampler_trainer_gap_mean",  # mean over the same tokens
    "effective_sample_size",  # share (Σw)² / (n·Σw²) of the same n tokens, w = π_trainer(token)/π_sampler(token): 1
    # where they agree, 1/n where one token has all the weight. verl's rollout_is_eff_sample_size, before truncation
    "learning_rate",  # at the round's last step; NaN with an optimiser of one's own
)


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["params", "opt_state", "round", "updates", "metrics", "key_data", "window", "scores", "pending"],
    meta_fields=[],
)
@dataclass(frozen=True, kw_only=True)
class FineTuneState:
    """What evolves while fine-tuning.

    Attributes:
        params: the policy's weights, as `LanguageModel.params`.
        opt_state: optax's; empty for SGD.
        round: int32, rounds learned from.
        updates: int32, optimiser steps taken (epochs × mini-batches × rounds, less those skipped as exactly zero).
        metrics: float32 scalars of the last round, by the names in `METRICS`; NaN before the first.
        key_data: uint32 [2], the run's own key, from which a round's questions and mini-batches are drawn by `fold_in`.
        window: the rows of the last rounds, for replay; None where nothing is replayed.
        scores: the newest scores of every question; None without a window of scores.
        pending: the rows of the last D rounds with their rewards, which are learned from D rounds later
            (`late_rounds`); None where a round learns from its own.
    """

    params: PyTree
    opt_state: PyTree
    round: Array
    updates: Array
    metrics: dict[str, Array]
    key_data: Array | None = None
    window: Rows | None = None
    scores: Scores | None = None
    pending: Rows | None = None

    def key(self, purpose: int) -> Array:
        """The run's key for a purpose, one of `bandit_rft.keys.Purpose`."""
        assert self.key_data is not None
        return jax.random.fold_in(jax.random.wrap_key_data(self.key_data, impl="threefry2x32"), purpose)


def weights_of_seed(state: Any, seed: int = 0) -> PyTree:
    """The weights of one seed of a run's state, as `LanguageModel`'s methods take them by `params=`.

    Args:
        state: `History.final_state`: of one seed, of a tuple of seeds, or of leaves [S, ...].
        seed: from 0.
    """
    if isinstance(state, tuple):
        return state[seed].params
    return jax.tree.map(lambda leaf: leaf[seed], state.params) if state.round.ndim else state.params
