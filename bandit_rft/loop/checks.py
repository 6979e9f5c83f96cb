"""What both loops refuse: arms and learners that are none, and what one of the user's own gives that is not sound."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bandit_rft import arguments, own_code
from bandit_rft.arms.lumped_arms import LumpedArms, innermost
from bandit_rft.contract import ArmSet
from bandit_rft.errors import InputError

RECORDED = ("rewards", "pulled_mean", "value")  # of a round, what is looked at on the host


def require_arms(arms: Any) -> None:
    """Refuse what is no arm set. Raises InputError."""
    name = type(arms).__name__
    if isinstance(arms, type) or not hasattr(arms, "jittable"):
        given = arms.__name__ if isinstance(arms, type) else name
        raise InputError(f"arms is {given}, no arm set: give one of bandit_rft.arms.")
    if not own_code.is_own(arms):
        return
    for wanted in ("best_mean", "pull", "mean"):
        if not hasattr(arms, wanted):
            raise InputError(
                f"{name} has no {wanted}: give it jittable, best_mean, pull and mean (bandit_rft.contract)."
            )
    own_code.require_arguments(arms.pull, f"{name}.pull", "key", "arms")
    own_code.require_arguments(arms.mean, f"{name}.mean", "arms")
    if arms.best_mean is not None:
        arguments.finite(f"best_mean of {name}", arms.best_mean)


def require_learner(learner: Any) -> None:
    """Refuse what is no learner's factory, such as its class. Raises InputError."""
    if isinstance(learner, type) or not hasattr(learner, "bind"):
        given = learner.__name__ if isinstance(learner, type) else type(learner).__name__
        raise InputError(f"learner is {given}, no learner: make one, such as learners.UCB1().")


def numbers_of_pulls(name: str, given: Any, pulls: int, what: str, *, traced: bool) -> Any:
    """What an arm set gives for the pulls of a round, [G]. Raises InputError where it is something else."""
    wanted = f"return an array of {pulls} {what}{'s'[: pulls > 1]}, one for each of the learner's rollouts"
    if not hasattr(given, "shape"):
        try:
            given = jnp.asarray(given) if traced else np.asarray(given)
        except (TypeError, ValueError):
            raise InputError(f"{name} returned {arguments.shown(given)}: {wanted}.") from None
    if given.shape != (pulls,) or given.dtype.kind not in "biufV":  # V: the small floats of JAX
        raise InputError(f"{name} returned {given.dtype} {list(given.shape)}: {wanted}.")
    return given


def require_alike(before: Any, after: Any) -> None:
    """Raises InputError for a state that changes its structure, its shapes or its dtypes, which no loop of compiled
    rounds can carry; a number of Python's may become an array's.
    """
    if jax.tree.structure(before) != jax.tree.structure(after):
        raise InputError(
            "The learner's update returned a state of another structure than it was given: return the same fields, by "
            "the same names, in every round."
        )
    for (path, old), new in zip(jax.tree.leaves_with_path(before), jax.tree.leaves(after), strict=True):
        kinds = [getattr(leaf, "dtype", None) for leaf in (old, new)]
        plain = any(kind is None for kind in kinds) or getattr(old, "weak_type", False)
        alike = plain or kinds[0] == kinds[1]
        if np.shape(old) != np.shape(new) or not alike:
            raise InputError(
                f"The learner's update returned a state{jax.tree_util.keystr(path)} that is {kinds[1]} "
                f"{list(np.shape(new))} and was {kinds[0]} {list(np.shape(old))}: keep shape and dtype as they "
                "are."
            )


def check_records(records: Mapping[str, Any], arms: ArmSet, start: int) -> None:
    """Refuse numbers that would silently void everything after them.

    Args:
        records: "rewards" and "pulled_mean" [S, L, G] and "value" [S, L] of L rounds.
        arms: that gave them.
        start: the first of these rounds.

    Raises:
        InputError: a reward or a true mean that is not finite, means outside [0, 1] of rewards 0 and 1, or above the
            best mean that the user's own arm set names.
    """
    rewards, means, value_of_policy = (records[one] for one in RECORDED)
    name, table = type(arms).__name__, innermost(arms)
    unpaid = _bad(rewards)
    lost = None if means is None else _bad(means)
    # The fault that comes first, for a reward that is no number makes indices that are none.
    if means is not None and lost is not None and (unpaid is None or lost <= unpaid):
        raise InputError(
            f"The arm pulled in {_said(lost, start)} has the mean {means[lost]}: a learner must pull an arm that there "
            f"is, its index, weights or signal must be numbers, and {name} must give finite means, or None."
        )
    if unpaid is not None:
        raise InputError(
            f"{name} gave the reward {rewards[unpaid]} in {_said(unpaid, start)}: rewards must be finite numbers, and "
            "a learner must pull an arm that there is."
        )
    endless = getattr(arms, "reservoir", False)  # its means may average to no number
    of_policy = None if value_of_policy is None or endless else _bad(value_of_policy[..., None])
    if value_of_policy is not None and of_policy is not None:
        raise InputError(
            f"The policy's value is {value_of_policy[of_policy[:2]]} in {_said(of_policy, start)}: what a learner goes "
            "by, a signal or Info(value=...) of your own, must be a number."
        )
    if means is None or not own_code.is_own(table):
        return
    if isinstance(table, LumpedArms) and table.sigma is None and type(table).pull is LumpedArms.pull:
        outside = _place((means < 0) | (means > 1))
        if outside is not None:
            raise InputError(
                f"{name} has an arm of mean {means[outside]:g} (pulled in {_said(outside, start)}), and its rewards "
                "are 0 and 1: give means in [0, 1], or a sigma."
            )
    best = arms.best_mean
    if best is not None and not endless:
        above = _place(means > best + 1e-9 * max(1.0, abs(best)))
        if above is not None:
            raise InputError(
                f"{name} gives best_mean = {best:g}, and an arm of mean {means[above]:g} was pulled in "
                f"{_said(above, start)}: give the largest mean, from which regret is counted."
            )


Place = tuple[int, int, int]  # seed, round of these, rollout


def _bad(values: np.ndarray) -> Place | None:
    """The first of [S, L, G] that is not finite."""
    finite = np.isfinite(values)
    return None if finite.all() else _place(~finite)


def _place(chosen: np.ndarray) -> Place | None:
    """The first of [S, L, G] that is chosen."""
    if not chosen.any():
        return None
    seed, offset, rollout = np.unravel_index(int(np.argmax(chosen)), chosen.shape)
    return int(seed), int(offset), int(rollout)


def _said(place: Place, start: int) -> str:
    seed, offset, rollout = place
    return f"round {start + offset} (seed {seed}, rollout {rollout})"
