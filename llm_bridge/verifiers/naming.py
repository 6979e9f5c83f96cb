r"""The name that a MATH answer gives to itself, which the ground truth lacks: f(2) = 5, (x,y) = (3,4), (E) 42.

    unnamed(plain("5"), plain("f(2) = 5"))        is  plain("5")
    unnamed(plain("5"), plain(r"x \not= 5"))      is  None: it says another thing

A name is made of letters, numbers in brackets, Greek, functions, accents and figures. One variable that a sign, a
coefficient or a sum stands with (2x+1 = 5) is an equation to be solved, and its right side is not the answer.
"""

from __future__ import annotations

import dataclasses
import re

from llm_bridge.verifiers import vocabulary
from llm_bridge.verifiers.dress import Plain, plain
from llm_bridge.verifiers.forms import PAIR, like, turned
from llm_bridge.verifiers.lists import elements
from llm_bridge.verifiers.number_reader import number_or_none

_GREEK = """
alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi rho sigma tau upsilon phi
varphi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega ell
"""
_COMMANDS = frozenset(
    f"""{_GREEK} pi
    bar overline vec hat tilde dot ddot acute grave check breve widehat widetilde overrightarrow overleftrightarrow
    overarc wideparen overparen frown overset underset stackrel overbrace mathop prime text mathbb mathfrak mathscr
    angle measuredangle triangle bigtriangleup parallelogram square Box odot
    sin cos tan cot sec csc arcsin arccos arctan arccot arcsec arccsc sinh cosh tanh coth cis log ln lg exp max min gcd
    lcm det dim deg arg Re Im Pr lim limsup liminf sum prod int iint iiint oint inf sup ker tr Tr rank sgn proj Var Cov
    frac binom sqrt partial nabla infty hbar aleph
    cdot times div circ cap cup setminus mid vert lvert rvert Vert lVert rVert lfloor rfloor lceil rceil langle rangle
    to star ast bigstar bullet oplus ominus otimes oslash diamond clubsuit heartsuit spadesuit diamondsuit dagger
    quad qquad ldots cdots dots bmod pmod approx begin end
    """.split()
)
_COMMAND = re.compile(r"\\([a-zA-Z]+)")
_TEXT = re.compile(r"\\text\{([^{}]*)\}")
_SUBSCRIPT = re.compile(r"_\s*(?:\{[^{}]*\}|\\?\w)")
_FOLLOWS = re.compile(r"\\(?:implies|Rightarrow|Longrightarrow|therefore)(?![a-zA-Z])")
_RELATION = re.compile(r"(?:\s|&)*(?:=|\\(?:in|equiv)(?![a-zA-Z]))(?:\s|&)*")
_SET_RELATION = re.compile(r"\{\s*(?:=|\\equiv|\\in(?![a-z]))\s*\}")  # \overset{?}{=}, \cancel{=}
_DENIED = re.compile(r"\\(?:not|lnot|neg|notin|nequiv|nsim)(?![a-zA-Z])")
_MODULO = re.compile(r"\s*(?:\\pmod\s*(?:\{[^{}]*\}|\d+)|\(?\s*\\b?mod\s*(?:\{[^{}]*\}|\d+)\s*\)?)")
_REMAINDER = re.compile(r"(-?\d+)\s*\(?\s*(?:(\\pmod)|\\b?mod(?![a-z]))\s*(?:\{([^{}]*)\}|(\d+))\s*\)?")
_NAME = re.compile(
    r"(?:\\\||\\text\{[^{}]*\}|\\[a-zA-Z#]+|_\{?\\?\w+\}?|\((?:[a-zA-Z]|\\[a-z]+|-?\d)\)|[a-zA-Z'(),|\[\]{} ])+"
)
_BRACKETED = re.compile(r"\s*[-+\d./\\a-z{}]*\s*(?:[(\[]|\\\{|\\begin)|.*,", re.DOTALL)


def unnamed(gold: Plain, answer: Plain) -> Plain | None:
    """The answer without the name that it gives to itself where the ground truth has none, without what it follows
    from, and without what an option says, as in (E) 42. A chain of equations, or an equation with a calculation on its
    left, is left alone. None where the answer says of its right side that it is not what was asked for.
    """
    if re.fullmatch("[A-Z]", gold.text):
        chosen = option(answer.text)
        return dataclasses.replace(answer, text=chosen) if chosen else answer
    if _DENIED.search(answer.text) and not _DENIED.search(gold.text):
        return None
    if _RELATION.search(gold.text):
        return answer
    if (lead := _OPTION_LEAD.match(answer.text)) and not re.search("[A-E]", gold.text):
        opened = lead[0].count("{") > lead[0].count("}")
        rest = plain("\\text{" * opened + answer.text[lead.end() :])
        answer = Plain(rest.text, answer.unit or rest.unit)
    if "mod" not in gold.text and (remainder := _remainder(answer.text)) is not None:
        return dataclasses.replace(answer, text=remainder)
    text = like(gold.text, _FOLLOWS.split(answer.text)[-1].strip())
    answer = dataclasses.replace(answer, text=text)
    if _SET_RELATION.search(text):
        return None
    sides = _sides(text)
    if any(len(one) > 1 and _says_another(gold.text, one) for one in (sides, *_sides_of_each(text))):
        return None
    if len(sides) != 2 or not _is_name(sides[0].strip()):
        return answer
    # x \equiv 7 \pmod{10}: the remainder is what is asked for where the ground truth is a number.
    value = _MODULO.sub("", sides[1]) if "\\equiv" in text else sides[1]
    return dataclasses.replace(answer, text=like(gold.text, turned(sides[0], value.strip())))


