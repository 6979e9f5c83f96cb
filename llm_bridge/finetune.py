"""The fine-tuning learner: a language model's weights as a bandit policy, moved by policy gradient.

One round with G rollouts y_i of one prompt, rewards r_i and signals A = signal(r):

    maximise  aggregate_t[ min(ρ_it·A_i, clip(ρ_it, 1 − ε, 1 + ε)·A_i) ] − β · aggregate_t[ KL_it(π ‖ reference) ]

with ρ_it = π(token)/π_sampled(token). The default is the minimalist configuration of arXiv 2601.14599: the raw reward
as signal and one rollout. Hyper-parameters default to its public scripts (verl): AdamW 1e-6, clip 0.2, KL coefficient
0.001 in its k3 form, gradient clip 1.0, temperature 1. One default is not verl's: tokens aggregate by
"seq-mean-token-sum", so that with `optimizer="sgd"`, `kl_coefficient=0` and `gradient_clip=None` a round moves the
weights by exactly learning_rate × mean_i A_i ∇ log π(y_i), the update of the contract and of the theory.

The reference is the model's weights as loaded, held once. A rollout whose signal is zero has a zero gradient when the
KL coefficient is zero, so it is left out of the forward and backward passes; the numbers are the same.

Left out: several prompts in a round, learned critics, entropy bonus, replay of past rounds.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from bandit_rft import objectives, signals
from bandit_rft.contract import Info, Learner
from bandit_rft.errors import InputError
from llm_bridge import policy_gradient, scan_learner
from llm_bridge.buckets import bucket
from llm_bridge.prompt_arms import PromptArms
from llm_bridge.tiny.arms import TokenPromptArms

if TYPE_CHECKING:
    from llm_bridge.generate import Rollouts
    from llm_bridge.model import LanguageModel

Array = jax.Array
PyTree = Any

METRICS = (
    "reward_mean",  # mean reward of the round's rollouts
    "signal_mean",  # mean and population spread of the learning signal
    "signal_spread",
    "dead_group",  # 1 where every signal is zero: nothing to learn from this round
    "loss",  # at the last epoch, before its step; 0 where no rollout carried a gradient
    "gradient_norm",  # Euclidean, before clipping
    "kl",  # nats per response, k1/k2/k3 to the reference; NaN where the KL coefficient is 0 (not computed)
    "entropy",  # nats per token, −mean log-probability at sampling
    "response_length",  # mean tokens, including the end-of-sequence token
    "truncated",  # share of rollouts stopped by max_tokens
    "clipped",  # share of tokens where the ratio clip binds, last epoch
    "sampling_gap",  # largest |log-probability scored − sampled| of a token: sampler and trainer must agree
)


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["params", "opt_state", "round", "updates", "metrics"],
    meta_fields=[],
)
@dataclass(frozen=True, kw_only=True)
class FineTuneState:
    """What evolves while fine-tuning.

    Attributes:
        params: the policy's weights, as `LanguageModel.params`.
        opt_state: optax's; empty for SGD.
        round: int32, rounds learned from.
        updates: int32, optimiser steps taken (epochs × rounds, less those skipped as exactly zero).
        metrics: float32 scalars of the last round, by the names in `METRICS`; NaN before the first.
    """

    params: PyTree
    opt_state: PyTree
    round: Array
    updates: Array
    metrics: dict[str, Array]


# --------------------------------------------------------------------------------------------------------- factory


@dataclass(frozen=True)
class FineTune:
    """Hyper-parameters of fine-tuning by policy gradient; `bind` closes a `Learner` over them and a prompt.

    Attributes:
        model: the `LanguageModel`; its weights are the starting point and the KL reference, and are never changed.
        signal: rewards [G] -> signals [G], by name (`bandit_rft.signals`) or a function.
        rollouts: G, responses per round.
        max_tokens: longest response, in tokens.
        temperature: of sampling and of scoring alike, so the policy that is scored is the one that acted.
        learning_rate: step size, a number or an optax schedule of the update count. Ignored with an own optimiser.
        optimizer: "adamw", "sgd" (no momentum, no decay, no moments in memory), or an optax GradientTransformation.
        kl_coefficient: β ≥ 0; 0 skips the reference's forward pass.
        kl: estimator, "k1", "k2" or "k3".
        clip: ε of the ratio clip, or (low, high); None: plain REINFORCE, A·log π, without ratio.
        dual_clip: c > 1 bounds the surrogate of negative signals (verl: 3); None: no bound.
        epochs: passes over the round's rollouts; from the second on, ratios leave 1 and the clip can bind.
        aggregation: how tokens average, by verl's names (`bandit_rft.objectives`). "seq-mean-token-sum-norm" divides
            by max_tokens.
        gradient_clip: bound on the gradient's Euclidean norm; None: no bound (the theory's update).
        ddof, eps: of the GRPO signal's standard deviation.
        weight_decay, betas, adam_eps: AdamW's.
        micro_batch: rollouts per forward and backward pass, to bound memory; None: all at once. Same gradient.
        remat: recompute activations in the backward pass, to bound memory.
        donate: update weights in place. The state given to `update` is then consumed and must not be used again;
            False keeps it, at twice the memory.
    """

    model: LanguageModel
    _: dataclasses.KW_ONLY
    signal: str | Callable[[Array], Array] = "raw"
    rollouts: int = 1
    max_tokens: int = 256
    temperature: float = 1.0
    learning_rate: float | optax.Schedule = 1e-6
    optimizer: Literal["adamw", "sgd"] | optax.GradientTransformation = "adamw"
    kl_coefficient: float = 0.001
    kl: objectives.KLEstimator = "k3"
    clip: float | tuple[float, float] | None = 0.2
    dual_clip: float | None = None
    epochs: int = 1
    aggregation: objectives.Aggregation = "seq-mean-token-sum"
    gradient_clip: float | None = 1.0
    ddof: int = 1
    eps: float = 1e-6
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)
    adam_eps: float = 1e-8
    micro_batch: int | None = None
    remat: bool = False
    donate: bool = True

    def __post_init__(self) -> None:
        signals.make(self.signal, ddof=self.ddof, eps=self.eps)
        for name in ("rollouts", "max_tokens", "epochs"):
            if getattr(self, name) < 1:
                raise InputError(f"FineTune has {name} = {getattr(self, name)}: give at least 1.")
        if self.micro_batch is not None and self.micro_batch < 1:
            raise InputError(
                f"FineTune has micro_batch = {self.micro_batch}: give at least 1, or None for all at once."
            )
        if not self.temperature > 0:
            raise InputError(f"FineTune has temperature = {self.temperature}: give a number above 0, such as 1.0.")
        if not (math.isfinite(self.kl_coefficient) and self.kl_coefficient >= 0):
            raise InputError(f"FineTune has kl_coefficient = {self.kl_coefficient}: give a number of at least 0.")
        if self.kl not in objectives.KL_ESTIMATORS:
            raise InputError(f"Unknown KL estimator {self.kl!r}: choose one of {', '.join(objectives.KL_ESTIMATORS)}.")
        if self.aggregation not in objectives.AGGREGATIONS:
            raise InputError(
                f"Unknown aggregation {self.aggregation!r}: choose one of {', '.join(objectives.AGGREGATIONS)}."
            )
        if isinstance(self.optimizer, str) and self.optimizer not in ("adamw", "sgd"):
            raise InputError(
                f"Unknown optimizer {self.optimizer!r}: choose adamw or sgd, or give an optax GradientTransformation."
            )
        if not callable(self.learning_rate) and not self.learning_rate >= 0:
            raise InputError(f"FineTune has learning_rate = {self.learning_rate}: give a number of at least 0.")
        if self.gradient_clip is not None and not self.gradient_clip > 0:
            raise InputError(f"FineTune has gradient_clip = {self.gradient_clip}: give a number above 0, or None.")
        if self.dual_clip is not None and not self.dual_clip > 1:
            raise InputError(f"FineTune has dual_clip = {self.dual_clip}: give a number above 1, or None.")
        if self.clip is not None and not all(limit >= 0 for limit in self._clip_limits()):
            raise InputError(f"FineTune has clip = {self.clip}: give a number of at least 0, or None for REINFORCE.")

    def _clip_limits(self) -> tuple[float, float]:
        assert self.clip is not None
        return self.clip if isinstance(self.clip, tuple) else (self.clip, self.clip)

    def transformation(self) -> optax.GradientTransformation:
        """The optax optimiser these settings name, gradient clip included."""
        base = self.optimizer
        if isinstance(base, str):
            base = policy_gradient.named_optimizer(
                base, self.learning_rate, self.weight_decay, self.betas, self.adam_eps
            )
        return policy_gradient.clipped_optimizer(base, self.gradient_clip)

    def bind(
        self, arms: PromptArms | TokenPromptArms, *, rounds: int | None = None, row_capacity: int | None = None
    ) -> Learner:
        """The learner for these arms. Neither the number of rounds nor a row capacity matters to a model.

        Raises:
            InputError: the arms are no `PromptArms`, or prompt and response do not fit the model's context.
        """
        del rounds, row_capacity
        if isinstance(arms, TokenPromptArms):
            return scan_learner.bind(self, arms)
        if not isinstance(arms, PromptArms):
            raise InputError(
                f"FineTune learns from PromptArms, not {type(arms).__name__}: give a prompt and a verifier."
            )
        arms.check_fits(self.max_tokens)
        update = _Update(self, arms.prompt_tokens)

        def act(key: Array, state: FineTuneState) -> tuple[Rollouts, Info]:
            rollouts = self.model.generate(
                arms.prompt,
                rollouts=self.rollouts,
                max_tokens=self.max_tokens,
                key=key,
                temperature=self.temperature,
                params=state.params,
            )
            return rollouts, Info(value=None)

        return Learner(
            init=self._init, act=act, update=update, rollouts=self.rollouts, metrics=lambda state: state.metrics
        )

    def _init(self, key: Array) -> FineTuneState:
        """The model's weights, copied so that in-place updates leave the model alone. Nothing is drawn from `key`."""
        del key
        params = jax.tree.map(lambda leaf: jnp.array(leaf, copy=True), self.model.params)
        return FineTuneState(
            params=params,
            opt_state=jax.jit(self.transformation().init)(params),
            round=jnp.zeros((), jnp.int32),
            updates=jnp.zeros((), jnp.int32),
            metrics={name: jnp.asarray(jnp.nan, jnp.float32) for name in METRICS},
        )


