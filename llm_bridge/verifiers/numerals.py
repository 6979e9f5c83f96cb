r"""Numbers as people and models write them, read whole or not at all: text -> exact `Fraction`.

    as_number("1,000") == 1000        as_number(r"\frac{1}{2}") == Fraction(1, 2)        as_number("12-15") is None

| part | forms |
| --- | --- |
| sign | `-`, U+2212, the hyphens and dashes U+2010 to U+2015, `+`; before or after the currency (`-$5`, `$-5`) |
| currency | `$`, `\$`, €, £, ¥, ₹, ₩, ₽, ₺, ₱, ₪, ₦, ฿, ₫ before or after the number; not compared |
| digits | ASCII and full-width digits; leading zeros are allowed |
| thousands | groups of three, by `,` `{,}` `,\!` `'`, or by space, `\,` `\ ` U+00A0, U+2007, U+2009, U+202F |
| decimals | `42.5`, `.5`, `42.`, but no `Rs.5` and `...5`; the point is `.` only (`7,2` and `1,00` are no numbers) |
| exponent | `2.5e3`, `2.5 x 10^3` (also ×, `*`, `\times`, `\cdot`), `10^{3}`; from -400 to 400 |
| fraction | `1/2`, `\frac{1}{2}`, `\frac12`, `½` |
| mixed, and proper | `1 1/2`, `1 and 1/2`, `1\frac{1}{2}`, `1½` |
| mixed, in words | `1 and a half`, `7 and three quarters`, `2 hours and a half`: halves to thousandths |
| scale | `5 million`, `2 1/2 million`, `5 hundred thousand`: hundred, thousand, million, billion, trillion; `5万` |
| per cent | a unit: `50%` is 50 |
| dress | `**72**`, `$72$`, `\boxed{72}`, `(72)`, quotes, backticks; a closing `.`, `,`, `;` or `!` |

No `eval`; the expressions run on `LINE` characters at most, and a number of more than `LONGEST` characters is none.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction

from llm_bridge.verifiers.unspaced import spaced

LINE = 400  # characters of one line that are looked at
LONGEST = 300  # characters of one number
_LARGEST_EXPONENT = 400

_SCALES = {"hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_VULGAR = {"½": "1/2", "⅓": "1/3", "⅔": "2/3", "¼": "1/4", "¾": "3/4", "⅕": "1/5", "⅖": "2/5", "⅗": "3/5", "⅘": "4/5"}
_VULGAR |= {"⅙": "1/6", "⅚": "5/6", "⅛": "1/8", "⅜": "3/8", "⅝": "5/8", "⅞": "7/8"}
_LETTERS = str.maketrans(
    dict.fromkeys("−‐‑‒–—―﹣－➖", "-")
    | dict.fromkeys("\t\xa0\u2007\u2009\u202f", " ")
    | dict.fromkeys("€£¥₹₩₽₺₱₪₦฿₫", "$")
    | dict.fromkeys("×⋅·∗⨯✕✖＊ꞏ・", "*")
    | dict.fromkeys("≈≃≅~∼～＝", "=")
    # Full-width digits and signs, as in Chinese text. A bracket stands apart from the word before it.
    | dict(zip("０１２３４５６７８９，；：．％＄＋／｜＆！？＜＞", "0123456789,;:.%$+/|&!?<>", strict=True))
    | {"（": " (", "）": ") "}
    | {"。": ". ", "、": ", ", "∶": ":", "∕": "/", "➗": "÷", "➕": "+", "⋯": "…", "′": "'", "″": '"'}
    | {character: f"\\frac{{{part}}}{{{of}}}" for character, (part, _, of) in _VULGAR.items()}
    | {"⁄": "/", "’": "'", "“": '"', "”": '"'}
    | dict.fromkeys("→⇒⟹➔⟶➜➡⇨↦", " ")
    | dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff\u200e\u200f\u202a\u202b\u202c\u2066\u2067\u2068\u2069")
)


def _fraction(found: re.Match[str]) -> str:
    """A fraction with a slash, apart from digits and braces beside it: 1\\frac12 is 1 1/2, -\\frac12 is -1/2."""
    before, after = found.string[: found.start()][-1:], found.string[found.end() :][:1]
    return " " * (before.isdigit() or before == "}") + f"{found[1]}/{found[2]}" + " " * after.isdigit()


# LaTeX in the plain notation that the expressions below read. In this order.
_LATEX: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = tuple(
    (re.compile(pattern), plain)
    for pattern, plain in (
        (r"\\\$", "$"),
        (r"\\%", "%"),
        (r"\{,\}|,\\!", ","),
        (r"\\[,;: ]|\\[()\[\]]|\\q?quad\b", " "),
        (r"\\!|\\(?:left|right|displaystyle|bf)\b", ""),
        (r"\\[dtc]?frac *\{ *(-?[0-9.]{1,99}) *\} *\{ *([0-9.]{1,99}) *\}", _fraction),
        (r"\\[dtc]?frac *([0-9]) *([0-9])", _fraction),
        (r"\\(?:times|cdot)(?![A-Za-z])", "*"),
        (r"\\(?:approx|simeq|sim)(?![A-Za-z])", "="),
        (r"\^ *\{? *\\circ *\}?|\\degree", "°"),
        (r"\\(?:boxed|fbox|text[a-z]{0,6}|math[a-z]{2,4}) *(?=\{)", ""),
        (r"\\(?:boxed|fbox) *(?=[0-9$-])", " "),
    )
)

_RAISED = re.compile("[⁰¹²³⁴-⁹⁺⁻ⁿ]+")
_RAISED_DIGITS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "0123456789+-n")
_ARROW = re.compile(r"[-=]{1,3}>")
_COUNTS = {"a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8}
_COUNTS |= {"nine": 9}
_PARTS = {"half": 2, "halve": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7}
_PARTS |= {"eighth": 8, "ninth": 9, "tenth": 10, "hundredth": 100, "thousandth": 1000}
# Units that are counted in smaller units, or are such.
UNIT = (
    r"(?:years?|months?|weeks?|days?|hours?|hrs?|h|minutes?|mins?|m|seconds?|secs?|s|dollars?|bucks|euros?|pounds?|"
    r"lbs?|ounces?|oz|cents?|pence|quarters?|dimes?|nickels?|feet|foot|ft|inch|inches|in|yards?|yds?|miles?|km|cm|mm|"
    r"meters?|metres?|kg|g|grams?|kilograms?|liters?|litres?|ml|gallons?|quarts?|pints?|cups?)"
)
# A part in words, as in 7 "and three quarters": its count, and what it is a part of.
_COUNT, PART = rf"(?:{'|'.join(_COUNTS)})", rf"(?:{'|'.join(_PARTS)})"
AND_A_PART = rf"[ -](?:and|&|plus)[ -](?:({_COUNT})[ -]|(?=half|quarter))({PART})s?\b"
_MIXED_IN_WORDS = re.compile(
    rf"\b([0-9]{{1,15}})(?:( (?!and\b|plus\b|{'|'.join(_SCALES)})[a-z]++)?{AND_A_PART}| ({_COUNT})[ -]({PART})s?\b)"
    rf"(?! of (?!an?\b|one\b))(?(2)(?![- ]{UNIT}\b))",  # "7 and a half of them", "3 feet and a half inch"
    re.IGNORECASE,
)

_WHOLE = (
    r"(?:[1-9][0-9]{0,2}(?:,[0-9]{3})+|[1-9][0-9]{0,2}(?:[ ][0-9]{3})+|[1-9][0-9]{0,2}(?:'[0-9]{3})+|[0-9]+)(?![0-9])"
)
NUMBER = re.compile(
    rf"""
    (?=[0-9.])  # for speed: most characters begin no number
    (?:(?P<mixed>[0-9]{{1,15}}(?:[ ]|[ ]and[ ])[ ]?)(?P<part>[0-9]{{1,15}})[ ]?/[ ]?(?P<of>[0-9]{{1,15}})(?![0-9])
    | (?P<decimal>{_WHOLE}(?:\.[0-9]*)?|(?<![A-Za-z.…)\]!?])(?<!\.[ ])\.[0-9]+)  # "has...72" is 72
      (?: [eE](?P<exponent>[+-]?[0-9]+)
        | [ ]?[*x][ ]?10\^\{{?(?P<tens>[+-]?[0-9]+)\}}?
        | (?P<power>(?<=10)\^\{{?[+-]?[0-9]+\}}?)
        | [ ]?/[ ]?(?P<under>[0-9]+)(?!\.?[0-9])
      )?)
    """,
    re.VERBOSE,
)
_SCALE = re.compile(r"[- ]?(hundred|thousand|million|billion|trillion)s?\b", re.IGNORECASE)
_AROUND = re.compile(r"[\s*_`\"'(\[{]*(?:=\s*)?(?P<sign>[$\s*(\[{]*(?:[+-]\s*)?[$\s]*)")
_BEHIND = re.compile(r"[\s*_`\"')\]}$%°.,;!]*")


def plain(line: str) -> str:
    """A line in plain ASCII notation: one minus, one currency, one kind of space, no LaTeX of numbers."""
    if not line.isascii():
        line = _RAISED.sub(lambda found: "^" + found[0].translate(_RAISED_DIGITS), line.translate(_LETTERS))
        line = spaced(line)
    elif "\t" in line or "~" in line:
        line = line.replace("\t", " ").replace("~", "=")
    if ">" in line:
        line = _ARROW.sub(" ", line)
    if "\\" in line or "{,}" in line:
        for pattern, replacement in _LATEX:
            line = pattern.sub(replacement, line)
    return _MIXED_IN_WORDS.sub(_mixed, line)


def _mixed(found: re.Match[str]) -> str:
    """A mixed number in words in digits, before its unit: 2 hours and a half is 2 1/2 hours."""
    count, part = found[3] or found[5] or "a", found[4] or found[6]
    return f"{found[1]} {_COUNTS[count.lower()]}/{_PARTS[part.lower()]}{found[2] or ''}"


def read(line: str, found: re.Match[str]) -> tuple[Fraction, int] | None:
    """The value, without its sign, of what `NUMBER` matched in a plain line, and the place where it ends, with its
    scale ("5 million"); None where it is malformed: too long, too large an exponent, a division by zero.
    """
    end = found.end()
    if end - found.start() > LONGEST:
        return None
    whole, exponent = found["decimal"], 0
    if found.lastgroup == "decimal" and whole.isdigit() and not _SCALE.match(line, end):
        return Fraction(int(whole)), end
    if whole is None:
        part, of = int(found["part"]), int(found["of"])
        if not part < of:  # "1 3/2" is no mixed number
            return None
        return _scaled(int(found["mixed"].split()[0]) + Fraction(part, of), line, end)
    before, _, after = whole.partition(".")
    grouped = before.replace(",", "").replace(" ", "").replace("'", "")
    power = found["exponent"] or found["tens"]
    if found["power"] is not None:  # "10^3", and not "110^3" or "5.10^3"
        if whole != "10":
            return None
        power, grouped = found["power"].strip("^{}"), "1"
    if power is not None:
        if len(power) > 5 or abs(int(power)) > _LARGEST_EXPONENT:
            return None
        exponent = int(power)
    value = Fraction(int(grouped + after or "0"))
    shift = exponent - len(after)
    if shift:
        value = value * 10**shift if shift > 0 else value / 10**-shift
    if found["under"] is not None:
        if " " in before or not int(found["under"]):  # "1 100/200" may be one and a half or 5.5
            return None
        value /= int(found["under"])
    return _scaled(value, line, end)


def _scaled(value: Fraction, line: str, end: int) -> tuple[Fraction, int]:
    """The value with the scales that stand behind it ("5 hundred thousand"), and the place where these end."""
    while scale := _SCALE.match(line, end):
        value, end = value * _SCALES[scale[1].lower()], scale.end()
    return value, end


def as_number(text: str) -> Fraction | None:
    """The exact value of a text that is one number with at most its sign, currency, per cent and dress ("1,000",
    "42.", "-$.5", "1/2"); None where it is anything else.
    """
    if len(text) > LINE:
        return None
    line = plain(text.strip())
    around = _AROUND.match(line)
    found = NUMBER.match(line, around.end()) if around else None
    number = read(line, found) if found else None
    if around is None or number is None or _BEHIND.fullmatch(line, number[1]) is None:
        return None
    return -number[0] if "-" in around["sign"] else number[0]
