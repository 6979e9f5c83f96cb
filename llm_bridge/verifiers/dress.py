"""The plain form of a MATH answer: the same mathematics without the dress that people and models put around it.

    plain(r"\\text{Answer: }\\mathbf{1\\,000}\\text{ cm}.")  is  Plain(text="1000", unit="cm")

`plain` is a chain of small steps, each a function of text to text, in the order of `_STEPS`: characters of Unicode
become LaTeX; fonts, colours and sizes go; fractions and roots get their braces; thousands lose their separators,
however they are spelt; `3 1/2` is written 3\\frac{1}{2}, and 1.5e3 or 5 million in digits; what leads to an answer
("Answer:", "=") and what ends it (a period) go, and so do money, degrees and units. Ground truths and answers take the
same steps.

Money goes before the number and behind it (\\$5, \\text{USD }5, 5\\text{ Rs}; its table is in `units`). Degrees in
the argument of a sine and the like are written out in radians: \\cos 60^\\circ is \\cos(\\frac{60\\pi}{180}); any
others are a unit.

A unit is only what is marked as text (`5\\text{ m}`) or a whole English word or abbreviation of two letters or more
after a number (`5 cm`): a single letter is a variable, so that `4t` is not 4, save \\Omega. The unit is kept beside
the text; see `units_clash`.

No step gives an answer another value; where one could (`(100,101)` is a point, not 100101), it leaves the text alone.
Pure Python, no evaluation, and no expression that backtracks: an answer has at most `boxed.LONGEST` characters.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable
from decimal import Decimal

from llm_bridge.verifiers.characters import as_latex
from llm_bridge.verifiers.units import CANONICAL, DOLLAR, canonical, known, measures, unit_commands, without_money


@dataclasses.dataclass(frozen=True)
class Plain:
    """An answer without its dress.

    Attributes:
        text: LaTeX.
        unit: what was measured in, in lower case ("cm^2", "degree", "dollar"); "" where nothing was said.
    """

    text: str
    unit: str = ""


@functools.lru_cache(maxsize=4096)
def plain(answer: str, thousands: bool = True) -> Plain:
    """The plain form of an answer, LaTeX without its box.

    Args:
        thousands: whether 60,120 is a number with a separator, and not two numbers.
    """
    text = answer
    for step in _STEPS:
        if thousands or step is not _thousands:
            text = step(text)
    text, unit = _without_unit(text)
    return Plain(_both_signs(_increasing(_letters(_ends(text)))), unit)


# ------------------------------------------------------------------------------------------------------- fonts, braces

_DROPPED = re.compile(
    r"\\(?:text)?colou?r(?:box)?\s*(?:\[[^\[\]]*\]\s*)?\{[^{}]*\}|\\(?:left|right)\.|\\text\{\s*[.,;]?\s*\}|\^\{\s*\}"
    r"|\\[hv]?phantom\s*(?:\{[^{}]*\})?|\\(?:begin|end)\{(?:align|aligned|equation|gather|gathered|split)\*?\}|\\(?:tag|label)\*?\s*\{[^{}]*\}"
    r"|\\(?:boxed|fbox|num|mathbf|bold|mathit|mathtt|mathnormal|mathcal|mathord|mathpunct|mathbin|boldsymbol|bm|pmb"
    r"|underline|underbrace|ensuremath|displaystyle|textstyle|scriptstyle|limits|bf|it|sf|rm|tiny|small|normalsize|large|Large|LARGE|huge|Huge|left|right|middle"
    r"|[bB]igg?[lrm]?|nonumber|strut|checkmark|blacksquare|qed)(?![a-zA-Z])|\\[()\[\]](?=\s*$)"
    r"|(?:(?<=^)|(?<=^ ))\\[(\[]"
)
_TEXTS = re.compile(
    r"\\(?:text(?:bf|it|rm|sf|tt|normal|up|md)?|si|unit|emph|mbox|hbox|mathrm|mathsf|operatorname\*?)\s*(?=\{)"
)
_SET_IN_WORDS = re.compile(
    r"\\(?:text|mathrm|mbox|operatorname\*?)\s*\{\s*(sin|cos|tan|cot|csc)\s*\}(?=\s*[({\d^\\a-z])"
)
_SIGN = re.compile(r"(?:\\text)?\{\s*([-+])\s*\}|\\text\{\s*(\^\\circ|:)\s*\}")
_SPLIT = re.compile(r"(?<![\w^}])\{(\d+)\}(?=\d)")
_DOUBLED = re.compile(r"\\\\(?=[a-zA-Z])")
_ROW = re.compile(r"\\\\\s*\[\s*-?[\d.]+\s*(?:pt|em|ex|mm|cm)\s*\]")  # a row's end with its distance
_ROMAN = re.compile(r"\{\s*\\(?:rm|bf|it|sf|tt)\s+([^{}]*)\}")
_REALS = re.compile(
    r"\s*(?:\\(?:text|mbox|textbf|mathrm)\s*\{)?\s*(?:the set of )?all real numbers\s*\}?[.\s]*", re.IGNORECASE
)
_SYNONYMS = (("\\varnothing", "\\emptyset"), ("\\lbrace", "\\{"), ("\\rbrace", "\\}"))
# As computers write it: sqrt(2), pi and x**2; ** is also how Markdown sets bold type.
_BARE = re.compile(
    r"(?<![a-zA-Z\\])(?:sqrt(?=\s*[({\d])|[dt]?frac(?=\s*\{)|pi(?![a-zA-Z])|infty(?![a-zA-Z])|(?:sin|cos|tan|cot|csc)(?=\s*[({\d^\\]))"
)
_LETTERED = re.compile(r"sqrt|frac|pi|infty|choose|sin|cos|tan|cot|csc")
_POWER = re.compile(r"(?<=[\w)}\]])\*\*(?=[-\w({\\])")
_CHOOSE = re.compile(r"\{\s*([^{}]*?)\s*\\choose(?![a-zA-Z])\s*([^{}]*?)\s*\}")
_LONE_LETTER = re.compile(r"\\text\{\s*([a-zA-Z])\s*\}")
_CHOSEN = re.compile(  # an option, with what it says behind it
    r"(?:\\text)?\{?\s*(?:(?:[oO]ption|[cC]hoice)\s*)?(?:\(\s*([A-Z])\s*\)|(?<=[ne] )([A-Z])\b|([A-Z])[:.)](?=[ }]))"
    r"(?:(?:\s*[:.}]|\s)(?!.*\(\s*[A-Z]\s*\)|.*(?:or|and)\b|\s*[-+*/^=_,]).*)?"
)
_OPTION = re.compile(r"(?:\\text)?\{?\s*\(\s*([A-Z])\s*\)\s*\}?|\\text\{\s*([A-Z])\s*\)?\s*\}")


def _fonts(text: str) -> str:
    """Commands of fonts, colours, sizes and boxes go, their braces stay; all that set words become \\text."""
    if _REALS.fullmatch(text):
        return "\\mathbb{R}"
    if "\\begin" not in text:
        text = _DOUBLED.sub(lambda _: "\\", text)  # as a model writes that quotes its LaTeX; else a row's end
    if "\\" in text:
        for other, usual in _SYNONYMS:
            text = text.replace(other, usual)
        text = _ROMAN.sub(r"\\text{\1}", _ROW.sub(lambda _: "\\\\", text))
    if _LETTERED.search(text):
        text = _CHOOSE.sub(r"\\binom{\1}{\2}", _BARE.sub(lambda match: "\\" + match[0], text))
    if "**" in text:
        text = _POWER.sub("^", text).replace("**", "")
    text = _DROPPED.sub("", text.replace("\\$", DOLLAR))
    text = _TEXTS.sub(lambda _: "\\text", _SET_IN_WORDS.sub(r"\\\1 ", text))
    text = _SPLIT.sub(r"\1", _SIGN.sub(lambda match: match[1] or match[2], text))
    return re.sub(r"\\[dtc]frac(?![a-zA-Z])", lambda _: "\\frac", text)


def _letters(text: str) -> str:
    """\\text{E} is E, and so is the option \\text{(E)} or (E)."""
    match = _OPTION.fullmatch(text)
    return (match[1] or match[2]) if match else _LONE_LETTER.sub(r"\1", text)


def _both_signs(text: str) -> str:
    """(1 \\pm x)/2 is the list of two that it stands for; one within a list is math-verify's."""
    if "\\" not in text or "," in text or "=" in text or not _SIGNS.search(text):
        return text
    upper, lower = ({"pm": "+", "mp": "-"}, {"pm": "-", "mp": "+"})
    return ", ".join(_SIGNS.sub(lambda match, sign=sign: sign[match[1]], text).strip() for sign in (upper, lower))


