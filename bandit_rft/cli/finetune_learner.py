"""The learner that a fine-tuning configuration asks for, its step size measured for where that is asked."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bandit_rft.cli.finetune_config import MEASUREMENT, FineTuneConfig
from bandit_rft.errors import InputError

if TYPE_CHECKING:
    import jax
    import numpy as np

    from bandit_rft.runs import RunFolder
    from llm_bridge import LanguageModel
    from llm_bridge.data.datasets import Example

_LEARNER_FIELDS = (
    *("signal", "ddof", "eps", "reward_right", "reward_wrong", "rollouts", "baseline_rollouts", "max_tokens"),
    *("temperature", "optimizer", "schedule", "warmup_rounds", "learning_rate_floor", "weight_decay", "adam_eps"),
    *("kl_weighted", "old_log_probs"),
    *("gradient_clip", "kl_coefficient", "kl", "reward_kl_coefficient", "reward_kl", "log_kl", "entropy_coefficient"),
    *("dual_clip", "epochs", "mini_batches", "replay", "aggregation", "micro_batch", "generation_batch", "remat"),
)


def learner_settings(config: FineTuneConfig) -> dict[str, Any]:
    """What `FineTune` is told of a configuration, but the model and the step size."""
    return {
        "prompts": config.prompts_per_round,
        "clip": config.clip_limits,
        "betas": (config.beta1, config.beta2),
        **{name: getattr(config, name) for name in _LEARNER_FIELDS},
    }


def fitting(config: FineTuneConfig, model: LanguageModel, prompts: Sequence[np.ndarray]) -> FineTuneConfig:
    """The configuration with a number of `max_tokens` as config.json has it: given, or what fits these prompts."""
    from llm_bridge.training import defaults

    return dataclasses.replace(config, max_tokens=config.max_tokens or defaults.max_tokens(model, prompts))


def learning_rate_of(
    config: FineTuneConfig, folder: RunFolder, model: LanguageModel, example: Example, key: jax.Array
) -> float:
    """The step size, by the model's size or measured for where asked; recorded, with what it comes from, in config.json
    and manifest.json. A run that goes on keeps the one that it began with.
    """
    import jax

    from bandit_rft.runs.progress import ProgressLine
    from llm_bridge import verifiers
    from llm_bridge.measuring.measure import measure
    from llm_bridge.training import defaults

    assert config.max_tokens is not None
    resolved = folder.resolved
    rate = config.learning_rate
    if rate is None and config.step_over_kappa is None:
        before = resolved.get("learning_rate")
        sound = isinstance(before, float) and math.isfinite(before)
        rate = before if sound else defaults.learning_rate(config.optimizer, defaults.weights_of(model))
    if config.measures and "measurement" not in resolved:
        with ProgressLine("measuring p0 and kappa", unit="steps", quantity="p0") as line:
            measured = measure(
                model,
                example.prompt,
                verifiers.make(config.verifier or example.verifier, example.answer),
                key=jax.random.fold_in(key, MEASUREMENT),
                max_tokens=config.max_tokens,
                rollouts=config.measure_rollouts,
                batch=config.evaluation_batch,
                temperature=config.temperature,
                standard_error=config.measure_error,
                remat=config.remat,
                progress=line,
            )
        resolved["measurement"] = dataclasses.asdict(measured)
    if config.step_over_kappa is not None:
        kappa = resolved["measurement"]["kappa"]
        if kappa is None or not (math.isfinite(kappa) and kappa > 0):
            found = resolved["measurement"]
            raise InputError(
                f"kappa could not be measured ({found['successes']} of {found['rollouts']} responses were right, "
                f"estimate {kappa}): raise --measure-rollouts, choose another question, or give --learning-rate."
            )
        rate = config.step_over_kappa / kappa
    assert rate is not None
    resolved["learning_rate"] = rate
    folder.resolve(**resolved)
    folder.amend_manifest(resolved=resolved)
    return rate


def reach_of(config: FineTuneConfig, model: LanguageModel, rate: float) -> str | None:
    """How long responses may be and how far the run can move the weights, as a sentence; None where only the gradient
    can say.
    """
    from llm_bridge.training import defaults

    moved = defaults.reach(model, config.optimizer, rate, config.rounds, config.epochs * config.mini_batches)
    return None if moved is None else f"Responses have at most {config.max_tokens} tokens. {moved}"
