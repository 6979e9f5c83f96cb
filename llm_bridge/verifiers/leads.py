r"""What leads to a MATH answer and what ends it: "Answer:", "=", "The remainder is", a period, braces around all of it.

    ends(r"\text{The remainder is } x+1.")       is  "x+1"
    unset(r"\text{The answer is (7, 4).}")       is  "(7, 4)."
    unset(r"\text{x = 3 or x = -3}")             is  "x = 3 or x = -3"

Mathematics that is set as text is mathematics all the same (`unset`), be it with words before and behind it: those go
the way of words that are set as text beside mathematics.
"""

from __future__ import annotations

import re

from llm_bridge.verifiers import vocabulary
from llm_bridge.verifiers.braces import closing
from llm_bridge.verifiers.units import DOLLAR, is_word

# "Answer", also in French, Spanish, Portuguese, Italian, German, Russian and Chinese.
_ANSWER = (
    r"(?:(?:the\s+)?(?:(?:final|correct|right)\s+)?(?:answer|ans)"
    r"|(?:la\s+)?(?:r\u00e9ponse|respuesta|resposta|risposta)|(?:die\s+)?antwort|\u043e\u0442\u0432\u0435\u0442|\u7b54\u6848)"
)
_IS = r"(?:\s+(?:is|est|es|\u00e9|\u00e8|ist)|\s*[\u662f\u4e3a])"  # the last are Chinese
_LEAD = re.compile(
    r"(?:=|\\(?:approx|simeq|cong|equiv|implies|Rightarrow|to|therefore|rightarrow)(?![a-zA-Z])|\\sim(?![a-zA-Z])(?=\s*[-.\d\\])|&"
    rf"|{_ANSWER}(?:{_IS}\s*:?|\s*[:=]))\s*",
    re.IGNORECASE,
)
_TEXT_LEAD = re.compile(r"\\text\{([^{}]{1,80})\}\s*([:=]?)\s*")
_SO = r"(?:(?:and\s+)?(?:so|thus|hence|therefore|then|finally|consequently|in conclusion|in summary|overall)\b\s*,?\s*)"
CONNECTIVES = re.compile(rf"^\s*{_SO}+(?=[a-z])", re.IGNORECASE)
_CERTAIN = re.compile(  # whatever follows
    rf"(?=\s*[^\W\d_])\s*{_SO}*(?:{_ANSWER}|approximately|about|exactly|only|just|is|we\s+(?:get|have|find|obtain))?"
    rf"(?:{_IS})?\s*[:=,]?\s*",
    re.IGNORECASE,
)
_SENTENCE = re.compile(
    rf"\s*{_SO}*([a-zA-Z][a-zA-Z' -]{{1,60}}?)\s*(:|=|(?<= )(?:is|are|equals|get|have|gives|find|obtain))?\s*:?\s*",
    re.IGNORECASE,
)
_PLACE = re.compile(  # what a point, a vector or an interval may be, without a verb
    r"\s*(?:the\s+)?(?:(?:solution|ordered|column|its|only)\s+)?(?:points?|vert(?:ex|ices)|cent(?:er|re)s?|foc(?:us|i)|midpoint"
    r"|intersection|coordinates|centroid|orthocent(?:er|re)|circumcent(?:er|re)|incent(?:er|re)|minimum|maximum|pairs?"
    r"|triples?|vector|intervals?|domain|range|solutions?|set)\s*",
    re.IGNORECASE,
)
_BEGINS = re.compile(rf"[-+\d\\(\[{DOLLAR}]|\.\d|[a-zA-Z](?![a-zA-Z])")
_MINUS = re.compile(
    r"(^|[=(\[,])\s*(?:\\text\s*\{\s*(?:[Nn]egative|[Mm]inus)\s*\}|(?:[Nn]egative|[Mm]inus)(?![a-zA-Z]))\s*(?=[.\d]|\\(?:frac|sqrt|pi)\b)"
)
_MINUS_IN_TEXT = re.compile(r"\\text\s*\{\s*(?:[Nn]egative|[Mm]inus)\s+([.\d]+(?:/\d+)?)\s*\}")
_LAST_ROW = re.compile(r"(?:\\\\\s*|(?<=\})\{\s*\})+$")  # a line's end behind the last line, and empty braces
_AND = re.compile(  # a lone y, e or o in text may be a letter: with spaces around it, y is Spanish
    r"\s*,?\s*(?:\\text\s*\{(?:\s*,?\s*(?:and|or|et|ou|und|oder|[\u548c\u6216\u0438]|\u0438\u043b\u0438)\s*|\s+y\s+)\}|(?<![a-zA-Z\\])(?:and|or)(?![a-zA-Z])|\\lor\b)\s*(?=[^\s.,;:}]|\.\d)"
)
_WHOLE_AND = re.compile(r"\\text\s*\{\s*(\d{1,9})\s+and\s*\}(?=\s*\\frac)")
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
        text = unset(text)
    return text


def _led(text: str) -> str:
    """The text without one lead."""
    if lead := _LEAD.match(text):
        return text[lead.end() :]
    lead = _TEXT_LEAD.match(text)
    if lead is None:
        return text
    rest = text[lead.end() :]
    if _CERTAIN.fullmatch(lead[1]):
        return rest
    if rest.startswith(("(", "[", "\\begin{pmatrix}")) and _PLACE.fullmatch(lead[1]):
        return rest
    colon = lead[2].replace("=", "")
    return rest if says_what_follows(lead[1] + colon) and _BEGINS.match(rest) else text


