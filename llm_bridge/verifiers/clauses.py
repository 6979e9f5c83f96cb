r"""The clauses of the line with an answer: where one ends, which of its numbers is meant, and what contradicts it.

    skip("In 5 days, she sells 72 clips", 3, 10) == 9        answer("The 3 friends ate 64 ounces", 4, "")[0] == "64"

A number is aside, and no candidate, where a word before it says so: "in 5 days", "the 3 friends", "on day 5".
"""

from __future__ import annotations

import re
from fractions import Fraction

from llm_bridge.verifiers import beside
from llm_bridge.verifiers.numerals import NUMBER, read

END = re.compile(r"[;?]|!(?! *=)|[,.:](?= |$)| \([^()]*[A-Za-z=]|\b(?:since|because|as|so|which|that)\b")
_END_WITHOUT_EQUATION = re.compile(r"\b(?:when|while|where|who|whose)\b")
_REMARK = re.compile(r" [(\[][^()\[\]]*[)\]]")
CONCLUDES = re.compile(
    r"\b(?:so(?! far\b| on\b)|therefore|thus|hence|then|making|giving|meaning|which (?:rounds|means|makes|gives|leaves)"
    r"|(?:(?:and|for) )?(?:(?:an?|the|in) )?total|(?:the )?(?:final )?answer)\b",
    re.IGNORECASE,
)
# "72. No, wait: 8", "7. Or maybe 8"
_HESITATES = (
    r"(?:(?:or|and/or|alternatively|maybe|perhaps|possibly|otherwise|else|actually|wait|correction|sorry|no|nope|hm+|oops"
    r"|rather|i mean|i meant|instead|on second thoughts?|make that|was|it|is|it's|could|should|might|may|also|be|but)"
    r"\b[ ,:.*$…-]{1,6})"
)
CORRECTS = re.compile(rf"[.,;:!?] +{_HESITATES}{{1,8}}(?=[0-9.])", re.IGNORECASE)
# Where a number by itself is another candidate: in brackets right behind the answer ("72 (73)"), as a sentence ("72.
# 73"), behind a listed one ("5 (A), 6 (B)"), and after a dash and a word that takes back ("72 - wait, 71").
_DRESS = r"[*_$({\\]{0,4}"
_RIVAL = re.compile(
    rf"(?:^[ *_)}}$%°]{{0,6}}(?:(?!since\b|because\b|as\b)[a-z]++ ?){{0,3}}[(\[]"
    r"(?:(?:if|when|or|alternatively|otherwise)\b[^()\[\]0-9=]{1,40}:)?"
    rf"|(?:[;!?…]|\.(?= )|(?<=\)),) *| -+ *(?={_HESITATES})) *{_HESITATES}{{0,8}}{_DRESS}-?{_DRESS}(?=[0-9.])",
    re.IGNORECASE,
)
_BY_ITSELF = re.compile(
    r"[ *_)}\]$%°]{0,6}(?P<unit>[a-z]++)?[ *_)}\]]{0,6}(?:\([^()0-9]{0,20}\))?(?:$|[,;!?…)\]]|\.(?![0-9]))",
    re.IGNORECASE,
)
_UNIT = re.compile(r"[ *_)}$%°]{0,6}(?P<unit>[a-z]++)?", re.IGNORECASE)
_REASON = re.compile(
    r"\band (?:since|because|as|given)\b[^,;]*,|\b(?:since|because|where|given|check(?:ing)?(?!-)"
    r"|as(?= ?[0-9$({\\]| (?-i:[A-Z])| (?:he|she|it|they|we|you|i|there|this|that|these|those|each|every|all|both|his"
    r"|her|their|its|our|one|half|twice|the)\b))\b.*",
    re.IGNORECASE,
)
# No reasons: "4 times as many as Randy", "the same as", "expressed as", "as a percentage".
_COMPARES = re.compile(
    r"\b(?P<first>as|times|gives?) (?P<many>(?:many|much|few|little|long|old|tall|far|fast|big|large|heavy|often|well"
    r"|high|wide|the|each)\b[^,;:.0-9]{0,60}?) as\b"
    r"|\bas (?P<what>(?:many|much|few|little|often)\b|an? (?:percent|fraction|decimal|ratio|result))"
    r"|\b(?P<same>same|expressed|written|known|such) as\b",
    re.IGNORECASE,
)
_EQUALS = re.compile(r" (?:equals|is equal to) ")

