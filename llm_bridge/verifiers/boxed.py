"""MATH's answers in a response: its boxes, and the string normalisation of Hendrycks et al. 2021 that verl uses.

Two ways to find the answer. `answer_in` is math-verify's, ours: the last box that holds something, where a box is
\\boxed or \\fbox with braces, spaces or nothing behind it, and the boxes before it where they are one answer, as in
`$\\boxed{1}$ and $\\boxed{2}$`. `verl_boxed` is math-boxed's, verl's to the letter on ordinary text: the last
\\boxed{…}, which may be empty, and braces count though they are escaped. Only boxes count, to both: "the answer
is 5" has none.

`equal_as_strings` compares two answers as `is_equiv` of the MATH data set's authors does (verl:
`verl/utils/reward_score/math_reward.py`): spaces, \\left and \\right, \\dfrac, degree, dollar and per cent signs and
units in \\text{ …} are dropped, \\frac12 and 1/2 written \\frac{1}{2}, a short left side of an equation dropped.
Mathematics it does not know: 0.25 is not \\frac{1}{4} to it. Pure Python, no expression with backtracking, and no more
than `LONGEST` characters of an answer.

`answer_in` leaves out what a response thinks (`thinking`).

Otherwise than verl's: where a response has both `\\boxed x` and `\\boxed{x}` the last of them
counts, not the last of the former; and an answer longer than `LONGEST` counts as none (the longest of MATH's 12,500
has 159).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from llm_bridge.verifiers.braces import closing
from llm_bridge.verifiers.thinking import said

LONGEST = 1000  # characters of an answer
_JOINED = 40  # characters that may stand between two boxes of one answer
_TRIED = 50  # boxes that are looked at, from the last on

_JOINT = re.compile(
    r"(?:[\s$,;~&]|\\lor\b|\\[,;:! ()\[\]\\]|\\q?quad\b|\\text\s*\{[\s,]*(?:and|or)?[\s,]*\}|\b(?:and|or)\b)*"
)
_NAMED = re.compile(r"(?<![a-zA-Z\\])([a-zA-Z])(?:_\{?\d\}?)?\s*=\s*$")
_EMPTY = re.compile(r"(?:[\s.?$~{}…]|\\boxed\b|\\fbox\b|\\(?:l|c|d)?dots\b|\\q?quad\b|\\[,;:! ]|\\text\b)*")
_GAP = re.compile(r"(?:[\s~]|%[^\n]{0,20}\n)*+")  # what TeX passes over before the brace
_BORDER = re.compile(r"\$|\\\)|\\\]|\n")
_UNBRACED = re.compile(r"(?:\\[a-zA-Z]+ ?|[-+*/^_=().,\d{}]|[a-zA-Z](?![a-zA-Z]))+")


def answer_in(text: str) -> str | None:
    """The answer of a response, by its last box that holds something; None where there is none.

    A last box that is cut off, or longer than `LONGEST`, counts as no answer. Boxes before it belong to it where only
    commas, "and", "or", spacing and $ stand between: "1, 2"; where all say the same, it is said once.
    """
    text = said(text)
    found: list[str] = []
    after = len(text)
    for start, end, held in _boxes(text):
        if held is None or (found and not _joined(text, start, end, after)):
            break
        if not _EMPTY.fullmatch(held):
            found.insert(0, held.strip() if found else held)
            after = start
        elif found:
            break
    if len({one.strip() for one in found}) == 1:
        found = found[-1:]
    answer = ", ".join(found)
    return answer if found and len(answer) <= LONGEST else None


def _joined(text: str, start: int, end: int, after: int) -> bool:
    """Whether a box and the one that begins at `after` are one answer; also where both have a name: x=1 or x=2."""
    if not 0 <= after - end <= _JOINED:
        return False
    one, other = _NAMED.search(text, max(start - _JOINED, 0), start), _NAMED.search(text, end, after)
    if one and other and one[1] == other[1]:
        return bool(_JOINT.fullmatch(text, end, other.start()) and re.search("[,;]|and|or", text[end:after]))
    return bool(_JOINT.fullmatch(text, end, after))


def last_boxed(text: str) -> str | None:
    """What stands in the last box of a text that holds something; None where there is none, or the last is cut off."""
    text = said(text)
    for _, _, held in _boxes(text):
        if held is None:
            return None
        if not _EMPTY.fullmatch(held):
            return held
    return None


def _boxes(text: str) -> Iterator[tuple[int, int, str | None]]:
    """Start, end and content of the boxes, from the last on, `_TRIED` at most; None for one that is not closed."""
    place = len(text)
    for _ in range(_TRIED):
        place = max(text.rfind("\\boxed", 0, place), text.rfind("\\fbox", 0, place))
        if place < 0:
            return
        start = place + (6 if text.startswith("\\boxed", place) else 5)
        window = text[start : start + LONGEST + 20]
        inner = window[_GAP.match(window).end() :]  # pyright: ignore[reportOptionalMemberAccess]
        start += len(window) - len(inner)
        if inner.startswith("{"):
            end = closing(inner[: LONGEST + 2], 0)
            yield (place, len(text), None) if end is None else (place, start + end + 1, inner[1:end])
        elif not inner:
            yield place, len(text), None
        else:
            held = _unbraced(inner)
            yield place, start + len(held), held


def _unbraced(rest: str) -> str:
    """What stands in a box without braces: all up to the end of the mathematics, else what looks like mathematics."""
    border = _BORDER.search(rest)
    if border and border[0] != "\n":
        return rest[: border.start()]
    match = _UNBRACED.match(rest)
    return match[0] if match else ""


def verl_boxed(text: str) -> str | None:
    """What stands in the last \\boxed{…} (\\boxed x, else \\fbox{…}) of a text as verl finds it; None where there is
    none, or it is not closed, or is longer than `LONGEST`.
    """
    start = text.rfind("\\boxed")
    if start < 0:
        start = text.rfind("\\fbox")
    if start < 0:
        return None
    start += len("\\boxed") if text.startswith("\\boxed", start) else len("\\fbox")
    rest = text[start : start + LONGEST + 2]
    if rest.startswith(" "):
        answer = rest[1:].split("$")[0]
        return answer if len(answer) <= LONGEST else None
    if not rest.startswith("{"):
        return None
    depth = 0
    for place, character in enumerate(rest):
        depth += (character == "{") - (character == "}")
        if depth == 0:
            return rest[1:place]
    return None


def equal_as_strings(answer: str, truth: str) -> bool:
    """Whether two answers are one string once normalised; as they stand, where either cannot be."""
    if len(answer) > LONGEST:
        return False
    try:
        return normalise(answer) == normalise(truth)
    except ValueError:
        return answer == truth


def normalise(answer: str) -> str:
    """The normal form of an answer without its box.

    Raises:
        ValueError: more than one unit in \\text{ …}, or a \\sqrt or \\frac that ends the answer.
    """
    text = answer.replace("\n", "").replace("\\!", "").replace("\\\\", "\\")
    text = text.replace("tfrac", "frac").replace("dfrac", "frac").replace("\\left", "").replace("\\right", "")
    text = text.replace("^{\\circ}", "").replace("^\\circ", "").replace("\\$", "")
    text, *units = text.split("\\text{ ")
    if len(units) > 1:
        raise ValueError("several units")
    text = text.replace("\\%", "").replace(" .", " 0.").replace("{.", "{0.")
    if not text:
        return text
    if text[0] == ".":
        text = "0" + text
    sides = text.split("=")
    if len(sides) == 2 and len(sides[0]) <= 2:
        text = sides[1]
    text = _braced_roots(text).replace(" ", "")
    text = _braced_fractions(text)
    return _slash_fraction("\\frac{1}{2}" if text == "0.5" else text)


def _braced_roots(text: str) -> str:
    head, *parts = text.split("\\sqrt")
    if "" in parts:
        raise ValueError("a root of nothing")
    return head + "".join("\\sqrt" + (part if part[0] == "{" else "{" + part[0] + "}" + part[1:]) for part in parts)


def _braced_fractions(text: str) -> str:
    head, *parts = text.split("\\frac")
    done = head
    for part in parts:
        done += "\\frac"
        if part[:1] == "{":
            done += part
        elif len(part) < 2:
            return text  # half a fraction: left as it is, all of it
        elif part[1] == "{":
            done += "{" + part[0] + "}" + part[1:]
        else:
            done += "{" + part[0] + "}{" + part[1] + "}" + part[2:]
    return done


def _slash_fraction(text: str) -> str:
    above, slash, below = text.partition("/")
    if not slash or "/" in below:
        return text
    # Python's int also reads "+1", "1_0" and other scripts' digits; written back they must be what was read.
    try:
        a, b = int(above), int(below)
    except ValueError:
        return text
    return f"\\frac{{{a}}}{{{b}}}" if text == f"{a}/{b}" else text
