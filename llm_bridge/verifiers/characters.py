"""Characters of Unicode as LaTeX: minus signs, spaces, digits, signs, Greek, raised and lowered digits, roots."""

from __future__ import annotations

import re

_GREEK = "αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΦΨΩ"
_GREEK_NAMES = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi chi psi "
    "omega Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega"
)
_VULGAR = [("⅒", 1, 10), ("⅑", 1, 9), ("⅐", 1, 7), ("½", 1, 2), ("⅓", 1, 3), ("⅔", 2, 3), ("¼", 1, 4), ("¾", 3, 4)]
_VULGAR += [("⅕", 1, 5), ("⅖", 2, 5), ("⅗", 3, 5), ("⅘", 4, 5), ("⅙", 1, 6), ("⅚", 5, 6), ("⅛", 1, 8), ("⅜", 3, 8)]
_VULGAR += [("⅝", 5, 8), ("⅞", 7, 8)]
_CHARACTERS = str.maketrans(
    {
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212\ufe63\uff0d", "-"),
        **dict.fromkeys("\u00a0\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000\t\r\n", " "),
        **dict.fromkeys(
            "\u200b\u200c\u200d\u2060\ufeff\u200e\u200f\u00ad\u202a\u202b\u202c\u2066\u2067\u2068\u2069", None
        ),
        **{chr(code): None for code in (*range(9), 11, *range(14, 32), 127)},  # control characters; 12 ends a page
        "\f": " ",
        "×": "\\times ",
        "·": "\\cdot ",
        "⋅": "\\cdot ",
        "∙": "\\cdot ",
        "•": "\\cdot ",
        "÷": "\\div ",
        "∗": "*",
        "⁄": "/",
        "∕": "/",
        **{letter: f"\\{name} " for letter, name in zip(_GREEK, _GREEK_NAMES.split(), strict=True)},
        "ℝ": "\\mathbb{R}",
        "ℤ": "\\mathbb{Z}",
        "ℚ": "\\mathbb{Q}",
        "ℕ": "\\mathbb{N}",
        "ℂ": "\\mathbb{C}",
        "∞": "\\infty ",
        "√": "\\sqrt ",
        "∛": "\\sqrt[3]",
        "∜": "\\sqrt[4]",
        "°": "^\\circ ",
        "±": "\\pm ",
        "∅": "\\emptyset ",
        "≤": "\\le ",
        "≥": "\\ge ",
        "≠": "\\ne ",
        "≈": "\\approx ",
        "∈": "\\in ",
        "∪": "\\cup ",
        "∩": "\\cap ",
        **{one: f"\\frac{{{above}}}{{{below}}}" for one, above, below in _VULGAR},
        "º": "^\\circ ",
        "˚": "^\\circ ",
        "⟨": "\\langle ",
        "⟩": "\\rangle ",
        "…": "\\ldots ",
        "\u2019": "'",
        "\u2032": "'",
        "％": "%",
        "（": "(",
        "）": ")",
        "，": ",",
        "｛": "{",
        "｝": "}",
        "＋": "+",
        "＝": "=",
        "：": ":",
        "．": ".",
        "／": "/",
        "；": ";",
        "、": ", ",
        "。": ".",
        "＜": "<",
        "＞": ">",
        "｜": "|",
        "∶": ":",
        "⩽": "\\le ",
        "≦": "\\le ",
        "⩾": "\\ge ",
        "≧": "\\ge ",
        "∴": "\\therefore ",
        "⌊": "\\lfloor ",
        "⌋": "\\rfloor ",
        "⌈": "\\lceil ",
        "⌉": "\\rceil ",
        **{chr(0xFEE0 + ord(letter)): letter for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"},
        **{chr(0xFF10 + digit): str(digit) for digit in range(10)},
    }
)
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "0123456789+-n")
_LOWERED = str.maketrans("₀₁₂₃₄₅₆₇₈₉₊₋ₙ", "0123456789+-n")
_SCRIPTS = re.compile(r"[⁰¹²³⁴-⁹⁺⁻ⁿ]+|[₀-₉₊₋ₙ]+")
_ROOTS = {"√": "\\sqrt", "∛": "\\sqrt[3]", "∜": "\\sqrt[4]"}
_ROOT = re.compile(r"([√∛∜])\s*(\d+(?:\.\d+)?)")  # the sign is over all of a number


_SQUARE_METRES = re.compile(r"(?<=[0-9])\s*([kcm]?m)([\u00b2\u00b3])\s*\.?\s*$")


def as_latex(text: str) -> str:
    """Unicode's minus signs, spaces, signs and digits as LaTeX's. After a number, m² with that character is a unit."""
    if not text.isascii():
        text = _SCRIPTS.sub(_script, _SQUARE_METRES.sub(r"\\text{ \1}\2", text))
        text = _ROOT.sub(lambda match: f"{_ROOTS[match[1]]}{{{match[2]}}}", text)
    return text.translate(_CHARACTERS)


def _script(match: re.Match[str]) -> str:
    """Raised or lowered characters in a row as one exponent or index: x¹⁰ is x^{10}, and not x^{1}^{0}."""
    raised = match[0].translate(_RAISED)
    if raised == match[0]:
        return f"_{{{match[0].translate(_LOWERED)}}}"
    return f"^{raised}" if len(raised) == 1 else f"^{{{raised}}}"  # cm^2, in whose text there may be no braces
