"""MATH's answers: the last box of a response, and the string normalisation of Hendrycks et al. 2021 that verl uses.

`last_boxed` finds the answer; `equal_as_strings` compares two of them as `is_equiv` of the MATH data set's authors does
(verl: `verl/utils/reward_score/math_reward.py`): spaces, \\left and \\right, \\dfrac, degree, dollar and per cent signs
and units in \\text{ …} are dropped, \\frac12 and 1/2 written \\frac{1}{2}, a short left side of an equation dropped.
Mathematics it does not know: 0.25 is not \\frac{1}{4} to it. Pure Python, no expression with backtracking, and no more
than `LONGEST` characters of an answer.

Otherwise than verl's: where a response has both `\\boxed x` and `\\boxed{x}` the last of them counts, not the last of
the former; and an answer longer than `LONGEST` counts as none (the longest of MATH's 12,500 has 159).
"""

from __future__ import annotations

LONGEST = 1000  # characters of an answer


def last_boxed(text: str) -> str | None:
    """What stands in the last \\boxed{…} (\\boxed x, else \\fbox{…}) of a text; None where there is none, or it is not
    closed, or is longer than `LONGEST`.
    """
    start = text.rfind("\\boxed")
    if start < 0:
        start = text.rfind("\\fbox")
    if start < 0:
        return None
    start += len("\\boxed") if text.startswith("\\boxed", start) else len("\\fbox")
    rest = text[start : start + LONGEST + 2]
    if rest.startswith(" "):
        answer = rest[1:].split("$")[0]
        return answer if len(answer) <= LONGEST else None
    if not rest.startswith("{"):
        return None
    depth = 0
    for place, character in enumerate(rest):
        depth += (character == "{") - (character == "}")
        if depth == 0:
            return rest[1:place]
    return None


def equal_as_strings(answer: str, truth: str) -> bool:
    """Whether two answers are one string once normalised; as they stand, where either cannot be."""
    if len(answer) > LONGEST:
        return False
    try:
        return normalise(answer) == normalise(truth)
    except ValueError:
        return answer == truth


def normalise(answer: str) -> str:
    """The normal form of an answer without its box.

    Raises:
        ValueError: more than one unit in \\text{ …}, or a \\sqrt or \\frac that ends the answer.
    """
    text = answer.replace("\n", "").replace("\\!", "").replace("\\\\", "\\")
    text = text.replace("tfrac", "frac").replace("dfrac", "frac").replace("\\left", "").replace("\\right", "")
    text = text.replace("^{\\circ}", "").replace("^\\circ", "").replace("\\$", "")
    text, *units = text.split("\\text{ ")
    if len(units) > 1:
        raise ValueError("several units")
    text = text.replace("\\%", "").replace(" .", " 0.").replace("{.", "{0.")
    if not text:
        return text
    if text[0] == ".":
        text = "0" + text
    sides = text.split("=")
    if len(sides) == 2 and len(sides[0]) <= 2:
        text = sides[1]
    text = _braced_roots(text).replace(" ", "")
    text = _braced_fractions(text)
    return _slash_fraction("\\frac{1}{2}" if text == "0.5" else text)


def _braced_roots(text: str) -> str:
    head, *parts = text.split("\\sqrt")
    if "" in parts:
        raise ValueError("a root of nothing")
    return head + "".join("\\sqrt" + (part if part[0] == "{" else "{" + part[0] + "}" + part[1:]) for part in parts)


def _braced_fractions(text: str) -> str:
    head, *parts = text.split("\\frac")
    done = head
    for part in parts:
        done += "\\frac"
        if part[:1] == "{":
            done += part
        elif len(part) < 2:
            return text  # half a fraction: left as it is, all of it
        elif part[1] == "{":
            done += "{" + part[0] + "}" + part[1:]
        else:
            done += "{" + part[0] + "}{" + part[1] + "}" + part[2:]
    return done


def _slash_fraction(text: str) -> str:
    above, slash, below = text.partition("/")
    if not slash or "/" in below:
        return text
    # Python's int also reads "+1", "1_0" and other scripts' digits; written back they must be what was read.
    try:
        a, b = int(above), int(below)
    except ValueError:
        return text
    return f"\\frac{{{a}}}{{{b}}}" if text == f"{a}/{b}" else text
