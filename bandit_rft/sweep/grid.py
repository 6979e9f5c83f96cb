"""The points of a sweep: the grid spelt out, and each point made once to see whether it can be run."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from bandit_rft.arguments import whole
from bandit_rft.contract import ArmSet, LearnerFactory
from bandit_rft.errors import InputError
from bandit_rft.fingerprint import digest, fingerprint
from bandit_rft.loop.checks import require_arms, require_learner
from bandit_rft.loop.one_round import bound_of

Make = Callable[..., tuple[ArmSet, LearnerFactory]]

_MOST_BITS = 13_287  # 4,000 digits: Python writes no more than 4,300
_RUN_NAMES = ("rounds", "seeds", "row_capacity")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """One point: its parameters, what `make` gets of them, how long it runs, what it made, and the types of what is in
    that and cannot be told from others (`fingerprint`).
    """

    point: Mapping[str, Any]
    arguments: Mapping[str, Any]
    rounds: int
    seeds: int
    row_capacity: int | None
    fingerprint: str
    unknown: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """For messages."""
        return ", ".join(f"{name}={value!r}" for name, value in self.point.items())

    @property
    def digest(self) -> str:
        """16 hexadecimal digits of the point's parameters."""
        return digest(dict(self.point))


def points_of(over: Any) -> tuple[dict[str, tuple[Any, ...]], list[dict[str, Any]]]:
    """(axes, points) in plain JSON values."""
    if isinstance(over, Mapping):
        axes = {
            str(name): tuple(_plain(name, value) for value in _listed(name, values)) for name, values in over.items()
        }
        points = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
        if not axes:
            raise InputError("over names no parameter: give a name and its values, such as over={'K': [10, 100]}.")
    else:
        listed = _listed("over", over)
        if not all(isinstance(point, Mapping) and point for point in listed):
            raise InputError("over is neither name -> values nor a list of points: give one of the two.")
        points = [{str(name): _plain(name, value) for name, value in point.items()} for point in listed]
        axes = {"point": tuple(range(len(points)))}
    seen: set[str] = set()
    for point in points:
        text = json.dumps(point, sort_keys=True)
        if text in seen:
            raise InputError(f"The point {text} is given twice: leave one out (two would share one key).")
        seen.add(text)
    return axes, points


def _listed(name: str, values: Any) -> list[Any]:
    if isinstance(values, str | bytes | Mapping) or not hasattr(values, "__iter__"):
        raise InputError(f"{name} is swept over {values!r}: give a list of values.")
    listed = list(values)
    if not listed:
        raise InputError(f"{name} is swept over nothing: give at least one value.")
    return listed


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{name} takes the value {value}: give finite numbers.")
    if isinstance(value, int) and value.bit_length() > _MOST_BITS:
        raise InputError(f"{name} takes a number of more than 4,000 digits: give one that Python reads and writes.")
    if value is not None and not isinstance(value, str | int | float | bool):
        raise InputError(
            f"{name} takes a value of type {type(value).__name__}: sweep numbers, texts, booleans or None, and build "
            "the rest from them in make."
        )
    return value


def plan_point(
    make: Make, point: Mapping[str, Any], rounds: int | None, seeds: int | None, row_capacity: int | None
) -> Plan:
    """Make the point's arms and learner once, so that what can be refused is refused before anything is run."""
    given = {"rounds": rounds, "seeds": seeds, "row_capacity": row_capacity}
    for name, value in given.items():
        if value is not None and name in point:
            raise InputError(f"{name} is both swept and given as {value}: leave one out.")
    parameters = inspect.signature(make).parameters
    # Where make takes **anything, the run's own names are still not its affair.
    arguments = {name: value for name, value in point.items() if name not in _RUN_NAMES or name in parameters}
    plan = Plan(point=point, arguments=arguments, rounds=0, seeds=0, row_capacity=None, fingerprint="")
    with naming(plan):
        counts = {"seeds": 1} | {name: value for name, value in {**given, **point}.items() if name in _RUN_NAMES}
        counts["seeds"] = 1 if counts["seeds"] is None else counts["seeds"]
        if counts["rounds"] is None:
            raise InputError("the number of rounds is missing: give rounds, or sweep it.")
        for name in ("rounds", "seeds"):
            whole(name, counts[name])
        try:
            inspect.signature(make).bind(**arguments)
        except TypeError as error:
            raise InputError(f"make does not take these parameters ({error}).") from None
        made = make(**arguments)
        if not isinstance(made, tuple) or len(made) != 2:
            raise InputError("make must return (arms, learner).")
        arms, learner = made
        require_arms(arms)
        require_learner(learner)
        if getattr(arms, "jittable", False):  # binding is cheap for a table; a model's may load its weights
            with jax.enable_x64(True):  # as in `run`
                bound_of(learner, arms, int(counts["rounds"]), counts["row_capacity"])
    unknown: list[str] = []
    made_of = fingerprint((arms, learner), unknown)
    return dataclasses.replace(
        plan,
        rounds=int(counts["rounds"]),
        seeds=int(counts["seeds"]),
        row_capacity=counts["row_capacity"],
        fingerprint=made_of,
        unknown=tuple(unknown),
    )


@contextlib.contextmanager
def naming(plan: Plan) -> Iterator[None]:
    """Name the point in whatever goes wrong there."""
    try:
        yield
    except InputError as error:
        raise type(error)(f"At {plan.name}: {error}") from error
    except Exception as error:
        error.add_note(f"This happened in a sweep, at {plan.name}; points finished before are kept in `out`.")
        raise
