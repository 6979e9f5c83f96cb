"""Rewards of responses by verifiers that read text: what a verifier is, how it is called, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bandit_rft.errors import InputError
from llm_bridge import verifiers

Verifier = Callable[[str], float]
VerifierFactory = Callable[[Any], Verifier]


def verifier_name(verifier: Verifier) -> str:
    """What to call a verifier in a message."""
    if isinstance(verifier, verifiers.UserFunction):
        return verifier.name
    return getattr(verifier, "__name__", None) or type(verifier).__name__


def score(verifier: Verifier, text: Sequence[str]) -> np.ndarray:
    """Rewards [G] float32 of G responses.

    Raises:
        InputError: a reward that is not a finite number, naming the verifier and the rollout.
    """
    return score_each([verifier] * len(text), text)


def score_each(checks: Sequence[Verifier], text: Sequence[str]) -> np.ndarray:
    """Rewards [G] float32 of G responses, each by its own verifier.

    A verifier of the worker processes (`verifiers.Pooled`) checks its responses side by side, and one that has `many`
    (texts -> rewards) is given all of its responses at once; any other is called once per response, in order.

    Raises:
        InputError: a reward that is not a finite number, naming the verifier and the rollout.
    """
    found: dict[int, object] = {}
    pooled = [place for place, check in enumerate(checks) if isinstance(check, verifiers.Pooled)]
    if pooled:
        # All at once, whatever the question: a batch of many questions must not wait for one after another.
        own = [check for check in checks if isinstance(check, verifiers.Pooled)]
        found |= zip(pooled, verifiers.rewards(own, [text[place] for place in pooled]), strict=True)
    rewards = np.empty(len(text), np.float32)
    for index, (verifier, response) in enumerate(zip(checks, text, strict=True)):
        if index not in found:
            many = getattr(verifier, "many", None)
            places = [index] if many is None else [at for at, check in enumerate(checks) if check is verifier]
            given = [verifier(response)] if many is None else _listed(verifier, many([text[at] for at in places]))
            if len(given) != len(places):
                raise InputError(
                    f"Verifier {verifier_name(verifier)} gave {len(given)} rewards for {len(places)} responses: make "
                    "its `many` return one for each."
                )
            found |= zip(places, given, strict=True)
        reward = found[index]
        value = _number(reward)
        if not math.isfinite(value):
            raise InputError(
                f"Verifier {verifier_name(verifier)} gave {_shown(reward)} for rollout {index}, which is no finite "
                "number: make it return a float such as 0.0 or 1.0 for every response."
            )
        rewards[index] = value
    return rewards


def _number(reward: object) -> float:
    """A reward as a number that float32 holds; NaN where it is none: a text, a list, an array that has axes."""
    if isinstance(reward, str | bytes | bytearray) or getattr(reward, "ndim", 0) != 0:
        return math.nan
    try:
        value = float(reward)  # type: ignore[arg-type]
    except Exception:  # None, a complex number, an integer beyond the largest float, a class of the user's own
        return math.nan
    return value if abs(value) <= float(np.finfo(np.float32).max) else math.nan


def _listed(verifier: Verifier, given: object) -> list[object]:
    """What a verifier's `many` gave, as a list. Raises InputError where it is none."""
    try:
        return list(given)  # type: ignore[call-overload]
    except TypeError:
        raise InputError(
            f"Verifier {verifier_name(verifier)} gave {_shown(given)} for several responses: make its `many` return a "
            "list of floats, one for each."
        ) from None


def _shown(value: object) -> str:
    """A value in a message: in short, and whatever its own text is or raises."""
    try:
        text = repr(value)
    except Exception:  # an integer of more digits than Python writes, too
        return f"a value of type {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:40]}... (of type {type(value).__name__})"