def _increasing(text: str) -> str:
    """2 > x > 1 is 1 < x < 2."""
    parts = _GREATER.split(text) if ">" in text or "\\g" in text else [text]
    if len(parts) < 5 or re.search(r"<|\\l(?:e|eq|t)(?![a-zA-Z])|=", text):
        return text
    return "".join(_LESS.get(part, part) for part in reversed(parts))


_SIGNS = re.compile(r"\\(pm|mp)(?![a-zA-Z])\s*")
_GREATER = re.compile(r"(>|\\(?:geq?|gt)(?![a-zA-Z]))")
_LESS = {">": "<", "\\gt": "<", "\\ge": "\\le ", "\\geq": "\\le "}


def _arguments(text: str) -> str:
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


_DEGREE_OF_ROOT = re.compile(r"\s*\[[^\[\]]*\]")


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
    match = re.compile(r"\\[a-zA-Z]+|\\?.|").match(text, place)
    assert match is not None
    return match[0], match.end()


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


# ------------------------------------------------------------------------------------------------------------- numbers

# What may stand between thousands, beside a comma; the apostrophe is Switzerland's.
_APART = r"(?:\{(?:,|\\,)\}|(?:\\!)?,?\\!\s*,?|,\s*\\!\s*|\\,|\\ |\\;|\\:|\\thinspace(?![a-zA-Z])|~| |')"
_THOUSANDS = re.compile(rf"(?<![\d.,/_])(\d{{1,3}})((?:{_APART}\s*\d{{3}})+)(?![\d/])(?!\s*,?\s*\\!)")
_COMMAS = re.compile(r"(?<![\d.,_])[1-9]\d{0,2}(?:,\d{3})+(?!\d|,\d)")
_MIXED = re.compile(r"(?<![\d./^_])(\d+)\s+(\d+)\s*/\s*(\d+)(?![\d/.])")
_SPACES = re.compile(r"(?<!\\)\\[,;:>! ]|~|\\q?quad(?![a-zA-Z])|\\[hv]space\*?\{[^{}]*\}|\\thinspace(?![a-zA-Z])")


