"""What can be decided about two MATH answers exactly, and in this process: numbers, lists of them, bases, times, words.

    verdict(plain("10^{-20}"), plain("10^{-21}"))  is  False
    verdict(plain("x+1"), plain("1+x"))            is  None: ask math-verify

Numbers are rational numbers of bounded size, from whole numbers, decimals (0.\\overline{3} too), fractions, powers,
factorials, sums and products: `9^{9^{9}}` is not evaluated but left to a worker and its time limit. 43_5 is a numeral
in base 5, which is neither 43 nor 23; a base of 10 changes nothing.

The tolerance. Two numbers are equal if they are so exactly. Besides, a decimal may stand for a number that it cannot
write out: one with p decimals for a value v where 10^p v is no whole number, if it is within 5e-7 of v (math-verify's
own six decimals: 0.666667 is 2/3, and 0.6667 is not) and within a part of 1e-5 of it (so that 0.0000001 is not
0.0000002). Of two decimals, the shorter must show at least six places.

Per cent: 50\\% is 50, as to math-verify and verl, and it is 1/2. An answer \\frac{1}{2}\\% is 1/200 and not 1/2.

Order: lists ("1,2" or \\{1,2\\}) are equal in any order, and an answer may repeat an element; points and intervals are
equal in order and with the same brackets.
"""

from __future__ import annotations

import re

from llm_bridge.verifiers.dress import Plain, units_clash
from llm_bridge.verifiers.lists import is_list, lists
from llm_bridge.verifiers.values import ASSIGNED, numbers
from llm_bridge.verifiers.words import figures, words

__all__ = ["is_list", "verdict"]

_ELLIPSIS = re.compile(r"\\[lc]?dots(?![a-zA-Z])|\.\.\.")  # math-verify reads past one, and 12, \ldots goes on
_CLOSED_AT_INFINITY = re.compile(r"\\infty\s*\]|\[\s*[-+]?\s*\\infty")
_PRIME = re.compile(r"(?<![a-zA-Z]{2})'|\\prime(?![a-z])")


def verdict(gold: Plain, answer: Plain) -> bool | None:
    """Whether an answer is right; None where it takes more than this module to tell."""
    if units_clash(gold, answer) or (_ELLIPSIS.search(answer.text) and not _ELLIPSIS.search(gold.text)):
        return False
    if _squeezed(gold.text) == _squeezed(answer.text):
        return True
    if _CLOSED_AT_INFINITY.search(answer.text) and not _CLOSED_AT_INFINITY.search(gold.text):
        return False
    if _primes(gold.text) != _primes(answer.text):
        return False
    for stage in (_numerals, _clocks, figures, words, numbers, lists):
        found = stage(gold.text, answer.text)
        if found is not None:
            return found
    return None


def _squeezed(text: str) -> str:
    """The text without spaces that part nothing: numbers and letters, such as those of a command, keep the one between
    them.
    """
    return re.sub(r"(?<![\w\\.]) | (?!\w|\.\d)", "", re.sub(" +", " ", text))


def _primes(text: str) -> int:
    """The primes on the last side of an answer, which math-verify reads past: f' is not f."""
    return len(_PRIME.findall(text.rpartition("=")[2])) if "'" in text or "\\prime" in text else 0


# ------------------------------------------------------------------------------------------------------ bases and times

_BASES = ["two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
_NUMERAL = re.compile(
    r"(-?)\s*(?:\\text)?[{(]*\s*(-?)\s*([0-9A-Za-z]*\.?[0-9A-Za-z]+)\s*[})]*\s*_\s*\{?\s*(?:\\text\s*\{\s*)?(\d+|[a-z]+)\s*\}*"
)
_SUBSCRIPTED = re.compile(r"-?\s*[0-9][0-9.,]*\s*_")


def _numeral(text: str) -> tuple[str, str, int] | None:
    """Sign, digits and base of a numeral such as 43_5 or A5_{16}; None for anything else, such as x_1 or 19_5 (5 has
    no digit 9).
    """
    named = ASSIGNED.match(text)
    match = _NUMERAL.fullmatch(text[named.end() :].strip() if named else text.strip())
    if match is None:
        return None
    base = int(match[4]) if match[4].isdigit() and len(match[4]) < 3 else 0
    if match[4] in _BASES:
        base = 2 + _BASES.index(match[4])
    digits = match[3].upper()
    if not 2 <= base <= 36 or not re.search(r"[0-9]", digits + ("0" if len(digits) > 1 else "")):
        return None
    try:
        int(digits.replace(".", ""), base)
    except ValueError:
        return None
    return ("" if match[1] == match[2] else "-"), digits.lstrip("0") or "0", base


def _numerals(gold: str, answer: str) -> bool | None:
    """Numerals are equal in sign, digits and base. Beside anything else, only those in base 10 are numbers."""
    if "_" not in gold and "_" not in answer:
        return None
    one, other = _numeral(gold), _numeral(answer)
    if one is None and other is None:
        # 1_000 and 19_5 are no numerals, and no numbers either.
        return False if _SUBSCRIPTED.match(gold) or _SUBSCRIPTED.match(answer) else None
    if one is not None and other is not None:
        return one == other
    sign, digits, base = one or other or ("", "", 0)
    if base != 10:
        return False
    return numbers(sign + digits, answer if one else gold) or False


_CLOCK = re.compile(r"(\d{1,3}(?:\s*:\s*\d{1,3}){0,2})\s*(?:\\text\{([ap]m)\})?")


def _clocks(gold: str, answer: str) -> bool | None:
    """Times of day and ratios. 10:30 is not 1:3, nor 3:05 the ratio 3:5, which 6:10 is; where only one says a.m. or
    p.m., it is as if neither did, but a time that begins with 0 is not in the afternoon.
    """
    one, other = _CLOCK.fullmatch(gold), _CLOCK.fullmatch(answer)
    if one is None or other is None or not any(":" in text or "\\text" in text for text in (gold, answer)):
        return None
    if ":" in answer and not one[2] and ":" not in gold:
        return False  # 5:1 is not 5
    a, b = ([int(part) for part in match[1].split(":")] for match in (one, other))
    if one[2] and other[2] and one[2] != other[2]:
        return False
    if one[2] or other[2]:  # 9 p.m. is 9:00 p.m.
        morning = any(not clock[2] and clock[1].startswith("0") for clock in (one, other))
        same = a + [0] * (3 - len(a)) == b + [0] * (3 - len(b))
        return same and not (morning and "pm" in (one[2], other[2]))
    tails = [re.findall(r"(?<=:)\s*(\d+)", match[1]) for match in (one, other)]
    if a == b:
        return tails[0] == tails[1]
    # Two digits behind the colon of a ground truth may be minutes; those of a ratio may not begin with 0.
    may_be_time = len(tails[0]) != 1 or len(tails[0][0]) > 1
    if len(b) != 2 or may_be_time or re.search(r"(?<!\d)0\d", other[1]):
        return False if len(a) > 1 and len(b) > 1 else None
    return a[0] * b[1] == a[1] * b[0] and bool(b[1])
