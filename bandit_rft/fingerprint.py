"""What tells two arm sets, learners or functions apart, short enough for a configuration file."""

from __future__ import annotations

import copyreg
import dataclasses
import functools
import hashlib
import inspect
import json
import types
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

COUNTS = "fingerprint"  # in the metadata of a dataclass's field: False where it makes no difference to what it does


def digest(value: Any) -> str:
    """16 hexadecimal digits of the SHA-256 of a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def fingerprint(thing: Any, unknown: list[str] | None = None) -> str:
    """16 hexadecimal digits of what a thing is made of.

    A dataclass by its type and fields (but for those whose metadata say that they do not count), an array by its bytes,
    a function by its bytecode, constants, defaults and closure (comments and layout do not count; another Python
    version may compile another bytecode), an object of any other class by its type and all that it holds (`held_by`).
    What a function calls or reads from its module is not followed, and neither is the code of a class.

    Args:
        thing: what to tell from others.
        unknown: takes the names of the types of the objects whose content nothing tells, such as open files and locks;
            they count by their types alone.
    """
    return digest(_Parts([] if unknown is None else unknown).of(thing, ()))


def held_by(thing: Any) -> Any:
    """What an object of any class holds, as pickling would take it: its attributes, those of slots too, and whatever
    the class itself says of a value that is not in attributes (a compiled pattern, a fraction, a random generator).
    What a cached property has kept is left out, for it is there or not as it was read or not.

    Raises:
        LookupError: nothing tells what it holds, for example an open file, a lock or a running generator.
    """
    if isinstance(thing, types.ModuleType):
        return thing.__name__
    if thing is np.random.mtrand._rand:  # the process's own, which everything that draws from it moves
        return "numpy.random"
    reduce: Any = copyreg.dispatch_table.get(type(thing))
    try:
        reduced: Any = thing.__reduce_ex__(4) if reduce is None else reduce(thing)
    except Exception as error:  # TypeError mostly; a class may raise what it likes
        raise LookupError(str(error)) from None
    if isinstance(reduced, str):  # a thing that has a name in its module
        return reduced
    maker, arguments, state, entries, items = (*reduced, None, None, None)[:5]
    several = state if isinstance(state, tuple) and len(state) == 2 else (state,)
    several = [_without_kept(type(thing), one) for one in several]
    return [maker, arguments, several, list(entries or ()), list(items or ())]


def _without_kept(kind: type, state: Any) -> Any:
    if not isinstance(state, dict):
        return state
    kept = functools.cached_property
    return {n: v for n, v in state.items() if not isinstance(inspect.getattr_static(kind, str(n), None), kept)}


class _Parts:
    """Things as plain JSON values; of each object that is no plain value the digest is computed once.

    Args:
        unknown: as `fingerprint` takes it.
    """

    def __init__(self, unknown: list[str]) -> None:
        self.unknown = unknown
        self._known: dict[int, tuple[Any, Any]] = {}  # id -> (the object, so that no other gets its id; its value)

    def of(self, thing: Any, above: tuple[int, ...]) -> Any:
        """Plain JSON values; `above` holds the ids of the things this one is part of."""
        if thing is None or isinstance(thing, str | int | float | bool):
            return thing
        if id(thing) in above:
            return f"part {above.index(id(thing))}"  # a recursive function holds itself
        above = (*above, id(thing))

        def parts(held: Any) -> Any:
            return self.of(held, above)

        if isinstance(thing, jax.Array) and jnp.issubdtype(thing.dtype, jax.dtypes.prng_key):
            thing = jax.random.key_data(thing)
        if isinstance(thing, np.ndarray | np.generic | jax.Array) and thing.dtype != object:
            array = np.asarray(thing)
            return ["array", str(array.dtype), list(array.shape), hashlib.sha256(array.tobytes()).hexdigest()]
        if isinstance(thing, list | tuple):
            return [parts(entry) for entry in thing]
        if isinstance(thing, set | frozenset):
            return ["set", *sorted(digest(parts(entry)) for entry in thing)]
        if isinstance(thing, Mapping):
            return {str(name): parts(value) for name, value in thing.items()}
        if isinstance(thing, functools.partial):
            return ["partial", parts(thing.func), parts(thing.args), parts(thing.keywords)]
        if isinstance(thing, types.MethodType):
            return ["method", parts(thing.__func__), parts(thing.__self__)]
        if isinstance(thing, types.FunctionType):
            held = (thing.__defaults__, thing.__kwdefaults__, [_cell(cell) for cell in thing.__closure__ or ()])
            return ["function", parts(thing.__code__), parts(held)]
        if isinstance(thing, types.CodeType):
            return ["code", thing.co_code.hex(), list(thing.co_names), parts(thing.co_consts)]
        if isinstance(thing, bytes | complex) or thing is Ellipsis:
            return repr(thing)
        named: Any = thing
        of_module = inspect.isbuiltin(thing) and isinstance(thing.__self__, types.ModuleType | None)
        if isinstance(thing, type) or of_module:  # of an object, a method such as `append` is one of what it holds
            return f"{named.__module__}.{named.__qualname__}"
        if callable(inner := getattr(thing, "__wrapped__", None)):  # compiled, or with a cache of results
            return [type(thing).__qualname__, parts(inner)]
        if id(thing) not in self._known:
            self._known[id(thing)] = thing, self._object(thing, above)
        return self._known[id(thing)][1]

    def _object(self, thing: Any, above: tuple[int, ...]) -> Any:
        if dataclasses.is_dataclass(thing):
            entries = dataclasses.fields(thing)
            names = {entry.name for entry in entries}
            fields = {entry.name: getattr(thing, entry.name) for entry in entries if entry.metadata.get(COUNTS, True)}
            beside = {name: value for name, value in getattr(thing, "__dict__", {}).items() if name not in names}
            beside = _without_kept(type(thing), beside)
            held = fields | ({"beside": beside} if beside else {})
            return [type(thing).__qualname__, digest(self.of(held, above))]
        name = f"{type(thing).__module__}.{type(thing).__qualname__}"
        try:
            held = held_by(thing)
        except LookupError:
            self.unknown.append(name)
            return name
        return [name, digest(self.of(held, above))]


def _cell(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # a name not yet bound
        return None
