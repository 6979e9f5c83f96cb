"""One round of the contract, and what both loops share."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bandit_rft import own_code
from bandit_rft.arms.lumped_arms import LumpedArms
from bandit_rft.contract import ArmSet, Info, Learner
from bandit_rft.errors import InputError
from bandit_rft.keys import Purpose
from bandit_rft.loop import checks, redraws
from bandit_rft.rows import Pulls

INIT_FOLD = Purpose.INITIAL_STATE

# Called with (rounds done, rounds in all, mean reward of the newest rounds, seconds since the start).
Progress = Callable[[int, int, float, float], None]


def round_keys(seed_key: jax.Array, round_index: jax.Array | int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """(of the draw, of the rewards, of the round itself)."""
    round_key = jax.random.fold_in(seed_key, round_index)
    act_key, pull_key = jax.random.split(round_key)
    return act_key, pull_key, round_key


def one_round(
    arms: ArmSet, bound: Learner, seed_key: jax.Array, round_index: Any, state: Any
) -> tuple[Any, dict[str, Any], Any]:
    """One round of the contract: (state after, what happened, arms pulled). Both loops run exactly this."""
    act_key, pull_key, round_key = round_keys(seed_key, round_index)
    pulled, info = acted(arms, bound, act_key, state)
    with _compiled_once(arms):
        rewards = arms.pull(pull_key, pulled)
    return after_pull(arms, bound, round_key, state, pulled, info, rewards)


def _compiled_once(arms: ArmSet) -> contextlib.AbstractContextManager[None]:
    """Refuses what the user's own `pull` does once where rounds are compiled (`own_code.same_each_round`)."""
    if not (arms.jittable and own_code.holds_own(arms)):
        return contextlib.nullcontext()
    return own_code.same_each_round(f"{type(arms).__name__}.pull", *([arms] if own_code.is_own(arms) else []))


def bound_of(learner: Any, arms: ArmSet, rounds: int, row_capacity: int | None) -> Learner:
    """The learner bound to the arms. Raises InputError where one of the user's own gives something else."""
    if own_code.is_own(learner):
        name = f"{type(learner).__name__}.bind"
        own_code.require_arguments(learner.bind, name, "arms", by_keyword=("rounds", "row_capacity"))
    try:
        bound = learner.bind(arms, rounds=rounds, row_capacity=row_capacity)
    except own_code.UNTRACEABLE as error:
        own_code.refuse_untraceable(error)
        raise
    if not isinstance(bound, Learner):
        raise InputError(
            f"{type(learner).__name__}.bind returned {type(bound).__name__}: return a bandit_rft.contract.Learner, or "
            "subclass learners.DenseLearner."
        )
    if own_code.is_own(learner):
        for function, wanted in (
            ("init", ("key",)),
            ("act", ("key", "state")),
            ("update", ("state", "arms", "rewards")),
        ):
            own_code.require_arguments(getattr(bound, function), f"The learner's {function}", *wanted)
    if arms.jittable and (own_code.holds_own(learner) or own_code.holds_own(arms)):
        act, update = (own_code.watched(f"The learner's {name}", getattr(bound, name)) for name in ("act", "update"))
        bound = bound._replace(act=act, update=update)
    return bound


def acted(arms: ArmSet, bound: Learner, key: jax.Array, state: Any) -> tuple[Any, Info]:
    """What the learner pulls, and what it says of it. Raises InputError where one of the user's own gives neither."""
    given = bound.act(key, state)
    if not (isinstance(given, tuple) and len(given) == 2 and isinstance(given[1], Info)):
        raise InputError(
            f"The learner's act returned {_kind(given)}: return (pulls, Info(value=None)) of bandit_rft.contract, or "
            "subclass learners.DenseLearner, whose choose returns the number of an arm."
        )
    if isinstance(arms, LumpedArms) and not isinstance(given[0], Pulls):
        raise InputError(
            f"The learner's act returned {_kind(given[0])} where pulls are wanted: return bandit_rft.rows.Pulls, or "
            "subclass learners.DenseLearner, whose choose returns the number of an arm."
        )
    return given


def _kind(given: Any) -> str:
    shape = getattr(given, "shape", None)
    return type(given).__name__ if shape is None else f"an array of {given.dtype} of shape {shape}"


def after_pull(
    arms: ArmSet, bound: Learner, round_key: jax.Array, state: Any, pulled: Any, info: Info, rewards: Any
) -> tuple[Any, dict[str, Any], Any]:
    """The rest of a round, whose rewards are there: (state after, what happened, arms pulled)."""
    name = type(arms).__name__
    rewards = checks.numbers_of_pulls(f"{name}.pull", rewards, bound.rollouts, "reward", traced=arms.jittable)
    first = _means(arms, name, pulled, bound.rollouts)
    value = info.value if info.value is not None else (None if first is None else jnp.mean(first))
    for said, number in (("value", info.value), ("best_mean", info.best_mean)):
        if number is not None and np.shape(number) != ():
            raise InputError(
                f"The learner's act returned Info({said}=...) of shape {list(np.shape(number))}: give a number or None."
            )
    pulled, rewards, drawn = redraws.settled(arms, bound, round_key, state, pulled, rewards)
    mean = first if bound.redraws is None else _means(arms, name, pulled, bound.rollouts)
    before = state
    state = bound.update(state, pulled, jnp.asarray(rewards))
    if state is None and before is not None:
        raise InputError("The learner's update returned nothing: return the state after the round.")
    if arms.jittable:
        checks.require_alike(before, state)
    record = {
        "rewards": rewards,
        "pulled_mean": mean,
        "value": value,
        "best_mean": info.best_mean,
        "metrics": dict(bound.metrics(state)) | drawn,
    }
    return state, record, pulled


def _means(arms: ArmSet, name: str, pulled: Any, pulls: int) -> Any:
    mean = arms.mean(pulled)
    return None if mean is None else checks.numbers_of_pulls(f"{name}.mean", mean, pulls, "mean", traced=arms.jittable)
