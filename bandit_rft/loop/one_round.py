"""One round of the contract, and what both loops share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bandit_rft.arms.lumped_arms import LumpedArms
from bandit_rft.contract import ArmSet, Info, Learner
from bandit_rft.errors import InputError
from bandit_rft.keys import Purpose
from bandit_rft.loop import redraws
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
    return after_pull(arms, bound, round_key, state, pulled, info, arms.pull(pull_key, pulled))


def bound_of(learner: Any, arms: ArmSet, rounds: int, row_capacity: int | None) -> Learner:
    """The learner bound to the arms. Raises InputError where one of the user's own gives something else."""
    bound = learner.bind(arms, rounds=rounds, row_capacity=row_capacity)
    if not isinstance(bound, Learner):
        raise InputError(
            f"{type(learner).__name__}.bind returned {type(bound).__name__}: return a bandit_rft.contract.Learner, or "
            "subclass learners.DenseLearner."
        )
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
    first = arms.mean(pulled)
    value = info.value if info.value is not None else (None if first is None else jnp.mean(first))
    pulled, rewards, drawn = redraws.settled(arms, bound, round_key, state, pulled, rewards)
    mean = first if bound.redraws is None else arms.mean(pulled)
    before, state = state, bound.update(state, pulled, jnp.asarray(rewards))
    if state is None and before is not None:
        raise InputError("The learner's update returned nothing: return the state after the round.")
    record = {
        "rewards": rewards,
        "pulled_mean": mean,
        "value": value,
        "best_mean": info.best_mean,
        "metrics": dict(bound.metrics(state)) | drawn,
    }
    return state, record, pulled


def check_rewards(rewards: np.ndarray, arms: ArmSet, start: int) -> None:
    """Refuse a reward that is not a finite number: one NaN would silently void everything after it."""
    if np.all(np.isfinite(rewards)):
        return
    seed, offset, rollout = np.argwhere(~np.isfinite(rewards))[0]
    raise InputError(
        f"{type(arms).__name__} gave the reward {rewards[seed, offset, rollout]} in round {start + offset} "
        f"(seed {seed}, rollout {rollout}): rewards must be finite numbers, and a "
        "learner must pull an arm that there is."
    )
