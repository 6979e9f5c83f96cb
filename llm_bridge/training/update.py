"""One round of fine-tuning: the responses and their rewards in, the weights after the round's optimiser steps out.

    rows    -> rows of earlier  where rounds learn late: those sampled D rounds ago, for which this round's wait
    rows    -> scores           of policy and reference by one compiled function, where a term or metric compares them
    rewards -> signals          mapped, less the KL penalty where it is in the reward, a group of rollouts at a time
    rows    -> + replayed rows  of the last rounds, each with the log-probabilities and the signal of its own round
    epochs × mini-batches       of optimiser steps, each on gradients summed over micro-batches

What is computed stands here, once. Which rows go through the passes, in which shapes, is a plan's matter (`plans`): on
the host, rows that carry no gradient are left out; inside a trace, where many seeds may be vmapped, they have no
weight. The update is the same, up to the order in which floats are added.
"""

from __future__ import annotations

import dataclasses
import math
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from bandit_rft import objectives, signals
from bandit_rft.learners import score_window
from bandit_rft.learners.score_window import Scores
from llm_bridge.sampling.rollouts import Responses, Rollouts
from llm_bridge.training import late_rounds, learned_rows, policy_gradient
from llm_bridge.training.learned_rows import Rows
from llm_bridge.training.plans import OnHost, Traced
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
        self.group = settings.group
        spread = {"ddof": settings.ddof, "eps": settings.eps}
        if settings.normalise == "batch":
            self.signal = partial(signals.batch_normalised, **spread)
        else:
            self.signal = jax.vmap(signals.make(settings.signal, **spread, k=settings.k))
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
            ratio=settings.ratio,
            truncated=None if settings.truncated_importance is None else settings.importance_level,
        )
        numbers = {
            "clip_low": low,
            "clip_high": high,
            "dual_clip": settings.dual_clip or 0.0,
            "kl_coefficient": settings.kl_coefficient,
            "entropy_coefficient": settings.entropy_coefficient,
            "temperature": settings.temperature,
            "importance_cap": math.inf if settings.truncated_importance is None else settings.truncated_importance,
        }
        # Of NumPy: a learner may be bound inside a trace and its update traced once more after that has ended.
        self.numbers = {name: np.asarray(value, np.float32) for name, value in numbers.items()}
        # SGD at a fixed step size neither moves on a zero gradient nor counts it.
        self.still_on_zero = settings.optimizer == "sgd" and not callable(self.rate)
        self.report = jax.jit(self._report)
        self.on_the_host = OnHost(settings, arms, self.objective, self.numbers)
        self.traced = Traced(settings, arms, self.objective, self.numbers)

    def __call__(self, state: FineTuneState, responses: Rollouts | Responses, rewards: Array) -> FineTuneState:
        plan = self._plan(responses)
        settings = self.settings
        given = plan.rewards(rewards)
        rows = sampled = plan.rows(state, responses, given)
        pending, heard = None, True
        if settings.delay:
            rows, pending, heard = plan.late(state, sampled)
        after, values = self._learned(plan, state, rows, heard)
        return dataclasses.replace(
            after,
            round=state.round + 1,
            metrics=self.report(given, sampled.lengths, sampled.mask, responses.truncated, responses.entropy, values),
            pending=pending,
        )

    def _learned(self, plan: Traced, state: FineTuneState, rows: Rows, heard: Any) -> tuple[FineTuneState, Sums]:
        """The state once the rows are learned from, and what is to be reported of that.

        Args:
            rows: all rollouts, their rewards in place of the signals.
            heard: bool, whether they are rows; else the state is as it was.
        """
        settings = self.settings
        if heard is False:
            return state, self._idle(state.updates)
        policy, reference = plan.scores(state.params, rows) if settings.scores_policy else (None, None)
        signal, kl, scores = self.signals(rows.signal, rows.mask, policy, reference, rows.questions, state.scores)
        signal = plan.checked_signal(state, rows, signal)
        # Of each group the first G are learned from; the others were only there for the signals' baseline.
        trained = settings.scores_old
        own = {"log_probs": policy if trained else rows.log_probs, "ref_log_probs": reference, "signal": signal}
        own["sampler_log_probs"] = rows.log_probs if settings.keeps_sampler else None
        fresh = Rows(**{**vars(rows), **own}).take(plan.learned)
        pool = plan.pool(state, fresh)
        params, opt_state, updates, sums = self._steps(plan, state, pool)
        values = {**sums, "kl": kl, "learning_rate": self._rate_at(updates), "signal": fresh.signal}
        if trained:
            values["scores"] = (policy, rows.log_probs, rows.mask)
        after = dataclasses.replace(
            state,
            params=params,
            opt_state=opt_state,
            updates=jnp.asarray(updates, jnp.int32),
            window=None if state.window is None else learned_rows.remembered(state.window, fresh, state.round),
            scores=scores,
        )
        if heard is True:
            return after, values
        idle = {**values, **self._idle(state.updates)}
        return late_rounds.chosen(heard, after, state), late_rounds.chosen(heard, values, idle)

    def _idle(self, updates: Any) -> Sums:
        """What is reported of a round that learns from nothing."""
        found = dict.fromkeys(("loss", "gradient_norm", "pg_clipfrac"), np.float32(0.0))
        unknown = ("ratio_outside", "sampler_trainer_gap", "sampler_trainer_gap_mean", "effective_sample_size", "kl")
        signal = np.zeros(self.settings.prompts * self.settings.rollouts, np.float32)
        rate = jnp.asarray(self._rate_at(updates), jnp.float32)
        return found | dict.fromkeys(unknown, np.float32(np.nan)) | {"learning_rate": rate, "signal": signal}

    def _plan(self, responses: Rollouts | Responses) -> Traced:
        return self.traced if isinstance(responses, Responses) else self.on_the_host

    def _signals(
        self,
        rewards: Array,
        inside: Array,
        policy: Array | None,
        reference: Array | None,
        questions: Array,
        scores: Scores | None,
    ) -> tuple[Array, Array, Scores | None]:
        """Signals float32 [R] of all rollouts, the KL to the reference in nats per response, and the window of scores
        after the round; traceable.

        The KL penalty in the reward is verl's for outcome rewards: token_level_rewards = scores − β · kld, summed over
        the response before the advantage is estimated, kld between the trainer's scores of policy and reference.

        Args:
            rewards: float32 [R], the verifier's.
            inside: bool [R, T], True on the tokens of the responses.
            policy, reference: float32 [R, T], log-probabilities of both by `policy_gradient.token_log_probs` in equal
                shapes; None without a reference.
            questions: int32 [R]. scores: of the rounds before; None without a window.
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
        if scores is None:
            return self.signal(groups).astype(jnp.float32).reshape(-1), kl, None
        asked = jnp.asarray(questions, jnp.int32).reshape(groups.shape)[:, 0]
        spread = {"normalised": settings.signal == "grpo", "ddof": settings.ddof, "eps": settings.eps}
        signal, scores = score_window.signals_of(scores, asked, groups, **spread)
        return signal.reshape(-1), kl, scores

    def _steps(self, plan: Traced, state: FineTuneState, pool: Rows) -> tuple[PyTree, PyTree, Any, Sums]:
        """Weights, optimiser state and update count after the round's steps, and the metrics of them."""
        settings = self.settings
        parts, total = settings.mini_batches, settings.epochs * settings.mini_batches

        def step(carry: tuple[PyTree, PyTree, Any], index: Any) -> tuple[tuple[PyTree, PyTree, Any], Sums]:
            params, opt_state, updates = carry
            batches, active = plan.batches(state, pool, index)
            sums, gradient = self._gradient(plan, params, batches)
            sums = plan.checked(state, pool, params, sums)
            if gradient is None and self.still_on_zero:
                return carry, sums
            # Weights made in this call may always be overwritten, the caller's only when nothing can fail any more.
            own = params is not state.params
            in_place = plan.donates and (own or (total == 1 and settings.donate))
            move = policy_gradient.step_donated if in_place else policy_gradient.step_kept
            params, opt_state = move(
                params, opt_state, gradient, optimizer=self.optimizer, mesh=settings.model.config.mesh
            )
            # A zero gradient is no step of plain SGD; inside a trace it is only known there.
            moved = jnp.asarray(active, jnp.int32) if self.still_on_zero else 1
            return (params, opt_state, updates + moved), sums

        carry, sums = plan.loop(step, (state.params, state.opt_state, state.updates), total)
        last = {name: jnp.sum(values[-parts:]) for name, values in sums.items()}  # of the last epoch
        tokens = jnp.maximum(jnp.sum(pool.mask, dtype=jnp.float32), 1.0)
        metrics = {
            "loss": last["loss"] / parts,
            "gradient_norm": last["gradient_norm"] / parts,
            "pg_clipfrac": last["clipped"] / tokens,
            "ratio_outside": math.nan if settings.clip is None else last["outside"] / jnp.maximum(last["tokens"], 1.0),
            **policy_gradient.gap_metrics({name: values[0] for name, values in sums.items()}),
        }
        return *carry, metrics

    def _gradient(self, plan: Traced, params: PyTree, batches: list[tuple[dict[str, Any], Any]]) -> tuple[Sums, PyTree]:
        """Sums over the micro-batches, the gradient's norm and the tokens among them, and the gradient; zeros and None
        where there are none.
        """
        if not batches:
            return dict.fromkeys((*policy_gradient.SUMS, "gradient_norm"), np.float32(0.0)), None
        given = {"numbers": self.numbers, "graphdef": self.settings.model.graphdef, "objective": self.objective}
        given["at_reference"] = False if self.objective.kl is None else plan.at_reference(params)
        given["frozen"] = self.settings.model.frozen
        plan.make_room()
        total: Any = None
        for batch, count in batches:
            total = plan.gradient(params, batch, count, total, **given)
        sums, gradient = total
        return sums | {"gradient_norm": policy_gradient.norm(gradient)}, gradient

    def _report(
        self,
        rewards: Array,
        lengths: Array,
        mask: Array,
        truncated: Array,
        entropy: Array | None,
        values: Sums,
    ) -> dict[str, Array]:
        """The round's metrics, float32 scalars by the names in `METRICS`; traceable.

        Args:
            rewards: float32 [R] of all rollouts sampled.
            lengths, mask, truncated, entropy: [R], [R, T], [R], [R, T] of them.
            values: the metrics that are known already; "signal", [R'] of the rollouts learned from; and "scores", where
                the trainer has scored all rows learned from: its log-probabilities [R, T], the sampler's, and the mask.
        """
        values = dict(values)
        signal, scored = values.pop("signal"), values.pop("scores", None)
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
        if scored is not None:
            found |= policy_gradient.gap_metrics(policy_gradient.disagreement(*scored))
        return {name: jnp.asarray(found[name], jnp.float32) for name in METRICS}

    def _rate_at(self, updates: Any) -> Any:
        if not isinstance(self.settings.optimizer, str):
            return math.nan
        return self.rate(jnp.maximum(jnp.asarray(updates, jnp.int32) - 1, 0)) if callable(self.rate) else self.rate
