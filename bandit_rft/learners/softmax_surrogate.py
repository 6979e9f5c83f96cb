"""The softmax policy gradient beyond one plain step: clipping, several epochs, replay, entropy and KL terms.

With A the signals and ρ_g = π(a_g)/π_old(a_g), π_old the policy that drew arm a_g, an epoch moves θ by η times the
gradient of

    Σ_rounds (1/G) Σ_g min(ρ_g A_g, clip(ρ_g, 1 − ε, 1 + ε) A_g)  +  c_H H(π)  −  c_KL KL(π ‖ π_base)

(PPO-clip: Schulman et al. 2017, arXiv 1707.06347, eq. 7; without ε the bare importance-weighted sum). The rounds are
this one and the `replay` ones before it, each with its full weight, so that M replays of a success act like M steps
(docs/theory.md, A3). On a softmax

    ∇_b Σ_g w_g ln π(a_g) = Σ_g w_g (1[a_g = b] − π(b)),   ∇_b H = −π(b)(ln π(b) + H),
    ∇_b KL = π(b)(ln π(b)/π_base(b) − KL),
each a function of what an arm's row knows, so that rows stay exact (docs/lumping.md).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bandit_rft.learners.tabular_update import State
from bandit_rft.rows import relative_weight


@dataclass(frozen=True, kw_only=True)
class Surrogate:
    """Attributes: step_size η; rollouts G; pulls, a round's number with those for the baseline alone; clip ε or None;
    epochs; replay, the earlier rounds that are used again; entropy_coefficient c_H; kl_coefficient c_KL.
    """

    step_size: float
    rollouts: int
    pulls: int
    clip: float | None
    epochs: int
    replay: int
    entropy_coefficient: float
    kl_coefficient: float

    def memory(self) -> dict[str, Any]:
        """Nothing replayed yet: rows, signals and ln π_old of the last rounds, [replay, pulls]."""
        if not self.replay:
            return {}
        shape = (self.replay, self.pulls)
        return {
            "row": np.zeros(shape, np.int32),
            "signal": np.zeros(shape),
            "log_old": np.zeros(shape),
        }

    def update(self, state: State, place: jax.Array, signal: jax.Array, log_old: jax.Array) -> State:
        """The state after all epochs.

        Args:
            state: after the pulled arms have left their rows.
            place: int32 [G], where each pulled arm lives.
            signal: float [G], each draw's own.
            log_old: float [G], ln π_old of the arm.
        """
        newest = {"row": place[None], "signal": signal[None], "log_old": log_old[None]}
        batch = {
            name: jnp.concatenate([state.memory[name], new]) if self.replay else new for name, new in newest.items()
        }
        state = jax.lax.fori_loop(0, self.epochs, lambda _, now: self._epoch(now, batch), state)
        if not self.replay:
            return state
        kept = {name: values[1:] for name, values in batch.items()}
        return dataclasses.replace(state, memory={**state.memory, **kept})

    def _epoch(self, state: State, batch: dict[str, jax.Array]) -> State:
        logit, log_multiplicity = state.statistic["logit"], state.rows.log_multiplicity
        log_policy = logit - jax.nn.logsumexp(log_multiplicity + logit)
        row_probability = relative_weight(log_multiplicity + logit)
        row_probability = row_probability / jnp.sum(row_probability)
        policy = state.rows.for_each_arm(row_probability)

        signal = batch["signal"]
        ratio = jnp.exp(jnp.clip(log_policy[batch["row"]] - batch["log_old"], -60.0, 60.0))
        weight = signal * ratio
        if self.clip is not None:
            outside = jnp.where(signal > 0, ratio > 1 + self.clip, ratio < 1 - self.clip)
            weight = jnp.where(outside, 0.0, weight)
        weight = weight / self.rollouts
        ascent = -jnp.sum(weight) * policy
        ascent = ascent.at[batch["row"].reshape(-1)].add(weight.reshape(-1))
        # An arm to which the base policy gives no mass keeps none: its terms are 0, and not 0 times infinity.
        possible = (log_multiplicity > -jnp.inf) & (log_policy > -jnp.inf)
        finite = jnp.where(possible, log_policy, 0.0)
        if self.entropy_coefficient:
            entropy = -jnp.sum(row_probability * finite)
            ascent = ascent - self.entropy_coefficient * policy * (finite + entropy)
        if self.kl_coefficient:
            gap = jnp.where(possible, log_policy - state.statistic["log_base"], 0.0)
            divergence = jnp.sum(row_probability * gap)
            ascent = ascent - self.kl_coefficient * policy * (gap - divergence)
        return dataclasses.replace(state, statistic={**state.statistic, "logit": logit + self.step_size * ascent})
