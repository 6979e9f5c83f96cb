"""One round of the contract, and what both loops share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bandit_rft.contract import ArmSet, Info, Learner
from bandit_rft.errors import InputError
from bandit_rft.keys import Purpose
from bandit_rft.loop import redraws

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
    pulled, info = bound.act(act_key, state)
    return after_pull(arms, bound, round_key, state, pulled, info, arms.pull(pull_key, pulled))


def after_pull(
    arms: ArmSet, bound: Learner, round_key: jax.Array, state: Any, pulled: Any, info: Info, rewards: Any
) -> tuple[Any, dict[str, Any], Any]:
    """The rest of a round, whose rewards are there: (state after, what happened, arms pulled)."""
    first = arms.mean(pulled)
    value = info.value if info.value is not None else (None if first is None else jnp.mean(first))
    pulled, rewards, drawn = redraws.settled(arms, bound, round_key, state, pulled, rewards)
    mean = first if bound.redraws is None else arms.mean(pulled)
    state = bound.update(state, pulled, jnp.asarray(rewards))
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
        f"(seed {seed}, rollout {rollout}): rewards must be finite numbers."
    )
