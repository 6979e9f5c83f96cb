"""Verifiers beyond GSM8K: MATH as strings and as mathematics, exact match, the user's expression.

| name | what is taken for the answer | right when | checked in |
| --- | --- | --- | --- |
| math-boxed | the last box | equal as strings once normalised (`boxed`), verl's rule | this process |
| math-verify | the last box that holds something, and those joined to it | equal as mathematics | here, or a worker |
| exact, exact-casefold | the whole response, without surrounding spaces | equal as a string | this process |
| regex:PATTERN | the last match's group `answer`, else its first group, else all of it | equal as a string | a worker |

What a response thinks is left out by math-verify (`thinking`); the others take all of it.

All are frozen and picklable. Those of the workers (`pool`) have `many`, which checks responses side by side.
"""

from __future__ import annotations

import abc
import dataclasses
import functools
import re
from collections.abc import Sequence
from typing import Any

from bandit_rft.errors import InputError
from llm_bridge.verifiers import pool
from llm_bridge.verifiers.boxed import LONGEST, answer_in, equal_as_strings, verl_boxed
from llm_bridge.verifiers.dress import Plain, plain
from llm_bridge.verifiers.exact import is_list, verdict
from llm_bridge.verifiers.naming import unnamed

REGEX_WINDOW = 20_000  # last characters of a response that an expression searches


class Pooled(abc.ABC):
    """A verifier that asks the worker processes. Subclasses are frozen dataclasses with `seconds` and `_request`.

    Attributes:
        seconds: wall-clock limit of one check, from its turn on; then the reward is 0.
    """

    seconds: float

    @abc.abstractmethod
    def _request(self, text: str) -> dict[str, Any] | float:
        """What to ask a worker; or the reward, where there is nothing to ask."""

    def __call__(self, text: str) -> float:
        """The reward of a response."""
        return self.many([text])[0]

    def many(self, texts: Sequence[str]) -> list[float]:
        """The rewards of responses, in order."""
        return rewards([self] * len(texts), texts)


def rewards(checks: Sequence[Pooled], texts: Sequence[str]) -> list[float]:
    """The rewards of responses, each by its own verifier, side by side.

    Raises:
        InputError: no worker process can be started.
    """
    asked = [check._request(text) for check, text in zip(checks, texts, strict=True)]
    found = [0.0 if isinstance(request, dict) else request for request in asked]
    waiting = [place for place, request in enumerate(asked) if isinstance(request, dict)]
    for seconds in sorted({checks[place].seconds for place in waiting}):
        places = [place for place in waiting if checks[place].seconds == seconds]
        requests = [request for place in places if isinstance(request := asked[place], dict)]
        for place, reward in zip(places, pool.run(requests, seconds), strict=True):
            found[place] = reward
    return found


# Groups of three that are a number, and may be a list where none begins with 0.
_GROUPED = re.compile(r"\s*-?(?:\\?\$)?\s*\d{1,3}(?:,\d{3})+\s*")
_LISTED = re.compile(r"\s*-?\d{1,3}(?:,[1-9]\d\d)+\s*")


def _spelt(answer: str) -> str:
    """The answer as it is written; the space behind a comma does not count."""
    return re.sub(r",\s+", ",", answer.strip())


def _check_answer(answer: object, what: str) -> None:
    if not isinstance(answer, str) or not answer.strip():
        raise InputError(f"The ground truth of {what} is empty: give the right answer as text.")


