r"""What stands beside a number: whether it is whole, or a part of a calculation, a quantity in two units or a word.

    sign("so 12-15", 6, marked=False) == NONE        ends("6 times 7", 1) is False        ends("72 cm^2", 2) is True

`marked` reads a response's number by these, on the left and on the right; the table of its docstring says what
they let pass. What signs say in words is of `spoken`.
"""

from __future__ import annotations

import re
import unicodedata

from llm_bridge.verifiers.numerals import UNIT
from llm_bridge.verifiers.spoken import (
    AFTER,
    BEFORE,
    LISTED_BEFORE,
    NUMBER_WORD,
    SCALED,
    SIGN_WORD,
    STEPS,
    TAKEN_FROM,
    TIMES,
)

_DRESS = " *_`\"'()[]{}$"
_ORDINAL = re.compile(rf"\b{STEPS}[.\s*_(#]*$", re.IGNORECASE)
# Units come in pairs: "1 hour 30 minutes" is one quantity, of which neither number is the value.
# The second unit may be left out where nothing else stands between: "2 hours 30", "5h30", "5 ft. 10", but no "72 cm2".
_AND = r"\.?[ ,]{0,3}(?:and |& ?|plus )?[ *$]{0,6}"
_BARE = r"(?:(?:(?<![a-z]{4})\.)?[ *$:]{1,6}|(?<=h)|(?=[0-9]{2}))"
_PAIR = re.compile(
    rf"[ *]{{0,6}}(?!in ){UNIT}(?![A-Za-z])(?:{_AND}(?:[0-9][0-9., ]*+|{NUMBER_WORD} ?){UNIT}\b"
    rf"| (?:and|&|plus) an? {UNIT}\b"
    rf"|{_BARE}(?:[0-9]|{NUMBER_WORD}(?! ?[A-Za-z])))",
    re.IGNORECASE,
)
_PAIRED = re.compile(rf"[0-9] ?(?:(?!in ){UNIT}({_BARE}(?:and |& ?)?)|{UNIT}{_AND})$", re.IGNORECASE)
_UNIT_NEXT = re.compile(rf" ?{UNIT}\b", re.IGNORECASE)
# "5 hours and 0 minutes" is 5 hours, and so is "72 minutes or 1 hour and 12 minutes" 72 minutes.
_TWO = rf"{UNIT}{_AND}[0-9]{{1,9}} ?{UNIT}\b"
_TOLD = r"(?:or|i\.e\.,?|that is,?|which (?:is|equals|makes))"
_AGAIN = re.compile(
    rf"([0-9] ?{UNIT})(?:(?:,? and|,)? 0{{1,2}} ?{UNIT}\b|(?:,? {_TOLD} | \()[0-9]{{1,9}} ?{_TWO}\)?)", re.IGNORECASE
)
_RESTATED = re.compile(
    rf"[ *]{{0,6}}(?:{_TWO}|dozen\b)[ *]{{0,6}}(?:(?!,? ?or),? ?{_TOLD}|=|(?=\([0-9]+ ?{UNIT}\)))"
    r"[ $*({]{1,6}(?=[0-9])",
    re.IGNORECASE,
)
_NOUN = re.compile(" ?[A-Za-z]")
_VARIABLE = re.compile(r"[ *_$]*[xyz](?![A-Za-z])")
_GLUED = re.compile(r"(?:[abeijknqruvEKMB]|bn|mn|[abnxyz]{2,3})(?![A-Za-z]|\.m)")
_FOREIGN = re.compile(r"[^\W\d_A-Za-z]{1,3}[0-9]")  # "5и6": another number, in a script that `unspaced` leaves alone
# "71 or 72" and "71 clips to 72 clips" are two candidates; "3 days or 72 hours", "from 48 to 72" and "30 + 42 or 72"
# end in one number.
_UNITS = r"[ *_)}$\]]*(?P<unit>[a-z]++|[%°])?"
_EITHER = re.compile(
    rf"(?P<from>\b(?:from|by|add|adding) [$*_({{]*|(?: \*|[-+/]) ?\$?)?"
    rf"(?<![0-9.,])[0-9][0-9.,]*{_UNITS}[ *_)}}$\]]*,? ?\b(?:or|to)\b"
    r"(?:,? (?:maybe|perhaps|possibly|even))?,?[ *_$({\[]*$",
    re.IGNORECASE,
)
_NAMED = re.compile(_UNITS, re.IGNORECASE)
_COMMAND = re.compile(r"\\[A-Za-z]+$")

NONE, WORD = 0, 2  # what `sign` says of digits that are no number of their own, and of digits in a word


