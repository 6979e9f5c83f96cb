"""Rewards of responses by verifiers that read text: what a verifier is, how it is called, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any

import numpy as np

from bandit_rft import by_name
from bandit_rft.errors import InputError
from llm_bridge import hosts, verifiers
from llm_bridge.verifiers import pool

Verifier = Callable[[str], float]
VerifierFactory = Callable[[Any], Verifier]


def verifier_name(verifier: Verifier | VerifierFactory) -> str:
    """What to call a verifier in a message."""
    if isinstance(verifier, verifiers.UserFunction):
        return verifier.name
    return getattr(verifier, "__name__", None) or type(verifier).__name__


def made(factory: VerifierFactory, answer: Any) -> Verifier:
    """The verifier that a function of the user's makes of an answer.

    Raises:
        InputError: no function, one that raises, or one that gives nothing to call.
    """
    name = verifier_name(factory)
    if not callable(factory):
        raise InputError(f"The verifier is {_shown(factory)}: give a name, or a function from an answer to a verifier.")
    try:
        found = factory(answer)
    except by_name.PASSING:
        raise
    except BaseException as error:
        raise InputError(
            f"The verifier {name} raised {type(error).__name__}{by_name.said(error)} on the answer {_shown(answer)}: "
            "make it return a function from a response's text to a float."
        ) from error
    if not callable(found):
        raise InputError(
            f"The verifier {name} made {_shown(found)} of the answer {_shown(answer)}: make it return a function from "
            "a response's text to a float."
        )
    return found


def score(verifier: Verifier, text: Sequence[str]) -> np.ndarray:
    """Rewards [G] float32 of G responses.

    Raises:
        InputError: a reward that is not a finite number, naming the verifier and the rollout.
    """
    return score_each([verifier] * len(text), text)


def score_each(
    checks: Sequence[Verifier], text: Sequence[str], *, numbers: Sequence[int] | np.ndarray | None = None
) -> np.ndarray:
    """Rewards [G] float32 of G responses, each by its own verifier. Messages call response g numbers[g]; None: g.

    A verifier of the worker processes (`verifiers.Pooled`) checks its responses side by side, and one that has `many`
    (texts -> rewards) is given all of its responses at once; any other is called once per response, in order.

    Where there are several processes, each verifies an equal part of the responses and all have the same rewards, so
    that one host's clock decides for all; every process must then score the same responses.

    Raises:
        InputError: a verifier that raises, or a reward that is not a finite number, naming the verifier.
    """
    named = np.arange(len(text)) if numbers is None else np.asarray(numbers)
    return _scored(checks, text, named) if hosts.count() == 1 else _scored_by_all(checks, text, named)


_COUNTED = ("calls", "timeouts", "crashes")


def _scored_by_all(checks: Sequence[Verifier], text: Sequence[str], numbers: np.ndarray) -> np.ndarray:
    """`score_each` of all processes, each a part; rewards, counts of the workers and refusals in one all-gather."""
    shares = hosts.shares(len(text))
    own, widest = shares[hosts.index()], max(share.stop - share.start for share in shares)
    message, refusal = np.zeros(widest + len(_COUNTED) + 1, np.float32), None
    before = pool.own_counts()
    try:
        message[: own.stop - own.start] = _scored(checks[own], text[own], numbers[own])
    except InputError as error:
        refusal, message[-1] = error, 1.0
    done = pool.own_counts().since(before)
    message[widest:-1] = [getattr(done, name) for name in _COUNTED]
    told = hosts.gathered(message)
    others = np.delete(told[:, widest:-1], hosts.index(), axis=0).sum(axis=0)
    pool.add_elsewhere(**{name: int(number) for name, number in zip(_COUNTED, others, strict=True)})
    if told[:, -1].any():
        hosts.agreed(lambda: _raise(refusal))
    return np.concatenate([row[: share.stop - share.start] for row, share in zip(told, shares, strict=True)])


def _raise(error: InputError | None) -> None:
    if error is not None:
        raise error


def _scored(checks: Sequence[Verifier], text: Sequence[str], numbers: np.ndarray) -> np.ndarray:
    """`score_each` by this process."""
    found: dict[int, object] = {}
    pooled = [place for place, check in enumerate(checks) if isinstance(check, verifiers.Pooled)]
    if pooled:
        # All at once, whatever the question: a batch of many questions must not wait for one after another.
        own = [check for check in checks if isinstance(check, verifiers.Pooled)]
        found |= zip(pooled, verifiers.rewards(own, [text[place] for place in pooled]), strict=True)
    rewards = np.empty(len(text), np.float32)
    for index, verifier in enumerate(checks):
        if index not in found:
            many = getattr(verifier, "many", None)
            places = [index] if many is None else [at for at, check in enumerate(checks) if check is verifier]
            given = _rewards(verifier, many, [text[at] for at in places])
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
                f"Verifier {verifier_name(verifier)} gave {_shown(reward)} for rollout {numbers[index]}, which is no "
                "finite number: make it return a float such as 0.0 or 1.0 for every response."
            )
        rewards[index] = value + 0.0  # -0.0 is 0.0
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


def _rewards(verifier: Verifier, many: Callable[[Sequence[str]], Any] | None, texts: list[str]) -> list[object]:
    """What a verifier gives for these responses. Raises InputError from whatever the verifier itself raises."""
    try:
        return [verifier(text) for text in texts] if many is None else _listed(verifier, many(texts))
    except by_name.PASSING:
        raise
    except BaseException as error:
        of = f"a response of {len(texts[0])} characters" if len(texts) == 1 else f"{len(texts)} responses"
        raise InputError(
            f"Verifier {verifier_name(verifier)} raised {type(error).__name__}{by_name.said(error)} on {of}: make it "
            "return a float for every text."
        ) from error


def _listed(verifier: Verifier, given: object) -> list[object]:
    """What a verifier's `many` gave, as a list. Raises InputError where it is none."""
    try:
        if isinstance(given, Mapping | Set):  # whose order is not that of the responses
            raise TypeError
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
