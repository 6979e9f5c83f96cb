r"""GSM8K's numeric rule: the number that a response gives as its answer, read whole or not at all.

Where the text has a `####`, anywhere, the number after the last one is the answer, and nothing else can be: the rest of
its line is read. Where that line is empty, the answer is the next that is more than `\[` or `$$`, if it is a number.
Where it is a heading or a label ("Answer:"), it is that line too, if it is a number and at most its unit, or the last
one with a digit; else it is looked for below as in a text without a mark: there it is the last number of the last
`REACH` characters.

| after `####` | is | because |
| --- | --- | --- |
| `72`, `**72**`, `$72$`, `\boxed{72}`, `72.` | 72 | dress; `####72` and a closing `####` too |
| `Answer: 72`, `She has 72 apples`, `x = 72` | 72 | the only number; words and units are passed over |
| `In 5 days, she sells 72`, `The 3 friends ate 72`, `72 in 2 months` | 72 | the only one that no word sets aside |
| `3 friends ate 72`, `Tom has 5 and Ann 72`, `In 5 days at 3 dollars` | none | several such numbers, or none |
| `72 cm^2`, `72m`, `42 km/h`, `72 (that is 6*12)`, `72, since 48 + 24 = 72` | 72, 42 | what follows is no part of it |
| `5 + 3 = 8`, `6*7 = 42`, `8 = 5 + 3` | 8, 42, 8 | an equation: its side that is a number |
| `48/2 = 24, 48 + 24 = 72`, `48/2 = 24, so it is 72` | none | all equations and conclusions must agree |
| `72, since 3*24 = 72`, `72 (3*24 = 72)`, `72. Check: 72/3 = 24` | 72 | save reasons, checks, remarks |
| `7 (or 8)`, `7\text{ or }8`, `7. Or maybe 8`, `7. No, wait: 8` | none | a correction, or another candidate |
| `7 (8)`, `7. 8`, `7 - wait, 8`; `7 (7)`, `7 weeks (49 days)` | none; 7 | a number by itself is another candidate |
| `3 4`, `3, 4`, `5 or 6`, `12-15`, `12 to 15`, `10:30`, `12/25/2020` | none | two numbers |
| `6*7`, `5 + 3`, `2^5`, `5\pi`, `\sqrt{2}`, `2x`, `5k`, `< 5`, `5 ≠ 6` | none | an expression, not its value |
| `6 times 7`, `twice 6`, `half of 6`, `6 squared`, `5 eighths`, `6 over 7` | none | the same in words |
| `5 less 3`, `5 more than 3`, `5 pi`, `10 point 5`, `6 by 7`, `5 or six` | none | the same in words |
| `ten minus 7`, `7/two`, `7 - a`, `7% of 50`, `square of 7`, `⌊7.5⌋`, `|-7|`, `7 below zero` | none | the same |
| `minus 72`, `negative 72` | -72 | a sign in words |
| `1 hour 30 minutes`, `5 dollars and 30 cents`, `5'10`, `2 hours 30`, `5h30` | none | one quantity in two units |
| `72 dollars and 0 cents`, `1 hour and 12 minutes, which is 72 minutes`, `6 dozen = 72` | 72 | told twice |
| `1,00`, `7,2`, `4.2.0`, `1_000`, `1.000,50` | none | malformed |
| `Conclusion`, `Step 3`, `2. Add the two`, `2) Total`, and `48 + 24 = 72` below | 72 | a heading: the text below it |
| nothing, `none`, `not 72`, a number longer than the line that is read | none | no fallback |
| `72 is wrong`, `72? No.`, `72 (incorrect)`, `72`, and below it `Wait, that's wrong` | none | taken back |
| `72, not 71`, `Clips not sold: 72`, `72 answers were wrong` | 72 | another one, or a noun, is what is denied |

| the last number of a text without `####` | is | because |
| --- | --- | --- |
| `so 48 + 24 = 72.`, `in 2.5e3 s`, `= 42 km/h`, `72 cm^2` | 72, 2500, 42, 72 | the same grammar |
| `72 (48 in April and 24 in May)` | 72 | a remark with the parts |
| `3 and 4`, `3, 4`, `3 days or 72 hours`, `from 48 to 72` | 4, 4, 72, 72 | words or a comma part two numbers |
| `It is not 72`, `72. Wait, that's wrong`; `72, not 71` | none; 72 | as above |
| `71 or 72`, `71 clips to 72 clips` | none | two candidates |
| `12-15 apples`, `10:30`, `3 4`, `1 hour 30 minutes`, `2024-05-01`, `= 6*7`, `10-3`, `6 times 7` | none | as above |
| `it took 2 hours 30`, `that is 5 less 3`, `10 point 5`, `5 ≠ 6` | none | as above |
| digits in a word (`CO2`, `x_1`, `cm2`), a list's marker (`3. So she …`) | passed over | they are no numbers |
"""

from __future__ import annotations

import itertools
import re
from fractions import Fraction

