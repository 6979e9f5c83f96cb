"""The settings of `bandit-rft finetune`: one frozen configuration, which makes options, help and config.json."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from typing import Any

from bandit_rft import ratios, signal_checks, signals
from bandit_rft.arguments import shown
from bandit_rft.errors import InputError
from bandit_rft.settings import lora
from bandit_rft.settings.mesh import sizes_of, spelt
from bandit_rft.settings.options import (
    moment,
    option,
    places_of,
    ranges,
    run_name,
    seed,
    settle,
    whole,
    yes_or_no,
)
from bandit_rft.settings.ranges import (
    ABOVE_0,
    ABOVE_1,
    ADAM_EPS,
    AT_LEAST_0,
    COUNT,
    DECAY,
    FINITE,
    MOST_ROWS,
    ROWS,
    ROWS_OR_0,
    SHARE,
    TEMPERATURE,
    WHOLE,
)

SIGNALS = signals.NAMES
DTYPES = ("float32", "bfloat16")
ESTIMATORS = ("k1", "k2", "k3")
_SPELT = {"extra": "--baseline-rollouts", "window": "--window", "normalise": "--normalise"}
_SPELT |= {"dynamic_sampling": "--dynamic-sampling"}
_RATIOS = {name: f"--{name.replace('_', '-')}" for name in ("ratio", "clip", "dual_clip")}
_LATE = ("delay", "replay", "rounds")
_IMPORTANCE = {
    name: f"--{name.replace('_', '-')}" for name in ("truncated_importance", "importance_level", "old_log_probs")
}
AGGREGATIONS = ("seq-mean-token-sum", "seq-mean-token-sum-norm", "seq-mean-token-mean", "token-mean", "token-sum")

# The groups of the help.
_data = partial(option, group="data")
_reward = partial(option, group="reward and signal")
_sampling = partial(option, group="sampling")
_optimiser = partial(option, group="optimiser")
_loss = partial(option, group="loss")
_memory = partial(option, group="memory, precision and seed")
_evaluation = partial(option, group="evaluation")
_checkpoints = partial(option, group="checkpoints")


def places(text: str) -> int | tuple[int, ...]:
    """One place, or several with commas between them."""
    several = tuple(whole(part.strip()) for part in text.split(","))
    return several[0] if len(several) == 1 else several


@dataclass(frozen=True, kw_only=True)
class FineTuneConfig:
    """A fine-tuning run; every field is an option of the command and documented there.

    Raises:
        InputError: values that do not go together. What the model, the data and the learner refuse is refused by them.
    """

    model: str = _data(
        "smollm2-135m",
        "embedded or fetched model, local folder, .gguf file or Hugging Face hub id",
        metavar="NAME|PATH|ID",
    )
    data: str | None = _data(None, "arithmetic, gsm8k, math, a parquet, JSON or CSV file, a folder or a hub id")
    split: str = _data("train", "split of the data that the training questions are taken from")
    index: int | tuple[int, ...] = _data(
        0, "the training question's place in its split, from 0; several: 3,7,11", type=places, metavar="N,..."
    )
    indices: str | None = _data(
        None, "training questions from START up to STOP, instead of --index; several: 0:128,300:310,512", type=ranges
    )
    prompt_column: str | None = _data(
        None, "column of the data's prompts; none: prompt, messages, problem, question or query", metavar="NAME"
    )
    answer_column: str | None = _data(
        None, "column of the data's answers; none: reward_model, ground_truth, answer or solution", metavar="NAME"
    )
    prompt: str | None = _data(
        None, "a prompt of your own instead of --data; needs --answer", metavar="TEXT", none=False
    )
    answer: str | None = _data(None, "the right answer to --prompt", metavar="TEXT", none=False)
    verifier: str | None = _data(
        None,
        "how a response is compared with the answer: gsm8k-numeric, gsm8k-flexible, gsm8k-strict, math-verify, "
        "math-boxed, exact, exact-casefold, regex:PATTERN, or your own module:function or file.py:function; none: by "
        "the data",
        metavar="RULE",
    )
    template: str | None = _data(
        None,
        "how the question is put: gsm8k, math, plain, or a text with {question} in it; none: as the data has it",
        metavar="TEXT",
    )
    prompt_date: str | None = _data(
        None,
        "the date shown to a chat template that reads the clock, such as 2026-11-28; none: now, and in a run folder "
        "the moment when the run began",
        type=moment,
    )
    thinking: bool | None = _data(
        None,
        "whether a model such as Qwen3, whose chat template can switch it, thinks before it answers: yes, no, or none: "
        "as the template does by itself",
        type=yes_or_no,
    )
    signal: str = _reward("raw", "learning signal made of a prompt's rewards", choices=SIGNALS)
    ddof: int = _reward(1, "of grpo's standard deviation: 1 sample (verl), 0 population", type=WHOLE)
    eps: float = _reward(1e-6, "added to grpo's standard deviation", type=AT_LEAST_0)
    signal_k: int | None = _reward(None, "k of pass_at_k; none: all responses of a prompt", type=COUNT, metavar="K")
    window: int | None = _reward(
        None,
        "scores of a question, the newest of this round and of earlier ones, whose mean and spread mean_baseline and "
        "grpo take; none: this round's",
        type=COUNT,
        metavar="W",
    )
    normalise: str = _reward(
        "group",
        "grpo's standard deviation: of each prompt's rewards, or of the whole round's batch of rewards",
        choices=signals.NORMALISATIONS,
    )
    dynamic_sampling: int = _reward(
        0, "how often a round draws prompts again, at most, whose responses all earned the same; 0: never", type=WHOLE
    )
    reward_right: float = _reward(1.0, "reward to learn from where the verifier says 1", type=FINITE)
    reward_wrong: float = _reward(
        0.0, "reward to learn from where the verifier says 0; -1: negative rewards", type=FINITE
    )
    prompts_per_round: int = _sampling(1, "questions drawn each round, B, all different", type=ROWS)
    rollouts: int = _sampling(1, "responses per prompt that the policy learns from, G", type=ROWS)
    baseline_rollouts: int = _sampling(
        0, "more responses per prompt, which only enter the signal's mean and spread", type=ROWS_OR_0
    )
    rounds: int = _sampling(200, "rounds, T", type=COUNT)
    max_tokens: int | None = _sampling(
        None,
        "longest response, in tokens; none: 256, or what the model's context leaves after the longest prompt",
        type=COUNT,
    )
    temperature: float = _sampling(1.0, "sampling temperature; responses are scored at the same", type=TEMPERATURE)
    optimizer: str = _optimiser(
        "adamw", "adamw, plain sgd (the theory's update), or muon", choices=("adamw", "sgd", "muon")
    )
    learning_rate: float | None = _optimiser(
        None,
        "step size; none: by the model's size, from 3e-4 for the embedded ones to 1e-6 for 1.5 billion weights (sgd "
        "needs one, or --step-over-kappa)",
        type=AT_LEAST_0,
    )
    step_over_kappa: float | None = _optimiser(
        None, "set the sgd step size to X / kappa, with kappa measured before the run; typical: 0.5", type=ABOVE_0
    )
    schedule: str = _optimiser("constant", "of the learning rate, by round", choices=("constant", "linear", "cosine"))
    warmup_rounds: int = _optimiser(0, "rounds over which the learning rate first rises from 0", type=WHOLE)
    learning_rate_floor: float = _optimiser(0.0, "share of the learning rate that a schedule ends at", type=SHARE)
    weight_decay: float = _optimiser(0.01, "decoupled weight decay of adamw and muon", type=AT_LEAST_0)
    beta1: float = _optimiser(0.9, "adamw's decay of its first moment", type=DECAY)
    beta2: float = _optimiser(0.999, "adamw's decay of its second moment", type=DECAY)
    adam_eps: float = _optimiser(1e-8, "added to the root of adamw's second moment", type=ADAM_EPS)
    gradient_clip: float | None = _optimiser(
        1.0, "bound on the gradient's Euclidean norm; none: no bound", none=True, type=ABOVE_0
    )
    kl_coefficient: float = _loss(
        0.001, "weight in the loss of the KL divergence from the model as loaded; 0: none", type=AT_LEAST_0
    )
    kl: str = _loss("k3", "estimator of that divergence", choices=ESTIMATORS)
    kl_weighted: bool = _loss(False, "multiply a token's divergence in the loss by its importance ratio, as TRL can")
    reward_kl_coefficient: float = _loss(0.0, "weight in the reward of that divergence; 0: none", type=AT_LEAST_0)
    reward_kl: str = _loss("k1", "estimator of the divergence in the reward", choices=ESTIMATORS)
    log_kl: bool = _loss(False, "report that divergence even where its weights are 0")
    entropy_coefficient: float = _loss(0.0, "weight of a bonus for the policy's entropy; 0: none", type=FINITE)
    clip: float | None = _loss(0.2, "PPO's bound on |ratio - 1|; none: REINFORCE", none=True, type=AT_LEAST_0)
    clip_high: float | None = _loss(
        None, "that bound above 1, where it differs from the one below; none: as --clip", type=AT_LEAST_0
    )
    old_log_probs: str = _loss(
        "sampler",
        "whose log-probabilities divide the ratio: the sampler's, or the trainer's before the round's first step",
        choices=("sampler", "trainer"),
    )
    ratio: str = _loss(
        "token",
        "the ratio that is clipped: each token's (PPO), the response's (GSPO), or the token's as a weight (CISPO)",
        choices=ratios.RATIOS,
    )
    truncated_importance: float | None = _loss(
        None,
        "weigh by min(trainer's probability / sampler's, C), which corrects for a sampler that differs; typical: 2; "
        "none: no correction",
        metavar="C",
        type=ABOVE_0,
    )
    importance_level: str = _loss(
        "token", "of that weight: each token's, or the whole response's", choices=ratios.LEVELS
    )
    dual_clip: float | None = _loss(
        None, "bound on the ratio where the signal is negative, such as 3; none: no bound", type=ABOVE_1
    )
    epochs: int = _loss(1, "passes over a round's responses", type=COUNT)
    mini_batches: int = _loss(1, "optimiser steps per epoch, each on an equal share of the responses", type=COUNT)
    replay: int = _loss(0, "number of past rounds whose responses are used again, with importance ratios", type=WHOLE)
    delay: int = _loss(
        0,
        "rounds from sampling responses to learning from them, as in asynchronous training; the first ones only sample",
        type=WHOLE,
        metavar="D",
    )
    aggregation: str = _loss(
        "seq-mean-token-sum", "how the loss averages over tokens (verl's names)", choices=AGGREGATIONS
    )
    micro_batch: int | None = _memory(None, "responses per forward and backward pass; none: the whole step", type=COUNT)
    generation_batch: int | None = _memory(
        None, "responses sampled together, to limit memory; no draw changes; none: all of the round", type=COUNT
    )
    remat: bool = _memory(False, "recompute activations in the backward pass: less memory, a third more time")
    mesh: str | None = _memory(
        None,
        "devices that the model is spread over, such as data=2,fsdp=2,tensor=2: data divides responses, fsdp responses "
        "and weights, tensor heads and vocabulary; none: one device",
        metavar="AXIS=N,...",
    )
    dtype: str = _memory("float32", "of activations and matrix products", choices=DTYPES)
    param_dtype: str = _memory(
        "float32", "of the weights; float32 masters keep steps that bfloat16 would round away", choices=DTYPES
    )
    key: int = _memory(0, "seed of all random draws", type=seed)
    lora_rank: int | None = _memory(
        None,
        "train low-rank adapters of this rank beside frozen weights, instead of the weights; none: the weights",
        type=COUNT,
        metavar="R",
    )
    lora_alpha: float | None = _memory(
        None, "what adapters add is multiplied by this over the rank; none: twice the rank", type=ABOVE_0
    )
    lora_weights: str | None = _memory(
        None, "weights with an adapter, such as q,v; none: q,k,v,o,gate,up,down", metavar="NAME,..."
    )
    cache_dtype: str | None = _memory(
        None,
        "of the keys and values that sampling keeps; none: as --dtype. bfloat16 rounds what the sampler attends to, so "
        "that sampler and trainer differ more",
        choices=DTYPES,
    )
    attention: str = _memory(
        "own",
        "of prompts, scores and gradients; dot-product: JAX's own, on a GPU in bfloat16 cuDNN's flash attention; auto: "
        "that where it is cuDNN's. Decoding keeps its own",
        choices=("own", "dot-product", "auto"),
    )
    moment_dtype: str = _memory(
        "float32",
        "of the moments that adamw and muon keep; bfloat16 halves them, stored with stochastic rounding",
        choices=DTYPES,
    )
    train_samples: int = _evaluation(
        64,
        "least number of responses behind each Pass@1 on the training questions, in all; every question gets equally "
        "many, and no fewer than the largest --k; 0: do not evaluate",
        type=ROWS_OR_0,
    )
    train_questions: int = _evaluation(
        100, "how many of the first training questions to evaluate on; all where there are fewer", type=COUNT
    )
    test_questions: int = _evaluation(
        100, "how many of the first test questions to evaluate on; all where there are fewer; 0: none", type=WHOLE
    )
    k: str = _evaluation(
        "1",
        "report pass@k for these k; evaluations sample as many responses per question as the largest",
        metavar="K,...",
    )
    test_data: str | None = _evaluation(
        None, "data of the test questions; none: as --data. Questions that are trained on are left out"
    )
    test_split: str = _evaluation("test", "split of the test questions, where they are not those of one file")
    evaluate_every: int | None = _evaluation(
        None, "rounds between evaluations; none: before and after only", type=COUNT
    )
    test_every: int | None = _evaluation(
        None, "rounds between test evaluations; none: as --evaluate-every; 0: before and after only", type=WHOLE
    )
    evaluation_batch: int = _evaluation(
        32, "responses generated together in evaluations, to limit memory; no draw changes", type=COUNT
    )
    measure: bool = _evaluation(
        False, "measure p0 and kappa before the run, for the theory's overlay; up to 16 questions"
    )
    measure_rollouts: int = _evaluation(64, "responses behind that measurement", type=ROWS)
    measure_tree: bool | None = _evaluation(
        None,
        "also the tree of those responses' decisions, which gives the run's law: yes, no, or none: of small models",
        type=yes_or_no,
    )
    measure_error: bool = _evaluation(True, "also the standard error of kappa, for two thirds more time")
    checkpoint_every: int = _checkpoints(
        50, "rounds between checkpoints; evaluated rounds and the last have one too", type=COUNT
    )
    keep_checkpoints: int = _checkpoints(2, "number of newest checkpoints to keep", type=COUNT)
    keep_optimizer: bool = _checkpoints(
        False,
        "keep the optimiser's state of a finished run too, so that more rounds can follow, where it is over 100 MB",
    )

    def __post_init__(self) -> None:
        settle(self)
        if (self.data is None) == (self.prompt is None):
            raise InputError("Say what to learn: give either --data with --index, or --prompt with --answer.")
        if (self.prompt is None) != (self.answer is None):
            raise InputError("A prompt of your own goes with its right answer: give both --prompt and --answer.")
        if self.prompt is not None and not self.prompt.strip():
            raise InputError("The prompt is empty: give --prompt a text.")
        if self.step_over_kappa is not None:
            if self.optimizer != "sgd" or self.learning_rate is not None:
                raise InputError(
                    "--step-over-kappa sets the step size of --optimizer sgd: leave out --learning-rate and adamw."
                )
            if self.schedule != "constant" or self.warmup_rounds:
                raise InputError("--step-over-kappa is a fixed step size: leave out --schedule and --warmup-rounds.")
        elif self.optimizer == "sgd" and self.learning_rate is None:
            raise InputError("sgd has no step size that suits every model: give --learning-rate or --step-over-kappa.")
        if self.indices is not None and self.index != 0:
            raise InputError("The training questions are named twice: give --index or --indices, not both.")
        if self.indices is not None and len(self.places) == 1:  # one place is one question, however it is spelt
            object.__setattr__(self, "index", self.places[0])
            object.__setattr__(self, "indices", None)
        if len(set(self.places)) < len(self.places):
            raise InputError(f"--index names a question twice in {self.index}: name each once.")
        if self.prompt is not None and len(self.places) > 1:
            raise InputError("A prompt of your own is the only question: leave out --index and --indices.")
        if self.prompts_per_round > len(self.places):
            raise InputError(
                f"--prompts-per-round is {self.prompts_per_round} and the training questions are {len(self.places)}: "
                "name more with --indices, or draw fewer."
            )
        if self.step_over_kappa is not None and len(self.places) > 1:
            raise InputError("kappa is that of one question: leave out --step-over-kappa, or name one with --index.")
        if self.measures and self.measure_tree is False and len(self.places) > 1:
            raise InputError("Several questions have a law on their trees alone: leave out --measure-tree no.")
        group = self.rollouts + self.baseline_rollouts
        signals.make(self.signal, ddof=self.ddof, eps=self.eps)
        signal_checks.check_own_k(self.signal_k, self.signal, group, "--signal-k")
        signal_checks.check_window(self.window, self.signal, self.rollouts, self.baseline_rollouts, _SPELT)
        signal_checks.check_normalise(self.normalise, self.signal, group, self.window, _SPELT)
        signal_checks.check_dynamic_sampling(self.dynamic_sampling, self.signal, group, self.window, _SPELT)
        if self.clip is None and self.clip_high is not None:
            raise InputError("--clip none has no bound above: leave out --clip-high, or give --clip a number.")
        if self.prompts_per_round * self.rollouts % self.mini_batches:
            raise InputError(
                f"--mini-batches is {self.mini_batches}, and a round learns from "
                f"{self.prompts_per_round * self.rollouts} responses: give a divisor of them."
            )
        ratios.check_delay(self.delay, self.replay, self.rounds, {name: f"--{name}" for name in _LATE})
        if self.schedule != "constant" and self.warmup_rounds >= (learned := self.rounds - self.delay):
            why, and_delay = (
                (f", --rounds less --delay {self.delay}", " and --delay together") if self.delay else ("", "")
            )
            raise InputError(
                f"--schedule {self.schedule} has {learned} rounds{why}, {self.warmup_rounds} of them warmup: give more "
                f"--rounds than --warmup-rounds{and_delay}."
            )
        ratios.check_ratio(
            self.ratio, clip=self.clip_limits, dual_clip=self.dual_clip, replay=self.replay, names=_RATIOS
        )
        if self.kl_weighted and not self.kl_coefficient:
            raise InputError(
                "--kl-weighted is of the KL in the loss, and --kl-coefficient is 0: leave one of them out."
            )
        ratios.check_importance(
            self.truncated_importance,
            self.importance_level,
            old_log_probs=self.old_log_probs,
            ratio=self.clip is not None or self.replay > 0,
            names=_IMPORTANCE,
        )
        self._check_memory()
        if self.mesh is not None:  # in one spelling, whatever the order
            object.__setattr__(self, "mesh", spelt(sizes_of(self.mesh, "--mesh")))
        if self.attention == "dot-product" and self.mesh is not None:
            raise InputError("--attention dot-product is of one device: leave out --mesh, or use --attention own.")
        self.ks  # noqa: B018 - read here, so that a wrong one is refused before anything is loaded

    def _check_memory(self) -> None:
        """Raises InputError where options that save memory do not go together."""
        if self.lora_rank is None:
            for name in ("lora_alpha", "lora_weights"):
                if getattr(self, name) is not None:
                    flag = "--" + name.replace("_", "-")
                    raise InputError(f"{flag} is of adapters: give --lora-rank too, or leave it out.")
        else:
            names = ("--lora-rank", "--lora-alpha", "--lora-weights")
            found = lora.weights_of(self.lora_weights, rank=self.lora_rank, alpha=self.lora_alpha, names=names)
            if self.lora_weights is not None:  # in one spelling, whatever the order
                object.__setattr__(self, "lora_weights", None if found == lora.WEIGHTS else ",".join(found))
            if self.measures:
                raise InputError(
                    "kappa is measured in all weights, and --lora-rank trains adapters: leave out --measure and "
                    "--step-over-kappa."
                )
            if self.optimizer == "muon":
                raise InputError("muon moves whole matrices, and --lora-rank trains adapters: use --optimizer adamw.")
        if self.cache_dtype == "float32" and self.dtype != "float32":
            raise InputError(f"--cache-dtype float32 is wider than --dtype {self.dtype}: leave it out.")
        if self.moment_dtype != "float32" and self.optimizer == "sgd":
            raise InputError("sgd keeps no moments: leave out --moment-dtype, or use --optimizer adamw.")

    @property
    def measures(self) -> bool:
        """Whether p0 and kappa are measured before the run."""
        return self.measure or self.step_over_kappa is not None

    @property
    def test_source(self) -> str | None:
        """The data of the test questions, or None where there are none."""
        return (self.test_data or self.data) if self.test_questions else None

    @property
    def places(self) -> tuple[int, ...]:
        """The training questions' places in their split."""
        if self.indices is not None:
            return tuple(places_of(self.indices))
        return (self.index,) if isinstance(self.index, int) else self.index

    @property
    def ks(self) -> list[int]:
        """The k of pass@k, ascending."""
        return parse_ks(self.k)

    @property
    def clip_limits(self) -> float | tuple[float, float] | None:
        """The ratio clip as the learner takes it."""
        return self.clip if self.clip is None or self.clip_high is None else (self.clip, self.clip_high)

    def to_json(self) -> dict[str, Any]:
        """Plain values, complete: `bandit-rft finetune --config` reads them back."""
        return {"command": "finetune", **dataclasses.asdict(self)}


def parse_ks(text: str) -> list[int]:
    """Whole numbers of at least 1 with commas between them, ascending.

    Raises:
        InputError: they are not.
    """
    try:
        parts = [part.strip() for part in text.split(",")]
        ks = sorted({int(part) for part in parts}) if all(part.isdecimal() for part in parts) else []
    except ValueError:  # more digits than Python reads
        ks = []
    if not ks or ks[0] < 1 or ks[-1] > MOST_ROWS:
        raise InputError(f"--k is {shown(text)}: give whole numbers from 1 to {MOST_ROWS:,}, such as 1,8.")
    return ks


def default_folder(config: FineTuneConfig, seeds: int) -> str:
    """runs/MODEL-DATA-INDEX-HASH, and the seeds where there are several: the same for the same options."""
    listed = "-".join(map(str, config.places)) if len(config.places) <= 4 else "several"
    what = (config.indices or listed)[:40] if config.data else ""
    name = run_name("", config.model, config.data or "prompt", what, config.to_json())
    return name + (f"-{seeds}-seeds" if seeds > 1 else "")
