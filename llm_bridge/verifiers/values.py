"""The numbers that MATH answers give, and when two are equal: exactly, or one as the other's decimal (see `exact`)."""

from __future__ import annotations

import re
from fractions import Fraction

from llm_bridge.verifiers.number_reader import Nonsense, Number, number_of

ABSOLUTE = Fraction(5, 10**7)  # math-verify rounds to six decimals
RELATIVE = Fraction(1, 10**5)


def equal(gold: Number, answer: Number) -> bool:
    """Whether two numbers are equal, by this module's tolerance and rule on percentages."""
    if gold.percent == answer.percent:
        return close(gold, answer)
    plain, part = (answer, gold) if gold.percent else (gold, answer)
    places = None if part.places is None else part.places + 2
    if close(plain, Number(part.value / 100, places)):
        return True
    halves = part is answer and part.places is None and part.value.denominator > 1
    return not halves and close(plain, Number(part.value))


def close(one: Number, other: Number) -> bool:
    """Whether two numbers are the same, or one the other's decimal."""
    if one.value == other.value:
        return True
    if one.places is not None and other.places is not None:
        if one.places == other.places or min(one.places, other.places) < 6:
            return False
    else:
        places, exact = (one.places, other.value) if other.places is None else (other.places, one.value)
        if places is None or (exact * 10**places).denominator == 1:
            return False
    apart = abs(one.value - other.value)
    return apart <= ABSOLUTE and apart <= RELATIVE * max(abs(one.value), abs(other.value))


def _agree(one: Number, other: Number) -> bool:
    """Whether two sides of a chain may both be true: they are equal, or one is the other as a decimal, cut off or
    rounded, as in x = 200/3 = 66.67. To be right, the last side must be nearer (`equal`).
    """
    return equal(one, other) or (one.percent == other.percent and (_shortened(one, other) or _shortened(other, one)))


def _shortened(value: Number, decimal: Number) -> bool:
    unit = Fraction(1, 10**decimal.places) if decimal.places else 0
    sign = -1 if value.value < 0 else 1
    return bool(unit) and -unit / 2 <= sign * (value.value - decimal.value) < unit


def numbers(gold: str, answer: str) -> bool | None:
    """Two numbers, of which either may come as x = 5, as 2 + 3 = 5 or as 2/3 \\approx 0.667."""
    names = [match[1].casefold() for text in (gold, answer) if (match := ASSIGNED.match(text))]
    wanted, found = values_of(gold, every=True), values_of(answer, every=False)
    if not wanted or found is None or len(set(names)) > 1:
        return None
    return any(equal(one, found[-1]) for one in wanted) if found else False


ASSIGNED = re.compile(r"\s*((?:\\text\{[^{}]*\}|\\[a-zA-Z]+|[a-zA-Z]+)(?:_\{?\w+\}?)?'?)\s*(?:=|\\approx)(?!=)\s*")


def values_of(text: str, every: bool) -> list[Number] | None:
    """The number that an answer gives: the last of a chain of equations, the first of approximations. With `every`,
    all sides that a ground truth has (0.56 = 56\\%). Empty where the sides contradict one another, with a name before
    them (x = 7 = 5) or without; None where a side is no number.
    """
    try:
        return _read_values(text, every)
    except Nonsense:
        return []


def _read_values(text: str, every: bool) -> list[Number] | None:
    if "=" not in text and "\\approx" not in text:
        found = number_of(text)
        return None if found is None else [found]
    if any(sign in text for sign in ("<", ">", ",", ";")):
        return None
    named = ASSIGNED.match(text)
    rest = text[named.end() :] if named else text
    exact, *rough = rest.split("\\approx")
    equals = exact.split("=")
    if len(equals) > 1 and named is None and re.fullmatch(r"\s*[a-zA-Z]\s*", equals[-1]):
        del equals[-1]  # 12 = x
    sides = [number_of(side) for side in (equals + (rough if every else []))]
    known = [side for side in sides if side is not None]
    if len(known) < len(sides):
        return None
    if not every and not all(_agree(side, known[-1]) for side in known):
        return []
    return known