def _thousands(text: str) -> str:
    """1\\,000, 1{,}000, 1 000 and 1,000 are 1000; (100,101) is a point and 1,2,345 a list, but (1,000) is 1000."""
    text = _THOUSANDS.sub(lambda match: re.sub(r"\D", "", match[0]), text)
    done, last, depth, seen = "", 0, 0, 0
    for match in _COMMAS.finditer(text):
        between = text[seen : match.start()]
        depth += sum(map(between.count, "([")) - sum(map(between.count, ")]"))
        depth += between.count("\\{") - between.count("\\}")
        seen = match.end()
        if depth <= 0 or any(group.startswith("0") for group in match[0].split(",")):
            done, last = done + text[last : match.start()] + match[0].replace(",", ""), match.end()
    return done + text[last:]


def _spaces(text: str) -> str:
    """LaTeX's spaces are spaces or nothing; mixed numbers have a \\frac."""
    text = _SPACES.sub(lambda match: "" if match[0] == "\\!" else " ", text)
    return _MIXED.sub(r"\1\\frac{\2}{\3}", text).strip()


_SCALED = re.compile(
    r"(?<![\d.,])(\d{1,15}(?:\.\d{1,15})?)\s*(\\text\s*\{\s*)?(thousand|million|billion|trillion)s?\b\s*(\})?"
)
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_COMPUTED = re.compile(r"(^|=)(\s*-?\s*(?:\d+\.?\d*|\.\d+))[eE]([-+]?\d{1,4})\s*\.?$")


