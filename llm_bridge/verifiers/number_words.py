"""Numbers that are written in words, as LaTeX: whole ones below a hundred, parts of one, and infinity.

number_in_words("minus twenty-five")  is  "-25"
number_in_words("two thirds")         is  "\\frac{2}{3}"
"""

from __future__ import annotations

import re

from llm_bridge.verifiers.vocabulary import NUMBERS

_TEN_NAMES = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_PART_NAMES = ("half", "third", "quarter", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
_TENS = {name: 10 * place for place, name in enumerate(_TEN_NAMES, 2)}
_PARTS = {name: place for place, name in enumerate(_PART_NAMES, 2)} | {"fourth": 4, "eleventh": 11, "twelfth": 12}


def number_in_words(words: str) -> str | None:
    """The number that words in lower case are and nothing else, as LaTeX; None for any other words."""
    every = re.split(r"[ -]+", words.strip())
    sign = "-" if every[0] in ("minus", "negative") else ""
    every = every[1:] if sign or every[0] == "positive" else every
    if every in (["infinity"], ["infinite"]):
        return sign + "\\infty"
    if len(every) > 1 and (below := _PARTS.get(every[-1].removesuffix("s"))):
        above = 1 if every[:-1] in (["a"], ["one"]) else _whole(every[:-1])
        return None if above is None or not 0 < above < below else f"{sign}\\frac{{{above}}}{{{below}}}"
    whole = _whole(every)
    return None if whole is None else f"{sign}{whole}"


def _whole(every: list[str]) -> int | None:
    if len(every) == 1:
        return NUMBERS.index(every[0]) if every[0] in NUMBERS else _TENS.get(every[0])
    if len(every) == 2 and every[0] in _TENS and every[1] in NUMBERS[1:10]:
        return _TENS[every[0]] + NUMBERS.index(every[1])
    return None
