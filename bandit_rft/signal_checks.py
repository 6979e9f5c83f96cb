"""What goes with a signal: a k, a window of scores, a normalisation, dynamic sampling, a function of the user's own.

Each check raises InputError in a sentence. The caller says how the user calls the arguments, such as --signal-k.
"""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from bandit_rft import arguments
from bandit_rft.errors import InputError
from bandit_rft.own_code import UNTRACEABLE
from bandit_rft.signals import CENTRED, NORMALISATIONS, Signal


def _shown(signal: str | Signal) -> str:
    return arguments.shown(signal) if isinstance(signal, str) else "a function"


_TRACEABLE = "use jax.numpy in it, such as jnp.where, and no numpy, float(), if or mask on rewards"


def check_function(signal: str | Signal, group: int, *, traced: bool = False) -> None:
    """Raises InputError for a function of the user's own that does not give a signal for each reward of a group.

    It is traced once, on rewards [G] without numbers: what it does to numbers is not looked at.

    Args:
        signal: a name is not looked at.
        group: G.
        traced: whether it will be called inside compiled functions alone, on float32 rewards, and its signals be cast
            (a language model's). Else the rewards are float64, and one that reads their numbers, as NumPy does, is for
            the host loop, and is not looked at.

    Example:
        >>> from bandit_rft import signal_checks
        >>> signal_checks.check_function(lambda rewards: rewards.mean(), 4)
        Traceback (most recent call last):
        bandit_rft.errors.InputError: The signal <lambda> gives float64 [] for 4 rewards: make it return 4 numbers.
    """
    if not callable(signal):
        return
    name = getattr(signal, "__name__", None) or type(signal).__name__
    try:
        with jax.enable_x64(not traced):
            rewards = jax.ShapeDtypeStruct((group,), jnp.float32 if traced else jnp.float64)
            found = jax.eval_shape(signal, rewards)
    except Exception as error:
        if isinstance(error, UNTRACEABLE):
            if not traced:
                return
            wanted = _TRACEABLE
        else:
            wanted = "make it take an array of rewards and return as many numbers"
        raise InputError(f"The signal {name} raised {type(error).__name__} on {group} rewards: {wanted}.") from error
    shape, dtype = getattr(found, "shape", None), getattr(found, "dtype", None)
    if dtype is None:
        kind = type(found).__name__
        raise InputError(f"The signal {name} gives a {kind}: make it return an array of {group} numbers.")
    real = jnp.issubdtype(dtype, jnp.floating) or jnp.issubdtype(dtype, jnp.integer)
    if shape != (group,) or not (real or (traced and dtype == np.bool_)):
        raise InputError(
            f"The signal {name} gives {dtype} {list(shape or ())} for {group} rewards: make it return {group} numbers."
        )


def refuse_untraceable(signal: object, group: int) -> None:
    """Raises InputError for a function that reads the numbers of its rewards, as NumPy does: it is for arm sets whose
    rewards Python computes, and cannot be part of compiled rounds. To be asked once these have failed.

    Args:
        signal: of the learner; whatever is no function is not looked at.
        group: G.
    """
    if not callable(signal):
        return
    try:
        jax.eval_shape(signal, jax.ShapeDtypeStruct((group,), jnp.result_type(float)))
    except UNTRACEABLE as error:
        name = getattr(signal, "__name__", None) or type(signal).__name__
        raise InputError(
            f"The signal {name} reads the numbers of its rewards, and the rounds of these arms are compiled before "
            f"there are any: {_TRACEABLE}."
        ) from error
    except Exception:  # another fault, of which the rounds themselves have told
        return


def check_own_k(k: int | None, signal: str | Signal, group: int, name: str = "k") -> int | None:
    """k as an int, or None. Raises InputError for one that the signal has not, or outside 1 to the group's rollouts."""
    if k is None:
        return None
    k = arguments.whole(name, k)
    if signal != "pass_at_k":
        raise InputError(f"{name} is {k} and the signal is {_shown(signal)}, which has no k: leave it out.")
    if k > group:
        raise InputError(f"{name} is {k} and a group has {group} rollouts: give at least as many rollouts.")
    return k


def check_window(
    window: int | None, signal: str | Signal, rollouts: int, extra: int, names: Mapping[str, str] | None = None
) -> int | None:
    """The window as an int, or None. Raises InputError for one below a round's rollouts, or that the signal has no use
    for.

    Args:
        window: W, or None for none.
        signal, rollouts, extra: of the learner; extra rollouts serve the baseline alone.
        names: how the user calls the arguments, by "window" and "extra".
    """
    if window is None:
        return None
    said = {"window": "window", "extra": "extra_rollouts"} | dict(names or {})
    window = arguments.whole(said["window"], window, rollouts)
    if signal not in ("mean_baseline", "grpo") or extra:
        raise InputError(
            f"A window of scores is for mean_baseline and grpo without {said['extra']}: choose one of these, or leave "
            f"out {said['window']}."
        )
    return window


def check_normalise(
    normalise: str, signal: str | Signal, group: int, window: int | None, names: Mapping[str, str] | None = None
) -> None:
    """Raises InputError for an unknown normalisation, or one of the batch where the signal has no spread of it.

    Args:
        normalise: one of `NORMALISATIONS`.
        signal, window: of the learner.
        group: rollouts of a group, those for the baseline alone included.
        names: how the user calls the arguments, by "normalise" and "window".
    """
    said = {"normalise": "normalise", "window": "window"} | dict(names or {})
    if normalise not in NORMALISATIONS:
        known = " or ".join(NORMALISATIONS)
        raise InputError(f"{said['normalise']} is {arguments.shown(normalise)}: give {known}.")
    if normalise == "group":
        return
    if signal != "grpo":
        raise InputError(
            f"{said['normalise']} {normalise} is of grpo's standard deviation, and the signal is "
            f"{_shown(signal)}: choose grpo, or leave it out."
        )
    if window is not None:
        raise InputError(f"A window of scores has a spread of its own: leave out {said['window']}, or the batch's.")
    if group == 1:
        raise InputError(
            f"{said['normalise']} {normalise} takes a group's mean away, and a group of one is its own mean: give at "
            "least 2 rollouts."
        )


def check_dynamic_sampling(
    most: int,
    signal: str | Signal,
    group: int,
    window: int | None,
    names: Mapping[str, str] | None = None,
) -> int:
    """The number of further draws as an int. Raises InputError for dynamic sampling where a group of equal rewards
    teaches, or every group is one.

    Args:
        most: further draws of a round, at least 0.
        signal, window: of the learner.
        group: rollouts of a group, those for the baseline alone included.
        names: how the user calls the arguments, by "dynamic_sampling" and "window".
    """
    said = {"dynamic_sampling": "dynamic_sampling", "window": "window"} | dict(names or {})
    most = arguments.whole(said["dynamic_sampling"], most, 0, 2**20)
    if not most:
        return 0
    if signal not in CENTRED:
        raise InputError(
            f"{said['dynamic_sampling']} draws groups again that teach nothing, and under {_shown(signal)} a group of "
            f"equal rewards teaches: choose {', '.join(CENTRED[:-1])} or {CENTRED[-1]}."
        )
    if window is not None:
        raise InputError(
            f"Against a window of scores a group of equal rewards teaches: leave out {said['window']} or "
            f"{said['dynamic_sampling']}."
        )
    if group == 1:
        raise InputError(f"{said['dynamic_sampling']} would draw every group of one again: give at least 2 rollouts.")
    return most
