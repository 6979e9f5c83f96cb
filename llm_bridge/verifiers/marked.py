r"""GSM8K's numeric rule: the number that a response gives as its answer, read whole or not at all.

Where the text has a `####`, anywhere, the number after the last one is the answer, and nothing else can be: the rest of
its line is read (the next line that is not empty, where that line holds at most a label such as "Answer:" and the next
one nothing but a number). Without one it is the last number of the last `REACH` characters.

| after `####` | is | because |
| --- | --- | --- |
| `72`, `**72**`, `$72$`, `\boxed{72}`, `72.` | 72 | dress; `####72` and a closing `####` too |
| `Answer: 72`, `She has 72 apples`, `x = 72` | 72 | words before a number, and units after it, are passed over |
| `72 cm^2`, `72m`, `42 km/h`, `72 (that is 6*12)`, `72, since 48 + 24 = 72` | 72, 42 | what follows is no part of it |
| `5 + 3 = 8`, `6*7 = 42`, `8 = 5 + 3` | 8, 42, 8 | an equation: its side that is a number |
| `48/2 = 24, 48 + 24 = 72`, `48/2 = 24, so it is 72` | none | all equations and conclusions must agree |
| `72, since 3*24 = 72`, `72 (3*24 = 72)`, `72. Check: 72/3 = 24` | 72 | save reasons, checks, remarks |
| `3 4`, `3, 4`, `5 or 6`, `12-15`, `12 to 15`, `10:30`, `12/25/2020` | none | two numbers |
| `6*7`, `5 + 3`, `2^5`, `5\pi`, `\sqrt{2}`, `2x`, `5k`, `< 5`, `5 ≠ 6` | none | an expression, not its value |
| `6 times 7`, `twice 6`, `half of 6`, `6 squared`, `5 eighths`, `6 over 7` | none | the same in words |
| `5 less 3`, `5 more than 3`, `5 pi`, `10 point 5`, `6 by 7`, `5 or six` | none | the same in words |
| `minus 72`, `negative 72` | -72 | a sign in words |
| `1 hour 30 minutes`, `5 dollars and 30 cents`, `5'10`, `2 hours 30`, `5h30` | none | one quantity in two units |
| `1,00`, `7,2`, `4.2.0`, `1_000`, `1.000,50` | none | malformed |
| `Step 3`, `3:` | none | a heading |
| nothing, `none`, `not 72`, a number longer than the line that is read | none | no fallback |

| the last number of a text without `####` | is | because |
| --- | --- | --- |
| `so 48 + 24 = 72.`, `in 2.5e3 s`, `= 42 km/h`, `72 cm^2` | 72, 2500, 42, 72 | the same grammar |
| `3 and 4`, `3, 4` | 4 | words or a comma and a space part two numbers |
| `12-15 apples`, `10:30`, `3 4`, `1 hour 30 minutes`, `2024-05-01`, `= 6*7`, `10-3`, `6 times 7` | none | as above |
| `it took 2 hours 30`, `that is 5 less 3`, `10 point 5`, `5 ≠ 6` | none | as above |
| digits in a word (`CO2`, `x_1`, `cm2`), a list's marker (`3. So she …`) | passed over | they are no numbers |
"""

from __future__ import annotations

import itertools
import re
from fractions import Fraction

from llm_bridge.verifiers.numerals import AND_A_PART, LINE, NUMBER, PART, UNIT, as_number, plain, read
from llm_bridge.verifiers.thinking import said

REACH = 2_000  # the last characters in which a number without a mark is looked for

