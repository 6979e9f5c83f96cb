"""Lists, points and intervals among MATH answers: what the commas part, and when two of them are equal."""

from __future__ import annotations

import re
from collections.abc import Sequence

from llm_bridge.verifiers.number_reader import Nonsense, Number, number_of, number_or_none
from llm_bridge.verifiers.values import equal


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


def lists(gold: str, answer: str) -> bool | None:
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
