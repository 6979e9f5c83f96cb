"""What a simulation is asked: one frozen configuration, from a preset, a TOML file or a saved config.json."""

from __future__ import annotations

import dataclasses
import inspect
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bandit_rft import arguments, arms, by_name, learners, policies, verifiers
from bandit_rft.contract import ArmSet, LearnerFactory
from bandit_rft.errors import InputError
from bandit_rft.runs.files import loads

ARMS = {name: getattr(arms, name) for name in arms.__all__ if inspect.isclass(getattr(arms, name))}
PRIORS = {name: ARMS.pop(name) for name in ("Beta", "Prior", "TwoPoint")}
LEARNERS = {name: getattr(learners, name) for name in learners.__all__}
# What an argument of an arm set or learner may itself be, written as a table with a type.
PARTS: Mapping[str, Any] = (
    ARMS
    | LEARNERS
    | {name: kind for name, kind in PRIORS.items() if name != "Prior"}
    | {name: getattr(policies, name) for name in ("LogLinear", "PrefixTree", "Product")}
    | {name: getattr(verifiers, name) for name in ("AnswerToken", "HashFraction", "ModularSum")}
    | {"NeedleSequence": verifiers.Needle}  # Needle alone is the arm set
)
_TABLES = ("arms", "learner")
# What a class of the user's own must have before it is called; a configuration may name any function of Python.
_METHODS = {"arm set": ("pull", "mean"), "learner": ("bind",)}
_SOURCES = "sources"  # in config.json: what the user's own code was, by its name
_COUNTS = ("rounds", "seeds", "key", "row_capacity")


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """A learner on a table of arms.

    Attributes:
        name: of the run folder.
        arms: {"type": a name of `ARMS`, or the user's own as module:Name or file.py:Name, and its arguments}.
        learner: {"type": a name of `LEARNERS`, or the user's own, and its arguments}.
        rounds: T. seeds: S independent repetitions. key: seed of all random draws.
        row_capacity: rows of the table, or None for the most that the run can need.
    """

    name: str
    arms: Mapping[str, Any] = field(default_factory=dict)
    learner: Mapping[str, Any] = field(default_factory=dict)
    rounds: int = 400
    seeds: int = 512
    key: int = 0
    row_capacity: int | None = None

    def make_arms(self) -> Any:
        """The arm set. Raises InputError: an unknown type or argument, one missing, or a value that it refuses."""
        made = _make("arm set", "arms", ARMS, self.arms)
        if not isinstance(made, ArmSet):
            raise InputError(f"{self.arms['type']} is no arm set: give it jittable, best_mean, pull and mean.")
        return made

    def make_learner(self) -> LearnerFactory:
        """The learner's factory. Raises InputError as `make_arms`."""
        return _make("learner", "learner", LEARNERS, self.learner)

    def to_json(self) -> dict[str, Any]:
        """Plain values, complete: `read` takes them back. Of the user's own code its module, name and SHA-256."""
        values = {"command": "simulate", **dataclasses.asdict(self)}
        sources = _sources_of(values)
        return {**values, _SOURCES: sources} if sources else values

    def with_settings(self, settings: Sequence[str]) -> Simulation:
        """A copy changed by "key=value" texts; a key is "rounds", "arms.p0", "learner.step_size", or "p0" alone.

        Raises:
            InputError: no such key, an ambiguous one, or no "=".
        """
        values = self.to_json()
        for setting in settings:
            key, equals, text = setting.partition("=")
            key = key.strip()
            if not equals or not key:
                raise InputError(f"--set {setting!r} is no setting: write it as key=value, such as arms.p0=0.1.")
            _set(values, key, _value(text.strip()))
        return from_values(values, "--set")


def read(source: str | Path) -> Simulation:
    """A configuration from a TOML file, a saved config.json or a run folder.

    Raises:
        InputError: the file is missing or malformed, or holds unknown or missing fields.
    """
    path = Path(source)
    if path.is_dir():
        path = path / "config.json"
    try:
        content = path.read_bytes().decode("utf-8-sig")
        values = loads(content) if path.suffix == ".json" else tomllib.loads(content)
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror or error}): give a TOML file or a preset's name."
        ) from None
    except (ValueError, RecursionError) as error:
        kind = "JSON" if path.suffix == ".json" else "TOML"
        raise InputError(f"{path} is not {kind} ({str(error).splitlines()[0]}): mend the file.") from None
    if not isinstance(values, dict):
        raise InputError(f"{path} holds no table of settings: give [arms], [learner], rounds, seeds and key.")
    return from_values({"name": path.stem, **values}, str(path))


def from_values(values: Mapping[str, Any], where: str) -> Simulation:
    """A configuration from plain values, checked field by field.

    Raises:
        InputError: an unknown field, one of the wrong kind, or another command's configuration.
    """
    values = dict(values)
    if values.pop("command", "simulate") != "simulate":
        raise InputError(
            f"{where} is another command's configuration: give one that bandit-rft simulate wrote, or a TOML file."
        )
    sources = values.pop(_SOURCES, {})
    known = [entry.name for entry in dataclasses.fields(Simulation)]
    for name, value in values.items():
        if name not in known:
            raise InputError(f"{where} has the unknown field {name!r}: choose among {', '.join(known)}.")
        if name in _TABLES and not isinstance(value, Mapping):
            raise InputError(f"{where} gives {name} as {value!r}: make it a table with a type and its arguments.")
        if name in _COUNTS and not arguments.is_whole(value) and not (name == "row_capacity" and value is None):
            raise InputError(f"{where} gives {name} as {value!r}: make it a whole number.")
    for table in _TABLES:
        if table not in values:
            raise InputError(f"{where} lacks [{table}]: give it a type, one of {', '.join(_choices(table))}.")
    if not 0 <= values.get("key", 0) < 2**63:
        raise InputError(f"{where} gives the key {values['key']}: give a whole number from 0 to 2^63 - 1.")
    _require_sources(sources, values, where)
    return Simulation(**values)


