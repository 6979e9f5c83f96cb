"""The learner that a fine-tuning configuration asks for, its step size measured for where that is asked."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

from bandit_rft.cli_commands.finetune_config import MEASUREMENT, FineTuneConfig
from bandit_rft.errors import InputError

if TYPE_CHECKING:
    import jax

    from bandit_rft.run_folder import RunFolder
    from llm_bridge import LanguageModel
    from llm_bridge.datasets import Example

_LEARNER_FIELDS = (
    *("signal", "ddof", "eps", "reward_right", "reward_wrong", "rollouts", "baseline_rollouts", "max_tokens"),
    *("temperature", "optimizer", "schedule", "warmup_rounds", "learning_rate_floor", "weight_decay", "adam_eps"),
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


def learning_rate_of(
    config: FineTuneConfig, folder: RunFolder, model: LanguageModel, example: Example, key: jax.Array
) -> float:
    """The step size, measured for where asked; recorded, with what it comes from, in config.json and manifest.json."""
    import jax

    from bandit_rft.progress import ProgressLine
    from llm_bridge import verifiers
    from llm_bridge.measure import measure

    rate = 1e-6 if config.learning_rate is None else config.learning_rate
    resolved = folder.resolved
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
    resolved["learning_rate"] = rate
    folder.resolve(**resolved)
    folder.amend_manifest(resolved=resolved)
    return rate
