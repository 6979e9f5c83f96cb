"""Softmax policy gradient (REINFORCE on a table) with every learning signal.

    π(a) ∝ exp(θ_a),   ∇_{θ_b} log π(a) = 1[a = b] − π(b)
    θ_b ← θ_b + η · (1/G) Σ_g A_g (1[a_g = b] − π(b)),   A = signal(r_1 … r_G)

Williams 1992; Sutton & Barto, ch. 2.8; constant step size as in Mei et al. 2023 (arXiv 2402.17235). With `signal="raw"`
and one rollout it is the minimalist configuration of arXiv 2601.14599 on a table, and a wrong arm (A = 0) moves
nothing. Lumping (THEORY.md C): every arm of a row moves by −η Ā π(b); the pulled arms alone also by +η A/G, so they
leave their row.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from bandit_rft import rows as row_table
from bandit_rft import signals
from bandit_rft.contract import Info, Learner
from bandit_rft.errors import InputError
from bandit_rft.learners.tabular import capacity_for, require_count, require_table


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class State:
    """Attributes: rows; logit: float [R], θ of one arm of each row."""

    rows: row_table.Rows
    logit: jax.Array


@dataclass(frozen=True)
class SoftmaxPolicyGradient:
    """Softmax policy gradient on a table, from the base policy of the arm set.

    Args:
        step_size: η > 0, per round (the round's G rollouts are averaged).
        signal: "raw", "signed", "mean_baseline", "rloo", "grpo", or a function [G] -> [G].
        rollouts: G, pulls a round.
        ddof: GRPO's degrees of freedom, 1 (sample) or 0 (population).
        eps: GRPO's term beside the standard deviation.

    Raises:
        InputError: step_size not positive and finite, an unknown signal, rollouts below 1.

    Left out: momentum and adaptive step sizes, entropy and KL regularisation.
    """

    step_size: float
    signal: str | signals.Signal = "raw"
    rollouts: int = 1
    ddof: int = 1
    eps: float = 1e-6

    def __post_init__(self) -> None:
        if not (self.step_size > 0 and np.isfinite(self.step_size)):
            raise InputError(f"step_size is {self.step_size}: give a positive finite number.")
        require_count("rollouts", self.rollouts)
        signals.make(self.signal, ddof=self.ddof, eps=self.eps)

    def bind(self, arms: object, *, rounds: int, row_capacity: int | None = None) -> Learner:
        """The learner on a table of arms. Raises InputError where `arms` is not one."""
        table = require_table(arms, "SoftmaxPolicyGradient")
        signal_of = signals.make(self.signal, ddof=self.ddof, eps=self.eps)
        # Under the raw signal an arm of reward 0 never moves on its own, so its class never splits.
        movable = table.mean_of_class > 0 if self.signal == "raw" else None
        capacity = capacity_for(table, rounds * self.rollouts, row_capacity, classes_split=movable)
        log_counts = np.asarray(table.log_counts)
        base_logit = np.zeros(max(capacity, len(log_counts)))
        base_logit[: len(log_counts)] = np.asarray(table.base_log_mass) - log_counts
        step_size, rollouts = self.step_size, self.rollouts

        def init(key: jax.Array) -> State:
            del key
            return State(rows=row_table.Rows.of(log_counts, capacity), logit=jnp.asarray(base_logit, dtype=float))

        def act(key: jax.Array, state: State) -> tuple[row_table.Pulls, Info]:
            log_weight = state.rows.log_multiplicity + state.logit
            pulls, probability = row_table.draw(key, state.rows, log_weight, rollouts)
            mean = jnp.asarray(table.mean_of_class, dtype=float)[state.rows.class_index]
            return pulls, Info(value=jnp.sum(probability * mean))

        def update(state: State, pulls: row_table.Pulls, rewards: jax.Array) -> State:
            signal = signal_of(rewards)
            log_multiplicity = state.rows.log_multiplicity
            log_partition = jax.nn.logsumexp(log_multiplicity + state.logit)
            # A row without arms has no probability, and must not drift while it waits to be used.
            inhabited = log_multiplicity > -jnp.inf
            arm_probability = jnp.where(inhabited, jnp.exp(state.logit - log_partition), 0.0)
            logit = state.logit - step_size * jnp.mean(signal) * arm_probability
            # Draws of one arm act on one logit together: their signals are added before anything is compared with zero.
            gain = jnp.zeros_like(signal).at[pulls.first].add(signal)
            rows, place = row_table.split(state.rows, pulls, keep=(gain != 0)[pulls.first])
            logit = row_table.move(logit, pulls, place)
            logit = logit.at[place].add(gain * (step_size / rollouts), mode="drop")
            return State(rows=rows, logit=logit)

        return Learner(
            init=init, act=act, update=update, rollouts=rollouts, overflowed=lambda state: state.rows.overflowed
        )
