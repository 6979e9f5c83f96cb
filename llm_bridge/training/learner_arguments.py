"""The kinds of `FineTune`'s arguments: whole numbers, numbers, yes or no; each refused by name where it is another one.

What is left is of plain Python types, so that config.json has a number as it is, whichever library it came from.
"""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from bandit_rft import arguments
from bandit_rft.errors import InputError
from bandit_rft.settings.ranges import (
    ABOVE_0,
    ABOVE_1,
    ADAM_EPS,
    AT_LEAST_0,
    COUNT,
    DECAY,
    FINITE,
    ROWS,
    ROWS_OR_0,
    SHARE,
    TEMPERATURE,
    WHOLE,
    Wholes,
)

if TYPE_CHECKING:
    from llm_bridge.training.learner import FineTune

_WHOLE = {
    **dict.fromkeys(("prompts", "rollouts"), ROWS),
    **dict.fromkeys(("epochs", "mini_batches"), COUNT),
    "baseline_rollouts": ROWS_OR_0,
    **dict.fromkeys(("replay", "delay", "warmup_rounds", "dynamic_sampling"), WHOLE),
}
_WHOLE_OR_NONE = {"max_tokens": "what fits", "micro_batch": "all at once", "generation_batch": "all at once"}
_NUMBERS = {
    **dict.fromkeys(("kl_coefficient", "reward_kl_coefficient", "weight_decay", "eps"), AT_LEAST_0),
    **dict.fromkeys(("reward_right", "reward_wrong", "entropy_coefficient"), FINITE),
    "adam_eps": ADAM_EPS,
    "learning_rate_floor": SHARE,
    "temperature": TEMPERATURE,
}
_NUMBERS_OR_NONE = ("step_over_kappa", "truncated_importance")  # with checks of their own elsewhere
_YES_OR_NO = ("kl_weighted", "log_kl", "remat", "donate", "keep_model")


def settle(learner: FineTune) -> None:
    """Put numbers of plain types in the place of a learner's arguments.

    Raises:
        InputError: an argument of another kind, or out of range.
    """

    def put(name: str, value: Any) -> None:
        object.__setattr__(learner, name, value)

    def refuse(name: str, wanted: str) -> InputError:
        return InputError(f"FineTune has {name} = {arguments.shown(getattr(learner, name))}: give {wanted}.")

    def number(name: str, wanted: str = "a number") -> float:
        try:
            return arguments.number(name, getattr(learner, name))
        except InputError:
            raise refuse(name, wanted) from None

    def whole(name: str, allowed: Wholes, otherwise: str = "") -> int:
        value = number(name, f"{allowed.wanted()}{otherwise}")
        if not math.isfinite(value) or not allowed.holds(value):
            raise refuse(name, f"{allowed.wanted(value)}{otherwise}")
        return int(value)

    for name, allowed in _WHOLE.items():
        put(name, whole(name, allowed))
    for name, otherwise in _WHOLE_OR_NONE.items():
        if getattr(learner, name) is not None:
            put(name, whole(name, COUNT, f", or None for {otherwise}"))
    for name in ("k", "window", "ddof"):  # whose bounds depend on the signal, and are checked with it
        with contextlib.suppress(InputError):
            put(name, arguments.whole(name, getattr(learner, name), 0))
    for name, numbers in _NUMBERS.items():
        put(name, number(name, numbers.wanted))
        if not numbers.holds(getattr(learner, name)):
            raise refuse(name, numbers.wanted)
    for name in _NUMBERS_OR_NONE:
        if getattr(learner, name) is not None:
            put(name, number(name))
    for name in _YES_OR_NO:
        if not isinstance(getattr(learner, name), bool | np.bool_):
            raise refuse(name, "True or False")
        put(name, bool(getattr(learner, name)))
    if not isinstance(learner.schedule, str):
        raise refuse("schedule", "'constant', 'linear' or 'cosine'")
    if learner.learning_rate is not None and not callable(learner.learning_rate):
        put("learning_rate", number("learning_rate", "a number of at least 0, or an optax schedule"))
        if not AT_LEAST_0.holds(learner.learning_rate):
            raise refuse("learning_rate", AT_LEAST_0.wanted)
    for name, numbers in (("gradient_clip", ABOVE_0), ("dual_clip", ABOVE_1)):
        if getattr(learner, name) is not None:
            put(name, number(name, f"{numbers.wanted}, or None"))
            if not numbers.holds(getattr(learner, name)):
                raise refuse(name, f"{numbers.wanted}, or None")
    _settle_clip(learner, put, refuse)
    betas = _pair(learner.betas)
    if betas is None or not all(map(DECAY.holds, betas)):
        raise refuse("betas", "two numbers of at least 0 and below 1 - 6e-8, such as (0.9, 0.999)")
    put("betas", betas)
    if not isinstance(learner.optimizer, str) and not (
        hasattr(learner.optimizer, "init") and hasattr(learner.optimizer, "update")
    ):
        raise refuse("optimizer", "'adamw', 'sgd', 'muon', or an optax GradientTransformation")


def _settle_clip(learner: FineTune, put: Any, refuse: Any) -> None:
    """The clip as None, a number, or two."""
    if learner.clip is None:
        return
    clip = _pair(learner.clip) if isinstance(learner.clip, tuple | list) else _pair((learner.clip, learner.clip))
    if clip is None:
        raise refuse("clip", "a number, two as (low, high), or None for REINFORCE")
    if not all(limit >= 0 for limit in clip):
        raise refuse("clip", "a number of at least 0, or None for REINFORCE")
    put("clip", clip if isinstance(learner.clip, tuple | list) else clip[0])


def _pair(values: Any) -> tuple[float, float] | None:
    """Two numbers as such; None for anything else."""
    try:
        low, high = (arguments.number("", value) for value in values)
    except (InputError, TypeError, ValueError):
        return None
    return low, high
