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
    "|thirty|forty|fifty|sixty|seventy|eighty|ninety|tens|dozens?|score|gross|googol|hundreds?|thousands?|lakhs?"
    "|crores?|bn|mil|[a-z]{0,9}illions?"
)
_PARTS = (
    "half|halves|halved|thirds?|quarters?|fourths?|fifths?|sixths?|sevenths?|eighths?|ninths?|tenths?|elevenths?"
    "|twelfths?|[a-z]{3,5}teenths?|[a-z]{3,5}tieths?|hundredths?|thousandths?|[a-z]{0,9}illionths?"
)
_DENYING = (
    "not|no|ne|never|cannot|none|nobody|nothing|wrong|incorrect|false|untrue|rejected|refuted|except|unless|otherwise"
    "|instead|impossible|negation|anything but|different from|far from"
)
_DOUBTING = "maybe|perhaps|probably|guess"
_SIGNS = "minus|negative|plus"
_SCALING = "half|halved|twice|thrice|(?:double|triple|treble|quadruple)(?:d|(?![ -][a-z]))"
_LINKING = "and|or|if|for|when|is|are|was|than|through|versus|below|else"
_COMPUTING = (
    "times|over|divided|multiplied|power|mod|modulo|base|choose|remainder|repeating|recurring|root|radical|sqrt|pi|log"
    "|ln|sin|cos|tan|sec|csc|cot|exp|factorials?|infinity|inverse|reciprocal|conjugate|complement|approx(?:imately)?"
    "|raised|(?:in|de)creased|reduced"
)
# Words that wait for another one, so that nothing is said with them at the end.
_WAITING = (
    "of|to|at|by|on|an|as|so|per|a|the|with|from|without|excluding|neither|nor|above|under|sq|square|cu|cubic|point"
)


def _any(*groups: str) -> str:
    return rf"(?<![a-z])(?:{'|'.join(groups)})(?![a-z])"


# A number in words. It counts nothing in "two-digit numbers" or "non-zero", and another thing in "hours in one week".
_NUMBER = rf"(?<![a-z]-){_any(_NUMBERS)}(?!-(?!{_any(_NUMBERS, _PARTS)})[a-z]|\s(?:digits?|dollars?|elements?|sided)\b)"
_OF_ANOTHER = re.compile(
    rf"\b(?:in|of|the|all|per|from|after|these|those|any|into|within|exactly)\s{_any(_NUMBERS)}\s(?=[a-z]{{3}})"
    r"(?!and\b|plus\b|minus\b|times\b|point\b)"
)
_FOLLOWING = re.compile(
    rf"{_any(_DENYING, _DOUBTING, 'possibly|alternatively', _SIGNS, _SCALING, _COMPUTING, _PARTS)}|{_NUMBER}|n't"
    rf"|(?<!-){_any(_LINKING)}|{_any(_WAITING)}\W*$|^\s*(?:squared|cubed)\b|^\W*ones\W*$"
    r"|\bin\s+case\b|\bper\s?cent\s+of\b|\b(?:kilo|mega)\s*$"
)
_LEADING = re.compile(
    rf"{_any(_DENYING, 'neither|nor|without', _SIGNS, _SCALING, _DOUBTING, 'if|than (?:the answer|this|it)')}|n't"
    rf"|{_NUMBER}\s+(?:times|less|more|fewer)\b|\b(?:an?|one|two|three)[ -](?:{_PARTS})(?![a-z])"
    r"|\b(?:opposite|than|at least|at most|between|times|up to|or equal to|squared|cubed)$"
    r"|\b(?:double|triple|quadruple)\s+(?:the|this|that|it|of)\b"
    rf"|^(?:\w+\s+)?(?:above|below|under|over)$|^(?:an?\s+|the\s+)?(?:{_NUMBERS}|{_PARTS})$"
    r"|\b(?:of|from|than|to|by)\s+(?:the|this|my)\s+(?:\w+\s+)?(?:answer|result)\b"
)
# "the probability that it will not rain" denies nothing of the probability.
_CLAUSE = re.compile(r"^the\s(?:(?!that\b|which\b|who).)*?\b(?:that|which|who|whose)\s+(?=\w+\s+\w+\s+\w)")
_OF_THE_ANSWER = re.compile(
    r"\b(?:answers?|solution|this|equals?|correct|right|true|asked)\b|\b(?:not|than|least|most|n't)$"
)
_REFUSING = re.compile(rf"{_any(_DENYING, _DOUBTING, 'possibly|alternatively|either|neither|nor')}|n't|[?]")
_ENDING = re.compile(r"\s*(?:[:=]|\b(?:is|are|equals|equal|be|to))\s*$")


_IS_THE = re.compile(r"\s*(?:is|are)\s+(?=the\s)")


def follows(words: str) -> bool:
    """Whether words behind a number leave its value alone, as "is the answer" does too."""
    words = words.casefold()
    if named := _IS_THE.match(words):
        words = words[named.end() :]
        if not leads(words):
            return False
    return not _FOLLOWING.search(_OF_ANOTHER.sub(" ", words))


def leads(words: str) -> bool:
    """Whether words before an answer, with or without their last "is", only say what it is."""
    before, words = "", words.casefold()
    while words != before:
        before, words = words, _ENDING.sub("", words)
    words = words.rstrip()
    clause = _CLAUSE.match(words)
    if clause and not _OF_THE_ANSWER.search(words, clause.end()):
        words = clause[0]
    return not _LEADING.search(words)


def refuses(words: str) -> bool:
    """Whether words beside an answer deny it, or doubt it."""
    return _REFUSING.search(words.casefold()) is not None
