"""The fine-tuning learner: a language model's weights as a bandit policy, moved by policy gradient.

One round draws B prompts and samples G rollouts y_i of each, with rewards r_i and, a prompt at a time, signals
A = signal(r). With ρ_it = π(token)/π_sampled(token) it takes steps that

    maximise  aggregate_t[ min(ρ_it·A_i, clip(ρ_it, 1 − ε, 1 + ε)·A_i) ]
              − β · aggregate_t[ KL_it(π ‖ reference) ] + c · aggregate_t[ H_it(π) ]

over all B·G rollouts, and over those of the last rounds where they are replayed. The default is the minimalist
configuration of arXiv 2601.14599: one prompt, one rollout, the raw reward as signal. Hyper-parameters default to its
public scripts (verl): AdamW, clip 0.2, KL coefficient 0.001 in its k3 form, gradient clip 1.0, temperature 1; learning
rate and response length follow the model (`llm_bridge.training.defaults`). What is not verl's:

    - tokens aggregate by "seq-mean-token-sum", not "token-mean", so that with `optimizer="sgd"`, `kl_coefficient=0` and
      `gradient_clip=None` a round moves the weights by exactly learning_rate × mean_i A_i ∇ log π(y_i), the update of
      the contract and of the theory;
    - old log-probabilities are the sampler's, unless `old_log_probs="trainer"`, where verl scores responses anew;
    - negative signals have no dual clip unless one is given, where verl has 3;
    - nothing corrects for what sampler and trainer differ by, unless `truncated_importance` is given, which weighs
      tokens or responses by min(π_trainer/π_sampler, C);
    - of aggregations, ratios and signals: `bandit_rft.objectives`, `bandit_rft.ratios`,
      `bandit_rft.signals`.

Every KL, in loss, reward or report, compares policy and reference as the trainer scores both, by one compiled function
in equal shapes: with the reference's weights it is 0, and neither AdamW nor GRPO has rounding to blow up.

The baseline of arXiv 2601.22532 is `prompts=32, rollouts=1`; its variance study is `rollouts=1, baseline_rollouts=7`.

The reference is the model's weights as loaded, held once.

Left out: learned critics, KL coefficients that adapt, references that move.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from bandit_rft import objectives, ratios
from bandit_rft.contract import Info, Learner
from bandit_rft.errors import InputError
from bandit_rft.keys import Purpose, as_key
from bandit_rft.learners import score_window
from llm_bridge.bandits.question_arms import QuestionArms, drawn
from llm_bridge.bandits.token_arms import TokenQuestionArms
from llm_bridge.language_model import LanguageModel, require_model
from llm_bridge.models import placement
from llm_bridge.models.compilation_cache import make_room
from llm_bridge.training import (
    defaults,
    dynamic_sampling,
    learned_rows,
    learner_arguments,
    learner_checks,
    optimizers,
    scan_learner,
)
from llm_bridge.training.narrow_moments import narrow_moments
from llm_bridge.training.rounding import warn_of_rounding
from llm_bridge.training.state import METRICS, FineTuneState
from llm_bridge.training.update import Update

if TYPE_CHECKING:
    from llm_bridge.sampling.generate import Rollouts

__all__ = ["METRICS", "FineTune", "FineTuneState"]

_TOGETHER = 20_000_000  # weights up to which many seeds are computed together

Array = jax.Array


@dataclass(frozen=True)
class FineTune:
    """Hyper-parameters of fine-tuning by policy gradient; `bind` closes a `Learner` over them and an arm set.

    Attributes:
        model: the `LanguageModel`; its weights are the starting point and the KL reference, and are never changed.
        signal: rewards [G] of a prompt's rollouts -> signals [G], by name (`bandit_rft.signals`) or a function of JAX
            arrays, which is refused where it cannot be compiled or gives anything but G numbers.
        prompts: B, questions drawn each round, all different (verl: train_batch_size).
        rollouts: G, responses per prompt that are learned from (verl: rollout.n).
        baseline_rollouts: further responses per prompt that only enter the signal's mean and standard deviation.
        reward_right, reward_wrong: what a verifier's 1 and 0 are turned into, linearly, before the signal (−1 for
            wrong: the negative rewards of arXiv 2601.14599). Reported rewards stay the verifier's.
        max_tokens: longest response, in tokens; None: 256, or what the model's context leaves after the longest prompt.
        temperature: of sampling and of scoring alike, so the policy that is scored is the one that acted.
        learning_rate: step size, a number or an optax schedule of the update count. Ignored with an own optimiser.
            None: by the number of weights, 1e-6 from 1.5 billion on and 3e-4 for the embedded models
            (`llm_bridge.training.defaults`), and read back as that number; SGD needs one, or step_over_kappa.
        step_over_kappa: SGD's step size times κ, the logit gain of a success and unit of 1 − p. `llm_bridge.finetune`
            measures κ before the run and divides by it.
        optimizer: "adamw", "sgd", "muon" (`llm_bridge.training.optimizers`), or an optax GradientTransformation.
        schedule: "constant", "linear" or "cosine", by round; the last two need a run's number of rounds.
        warmup_rounds: rounds over which the learning rate first rises from 0.
        learning_rate_floor: share of the learning rate that the schedule ends at.
        kl_coefficient: β ≥ 0 of the KL term in the loss (verl: kl_loss_coef); 0: none.
        kl: its estimator, and that of the reported KL: "k1", "k2" or "k3" (verl: kl_loss_type).
        kl_weighted: multiply each token's KL in the loss by its importance ratio (TRL: use_bias_correction_kl); with k3
            on policy its gradient is then that of KL(π ‖ reference).
        reward_kl_coefficient: weight of the KL in the reward (verl: use_kl_in_reward, kl_ctrl.kl_coef, fixed); 0: none.
        reward_kl: its estimator (verl: algorithm.kl_penalty, k1 by default).
        log_kl: report the KL to the reference even where no term needs it, for two more forward passes.
        entropy_coefficient: c of the bonus for the policy's entropy, exact over the vocabulary (verl: entropy_coeff).
        clip: ε of the ratio clip, or (low, high); None: plain REINFORCE, A·log π, without ratio.
        old_log_probs: whose log-probabilities of the responses divide the ratio: "sampler", as recorded while sampling,
            or "trainer", scored before the round's first step (verl's default), for one more forward pass where no KL
            needs it already. The latter does not correct for what sampler and trainer differ by: `truncated_importance`
            does. Where nothing divides by them (clip=None without replay, kl_weighted and truncated_importance), the
            latter only has the gap between the two reported of all tokens, those without a gradient included.
        ratio: "token", PPO's; "sequence", that of the whole response, exp(mean_t log ρ_t), clipped as a whole (GSPO,
            arXiv 2507.18071: with aggregation="seq-mean-token-mean" and clip=(3e-4, 4e-4)); or "cispo", the clipped
            token ratio as a constant weight of A·log π (arXiv 2506.13585). The last two need a clip. A KL that is
            `kl_weighted` has the token's own ratio with all of them.
        truncated_importance: C of the weights min(π_trainer/π_sampler, C) that the surrogate is multiplied by, held
            constant, both at the weights before the round's first step; 1e9: not truncated; None: no correction.
            (verl: rollout_is_threshold, tis_imp_ratio_cap; TRL: vllm_importance_sampling_cap.) With several steps a
            round it costs a forward pass where no KL needs one already. A ratio that divides by the sampler's
            log-probabilities corrects already, so with a clip or replay it needs old_log_probs="trainer".
        importance_level: of those weights: "token", each token's, or "sequence", the whole response's (verl:
            rollout_is; TRL: vllm_importance_sampling_mode).
        dual_clip: c > 1 bounds the surrogate of negative signals; None: no bound (verl's clip_ratio_c: 3 by default).
        epochs: passes over the round's rollouts; from the second step on, ratios leave 1 and the clip can bind.
        mini_batches: optimiser steps per epoch, each on an equal share of the rollouts in shuffled order (verl:
            train_batch_size / ppo_mini_batch_size). Aggregation is within a share.
        replay: past rounds whose rollouts are learned from again, with importance ratios against the policy that
            sampled them and the signals of then; without a clip the ratio stands unclipped. KL and entropy terms are
            taken on their tokens as they stand.
        delay: D, rounds from sampling responses to learning from them, as an asynchronous trainer does (`late_rounds`);
            the first D rounds only sample. Ratios divide by the log-probabilities recorded while sampling; with
            clip=None there is none, and the update is that of `theory.pg_delayed`. It allows no replay.
        aggregation: how tokens average, by verl's names (`bandit_rft.objectives`, where the differences stand).
            "seq-mean-token-sum-norm" divides by max_tokens.
        gradient_clip: bound on the gradient's Euclidean norm; None: no bound (the theory's update).
        ddof, eps: of the GRPO signal's standard deviation.
        k: of "pass_at_k", from 1 to rollouts; None: all rollouts, those for the baseline included.
        window: W, the newest scores of a question, this round's among them, whose mean (and spread) "mean_baseline" and
            "grpo" take; None: this round's alone. Only this round's rollouts are learned from, and those replayed keep
            the signal of their own round. A lone score, of a question's first round where G = 1, has the signal 0
            (arXiv 2601.22532: the raw reward). It allows no baseline_rollouts.
        normalise: what GRPO's signal is divided by: "group", the standard deviation of the prompt's own rewards, or
            "batch", that of all rewards of the round (TRL: scale_rewards; its "none" is the signal "mean_baseline").
        dynamic_sampling: draw groups of a round whose rewards are all equal again, up to so many times; the metrics
            "pulls" and "tokens" count all draws. DAPO (arXiv 2503.14476) draws other prompts in their place; here it is
            the same prompt. Rewards are the verifier's, without a KL penalty.
        weight_decay, betas, adam_eps: AdamW's.
        micro_batch: rollouts per forward and backward pass, to bound memory; None: all at once. Same gradient.
        generation_batch: rollouts sampled together, to bound memory; None: all. Every row draws from its own key, by
            its place in the round, so the same responses are sampled, but for rounding.
        remat: recompute activations in the backward pass, to bound memory.
        donate: update weights in place. The state given to `update` is then consumed and must not be used again;
            False keeps it, at twice the memory.
        moment_dtype: "bfloat16" keeps the moments of "adamw" and "muon" in half the memory, stored with stochastic
            rounding (`llm_bridge.training.narrow_moments`).
        keep_model: False hands the model's own arrays over to the run, instead of a copy of them, where no term needs a
            reference: `model` then has no weights any more, and its methods want `params=`. One run, one seed.

    Example:
        >>> from llm_bridge import FineTune, load_model
        >>> model = load_model("tiny-llama")
        >>> learner = FineTune(model, signal="grpo", rollouts=8, max_tokens=32)
        >>> type(learner).__name__
        'FineTune'
    """

    model: LanguageModel
    _: dataclasses.KW_ONLY
    signal: str | Callable[[Array], Array] = "raw"
    prompts: int = 1
    rollouts: int = 1
    baseline_rollouts: int = 0
    reward_right: float = 1.0
    reward_wrong: float = 0.0
    max_tokens: int | None = None
    temperature: float = 1.0
    learning_rate: float | optax.Schedule | None = None
    step_over_kappa: float | None = None
    optimizer: optimizers.Optimizer | optax.GradientTransformation = "adamw"
    schedule: optimizers.Schedule = "constant"
    warmup_rounds: int = 0
    learning_rate_floor: float = 0.0
    kl_coefficient: float = 0.001
    kl: objectives.KLEstimator = "k3"
    kl_weighted: bool = False
    reward_kl_coefficient: float = 0.0
    reward_kl: objectives.KLEstimator = "k1"
    log_kl: bool = False
    entropy_coefficient: float = 0.0
    clip: float | tuple[float, float] | None = 0.2
    old_log_probs: Literal["sampler", "trainer"] = "sampler"
    ratio: ratios.Ratio = "token"
    truncated_importance: float | None = None
    importance_level: ratios.Level = "token"
    dual_clip: float | None = None
    epochs: int = 1
    mini_batches: int = 1
    replay: int = 0
    delay: int = 0
    aggregation: objectives.Aggregation = "seq-mean-token-sum"
    gradient_clip: float | None = 1.0
    ddof: int = 1
    eps: float = 1e-6
    k: int | None = None
    window: int | None = None
    normalise: Literal["group", "batch"] = "group"
    dynamic_sampling: int = 0
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)
    adam_eps: float = 1e-8
    micro_batch: int | None = None
    generation_batch: int | None = None
    remat: bool = False
    donate: bool = True
    moment_dtype: Literal["float32", "bfloat16"] = "float32"
    keep_model: bool = True

    def __post_init__(self) -> None:
        require_model(self.model)
        learner_arguments.settle(self)
        learner_checks.complete(self)

    @property
    def clip_limits(self) -> tuple[float, float] | None:
        """(low, high) of the ratio clip, or None."""
        return (self.clip, self.clip) if isinstance(self.clip, int | float) else self.clip

    @property
    def group(self) -> int:
        """Rollouts of a prompt and round, those for the baseline alone included."""
        return self.rollouts + self.baseline_rollouts

    @property
    def generates_in_parts(self) -> bool:
        """Whether the responses of a round are generated in several batches, one after another."""
        rollouts = self.prompts * self.group
        return (self.generation_batch or rollouts) < rollouts

    @property
    def needs_reference(self) -> bool:
        """Whether the reference scores the rollouts of a round."""
        return self.log_kl or self.kl_coefficient > 0 or self.reward_kl_coefficient > 0

    @property
    def scores_policy(self) -> bool:
        """Whether the trainer scores the rollouts of a round by the policy's weights before the first step."""
        return self.needs_reference or self.scores_old

    @property
    def scores_old(self) -> bool:
        """Whether those scores stand for the policy before the first step, where else the sampler's record does. With
        one step a round the loss's own pass has them, so truncated importance needs no other.
        """
        several = self.epochs * self.mini_batches > 1
        return self.old_log_probs == "trainer" or (self.truncated_importance is not None and several)

    @property
    def keeps_sampler(self) -> bool:
        """Whether a row has the sampler's log-probabilities beside those scores."""
        return self.truncated_importance is not None and self.scores_old

    def rate(self, rounds: int | None) -> float | optax.Schedule:
        """The learning rate in a run of so many rounds: a number, or a function of the optimiser steps taken.

        The first `delay` rounds take no step: a schedule is of the others.
        """
        assert self.learning_rate is not None
        if callable(self.learning_rate):
            return self.learning_rate
        return optimizers.schedule(
            self.schedule,
            self.learning_rate,
            rounds=None if rounds is None else rounds - self.delay,
            warmup_rounds=self.warmup_rounds,
            floor=self.learning_rate_floor,
            steps_per_round=self.epochs * self.mini_batches,
        )

    def transformation(self, rounds: int | None = None) -> optax.GradientTransformation:
        """The optax optimiser that these settings name in a run of so many rounds, gradient clip included."""
        base = self.optimizer
        if isinstance(base, str):
            base = optimizers.named(base, self.rate(rounds), self.weight_decay, self.betas, self.adam_eps)
            if self.moment_dtype == "bfloat16":
                base = narrow_moments(base)
        # Wide before the clip as well: what it scales down is below the smallest number of float16. An own optimiser
        # would turn moments of 16 bits into float32 at the first sum of micro-batches.
        return optimizers.in_float32(optimizers.clipped(base, self.gradient_clip))

    def bind(
        self,
        arms: QuestionArms | TokenQuestionArms,
        *,
        rounds: int | None = None,
        row_capacity: int | None = None,
    ) -> Learner:
        """The learner for these arms.

        Args:
            arms: a prompt, or several questions; or either with a verifier that reads tokens, for the scan loop.
            rounds: of the run; only schedules that end need it.
            row_capacity: not used, a model has no rows.

        Warns:
            ModelWarning: the model's weights have 16 bits, which round small steps away; with the share that moves.

        Raises:
            InputError: the arms are of another kind, have fewer questions than a round draws, or prompt and response do
                not fit the model's context.
        """
        del row_capacity
        if self.step_over_kappa is not None:
            raise InputError(
                "step_over_kappa needs a measured kappa: run it by llm_bridge.finetune, or give learning_rate."
            )
        max_tokens = self.longest(arms)
        if max_tokens != self.max_tokens:
            return dataclasses.replace(self, max_tokens=max_tokens).bind(arms, rounds=rounds)
        make_room()
        warn_of_rounding(self)
        if isinstance(arms, TokenQuestionArms):
            return scan_learner.bind(self, arms, rounds)
        questions = len(arms.question_tokens)
        group = self.group

        def act(key: Array, state: FineTuneState) -> tuple[Rollouts, Info]:
            chosen = np.zeros(1, np.int32)
            if questions > 1:
                chosen = np.asarray(drawn(state.key(Purpose.QUESTION_ORDER), state.round, questions, self.prompts))
            return self.generated(arms, key, state, np.repeat(chosen, group)), Info(value=None)

        return Learner(
            init=lambda key: self._init(key, rounds, questions),
            act=act,
            update=Update(self, arms, rounds),
            rollouts=self.prompts * group,
            metrics=lambda state: state.metrics,
            redraws=dynamic_sampling.on_the_host(self, arms),
        )

    def generated(
        self,
        arms: QuestionArms,
        key: Array,
        state: FineTuneState,
        questions: np.ndarray,
        rows: np.ndarray | None = None,
    ) -> Rollouts:
        """A response to each of these questions by the state's weights; `rows` as `QuestionArms.generate` takes it."""
        assert self.max_tokens is not None
        return arms.generate(
            questions,
            max_tokens=self.max_tokens,
            key=key,
            temperature=self.temperature,
            params=state.params,
            batch=self.generation_batch,
            rows=rows,
            verify=True,
        )

    def bind_seeds(self, arms: QuestionArms, *, rounds: int | None, seeds: int) -> Learner | None:
        """The learner for many seeds together, all of it traceable; arguments and errors as `bind`.

        None where every seed is better computed by itself: one seed; a model on a mesh of devices; responses generated
        in batches, to bound memory; dynamic sampling, which draws few groups again and as many rounds as one seed
        needs; a model of more than 20 million weights, whose products fill the machine, whose gradients of all seeds
        at one time would not fit its memory, and whose rows without a signal are worth leaving out.
        """
        if seeds == 1 or self.step_over_kappa is not None or self.generates_in_parts or self.dynamic_sampling:
            return None
        if self.model.config.mesh is not None or defaults.weights_of(self.model) > _TOGETHER:
            return None
        return scan_learner.bind(dataclasses.replace(self, max_tokens=self.longest(arms)), arms, rounds)

    def longest(self, arms: Any, option: Callable[[str], str] = str) -> int:
        """`max_tokens`, or what fits where it is None. `option`: name of an argument -> how the user writes it.

        Raises:
            InputError: arms of another kind, too few questions, responses that do not fit the context, or numbers of
                rows that the model's mesh does not divide.
        """
        if not isinstance(arms, QuestionArms | TokenQuestionArms):
            raise InputError(
                f"FineTune learns from PromptArms or QuestionArms, not {type(arms).__name__}: give prompts and "
                "verifiers."
            )
        fits = self.max_tokens or defaults.max_tokens(arms.model, arms.question_tokens)
        arms.check_fits(fits)
        mesh, questions = arms.model.config.mesh, len(arms.question_tokens)
        if mesh is not None and isinstance(arms, TokenQuestionArms):
            raise InputError(
                "A compiled run of seeds takes no mesh: load the model without, or give PromptArms or QuestionArms."
            )
        placement.check_rows(mesh, self.prompts * self.group, self.micro_batch, self.generation_batch, option)
        if questions < self.prompts:
            raise InputError(
                f"FineTune draws {self.prompts} prompts a round and there are {questions}: give more questions, or "
                "lower prompts."
            )
        return fits

    def kept_rows(self) -> tuple[learned_rows.Rows | None, learned_rows.Rows | None]:
        """Empty memories of the rows that are replayed and of those that wait; None where there are none."""
        assert self.max_tokens is not None
        replayed = {"reference": self.needs_reference, "sampler": self.keeps_sampler}
        return (
            learned_rows.window(self.replay, self.prompts * self.rollouts, self.max_tokens, **replayed),
            learned_rows.window(self.delay, self.prompts * self.group, self.max_tokens, reference=False),
        )

    def _init(self, key: Array, rounds: int | None, questions: int) -> FineTuneState:
        """The model's weights, copied so that in-place updates leave the model alone; and a key of the run's own."""
        assert self.max_tokens is not None
        if self.keep_model:
            params = jax.tree.map(lambda leaf: jnp.array(leaf, copy=True), self.model.trained)
        else:
            params = self.model.hand_over()
        mesh, start = self.model.config.mesh, self.transformation(rounds).init
        window, pending = self.kept_rows()
        state = FineTuneState(
            params=params,
            opt_state=_started(params, start=start, mesh=mesh),
            round=jnp.zeros((), jnp.int32),
            updates=jnp.zeros((), jnp.int32),
            metrics={name: jnp.asarray(jnp.nan, jnp.float32) for name in METRICS},
            key_data=jax.random.bits(as_key(key), (2,), jnp.uint32),
            window=window,
            scores=score_window.start(questions, self.window, self.rollouts),
            pending=pending,
        )
        return placement.weights(mesh, state)


@partial(jax.jit, static_argnames=("start", "mesh"))
def _started(params: Any, *, start: Callable[[Any], Any], mesh: Any) -> Any:
    """An optimiser's state for these weights, where it belongs on the mesh."""
    return placement.weights(mesh, start(params))