def _sides(text: str) -> list[str]:
    """What stands before, between and behind the relations that are in no braces, as one of \\sum_{n=1} is."""
    sides, start = [], 0
    depth, seen = 0, 0
    for match in _RELATION.finditer(text):
        between = text[seen : match.start()]
        depth += between.count("{") - between.count("}") - between.count("\\{") + between.count("\\}")
        seen = match.end()
        if depth <= 0:
            sides.append(text[start : match.start()])
            start = match.end()
    return [*sides, text[start:]]


def _sides_of_each(text: str) -> list[list[str]]:
    """The sides of each element of a list, -x = 1, -x = 2."""
    found = elements(text) if "=" in text and "," in text else None
    return [_sides(part) for part in found[1]] if found and not found[0] else []


def _remainder(text: str) -> str | None:
    """5 of 5 \\pmod 7 and of 5 \\bmod 7; but 12 \\bmod 5 is a calculation."""
    match = _REMAINDER.fullmatch(text)
    modulus = (match[3] or match[4]).strip() if match else ""
    if match is None or match[2] or (modulus.isdecimal() and len(match[1]) < 300 and 0 <= int(match[1]) < int(modulus)):
        return match and match[1]
    return None


def _is_name(left: str) -> bool:
    return _NAME.fullmatch(left) is not None and not re.search(r"\\[lg]e|\\ne", left)


def _says_another(gold: str, sides: list[str]) -> bool:
    """Whether what stands before the first relation is no name for what stands behind it."""
    left = _SUBSCRIPT.sub("", sides[0])
    if PAIR.fullmatch(left) and not _BRACKETED.match(sides[-1]):
        return True  # (x,y) = 5
    if not set(_COMMAND.findall(left)) <= _COMMANDS or left.strip() == "\\infty":
        return True
    if any(not vocabulary.leads(words) for words in _TEXT.findall(left)):
        return True
    if len(sides) != 2:
        return False
    unknown = _unknown(sides[1] if number_or_none(sides[0]) is not None else sides[0])
    return bool(unknown) and unknown not in gold


_TOKEN = re.compile(
    rf"\s*(?:(?P<number>\d+(?:\.\d*)?|\.\d+)|(?P<variable>(?:[a-zA-Z]|\\(?:{'|'.join(_GREEK.split())})(?![a-zA-Z]))"
    r"(?:\s*_\s*(?:\{\w+\}|\w))?)(?!\s*(?:\^\s*(?:\{[^{}]*\}|\d)\s*)?\()|(?P<sign>[-+*/]|\\(?:frac|cdot|times|div|pi)(?![a-zA-Z]))|(?P<power>\^)|[(){}])"
)


def _unknown(side: str) -> str:
    """The variable of a side that is one variable under a sign, a coefficient, a fraction, or in a sum: -x, 2x+1,
    \\frac{1}{x}; "" for any other. A lone power is a value that may be asked for, as f(2) and a+b are.
    """
    kinds, found, place, side = [], "", 0, side.strip()
    while place < len(side):
        token = _TOKEN.match(side, place)
        if token is None:
            return ""
        kinds.append(token.lastgroup or "bracket")
        found = token["variable"] or found
        place = token.end()
    if kinds.count("variable") != 1 or "power" in kinds[: kinds.index("variable")]:
        return ""
    if "power" in kinds:  # its exponent is no factor
        place = kinds.index("power")
        del kinds[place : place + (4 if kinds[place + 1 : place + 2] == ["bracket"] else 2)]
    return found if "sign" in kinds or "number" in kinds else ""


# ------------------------------------------------------------------------------------------------------------- options

_OPTION_LEAD = re.compile(
    r"(?:\\text\s*\{)?\s*(?i:(?:the\s+)?(?:(?:correct|final)\s+)?(?:answer|option|choice)(?:\s+is)?\s*:?\s+)?(?:\(\s*[A-E]\s*\)|[A-E]\s*[.:)](?!\d))\s*[.:]?\s*\}?\s*[.:]?\s*(?=\S)"
)
_ANSWER_IS = re.compile(
    r"\s*(?:(?:so|thus|hence|therefore),?\s+)?(?:the\s+)?(?:(?:correct|right|final|best)\s+)*(?:answer|ans|option|choice)"
    r"(?:\s+choice)?(?:\s+is)?\s*:?\s*",
    re.IGNORECASE,
)
_LETTER = re.compile(r"\s*(?:\(\s*([A-Z])\s*\)|([A-Z])(?![\w']))\s*(.*)", re.DOTALL)
_SECOND = re.compile(r"\(\s*[A-Z]\s*\)|(?<![\w\\^'])[A-J](?![\w'])(?!\s*[=(_^])|\b(?:and|or)\b")


def option(text: str) -> str | None:
    """The letter of an option with what it says, as in \\text{(C) } 12; None where the text is none, denies it, or
    names a second one.
    """
    words = text.replace("\\text", " ").replace("{", " ").replace("}", " ")
    led = False
    while (lead := _ANSWER_IS.match(words)) and lead.end():
        words, led = words[lead.end() :], True
    match = _LETTER.fullmatch(words)
    if match is None:
        return None
    rest = match[3].strip()
    if match[2] and not led and not re.match(r"[:.)](?:\s|$)", rest):
        return None
    rest = rest.lstrip(".:) ")
    if re.match(r"[-+*/^=_,]", match[3]) or _SECOND.search(rest) or vocabulary.refuses(rest):
        return None
    return match[1] or match[2]
