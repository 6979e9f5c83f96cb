"""EXP3, exponential weights for exploration and exploitation, in its two forms.

    gain   p(a) = (1 − γ) w(a)/Σw + γ/K,   w(a_t) ← w(a_t) exp(γ r_t / (K p(a_t)))
           Auer, Cesa-Bianchi, Freund, Schapire 2002, figure 1; default γ = min(1, sqrt(K ln K / ((e − 1) T))), their
           Corollary 3.2
    loss   p(a) = w(a)/Σw,   w(a_t) ← w(a_t) exp(−η (1 − r_t) / p(a_t))
           Lattimore & Szepesvári 2020, algorithm 9; default η = sqrt(2 ln K / (T K)), their theorem 11.2
The forms differ by a factor in regret where most arms pay nothing: the form is always named.

Rows (docs/lumping.md): only the pulled arm's weight moves, so the rest of its row stays together.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from bandit_rft import arguments
from bandit_rft.contract import Learner
from bandit_rft.errors import InputError
from bandit_rft.learners import tabular
from bandit_rft.learners.index import require_unit_rewards
from bandit_rft.learners.tabular_update import Lesson, State, Statistic, TabularUpdate
from bandit_rft.rows import Pulls, relative_weight

FORMS = ("gain", "loss")


@dataclass(frozen=True)
class EXP3:
    """EXP3 on a table, for rewards in [0, 1]; starts from equal weights, not from the base policy. One pull per round.

    Args:
        form: "gain" or "loss".
        exploration: γ in (0, 1] of the gain form, or None for its default.
        learning_rate: η > 0 of the loss form, or None for its default.

    Raises:
        InputError: another form, an argument of the other form, or one outside its range.

    Example:
        >>> from bandit_rft import arms, learners, run
        >>> table = arms.Bernoulli(means=[0.2, 0.8])
        >>> run(table, learners.EXP3(form="loss"), rounds=20, seeds=2, key=0).rewards.shape
        (2, 20, 1)
    """

    form: str
    exploration: float | None = None
    learning_rate: float | None = None

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise InputError(f"form is {self.form!r}: choose gain or loss, whose regrets differ.")
        foreign = "learning_rate" if self.form == "gain" else "exploration"
        if getattr(self, foreign) is not None:
            raise InputError(f"{foreign} is no argument of EXP3's {self.form} form: leave it out.")
        if self.exploration is not None:
            arguments.between("exploration", self.exploration, 1e-300, 1.0)
        if self.learning_rate is not None:
            arguments.positive("learning_rate", self.learning_rate)

    def bind(self, arms: object, *, rounds: int, row_capacity: int | None = None) -> Learner:
        """The learner on a table of arms. Raises InputError where `arms` is no table or can pay outside [0, 1]."""
        table = tabular.require_table(arms, "EXP3")
        require_unit_rewards(table, "EXP3")
        log_arms = table.log_arms
        if self.form == "gain":
            step = _gain_step(log_arms, self.exploration, rounds)
        else:
            log_rate = log_learning_rate(log_arms, rounds, self.learning_rate)
            step = loss_step(log_rate, lambda log_probability: log_probability)
        return tabular.bind(arms, step, name="EXP3", rounds=rounds, row_capacity=row_capacity)


def log_learning_rate(log_arms: float, rounds: int, learning_rate: float | None) -> float:
    """ln η, with η = sqrt(2 ln K / (T K)) where none is given."""
    if learning_rate is not None:
        return math.log(learning_rate)
    return 0.5 * (math.log(2 * max(log_arms, 1e-300)) - math.log(rounds) - log_arms)


def _gain_step(log_arms: float, exploration: float | None, rounds: int) -> TabularUpdate:
    if exploration is None:
        log_square = log_arms + math.log(max(log_arms, 1e-300)) - math.log((math.e - 1) * rounds)
        exploration = min(1.0, math.exp(0.5 * min(log_square, 0.0)))
    log_mix, log_keep = math.log(exploration), math.log1p(-exploration) if exploration < 1 else -math.inf

    def log_terms(state: State) -> jax.Array:
        return state.rows.log_multiplicity + state.statistic["log_weight"]

    def weight(key: jax.Array, state: State) -> jax.Array:
        del key
        weights = relative_weight(log_terms(state))
        return weights * (math.exp(log_keep) / jnp.sum(weights)) + math.exp(log_mix) * state.rows.share(log_arms)

    def learn(state: State, pulls: Pulls, rewards: jax.Array) -> Lesson:
        terms = log_terms(state)
        log_sum = jnp.max(terms) + jnp.log(jnp.sum(relative_weight(terms)))
        exploited = state.statistic["log_weight"][pulls.row] - log_sum + log_keep
        log_probability = jnp.logaddexp(exploited, log_mix - log_arms)
        gain = rewards * jnp.exp(log_mix - log_arms - log_probability)

        def observe(before: Statistic) -> Statistic:
            return {"log_weight": before["log_weight"] + gain}

        return Lesson(observe=observe, keep=gain != 0)

    return TabularUpdate(weight=weight, learn=learn, initial={"log_weight": 0.0}, delayable=False)


def loss_step(log_rate: float, log_denominator: Callable[[jax.Array], jax.Array]) -> TabularUpdate:
    """Exponential weights on estimated losses: w(a_t) ← w(a_t) exp(−exp(log_rate) (1 − r) / denominator(p)).

    Args:
        log_rate: ln η.
        log_denominator: ln p -> ln of what the loss is divided by.
    """

    def weight(key: jax.Array, state: State) -> jax.Array:
        del key
        return relative_weight(state.rows.log_multiplicity + state.statistic["log_weight"])

    def learn(state: State, pulls: Pulls, rewards: jax.Array) -> Lesson:
        weights = state.rows.log_multiplicity + state.statistic["log_weight"]
        log_probability = state.statistic["log_weight"][pulls.row] - jax.nn.logsumexp(weights)
        # Beyond e^600 a loss leaves its arm no chance that a float could tell from none.
        size = jnp.exp(jnp.minimum(log_rate - log_denominator(log_probability), 600.0))
        fall = (1 - rewards) * size

        def observe(before: Statistic) -> Statistic:
            return {"log_weight": before["log_weight"] - fall}

        return Lesson(observe=observe, keep=fall != 0)

    return TabularUpdate(weight=weight, learn=learn, initial={"log_weight": 0.0}, delayable=False)
