"""One exact number read from the text of an answer: whole numbers, decimals (0.\\overline{3} too), fractions, powers,
factorials, sums and products, of bounded size and work.

    number_of("3\\frac{1}{2}").value      is  Fraction(7, 2)
    number_of("x + 1")                    is  None: no number of this grammar
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator
from fractions import Fraction

_BITS = 1 << 15  # of a numerator or denominator; 2000! has 19,000
_WORK = 1 << 19  # bits of all results of one expression


@dataclasses.dataclass(frozen=True)
class Number:
    """A number as an answer gives it.

    Attributes:
        value: its value; for a percentage, the number before the sign.
        places: decimals shown; None where it is not written as a decimal.
        percent: whether it is a percentage.
    """

    value: Fraction
    places: int | None = None
    percent: bool = False


class Unknown(Exception):
    """Not a number of this grammar, or too large: math-verify's to judge."""


class Nonsense(Exception):
    """Nobody's number: 3 7/2, or a division by zero."""


def number_or_none(text: str) -> Number | None:
    """`number_of`, with None for nonsense too."""
    try:
        return number_of(text)
    except Nonsense:
        return None


def number_of(text: str) -> Number | None:
    """The number that a text is; None where it is none of this grammar.

    Raises:
        Nonsense: it is one of nobody's.
    """
    if len(text) > 400 or not re.search(r"\d", text):
        return None
    try:
        return _Reader(text).number()
    except Unknown:
        return None


_TOKEN = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+|\\[a-zA-Z]+|\\%|[-+*/^(){}!\[\]])")
_DIGITS = re.compile(r"\s*(\d+)\s*")
_REPEATED = re.compile(r"\s*(\d*)\.(\d*)\\(?:overline|bar|dot)\s*\{\s*(\d+)\s*\}")
_TIMES = ("\\times", "\\cdot", "*")


class _Reader:
    """Reads one number by recursive descent; the depth is bounded by the text's length, at most 400."""

    def __init__(self, text: str) -> None:
        self.tokens = list(_tokens(text))
        self.place = 0
        self.work = 0
        self.places: int | None = None

    def number(self) -> Number:
        try:
            value = self.sum()
        except RecursionError:
            raise Unknown from None
        percent = self.take("\\%")
        if self.place < len(self.tokens):
            raise Unknown
        alone = len([token for token in self.tokens if token not in ("-", "+", "\\%", "{", "}", "(", ")")]) == 1
        places = self.places if alone or self.places is None else max(self.places, 6)
        return Number(value, places, percent)

    def peek(self) -> str | Number:
        return self.tokens[self.place] if self.place < len(self.tokens) else ""

    def take(self, *wanted: str) -> bool:
        if self.peek() in wanted:
            self.place += 1
            return True
        return False

    def bounded(self, value: Fraction) -> Fraction:
        bits = value.numerator.bit_length() + value.denominator.bit_length()
        self.work += bits
        if bits > _BITS or self.work > _WORK:
            raise Unknown
        return value

    def sum(self) -> Fraction:
        total = self.product()
        while self.peek() in ("+", "-"):
            sign = -1 if self.peek() == "-" else 1
            self.place += 1
            total = self.bounded(total + sign * self.product())
        return total

    def product(self) -> Fraction:
        total = self.signed()
        while True:
            if self.take(*_TIMES):
                total = self.bounded(total * self.signed())
            elif self.take("/", "\\div"):
                total = self.divided(total, self.signed())
            elif self.peek() == "(":
                total = self.bounded(total * self.power())
            elif isinstance(self.peek(), Number):
                raise Nonsense  # 1 2
            else:
                return total

    def divided(self, above: Fraction, below: Fraction) -> Fraction:
        if not below:
            raise Nonsense
        return self.bounded(above / below)

    def signed(self) -> Fraction:
        if self.take("-"):
            return -self.signed()
        if self.take("+"):
            return self.signed()
        return self.power()

    def power(self) -> Fraction:
        value = self.atom()
        while self.take("!"):
            if value.denominator != 1 or not 0 <= value <= 2500:
                raise Unknown
            value = self.bounded(Fraction(math.factorial(int(value))))
        if not self.take("^"):
            return value
        exponent = self.signed() if self.peek() == "-" else self.atom()
        size = value.numerator.bit_length() + value.denominator.bit_length()
        if exponent.denominator != 1 or abs(exponent) * size > 2 * _BITS or not (value or exponent > 0):
            raise Unknown
        return self.bounded(value ** int(exponent))

    def atom(self) -> Fraction:
        token = self.peek()
        self.place += 1
        if isinstance(token, Number):
            if token.places is not None:
                self.places = max(self.places or 0, token.places)
            if self.peek() == "\\frac" and token.places is None:  # 3\frac{1}{2}
                part = self.atom()
                if not 0 <= part < 1:
                    raise Nonsense
                return self.bounded(token.value + part)
            return token.value
        if token == "\\frac":
            return self.divided(self.group("{"), self.group("{"))
        if token in ("(", "{"):
            self.place -= 1
            return self.group(token)
        raise Unknown

    def group(self, opening: str) -> Fraction:
        if not self.take(opening):
            raise Unknown
        value = self.sum()
        if not self.take("}" if opening == "{" else ")"):
            raise Unknown
        return value


def _tokens(text: str) -> Iterator[str | Number]:
    place = 0
    text = text.rstrip()
    while place < len(text):
        repeated = _REPEATED.match(text, place)
        if repeated:
            yield _repeating(repeated[1], repeated[2], repeated[3])
            place = repeated.end()
            continue
        match = _TOKEN.match(text, place)
        if match is None:
            raise Unknown
        token, place = match[1], match.end()
        if token[0].isdigit() or token[0] == ".":
            whole, point, decimals = token.partition(".")
            yield Number(Fraction(int(whole + decimals), 10 ** len(decimals)), len(decimals) if point else None)
        else:
            yield token


def _repeating(whole: str, fixed: str, repeated: str) -> Number:
    """0.1\\overline{6}: a decimal that is exact."""
    scale, period = 10 ** len(fixed), 10 ** len(repeated) - 1
    return Number(Fraction(int(whole + fixed or "0"), scale) + Fraction(int(repeated), scale * period))