def _scales(text: str) -> str:
    """5 million is 5000000, and 1.5e3, as computers write it, 1.5\\times 10^{3}. The latter must be all of the answer,
    or of its side of an equation: in x+3e-2, e may be Euler's number.
    """
    if "illion" in text or "housand" in text:
        text = _SCALED.sub(_scaled, text)
    return _COMPUTED.sub(r"\1\2\\times 10^{\3}", text) if "e" in text or "E" in text else text


def _scaled(match: re.Match[str]) -> str:
    value = Decimal(match[1]) * _SCALES[match[3]]
    begun, ended = match[2] is not None, match[4] is not None
    unit = "\\text{ " if begun and not ended else "" if begun == ended else "}"
    return format(value.to_integral() if value == value.to_integral() else value, "f") + (unit or " " * (not ended))


# ---------------------------------------------------------------------------------------------------- what leads, ends

_AND = re.compile(r"\s*,?\s*(?:\\text\s*\{\s*,?\s*(?:and|or)\s*\}|(?<![a-zA-Z\\])(?:and|or)(?![a-zA-Z])|\\lor\b)\s*")
_LEAD = re.compile(
    r"(?:=|\\(?:approx|simeq|sim|cong|equiv|implies|Rightarrow|to|therefore|rightarrow)(?![a-zA-Z])|&"
    r"|\\text\{\s*(?:the\s+)?(?:final\s+)?(?:answer|ans|approximately|about|exactly|so|thus|hence|is)"
    r"(?:\s+is)?\s*[:=]?\s*\}\s*[:=]?|(?:the\s+)?(?:final\s+)?(?:answer|ans)(?:\s+is\s*:?|\s*[:=])"
    r"|\\text\{\s*[a-z][a-z ]{1,60}(?::| is| are| equals)\s*\}:?(?=\s*[-\d\\]))\s*",
    re.IGNORECASE,
)
_ALL_TEXT = re.compile(
    r"\\text\{\s*(?:(?:the\s+)?(?:final\s+)?answer(?:\s+is\s*:?|\s*[:=])\s*)?([-$]?\s*(?:\\frac\{\d+\}\{\d+\}|\d)[^{}\\]*)\}",
    re.IGNORECASE,
)


_LAST_ROW = re.compile(r"(?:\\\\\s*|(?<=\})\{\s*\})+$")  # a line's end behind the last line, and empty braces


def _ends(text: str) -> str:
    """Without what leads to an answer, without the punctuation that ends it, without braces around all of it."""
    before = None
    while text != before:
        before = text
        text = text.strip().strip("$").strip()
        lead = _LEAD.match(text)
        if lead:
            text = text[lead.end() :]
        if not text.endswith("...") and not text.endswith("\\"):  # an ellipsis is a part of the answer
            text = text.removesuffix("\\").rstrip(".,;: ")
        if text.endswith(("\\", "}")):
            text = _LAST_ROW.sub("", text)
        if text.startswith("{") and closing(text, 0) == len(text) - 1:
            text = text[1:-1]
        if match := _ALL_TEXT.fullmatch(text):
            text = match[1]
    return text


def _lists(text: str) -> str:
    """ "1 and 2" and 1\\text{ or }2 are "1, 2"."""
    return _AND.sub(", ", text) if "and" in text or "or" in text else text


