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

from llm_bridge.verifiers.braces import arguments, closing
from llm_bridge.verifiers.characters import as_latex
from llm_bridge.verifiers.leads import ends, lists, minus_in_words, mixed_in_words, unset
from llm_bridge.verifiers.lists import elements
from llm_bridge.verifiers.notations import inward, notations, scales, spaces, thousands
from llm_bridge.verifiers.number_words import number_in_words
from llm_bridge.verifiers.units import (
    CANONICAL,
    DOLLAR,
    apart,
    canonical,
    known,
    measures,
    unit_commands,
    without_money,
)
from llm_bridge.verifiers.values import ASSIGNED


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
def plain(answer: str, lists: bool = False) -> Plain:
    """The plain form of an answer, LaTeX without its box.

    Args:
        lists: whether what may be one number or two is two: 60,120 and 2 and 1/2.
    """
    text = answer
    for step in _STEPS:
        if not lists or step not in _JOINING:
            text = step(text)
    text, unit = _without_unit(text)
    return Plain(_both_signs(_increasing(_letters(ends(text)))), unit)


# ------------------------------------------------------------------------------------------------------- fonts, braces

_DRESS = (
    r"(?:\\(?:text)?colou?r(?:box)?\s*(?:\[[^\[\]]*\]\s*)?\{[^{}]*\}|\\(?:left|right)\.|\^\{\s*\}"
    r"|\\text\{(?:\s|~|\\[ ,;:!])*+[.,;]?(?:\s|~|\\[ ,;:!])*+\}"
    r"|\\[hv]?phantom\s*(?:\{[^{}]*\})?|\\(?:begin|end)\{(?:align|aligned|equation|gather|gathered|split)\*?\}"
    r"|\\(?:tag|label)\*?\s*\{[^{}]*\}"
    r"|\\(?:boxed|fbox|num|mathbf|bold|mathit|mathtt|mathnormal|mathcal|mathord|mathpunct|mathbin|boldsymbol|bm|pmb"
    r"|underline|underbrace|ensuremath|displaystyle|textstyle|scriptstyle|limits|bf|it|sf|rm|tiny|small|normalsize"
    r"|large|Large|LARGE|huge|Huge|left|right|middle"
    r"|[bB]igg?[lrm]?|nonumber|strut|checkmark|blacksquare|qed)(?![a-zA-Z])|\\[()\[\]](?=\s*$)"
    r"|(?:(?<=^)|(?<=^ ))\\[(\[])"
)
_DROPPED = re.compile(rf"{_DRESS}(?:\s*{_DRESS})*")
_PUNCTUATION = re.compile(r"\\text\{(?:\s|~|\\[ ,;:!])*+([,;](?:\s|~|\\[ ,;:!])*+)\}")
_BORDERS = re.compile(r"(?<=[\d.])\s*\$[\s$]*+(?=[\d.])")  # $5$3 is no 53
_TEXTS = re.compile(
    r"\\(?:text(?:bf|it|rm|sf|tt|normal|up|md)?|si|unit|emph|mbox|hbox|mathrm|mathsf|operatorname\*?)\s*(?=\{)"
)
_SET_IN_WORDS = re.compile(
    r"\\(?:text|mathrm|mbox|operatorname\*?)\s*\{\s*(sin|cos|tan|cot|csc)\s*\}(?=\s*[({\d^\\a-z])"
)
_SIGN = re.compile(r"(?:\\text)?\{\s*([-+:])\s*\}|\\text\{\s*(\^\\circ|:)\s*\}")
_SPLIT = re.compile(r"(?<![\w^}])\{(\d+)\}(?=\d)")
_DOUBLED = re.compile(r"\\\\(?=[a-zA-Z])")
_ROW = re.compile(r"\\\\\s*\[\s*-?[\d.]+\s*(?:pt|em|ex|mm|cm)\s*\]")  # a row's end with its distance
_ROMAN = re.compile(r"\{\s*\\(?:rm|bf|it|sf|tt)\s+([^{}]*)\}")
_REALS = re.compile(
    r"\s*(?:\\(?:text|mbox|textbf|mathrm)\s*\{)?\s*(?:the set of )?all real numbers\s*\}?[.\s]*", re.IGNORECASE
)
_QUOTES = re.compile(r"\\text\{\s*(?:``?|[\"\u201c])([^{}\"'`\u201c\u201d]*)(?:''?|[\"\u201d])\s*\}")
_SYNONYMS = (
    ("\\varnothing", "\\emptyset"),
    ("\\lbrace", "\\{"),
    ("\\rbrace", "\\}"),
    ("\\bigcup", "\\cup"),
    ("\\colon", ":"),
    ("\\left<", "\\langle "),
    ("\\right>", "\\rangle "),
)

