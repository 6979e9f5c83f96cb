"""One round of fine-tuning: the responses and their rewards in, the weights after the round's optimiser steps out.

    rows    -> scores           of policy and reference by one compiled function, where a term or metric compares them
    rewards -> signals          mapped, less the KL penalty where it is in the reward, a group of rollouts at a time
    rows    -> + replayed rows  of the last rounds, each with the log-probabilities and the signal of its own round
    epochs × mini-batches       of optimiser steps, each on gradients summed over micro-batches

A row whose signal is zero has a zero gradient unless the loss has a KL or entropy term, and is then left out of the
forward and backward passes; the numbers are the same.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from bandit_rft import objectives, signals
from bandit_rft.errors import InputError
from llm_bridge.training import learned_rows, policy_gradient
from llm_bridge.training.finite import NotFiniteError, opening, unsound
from llm_bridge.training.gradient_memory import GradientMemory
from llm_bridge.training.learned_rows import Rows
from llm_bridge.training.state import METRICS, MINI_BATCHES, FineTuneState

if TYPE_CHECKING:
    from llm_bridge.bandits.prompt_arms import PromptArms
    from llm_bridge.bandits.question_arms import QuestionArms
    from llm_bridge.bandits.token_arms import TokenPromptArms, TokenQuestionArms
    from llm_bridge.sampling.generate import Rollouts
    from llm_bridge.training.learner import FineTune

Array = jax.Array
PyTree = Any
Sums = dict[str, float]


class Update:
    """(state, rollouts, rewards [B × (G + extra)]) -> state: the update of `FineTune`'s settings on an arm set."""

    def __init__(
        self,
        settings: FineTune,
        arms: PromptArms | QuestionArms | TokenPromptArms | TokenQuestionArms,
        rounds: int | None,
    ) -> None:
        self.settings, self.arms, self.prompts = settings, arms, arms.question_tokens
        self.group = settings.rollouts + settings.baseline_rollouts
        self.rows = settings.prompts * settings.rollouts
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
        self.memory = GradientMemory()

    def __call__(self, state: FineTuneState, rollouts: Rollouts, rewards: Array) -> FineTuneState:
        round_index = int(state.round)
        rewards_given = np.asarray(rewards, np.float32)
        sampled = self._rows(rollouts, rewards_given)
        # Where no response carries a signal there is no loss that would show it.
        lost = unsound(sampled, sampled.log_probs)
        if lost.any():
            raise self._not_finite(state, sampled, lost, "responses whose log-probabilities are not finite")
        policy = self._scores(state.params, sampled) if self.settings.scores_policy else None
        signal, kl = map(np.asarray, self.signals(rewards_given, sampled.mask, policy, sampled.ref_log_probs))
        lost = ~np.isfinite(signal)
        if lost.any():
            raise self._not_finite(state, sampled, lost, f"a learning signal of {signal[lost][0]}")
        # Of each group the first G are learned from; the others were only there for the signals' baseline.
        learned = np.arange(len(sampled)) % self.group < self.settings.rollouts
        trained = self.settings.old_log_probs == "trainer"
        old = policy if trained else sampled.log_probs
        fresh = Rows(**{**vars(sampled), "log_probs": old, "signal": signal}).take(learned)
        past = [] if state.window is None else learned_rows.replayed(state.window, round_index)
        params, opt_state, updates, sums = self._steps(state, learned_rows.joined([fresh, *past]))
        mask = sampled.mask
        if trained and policy is not None:
            sums["sampling_gap"] = float(np.abs(policy - sampled.log_probs)[mask].max(initial=0.0))
        values = {
            "reward_mean": float(rewards_given.mean()),
            "signal_mean": float(fresh.signal.mean()),
            "signal_spread": float(fresh.signal.std()),
            "dead_groups": float(np.mean(~fresh.signal.reshape(self.settings.prompts, -1).any(axis=1))),
            "kl": float(kl),
            "entropy": float(rollouts.entropy[mask].mean(dtype=np.float64)) if mask.any() else math.nan,
            "response_length": float(sampled.lengths.mean()),
            "truncated": float(np.mean(np.asarray(rollouts.truncated, np.float64))),
            "learning_rate": self._rate_at(updates),
            **sums,
        }
        return FineTuneState(
            params=params,
            opt_state=opt_state,
            round=state.round + 1,
            updates=jnp.asarray(updates, jnp.int32),
            metrics={name: jnp.asarray(values[name], jnp.float32) for name in METRICS},
            key_data=state.key_data,
            window=None if state.window is None else learned_rows.remembered(state.window, fresh, round_index),
        )

    # ------------------------------------------------------------------------------------------- rows and their signals

    def _rows(self, rollouts: Rollouts, rewards: np.ndarray) -> Rows:
        """All rollouts of the round, without signals as yet."""
        want = self.settings.prompts * self.group
        if len(rewards) != want or len(rollouts.lengths) != want:
            raise InputError(
                f"The round has {len(rollouts.lengths)} responses and {len(rewards)} rewards, and "
                f"{self.settings.prompts} prompts of {self.group} rollouts need {want}: give one reward a response."
            )
        rows = Rows(
            questions=np.asarray(self.arms.questions_of(rollouts), np.int32),  # pyright: ignore[reportArgumentType]
            tokens=np.asarray(rollouts.tokens, np.int32),
            lengths=np.asarray(rollouts.lengths, np.int32),
            log_probs=np.asarray(rollouts.log_probs, np.float32),
            ref_log_probs=None,
            signal=rewards,
        )
        if not self.settings.needs_reference:
            return rows
        return Rows(**{**vars(rows), "ref_log_probs": self._scores(self.settings.model.params, rows)})

    def _scores(self, params: PyTree, rows: Rows) -> np.ndarray:
        """float32 [R, T], the log-probabilities at these weights, 0 on padding; equal weights give equal numbers."""
        scores = np.zeros(rows.tokens.shape, np.float32)
        graphdef = self.settings.model.graphdef
        for chosen, real, batch in self._padded(rows, np.arange(len(rows))):
            found = policy_gradient.token_log_probs(
                params, **batch, temperature=self.numbers["temperature"], graphdef=graphdef
            )
            scores[chosen[:real], : found.shape[1]] = np.asarray(found)[:real]
        return scores

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

    def _not_finite(self, state: FineTuneState, rows: Rows, lost: np.ndarray, what: str) -> NotFiniteError:
        """The error for the first of these rows; where each row is sound by itself, for the first of all."""
        question, done = int(rows.questions[int(np.argmax(lost))]), int(state.round)
        return NotFiniteError(done, question, opening(self.arms, question), what, sound=done - 1)

    # ---------------------------------------------------------------------------------------------------------- steps

    def _steps(self, state: FineTuneState, rows: Rows) -> tuple[PyTree, PyTree, int, Sums]:
        """Weights, optimiser state and update count after the round's steps, and the metrics of them."""
        settings = self.settings
        params, opt_state, updates = state.params, state.opt_state, int(state.updates)
        total = settings.epochs * settings.mini_batches
        gap, batches, last_epoch = math.nan, [], []
        own = False  # weights made in this call may always be overwritten, the caller's only when nothing can fail
        for step in range(total):
            if step == 0 or settings.mini_batches > 1:
                key = jax.random.fold_in(state.key(MINI_BATCHES), state.round)
                batches = self._batches(rows, learned_rows.share(key, step, settings.mini_batches, len(rows)))
            gradient, sums = None, {}
            if batches:
                at_reference = self.objective.kl is not None and policy_gradient.equal(params, settings.model.params)
                sums, gradient = self._gradient(params, batches, at_reference)
                if not (math.isfinite(sums["loss"]) and math.isfinite(sums["gradient_norm"])):
                    what = f"a loss of {sums['loss']} and a gradient norm of {sums['gradient_norm']}"
                    raise self._not_finite(state, rows, unsound(rows, self._scores(params, rows)), what)
                gap = sums["sampling_gap"] if step == 0 else gap
            if step >= total - settings.mini_batches:
                last_epoch.append(sums)
            if gradient is None and self.still_on_zero:
                continue
            in_place = own or (step == total - 1 and settings.donate)
            move = policy_gradient.step_donated if in_place else policy_gradient.step_kept
            params, opt_state = move(params, opt_state, gradient, optimizer=self.optimizer)
            self.memory.give(gradient)
            own, updates = True, updates + 1

        def mean(name: str) -> float:
            return math.fsum(sums.get(name, 0.0) for sums in last_epoch) / settings.mini_batches

        scored = max(mean("tokens"), 1.0 / settings.mini_batches)
        return (
            params,
            opt_state,
            updates,
            {
                "loss": mean("loss"),
                "gradient_norm": mean("gradient_norm"),
                "clipped": mean("clipped") * settings.mini_batches / max(int(rows.mask.sum()), 1),
                "ratio_outside": math.nan if settings.clip is None else mean("outside") / scored,
                "sampling_gap": gap,
            },
        )

    def _padded(self, rows: Rows, chosen: np.ndarray) -> list[tuple[np.ndarray, int, dict[str, Array]]]:
        """(indices with padding, rows that are real, arrays of prompts and responses) of each micro-batch."""
        settings = self.settings
        most = max(self.rows * (1 + settings.replay) // settings.mini_batches, settings.prompts * self.group)
        found = []
        for places, real, width in learned_rows.padded_batches(
            rows, chosen, self.prompts, size=min(settings.micro_batch or most, most), widest=rows.tokens.shape[1]
        ):
            batch = learned_rows.prompt_batch(self.prompts, rows.questions[places])
            batch["tokens"] = jnp.asarray(rows.tokens[places, :width])
            batch["lengths"] = jnp.asarray(rows.lengths[places])
            found.append((places, real, batch))
        return found

    def _batches(self, rows: Rows, share: np.ndarray) -> list[dict[str, Array | None]]:
        """Micro-batches of a step's rows that carry a gradient, padded to bucketed shapes.

        Weights come from all rows of the step, so leaving some out changes no denominator.
        """
        settings = self.settings
        weights = np.zeros(rows.tokens.shape, np.float32)
        weights[share] = np.asarray(
            objectives.aggregation_weights(
                jnp.asarray(rows.mask[share]), settings.aggregation, settings.max_tokens, jnp.dtype(jnp.float32)
            )
        )
        whole = self.objective.kl is not None or self.objective.entropy
        chosen = share if whole else share[rows.signal[share] != 0]
        reference = None if self.objective.kl is None else rows.ref_log_probs
        batches = []
        for places, real, batch in self._padded(rows, chosen):
            width = batch["tokens"].shape[1]
            row_weights = weights[places, :width]
            row_weights[real:] = 0.0
            batches.append(
                {
                    **batch,
                    "weights": jnp.asarray(row_weights),
                    "signal": jnp.asarray(rows.signal[places]),
                    "old_log_probs": jnp.asarray(rows.log_probs[places, :width]),
                    "ref_log_probs": None if reference is None else jnp.asarray(reference[places, :width]),
                    "fresh": jnp.asarray(places < self.rows),
                }
            )
        return batches

    def _gradient(
        self, params: PyTree, batches: list[dict[str, Array | None]], at_reference: bool
    ) -> tuple[Sums, PyTree]:
        """Sums over the micro-batches, the gradient's norm and the tokens among them, and the gradient."""
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
                reuse=self.memory.take(params),
            )
            if gradient is None:
                gradient = part
            else:
                gradient = policy_gradient.add(gradient, part)
                self.memory.give(part)
            for name, value in jax.device_get(sums).items():
                number, before = float(value), total.get(name, 0.0)
                total[name] = max(before, number) if name == "sampling_gap" else before + number
        total["gradient_norm"] = float(policy_gradient.norm(gradient))
        return total, gradient

    def _rate_at(self, updates: int) -> float:
        if not isinstance(self.settings.optimizer, str):
            return math.nan
        if callable(self.rate):
            return float(np.asarray(self.rate(jnp.asarray(max(updates - 1, 0), jnp.int32))))
        return float(self.rate)