_FOLLOWS = re.compile(r"\\(?:implies|Rightarrow|Longrightarrow|therefore)(?![a-zA-Z])")
_RELATION = re.compile(r"(?:\s|&)*(?:=|\\(?:in|equiv)(?![a-zA-Z]))(?:\s|&)*")
_MODULO = re.compile(r"\s*(?:\\pmod\s*(?:\{[^{}]*\}|\d+)|\(?\s*\\b?mod\s*(?:\{[^{}]*\}|\d+)\s*\)?)")
_REMAINDER = re.compile(r"(-?\d+)\s*\\pmod\s*(?:\{[^{}]*\}|\d+)")  # 12 \bmod 5 is 2
_NAME = re.compile(
    r"(?:\\\||\\text\{[^{}]*\}|\\[a-zA-Z#]+|_\{?\\?\w+\}?|\((?:[a-zA-Z]|\\[a-z]+|-?\d)\)|[a-zA-Z'(),|\[\]{} ])+"
)


def unnamed(gold: Plain, answer: Plain) -> Plain:
    """The answer without the name that it gives to itself, as in (x,y) = (3,4) or f(2) = 5, where the ground truth has
    none, without what it follows from, and without what an option says, as in (E) 42. A chain of equations, or an
    equation with a calculation on its left, is left alone.
    """
    chosen = _CHOSEN.fullmatch(answer.text) if re.fullmatch("[A-Z]", gold.text) else None
    if chosen:
        return dataclasses.replace(answer, text=chosen[1] or chosen[2] or chosen[3])
    if _RELATION.search(gold.text):
        return answer
    if "mod" not in gold.text and (remainder := _REMAINDER.fullmatch(answer.text)):
        return dataclasses.replace(answer, text=remainder[1])
    answer = dataclasses.replace(answer, text=_FOLLOWS.split(answer.text)[-1].strip())
    sides = _RELATION.split(answer.text)
    named = len(sides) == 2 and _NAME.fullmatch(sides[0].strip()) and not re.search(r"\\[lg]e|\\ne", sides[0])
    if not named:
        return answer
    # x \equiv 7 \pmod{10}: the remainder is what is asked for where the ground truth is a number.
    value = _MODULO.sub("", sides[1]) if "\\equiv" in answer.text else sides[1]
    return dataclasses.replace(answer, text=value.strip())


# --------------------------------------------------------------------------------------------------------------- units

_DEGREE = re.compile(r"\^\s*\{?\s*\\circ\s*\}?|(?<=\d)\s*\^\s*\{?\s*o\s*\}?(?!\s*\w)|\\degrees?(?![a-zA-Z])")
_ANGLED = re.compile(r"\\(?:arc)?(?:sin|cos|tan|cot|sec|csc)")
_SINE = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)(?![a-zA-Z])\s*(?:\^\s*(?:\{[^{}]*\}|\d)\s*)?")
_TERM = re.compile(r"[-+]?(?:(?!\\(?:cdot|times|sin|cos|tan|cot|sec|csc)(?![a-zA-Z]))[^-+=,;&<>()/])*")
_DEGREES = re.compile(
    r"(\\frac\{[^{}]*\}\{[^{}]*\}|\([^()]*\)|\{[^{}]*\}|(?<![\d.])\d+(?:\.\d+)?\s*+(?:[a-zA-Z](?![a-zA-Z])|\\[a-zA-Z]+)?"
    r"|[a-zA-Z]|\\[a-zA-Z]+)\s*(?:\^\s*(?:\\circ(?![a-zA-Z])|\{\s*(?:\\circ|o)\s*\}|o(?!\w))"
    r"|\\degrees?(?![a-zA-Z])|\\text\s*\{\s*deg(?:rees?)?\s*\}|degrees?\b)"
)
_PERCENT = re.compile(
    r"\s*(?:\\text\{\s*(?:\\?%|percent|pct|percentage)\s*\}|\\%|%|(?<=[\d\s}])(?:percentage|percent|pct)\b)"
)
_UNIT = re.compile(r"(?<=[\d\s})\]a-z%/])\s*\\text\s*\{([^{}]*)\}\s*(?:\^\s*\{?\s*(-?\d)\s*\}?)?\s*\.?\s*$")
_PER = re.compile(r"\s*(?:/|\\cdot|\\times|\^\{?\\text|\\frac\{\\text\{([^{}]*)\}\}\{\\text\{([^{}]*)\}\})\s*$")
_RATE = re.compile(r"(?<=[\d})])\s*\\frac\s*\{\s*\\text\s*\{([^{}]*)\}\s*\}\s*\{\s*\\text\s*\{([^{}]*)\}\s*\}\s*$")
_PLAIN_UNIT = re.compile(r"(?<=[\d})])\s*([a-zA-Z][a-zA-Z. /]*[a-zA-Z])\.?\s*(?:\^\s*\{?\s*(\d)\s*\}?)?\s*$")
_ORDINAL = re.compile(r"(-?\d+)\s*(?:\^\s*)?[{\s]*(?:\\text\s*\{\s*)?(?:st|nd|rd|th)[}\s]*")
_CLOCK = re.compile(r"\s*(?:\\text\s*\{\s*)?([ap])\.?\s?m\.?\s*\}?\s*$", re.IGNORECASE)