# As computers write it: sqrt(2), pi and x**2; ** is also how Markdown sets bold type.
_BARE = re.compile(
    r"(?<![a-zA-Z\\])(?:sqrt(?=\s*[({\d])|[dt]?frac(?=\s*\{)|pi(?![a-zA-Z])|infty(?![a-zA-Z])|(?:sin|cos|tan|cot|csc)(?=\s*[({\d^\\]))"
)
_LETTERED = re.compile(r"sqrt|frac|pi|infty|choose|sin|cos|tan|cot|csc")
_POWER = re.compile(r"(?<=[\w)}\]])\*\*(?=[-\w({\\])")
_CHOOSE = re.compile(r"\{\s*([^{}]*?)\s*\\choose(?![a-zA-Z])\s*([^{}]*?)\s*\}")
_LONE_LETTER = re.compile(r"\\text\{\s*([a-zA-Z])\s*\}")
_IN_WORDS = re.compile(r"(-?)\s*(?:\\text\s*\{)?\s*([A-Za-z][A-Za-z -]{2,60}?)\s*(\\%)?\.?\s*\}?\s*(\\%)?")
_NOTHING = re.compile(r"(?:there (?:is|are) )?(?:no (?:real )?solutions?|(?:the )?(?:empty|null) set)")
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
    text = _TEXTS.sub(lambda _: "\\text", _SET_IN_WORDS.sub(r"\\\1 ", text.replace("\\$", DOLLAR)))
    text = _QUOTES.sub(r"\\text{\1}", text)
    text = _BORDERS.sub("  ", _DROPPED.sub(_seen, _rows(text)))
    text = _SPLIT.sub(r"\1", _SIGN.sub(lambda match: match[1] or match[2], text))
    return re.sub(r"\\(?:[dtc]|nice|s)frac(?![a-zA-Z])", lambda _: "\\frac", text)


def _seen(match: re.Match[str]) -> str:
    """What is seen of dress that goes: the comma of \\text{, }, and between two numbers a space."""
    comma = _PUNCTUATION.search(match[0])
    if comma and match.string[: match.start()].strip():
        return comma[1]
    return apart(match)


_ROWS = re.compile(r"\\begin\{(align|aligned|cases|gather|gathered|split)(\*?)\}(.*)\\end\{\1\2\}", re.DOTALL)
_ALL = re.compile("(.*)", re.DOTALL)
_NAMED_ROW = re.compile(r"\s*&?\s*((?:\\text\{[^{}]*\}|\\[a-z]+|[a-zA-Z]+)(?:_\{?\w+\}?)?)\s*&?\s*=")


def _rows(text: str) -> str:
    """Lines that name different things, x &= 3 \\\\ y &= 4, as a list of them, in an alignment or without one; of cases
    also those that all give one thing its values.
    """
    if "\\\\" not in text:
        return text
    match = _ROWS.search(text) if "\\begin" in text else _ALL.fullmatch(text)
    if match is None:
        return text
    rows = [row for row in match[match.lastindex or 0].split("\\\\") if row.strip()]
    names = [found[1] for row in rows if (found := _NAMED_ROW.match(row))]
    alternatives = match.lastindex == 3 and match[1] == "cases" and len(set(names)) == 1
    if len(rows) < 2 or len(names) < len(rows) or (len(set(names)) < len(names) and not alternatives):
        return text
    return (
        text[: match.start()]
        + ", ".join(row.replace("&", " ").strip().rstrip(",") for row in rows)
        + text[match.end() :]
    )