class _Update:
    """(state, rollouts, rewards [G]) -> state, for one prompt."""

    def __init__(self, settings: FineTune, prompt_tokens: np.ndarray) -> None:
        low, high = (0.0, 0.0) if settings.clip is None else settings._clip_limits()
        self.settings = settings
        self.prompt = jnp.asarray(prompt_tokens, jnp.int32)
        self.signal = signals.make(settings.signal, ddof=settings.ddof, eps=settings.eps)
        self.optimizer = settings.transformation()
        self.objective = policy_gradient.Objective(
            clipped=settings.clip is not None,
            dual_clipped=settings.dual_clip is not None,
            kl=settings.kl if settings.kl_coefficient > 0 else None,
            remat=settings.remat,
        )
        numbers = {
            "clip_low": low,
            "clip_high": high,
            "dual_clip": settings.dual_clip or 0.0,
            "kl_coefficient": settings.kl_coefficient,
            "temperature": settings.temperature,
        }
        self.numbers = {name: jnp.asarray(value, jnp.float32) for name, value in numbers.items()}
        # SGD at a fixed step size neither moves on a zero gradient nor counts it.
        self.still_on_zero = settings.optimizer == "sgd" and not callable(settings.learning_rate)

    def __call__(self, state: FineTuneState, rollouts: Rollouts, rewards: Array) -> FineTuneState:
        settings = self.settings
        rewards = jnp.asarray(rewards, jnp.float32)
        signal = np.asarray(self.signal(rewards), np.float32)
        if not np.all(np.isfinite(signal)):
            raise InputError(f"Round {int(state.round)} has a signal that is not finite: check the rewards {rewards}.")
        lengths = np.asarray(rollouts.lengths, np.int32)
        batches, rows = self._batches(rollouts, lengths, signal)
        params, opt_state, updates = state.params, state.opt_state, int(state.updates)
        sums: dict[str, float] = {"loss": 0.0, "kl": 0.0, "clipped": 0.0, "gradient_norm": 0.0}
        gap = math.nan
        # With several epochs the caller's state must survive until the last one is known to be finite.
        for epoch in range(settings.epochs):
            gradient = None
            if batches:
                sums, gradient = self._gradient(params, batches)
                if not (math.isfinite(sums["loss"]) and math.isfinite(sums["gradient_norm"])):
                    raise InputError(
                        f"Round {int(state.round)} gave a loss of {sums['loss']} and a gradient norm of "
                        f"{sums['gradient_norm']}: the weights were not updated; lower the learning rate or check them."
                    )
                gap = sums["sampling_gap"] if epoch == 0 else gap
            elif self.still_on_zero:
                break
            last = epoch == settings.epochs - 1
            own = epoch > 0  # weights made in this call may always be overwritten, the caller's only at the end
            step = policy_gradient.step_donated if own or (last and settings.donate) else policy_gradient.step_kept
            params, opt_state = step(params, opt_state, gradient, optimizer=self.optimizer)
            updates += 1
        tokens_in_loss = float(lengths[rows].sum()) if batches else 0.0
        values = {
            "reward_mean": float(jnp.mean(rewards)),
            "signal_mean": float(signal.mean()),
            "signal_spread": float(signal.std()),
            "dead_group": float(not signal.any()),
            "loss": sums["loss"],
            "gradient_norm": sums["gradient_norm"],
            "kl": sums["kl"] / len(lengths) if self.objective.kl is not None else math.nan,
            "entropy": self._entropy(rollouts, lengths),
            "response_length": float(lengths.mean()),
            "truncated": float(np.mean(np.asarray(rollouts.truncated, np.float64))),
            "clipped": sums["clipped"] / max(tokens_in_loss, 1.0),
            "sampling_gap": gap,
        }
        return FineTuneState(
            params=params,
            opt_state=opt_state,
            round=state.round + 1,
            updates=jnp.asarray(updates, jnp.int32),
            metrics={name: jnp.asarray(values[name], jnp.float32) for name in METRICS},
        )

    @staticmethod
    def _entropy(rollouts: Rollouts, lengths: np.ndarray) -> float:
        log_probs = np.asarray(rollouts.log_probs, np.float64)
        mask = np.arange(log_probs.shape[1]) < lengths[:, None]
        return float(-log_probs[mask].mean()) if mask.any() else math.nan

    def _batches(
        self, rollouts: Rollouts, lengths: np.ndarray, signal: np.ndarray
    ) -> tuple[list[dict[str, Array | None]], np.ndarray]:
        """Micro-batches of the rollouts that carry a gradient, padded to bucketed shapes, and those rollouts' rows.

        Weights come from all G rollouts, so leaving some out changes no denominator. Rows are sorted by length: a batch
        is as long as its longest row.
        """
        settings = self.settings
        tokens = np.asarray(rollouts.tokens, np.int32)
        old = np.asarray(rollouts.log_probs, np.float32)
        mask = np.arange(tokens.shape[1]) < lengths[:, None]
        weights = np.asarray(
            objectives.aggregation_weights(jnp.asarray(mask), settings.aggregation, settings.max_tokens), np.float32
        )
        rows = np.arange(len(lengths)) if self.objective.kl is not None else np.flatnonzero(signal)
        rows = rows[np.argsort(lengths[rows], kind="stable")]
        size = min(settings.micro_batch or len(lengths), len(lengths))
        batches = []
        for start in range(0, len(rows), size):
            chosen = rows[start : start + size]
            width = min(bucket(int(lengths[chosen].max()), smallest=16), tokens.shape[1])
            height = policy_gradient.bucket_rows(len(chosen), size)
            # Padding rows repeat a real one (so that every value is ordinary) at weight zero.
            padded = np.concatenate([chosen, np.repeat(chosen[:1], height - len(chosen))])
            row_weights = weights[padded, :width].copy()
            row_weights[len(chosen) :] = 0.0
            batch = {
                "tokens": jnp.asarray(tokens[padded, :width]),
                "lengths": jnp.asarray(lengths[padded]),
                "weights": jnp.asarray(row_weights),
                "signal": jnp.asarray(signal[padded]),
                "old_log_probs": jnp.asarray(old[padded, :width]),
                "ref_log_probs": None,
            }
            if self.objective.kl is not None:
                batch["ref_log_probs"] = policy_gradient.token_log_probs(
                    settings.model.params,
                    self.prompt,
                    batch["tokens"],
                    batch["lengths"],
                    self.numbers["temperature"],
                    graphdef=settings.model.graphdef,
                )
            batches.append(batch)
        return batches, rows

    def _gradient(self, params: PyTree, batches: list[dict[str, Array | None]]) -> tuple[dict[str, float], PyTree]:
        """Sums over the micro-batches, the gradient's norm among them, and the gradient."""
        total: dict[str, float] = {}
        gradient = None
        for batch in batches:
            sums, part = policy_gradient.loss_and_gradient(
                params,
                self.prompt,
                **batch,
                numbers=self.numbers,
                graphdef=self.settings.model.graphdef,
                objective=self.objective,
            )
            gradient = part if gradient is None else policy_gradient.add(gradient, part)
            for name, value in sums.items():
                number = float(value)
                total[name] = (
                    max(total.get(name, 0.0), number) if name == "sampling_gap" else total.get(name, 0.0) + number
                )
        total["gradient_norm"] = float(policy_gradient.norm(gradient))
        return total, gradient
