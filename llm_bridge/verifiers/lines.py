r"""The lines around the answer's mark: headings and labels, closing marks, what opens an answer on its own line.

is_heading("Conclusion", "", 0)        is_heading("2. Add the two", "\n48+24 = 72", 0)
below("\n\\[\n72\n\\]", 0, labelled=True).number == "72"
"""

from __future__ import annotations

import re
from typing import NamedTuple

from llm_bridge.verifiers.numerals import LINE, plain
from llm_bridge.verifiers.spoken import NUMBER_WORD, STEP

_BLANK = r"[\s*_:`\"'(\[{]*"  # dress and colons; no minus and no currency, which belong to the number
_LABEL = re.compile(rf"{_BLANK}(?:(?:the|final|answer|result|solution|total|is)\b{_BLANK}){{0,6}}", re.IGNORECASE)
# What opens an answer: a display, a block of code, a rule, a tag.
_OPENER = r"(?:\\[\[(]|\${1,2}|`{3}[a-z]{0,9}|[-=*_~:]{3,9}|\\begin\{[a-z]{1,9}\*?\}|<[a-z]{1,9}>)"
_OPENED = re.compile(rf"[ *]*{_OPENER} *$")
_NEXT = re.compile(rf"\s*(?:{_OPENER}[ \r]*\n\s*){{0,4}}([^\n]{{0,{LINE}}})")
_GOES_ON = re.compile(r"\s*(?:[+^×÷]|=(?!=)|-[0-9]|\\(?:times|cdot|div|pm)\b)")  # a calculation over several lines
_ASKS = re.compile(r"\W*(?:questions?|q|problem|exercise|example|input|user|human)\b|[^?]*\?", re.IGNORECASE)
_QUESTION = re.compile(
    r"\n[ *#>]{0,9}(?:questions?|q|problem|exercise|example|input|user|human)\b[ 0-9*]{0,9}:", re.IGNORECASE
)
_COMMAND = re.compile(r"\\[A-Za-z]+")
_WORDS = re.compile(rf"(?!{_BLANK}{NUMBER_WORD}).*?[^\W\d_]{{2}}", re.IGNORECASE)  # no number in words, and no name
_MEASURED = re.compile(r"[^A-Za-z=]*[0-9][^A-Za-z=]*(?:\\?[A-Za-z]++[^A-Za-z0-9=]*){1,3}")  # a number and its unit
_DIGIT = re.compile("[0-9０-９¼-¾⅓-⅞]")

_ORDER = (
    r"(?i:(?:(?:first|next|finally|now|then),? (?:we |you |I )?)?(?:let us |let's )?(?:add|calculate|find|determine"
    r"|compute|subtract|multiply|divide|simplify|solve|use|identify|set|write|substitute|check(?!:)|verify(?!:)|sum up"
    r"|count|convert|combine|understand|start|take|work out|define|figure|get|plug|apply|round|summarize|consider"
    r"|compare|estimate|let [a-z])\b)"
)
_AFTER = r"\\?[.)]{1,2}\\?|[*_]{0,3}:| ?[-–—|]"
_DRESS = r"(?:\\text[a-z]{2}\{|[ *_.:]){0,9}"
# "2. Add the two" gives an order (group 1) and is a heading, whatever follows; "2.1 Total" and "2) Total" may be one.
_HEADING = re.compile(
    r"[ *_(]*[0-9]{1,2}(?:\.[0-9]{1,2})*"
    rf"(?:(?:{_AFTER}| (?=[A-Z])){_DRESS}({_ORDER})|(?:{_AFTER} ){_DRESS}(?=[A-Z]))"
)
_SENTENCE = re.compile(
    r"[^A-Za-z]*(?:(?:I|So|This|That|She|He|It|We|They|There|Therefore|Thus|Hence|Answer|Note|Questions?|Q|Check|Hope"
    r"|Thanks?|You|Let me)\b|[^\n]*[.!?][ *_]*$)"
)


class Below(NamedTuple):
    """The line below a mark's own.

    Attributes:
        number: it without its label, which may be a number and its dress.
        sentence: it, where a number in a sentence is the answer too; else "".
    """

    number: str
    sentence: str


def is_heading(line: str, text: str, end: int) -> bool:
    """Whether a line of a text, which ends at a place, is no answer but what stands above one: nothing, words without a
    number ("Conclusion"), a step and its words ("Step 3: Conclusion"), an order ("2. Add the two"), or a title ("2.
    Total") that is no sentence ("72. She sold them.") and has a calculation below it, and no further question.
    """
    bare = _OPENED.sub("", line)
    if _LABEL.fullmatch(bare):
        return True
    if _ASKS.match(line):
        return False
    step = STEP.match(plain(bare)) if _DIGIT.search(bare) else None
    words = _COMMAND.sub("", plain(bare)[step.end() :] if step else bare)
    if not any(map(str.isdigit, words)) and not _DIGIT.search(words) and "=" not in words.rstrip("=: *"):
        return step is not None or _WORDS.match(words) is not None
    heading = _HEADING.match(line)
    if heading is None or heading[1]:
        return heading is not None
    below = _next(text, end)[1]
    return not _SENTENCE.match(line) and bool(_DIGIT.search(below)) and not _ASKS.match(below)


def closed(text: str, place: int) -> str | None:
    """What stands between a mark and the one at a place that closes it, on the same line ("#### 72 ####") or below it
    at the end of the text; None where that one closes none.
    """
    before = text[max(0, place - LINE) : place].rstrip("#")
    if not text[place:].strip("# \r\n"):
        before = before.rstrip()
    _, mark, inside = before.rpartition("\n")[2].rpartition("####")
    return inside if mark else None


def before_question(text: str, start: int) -> str:
    """A text from a place to the next question, which a model may ask itself."""
    question = _QUESTION.search(text, start)
    return "" if _ASKS.match(_next(text, start)[1]) else text[start : question.start() if question else len(text)]


def below(text: str, start: int, *, labelled: bool) -> Below:
    """The next line that is not empty and opens nothing. labelled: what stands above it is not empty.

    A number in a sentence is the answer where a label or an opening stands above, and it is a number and its unit, or
    the last line of the text with a digit.
    """
    begin, line, end = _next(text, start)
    if _GOES_ON.match(text, end):
        return Below("", "")
    label = _LABEL.match(line)
    number = line[label.end() :] if label else line
    labelled = (labelled or bool(text[start:begin].strip())) and not _ASKS.match(line)
    sentence = labelled and (_MEASURED.fullmatch(line) or not _DIGIT.search(text, end))
    return Below(number, line if sentence else "")


def _next(text: str, start: int) -> tuple[int, str, int]:
    """The next line that is not empty and opens nothing, between its places."""
    found = _NEXT.match(text, start)
    return (found.start(1), found[1], found.end()) if found else (start, "", start)
