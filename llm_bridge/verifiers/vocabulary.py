r"""Words beside an answer, and what they do to it: one vocabulary for what leads to it and for what stands behind it.

    follows(" apples")  is  True        follows(" less one")   is  False
    leads("Vertex")     is  True        leads("it is not")     is  False

Words that deny, doubt, scale, compute or compare change what is said, and so does a second number: a text with one of
them is no unit and leads to nothing, but stays a part of the answer.
"""

from __future__ import annotations

import re

_UP_TO_TWENTY = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen
nineteen twenty
"""
NUMBERS = tuple(_UP_TO_TWENTY.split())
# Alternatives of expressions.
_NUMBERS = "|".join(NUMBERS) + (
    "|thirty|forty|fifty|sixty|seventy|eighty|ninety|ones|tens|dozens?|score|gross|googol|hundreds?|thousands?|lakhs?"
    "|crores?|bn|mil|[a-z]{0,9}illions?"
)
_PARTS = (
    "half|halves|halved|thirds?|quarters?|fourths?|fifths?|sixths?|sevenths?|eighths?|ninths?|tenths?|elevenths?"
    "|twelfths?|[a-z]{3,5}teenths?|[a-z]{3,5}tieths?|hundredths?|thousandths?|[a-z]{0,9}illionths?"
)
_DENYING = (
    "not|no|never|cannot|neither|nor|none|wrong|incorrect|false|rejected|except|excluding|unless|without|otherwise"
    "|instead|impossible"
)
_DOUBTING = "maybe|perhaps|possibly|probably|alternatively|guess|either"
_SIGNS = "minus|negative|plus"
_SCALING = "half|halved|twice|doubled?|tripled?|trebled?|quadrupled?|thrice"
_LINKING = "and|or|if|for|when|is|are|was|than|through|versus|above|under|below|else"
_COMPUTING = (
    "times|over|divided|multiplied|power|mod|modulo|base|choose|remainder|repeating|recurring|root|radical|sqrt|pi|log"
    "|ln|sin|cos|tan|sec|csc|cot|exp|factorials?|infinity|inverse|reciprocal|conjugate|complement|approx(?:imately)?|raised|(?:in|de)creased|reduced"
)


def _any(*groups: str) -> str:
    return rf"(?<![a-z])(?:{'|'.join(groups)})(?![a-z])"


# A number in words; in "two-digit numbers" it counts nothing.
_NUMBER = _any(_NUMBERS) + rf"(?!-(?!{_any(_NUMBERS, _PARTS)})[a-z])"
_FOLLOWING = re.compile(
    rf"{_any(_DENYING, _DOUBTING, _SIGNS, _SCALING, _LINKING, _COMPUTING, _PARTS)}|{_NUMBER}|n't"
    r"|^\s*(?:squared|cubed)\b|\bin\s+case\b|\bper\s?cent\s+of\b|\b(?:kilo|mega)\s*$"
)
_LEADING = re.compile(
    rf"{_any(_DENYING, _DOUBTING, _SIGNS, _SCALING, 'if|than the answer|than this|than it')}|n't"
    rf"|{_NUMBER}\s+(?:times|less|more|fewer)\b|\b(?:an?|one|two|three)[ -](?:{_PARTS})(?![a-z])"
    r"|\b(?:opposite|than|at least|at most|above|below|under|over|between|times|up to|or equal to)$"
)
_REFUSING = re.compile(rf"{_any(_DENYING, _DOUBTING)}|n't|[?]")
_ENDING = re.compile(r"\s*(?:[:=]|\b(?:is|are|equals|equal|be|to))\s*$")


def follows(words: str) -> bool:
    """Whether words behind a number leave its value alone."""
    return not _FOLLOWING.search(words.casefold())


def leads(words: str) -> bool:
    """Whether words before an answer, with or without their last "is", only say what it is."""
    before, words = "", words.casefold()
    while words != before:
        before, words = words, _ENDING.sub("", words)
    return not _LEADING.search(words.rstrip())


def refuses(words: str) -> bool:
    """Whether words beside an answer deny it, or doubt it."""
    return _REFUSING.search(words.casefold()) is not None
