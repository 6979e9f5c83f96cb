"""math-verify, called with two MATH answers in their plain form (`dress`), with guards where its verdict is loose.

Loaded by `worker` from its file; it imports nothing of ours. math-verify's LaTeX grammar alone is used, without its
list of units (which takes the last letter of `4t` and of `a+b+c` for one).

Besides, the letter i may be the imaginary unit, a symbol to math-verify: \\sqrt{-3} is i\\sqrt{3}.

The guards only ever turn its yes into a no:

- Its "numerically equal" drops what is below 1e-15, so that 10^{-20}\\pi is 10^{-21}\\pi, and rounds to six decimals,
  so that tiny numbers are all alike: equal numbers must also be so relative to their size (`_alike`).
- Two equations without a solution are equal to it: each must have one (`_solvable`).
- An answer `\\sqrt{49}=5` is 5 to it, and so is `x=\\sqrt{49}=5`: sides that are numbers must be equal
  (`_contradictory`).
"""

from __future__ import annotations

import functools
import random
import re
from typing import Any

DIGITS = 60  # of evaluations
EXACT = 1e-40  # part of their size by which two expressions without decimals may differ, being evaluated
ROUNDED = 1e-5  # the same where one is a decimal: see `exact`


def equal(gold: str, answer: str) -> bool:
    """Whether two answers, as LaTeX without their box, are equal to math-verify, `gold` being the right one."""
    from math_verify import verify
    from sympy.core import random as sympy_random

    # simplify tries random numbers: the same question gets the same verdict.
    sympy_random.seed(0)
    random.seed(0)
    wanted = _parsed(gold)
    found = [expression for expression in _parsed(answer) if not _contradictory(expression)]
    if verify(wanted, found, timeout_seconds=0):
        return True
    if not _IMAGINARY.search(gold) and not _IMAGINARY.search(answer):
        return False
    return bool(verify(_with_imaginary_unit(wanted), _with_imaginary_unit(found), timeout_seconds=0))


_IMAGINARY = re.compile(r"(?<![a-zA-Z\\])i(?![a-zA-Z])")


def _with_imaginary_unit(expressions: list[Any]) -> list[Any]:
    """The expressions, with the imaginary unit for the letter i."""
    from sympy import Expr, I

    found = [expression.doit() for expression in expressions if isinstance(expression, Expr)]
    return [one.subs({symbol: I for symbol in one.free_symbols if str(symbol) == "i"}) for one in found]


@functools.lru_cache(maxsize=256)
def _parsed(answer: str) -> list[Any]:
    """What an answer is to math-verify: an expression, where its grammar knows all of it, and its normal form as text.

    Its `parse` is not used: where the grammar fails, that takes the first fraction it sees for the answer.
    """
    from latex2sympy2_extended.math_normalization import NormalizationConfig, normalize_latex
    from math_verify.parser import parse_latex_cached

    normal = normalize_latex(
        answer,
        NormalizationConfig(basic_latex=True, units=False, malformed_operators=True, nits=True, boxed="none"),
    )
    try:
        return [parse_latex_cached(normal), normal]
    except Exception:  # the grammar raises bare ones
        return [normal]


# -------------------------------------------------------------------------------------------------------------- guards


def _guarded(module: Any) -> None:
    """Put the guards into math-verify's grader. Raises AttributeError where it has other functions."""
    numerically, by_solving = module.sympy_numeric_eq, module.sympy_solve_and_compare

    def numeric_eq(a: Any, b: Any, float_rounding: int, numeric_precision: int) -> bool:
        return bool(numerically(a, b, float_rounding, numeric_precision)) and _alike(a, b)

    def solve_and_compare(gold: Any, pred: Any, float_rounding: int, numeric_precision: int) -> bool:
        return bool(by_solving(gold, pred, float_rounding, numeric_precision)) and _solvable(gold)

    module.sympy_numeric_eq, module.sympy_solve_and_compare = numeric_eq, solve_and_compare


