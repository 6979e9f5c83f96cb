"""One round of fine-tuning: the responses and their rewards in, the weights after the round's optimiser steps out.

    rows    -> scores           of policy and reference by one compiled function, where a term or metric compares them
    rewards -> signals          mapped, less the KL penalty where it is in the reward, a group of rollouts at a time
    rows    -> + replayed rows  of the last rounds, each with the log-probabilities and the signal of its own round
    epochs × mini-batches       of optimiser steps, each on gradients summed over micro-batches

What is computed stands here, once. Which rows go through the passes, in which shapes, is a plan's matter (`plans`): on
the host, rows that carry no gradient are left out and the others cut into micro-batches; inside a trace every row goes
in at once. The update is the same, up to the order in which floats are added.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from bandit_rft import objectives, signals
from llm_bridge.sampling.rollouts import Responses, Rollouts
from llm_bridge.training import learned_rows, policy_gradient
from llm_bridge.training.learned_rows import Rows
from llm_bridge.training.plans import Plan, Planned, Whole
from llm_bridge.training.state import METRICS, FineTuneState

if TYPE_CHECKING:
    from llm_bridge.bandits.response_arms import ResponseArms
    from llm_bridge.training.learner import FineTune

Array = jax.Array
PyTree = Any
Sums = dict[str, Any]


class Update:
    """(state, responses, rewards [B × (G + extra)]) -> state: the update of `FineTune`'s settings on an arm set.

    Rollouts on the host take the plan of the host; responses on the device may be traced, and take the whole one.
    """

    def __init__(
        self,
        settings: FineTune,
        arms: ResponseArms,
        rounds: int | None,
    ) -> None:
        self.settings = settings
        self.group = settings.rollouts + settings.baseline_rollouts
        self.signal = jax.vmap(signals.make(settings.signal, ddof=settings.ddof, eps=settings.eps))
        self.signals = jax.jit(self._signals)
        self.optimizer = settings.transformation(rounds)
        self.rate = settings.rate(rounds)
        # A replayed response was sampled by another policy: without a ratio its gradient would be biased.
        clip = settings.clip_limits
        ratio = clip is not None or settings.replay > 0
        low, high = (math.inf, math.inf) if clip is None else clip
        self.objective = policy_gradient.Objective(
            clipped=ratio,
            dual_clipped=settings.dual_clip is not None,
            kl=settings.kl if settings.kl_coefficient > 0 else None,
            remat=settings.remat,
            entropy=settings.entropy_coefficient != 0,
            kl_weighted=settings.kl_weighted,
        )
        numbers = {
            "clip_low": low,
            "clip_high": high,
            "dual_clip": settings.dual_clip or 0.0,
            "kl_coefficient": settings.kl_coefficient,
            "entropy_coefficient": settings.entropy_coefficient,
            "temperature": settings.temperature,
        }
        self.numbers = {name: jnp.asarray(value, jnp.float32) for name, value in numbers.items()}
        # SGD at a fixed step size neither moves on a zero gradient nor counts it.
        self.still_on_zero = settings.optimizer == "sgd" and not callable(self.rate)
        self.report = jax.jit(self._report)
        self.on_the_host = Planned(settings, arms, self.objective, self.numbers)
        self.traced = Whole(settings, arms, self.objective, self.numbers)

    def __call__(self, state: FineTuneState, responses: Rollouts | Responses, rewards: Array) -> FineTuneState:
        plan = self._plan(responses)
        settings = self.settings
        given = plan.rewards(rewards)
        rows = plan.rows(state, responses, given)
        policy, reference = plan.scores(state.params, rows) if settings.scores_policy else (None, None)
        signal, kl = self.signals(given, rows.mask, policy, reference)
        plan.check_signal(state, rows, signal)
        # Of each group the first G are learned from; the others were only there for the signals' baseline.
        learned = plan.learned
        trained = settings.old_log_probs == "trainer"
        own = {"log_probs": policy if trained else rows.log_probs, "ref_log_probs": reference, "signal": signal}
        fresh = plan.kept(Rows(**{**vars(rows), **own}), learned)
        pool = plan.pool(state, fresh)
        params, opt_state, updates, sums = self._steps(plan, state, pool)
        values = self.report(
            given,
            fresh.signal,
            rows.lengths,
            rows.mask,
            responses.truncated,
            responses.entropy,
            rows.log_probs,
            policy if trained else None,
            {**sums, "kl": kl, "learning_rate": self._rate_at(updates)},
        )
        return FineTuneState(
            params=params,
            opt_state=opt_state,
            round=state.round + 1,
            updates=jnp.asarray(updates, jnp.int32),
            metrics=values,
            key_data=state.key_data,
            window=None if state.window is None else learned_rows.remembered(state.window, fresh, int(state.round)),
        )

    def _plan(self, responses: Rollouts | Responses) -> Plan:
        return self.traced if isinstance(responses, Responses) else self.on_the_host

    def _signals(
        self, rewards: Array, inside: Array, policy: Array | None, reference: Array | None
    ) -> tuple[Array, Array]:
        """Signals float32 [R] of all rollouts, and the KL to the reference in nats a response; traceable.

        The KL penalty in the reward is verl's for outcome rewards: token_level_rewards = scores − β · kld, summed over
        the response before the advantage is estimated, kld between the trainer's scores of policy and reference.

        Args:
            rewards: float32 [R], the verifier's.
            inside: bool [R, T], True on the tokens of the responses.
            policy, reference: float32 [R, T], log-probabilities of both by `policy_gradient.token_log_probs` in equal
                shapes; None without a reference.
        """
        settings = self.settings
        mapped = settings.reward_wrong + (settings.reward_right - settings.reward_wrong) * rewards
        kl = jnp.asarray(jnp.nan, jnp.float32)
        if policy is not None and reference is not None:

            def divergence(estimator: objectives.KLEstimator) -> Array:
                return jnp.sum(jnp.where(inside, objectives.kl(policy, reference, estimator), 0.0), axis=1)

            kl = jnp.mean(divergence(settings.kl))
            if settings.reward_kl_coefficient > 0:
                mapped = mapped - settings.reward_kl_coefficient * divergence(settings.reward_kl)
        groups = mapped.reshape(settings.prompts, self.group)
        return self.signal(groups).astype(jnp.float32).reshape(-1), kl

    def _steps(self, plan: Plan, state: FineTuneState, pool: Rows) -> tuple[PyTree, PyTree, Any, Sums]:
        """Weights, optimiser state and update count after the round's steps, and the metrics of them."""
        settings = self.settings
        params, opt_state, updates = state.params, state.opt_state, plan.count(state.updates)
        total = settings.epochs * settings.mini_batches
        gap: Any = math.nan
        last_epoch: list[Sums] = []
        batches, active = [], None
        own = False  # weights made in this call may always be overwritten, the caller's only when nothing can fail
        for step in range(total):
            if step == 0 or settings.mini_batches > 1:
                batches, active = plan.batches(state, pool, step)
            gradient, sums = None, {}
            if batches:
                sums, gradient = self._gradient(plan, params, batches)
                plan.check_step(state, pool, params, sums)
                if step == 0:
                    gap = sums["sampling_gap"] if active is None else jnp.where(active, sums["sampling_gap"], jnp.nan)
            if step >= total - settings.mini_batches:
                last_epoch.append(sums)
            if gradient is None and self.still_on_zero:
                continue
            in_place = plan.donates and (own or (step == total - 1 and settings.donate))
            move = policy_gradient.step_donated if in_place else policy_gradient.step_kept
            params, opt_state = move(params, opt_state, gradient, optimizer=self.optimizer)
            plan.give(gradient)
            own = True
            # A zero gradient is no step of plain SGD; inside a trace it is only known there.
            updates = updates + (active.astype(jnp.int32) if active is not None and self.still_on_zero else 1)

        def mean(name: str) -> Any:
            return sum(sums.get(name, 0.0) for sums in last_epoch) / settings.mini_batches

        scored = jnp.maximum(mean("tokens"), 1.0 / settings.mini_batches)
        tokens = jnp.maximum(jnp.sum(pool.mask, dtype=jnp.float32), 1.0)
        return (
            params,
            opt_state,
            updates,
            {
                "loss": mean("loss"),
                "gradient_norm": mean("gradient_norm"),
                "clipped": mean("clipped") * settings.mini_batches / tokens,
                "ratio_outside": math.nan if settings.clip is None else mean("outside") / scored,
                "sampling_gap": gap,
            },
        )

    def _gradient(self, plan: Plan, params: PyTree, batches: list[dict[str, Any]]) -> tuple[Sums, PyTree]:
        """Sums over the micro-batches, the gradient's norm and the tokens among them, and the gradient."""
        at_reference = False if self.objective.kl is None else plan.at_reference(params)
        total: Sums = {}
        gradient = None
        for batch in batches:
            sums, part = policy_gradient.loss_and_gradient(
                params,
                **batch,
                numbers=self.numbers,
                graphdef=self.settings.model.graphdef,
                objective=self.objective,
                at_reference=at_reference,
                reuse=plan.spare(params),
            )
            if gradient is None:
                gradient, total = part, sums
                continue
            gradient = policy_gradient.add(gradient, part)
            plan.give(part)
            gap = jnp.maximum(total["sampling_gap"], sums["sampling_gap"])
            total = {name: value + sums[name] for name, value in total.items()} | {"sampling_gap": gap}
        return total | {"gradient_norm": policy_gradient.norm(gradient)}, gradient

    def _report(
        self,
        rewards: Array,
        signal: Array,
        lengths: Array,
        mask: Array,
        truncated: Array,
        entropy: Array | None,
        sampled: Array,
        trained: Array | None,
        values: Sums,
    ) -> dict[str, Array]:
        """The round's metrics, float32 scalars by the names in `METRICS`; traceable.

        Args:
            rewards: float32 [R] of all rollouts. signal: [R'] of those learned from.
            lengths, mask, truncated, entropy: [R], [R, T], [R], [R, T] of all.
            sampled: log-probabilities [R, T] as the sampler gave them.
            trained: the same as the trainer scored them, where they divide the ratio; else None.
            values: the metrics that are known already.
        """
        inside = jnp.sum(mask, dtype=jnp.float32)
        not_a_number = jnp.asarray(jnp.nan, jnp.float32)
        found = {
            "reward_mean": jnp.mean(rewards),
            "signal_mean": jnp.mean(signal),
            "signal_spread": jnp.std(signal),
            "dead_groups": jnp.mean(
                jnp.where(jnp.any(signal.reshape(self.settings.prompts, -1) != 0, axis=1), 0.0, 1.0)
            ),
            "entropy": not_a_number
            if entropy is None
            else jnp.where(inside > 0, jnp.sum(jnp.where(mask, entropy, 0.0)) / jnp.maximum(inside, 1.0), not_a_number),
            "response_length": jnp.mean(lengths.astype(jnp.float32)),
            "truncated": jnp.mean(truncated.astype(jnp.float32)),
            **values,
        }
        if trained is not None:
            found["sampling_gap"] = jnp.max(jnp.where(mask, jnp.abs(trained - sampled), 0.0))
        return {name: jnp.asarray(found[name], jnp.float32) for name in METRICS}

    def _rate_at(self, updates: Any) -> Any:
        if not isinstance(self.settings.optimizer, str):
            return math.nan
        return self.rate(jnp.maximum(jnp.asarray(updates, jnp.int32) - 1, 0)) if callable(self.rate) else self.rate