def says_what_follows(words: str) -> bool:
    """Whether words end as those do that lead to something ("The remainder is", "Total:"), and only say what it is."""
    said = _SENTENCE.fullmatch(words)
    return bool(said and said[2] and vocabulary.leads(said[1]))


def minus_in_words(text: str) -> str:
    """\\text{negative } 3 is -3, before a number that nothing but a name leads to."""
    if "egative" not in text and "inus" not in text:
        return text
    return _MINUS_IN_TEXT.sub(r"-\1", _MINUS.sub(r"\1-", text))


def lists(text: str) -> str:
    """ "1 and 2" and 1\\text{ or }2 are "1, 2"."""
    return _AND.sub(", ", text) if "and" in text or "or" in text or "\\text" in text else text


def mixed_in_words(text: str) -> str:
    """2\\text{ and }\\frac12 is 2\\frac12."""
    return _MIXED.sub(_mixed, _WHOLE_AND.sub(r"\1\\text{ and }", text)) if "and" in text else text


def _mixed(match: re.Match[str]) -> str:
    above, below = match[2] or match[4], match[3] or match[5]
    return f"{match[1]}\\frac{{{above}}}{{{below}}}" if int(above) < int(below) else match[0]


# -------------------------------------------------------------------------------------- mathematics that is set as text

_MATHEMATICAL = re.compile(r"\d|[=<>^+]|\\[a-zA-Z%]")
_BORDERS = re.compile(r"\$|\\[()]")
_IN_WORDS = re.compile(r"(?<![a-zA-Z\\])[a-zA-Z][a-zA-Z']*")
_NAMED = re.compile(r"\\(?:begin|end|text|mathbb)\s*\{[^{}]*\}")
_SIGNS_BEFORE = re.compile(r"(?:^|[=(\[,<>&:{]|\\(?:[lg]eq?|approx|in)(?![a-zA-Z]))\s*$")
_SIGNS_BEHIND = re.compile(r"\s*(?:$|[=)\],<>&:}.]|\\(?:[lg]eq?|approx|cup)(?![a-zA-Z]))")
_NUMBER = re.compile(r"\s*-?[\d.]+\s*")
_FACTOR = re.compile(r"\s*(?:\\(?:%|sqrt|frac|pi|text)|\^\s*\{?\s*\\circ)")
_BEGUN = re.compile(r"(?<=[\s:=])(?=[-+.(\[$\\\d]|[a-zA-Z](?![a-zA-Z']))")
_LEADING = re.compile(r"[a-zA-Z][a-zA-Z' ,-]{0,80}[:=]?\s*")


def unset(text: str) -> str:
    """Mathematics that is set as text, as mathematics: where it is all of the answer with words before and behind it,
    or a side or an element of it by itself.
    """
    place = text.rfind("\\text{")
    while place >= 0:
        end = closing(text, place + 5)
        if end is not None:
            inner, behind = text[place + 6 : end], text[end + 1 :]
            if place == 0 and not behind.strip(" .,;"):
                return _all_unset(inner, text) + behind
            if _stands_alone(inner, text[:place], behind):
                text = text[:place] + _bare(inner) + behind
        place = text.rfind("\\text{", 0, place)
    return text


def _stands_alone(inner: str, before: str, behind: str) -> bool:
    """Whether a text within an answer is mathematics, and nothing beside it would be joined to it by taking it so."""
    if not _SIGNS_BEFORE.search(before) or not _is_mathematics(inner):
        return False
    return bool(_SIGNS_BEHIND.match(behind) or (_NUMBER.fullmatch(inner) and _FACTOR.match(behind)))


def _is_mathematics(inner: str) -> bool:
    return bool(_MATHEMATICAL.search(inner)) and _first_word(inner) is None


def _first_word(inner: str) -> int | None:
    """Where the first word of a language begins; "and" and "or" part answers, and are none, nor is what a command names
    or marks as text within.
    """
    for word in _IN_WORDS.finditer(_NAMED.sub(lambda match: "\\" * len(match[0]), inner)):
        if len(word[0]) > 1 and word[0].lower() not in ("and", "or") and is_word(word[0].partition("'")[0]):
            return word.start()
    return None


def _bare(inner: str) -> str:
    """Without the borders of mathematics in text."""
    return _BORDERS.sub("", inner).strip()


def _all_unset(inner: str, whole: str) -> str:
    """An answer that is one text: without words that lead to its mathematics, and with those behind it as a text of
    their own; as it is (`whole`) where there is no mathematics, or anything else before it.
    """
    start = 0
    if _first_word(inner) is not None and (lead := _led_in(inner)) is not None:
        start = lead
    first = _first_word(inner[start:])
    mathematics = inner[start:] if first is None else inner[start : start + first]
    if not _MATHEMATICAL.search(mathematics) or (start == 0 and first == 0):
        return whole
    words = "" if first is None else f"\\text{{ {inner[start + first :]}}}"
    return whole if words.count("{") != words.count("}") else _bare(mathematics) + words


def _led_in(inner: str) -> int | None:
    """Where the mathematics begins that the words of a text lead to; None where they lead to none."""
    for begun in _BEGUN.finditer(inner, 0, 100):
        lead = inner[: begun.start()].lstrip()
        if not _LEADING.fullmatch(lead):
            continue
        if _CERTAIN.fullmatch(lead) or says_what_follows(lead.rstrip()):
            return begun.start()
        if inner.startswith(("(", "["), begun.start()) and _PLACE.fullmatch(lead):
            return begun.start()
    return None