_MARK = "####"
# What nearly every response writes, at once: digits alone on their line.
_AT_ONCE = re.compile(r" ?\$?(-?[0-9]{1,18})\.?[ \r]*(?:\n|$)")
_DRESS = " *_`\"'()[]{}$"
_NEXT = re.compile(rf"\s*([^\n]{{0,{LINE}}})")
_BLANK = r"[\s*_:`\"'(\[{]*"  # dress and colons; no minus and no currency, which belong to the number
_LABEL = re.compile(rf"{_BLANK}(?:(?:the|final|answer|result|solution|total|is)\b{_BLANK}){{0,6}}", re.IGNORECASE)
_REFUSES = re.compile(r"\b(?:no|not|none|never|cannot|neither|unknown|undefined)\b|n't\b", re.IGNORECASE)
_ORDINAL = re.compile(
    r"\b(?:steps?|parts?|questions?|problems?|cases?|examples?|sections?|exercises?|equations?|eq|figures?|tables?|q)"
    r"[.\s*_(#]*$",
    re.IGNORECASE,
)
# Units come in pairs: "1 hour 30 minutes" is one quantity, of which neither number is the value.
# The second unit may be left out where nothing else stands between: "2 hours 30", "5h30", "5 ft. 10", but no "72 cm2".
_NUMBER_WORD = (
    r"(?:zero|oh|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|(?:thir|four|fif|six|seven|eigh|nine)teen|"
    r"(?:twen|thir|for|fif|six|seven|eigh|nine)ty(?:[- ][a-z]++)?)\b"
)
_AND = r"\.?[ ,]{0,3}(?:and |& ?|plus )?[ *$]{0,6}"
_BARE = r"(?:(?:(?<![a-z]{4})\.)?[ *$:]{1,6}|(?<=h)|(?=[0-9]{2}))"
_PAIR = re.compile(
    rf"[ *]{{0,6}}(?!in ){UNIT}(?![A-Za-z])(?:{_AND}(?:[0-9][0-9., ]*+|{_NUMBER_WORD} ?){UNIT}\b"
    rf"| (?:and|&|plus) an? {UNIT}\b"
    rf"|{_BARE}(?:[0-9]|{_NUMBER_WORD}(?! ?[A-Za-z])))",
    re.IGNORECASE,
)
_PAIRED = re.compile(rf"[0-9] ?(?:(?!in ){UNIT}({_BARE}(?:and |& ?)?)|{UNIT}{_AND})$", re.IGNORECASE)
_UNIT_NEXT = re.compile(rf" ?{UNIT}\b", re.IGNORECASE)
_NOUN = re.compile(" ?[A-Za-z]")
_DIGIT = re.compile("[0-9¼-¾⅓-⅞]")
_MARKER = re.compile(r"[0-9]{1,2}[.)]\*{0,2} +[A-Z*\"]")
_VARIABLE = re.compile(r"[ *_$]*[xyz](?![A-Za-z])")
_GLUED = re.compile(r"(?:[nieEkKMB]|bn|mn)(?![A-Za-z])")
_TIMES = re.compile(r"[0-9)}] ?[xX]$")
_COMMAND = re.compile(r"\\[A-Za-z]+$")
# Possessive, as every repetition that could be split in two ways: else a long word is tried at each of its letters.
_UNITS = r"(?:[ ]?[%°$])?(?:[ ]?[A-Za-z]++){0,3}"
_OPERATED = re.compile(rf"{_UNITS}[ *_)\]}}]{{0,6}}[-+*/÷][ ({{$*]{{0,6}}[0-9]")
_LISTED = re.compile(
    rf"{_UNITS}[ *]{{0,6}}(?:[,;|] ?|\b(?:or|and|to|through) |: |& ?)(?:or |and )?(?:(?!check|total)[A-Za-z]++:)?"
    r"[ $*+-]{0,6}[0-9]",
    re.IGNORECASE,
)
# Words for what signs say too: a calculation, a range, a scale or a part of one.
_OPERATION = (
    r"(?:times|plus|minus|less|divided by|multiplied by|added to|subtracted from|take away|(?:more|less|fewer) than)"
)
_AT_ONCE_BESIDE = r"(?:over|by|point|mod|modulo|choose|(?:raised )?to the power of|raised to|versus|vs\.?)"
_OPERAND = rf"(?:[0-9π√\\]|(?!one\b){_NUMBER_WORD}|(?:an? |one )?{PART}\b|pi\b|sqrt|(?:the )?(?:square |cube )?root\b)"
_COUNTED = r"(?:[ ]?[%°$])?(?:[ ]?(?!is\b|which\b|that\b)[A-Za-z]++){0,3}?"
_SPOKEN = re.compile(
    rf"(?:{_COUNTED} {_OPERATION}|[ -]{_AT_ONCE_BESIDE})[ *($-]{{0,6}}{_OPERAND}"
    rf"|{_COUNTED} (?:or|to|through) {_NUMBER_WORD}| and {_NUMBER_WORD}"
    rf"| {_NUMBER_WORD} (?:hundred|thousand|million)\b|{_COUNTED}[ *_)\]}}{{$]{{0,6}}{AND_A_PART}"
    rf"| ?\*? ?(?:pi|sqrt)\b| ?[°%] ?[0-9]| (?:square |cube )?root (?:of )?{_OPERAND}| ?(?:\.{{2,}}|…) ?[0-9]",
    re.IGNORECASE,
)
_SPOKEN_BEFORE = re.compile(
    rf"(?:(?:[0-9][ A-Za-z%°$]{{0,24}}|\b(?:[xyznmk]|pi)) {_OPERATION}|[0-9][ -]{_AT_ONCE_BESIDE}|"
    rf"\b{_NUMBER_WORD} (?:and|point)|\b(?:half|quarter) past|"
    r"\b(?:twice|thrice|double|triple|half of|sqrt|log|ln|sin|cos|tan|pi|root)|"
    r"(?:%|\b(?:percent|per cent|thirds?|quarters?|fourths?|fifths?|tenths?|root|factorial)) of)[ *_($]*$",
    re.IGNORECASE,
)
_SPOKEN_SIGN = re.compile(r"(?:^|[^A-Za-z])(?:minus|negative)[ *_($]*$", re.IGNORECASE)
_SCALED = re.compile(
    r"[ *]{0,3}(?:[- ]?(?:halves|thirds|fourths|fifths|sixths|sevenths|eighths|ninths|tenths|hundredths|thousandths)\b"
    r"|(?:squared|cubed)\b(?! *[A-Za-z])|(?:factorial|lakhs?|crores?|mil|bn|mn)\b|[kKMB](?![\w.'/^]))"
)
_CALCULATOR = re.compile(r"<<[^<>]{0,99}>>(?=[ $]{0,2}[-.0-9])")  # 48+24=<<48+24=72>>72, as GSM8K's own solutions write
_CLAUSE_END = re.compile(r"[;?]|!(?! *=)|[,.:](?= |$)| \([^()]*[A-Za-z=]|\b(?:since|because|as|so|which|that)\b")
_REMARK = re.compile(r" [(\[][^()\[\]]*[)\]]")
_REASON = re.compile(r"\b(?:since|because|as|where|given|check(?:ing)?)\b.*", re.IGNORECASE)
_LEADING_REASON = re.compile(r"[ *_$]*(?:since|because|given)\b[^,;:.]*$", re.IGNORECASE)
_CONCLUDES = re.compile(
    r"\b(?:so(?! far\b| on\b)|therefore|thus|hence|then|making|giving"
    r"|(?:(?:and|for) )?(?:(?:an?|the|in) )?total|(?:the )?(?:final )?answer)\b",
    re.IGNORECASE,
)
_TITLE = re.compile(r"\b(total|answer):", re.IGNORECASE)
# What joins the numbers of a calculation, such as that between two equals signs.
_JOINS = re.compile(
    rf"[-+*/÷^()@%]|(?<![a-z])x(?![a-z])|\b(?:{_OPERATION}|{_AT_ONCE_BESIDE}|of|per|at|each|with)\b", re.IGNORECASE
)


