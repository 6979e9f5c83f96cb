"""Natural policy gradient on a table (Kakade 2001; the stochastic form of Chung et al. 2021, arXiv 2008.13773, eq. 3).

    π(a) ∝ exp(θ_a),   θ_{a_g} ← θ_{a_g} + (η/G) A_g / π(a_g),   A = signal(r_1 … r_G)
The inverse Fisher matrix undoes the factor π of the gradient, so that the update is the importance-weighted signal and
only the pulled arms move. With one rollout and the raw reward it is EXP3's gain form without mixing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp

from bandit_rft import arguments, signal_checks, signals
from bandit_rft.contract import Learner
from bandit_rft.learners import tabular
from bandit_rft.learners.tabular_update import Lesson, State, Statistic, TabularUpdate
from bandit_rft.rows import Pulls, relative_weight


@dataclass(frozen=True)
class NaturalPolicyGradient:
    """Natural policy gradient on a table, from the base policy of the arm set.

    Args:
        step_size: η, above 0 to 1e40.
        signal: as in `SoftmaxPolicyGradient`.
        rollouts: G, pulls per round.
        ddof: GRPO's degrees of freedom, 1 (sample) or 0 (population).
        eps: GRPO's term beside the standard deviation.
        k: of "pass_at_k", from 1 to rollouts; None: all rollouts.

    Raises:
        InputError: step_size outside its range, a signal that is unknown or of another shape, rollouts below 1,
            ddof not 0 or 1, eps negative, a k of another signal.

    A logit moves by at most e^600 a round, beyond which no float tells the policy from a certain one.

    Example:
        >>> from bandit_rft import arms, learners, run
        >>> table = arms.Bernoulli(means=[0.2, 0.8])
        >>> run(table, learners.NaturalPolicyGradient(step_size=0.5), rounds=20, seeds=2, key=0).rewards.shape
        (2, 20, 1)
    """

    step_size: float
    signal: str | signals.Signal = "raw"
    rollouts: int = 1
    ddof: int = 1
    eps: float = 1e-6
    k: int | None = None

    traced: ClassVar[tuple[str, ...]] = ("step_size",)

    def __post_init__(self) -> None:
        # Beside e^600 a larger one would be no float, and logits NaN.
        arguments.between("step_size", arguments.positive("step_size", self.step_size), 0.0, 1e40)
        object.__setattr__(self, "rollouts", arguments.whole("rollouts", self.rollouts))
        signals.make(self.signal, ddof=self.ddof, eps=self.eps, k=self.k)
        signal_checks.check_function(self.signal, self.rollouts)
        object.__setattr__(self, "k", signal_checks.check_own_k(self.k, self.signal, self.rollouts))

    def bind(self, arms: object, *, rounds: int, row_capacity: int | None = None) -> Learner:
        """The learner on a table of arms. Raises InputError where `arms` is no table."""
        table = tabular.require_table(arms, "NaturalPolicyGradient")
        signal_of = signals.make(self.signal, ddof=self.ddof, eps=self.eps, k=self.k)
        step_size, rollouts = self.step_size, self.rollouts

        def weight(key: jax.Array, state: State) -> jax.Array:
            del key
            return relative_weight(state.rows.log_multiplicity + state.statistic["logit"])

        def learn(state: State, pulls: Pulls, rewards: jax.Array) -> Lesson:
            signal = signal_of(rewards)
            logit = state.statistic["logit"]
            log_probability = logit[pulls.row] - jax.nn.logsumexp(state.rows.log_multiplicity + logit)
            gain = jnp.zeros_like(signal).at[pulls.first].add(signal)
            size = jnp.exp(jnp.minimum(-log_probability, 600.0)) * (step_size / rollouts)

            def observe(before: Statistic) -> Statistic:
                return {"logit": before["logit"] + gain * size}

            return Lesson(observe=observe, keep=(gain != 0)[pulls.first])

        rule = TabularUpdate(
            weight=weight,
            learn=learn,
            initial={"logit": tabular.base_logit(table)},
            rollouts=rollouts,
            delayable=False,
            classes_split=tabular.classes_split(table, self.signal),
        )
        return tabular.bind(arms, rule, name="NaturalPolicyGradient", rounds=rounds, row_capacity=row_capacity)
