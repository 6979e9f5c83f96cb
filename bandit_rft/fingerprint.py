"""What tells two arm sets, learners or functions apart, short enough for a configuration file."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import types
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def digest(value: Any) -> str:
    """16 hexadecimal digits of the SHA-256 of a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def fingerprint(thing: Any) -> str:
    """16 hexadecimal digits of what a thing is made of.

    A frozen dataclass by its type and fields, an array by its bytes, a function by its bytecode, constants, defaults
    and closure (comments and layout do not count; another Python version may compile another bytecode). What a function
    calls or reads from its module is not followed, and any other object counts by its type alone.
    """
    return digest(_parts(thing, ()))


def _parts(thing: Any, above: tuple[int, ...]) -> Any:
    """Plain JSON values; `above` holds the ids of the things this one is part of."""
    if thing is None or isinstance(thing, str | int | float | bool):
        return thing
    if id(thing) in above:
        return f"part {above.index(id(thing))}"  # a recursive function holds itself
    above = (*above, id(thing))
    if isinstance(thing, jax.Array) and jnp.issubdtype(thing.dtype, jax.dtypes.prng_key):
        thing = jax.random.key_data(thing)
    if isinstance(thing, np.ndarray | np.generic | jax.Array):
        array = np.asarray(thing)
        return ["array", str(array.dtype), list(array.shape), hashlib.sha256(array.tobytes()).hexdigest()]
    if isinstance(thing, list | tuple):
        return [_parts(entry, above) for entry in thing]
    if isinstance(thing, set | frozenset):
        return ["set", *sorted(digest(_parts(entry, above)) for entry in thing)]
    if isinstance(thing, Mapping):
        return {str(name): _parts(value, above) for name, value in thing.items()}
    if isinstance(thing, functools.partial):
        return ["partial", _parts(thing.func, above), _parts(thing.args, above), _parts(thing.keywords, above)]
    if isinstance(thing, types.MethodType):
        return ["method", _parts(thing.__func__, above), _parts(thing.__self__, above)]
    if isinstance(thing, types.FunctionType):
        held = (thing.__defaults__, thing.__kwdefaults__, [_cell(cell) for cell in thing.__closure__ or ()])
        return ["function", _parts(thing.__code__, above), _parts(held, above)]
    if isinstance(thing, types.CodeType):
        return ["code", thing.co_code.hex(), list(thing.co_names), _parts(thing.co_consts, above)]
    if dataclasses.is_dataclass(thing) and not isinstance(thing, type):
        fields = {entry.name: _parts(getattr(thing, entry.name), above) for entry in dataclasses.fields(thing)}
        return [type(thing).__qualname__, fields]
    if isinstance(thing, bytes | complex) or thing is Ellipsis:
        return repr(thing)
    return f"{type(thing).__module__}.{getattr(thing, '__qualname__', type(thing).__qualname__)}"


def _cell(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # a name not yet bound
        return None
