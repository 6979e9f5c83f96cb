"""Softmax policy gradient (REINFORCE on a table) with every learning signal.

    π(a) ∝ exp(θ_a),   ∇_{θ_b} log π(a) = 1[a = b] − π(b)
    θ_b ← θ_b + η · (1/G) Σ_g A_g (1[a_g = b] − π(b)),   A = signal(r_1 … r_G)

Williams 1992; Sutton & Barto, ch. 2.8; constant step size as in Mei et al. 2023 (arXiv 2402.17235). With `signal="raw"`
and one rollout it is the minimalist configuration of arXiv 2601.14599 on a table, and a wrong arm (A = 0) moves
nothing. Lumping (docs/lumping.md): every arm of a row moves by −η Ā π(b); the pulled arms alone also by +η A/G, so they
leave their row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from bandit_rft import arguments, signal_checks, signals
from bandit_rft.arms.contexts import Contexts
from bandit_rft.arms.token_sequences import TokenSequences
from bandit_rft.contract import Learner
from bandit_rft.errors import InputError
from bandit_rft.learners import tabular, token_policy_gradient
from bandit_rft.learners.softmax_surrogate import Surrogate
from bandit_rft.learners.tabular_update import Lesson, State, Statistic, TabularUpdate
from bandit_rft.rows import Pulls, relative_weight

_LARGEST = 1e300  # of what a logit moves by: beyond, it would be infinite, and the policy NaN
_OF_OTHERS = ("mean_baseline", "rloo", "grpo", "maxrl", "maxrl_centred")  # signals that extra pulls may enter


@dataclass(frozen=True)
class SoftmaxPolicyGradient:
    """Softmax policy gradient on a table or on token sequences, from the base policy of the arm set.

    Args:
        step_size: η, above 0 to 1e300, per round (the round's G rollouts are averaged).
        signal: a name of `bandit_rft.signals` ("mean_baseline" is Dr.GRPO's), "running_baseline" (r − the mean of all
            rewards of earlier rounds, 0 before the first), or a function [G] -> [G].
        rollouts: G, pulls per round.
        ddof: GRPO's degrees of freedom, 1 (sample) or 0 (population).
        eps: GRPO's term beside the standard deviation.
        extra_rollouts: pulls per round that serve the baseline alone. With "mean_baseline" the baseline is their mean;
            with "rloo" the mean of all other pulls of the round, theirs included; with "grpo", "maxrl" and
            "maxrl_centred" the signal is that of all pulls, and the drift that of a group of them all.
        clip: ε of PPO's ratio clip, or None for none.
        epochs: updates on each round's pulls, with importance ratios.
        replay: earlier rounds whose pulls are used again in each update, with importance ratios.
        entropy_coefficient: weight of the policy's entropy in the objective.
        kl_coefficient: weight of KL(policy ‖ base policy), subtracted from the objective.
        k: of "pass_at_k", from 1 to rollouts; None: all rollouts.
        window: W, the newest scores, this round's among them, whose mean (and spread) "mean_baseline" and "grpo" take;
            None: this round's alone.
        dynamic_sampling: draw a group whose rewards are all equal again, up to so many times a round (DAPO, arXiv
            2503.14476, which draws another prompt instead); the metric "pulls" counts them all.

    Raises:
        InputError: an argument outside its range, an unknown signal, extra_rollouts or k with another; on binding to
            token sequences, any argument after eps but k, window and dynamic_sampling.

    Left out: momentum and adaptive step sizes; extra_rollouts to kl_coefficient on token sequences and
    contexts; GRPO by the spread of a batch of groups (`FineTune` has it; a table's round is one group).

    Example:
        >>> from bandit_rft import arms, learners, run
        >>> table = arms.Bernoulli(means=[0.2, 0.8])
        >>> learner = learners.SoftmaxPolicyGradient(step_size=0.5, signal="grpo", rollouts=8)
        >>> run(table, learner, rounds=20, seeds=2, key=0).rewards.shape
        (2, 20, 8)
    """

    step_size: float
    signal: str | signals.Signal = "raw"
    rollouts: int = 1
    ddof: int = 1
    eps: float = 1e-6
    extra_rollouts: int = 0
    clip: float | None = None
    epochs: int = 1
    replay: int = 0
    entropy_coefficient: float = 0.0
    kl_coefficient: float = 0.0
    k: int | None = None
    window: int | None = None
    dynamic_sampling: int = 0

    traced: ClassVar[tuple[str, ...]] = ("step_size",)

    def __post_init__(self) -> None:
        arguments.between("step_size", arguments.positive("step_size", self.step_size), 0.0, _LARGEST)
        for name, least in (("rollouts", 1), ("epochs", 1), ("extra_rollouts", 0), ("replay", 0)):
            object.__setattr__(self, name, arguments.whole(name, getattr(self, name), least))
        if self.clip is not None:
            arguments.positive("clip", self.clip)
        for name in ("entropy_coefficient", "kl_coefficient"):
            weight = arguments.between(name, getattr(self, name), 0.0, _LARGEST)
            arguments.between(f"step_size * {name}", self.step_size * weight, 0.0, _LARGEST)
        if self.extra_rollouts and self.signal not in _OF_OTHERS:
            raise InputError(
                f"extra_rollouts feed a baseline, which signal {arguments.shown(self.signal)} has not: use "
                f"{', '.join(_OF_OTHERS[:-1])} or {_OF_OTHERS[-1]}."
            )
        window = signal_checks.check_window(self.window, self.signal, self.rollouts, self.extra_rollouts)
        object.__setattr__(self, "window", window)
        group = self.rollouts + self.extra_rollouts
        redraws = signal_checks.check_dynamic_sampling(self.dynamic_sampling, self.signal, group, self.window)
        object.__setattr__(self, "dynamic_sampling", redraws)
        signals.check_spread(self.ddof, self.eps)
        if self.signal != "running_baseline":
            self._own_signal()
            signal_checks.check_function(self.signal, self.rollouts)
        object.__setattr__(self, "k", signal_checks.check_own_k(self.k, self.signal, self.rollouts))

    @property
    def plain(self) -> bool:
        """Whether each round is one step on its own pulls, by a signal of its own rewards alone."""
        alone = self.extra_rollouts == 0 and self.signal != "running_baseline" and self.window is None
        return self._one_step and alone and not self.dynamic_sampling

    @property
    def _one_step(self) -> bool:
        regularised = self.entropy_coefficient > 0 or self.kl_coefficient > 0
        return self.epochs == 1 and self.replay == 0 and not regularised  # ratios are 1: nothing is clipped

    def bind(self, arms: object, *, rounds: int, row_capacity: int | None = None) -> Learner:
        """The learner on a table of arms or on token sequences. Raises InputError where `arms` is neither."""
        if isinstance(arms, (TokenSequences, Contexts)):
            if self.extra_rollouts or self.signal == "running_baseline" or not self._one_step or self.clip is not None:
                raise InputError(
                    "Token sequences take one plain step on each round's own rollouts: leave out running_baseline and "
                    "the arguments after eps, but for k, window and dynamic_sampling."
                )
            return token_policy_gradient.bind(
                arms,
                step_size=self.step_size,
                signal=self.signal,
                rollouts=self.rollouts,
                ddof=self.ddof,
                eps=self.eps,
                k=self.k,
                window=self.window,
                dynamic_sampling=self.dynamic_sampling,
                rounds=rounds,
                row_capacity=row_capacity,
            )
        table = tabular.require_table(arms, "SoftmaxPolicyGradient")
        learn = self._learn_by_step() if self._one_step else self._learn_by_epochs()
        initial = {"logit": tabular.base_logit(table)}
        if self.kl_coefficient:
            initial["log_base"] = np.asarray(table.base_log_mass) - np.asarray(table.log_counts)
        memory = {} if self._one_step else self._surrogate().memory()
        if self.signal == "running_baseline":
            memory |= {"reward_sum": np.zeros(()), "reward_count": np.zeros(())}
        if self.window is not None:
            memory |= {"scores": np.zeros(self.window - self.rollouts), "scores_seen": np.zeros((), np.int32)}
        rule = TabularUpdate(
            weight=weight,
            learn=learn,
            initial=initial,
            memory=memory,
            rollouts=self.rollouts + self.extra_rollouts,
            delayable=self._one_step,
            classes_split=tabular.classes_split(table, self.signal),
            redraws=self.dynamic_sampling,
        )
        return tabular.bind(arms, rule, name="SoftmaxPolicyGradient", rounds=rounds, row_capacity=row_capacity)

    def _own_signal(self) -> signals.Signal:
        """The signal of a round's own rewards."""
        return signals.make(self.signal, ddof=self.ddof, eps=self.eps, k=self.k)

    def _signal(self, state: State, rewards: jax.Array) -> tuple[jax.Array, dict[str, jax.Array] | None]:
        """(signals [G + extra], 0 for the extra pulls; what the memory becomes)."""
        if self.signal == "running_baseline":
            total, count = state.memory["reward_sum"], state.memory["reward_count"]
            after = {"reward_sum": total + jnp.sum(rewards), "reward_count": count + rewards.shape[0]}
            return rewards - total / jnp.maximum(count, 1), after
        if self.window is not None:
            past, seen = state.memory["scores"], state.memory["scores_seen"]
            normalised = self.signal == "grpo"
            signal = signals.windowed(rewards, past, seen, normalised=normalised, ddof=self.ddof, eps=self.eps)
            return signal, dict(zip(("scores", "scores_seen"), signals.slid(rewards, past, seen), strict=True))
        if self.extra_rollouts == 0:
            return self._own_signal()(rewards), None
        own, extra = rewards[: self.rollouts], rewards[self.rollouts :]
        if self.signal == "mean_baseline":
            signal = own - jnp.mean(extra)
        elif self.signal == "rloo":
            others = rewards.shape[0] - 1
            signal = own - (jnp.sum(rewards) - own) / others
        else:
            signal = self._own_signal()(rewards)[: self.rollouts]
        return jnp.concatenate([signal, jnp.zeros_like(extra)]), None

    def _learn_by_step(self) -> Callable[[State, Pulls, jax.Array], Lesson]:
        step_size, rollouts = self.step_size, self.rollouts

        def learn(state: State, pulls: Pulls, rewards: jax.Array) -> Lesson:
            signal, memory = self._signal(state, rewards)
            logit = state.statistic["logit"] - step_size * (jnp.sum(signal) / rollouts) * arm_probability(state)
            # Draws of one arm act on one logit together: their signals are added before anything is compared with zero.
            gain = jnp.zeros_like(signal).at[pulls.first].add(signal)

            def observe(before: Statistic) -> Statistic:
                return {"logit": before["logit"] + gain * (step_size / rollouts)}

            return Lesson(observe=observe, statistic={"logit": logit}, keep=(gain != 0)[pulls.first], memory=memory)

        return learn

    def _surrogate(self) -> Surrogate:
        return Surrogate(
            step_size=self.step_size,
            rollouts=self.rollouts,
            pulls=self.rollouts + self.extra_rollouts,
            clip=self.clip,
            epochs=self.epochs,
            replay=self.replay,
            entropy_coefficient=self.entropy_coefficient,
            kl_coefficient=self.kl_coefficient,
        )

    def _learn_by_epochs(self) -> Callable[[State, Pulls, jax.Array], Lesson]:
        surrogate = self._surrogate()

        def learn(state: State, pulls: Pulls, rewards: jax.Array) -> Lesson:
            signal, memory = self._signal(state, rewards)
            logit = state.statistic["logit"]
            log_old = logit[pulls.row] - jax.nn.logsumexp(state.rows.log_multiplicity + logit)
            moved = jnp.zeros_like(signal).at[pulls.first].add(jnp.abs(signal))

            def then(after: State, place: jax.Array) -> State:
                return surrogate.update(after, place, signal, log_old)

            return Lesson(observe=lambda before: {}, keep=(moved > 0)[pulls.first], memory=memory, then=then)

        return learn


def weight(key: jax.Array, state: State) -> jax.Array:
    """ln of each row's probability, up to a constant."""
    del key
    return relative_weight(state.rows.log_multiplicity + state.statistic["logit"])


def arm_probability(state: State) -> jax.Array:
    """π of one arm of each row [R]; 0 where a row has no arm, so that it does not drift while it waits to be used."""
    weight = relative_weight(state.rows.log_multiplicity + state.statistic["logit"])
    return state.rows.for_each_arm(weight / jnp.sum(weight))