def extract_number(text: str) -> Fraction | None:
    """The value of a response's answer by this module's rule; None where it gives none, or none that can be read. Its
    thinking is left out (`thinking`).
    """
    text = said(text)
    place = text.rfind(_MARK)
    if place < 0:
        return _last(text)
    if found := _AT_ONCE.match(text, place + len(_MARK)):
        return Fraction(int(found[1]))
    start = place + len(_MARK)
    raw = text[start : start + LINE]
    line = raw.partition("\n")[0]
    if not line.strip():
        begin = max(text.rfind("\n", 0, place) + 1, place - LINE)
        _, closed, before = text[begin:place].rstrip("#").rpartition(_MARK)
        if closed:  # "#### 72 ####": a heading's closing mark
            return _first(before, cut=False)
    if _LABEL.fullmatch(line):
        following = _NEXT.match(text, start + len(line))
        number = following[1] if following else ""
        label = _LABEL.match(number)
        return as_number(number[label.end() :] if label else number)
    return _first(line, cut=len(line) == LINE)


def _first(line: str, *, cut: bool) -> Fraction | None:
    """The answer that a line after the mark gives. cut: the line goes on past its end."""
    line = plain(line)
    line = _CALCULATOR.sub("", line) if "<<" in line else line
    for found in NUMBER.finditer(line):
        sign = _sign(line, found.start(), marked=True)
        if sign == _WORD:
            continue
        if _REFUSES.search(line, 0, found.start()):
            return None
        end = _CLAUSE_END.search(line, found.end() - found[0].endswith("."))
        clause, rest = (line[: end.start()], line[end.start() :]) if end else (line, "")
        if NUMBER.search(rest) and _LEADING_REASON.match(line[: found.start()]):
            return _first(rest, cut=cut)
        if clause.find("=", found.start()) >= 0:
            number = _equation(clause, cut=cut and not rest)
        elif not found[0].endswith(".") and any(more.match(line, found.end()) for more in (_OPERATED, _LISTED)):
            return None
        else:
            number = _side(line, found, sign, cut=cut)
        return None if number is None or _contradicted(number, rest, cut=cut) else number
    return None


