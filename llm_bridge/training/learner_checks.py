"""Which of `FineTune`'s arguments go together; each pair that does not is refused by name, in one sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bandit_rft import objectives, ratios, signal_checks, signals
from bandit_rft.errors import InputError
from llm_bridge.training import defaults, optimizers

if TYPE_CHECKING:
    from llm_bridge.training.learner import FineTune


def complete(learner: FineTune) -> None:
    """Refuse what does not go together, and put in the learning rate where none is given.

    Args:
        learner: whose arguments are of their kinds (`learner_arguments.settle`).

    Raises:
        InputError: two arguments that do not go together, or an unknown name.
    """
    signals.make(learner.signal, ddof=learner.ddof, eps=learner.eps)
    signal_checks.check_function(learner.signal, learner.group, traced=True)
    signal_checks.check_own_k(learner.k, learner.signal, learner.group)
    names = {"extra": "baseline_rollouts"}
    signal_checks.check_window(learner.window, learner.signal, learner.rollouts, learner.baseline_rollouts, names)
    signal_checks.check_normalise(learner.normalise, learner.signal, learner.group, learner.window)
    signal_checks.check_dynamic_sampling(learner.dynamic_sampling, learner.signal, learner.group, learner.window)
    for estimator in (learner.kl, learner.reward_kl):
        if estimator not in objectives.KL_ESTIMATORS:
            known = ", ".join(objectives.KL_ESTIMATORS)
            raise InputError(f"Unknown KL estimator {estimator!r}: choose one of {known}.")
    if learner.aggregation not in objectives.AGGREGATIONS:
        raise InputError(
            f"Unknown aggregation {learner.aggregation!r}: choose one of {', '.join(objectives.AGGREGATIONS)}."
        )
    if isinstance(learner.optimizer, str) and learner.optimizer not in optimizers.OPTIMIZERS:
        raise InputError(
            f"Unknown optimizer {learner.optimizer!r}: choose one of {', '.join(optimizers.OPTIMIZERS)}, or give an "
            "optax GradientTransformation."
        )
    if learner.old_log_probs not in ("sampler", "trainer"):
        raise InputError(f"FineTune has old_log_probs = {learner.old_log_probs!r}: give 'sampler' or 'trainer'.")
    _check_memory(learner)
    if learner.step_over_kappa is not None:
        _check_step_over_kappa(learner)
    elif learner.learning_rate is None:
        own = defaults.learning_rate(learner.optimizer, defaults.trained_of(learner.model))
        object.__setattr__(learner, "learning_rate", own)
    if (learner.schedule != "constant" or learner.warmup_rounds) and callable(learner.learning_rate):
        raise InputError("FineTune has a schedule twice: give a number as learning_rate, or leave out schedule.")
    if (learner.schedule != "constant" or learner.warmup_rounds) and not isinstance(learner.optimizer, str):
        raise InputError(
            "FineTune has a schedule, which an optax optimizer of your own does not follow: give optax the schedule as "
            "its learning rate, and leave out schedule and warmup_rounds."
        )
    ratios.check_delay(learner.delay, learner.replay)
    ratios.check_ratio(learner.ratio, clip=learner.clip_limits, dual_clip=learner.dual_clip, replay=learner.replay)
    if learner.kl_weighted and not learner.kl_coefficient:
        raise InputError("kl_weighted is of the KL in the loss, and kl_coefficient is 0: leave one of them out.")
    ratios.check_importance(
        learner.truncated_importance,
        learner.importance_level,
        old_log_probs=learner.old_log_probs,
        ratio=learner.clip_limits is not None or learner.replay > 0,
    )
    if learner.prompts * learner.rollouts % learner.mini_batches:
        raise InputError(
            f"{learner.prompts * learner.rollouts} rollouts per round cannot be cut into mini_batches = "
            f"{learner.mini_batches} of one size: give a divisor."
        )
    if learner.learning_rate is not None:
        # An unknown schedule, or a floor out of range; the number of rounds is only known when bound.
        learner.rate(learner.warmup_rounds + learner.delay + 1)


def _check_memory(learner: FineTune) -> None:
    if learner.moment_dtype not in ("float32", "bfloat16"):
        raise InputError(f"FineTune has moment_dtype = {learner.moment_dtype!r}: give 'float32' or 'bfloat16'.")
    if learner.moment_dtype == "bfloat16" and learner.optimizer not in ("adamw", "muon"):
        raise InputError("moment_dtype is of the moments of adamw and muon: leave it out with another optimizer.")
    if not learner.keep_model and (learner.needs_reference or learner.model.config.lora is not None):
        raise InputError("keep_model=False gives up the reference, which a KL term or adapters need: leave it out.")
    if learner.model.config.lora is not None:
        if learner.optimizer == "muon":
            raise InputError("muon moves whole matrices, and this model has adapters: choose optimizer='adamw'.")
        if learner.step_over_kappa is not None:
            raise InputError("kappa is measured in all weights, and this model has adapters: give learning_rate.")


def _check_step_over_kappa(learner: FineTune) -> None:
    if learner.optimizer != "sgd" or learner.learning_rate is not None:
        raise InputError(
            'step_over_kappa sets the step size of optimizer="sgd": leave out learning_rate, and other optimisers.'
        )
    if not (learner.step_over_kappa or 0) > 0:
        raise InputError(f"FineTune has step_over_kappa = {learner.step_over_kappa}: give a number above 0.")
    if learner.schedule != "constant" or learner.warmup_rounds:
        raise InputError("step_over_kappa is a fixed step size: leave out schedule and warmup_rounds.")