from llm_bridge.verifiers import beside, clauses, denials, lines
from llm_bridge.verifiers.beside import NONE, WORD
from llm_bridge.verifiers.numerals import LINE, NUMBER, as_number, plain, read
from llm_bridge.verifiers.spoken import AT_ONCE_BESIDE, BEFORE, OPERATION, ROUNDED, SHUT
from llm_bridge.verifiers.thinking import said

REACH = 2_000  # the last characters in which a number without a mark is looked for

_MARK = "####"
# What nearly every response writes, at once: digits alone on their line.
_AT_ONCE = re.compile(r" ?\$?(-?[0-9]{1,18})\.?[ \r]*(?:\n|$)")
_DIGIT = re.compile("[0-9０-９¼-¾⅓-⅞]")
_MARKER = re.compile(r"[0-9]{1,2}[.)]\*{0,2} +[A-Z*\"]")
# Possessive, as every repetition that could be split in two ways: else a long word is tried at each of its letters.
_UNITS = r"(?:[ ]?[%°$])?(?:[ ]?[A-Za-z]++){0,3}"
_OPERATED = re.compile(rf"{_UNITS}[ *_)\]}}]{{0,6}}[-+*/÷][ ({{$*]{{0,6}}[0-9]")
# Another candidate behind a number, in dress ("7\text{ or }8", "\boxed{7} or **8**") or in a remark ("7 (or 8)").
_DRESSED = r"(?:[ ]?[%°$])?(?:[ *_{}$]{0,4}[A-Za-z]++){0,3}"
_MAYBE = rf"(?:(?:and/)?or|alternatively|maybe|perhaps|possibly|otherwise|else|versus|vs\.?)\b{SHUT}"
_LISTED = re.compile(
    rf"{_DRESSED}{SHUT}(?:(?:[,;|]|: |&|(?<![a-z0-9])(?:and|to|through)\b|(?<![a-z0-9]){_MAYBE}){SHUT}"
    rf"(?:and\b{SHUT}|{_MAYBE}){{0,2}}(?:(?!check|total)[A-Za-z]++:)?"
    rf"|[(\[]{SHUT}{_MAYBE}:?{SHUT}(?:[^()\[\]0-9=]{{0,30}}?))[ $*+({{\[-]{{0,6}}[0-9\\√]",
    re.IGNORECASE,
)
_OPERATES = re.compile(r"\s*(?:[×÷^]|\\(?:times|cdot|div|pm)\b)[^=]*$")  # a line that goes on with a calculation
_REMARK = re.compile(r"([0-9][ *_)}$%°]{0,6}(?:[a-z]++ ?){0,3})\(([^()=]*)\)", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.!?;] ")
_CALCULATOR = re.compile(r"<<[^<>]{0,99}>>(?=[ $]{0,2}[-.0-9])")  # 48+24=<<48+24=72>>72, as GSM8K's own solutions write
_TITLE = re.compile(r"\b(total|answer):", re.IGNORECASE)
# What joins the numbers of a calculation, such as that between two equals signs.
_JOINS = re.compile(
    rf"[-+*/÷^()@%]|(?<![a-z])x(?![a-z])|\b(?:{OPERATION}|{AT_ONCE_BESIDE}|of|per|at|each|with)\b", re.IGNORECASE
)


def extract_number(text: str) -> Fraction | None:
    """The value of a response's answer by this module's rule; None where it gives none, or none that can be read. Its
    thinking is left out (`thinking`).
    """
    text = said(text)
    place = text.rfind(_MARK)
    if place < 0:
        return _last(text)
    if (found := _AT_ONCE.match(text, place + len(_MARK))) and not denials.below(text, found.end()):
        return Fraction(int(found[1]))
    start = place + len(_MARK)
    line = text[start : start + LINE].partition("\n")[0]
    if not line.strip() and (before := lines.closed(text, place)) is not None:
        return _first(before, cut=False)
    end = start + len(line)
    if lines.is_heading(line, text, end):
        return None if denials.before(f"{plain(line)}:") else _below(text, end, labelled=bool(line.strip()))
    if len(line) < LINE and (taken_back := denials.below(text, end)):
        line = f"{line}. {taken_back}"
    return _first(line, cut=len(line) == LINE)


def _below(text: str, end: int, *, labelled: bool) -> Fraction | None:
    """The answer below a mark's line, which ends at a place and has none. labelled: it is not empty, so that the number
    of what follows is looked for as in a text without a mark.
    """
    below = lines.below(text, end, labelled=labelled)
    if (number := as_number(below.number)) is not None:
        return number
    number = _first(below.sentence, cut=len(below.sentence) == LINE)
    return _last(lines.before_question(text, end)) if number is None and labelled else number