def _contradicted(number: Fraction, rest: str, *, cut: bool) -> bool:
    """Whether the clauses after an answer say another number: an equation, or what follows from it ("so it is 72"). A
    reason, a check and a remark in brackets are no such clauses.
    """
    rest = _TITLE.sub(r"\1", _REASON.sub("", _REMARK.sub(" ", rest)))
    if "=" not in rest and not _CONCLUDES.search(rest):
        return False
    place = 0
    while place < len(rest):
        end = _CLAUSE_END.search(rest, place + 1)
        clause = rest[place : end.start() if end else len(rest)]
        said = clause.lstrip(",;:.?! ")
        if (
            ("=" in said or _CONCLUDES.match(said))
            and NUMBER.search(said)
            and _first(said, cut=cut and not end) != number
        ):
            return True
        place += len(clause)
    return False


def _equation(clause: str, *, cut: bool) -> Fraction | None:
    """The last side of an equation that is one number, or the one before a calculation; None where another side is one
    number and another one, or where the clause ends without a side.
    """
    sides = [(side, list(NUMBER.finditer(side))) for side in reversed(clause.split("="))]
    if not sides[0][1]:
        return None
    for side, found in sides[1:-1]:  # "48/2 = 24 and 48 + 24 = 72" is two equations
        if any(not _JOINS.search(side, one.end(), other.start()) for one, other in itertools.pairwise(found)):
            return None
    value = None
    for place, (side, found) in enumerate(sides):
        if len(found) != 1 or _SPOKEN_BEFORE.search(side[: found[0].start()][-60:]):
            continue  # a name, or a calculation
        number = _side(side, found[0], _sign(side, found[0].start(), marked=True), cut=cut and place == 0)
        if any(character in "+*/÷^" for character in side[: found[0].start()].strip("* ")):
            return None
        if number is None or (value is not None and value != number):
            return None
        value = number
    return value


