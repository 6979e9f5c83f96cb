"""An entry of the theory evaluated at given arguments, as text."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any

from bandit_rft import theory
from bandit_rft.errors import InputError
from bandit_rft.theory import Bound, Prediction


def evaluated(name: str, values: Mapping[str, Any]) -> str:
    """The value of an entry of the catalogue: a number, a record, or a small table of curves.

    Args:
        name: of the entry.
        values: arguments by name, in the units that `theory.describe` names.

    Raises:
        InputError: an argument that the entry lacks or needs, or a value that it refuses.
    """
    entry = theory.catalogue()[name]
    parameters = inspect.signature(entry.function).parameters
    for given in values:
        if given not in parameters:
            raise InputError(f"{entry.name} has no argument {given!r}: choose among {', '.join(parameters)}.")
    missing = [n for n, p in parameters.items() if p.default is inspect.Parameter.empty and n not in values]
    if missing:
        raise InputError(
            f"{entry.name} needs {missing[0]} ({entry.units.get(missing[0], '')}): add --set {missing[0]}=VALUE."
        )
    try:
        result = entry.function(**values)
    except InputError:
        raise
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{entry.signature} cannot take these values ({error}): see bandit-rft theory {entry.name}."
        ) from None
    return _shown(entry.name, values, result)


def _shown(name: str, values: Mapping[str, Any], result: Any) -> str:
    call = f"{name}({', '.join(f'{key}={value!r}' for key, value in values.items())})"
    if isinstance(result, Bound):
        return "\n".join(
            [call, result.report(), *_rows(result.at, {"bound": result.value, "theorem": result.uncapped})]
        )
    if not isinstance(result, Prediction):
        return f"{call} = {_plain(result)}"
    curves = {"Pass@1": result.value, "sd": result.value_sd, "regret": result.regret, "sd ": result.regret_sd}
    at = range(result.rounds) if result.at is None else result.at
    return "\n".join([call, *_rows(at, curves), *(f"outside its assumptions: {flag}" for flag in result.flags)])


def _rows(at: Any, curves: dict[str, Any]) -> list[str]:
    """A small table of curves at the first and last round, and between."""
    lines = [f"{'round':>10}" + "".join(f"  {label:>10}" for label in curves)]
    last = len(at) - 1
    for place in sorted({0, *(round(last * share) for share in (0.1, 0.25, 0.5, 0.75)), last}):
        shown = [f"{'unknown':>10}" if curve is None else f"{curve[place]:10.4g}" for curve in curves.values()]
        lines.append(f"{at[place]:>10}  " + "  ".join(shown))
    return lines


def _plain(result: Any) -> str:
    """A number, an array, or the fields of a record."""
    if dataclasses.is_dataclass(result):
        fields = [field.name for field in dataclasses.fields(result)]
    elif isinstance(result, tuple) and hasattr(result, "_fields"):
        fields = list(result._fields)  # type: ignore[attr-defined]
    else:
        return str(result)
    return "".join(f"\n  {name} = {getattr(result, name)}" for name in fields)
