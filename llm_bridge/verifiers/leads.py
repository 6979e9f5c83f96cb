r"""What leads to a MATH answer and what ends it: "Answer:", "=", "The remainder is", a period, braces around all of it.

ends(r"\text{The remainder is } x+1.")  is  "x+1"
"""

from __future__ import annotations

import re

from llm_bridge.verifiers import vocabulary
from llm_bridge.verifiers.braces import closing
from llm_bridge.verifiers.units import DOLLAR

_ANSWER = r"(?:the\s+)?(?:(?:final|correct|right)\s+)?(?:answer|ans)"
_LEAD = re.compile(
    r"(?:=|\\(?:approx|simeq|cong|equiv|implies|Rightarrow|to|therefore|rightarrow)(?![a-zA-Z])|\\sim(?![a-zA-Z])(?=\s*[-.\d\\])|&"
    rf"|{_ANSWER}(?:\s+is\s*:?|\s*[:=]))\s*",
    re.IGNORECASE,
)
_TEXT_LEAD = re.compile(r"\\text\{([^{}]{1,80})\}\s*([:=]?)\s*")
_CERTAIN = re.compile(  # whatever follows
    rf"\s*(?:{_ANSWER}|approximately|about|exactly|only|just|so|thus|hence|therefore|is)(?:\s+is)?\s*[:=,]?\s*",
    re.IGNORECASE,
)
_SENTENCE = re.compile(
    r"\s*([a-zA-Z][a-zA-Z' -]{1,60}?)\s*(:|=|(?<= )(?:is|are|equals|get|have|gives|find|obtain))?\s*:?\s*",
    re.IGNORECASE,
)
_BEGINS = re.compile(rf"[-+\d\\(\[{DOLLAR}]|\.\d|[a-zA-Z](?![a-zA-Z])")
_ALL_TEXT = re.compile(
    rf"\\text\{{\s*(?:{_ANSWER}(?:\s+is\s*:?|\s*[:=])\s*|[a-zA-Z]\s*=(?![^{{}}]*=)\s*)?([-$]?\s*(?:\\frac\{{\d+\}}\{{\d+\}}|\d)[^{{}}\\]*)\}}",
    re.IGNORECASE,
)
_MINUS = re.compile(
    r"(^|[=(\[,])\s*(?:\\text\s*\{\s*(?:[Nn]egative|[Mm]inus)\s*\}|(?:[Nn]egative|[Mm]inus)(?![a-zA-Z]))\s*(?=[.\d]|\\(?:frac|sqrt|pi)\b)"
)
_MINUS_IN_TEXT = re.compile(r"\\text\s*\{\s*(?:[Nn]egative|[Mm]inus)\s+([.\d]+(?:/\d+)?)\s*\}")
_LAST_ROW = re.compile(r"(?:\\\\\s*|(?<=\})\{\s*\})+$")  # a line's end behind the last line, and empty braces
_AND = re.compile(
    r"\s*,?\s*(?:\\text\s*\{\s*,?\s*(?:and|or)\s*\}|(?<![a-zA-Z\\])(?:and|or)(?![a-zA-Z])|\\lor\b)\s*(?=[^\s.,;:}]|\.\d)"
)
# 2 and 1/2, a mixed number.
_MIXED = re.compile(
    r"(?<![\w.,}\]/^])(\d{1,9})\s*(?:\\text\s*\{\s*and\s*\}|and(?![a-zA-Z]))\s*"
    r"(?:\\frac\s*\{(\d{1,9})\}\s*\{(\d{1,9})\}|(\d{1,9})\s*/\s*(\d{1,9}))(?=\s*(?:$|\\text))"
)


def ends(text: str) -> str:
    """Without what leads to an answer, without the punctuation that ends it, without braces around all of it."""
    before = None
    while text != before:
        before = text
        text = _led(text.strip().strip("$").strip())
        if not text.endswith("...") and not text.endswith("\\"):  # an ellipsis is a part of the answer
            text = text.removesuffix("\\").rstrip(".,;: ")
        if text.endswith(("\\", "}")):
            text = _LAST_ROW.sub("", text)
        if text.startswith("{") and closing(text, 0) == len(text) - 1:
            text = text[1:-1]
        if match := _ALL_TEXT.fullmatch(text):
            text = match[1]
    return text


def _led(text: str) -> str:
    """The text without one lead."""
    if lead := _LEAD.match(text):
        return text[lead.end() :]
    lead = _TEXT_LEAD.match(text)
    if lead is None:
        return text
    if _CERTAIN.fullmatch(lead[1]):
        return text[lead.end() :]
    said = _SENTENCE.fullmatch(lead[1])
    if said and (said[2] or lead[2] == ":") and vocabulary.leads(said[1]) and _BEGINS.match(text, lead.end()):
        return text[lead.end() :]
    return text


def minus_in_words(text: str) -> str:
    """\\text{negative } 3 is -3, before a number that nothing but a name leads to."""
    if "egative" not in text and "inus" not in text:
        return text
    return _MINUS_IN_TEXT.sub(r"-\1", _MINUS.sub(r"\1-", text))


def lists(text: str) -> str:
    """ "1 and 2" and 1\\text{ or }2 are "1, 2"."""
    return _AND.sub(", ", text) if "and" in text or "or" in text else text


def mixed_in_words(text: str) -> str:
    """2\\text{ and }\\frac12 is 2\\frac12."""
    return _MIXED.sub(_mixed, text) if "and" in text else text


def _mixed(match: re.Match[str]) -> str:
    above, below = match[2] or match[4], match[3] or match[5]
    return f"{match[1]}\\frac{{{above}}}{{{below}}}" if int(above) < int(below) else match[0]
