"""What `bandit-rft finetune` is asked: one frozen configuration, from which options, help and config.json are made."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from bandit_rft.cli_commands.options import count, number, option, or_none, whole
from bandit_rft.errors import InputError

# Asked of the model's libraries only when it is used: --help must not wait for them.
VERIFIER_HELP = (
    "how a response is compared with the answer: gsm8k-numeric, gsm8k-flexible, gsm8k-strict, math-verify, math-boxed, "
    "exact, exact-casefold, regex:PATTERN, or your own module:function or file.py:function; none: by the data"
)
TEMPLATE_HELP = "how the question is put: gsm8k, math, plain, or a text with {question} in it; none: as the data has it"
SIGNALS = ("raw", "signed", "mean_baseline", "rloo", "grpo")
AGGREGATIONS = ("seq-mean-token-sum", "seq-mean-token-sum-norm", "seq-mean-token-mean", "token-mean", "token-sum")


@dataclass(frozen=True, kw_only=True)
class FineTuneConfig:
    """A fine-tuning run; every field is an option of the command and documented there.

    Raises:
        InputError: values that do not go together. What the model, the data and the learner refuse is refused by them.
    """

    model: str = option("smollm2-135m", "embedded or fetched model, local folder, .gguf file or Hugging Face hub id")
    data: str | None = option(None, "arithmetic, gsm8k, math, a parquet file, a folder or a hub id", type=or_none(str))
    split: str = option("train", "split of the data that the training example is taken from")
    index: int = option(0, "the training example's place in its split, from 0", type=whole)
    prompt: str | None = option(
        None, "a prompt of your own instead of --data; needs --answer", type=or_none(str), metavar="TEXT"
    )
    answer: str | None = option(None, "the right answer to --prompt", type=or_none(str), metavar="TEXT")
    verifier: str | None = option(None, VERIFIER_HELP, type=or_none(str))
    template: str | None = option(None, TEMPLATE_HELP, type=or_none(str))
    signal: str = option("raw", "learning signal made of a round's rewards", choices=SIGNALS)
    rollouts: int = option(1, "responses a round, G", type=count)
    rounds: int = option(200, "rounds, T", type=count)
    max_tokens: int = option(256, "longest response, in tokens", type=count)
    temperature: float = option(1.0, "sampling temperature; responses are scored at the same", type=number)
    optimizer: str = option("adamw", "adamw, or plain sgd (the theory's update)", choices=("adamw", "sgd"))
    learning_rate: float | None = option(
        None, "step size a round; none: 1e-6 for adamw (sgd needs one, or --step-over-kappa)", type=or_none(number)
    )
    step_over_kappa: float | None = option(
        None, "sgd step size = this over the measured kappa: logit gain a success and unit of 1-p", type=or_none(number)
    )
    kl_coefficient: float = option(0.001, "weight of the KL divergence from the model as loaded; 0: none", type=number)
    kl: str = option("k3", "estimator of that divergence", choices=("k1", "k2", "k3"))
    clip: float | None = option(0.2, "PPO's bound on |ratio - 1|; none: REINFORCE", type=or_none(number))
    epochs: int = option(1, "passes over a round's responses", type=count)
    aggregation: str = option(
        "seq-mean-token-sum", "how the loss averages over tokens (verl's names)", choices=AGGREGATIONS
    )
    gradient_clip: float | None = option(
        1.0, "bound on the gradient's Euclidean norm; none: no bound", type=or_none(number)
    )
    weight_decay: float = option(0.01, "adamw's decoupled weight decay", type=number)
    micro_batch: int | None = option(
        None, "responses a forward and backward pass; none: all of the round", type=or_none(count)
    )
    remat: bool = option(False, "recompute activations in the backward pass: less memory, a third more time")
    dtype: str = option("float32", "of activations and matrix products", choices=("float32", "bfloat16"))
    param_dtype: str | None = option(
        None, "of the weights: none: as dtype; float32 keeps master weights", type=or_none(str), metavar="DTYPE"
    )
    key: int = option(0, "seed of all random draws", type=whole)
    train_samples: int = option(
        64, "responses behind each estimate of Pass@1 on the training example; 0: none", type=whole
    )
    test_questions: int = option(
        100, "first questions of the test split, one response each, behind each test Pass@1; 0: none", type=whole
    )
    test_data: str | None = option(None, "data of the test questions; none: as --data", type=or_none(str))
    test_split: str = option("test", "split of the test questions")
    evaluate_every: int | None = option(
        None, "rounds between evaluations; none: before and after only", type=or_none(count)
    )
    test_every: int | None = option(
        None,
        "rounds between test evaluations; none: as --evaluate-every; 0: before and after only",
        type=or_none(whole),
    )
    evaluation_batch: int = option(32, "responses generated together in evaluations", type=count)
    measure: bool = option(False, "measure p0 and kappa before the run, for the theory's overlay")
    measure_rollouts: int = option(64, "responses behind that measurement", type=count)
    measure_error: bool = option(True, "also the standard error of kappa, for two thirds more time")
    checkpoint_every: int = option(
        50, "rounds between checkpoints; evaluated rounds and the last have one too", type=count
    )
    keep_checkpoints: int = option(2, "newest checkpoints that are kept", type=count)

    def __post_init__(self) -> None:
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
            if not self.step_over_kappa > 0:
                raise InputError(f"--step-over-kappa is {self.step_over_kappa}: give a number above 0, such as 0.5.")
        elif self.optimizer == "sgd" and self.learning_rate is None:
            raise InputError("sgd has no step size that suits every model: give --learning-rate or --step-over-kappa.")

    @property
    def measures(self) -> bool:
        """Whether p0 and kappa are measured before the run."""
        return self.measure or self.step_over_kappa is not None

    @property
    def test_source(self) -> str | None:
        """The data of the test questions, or None where there are none."""
        return (self.test_data or self.data) if self.test_questions else None

    def to_json(self) -> dict[str, Any]:
        """Plain values, complete: `bandit-rft finetune --config` reads them back."""
        return {"command": "finetune", **dataclasses.asdict(self)}