def _sources_of(values: Mapping[str, Any], kind: str = "type") -> dict[str, Any]:
    """`by_name.record` of the user's own code that a configuration names, by the name written there."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= _sources_of(value, {"arms": "arm set", "learner": "learner"}.get(name, kind))
        elif name == "type" and by_name.is_own(value):
            found[value] = by_name.record(value, kind)
    return found


def _require_sources(saved: Any, values: Mapping[str, Any], where: str) -> None:
    """Refuse own code that is not what the configuration was written with."""
    if not isinstance(saved, Mapping):
        raise InputError(f"{where} gives {_SOURCES} as {saved!r}: leave it out, or restore what simulate wrote.")
    if not saved:
        return
    now = _sources_of(values)
    for name in saved:
        if name in now and saved[name] != now[name]:
            raise InputError(
                f"{where} was written with another {name} (its source has changed): restore it, or take "
                f"{_SOURCES} out of the file to run the new one."
            )


def _choices(table: str) -> Mapping[str, Any]:
    return ARMS if table == "arms" else LEARNERS


def _set(values: dict[str, Any], key: str, value: Any) -> None:
    table, dot, name = key.partition(".")
    if dot:
        if table not in _TABLES:
            raise InputError(f"--set {key} names no table: write arms.NAME or learner.NAME.")
        values[table] = {**values[table], name: value}
        return
    if key in values and key not in _TABLES:
        values[key] = value
        return
    known = [*_COUNTS, *(name for table in _TABLES for name in _arguments(_kind(table, values[table].get("type"))))]
    owners = [table for table in _TABLES if key in _arguments(_kind(table, values[table].get("type")))]
    if len(owners) > 1:
        raise InputError(f"--set {key} is an argument of both arms and learner: write arms.{key} or learner.{key}.")
    if not owners:
        raise InputError(
            f"--set {key} is neither a field nor an argument of arms or learner{arguments.nearest(key, known)}: choose "
            f"one of {', '.join(dict.fromkeys(known))}."
        )
    values[owners[0]] = {**values[owners[0]], key: value}


def _value(text: str) -> Any:
    """A TOML value; anything that is none is a text, and none is None."""
    if text.lower() == "none":
        return None
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except ValueError:
        return text


def _kind(table: str, name: Any) -> Any:
    """The class of that name, None where it is unknown. Raises InputError where the user's own cannot be had."""
    if by_name.is_own(name):
        return _class("arm set" if table == "arms" else "learner", _choices(table), name)
    return _choices(table).get(name) if isinstance(name, str) else None


def _class(what: str, kinds: Mapping[str, Any], name: Any) -> Any:
    """The class of that name. The user's own must look like an arm set or a learner: it is called right after."""
    found = by_name.resolve(name, kinds, what)
    if not by_name.is_own(name):
        return found
    needed = [_METHODS[what]] if what in _METHODS else list(_METHODS.values())
    if not inspect.isclass(found) or not any(all(hasattr(found, one) for one in methods) for methods in needed):
        said = " or ".join(" and ".join(methods) for methods in needed)
        raise InputError(f"The {what} {name} has no {said}: name a class that has.")
    return found


def _arguments(kind: Any) -> dict[str, inspect.Parameter]:
    return {} if kind is None else dict(inspect.signature(kind).parameters)


def _make(what: str, table: str, kinds: Mapping[str, Any], values: Mapping[str, Any]) -> Any:
    arguments = dict(values)
    name = arguments.pop("type", None)
    kind = _class(what, kinds, name)
    known = _arguments(kind)
    open_ended = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in known.values())
    for argument in arguments:
        if argument not in known and not open_ended:
            raise InputError(f"{name} has no argument {argument!r}: choose among {', '.join(known) or 'none'}.")
    missing = [
        key
        for key, parameter in known.items()
        if parameter.default is inspect.Parameter.empty
        and parameter.kind not in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        and key not in arguments
    ]
    if missing:
        raise InputError(
            f"{name} needs {missing[0]}: give it under [{table}], or with --set {table}.{missing[0]}=VALUE."
        )
    for key, value in arguments.items():
        if isinstance(value, Mapping):
            arguments[key] = _make(f"argument {key} of {name}", f"{table}.{key}", PARTS, value)
        elif isinstance(value, list):
            arguments[key] = tuple(value)
    try:
        return kind(**arguments)
    except by_name.PASSING:
        raise
    except BaseException as error:
        if not (by_name.is_own(name) or isinstance(error, TypeError | ValueError | OverflowError)):
            raise
        shown = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
        raise InputError(
            f"{name}({shown}) cannot be made{by_name.said(error)}: give arguments of the right kind."
        ) from None