def _last(text: str) -> Fraction | None:
    """The last number of a text without a mark."""
    window = text[-REACH:]
    lines = window.split("\n")
    for place in range(len(lines) - 1, -1, -1):
        line = lines[place]
        if not (digit := _DIGIT.search(line[::-1])):
            continue
        at = len(line) - digit.start()
        begin = max(0, at - LINE // 2)
        cut = begin > 0 or (place == 0 and len(text) > REACH)
        piece = plain(line[begin : at + LINE // 2])
        for found in reversed(list(NUMBER.finditer(piece))):
            if cut and found.start() == 0:
                return None
            sign = _sign(piece, found.start(), marked=False)
            bare = piece[: found.start()].strip(" *_>")
            if sign == _WORD or (not bare and _MARKER.match(piece, found.start())):
                continue
            paired = _PAIRED.search(piece, max(0, found.start() - 24), found.start())
            if paired and (_UNIT_NEXT.match(piece, found.end()) or (paired[1] and not _NOUN.match(piece, found.end()))):
                return None
            return _side(piece, found, sign, cut=False)
        if cut:
            return None
    return None


def _side(line: str, found: re.Match[str], sign: int, *, cut: bool) -> Fraction | None:
    """The value of a number where nothing beside it makes it a part of something else."""
    if sign in (_NONE, _WORD) or (cut and found.end() == len(line)):
        return None
    number = read(line, found)
    if number is None or not _ends(line, number[1]):
        return None
    return number[0] if sign > 0 else -number[0]


_NONE, _WORD = 0, 2  # what `_sign` says of digits that are no number of their own, and of digits in a word


def _sign(line: str, start: int, *, marked: bool) -> int:
    """The sign of the number that begins at a place, 1 or -1; `_WORD` for digits in a word ("CO2", "cm^2"); `_NONE`
    where what comes before makes them a part of something else ("6*7", "12-15", "10:30").
    """
    head = line[:start]
    left = head.rstrip(_DRESS)
    gap, last = head[len(left) :], left[-1:]
    if ")(" in gap or "}{" in gap or "](" in gap:
        return _NONE
    if last and last in "+-":
        outer = left[:-1].rstrip(_DRESS)
        between, before = left[len(outer) : -1], outer[-1:]
        if before.isnumeric() or before in tuple("+-/^<%÷"):
            return _NONE
        # "x - 5" and "COVID-19" are no numbers below 0; "is -5" is.
        if before.isalpha() and ("*" in between or " " not in between or " " in gap):
            return _NONE
        bullet = not marked and not before and gap.startswith(" ")
        return -1 if last == "-" and not bullet else 1
    if not last:
        return 1
    if last.isnumeric():
        return _NONE
    if last.isalpha() or last == "%":
        if _SPOKEN_BEFORE.search(head[-60:]):
            return _NONE
        if _SPOKEN_SIGN.search(head[-60:]):
            return -1
        if _TIMES.search(left) or _COMMAND.search(left) or gap in ("*", " * ", "("):
            return _NONE
        if not gap or gap[0] == "_":
            return _WORD
        return _NONE if _ORDINAL.search(head[-40:]) else 1
    if last == "^":
        base = left[:-1].rstrip(" {}")
        return _WORD if base[-1:].isalpha() and not _VARIABLE.fullmatch(base[-2:].lstrip("0123456789")) else _NONE
    if last in ".,:" and not gap and left[-2:-1].isnumeric():
        return _NONE
    if last == ">":  # "<<48+24=72>>72", "<b>72" and a quotation, but no comparison
        return 1 if left.endswith(">>") or "<" in left[-40:] or left == ">" else _NONE
    if last in "/<÷√∛±∓≤≥≠\\" or (last == "=" and left[-2:-1] in tuple("<>!")) or (last == "#" and not gap):
        return _NONE
    return 1


def _ends(line: str, end: int) -> bool:
    """Whether the number that ends at a place is whole: no further digits, operators, variables or second unit."""
    tail = line[end:]
    first, second = tail[:1], tail[1:2]
    if not first:
        return True
    if first == "\\":
        return bool(re.match(r"\\\\(?! *[0-9])", tail))  # a line's end
    if first.isnumeric() or first in ":^" or (second.isnumeric() and first in ".,_'/"):
        return False
    if any(pattern.match(tail) for pattern in (_GLUED, _VARIABLE, _PAIR, _SCALED, _SPOKEN)):
        return False
    right = tail.lstrip(_DRESS)
    gap, after = tail[: len(tail) - len(right)], right[:1]
    if " (" in gap or " [" in gap:  # a remark
        return True
    if "(" in gap or not after:
        return not after
    if after.isnumeric() or after in "√π∞^÷+±‰‱≠≤≥≡" or (after == "\\" and not right.startswith("\\\\")):
        return False
    if after in "-/":
        following = right[1:].lstrip(" $(")
        return not (following[:1].isnumeric() or _VARIABLE.match(following)) or not following
    if after == ">":
        return not re.match("> ?[$-]?[0-9]", right)
    if after == "<":
        return bool(re.match(r"<(?:/?[A-Za-z]|[|])", right))
    return True
