"""`bandit-rft theory`: the catalogue of predictions, and one evaluated."""

from __future__ import annotations

import argparse
import ast
import dataclasses
import inspect
from typing import Any

from bandit_rft.errors import InputError


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = subparsers.add_parser(
        "theory",
        help="the catalogue of predictions: formula, assumptions, source",
        description="List the predictions, describe one, or evaluate it at given arguments.",
    )
    parser.add_argument("name", metavar="NAME", nargs="?", help="entry of the catalogue (without it: list them)")
    parser.add_argument(
        "--set",
        dest="settings",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="an argument, in the unit that the description names; repeatable (default: describe only)",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """List, describe or evaluate."""
    from bandit_rft import theory

    if arguments.name is None:
        if arguments.settings:
            raise InputError("--set needs the NAME of a prediction: give one of the catalogue.")
        width = max(map(len, theory.catalogue()))
        for name, entry in theory.catalogue().items():
            print(f"{entry.section:<6}{name:<{width}}  {entry.summary}")
        return 0
    description = theory.describe(arguments.name)
    if not arguments.settings:
        print(description)
        return 0
    entry = theory.catalogue()[arguments.name]
    values = dict(_setting(text) for text in arguments.settings)
    parameters = inspect.signature(entry.function).parameters
    for name in values:
        if name not in parameters:
            raise InputError(f"{entry.name} has no argument {name!r}: choose among {', '.join(parameters)}.")
    missing = [n for n, p in parameters.items() if p.default is inspect.Parameter.empty and n not in values]
    if missing:
        raise InputError(
            f"{entry.name} needs {missing[0]} ({entry.units.get(missing[0], '')}): add --set {missing[0]}=VALUE."
        )
    try:
        found = entry.function(**values)
    except InputError:
        raise
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{entry.signature} cannot take these values ({error}): see bandit-rft theory {entry.name}."
        ) from None
    print(_shown(entry.name, values, found))
    return 0


def _setting(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise InputError(f"--set {text!r} is no setting: write it as key=value, such as p0=0.05.")
    try:
        return name.strip(), ast.literal_eval(value.strip())
    except (ValueError, SyntaxError):
        return name.strip(), {"none": None, "true": True, "false": False}.get(value.strip().lower(), value.strip())


def _shown(name: str, values: dict[str, Any], found: Any) -> str:
    from bandit_rft.theory import Bound, Prediction

    call = f"{name}({', '.join(f'{key}={value!r}' for key, value in values.items())})"
    if isinstance(found, Bound):
        return "\n".join([call, found.report(), *_rows(found.at, {"bound": found.value, "theorem": found.uncapped})])
    if not isinstance(found, Prediction):
        return f"{call} = {_plain(found)}"
    curves = {"Pass@1": found.value, "sd": found.value_sd, "regret": found.regret, "sd ": found.regret_sd}
    at = range(found.rounds) if found.at is None else found.at
    return "\n".join([call, *_rows(at, curves), *(f"outside its assumptions: {flag}" for flag in found.flags)])


def _rows(at: Any, curves: dict[str, Any]) -> list[str]:
    """A small table of curves at the first and last round, and between."""
    lines = [f"{'round':>10}" + "".join(f"  {label:>10}" for label in curves)]
    last = len(at) - 1
    for place in sorted({0, *(round(last * share) for share in (0.1, 0.25, 0.5, 0.75)), last}):
        shown = [f"{'unknown':>10}" if curve is None else f"{curve[place]:10.4g}" for curve in curves.values()]
        lines.append(f"{at[place]:>10}  " + "  ".join(shown))
    return lines


def _plain(found: Any) -> str:
    """A number, an array, or the fields of a record."""
    if dataclasses.is_dataclass(found):
        fields = [field.name for field in dataclasses.fields(found)]
    elif isinstance(found, tuple) and hasattr(found, "_fields"):
        fields = list(found._fields)  # type: ignore[attr-defined]
    else:
        return str(found)
    return "".join(f"\n  {name} = {getattr(found, name)}" for name in fields)
