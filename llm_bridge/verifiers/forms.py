r"""A MATH answer in the form that the ground truth has, where the same thing has several: points, vectors, unions,
lists with a name, decimals that repeat.

like("(1,2)", "y=2, x=1")                         is  "(1, 2)"
like("(1,2)", r"\{(1,2)\}")                       is  "(1,2)"
like("(1,2)", "P(1,2)")                            is  "(1,2)"
like(r"(-\infty,1)\cup(2,3)", r"(-\infty,1), (2,3)")  has the union
"""

from __future__ import annotations

import re

from llm_bridge.verifiers.braces import closing
from llm_bridge.verifiers.lists import elements

PAIR = re.compile(r"\s*\(([^()]*,[^()]*)\)\s*")  # (x,y), the name of a point and of no number
_COLUMN = re.compile(r"[(\[]?\s*\\begin\{([pb]?matrix|array)\}(?:\{[^{}]*\})?([^&]*)\\end\{\1\}\s*[)\]]?")
_ROW_END = re.compile(r"\s*(?:;|\\\\)\s*")
_BETWEEN = re.compile(r"(?<=[)\]}])\s*,\s*(?=[(\[\\])")


def like(gold: str, answer: str) -> str:
    """The answer, rewritten where it says what the ground truth's form says in another."""
    if "\\cup" in gold and "\\cup" not in answer and answer.startswith(("(", "[", "\\{")):
        return _BETWEEN.sub(r" \\cup ", answer)
    if "=" not in gold:
        answer = _unnamed_list(answer)
    if gold.startswith("("):
        answer = _POINT_NAME.sub("", answer)
        if answer.startswith("\\{") and answer.endswith("\\}"):
            inner = answer[2:-2].strip()
            if inner.startswith("(") and closing(inner, 0, "()") == len(inner) - 1:
                return inner
        if "," in gold and (column := _COLUMN.fullmatch(answer)):
            return _as_point(column)
        return _in_order(gold, answer)
    if "overline" in gold or "\\bar" in gold:
        return _BRACKETED_PERIOD.sub(r"\1\\overline{\2}", answer)
    if column := _COLUMN.fullmatch(gold):
        answer = _in_units(answer)
        found = elements(_in_order(_as_point(column), answer))
        if found and found[0] == "()" and len(found[1]) > 1:
            rows = " \\\\ ".join(part.strip() for part in found[1])
            return f"\\begin{{pmatrix}} {rows} \\end{{pmatrix}}"
    return answer


_POINT_NAME = re.compile(r"(?:^|(?<=,)|(?<=, ))[A-Z](?:'|_\{?\d\}?)?\s*(?=\()")  # P(1,2)
_BRACKETED_PERIOD = re.compile(r"(?<!\d)(\d*\.\d*)\((\d+)\)")  # 0.(36); without a gold that repeats, a product
_LISTED_NAME = re.compile(r"\s*([a-zA-Z](?:_\{?\w\}?)?)\s*=(?!=)")
_BINOMIAL = re.compile(r"\\binom\s*\{([^{}]*)\}\s*\{([^{}]*)\}")
_UNIT_VECTOR = re.compile(
    r"\s*([-+]?)\s*(\d*(?:\.\d+)?|\\frac\{\d+\}\{\d+\})\s*(?:\\(?:hat|vec)\s*)?\{?\s*\\?([ijk])(?:math)?\s*\}?\s*"
)


def _unnamed_list(answer: str) -> str:
    """x=1+\\sqrt{2}, x=1-\\sqrt{2} without the name, where all of a list have the same one, or its first alone has."""
    found = elements(answer) if "=" in answer else None
    if found is None or len(found[1]) < 2 or found[0] not in ("", "\\{\\}"):
        return answer
    names = [_LISTED_NAME.match(part) for part in found[1]]
    first = names[0]
    if first is None or answer.count("=") != sum(name is not None for name in names):
        return answer
    if any(name and name[1] != first[1] for name in names) or (not all(names) and any(names[1:])):
        return answer
    return ",".join(part[name.end() :] if name else part for part, name in zip(found[1], names, strict=True))


def _in_units(answer: str) -> str:
    """\\binom{1}{2} and i+2j, whose letters are the unit vectors, as the point (1, 2)."""
    if binomial := _BINOMIAL.fullmatch(answer):
        return f"({binomial[1]}, {binomial[2]})"
    place, values = 0, {}
    while place < len(answer):
        term = _UNIT_VECTOR.match(answer, place)
        if term is None or term[3] in values or (place and not term[1]):
            return answer
        values[term[3]] = term[1].replace("+", "") + (term[2] or "1")
        place = term.end()
    names = "ijk" if "k" in values else "ij"
    return "(" + ", ".join(values.get(name, "0") for name in names) + ")" if len(values) > 1 else answer


def _as_point(column: re.Match[str]) -> str:
    return "(" + ", ".join(row.strip() for row in column[2].split("\\\\") if row.strip()) + ")"


_NAMED = re.compile(r"\s*([a-zA-Z]|\\[a-z]+)\s*(?:_\s*\{?\s*(\d)\s*\}?)?\s*=(?!=)\s*")


def _in_order(gold: str, answer: str) -> str:
    """y=2, x=1 as the point (1,2) where the ground truth is a point. Letters are in the order of the alphabet, but the
    slope m comes before the intercept b, and r before its angle.
    """
    if not gold.startswith("(") or "=" not in answer or not (wanted := elements(gold)) or wanted[0] != "()":
        return answer
    found = elements(_ROW_END.sub(", ", answer))
    if found is None or found[0] not in ("", "()") or len(found[1]) != len(wanted[1]) or len(found[1]) < 2:
        return answer
    names = [_NAMED.match(part) for part in found[1]]
    if not all(names):
        return answer
    letters = [(match[1], match[2] or "") for match in names if match]
    if len(set(letters)) < len(letters):
        return answer
    values = [part[match.end() :] for part, match in zip(found[1], names, strict=True) if match]
    if any("=" in value for value in values):
        return answer
    return "(" + ", ".join(value for _, value in sorted(zip(_places(letters), values, strict=True))) + ")"


def _places(letters: list[tuple[str, str]]) -> list[tuple[int, str, str]]:
    first = {"m"} if {letter for letter, _ in letters} == {"m", "b"} else {"r"}
    return [(0 if letter in first else 1 + letter.startswith("\\"), letter, index) for letter, index in letters]


def turned(name: str, value: str) -> str:
    """(y,x) = (4,3) as (3,4): a name of coordinates out of their order."""
    pair, found = PAIR.fullmatch(name), elements(value)
    letters = [letter.strip() for letter in pair[1].split(",")] if pair else []
    if (
        not any(set(letters) <= set(family) for family in ("xyz", "abcd", "uvw"))
        or found is None
        or found[0] != "()"
        or len(found[1]) != len(letters)
    ):
        return value
    return "(" + ",".join(part for _, part in sorted(zip(letters, found[1], strict=True))) + ")"