def _first(line: str, *, cut: bool) -> Fraction | None:
    """The answer that a line after the mark gives. cut: the line goes on past its end."""
    line = beside.once(plain(line))
    line, cut = line[:LINE], cut or len(line) > LINE  # spaces beside its digits may have made it longer
    line = clauses.unified(_CALCULATOR.sub("", line) if "<<" in line else line)
    for found in NUMBER.finditer(line):
        sign = beside.sign(line, found.start(), marked=True)
        if sign == WORD:
            continue
        if denials.before(line[: found.start()]):
            return None
        if (anew := beside.restated(line, found.end())) is not None:
            return _first(line[anew:], cut=cut)
        end = clauses.END.search(line, found.end() - found[0].endswith("."))
        clause, rest = (line[: end.start()], line[end.start() :]) if end else (line, "")
        *_, last = NUMBER.finditer(clause, found.start())
        if denials.behind(_tail(line, found)) or denials.behind(_tail(line, last)):
            return None
        if (further := clauses.skip(line, found.start(), len(clause))) is not None:
            return _first(line[further:], cut=cut)
        if clause.find("=", found.start()) >= 0:
            chosen, number = last, _equation(clause, cut=cut and not rest)
        else:
            chosen = clauses.answer(clause, found.start(), rest)
            if chosen is None or denials.before(line[: chosen.start()]) or _listed(line, found, chosen):
                return None
            number = _side(line, chosen, beside.sign(line, chosen.start(), marked=True), cut=cut)
        if number is None or clauses.rivalled(_tail(line, chosen), number) or _contradicted(number, rest, cut=cut):
            return None
        return number
    return None


def _tail(line: str, number: re.Match[str]) -> str:
    """What stands behind a number, with the period that may be its last character."""
    return line[number.end() - number[0].endswith(".") :]


def _listed(line: str, *numbers: re.Match[str]) -> bool:
    """Whether one of the numbers is a term of a calculation or one of several candidates ("5 or 6")."""
    return any(
        more.match(line, number.end())
        for number in numbers
        if not number[0].endswith(".")
        for more in (_OPERATED, _LISTED)
    )


def _contradicted(number: Fraction, rest: str, *, cut: bool) -> bool:
    """Whether the clauses after an answer say another number: an equation, what follows from it ("so it is 72") or a
    correction. A reason, a check and a remark in brackets are no such clauses.
    """
    rest = _TITLE.sub(r"\1", clauses.said(rest))
    if correction := clauses.CORRECTS.search(rest):
        return _first(rest[correction.end() :], cut=cut) != number
    if "=" not in rest and not clauses.CONCLUDES.search(rest):
        return False
    place = 0
    while place < len(rest):
        end = clauses.END.search(rest, place + 1)
        clause = rest[place : end.start() if end else len(rest)]
        said = clause.lstrip(",;:.?! ")
        if (
            ("=" in said or clauses.CONCLUDES.match(said))
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
        if len(found) != 1 or BEFORE.search(side[: found[0].start()][-60:]):
            continue  # a name, or a calculation
        number = _side(side, found[0], beside.sign(side, found[0].start(), marked=True), cut=cut and place == 0)
        if any(character in "+*/÷^" for character in side[: found[0].start()].strip("* ")):
            return None
        if number is None or (value is not None and value != number):
            return None
        value = number
    return value


def _last(text: str) -> Fraction | None:
    """The last number of a text without a mark."""
    window = text[-REACH:]
    rows = window.split("\n")
    for place in range(len(rows) - 1, -1, -1):
        line = rows[place]
        if not (digit := _DIGIT.search(line[::-1])):
            continue
        if _OPERATES.match(line):
            return None
        at = len(line) - digit.start()
        begin = max(0, at - LINE // 2)
        cut = begin > 0 or (place == 0 and len(text) > REACH)
        piece = _REMARK.sub(_without_parts, beside.once(plain(line[begin : at + LINE // 2])))
        for found in reversed(list(NUMBER.finditer(piece))):
            if cut and found.start() == 0:
                return None
            sign = beside.sign(piece, found.start(), marked=False)
            bare = piece[: found.start()].strip(" *_>")
            if sign == WORD or (not bare and _MARKER.match(piece, found.start())):
                continue
            before, behind = piece[: found.start()], "\n".join((_tail(piece, found), *rows[place + 1 :]))[:LINE]
            if found.start() and denials.contrasts(before) and NUMBER.search(before):
                continue
            if denials.before(_SENTENCE_END.split(before)[-1]) or denials.behind(behind):
                return None
            if beside.paired(piece, found.start(), found.end()) or beside.either(piece, found.start(), found.end()):
                return None
            return _side(piece, found, sign, cut=False)
        if cut:
            return None
    return None


def _without_parts(found: re.Match[str]) -> str:
    """A number without the remark behind it where that holds several, its parts ("72 (48 in April, 24 in May)")."""
    return found[0] if len(NUMBER.findall(found[2])) < 2 else found[1]


def _side(line: str, found: re.Match[str], sign: int, *, cut: bool) -> Fraction | None:
    """The value of a number where nothing beside it makes it a part of something else."""
    if sign in (NONE, WORD) or (cut and found.end() == len(line)):
        return None
    number = read(line, found)
    if number is None or not beside.ends(line, number[1]):
        return None
    if number[0].denominator != 1 and ROUNDED.match(line, number[1]):
        return None
    return number[0] if sign > 0 else -number[0]
