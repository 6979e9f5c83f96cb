"""Formulas on a terminal: nothing of LaTeX is left, and nothing is read as something else."""

import re

import pytest

from bandit_rft import theory
from bandit_rft.reports.formula import readable


@pytest.mark.parametrize("name", theory.catalogue())
def test_every_formula_of_the_catalogue_is_plain_text(name: str) -> None:
    """Catches a command that the reader does not know: its name would stand there as a word."""
    formula = theory.catalogue()[name].formula
    said = readable(formula)
    assert not re.search(r"[\\$\n]", said), said
    assert said.count("{") == formula.count(r"\{")
    assert said.count("(") == said.count(")")
    known = set(re.findall(r"[A-Za-z]{2,}", re.sub(r"\\[A-Za-z]+", " ", formula)))
    words = set(re.findall(r"\\(ln|log|exp|max|min|inf|sup|lim|liminf|arg|sinh|cosh|tanh)(?![A-Za-z])", formula))
    strange = {word for word in re.findall(r"[A-Za-z]{3,}", said) if word not in words}
    assert all(any(part in word for part in known) for word in strange), strange


@pytest.mark.parametrize(
    ("formula", "said"),
    [
        (r"\frac{a+1}{2\eta}", "(a+1)/(2η)"),
        (r"\tfrac12 x", "1/2 x"),
        (r"\ln\frac{a}{b}", "ln(a/b)"),
        (r"\tfrac{1}{2\eta}\ln T", "1/(2η) ln T"),
        (r"x_{n+1}^{Bn}", "x_(n+1)^(Bn)"),
        (r"[z]_{z_0}^{z_T}", "[z]_(z_0)^(z_T)"),
        (r"\sqrt{KT}", "√(KT)"),
        (r"\sqrt n \ge \sqrt{p_0}", "√n ≥ √p_0"),
        (r"e^{-\eta}", "e^(-η)"),
        (r"\mathrm{wait}_n \sim \text{Geometric}(p_n)", "wait_n ~ Geometric(p_n)"),
        (r"\left[\{a, b\}\right]", "[{a, b}]"),
        (r"\binom{n}{k}", "C(n, k)"),
    ],
)
def test_what_stands_there_is_what_was_meant(formula: str, said: str) -> None:
    """Catches 1/2η for 1/(2η), x_n+1 for the next x, and (ln a)/b for ln(a/b)."""
    assert readable(formula) == said