def _alike(one: Any, other: Any) -> bool:
    """Whether two expressions differ by no more than a small part of their size, their symbols given some values."""
    from sympy import Expr, Float, Rational

    if not isinstance(one, Expr) or not isinstance(other, Expr):
        return True  # matrices, whose elements come here
    symbols = sorted(one.free_symbols | other.free_symbols, key=str)
    values: Any = {symbol: Rational(1103 + 371 * place, 1000) for place, symbol in enumerate(symbols)}
    part = ROUNDED if one.has(Float) or other.has(Float) else EXACT
    try:
        a, b = one.subs(values).evalf(DIGITS), other.subs(values).evalf(DIGITS)
        return bool(abs(a - b) <= part * max(abs(a), abs(b)))
    except (TypeError, ValueError, AttributeError):
        return True  # not numbers: f(2), infinity


def _solvable(equation: Any) -> bool:
    from sympy import solve

    return bool(solve(equation, equation.free_symbols))


def _contradictory(expression: Any) -> bool:
    """Whether an equation, or a chain of them, says that a number is another one: of x = 5 = 3\\sqrt{13}, 5 and
    3\\sqrt{13}. A side with a symbol contradicts nothing: it names what is computed, or is a formula for it.
    """
    from latex2sympy2_extended.logic import And
    from sympy import Eq

    chain: Any = vars(expression)["_unsorted_args"] if isinstance(expression, And) else [expression]
    if not all(isinstance(part, Eq) for part in chain):
        return False
    try:
        every = [(side, side.evalf(30)) for side in (chain[0].lhs, *(part.rhs for part in chain))]
        known = [(value, _unit_shown(side)) for side, value in every if abs(value).is_comparable]  # f(2) is not
        return not all(_agree(value, known[-1][0], shown, known[-1][1]) for value, shown in known)
    except (TypeError, ValueError, AttributeError):
        return False


def _agree(one: Any, other: Any, one_shows: float, other_shows: float) -> bool:
    """Whether two sides are equal, or one is the other as a decimal, rounded or cut off, of that last place."""
    if abs(one - other) <= ROUNDED * abs(other):
        return True
    pairs = ((other, one, one_shows), (one, other, other_shows))
    return any(
        unit and -unit / 2 <= (decimal - value if value.is_negative else value - decimal) < unit
        for value, decimal, unit in pairs
    )


def _unit_shown(side: Any) -> float:
    """One unit in the last place that a decimal shows, else 0: \\sqrt{68} = 8.25 is rounded, and not wrong."""
    from sympy import Float

    decimals = str(side).partition(".")[2].rstrip("0") if isinstance(side, Float) else ""
    return 10.0 ** -len(decimals) if decimals.isdecimal() else 0.0


# ------------------------------------------------------------------------------------------------------------- warm-up


def warm_up() -> None:
    """Import all that a comparison may import late, while it still may: some of sympy's modules evaluate text of their
    own when they are imported. It also builds the grammar's tables, and puts the guards in.
    """
    import math_verify.grader
    import sympy.integrals
    import sympy.ntheory
    import sympy.physics.units
    import sympy.series
    import sympy.solvers.inequalities
    import sympy.stats  # noqa: F401

    _guarded(math_verify.grader)
    for gold, answer in _WARMING:
        equal(gold, answer)
    for gold, answer, expected in _KNOWN:
        # math-verify swallows what its libraries raise: without this, a broken one would score 0 for ever.
        if equal(gold, answer) is not expected:
            raise ImportError(f"math-verify is wrong about {gold} and {answer}, so its libraries do not fit together")


_WARMING = (
    ("\\frac{1}{2}", "0.5"),
    ("x^2-1", "(x-1)(x+1)"),
    ("\\sin^2 x+\\cos^2 x", "1"),
    ("\\sqrt{2+\\sqrt{3}}", "\\frac{\\sqrt{6}+\\sqrt{2}}{2}"),
    ("x^2=4", "2x^2=8"),
    ("x>3", "3<x"),
    ("(-\\infty,2)\\cup(3,4]", "(3,4]\\cup(-\\infty,2)"),
    ("1,2,3", "3,2,1"),
    ("\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}", "\\begin{pmatrix} 2 \\\\ 1 \\end{pmatrix}"),
    ("\\log_2 8", "\\binom{3}{1}"),
    ("\\int_0^1 x dx", "\\sum_{k=1}^{3} k"),
    ("e^{i\\pi}", "-1"),
    ("\\text{Evelyn}", "5\\%"),
)
_KNOWN = (
    ("\\frac{1}{2}", "0.5", True),
    ("\\frac{1}{2}", "0.4", False),
    ("10^{-20}\\pi", "10^{-21}\\pi", False),
)
