"""LaTeX formulas of the catalogue as text for a terminal: fractions on one line, Greek letters, no backslashes.

It reads what the catalogue writes, nothing more: a test holds every entry to it.
"""

from __future__ import annotations

import re

_SYMBOLS = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "zeta": "ζ", "eta": "η", "theta": "θ",
    "iota": "ι", "kappa": "κ", "lambda": "λ", "mu": "μ", "nu": "ν", "xi": "ξ", "pi": "π", "rho": "ρ",
    "sigma": "σ", "tau": "τ", "phi": "φ", "chi": "χ", "psi": "ψ", "omega": "ω", "Delta": "Δ", "Omega": "Ω",
    "Sigma": "Σ", "Theta": "Θ", "Gamma": "Γ", "Phi": "Φ", "Pi": "Π", "approx": "≈", "cdot": "·", "times": "×",
    "ge": "≥", "le": "≤", "in": "∈", "infty": "∞", "int": "∫", "sum": "Σ", "prod": "Π", "mid": "|", "nabla": "∇",
    "propto": "∝", "sim": "~", "to": "→", "Rightarrow": "⇒", "pm": "±", "neq": "≠", "langle": "⟨", "rangle": "⟩",
    "lceil": "⌈", "rceil": "⌉", "lfloor": "⌊", "rfloor": "⌋", "top": "ᵀ",
}  # fmt: skip
_WORDS = {"arg", "cosh", "exp", "inf", "lim", "liminf", "ln", "log", "max", "min", "sinh", "sup", "tanh", "cos", "sin"}
_ACCENTS = {"bar": "\u0304", "hat": "\u0302", "widehat": "\u0302", "dot": "\u0307", "tilde": "\u0303"}
_SPACES = {"quad": "  ", "qquad": "    ", " ": " ", ",": " ", ";": " ", "!": "", ":": " "}
_NOTHING = {"left", "right", "big", "Big", "bigg", "Bigg", "limits"}
_PLAIN = {"mathrm", "text", "mathbf", "mathrel", "mathcal", "operatorname"}
_ATOM = re.compile(r"\d+(?:\.\d+)?|[^\W\d_][\u0300-\u036f]?(?:_\w[\u0300-\u036f]?)?")
_FRACTIONS = ("frac", "tfrac", "dfrac")
_TOKEN = re.compile(r"\\[A-Za-z]+|\\.|[{}^_]|\s+|.", re.DOTALL)


def readable(formula: str) -> str:
    """The formula as one line of plain text.

    Example:
        >>> readable(r"E[R_T] \\le \\sqrt{K T \\ln K} + \\frac{a + 1}{b}")
        'E[R_T] ≤ √(K T ln K) + (a + 1)/b'
    """
    tokens = _TOKEN.findall(formula)
    said, _ = _sequence(tokens, 0, nested=False)
    return re.sub(r" +([,;:])", r"\1", re.sub(r" {2,}", "  ", said)).strip()


def _sequence(tokens: list[str], place: int, *, nested: bool) -> tuple[str, int]:
    """The text up to the closing brace, or to the end, and the place after it."""
    said, after_fraction = "", False
    while place < len(tokens):
        if tokens[place] == "}" and nested:
            return said, place + 1
        is_fraction = tokens[place][1:] in _FRACTIONS
        is_word = tokens[place][1:] in _WORDS
        part, place = _one(tokens, place)
        if (is_fraction or is_word or after_fraction) and _touch(said, part):
            said += " "
        said, after_fraction = said + part, is_fraction
    return said, place


def _touch(said: str, part: str) -> bool:
    """Whether two parts side by side would be read as one name, or as a function and its argument."""
    return (said[-1:].isalnum() or said[-1:] in ")]") and (part[:1].isalnum() or part[:1] in "(√")


def _argument(tokens: list[str], place: int) -> tuple[str, int]:
    """What a command or a script takes: a group, or the next thing."""
    while place < len(tokens) and tokens[place].isspace():
        place += 1
    if place >= len(tokens):
        return "", place
    if tokens[place] == "{":
        return _sequence(tokens, place + 1, nested=True)
    return _one(tokens, place)


def _one(tokens: list[str], place: int) -> tuple[str, int]:
    token = tokens[place]
    place += 1
    if token == "{":
        return _sequence(tokens, place, nested=True)
    if token == "}":
        return "", place
    if token in ("^", "_"):
        script, place = _argument(tokens, place)
        script = script.strip()
        plain = len(script) == 1 or script.isdigit() or (token == "_" and script.isalnum())
        return token + (script if plain or re.fullmatch(r"\([^()]*\)", script) else f"({script})"), place
    if token.isspace():
        return " ", place
    if not token.startswith("\\"):
        return token, place
    name = token[1:]
    if name in (*_FRACTIONS, "binom"):
        above, place = _argument(tokens, place)
        below, place = _argument(tokens, place)
        return (f"C({above}, {below})" if name == "binom" else f"{_above(above)}/{_held(below)}"), place
    if name == "sqrt":
        inside, place = _argument(tokens, place)
        return f"√{_held(inside)}", place
    if name in _ACCENTS:
        inside, place = _argument(tokens, place)
        return (inside + _ACCENTS[name] if len(inside) == 1 else f"{inside}{_ACCENTS[name]}"), place
    if name in _PLAIN:
        return _argument(tokens, place)
    if name in _SPACES:
        return _SPACES[name], place
    if name in _NOTHING:
        return "", place
    if name in _WORDS:
        following = place + (place < len(tokens) and tokens[place].isspace())
        if following < len(tokens) and tokens[following][1:] in _FRACTIONS:  # ln a/b would be read as (ln a)/b
            inside, place = _one(tokens, following)
            return f"{name}({inside})", place
        return name, place
    return _SYMBOLS.get(name, name), place


def _above(text: str) -> str:
    """A numerator: a product needs no parentheses, a sum does."""
    text = text.strip()
    return text if re.fullmatch(r"[\w^\u0300-\u036f]+", text) else _held(text)


def _held(text: str) -> str:
    """In parentheses where it would otherwise be read as something else: a letter or a number, with its subscript, is
    left as it is.
    """
    text = text.strip()
    if len(text) == 1 or _ATOM.fullmatch(text) or re.fullmatch(r"\([^()]*\)", text):
        return text
    return f"({text})"
