r"""One notation for what MATH answers write in several: thousands, mixed numbers, scales, bases, unions, vectors.

    thousands(r"1\,000")  is  "1000"        notations(r"43_{(5)}")  is  "43_{5}"

Steps of `dress.plain`; none gives an answer another value.
"""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction

_OVERLINED = re.compile(r"\\(overline|bar|dot)\s*(\d)(?!\d)")
_DECIMAL_POWER = re.compile(r"\^\s*\{\s*(-?)(\d{0,9})\.(\d{1,9})\s*\}")
_MOD = re.compile(  # (mod 7) and mod 7 in words
    r"(\(?)\s*\\text\s*\{\s*(\(?)\s*mod(?:ulo)?\s*(\d{0,9})\s*\)?\s*\}\s*\{?(\d{0,9})\}?\s*\)?\s*$"
)
_BASE = r"(\d+|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|sixteen)"
_IN_BASE = re.compile(
    r"([0-9A-Z]+(?:\.[0-9A-Z]+)?)\)?(?:\s*_\s*\{?\s*(\w{1,9})\s*\}?)?\s*\(?\s*\\text\s*\{\s*\(?\s*(?:in\s+)?base[\s-]*"
    rf"(?:{_BASE}\s*\)?\s*\}}|\}}\s*{_BASE})\s*\)?\s*$"
)
_BASE_BRACKETED = re.compile(r"_\s*\{\s*\(\s*(\d+)\s*\)\s*\}")
_ANGLE_BRACKETS = re.compile(r"\\langle(?![a-zA-Z])([^<>]*,[^<>]*)\\rangle(?![a-zA-Z])")
_UNION = re.compile(r"(?<=[)\]}])\s*(?:\\text\s*\{\s*(?:U|union)\s*\}|U|union)\s*(?=[(\[\\])")
_REAL_NUMBERS = re.compile(r"\\(?:Bbb|mathbb)\s*\{?\s*R(?![a-zA-Z])\s*\}?|\\(?:R|reals|Reals)(?![a-zA-Z])")
_WITHOUT = re.compile(r"(\\mathbb\{R\}|[)\]])\s*(?:\\backslash(?![a-zA-Z])|-)\s*(?=\\\{)")


_RATIO = re.compile(r"\s*(\d+)\s*(?:\\text\s*\{)?\s*to\s*\}?\s*(\d+)\s*\}?\s*")
_DOTTED = re.compile(r"(?<=[.\d])\\dot\s*\{?\s*(\d)\s*\}?\s*(\d*)\s*\\dot\s*\{?\s*(\d)(?!\d)\s*\}?")
_GOES_ON = re.compile(r"(?<![\d.])(\d*)\.(\d{2,60})\s*(?:\.\.\.|\\[lc]?dots(?![a-zA-Z]))\s*$")
_MIXED_PI = re.compile(r"(?<![\w.}\]/^])(\d{1,9})\s*\\frac\s*\{(\d{1,9})\}\s*\{(\d{1,9})\}(?=\s*\\pi(?![a-zA-Z]))")


def notations(text: str) -> str:
    """One notation for what has several: bases, moduli, unions, vectors, ratios, periods of decimals, decimal
    exponents.
    """
    if "to" in text and (ratio := _RATIO.fullmatch(text)):
        return f"{ratio[1]}:{ratio[2]}"
    if "." in text:
        text = _GOES_ON.sub(_repeated, text)
    if "\\text" in text and "mod" in text:
        text = _MOD.sub(_modulus, text)
    if "base" in text:
        text = _IN_BASE.sub(_based, text)
    if "_" in text:
        text = _BASE_BRACKETED.sub(r"_{\1}", text)
    text = _UNION.sub(r" \\cup ", text) if "U" in text or "union" in text else text
    if "\\" in text:
        text = _MIXED_PI.sub(_improper, _DOTTED.sub(r"\\overline{\1\2\3}", text))
        text = _REAL_NUMBERS.sub(r"\\mathbb{R}", text)
        text = _ANGLE_BRACKETS.sub(r"(\1)", _WITHOUT.sub(r"\1 \\setminus ", _OVERLINED.sub(r"\\\1{\2}", text)))
    return _DECIMAL_POWER.sub(_power, text) if "^" in text else text


def _based(match: re.Match[str]) -> str:
    base = match[3] or match[4]
    return f"{match[1]}_{{{base}}}" if match[2] in (None, base) else match[0]