_LINK = r"[ *_$]*(?:(?:so|and|then|now|thus|hence|therefore|finally|next|first),? )?"
_LEADING_REASON = re.compile(rf"{_LINK}(?:since|because|given|as)\b[^,;:.]*$", re.IGNORECASE)
_PLACE = (
    r"(?:in|on|after|before|within|during|over|by|at|with|without|from|for|per|every|each|until|than|under|above|below"
    r"|past|across|through|between|into|out of|of)"
)
_CONDITION = r"(?:if|when|once|while|although|having|using)"
_LEADING_CONDITION = re.compile(rf"{_LINK}{_CONDITION}\b[^,;:.]*$", re.IGNORECASE)
_LEADING_PLACE = re.compile(rf"{_LINK}(?:{_PLACE}|{_CONDITION}|to|(?-i:[A-Z])[a-z]{{2,}}ing)\b[^,;:.]*$", re.IGNORECASE)
_MAIN_CLAUSE = re.compile(
    r", (?! *(?:since|because|as|which|or|i\.?e\.|that is|and|not|about)\b)|\bthen\b", re.IGNORECASE
)
_INDIRECT = re.compile(r"\b(?:how (?:many|much|long|far|old)|figure out|find|determine|calculate)\b", re.IGNORECASE)
_ALSO = r"(?:(?:the|these|those|his|her|their|its|my|your|our|all|other|first|last|next|about|only|exactly|remaining) )"
_ASIDE = re.compile(
    rf"(?:\b(?:(?!of\b){_PLACE} {_ALSO}{{0,3}}|(?:the|these|those|his|her|their|its|my|your|our) {_ALSO}{{0,2}})"
    rf"|[0-9] (?:out )?of {_ALSO}{{0,3}}|[0-9](?: [a-z]++){{1,2}} of {_ALSO}{{1,3}}"
    rf"|\b(?:each|all|both) of {_ALSO}{{0,2}}"
    r"|\b(?:day|week|month|year|hour|page|age|aged) "
    rf"|\b{_PLACE} [a-z]++(?<=ing) {_ALSO}{{0,2}}|^[^a-z]*(?:[a-z]++(?<=ing)|to [a-z]++) {_ALSO}{{0,2}}"
    rf"|[0-9][^0-9]*? (?:[a-z]++(?<=ing)|to [a-z]++(?: [a-z]++){{0,3}}) {_ALSO}{{0,2}})[$*({{]{{0,4}}$",
    re.IGNORECASE,
)
# "to groom 5 dogs and 3 cats": both are aside, or neither is.
_AS_WELL, _NOUN = (
    re.compile(r"(?: [a-z]++){0,3},? (?:and|or) [$*]{0,3}", re.IGNORECASE),
    re.compile(r"(?: [A-Za-z]+)? *"),
)


def unified(line: str) -> str:
    """A line where `as` is left for reasons alone ("like many like" for "as many as"), and "equals" is a sign."""
    if " as " in line:
        line = _COMPARES.sub(_compared, line)
    return _EQUALS.sub(" = ", line) if " equal" in line and "=" not in line else line


def _compared(found: re.Match[str]) -> str:
    """A comparison with "like" for "as"."""
    if found["many"]:
        return f"{'like' if found['first'].lower() == 'as' else found['first']} {found['many']} like"
    return f"{found['same']} like" if found["same"] else f"like {found['what']}"


def rivalled(tail: str, number: Fraction) -> bool:
    """Whether another number stands by itself behind an answer whose number ends where the tail begins: in brackets, as
    a sentence, or taken for a better one. In another unit it is none ("5 weeks (35 days)", "0.5 (50%)").
    """
    own = _UNIT.match(tail)
    for place in _RIVAL.finditer(tail):
        found = NUMBER.match(tail, place.end())
        value = read(tail, found) if found else None
        behind = _BY_ITSELF.match(tail, value[1] - tail.startswith(".", value[1] - 1)) if value else None
        if (
            value
            and behind
            and abs(number) not in (value[0], 100 * value[0], value[0] / 100)
            and (not behind["unit"] or (own and behind["unit"] == own["unit"]))
        ):
            return True
    return False


def said(rest: str) -> str:
    """What the clauses after an answer say, without reasons, checks and remarks in brackets."""
    return _REASON.sub("", _REMARK.sub(" ", rest))


def skip(line: str, start: int, end: int) -> int | None:
    """The place of the clause with the answer, where the one with the first number, which begins at `start` and ends at
    `end`, only leads to it: a reason ("Since 2 years have 24 months, …"), a place ("In 5 days, …"), a label ("Clips in
    2 months: …"); None where it does not.
    """
    before = line[:start]
    place = end
    main = _MAIN_CLAUSE.search(line, start)
    if _LEADING_REASON.match(before):
        place = main.start() if main and line.startswith(",", end) else end
    elif not line.startswith(":", end) or _candidates(line[:end], _numbers(line[:end], start)):
        if main is None or not _LEADING_PLACE.match(before) or "=" in line[start : main.start()]:
            return None
        place = main.start()
    return place if NUMBER.search(line, place) else None


def answer(clause: str, start: int, rest: str) -> re.Match[str] | None:
    """The number that a clause without an equation gives, whose first one begins at a place; None where it gives
    several, or none but those that are aside.
    """
    end = _END_WITHOUT_EQUATION.search(clause, start)
    clause = clause[: end.start()] if end else clause
    numbers = _numbers(clause, start)
    candidates = _candidates(clause, numbers)
    if len(candidates) == 1:
        return candidates[0]
    values = {found[0].rstrip(".") for found in numbers}
    if len(values) != 1:
        return None
    if not candidates:  # it is the answer where nothing else is
        others = [found[0].rstrip(".") for found in NUMBER.finditer(_REMARK.sub(" ", rest))]
        if not set(others[-1:] if "=" in rest else others) <= values:
            return None
    return numbers[0]


def _numbers(clause: str, start: int) -> list[re.Match[str]]:
    """The numbers of a clause from a place on, without digits in words and in remarks behind the first one."""
    numbers = [
        found
        for found in NUMBER.finditer(clause, start)
        if beside.sign(clause, found.start(), marked=True) != beside.WORD
    ]
    remarks = [remark.span() for remark in _REMARK.finditer(clause, numbers[0].end())] if numbers else []
    return [found for found in numbers if not any(begin < found.start() < end for begin, end in remarks)]


def _candidates(clause: str, numbers: list[re.Match[str]]) -> list[re.Match[str]]:
    """Those numbers of a clause that are not aside, by the words before them."""
    candidates: list[re.Match[str]] = []
    last, aside = 0, False
    for found in numbers:
        before = clause[: found.start()]
        listed = _AS_WELL.fullmatch(clause, last, found.start()) and _NOUN.fullmatch(clause, found.end())
        if not (aside and listed):
            aside = bool(
                _ASIDE.search(before[-60:])
                or _LEADING_CONDITION.match(before)
                or _INDIRECT.search(before)
                or re.match("-[A-Za-z]", clause[found.end() :])
            )
        last = found.end()
        if not aside:
            candidates.append(found)
    return candidates
