"""`describe`: arms and learners as the plain JSON values of a history's config, alike only where they are alike."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import inspect
import json
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bandit_rft.fingerprint import fingerprint

_LISTED = 32  # so many values of a list are written out; of a longer one its digest
_PLAIN = (str, int, float, bool, type(None))
_OWN = ("bandit_rft", "llm_bridge")


def describe(thing: Any) -> dict[str, Any]:
    """A factory or arm set as plain JSON values: its type and its fields (of one that is no dataclass, its attributes).

    Whatever a field holds is described in the same way, at any depth: dataclasses by type and fields, functions by name
    and fingerprint (`bandit_rft.fingerprint`), long lists and arrays by their digests, so that two that differ anywhere
    are described differently. A class from outside the package has its module beside its type.

    Left out: the code of a class; what an object that is no dataclass holds inside a field (it counts by its `name`, or
    else by its type); a model's weights, for a thing with a text `described` is described by that text alone.
    """
    return _of(thing, ())


def _of(thing: Any, above: tuple[int, ...]) -> dict[str, Any]:
    fields: dict[str, Any] = {"type": type(thing).__name__}
    if type(thing).__module__.partition(".")[0] not in _OWN:
        fields["module"] = type(thing).__module__
    if dataclasses.is_dataclass(thing):
        held = {entry.name: getattr(thing, entry.name) for entry in dataclasses.fields(thing)}
    else:
        held = {name: value for name, value in getattr(thing, "__dict__", {}).items() if not _is_kept(thing, name)}
    above = (*above, id(thing))
    return fields | {name: described(value, above) for name, value in held.items()}


def described(value: Any, above: tuple[int, ...] = ()) -> Any:
    """A value as plain JSON values; `above` holds the ids of the things that it is part of."""
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, np.generic):
        return value.item() if isinstance(value.item(), (str, int, float, bool)) else str(value)
    if isinstance(value, tuple) and id(value) in _LONG:
        return _LONG[id(value)][1]
    if id(value) in above:
        return f"part {above.index(id(value))}"
    inside = (*above, id(value))
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        named = value._asdict()  # type: ignore[attr-defined]
        return {"type": type(value).__name__, **{name: described(one, inside) for name, one in named.items()}}
    if isinstance(value, (tuple, list)):
        plain = all(type(one) in _PLAIN for one in value)
        parts = list(value) if plain else [described(one, inside) for one in value]
        if len(value) <= _LISTED and not any(dataclasses.is_dataclass(one) for one in value):
            return parts
        return _remembered(value, f"{len(value)} values, {_digest(parts)}")
    if isinstance(value, Mapping):
        entries = {str(name): described(one, inside) for name, one in value.items()}
        return entries if len(entries) <= _LISTED else f"{len(entries)} entries, {_digest(entries)}"
    if isinstance(value, np.ndarray | jax.Array):
        if jnp.issubdtype(value.dtype, jax.dtypes.extended):
            return f"{value.dtype} {list(value.shape)}, {fingerprint(value)}"
        return f"{value.dtype} {list(value.shape)}, {_digest(np.asarray(value).tolist())}"
    if isinstance(getattr(value, "described", None), str):
        return value.described
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _of(value, above)
    if isinstance(value, type) or (callable(value) and not isinstance(getattr(value, "name", None), str)):
        code = inspect.unwrap(value) if hasattr(value, "__wrapped__") else value
        return f"{getattr(code, '__qualname__', type(code).__name__)}, {fingerprint(code)}"
    if isinstance(value, set | frozenset | bytes | complex):
        return f"{type(value).__name__}, {fingerprint(value)}"
    return str(getattr(value, "name", type(value).__name__))


def _is_kept(thing: Any, name: str) -> bool:
    """Whether an attribute is what a cached property has kept, which is there or not as it was read or not."""
    return isinstance(inspect.getattr_static(type(thing), name, None), functools.cached_property)


def _remembered(value: tuple[Any, ...] | list[Any], text: str) -> str:
    """`text`, kept where it stays true: of a tuple of numbers or strings, or of such tuples. A table of
    10^5 arms would otherwise be written out in every run on it, which takes longer than the run's rounds.
    """
    if isinstance(value, tuple) and _is_fixed(value):
        while len(_LONG) >= _MOST_LONG:
            _LONG.pop(next(iter(_LONG)), None)
        _LONG[id(value)] = value, text  # the tuple with it, so that no other gets its id
    return text


def _is_fixed(value: Any) -> bool:
    return type(value) in _PLAIN or (type(value) is tuple and all(map(_is_fixed, value)))


# id -> (tuple, its description), the newest last.
_LONG: dict[int, tuple[tuple[Any, ...], str]] = {}
_MOST_LONG = 16


def _digest(values: Any) -> str:
    return f"sha256 {hashlib.sha256(json.dumps(values, default=str).encode()).hexdigest()[:16]}"