def _repeated(match: re.Match[str]) -> str:
    """0.363636... is 0.\\overline{36}, where two periods are written or more, and three digits or more of them."""
    digits = match[2]
    for before in range(len(digits) - 1):
        rest = digits[before:]
        for length in range(1, len(rest) // 2 + 1):
            period = rest[:length]
            if len(rest) >= 3 and (period * (len(rest) // length + 1)).startswith(rest):
                return f"{match[1]}.{digits[:before]}\\overline{{{period}}}"
    return match[0]


def _improper(match: re.Match[str]) -> str:
    """2\\frac{1}{4}\\pi is \\frac{9}{4}\\pi, and no product."""
    whole, above, below = int(match[1]), int(match[2]), int(match[3])
    return f"\\frac{{{whole * below + above}}}{{{below}}}" if 0 < above < below else match[0]


def _modulus(match: re.Match[str]) -> str:
    modulus = match[3] or match[4]
    if not modulus:
        return match[0]
    return f" \\pmod{{{modulus}}}" if match[1] or match[2] else f" \\bmod {modulus}"


def _power(match: re.Match[str]) -> str:
    """2^{0.5} is 2^{\\frac{1}{2}}, exactly."""
    value = Fraction(int((match[2] or "0") + match[3]), 10 ** len(match[3]))
    written = str(value.numerator) if value.denominator == 1 else f"\\frac{{{value.numerator}}}{{{value.denominator}}}"
    return f"^{{{match[1]}{written}}}"


# An interval with a bracket turned outward: on both sides or one, on the left, on the right.
_ENDS = r"[^\[\](),]+,[^\[\](),]+"
_OUTWARD = re.compile(rf"([\[\]])({_ENDS})([\[\]])|\]({_ENDS}\))|(\({_ENDS})\[")


def inward(text: str) -> str:
    """]2,3] is (2,3], as it is written where a bracket that is turned outward leaves an end out."""
    return _OUTWARD.sub(_inward, text) if "]" in text or "[" in text else text


def _inward(match: re.Match[str]) -> str:
    if match[2]:
        return ("(" if match[1] == "]" else "[") + match[2] + (")" if match[3] == "[" else "]")
    return "(" + match[4] if match[4] else match[5] + ")"


# ------------------------------------------------------------------------------------------------------------- numbers

# What may stand between thousands, beside a comma; the apostrophe is Switzerland's.
_APART = r"(?:\{(?:,|\\,)\}|(?:\\!)?,?\\!\s*,?|,\s*\\!\s*|\\,|\\ |\\;|\\:|\\thinspace(?![a-zA-Z])|~|')"
_THOUSANDS = re.compile(rf"(?<![\d.,/_])(\d{{1,3}})((?:(?: ?{_APART}\s*| )\d{{3}})+)(?![\d/])(?!\s*,?\s*\\!)")
_COMMAS = re.compile(r"(?<![\d.,_])[1-9]\d{0,2}(?:,\d{3})+(?!\d|,\d)")
_MIXED = re.compile(r"(?<![\d./^_])(\d+)\s+(\d+)\s*/\s*(\d+)(?![\d/.])")
_SPACES = re.compile(r"(?<!\\)\\[,;:>! ]|~|\\q?quad(?![a-zA-Z])|\\[hv]space\*?\{[^{}]*\}|\\thinspace(?![a-zA-Z])")


def thousands(text: str) -> str:
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


# A wide space, and what may stand beside it where it parts two answers.
_WIDE = re.compile(
    r"\s*\\(?:q?quad|enspace|hfill)(?![a-zA-Z])(?:\s|~|\\[ ,;:]|\\q?quad(?![a-zA-Z]))*+"
    r"|\s*\\hspace\*?\{[^{}]*\}\s*"
)
_AFTER_WIDE = re.compile(r"\.?\d|[a-zA-Z](?![a-zA-Z])|\\(?:frac|sqrt|pi)(?![a-zA-Z])")
_BEFORE_WIDE = re.compile(r"(?:\d|(?<![a-zA-Z\\])[a-zA-Z]|\\pi|[)\]}])$")
_LABEL = re.compile(r"(?:\\text\s*\{[^{}]*\}|(?<![\w)])\(?\s*[A-Ea-e]\s*\)|(?<![\w)])\(\s*\d\s*\))$")


def _wide(match: re.Match[str]) -> str:
    """3 \\quad 4 are two numbers, while 3 \\quad \\text{cm}, \\text{Answer} \\quad 3 and (B) \\quad 3 are one."""
    before, after = match.string[: match.start()], match.string[match.end() :]
    parted = _BEFORE_WIDE.search(before[-8:]) and not _LABEL.search(before) and _AFTER_WIDE.match(after)
    return ", " if parted else " "


def spaces(text: str) -> str:
    """LaTeX's spaces are spaces or nothing; mixed numbers have a \\frac."""
    if "quad" in text or "space" in text or "fill" in text:
        text = _WIDE.sub(_wide, text)
    text = _SPACES.sub(lambda match: "" if match[0] == "\\!" else " ", text)
    return _MIXED.sub(r"\1\\frac{\2}{\3}", text).strip()


_SCALED = re.compile(
    r"(?<![\d.,])(\d{1,15}(?:\.\d{1,15})?)\s*(\\text\s*\{\s*)?(thousand|million|billion|trillion)s?\b\s*(\})?",
    re.IGNORECASE,
)
_LARGE = re.compile("illion|housand", re.IGNORECASE)
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_COMPUTED = re.compile(r"(^|=)(\s*-?\s*(?:\d+\.?\d*|\.\d+))[eE]([-+]?\d{1,4})\s*\.?$")


def scales(text: str) -> str:
    """5 million is 5000000, and 1.5e3, as computers write it, 1.5\\times 10^{3}. The latter must be all of the answer,
    or of its side of an equation: in x+3e-2, e may be Euler's number.
    """
    if _LARGE.search(text):
        text = _SCALED.sub(_scaled, text)
    return _COMPUTED.sub(r"\1\2\\times 10^{\3}", text) if "e" in text or "E" in text else text


def _scaled(match: re.Match[str]) -> str:
    value = Decimal(match[1]) * _SCALES[match[3].lower()]
    begun, ended = match[2] is not None, match[4] is not None
    unit = "\\text{ " if begun and not ended else "" if begun == ended else "}"
    return format(value.to_integral() if value == value.to_integral() else value, "f") + (unit or " " * (not ended))
