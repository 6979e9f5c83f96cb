"""Which numbers a setting may be, in one place: options, config.json and the arguments of Python are held to the same.

    TEMPERATURE("0.5")           0.5, as an option's type; raises ArgumentTypeError with what it wants
    TEMPERATURE.holds(0.5)       whether a number is one of them
    ROWS("1e3")                  1000

Numbers end where float32 does, in which they are computed with, and whole ones where int32 or memory does.
"""

from __future__ import annotations

import argparse
import math
import operator
from dataclasses import dataclass
from typing import Any

from bandit_rft import arguments
from bandit_rft.errors import InputError

MOST_FLOAT = 3.4e38  # just below the largest float32
MOST_INT = 2**31 - 1
MOST_KEY = 2**63 - 1  # of the keys of random draws
MOST_ROWS = 2**24  # responses and seeds that are held together: float32 counts up to here, and memory ends before


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """Finite numbers between two bounds, which belong to them unless said otherwise.

    Attributes:
        wanted: what they are, in the words of a message.
        low, high: the bounds.
        above, below: whether low, and high, are left out.
        zero: whether 0 is one of them, although it is below `low`.

    Example:
        >>> from bandit_rft.settings.ranges import SHARE
        >>> SHARE("0.25"), SHARE.holds(1.5)
        (0.25, False)
    """

    wanted: str
    low: float = -MOST_FLOAT
    high: float = MOST_FLOAT
    above: bool = False
    below: bool = False
    zero: bool = False

    def holds(self, number: float) -> bool:
        """Whether the number is one of them; NaN never is."""
        if self.zero and number == 0:
            return True
        low = operator.gt if self.above else operator.ge
        high = operator.lt if self.below else operator.le
        return bool(low(number, self.low) and high(number, self.high))

    def checked(self, name: str, value: Any) -> float:
        """An argument of Python as a float. Raises InputError, by this name, where it is none of them."""
        try:
            found = arguments.number(name, value)
        except InputError:
            found = math.nan
        if not self.holds(found):
            raise InputError(f"{name} is {arguments.shown(value)}: give {self.wanted}.")
        return found

    def __call__(self, text: str) -> float:
        try:
            value = float(text)
        except (ValueError, OverflowError):
            value = math.nan
        if math.isfinite(value) and abs(value) > MOST_FLOAT:
            raise argparse.ArgumentTypeError(f"give a number that float32 holds, not {arguments.shown(text)}")
        if not self.holds(value):
            raise argparse.ArgumentTypeError(f"give {self.wanted}, not {arguments.shown(text)}")
        return value


@dataclass(frozen=True, kw_only=True)
class Wholes:
    """Whole numbers from `least` to `most`; 1_000 and 1e3 are understood.

    Example:
        >>> from bandit_rft.settings.ranges import ROWS
        >>> ROWS("1e3"), ROWS.holds(0)
        (1000, False)
    """

    least: int = 1
    most: int = MOST_INT

    def wanted(self, number: float | None = None) -> str:
        """What they are, in the words of a message about a number that is none of them."""
        if number is not None and number > self.most:
            return f"a whole number {'below 2^63' if self.most == MOST_KEY else f'of at most {self.most:,}'}"
        return f"a whole number of at least {self.least}"

    def holds(self, number: Any) -> bool:
        """Whether the number is one of them, also as a float."""
        return bool(self.least <= number <= self.most and number == int(number))

    def checked(self, name: str, value: Any) -> int:
        """An argument of Python as an int. Raises InputError, by this name, where it is none of them."""
        return arguments.whole(name, value, self.least, self.most)

    def __call__(self, text: str) -> int:
        try:
            value: float = int(text) if text.isdecimal() else float(text)
        except (ValueError, OverflowError):
            value = math.nan
        if not self.holds(value):
            raise argparse.ArgumentTypeError(f"give {self.wanted(value)}, not {arguments.shown(text)}")
        return int(value)


FINITE = Numbers(wanted="a finite number")
AT_LEAST_0 = Numbers(wanted="a number of at least 0", low=0)
ABOVE_0 = Numbers(wanted="a number above 0", low=0, above=True)
ABOVE_1 = Numbers(wanted="a number above 1", low=1, above=True)
SHARE = Numbers(wanted="a number from 0 to 1", low=0, high=1)
# Adam's, in float32: a decay that is 1 there, or an epsilon of 0, makes the step of a weight without a gradient 0/0.
DECAY = Numbers(wanted="a number of at least 0 and below 1 - 6e-8, such as 0.9", low=0, high=1 - 2**-24)
ADAM_EPS = Numbers(wanted="a number of at least 1.2e-38, such as 1e-8", low=2**-126)
INSIDE = Numbers(wanted="a number strictly between 0 and 1", low=0, high=1, above=True, below=True)
# Below it, logits over the temperature leave float32.
COLDEST = 1e-6
TEMPERATURE = Numbers(wanted=f"a number of at least {COLDEST:g}, such as 1.0", low=COLDEST)
GREEDY = Numbers(wanted=f"0 for greedy decoding, or {TEMPERATURE.wanted}", low=COLDEST, zero=True)
COUNT, WHOLE = Wholes(least=1), Wholes(least=0)
ROWS, ROWS_OR_0 = Wholes(least=1, most=MOST_ROWS), Wholes(least=0, most=MOST_ROWS)