def _letters(text: str) -> str:
    """\\text{E} is E, and so is the option \\text{(E)} or (E); \\text{four} is 4, and \\text{empty set} \\emptyset."""
    if match := _OPTION.fullmatch(text):
        return match[1] or match[2]
    if match := _IN_WORDS.fullmatch(text):
        words = match[2].lower()
        if not match[1] and _NOTHING.fullmatch(words):
            return "\\emptyset"
        if (number := number_in_words(words)) is not None:
            return (match[1] + number).removeprefix("--") + (match[3] or match[4] or "")
    return _LONE_LETTER.sub(r"\1", text)


def _both_signs(text: str) -> str:
    """(1 \\pm x)/2 is the list of two that it stands for, with a name before it (x = \\pm 3) and within a list too."""
    if "\\" not in text or not _SIGNS.search(text):
        return text
    found = elements(text)
    if "," not in text and (found is None or found[0] != "\\{\\}"):
        found = ("", [text])
    if found is None or found[0] not in ("", "\\{\\}"):
        return text  # a point
    if any("=" in part and (part.count("=") > 1 or not ASSIGNED.match(part)) for part in found[1]):
        return text
    both = [_with_sign(part, upper).strip() for part in found[1] for upper in (True, False)[: 1 + _signed(part)]]
    return ", ".join(both) if not found[0] else "\\{" + ", ".join(both) + "\\}"


def _signed(part: str) -> bool:
    return _SIGNS.search(part) is not None


def _with_sign(part: str, upper: bool) -> str:
    return _SIGNS.sub(lambda match: "+" if (match[1] == "pm") == upper else "-", part)


def _increasing(text: str) -> str:
    """2 > x > 1 is 1 < x < 2."""
    parts = _GREATER.split(text) if ">" in text or "\\g" in text else [text]
    if len(parts) < 5 or re.search(r"<|\\l(?:e|eq|t)(?![a-zA-Z])|=", text):
        return text
    return "".join(_LESS.get(part, part) for part in reversed(parts))


_SIGNS = re.compile(r"\\(pm|mp)(?![a-zA-Z])\s*")
_GREATER = re.compile(r"(>|\\(?:geq?|gt)(?![a-zA-Z]))")
_LESS = {">": "<", "\\gt": "<", "\\ge": "\\le ", "\\geq": "\\le "}


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
_RATE = re.compile(
    r"(?<=[\d})])\s*\\frac\s*\{\s*\\text\s*\{([^{}]*)\}\s*(\^\s*\d)?\s*\}\s*\{\s*\\text\s*\{([^{}]*)\}\s*(\^\s*\d)?\s*\}\s*$"
)
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
    text = ends(text)
    if ordinal := _ORDINAL.fullmatch(text):
        return ordinal[1], ""
    clock = _CLOCK.search(text)
    if clock and text[: clock.start()].strip()[-1:].isdigit():
        return text[: clock.start()].strip() + "\\text{" + clock[1].lower() + "m}", ""
    text, unit = without_money(text)
    if not _ANGLED.search(text) and _DEGREE.search(text):
        rest = _DEGREE.sub(apart, text)
        unit = "degree" if len(rest) < len(text) else unit
        text = re.sub(r"\s*(?<=\d)\s*\\text\{\s*[CF]\s*\}\s*$|(?<=\d)\s*[CF]$", "", rest)
    if "\\text" in text:
        text = _RATE.sub(lambda match: f"\\text{{ {match[1]}{match[2] or ''}/{match[3]}{match[4] or ''}}}", text)
    for _ in range(4):  # as in \text{ square }\text{units}
        text = ends(text)
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
    """Whether two answers are measured in two known units that differ: 10 cm is not 10 inches nor 10 square cm, 3 p.m.
    not 3 a.m. A unit that only one of them has, or that is in no table, does not matter, and "units" alone may be of
    any power.
    """
    a, b = one.unit.partition("^"), other.unit.partition("^")
    if a[0] not in CANONICAL or b[0] not in CANONICAL:
        return False
    powers = {unit[2] or ("" if unit[0] == "unit" else "1") for unit in (a, b)} - {""}
    if len(powers) > 1:
        return True
    return a[0] != b[0] and "unit" not in (a[0], b[0])


_STEPS: tuple[Callable[[str], str], ...] = (
    as_latex, _fonts, unset, arguments, inward, thousands, spaces, notations, scales, _signs, _angles, unit_commands,
    minus_in_words, ends, mixed_in_words, lists,
)  # fmt: skip
_JOINING = (thousands, mixed_in_words)