def sign(line: str, start: int, *, marked: bool) -> int:
    """The sign of the number that begins at a place, 1 or -1; `WORD` for digits in a word ("CO2", "cm^2"); `NONE`
    where what comes before makes them a part of something else ("6*7", "12-15", "10:30").
    """
    head = line[:start]
    left = head.rstrip(_DRESS)
    gap, last = head[len(left) :], left[-1:]
    if ")(" in gap or "}{" in gap or "](" in gap:
        return NONE
    if last and last in "+-":
        outer = left[:-1].rstrip(_DRESS)
        between, before = left[len(outer) : -1], outer[-1:]
        if _numeric(before) or before in tuple("+-/^<%÷") or _mathematical(before):
            return NONE
        # "two -7", "\\lvert -7", "minus -7", "the absolute value of -7"; "|-7|", but no cell of a table
        if TAKEN_FROM.search(outer[-12:]) or _COMMAND.search(outer[-40:]) or _spoken(outer):
            return NONE
        if before == "|" and (not between or "|" not in outer[:-1]):
            return NONE
        # "x - 5" and "COVID-19" are no numbers below 0; "is -5" is.
        if before.isalpha() and ("*" in between or " " not in between or " " in gap):
            return NONE
        bullet = not marked and not before and gap.startswith(" ")
        return -1 if last == "-" and not bullet else 1
    if not last:
        return 1
    if _numeric(last):
        return NONE
    if (last.isalpha() or last in ":,=.") and (word := SIGN_WORD.search(head[-60:])):
        return NONE if word["other"] or word["label"] else -1
    if last == "," and marked and LISTED_BEFORE.search(head[-60:]):
        return NONE
    if last.isalpha() or last == "%":
        if BEFORE.search(head[-60:]) or (marked and LISTED_BEFORE.search(head[-60:])):
            return NONE
        if TIMES.search(head[-24:]) or TIMES.search(left[-24:]) or _COMMAND.search(left) or gap in ("*", " * ", "("):
            return NONE
        if not gap or gap[0] == "_":
            return WORD
        return NONE if _ORDINAL.search(head[-40:]) else 1
    if last == "^":
        base = left[:-1].rstrip(" {}")
        return WORD if base[-1:].isalpha() and not _VARIABLE.fullmatch(base[-2:].lstrip("0123456789")) else NONE
    if last in ".,:…" and not gap and left.rstrip(" .…" if left.endswith(("..", "…")) else last)[-1:].isnumeric():
        return NONE  # "10:30", "6...7"
    if last == ">":  # "<<48+24=72>>72", "<b>72" and a quotation, but no comparison
        return 1 if left.endswith(">>") or "<" in left[-40:] or left == ">" else NONE
    if (
        last in "/<÷\\"
        or _mathematical(last)
        or (last == "=" and left[-2:-1] in tuple("<>!"))
        or (last == "#" and not gap)
    ):
        return NONE
    return 1


def ends(line: str, end: int) -> bool:
    """Whether the number that ends at a place is whole: no further digits, operators, variables or second unit."""
    tail = line[end:]
    first, second = tail[:1], tail[1:2]
    if not first:
        return True
    if first == "\\":
        return bool(re.match(r"\\\\(?! *[0-9])", tail))  # a line's end
    if _numeric(first) or first in ":^" or (_numeric(second) and first in ".,_'/"):
        return False
    if any(pattern.match(tail) for pattern in (_GLUED, _FOREIGN, _VARIABLE, _PAIR, SCALED, AFTER)):
        return False
    right = tail.lstrip(_DRESS)
    gap, after = tail[: len(tail) - len(right)], right[:1]
    if " (" in gap or " [" in gap:  # a remark
        return True
    if "(" in gap or not after:
        return not after
    if _numeric(after) or after in "π^÷+‰‱" or _mathematical(after) or (after == "\\" and not right.startswith("\\\\")):
        return False
    if after in "-/":
        following = right[1:].lstrip(" $(")
        return not (following[:1].isnumeric() or _VARIABLE.match(following)) or not following
    if after == ">":
        return not re.match("> ?[$-]?[0-9]", right)
    if after == "<":
        return bool(re.match(r"<(?:/?[A-Za-z]|[|])", right))
    return True


def paired(line: str, start: int, end: int) -> bool:
    """Whether the number between two places is the second one of a quantity in two units ("2 hours 30")."""
    pair = _PAIRED.search(line, max(0, start - 24), start)
    return bool(pair and (_UNIT_NEXT.match(line, end) or (pair[1] and not _NOUN.match(line, end))))


def once(line: str) -> str:
    """A line without the second telling of a quantity in two units, and without second units of which there are 0."""
    return _AGAIN.sub(r"\1", line)


def restated(line: str, end: int) -> int | None:
    """The place where a quantity in two units or in dozens, whose first number ends at a place, is told anew in one
    ("1 hour and 12 minutes, which is 72 minutes"); None where it is not.
    """
    found = _RESTATED.match(line, end)
    return found.end() if found else None


def either(line: str, start: int, end: int) -> bool:
    """Whether the number between two places is the second one of two candidates ("71 or 72")."""
    first = _EITHER.search(line, max(0, start - 60), start)
    if first is None or first["from"]:
        return False
    named = _NAMED.match(line, end)
    unit = (named["unit"] or "").lower() if named else ""
    return unit == first["unit"].lower() if first["unit"] else unit not in ("%", "°")


def _spoken(before: str) -> bool:
    """Whether what stands before a minus sign makes the number a part of something else, in words."""
    return bool(BEFORE.search(before[-60:]) or SIGN_WORD.search(before[-60:]))


def _numeric(character: str) -> bool:
    """Whether a character is a digit or a number, and no letter, as the Chinese numerals are ("72 一共")."""
    return character.isnumeric() and not character.isalpha()


def _mathematical(character: str) -> bool:
    """Whether a character is a sign of mathematics that is not ASCII, such as a root or half a floor."""
    return (
        not character.isascii()
        and character not in "∴∵∎▷◁"
        and (character in "⌊⌋⌈⌉‖" or unicodedata.category(character) == "Sm")
    )