def _signs(text: str) -> str:
    """Per cent as \\%."""
    return _PERCENT.sub(r"\\%", text)


def _angles(text: str) -> str:
    """\\cos 60^\\circ is \\cos(\\frac{60\\pi}{180}): to math-verify's grammar all arguments are radians."""
    done, place = "", 0
    while match := _SINE.search(text, place):
        pair = {"(": "()", "{": "{}", "[": "[]"}.get(text[match.end() : match.end() + 1])
        ended = closing(text, match.end(), pair) if pair else None
        term = _TERM.match(text, match.end() if ended is None else ended + 1)
        end = term.end() if term else len(text)
        done += text[place : match.end()] + _DEGREES.sub(r"(\\frac{\1\\pi}{180})", text[match.end() : end])
        place = end
    return done + text[place:]


def _without_unit(text: str) -> tuple[str, str]:
    """The answer without its unit, and the unit; 3rd is 3. The time of day (9 a.m.) stays whole."""
    text = _ends(text)
    if ordinal := _ORDINAL.fullmatch(text):
        return ordinal[1], ""
    clock = _CLOCK.search(text)
    if clock and text[: clock.start()].strip()[-1:].isdigit():
        return text[: clock.start()].strip() + "\\text{" + clock[1].lower() + "m}", ""
    text, unit = without_money(text)
    if not _ANGLED.search(text) and _DEGREE.search(text):
        rest = _DEGREE.sub("", text)
        unit = "degree" if len(rest) < len(text) else unit
        text = re.sub(r"\s*(?<=\d)\s*\\text\{\s*[CF]\s*\}\s*$|(?<=\d)\s*[CF]$", "", rest)
    if "\\text" in text:
        text = _RATE.sub(r"\\text{ \1/\2}", text)
    for _ in range(4):  # as in \text{ square }\text{units}
        text = _ends(text)
        match = _UNIT.search(text)
        if match and measures(text[: match.start()], match[1]):
            unit = unit if unit else canonical(match[1], match[2]) + unit
            text = _PER.sub("", text[: match.start()])
            continue
        match = _PLAIN_UNIT.search(text)
        if match and known(match[1]) and measures(text[: match.start()], match[1]):
            unit = unit if unit else canonical(match[1], match[2])
            text = text[: match.start()]
            continue
        break
    return text, unit


def units_clash(one: Plain, other: Plain) -> bool:
    """Whether two answers are measured in two known units that differ: 10 cm is not 10 inches, 3 p.m. not 3 a.m.
    A unit that only one of them has, or that is in no table, does not matter.
    """
    a, b = one.unit.partition("^"), other.unit.partition("^")
    if a[0] not in CANONICAL or b[0] not in CANONICAL:
        return False
    if a[2] and b[2] and a[2] != b[2]:
        return True  # square units are not cubic units
    return a[0] != b[0] and "unit" not in (a[0], b[0])


_STEPS: tuple[Callable[[str], str], ...] = (
    as_latex, _fonts, _arguments, _thousands, _spaces, _scales, _signs, _angles, unit_commands, _ends, _lists,
)  # fmt: skip
