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
from collections.abc import Sequence
from fractions import Fraction

from llm_bridge.verifiers.dress import Plain, units_clash
from llm_bridge.verifiers.number_reader import Nonsense, Number, number_of, number_or_none

ABSOLUTE = Fraction(5, 10**7)  # math-verify rounds to six decimals
RELATIVE = Fraction(1, 10**5)


_ELLIPSIS = re.compile(r"\\[lc]?dots(?![a-zA-Z])|\.\.\.")  # math-verify reads past one, and 12, \ldots goes on


def verdict(gold: Plain, answer: Plain) -> bool | None:
    """Whether an answer is right; None where it takes more than this module to tell."""
    if units_clash(gold, answer) or (_ELLIPSIS.search(answer.text) and not _ELLIPSIS.search(gold.text)):
        return False
    if _squeezed(gold.text) == _squeezed(answer.text):
        return True
    for stage in (_numerals, _clocks, _figures, _words, _numbers, _lists):
        found = stage(gold.text, answer.text)
        if found is not None:
            return found
    return None


def _squeezed(text: str) -> str:
    """The text without spaces that part nothing: numbers and letters, such as those of a command, keep the one between
    them.
    """
    return re.sub(r"(?<![\w\\]) +| +(?!\w)", "", text)


# ------------------------------------------------------------------------------------------------------ bases and times

