"""The catalogue of predictions: one entry a function, printed by `bandit-rft theory [NAME]`."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeVar

from bandit_rft.arguments import nearest, shown
from bandit_rft.errors import InputError

__all__ = ["UNCONFIRMED", "Entry", "about", "catalogue", "describe", "entry"]

# Said of an entry whose constant was neither derived here nor read in the source: its shape alone is the source's.
UNCONFIRMED = "Constant not confirmed against the paper: a comparison with it is no test."

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One prediction.

    Attributes:
        name: the function's name in `bandit_rft.theory`.
        function: the function itself.
        summary: one line.
        formula: LaTeX.
        assumptions: one sentence each; where one fails, so may the prediction.
        source: where it comes from.
        units: parameter name -> meaning and unit.
        section: its place in the map: A softmax policy gradient, B groups of rollouts, C exact simulation, D classic
            bounds, E many arms, F sequences and language models, G many prompts; a letter and a number.
        kind: "prediction" (curves), "bound", or "quantity" (a number or an array).
        derivation: heading of its derivation in docs/derivations.md; empty where the source alone has it.
        confirmed: whether its constants were derived here or read in the source.
    """

    name: str
    function: Callable[..., Any]
    summary: str
    formula: str
    assumptions: tuple[str, ...]
    source: str
    units: Mapping[str, str]
    section: str
    kind: str
    derivation: str
    confirmed: bool

    @property
    def signature(self) -> str:
        """Name, arguments and defaults, as one would call it."""
        arguments = []
        for parameter in inspect.signature(self.function).parameters.values():
            default = parameter.default
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY and "*" not in arguments:
                arguments.append("*")
            arguments.append(parameter.name if default is inspect.Parameter.empty else f"{parameter.name}={default!r}")
        return f"{self.name}({', '.join(arguments)})"


_ENTRIES: dict[str, Entry] = {}


def entry(
    *,
    formula: str,
    assumptions: tuple[str, ...],
    source: str,
    units: Mapping[str, str],
    section: str,
    kind: str,
    derivation: str = "",
    confirmed: bool = True,
) -> Callable[[Function], Function]:
    """Enter the decorated function into the catalogue; its docstring's first line is the summary."""

    def register(function: Function) -> Function:
        name = function.__name__
        summary = (inspect.getdoc(function) or name).splitlines()[0]
        _ENTRIES[name] = Entry(
            name=name,
            function=function,
            summary=summary,
            formula=formula,
            assumptions=assumptions,
            source=source,
            units=MappingProxyType(dict(units)),
            section=section,
            kind=kind,
            derivation=derivation,
            confirmed=confirmed,
        )
        return function

    return register


def catalogue() -> Mapping[str, Entry]:
    """All entries by name, read-only, in the order of their sections.

    Example:
        >>> from bandit_rft import theory
        >>> len(theory.catalogue()) > 70
        True
    """
    return MappingProxyType(dict(sorted(_ENTRIES.items(), key=lambda item: _place(item[1].section))))


def about(name: str) -> dict[str, Any]:
    """What a `Prediction` or `Bound` takes over from its entry: name, assumptions, formula and source."""
    found = _ENTRIES[name]
    return {"name": name, "assumptions": found.assumptions, "formula": found.formula, "source": found.source}


def _place(section: str) -> tuple[str, float]:
    return section[:1], float(section[1:] or 0)


def describe(name: str) -> str:
    """Plain text of one entry: signature, units, formula, assumptions, source.

    Raises:
        InputError: no entry has that name.

    Example:
        >>> from bandit_rft import theory
        >>> print(theory.describe("pg_ode").splitlines()[0])
        Gradient flow of softmax policy gradient with exact gradients, in closed form.
    """
    if not isinstance(name, str) or name not in _ENTRIES:
        raise InputError(
            f"The theory has no entry {shown(name)}{nearest(name, _ENTRIES)}: choose one of theory.catalogue(), which "
            "bandit-rft theory lists."
        )
    found = _ENTRIES[name]
    lines = [found.summary, "", f"  {found.signature}", ""]
    width = max(len(parameter) for parameter in found.units)
    lines += [f"  {parameter:<{width}}  {meaning}" for parameter, meaning in found.units.items()]
    lines += ["", "Formula", textwrap.indent(found.formula, "  "), "", "Assumptions"]
    lines += [f"  - {assumption}" for assumption in found.assumptions]
    lines += ["", "Source", f"  {found.source}"]
    if not found.confirmed:
        lines += [f"  {UNCONFIRMED}"]
    return "\n".join(lines)
