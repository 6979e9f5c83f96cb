"""Braces and brackets of LaTeX: where one is closed, and the arguments of \\frac and \\sqrt, which may come without."""

from __future__ import annotations

import re

_DEGREE_OF_ROOT = re.compile(r"\s*\[[^\[\]]*\]")
_TOKEN = re.compile(r"\\[a-zA-Z]+|\\?.|")


def closing(text: str, place: int, pair: str = "{}") -> int | None:
    """Where the brace that opens at `place` is closed; None if nowhere. Escaped braces are no braces. `pair`: other
    brackets than braces.
    """
    depth = 0
    while place < len(text):
        if text[place] == "\\":
            place += 1
        else:
            depth += (text[place] == pair[0]) - (text[place] == pair[1])
            if depth == 0:
                return place
        place += 1
    return None


def arguments(text: str) -> str:
    """\\frac12, \\frac\\pi 2, \\sqrt3 and \\sqrt(3) with braces around each argument."""
    end = len(text)
    while (start := max(text.rfind("\\frac", 0, end), text.rfind("\\sqrt", 0, end))) >= 0:
        end = start
        place, wanted = start + 5, 2 if text.startswith("\\frac", start) else 1
        if text[place : place + 1].isalpha():
            continue
        if wanted == 1 and (degree := _DEGREE_OF_ROOT.match(text, place)):
            place = degree.end()
        done = text[:place]
        for _ in range(wanted):
            argument, place = _argument(text, place, bracketed=wanted == 1)
            done += "{" + argument + "}"
        text = done + text[place:]
    return text


def _argument(text: str, place: int, bracketed: bool) -> tuple[str, int]:
    """What TeX reads as one argument from here on, without its braces, and where it ends. Where it may be `bracketed`,
    all of (...) is one, as people mean it.
    """
    while text[place : place + 1] == " ":
        place += 1
    if bracketed and text[place : place + 1] == "(" and (end := closing(text, place, "()")) is not None:
        return text[place + 1 : end], end + 1
    if text[place : place + 1] == "{":
        end = closing(text, place)
        return (text[place + 1 : end], end + 1) if end is not None else (text[place + 1 :], len(text))
    match = _TOKEN.match(text, place)
    assert match is not None
    return match[0], match.end()