_BASES = ["two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
_NUMERAL = re.compile(
    r"(-?)\s*(?:\\text)?[{(]*\s*([0-9A-Za-z]*\.?[0-9A-Za-z]+)\s*[})]*\s*_\s*\{?\s*(?:\\text\s*\{\s*)?(\d+|[a-z]+)\s*\}*"
)
_SUBSCRIPTED = re.compile(r"-?\s*[0-9][0-9.,]*\s*_")


def _numeral(text: str) -> tuple[str, str, int] | None:
    """Sign, digits and base of a numeral such as 43_5 or A5_{16}; None for anything else, such as x_1 or 19_5 (5 has
    no digit 9).
    """
    named = _ASSIGNED.match(text)
    match = _NUMERAL.fullmatch(text[named.end() :].strip() if named else text.strip())
    if match is None:
        return None
    base = int(match[3]) if match[3].isdigit() and len(match[3]) < 3 else 0
    if match[3] in _BASES:
        base = 2 + _BASES.index(match[3])
    digits = match[2].upper()
    if not 2 <= base <= 36 or not re.search(r"[0-9]", digits + ("0" if len(digits) > 1 else "")):
        return None
    try:
        int(digits.replace(".", ""), base)
    except ValueError:
        return None
    return match[1], digits.lstrip("0") or "0", base


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
    return _numbers(sign + digits, answer if one else gold) or False


_CLOCK = re.compile(r"(\d{1,3}(?:\s*:\s*\d{1,3}){0,2})\s*(?:\\text\{([ap]m)\})?")


def _clocks(gold: str, answer: str) -> bool | None:
    """Times of day and ratios. 10:30 is not 1:3; the ratio 6:8 is 3:4; where only one says a.m. or p.m., it is as if
    neither did.
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
        return a + [0] * (3 - len(a)) == b + [0] * (3 - len(b))
    if a == b:
        return True
    if len(a) != 2 or len(b) != 2 or any(re.search(r":\s*\d\d$", text) for text in (gold, answer)):
        return False if len(a) > 1 and len(b) > 1 else None
    return a[0] * b[1] == a[1] * b[0] and bool(b[1])


# ------------------------------------------------------------------------------------------------------------- figures

_FIGURE = re.compile(
    r"\\(angle|measuredangle|overline|bar|triangle|overrightarrow|overleftrightarrow|overarc|widehat|vec)"
    r"(?![a-zA-Z])\s*\{?\s*([A-Z]{2,4})\s*\}?"
)


def _figures(gold: str, answer: str) -> bool | None:
    """Angles, segments, triangles and the like by the letters of their points, which math-verify takes for factors:
    \\angle ABC is \\angle CBA and not \\angle BCA; of a triangle any order will do, and of a vector none other.
    """
    one, other = _FIGURE.fullmatch(gold), _FIGURE.fullmatch(answer)
    if one is None or other is None:
        return None
    if one[1] != other[1]:
        return None
    if one[1] == "triangle":
        return sorted(one[2]) == sorted(other[2])
    turned = one[1] not in ("overrightarrow", "vec")
    return one[2] == other[2] or (turned and one[2] == other[2][::-1])


# --------------------------------------------------------------------------------------------------------------- words

_WORDS = re.compile(r"[A-Za-z0-9 ,.'()&/-]*")


def _word(text: str) -> list[str] | None:
    """The words of an answer that is nothing but words, in lower case, by commas; None for any other."""
    bare = text.replace("\\text", " ").replace("{", " ").replace("}", " ").replace("\\&", "&")
    if not _WORDS.fullmatch(bare) or not re.search(r"[A-Za-z]", bare):
        return None
    parts = ["".join(re.findall(r"[a-z0-9/-]+", part)) for part in bare.casefold().split(",")]
    return [part for part in parts if part]


def _words(gold: str, answer: str) -> bool | None:
    """Words are equal as they are spelt, whatever capitals, spaces and periods; a list of letters in any order. Text
    is not compared with mathematics, save letter by letter: \\text{ACF} is ACF, while xy is yx by math-verify.
    """
    one, other = _word(gold), _word(answer)
    if one is not None and other is not None:
        if one == other and ("\\text" in gold or "\\text" in answer or len("".join(one)) > 1):
            return True
        if len(one) > 1 and all(len(word) == 1 and word.isalpha() for word in one + other):
            point = any(text.startswith(("(", "[")) for text in (gold, answer))  # (a,b) is not (b,a)
            return one == other if point else sorted(one) == sorted(other)
        if "\\text" in gold and ("\\text" in answer or len("".join(one)) > 1):
            return False
        if len(one) == len(other) == 1 and len(one[0]) == len(other[0]) == 1:
            return one == other
    if one is not None and "\\text" in gold and _values(answer, every=False) is not None:
        return False
    if other is not None and "\\text" in answer and _values(gold, every=True) is not None:
        return False
    return None


# ------------------------------------------------------------------------------------------------------------- numbers


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


def _numbers(gold: str, answer: str) -> bool | None:
    """Two numbers, of which either may come as x = 5, as 2 + 3 = 5 or as 2/3 \\approx 0.667."""
    names = [match[1].casefold() for text in (gold, answer) if (match := _ASSIGNED.match(text))]
    wanted, found = _values(gold, every=True), _values(answer, every=False)
    if not wanted or found is None or len(set(names)) > 1:
        return None
    return any(equal(one, found[-1]) for one in wanted) if found else False


_ASSIGNED = re.compile(r"\s*((?:\\text\{[^{}]*\}|\\[a-zA-Z]+|[a-zA-Z]+)(?:_\{?\w+\}?)?'?)\s*(?:=|\\approx)(?!=)\s*")


def _values(text: str, every: bool) -> list[Number] | None:
    """The number that an answer gives: the last of a chain of equations, the first of approximations. With `every`,
    all sides that a ground truth has (0.56 = 56\\%). Empty where the sides contradict one another (7 = 5), None where a
    side is no number.
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
    named = _ASSIGNED.match(text)
    rest = text[named.end() :] if named else text
    exact, *rough = rest.split("\\approx")
    equals = exact.split("=")
    if len(equals) > 1 and named is None and re.fullmatch(r"\s*[a-zA-Z]\s*", equals[-1]):
        del equals[-1]  # 12 = x
    sides = [number_of(side) for side in (equals + (rough if every else []))]
    known = [side for side in sides if side is not None]
    if len(known) < len(sides):
        return None
    if named is None and not every and not all(equal(side, known[-1]) for side in known):
        return []
    return known


# --------------------------------------------------------------------------------------------------------------- lists


def elements(text: str) -> tuple[str, list[str]] | None:
    """The brackets around an answer ("" for a bare list) and what the commas between them part; None where that is
    not what it is.
    """
    text = text.strip()
    opening = "\\{" if text.startswith("\\{") else text[:1]
    ending = "\\}" if text.endswith("\\}") else text[-1:]
    parts, depth, start, place = [], 0, 0, 0
    enclosed = opening in ("(", "[", "\\{") and ending in (")", "]", "\\}")
    inner = text[len(opening) : -len(ending)] if enclosed else text
    while place < len(inner):
        if inner.startswith("\\", place) and inner[place : place + 2] not in ("\\{", "\\}"):
            place += 2
            continue
        depth += (inner[place] in "([{") - (inner[place] in ")]}")
        if depth < 0:
            return None  # as in (1,2),(3,4), whose first bracket is not closed by the last
        if depth == 0 and inner[place] == ",":
            parts.append(inner[start:place])
            start = place + 1
        place += 1
    return (opening + ending if enclosed else "", [*parts, inner[start:]])


def is_list(text: str) -> bool:
    """Whether an answer is several elements with commas between them and no brackets around, or those of a set."""
    found = elements(text)
    return found is not None and len(found[1]) > 1 and found[0] in ("", "\\{\\}")


def _lists(gold: str, answer: str) -> bool | None:
    """Lists, points and intervals of numbers; None where an element is no number, or brackets are of another kind."""
    one, other = elements(gold), elements(answer)
    if one is None or other is None or (len(one[1]) < 2 and len(other[1]) < 2):
        return None
    unordered = ("", "\\{\\}")
    if one[0] != other[0] and not (one[0] in unordered and other[0] in unordered):
        if len(one[1]) == 1 and one[0] == "" and other[0] not in unordered and number_or_none(gold) is not None:
            return False  # [5,5] is not 5
        # A set is no point and no interval; without brackets, math-verify says.
        return False if "\\{\\}" in (one[0], other[0]) and "" not in (one[0], other[0]) else None
    try:
        wanted, found = _all_numbers(one[1]), _all_numbers(other[1])
    except Nonsense:
        return False
    if wanted is None or found is None:
        return None
    if one[0] in unordered:
        return _same_elements(wanted, found)
    return len(wanted) == len(found) and all(map(equal, wanted, found))


def _all_numbers(parts: Sequence[str]) -> list[Number] | None:
    names = {match[1] for part in parts if (match := re.match(r"\s*([a-zA-Z])(?:_\d|_\{\d\})?\s*=", part))}
    found = [
        number_of(re.sub(r"^\s*[a-zA-Z](?:_\d|_\{\d\})?\s*=", "", part) if len(names) == 1 else part) for part in parts
    ]
    known = [number for number in found if number is not None]
    return known if len(known) == len(found) else None


def _same_elements(wanted: Sequence[Number], found: Sequence[Number]) -> bool:
    """Whether each of the wanted numbers is found, as often as it is wanted, and nothing else is."""
    left = list(found)
    for number in wanted:
        place = next((place for place, other in enumerate(left) if equal(number, other)), None)
        if place is None:
            return False
        del left[place]
    return all(any(equal(number, other) for number in wanted) for other in left)