def _check_seconds(seconds: float) -> None:
    if not 0 < seconds <= 3600:
        raise InputError(f"A verifier's time limit is {seconds} seconds: give one above 0 and at most 3600.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class MathBoxed:
    """MATH by verl's rule: text -> 1.0 if its last box is `answer` as a string once normalised, else 0.0.

    Attributes:
        answer: the ground truth, LaTeX without its box.

    Raises:
        InputError: on building, an empty answer.
    """

    answer: str

    def __post_init__(self) -> None:
        _check_answer(self.answer, "a MATH question")

    def __call__(self, text: str) -> float:
        """The reward of a response."""
        found = verl_boxed(text)
        return float(found is not None and equal_as_strings(found, self.answer))


@dataclasses.dataclass(frozen=True, kw_only=True)
class MathVerify(Pooled):
    """MATH by mathematics: text -> 1.0 if the answer in its last box equals `answer`, else 0.0.

    Five stages, each of its own module: the box is found (`boxed.answer_in`), both answers lose their dress
    (`dress.plain`), the answer loses the name that it gives to itself (`naming.unnamed`), what is exact is compared
    exactly (`exact.verdict`), and the rest goes to a worker, which asks math-verify's LaTeX grammar and comparison,
    with guards where these are known to be loose (`mathematics.equal`).
    Only boxes count. Neither the package's search for answers outside boxes nor its plain expressions, which sympy
    evaluates, are used.

    Kept of math-verify's own rules: 0.666667 is 2/3 (`exact` states the tolerance); letters are the same in capitals;
    $x=5$ and $a+b=5$ are 5, and 5 is $x=5$, but $2x+1=5$ is not, nor is 1 $2x+z=1$; $(1,2)$ is a point and an
    interval, and "1,2", but no set; $x \\in [1,2]$ is the interval $[1,2]$ and is $1 \\le x \\le 2$ where this is the
    ground truth, not the other way round.

    A ground truth such as 70,110 may be a number or a list of two, and its text does not say which: 70110 earns, and so
    do 110, 70 and "70 and 110", but a ground truth with a group that begins with 0 is a number. Coordinates that are
    named, as in $y=2, x=1$, are the point (1,2), in the order of their letters. A space, a unit, a sign of money or a
    comma between two digits does not join them, and words beside a number that deny, scale or compute are no unit and
    no lead (`vocabulary`).

    Attributes:
        answer: the ground truth, LaTeX without its box.
        seconds: limit of one check.

    Raises:
        InputError: on building, an empty or overlong answer, or a limit out of range.
    """

    answer: str
    seconds: float = 5.0

    def __post_init__(self) -> None:
        _check_answer(self.answer, "a MATH question")
        _check_seconds(self.seconds)
        if len(self.answer) > LONGEST:
            raise InputError(
                f"The ground truth of a MATH question has {len(self.answer)} characters: give at most {LONGEST}."
            )

    def _request(self, text: str) -> dict[str, Any] | float:
        found = answer_in(text)
        if found is None:
            return 0.0
        if found.strip() == self.answer.strip():
            return 1.0
        if _spelt(found) == _spelt(self.answer) and not _GROUPED.fullmatch(self.answer):
            return 1.0  # whether LaTeX's grammar knows it or not
        gold = plain(self.answer)
        answer = unnamed(gold, plain(found))
        decided = verdict(gold, answer) if answer is not None else False
        if decided is False and is_list(gold.text):  # 60,120 may be two numbers
            decided = self._as_list(gold, found)
        elif not decided and _LISTED.fullmatch(self.answer) and self._as_list(plain(self.answer, lists=True), found):
            decided = True
        if decided is not None or answer is None:
            return float(decided or False)
        return {"kind": "math", "gold": gold.text, "answer": answer.text}

    def _as_list(self, gold: Plain, found: str) -> bool:
        """Whether the answer is right where all that may be a list is one."""
        answer = unnamed(gold, plain(found, lists=True))
        return answer is not None and verdict(gold, answer) is True


@dataclasses.dataclass(frozen=True, kw_only=True)
class Exact:
    """Exact match: text -> 1.0 if the whole response is `answer`, else 0.0.

    Attributes:
        answer: the ground truth.
        strip: whether spaces and line ends around either are left out.
        casefold: whether capitals do not matter.

    Raises:
        InputError: on building, an empty answer.
    """

    answer: str
    strip: bool = True
    casefold: bool = False

    def __post_init__(self) -> None:
        _check_answer(self.answer, "an exact match")

    def __call__(self, text: str) -> float:
        """The reward of a response."""
        # Capitals change lengths ("ß"), by at most a factor of three: anything longer is wrong without a look.
        text, answer = (text.strip(), self.answer.strip()) if self.strip else (text, self.answer)
        if len(text) > 3 * len(answer):
            return 0.0
        return float(text.casefold() == answer.casefold() if self.casefold else text == answer)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Regex(Pooled):
    """The user's expression: text -> 1.0 if its last match holds `answer`, else 0.0.

    Searched in the last `REGEX_WINDOW` characters, in a worker with a time limit: an expression may backtrack for ever.

    Attributes:
        pattern: Python's syntax. What counts is the group named `answer`, else the first group, else the whole match.
        answer: the ground truth; spaces around either do not count.
        casefold: whether capitals do not matter.
        seconds: limit of one check.

    Raises:
        InputError: on building, an expression that Python refuses, an empty answer, or a limit out of range.
    """

    pattern: str
    answer: str
    casefold: bool = False
    seconds: float = 2.0

    def __post_init__(self) -> None:
        _check_answer(self.answer, "a regex verifier")
        _check_seconds(self.seconds)
        _refuse_bad_pattern(self.pattern)

    def _request(self, text: str) -> dict[str, Any] | float:
        window = text[-REGEX_WINDOW:]
        return {
            "kind": "regex",
            "pattern": self.pattern,
            "answer": self.answer,
            "text": window,
            "fold": self.casefold,
        }


@functools.lru_cache(maxsize=64)
def _refuse_bad_pattern(pattern: str) -> None:
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError, TypeError) as error:
        shown = str(pattern)[:60]
        raise InputError(
            f"The expression {shown!r} of the regex verifier is not one ({error}): write it in Python's syntax, such "
            r"as 'regex:answer is (-?\d+)'."
        ) from None
