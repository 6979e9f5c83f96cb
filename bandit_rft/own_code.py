"""The user's own learner, arm set or signal in compiled rounds: what it does wrong, in one sentence with its name.

Rounds on most arm sets are compiled: the user's lines are run once, on arrays that have no numbers yet, and what JAX
made of them is run in every round. So they may not read a number, nor keep or draw one by themselves.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import random
import sys
import traceback
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from bandit_rft import arguments, by_name
from bandit_rft.errors import InputError
from bandit_rft.fingerprint import fingerprint

_PACKAGES = ("bandit_rft", "llm_bridge")

# What JAX raises where a function wants the numbers of an array that is being traced, which has none yet.
UNTRACEABLE = (
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
    jax.errors.NonConcreteBooleanIndexError,
)


def is_own(thing: Any) -> bool:
    """Whether an object is of a class from outside these packages."""
    return type(thing).__module__.partition(".")[0] not in _PACKAGES


def holds_own(thing: Any) -> bool:
    """Whether a learner, an arm set or a function is the user's own, or is made of something that is: a signal in a
    learner of the package, an arm set within another.
    """
    if isinstance(thing, functools.partial):
        return any(map(holds_own, (thing.func, *thing.args, *thing.keywords.values())))
    if isinstance(thing, types.MethodType):
        return holds_own(thing.__self__)
    if isinstance(thing, types.FunctionType) or callable(getattr(thing, "__wrapped__", None)):
        return by_name.is_users(getattr(getattr(inspect.unwrap(thing), "__code__", None), "co_filename", "<frozen"))
    if isinstance(thing, tuple) and len(thing) <= 64:
        return any(map(holds_own, thing))
    if any(map(_is_users_class, type(thing).__mro__)):
        return True
    if not dataclasses.is_dataclass(thing) or isinstance(thing, type):
        return False
    return any(holds_own(getattr(thing, field.name)) for field in dataclasses.fields(thing))


def _is_users_class(kind: type) -> bool:
    if kind.__module__.partition(".")[0] in _PACKAGES:
        return False
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    if by_name.is_users(file) if file else kind.__module__ == "__main__":  # a notebook has no file
        return True
    # One that was made by a call of type() has the module of whoever made it.
    return any(isinstance(held, types.FunctionType) and holds_own(held) for held in vars(kind).values())


def watched(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, which refuses what `same_each_round` refuses while it is traced; called with numbers it draws anew
    in every call, and may."""

    @functools.wraps(function)
    def inner(*given: Any, **named: Any) -> Any:
        if not any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves((given, named))):
            return function(*given, **named)
        with same_each_round(name):
            return function(*given, **named)

    return inner


def refuse_untraceable(error: BaseException) -> None:
    """Raises InputError for an error of `UNTRACEABLE` that the user's own lines led to, naming the function that the
    package called and the line; returns where none of them did.
    """
    frames = [
        frame for frame, _ in traceback.walk_tb(error.__traceback__) if by_name.is_users(frame.f_code.co_filename)
    ]
    if not frames:
        return
    if isinstance(error, jax.errors.NonConcreteBooleanIndexError):
        fault, wanted = "picks entries by a mask", "use jnp.where(mask, values, others) in it, and no values[mask]"
    else:
        fault = "reads the numbers of an array"
        wanted = (
            "use jax.numpy in it, such as jnp.where and jnp.argmax, and no numpy, float() or if on what it is given"
        )
    raise InputError(
        f"{_called(frames[0].f_code.co_qualname)} {fault}{by_name.line(error)}, and these rounds are compiled before "
        f"there are any numbers: {wanted}."
    ) from error


def _called(qualified: str) -> str:
    """A function as its writer calls it: Mine.index; of one inside another, act of Mine.bind."""
    *outer, last = qualified.split(".<locals>.")
    return last if "." in last or not outer else f"{last} of {outer[-1]}"


def require_arguments(function: Any, name: str, *wanted: str, by_keyword: tuple[str, ...] = ()) -> None:
    """Raises InputError for a function that cannot be called with these arguments, or is none.

    Args:
        function: of the user's own.
        name: what messages call it.
        wanted: its arguments, in order. by_keyword: those that are given by their names.
    """
    said = f"{name}({', '.join((*wanted, *by_keyword))})"
    if not callable(function):
        raise InputError(f"{name} is {type(function).__name__}, no function: write it as {said}.")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # of a function that does not say what it takes
        return
    try:
        signature.bind(*wanted, **dict.fromkeys(by_keyword))
    except TypeError as error:
        raise InputError(f"{name} takes {signature} and not what it is given ({error}): write it as {said}.") from None


def uses(function: Callable[[jax.Array], Any], argument: jax.Array) -> bool:
    """Whether what the function returns, or computes on the way, is made of its argument."""
    traced = jax.make_jaxpr(function)(argument).jaxpr
    [given] = traced.invars
    return any(given is read for step in traced.eqns for read in step.invars) or any(
        given is result for result in traced.outvars
    )


def read_by(thing: Any) -> tuple[Any, ...]:
    """What the user's own code in an arm set or a learner reads from around it, as values to compare: the globals of
    its functions, those of the functions that they call, and the attributes of its classes.

    Arrays count by their bytes, lists and tables by all that they hold, and other objects, and arrays above 64 MiB, by
    their identity.
    """
    found: dict[tuple[int, str], Any] = {}
    seen: set[int] = set()

    def function(code: Any) -> None:
        code = inspect.unwrap(code)
        if (
            not isinstance(code, types.FunctionType)
            or id(code) in seen
            or not by_name.is_users(code.__code__.co_filename)
        ):
            return
        seen.add(id(code))
        for name in _names(code.__code__):
            if name in code.__globals__:
                value(id(code.__globals__), name, code.__globals__[name])

    def value(place: int, name: str, held: Any) -> None:
        if isinstance(held, types.FunctionType):
            function(held)
            held = held.__code__
        elif isinstance(held, (bool, int, float, str, type(None))):
            pass
        elif isinstance(held, list | tuple | dict | set | frozenset | np.ndarray | np.generic | jax.Array):
            small = getattr(held, "nbytes", 0) <= 2**26
            with contextlib.suppress(Exception):  # of a list that holds what nothing describes
                held = fingerprint(held) if small else id(held)
            held = held if isinstance(held, str | int) else id(held)
        else:
            held = id(held)
        found[place, name] = type(held), held

    def walk(part: Any) -> None:
        if isinstance(part, functools.partial):
            walk((part.func, *part.args, *part.keywords.values()))
        elif isinstance(part, tuple) and len(part) <= 64:
            for one in part:
                walk(one)
        elif isinstance(part, types.MethodType):
            walk(part.__self__)
        elif isinstance(part, types.FunctionType) or callable(getattr(part, "__wrapped__", None)):
            function(part)
        elif dataclasses.is_dataclass(part) and not isinstance(part, type) and id(part) not in seen:
            seen.add(id(part))
            for kind in type(part).__mro__:
                if kind.__module__.partition(".")[0] in (*_PACKAGES, "builtins", "abc"):
                    continue
                for name, held in vars(kind).items():
                    for inner in (held, *(getattr(held, one, None) for one in ("__func__", "fget", "func"))):
                        function(inner)
                    if not (name.startswith("__") or callable(held) or hasattr(held, "__get__")):
                        value(id(kind), name, held)
            for field in dataclasses.fields(part):
                walk(getattr(part, field.name))

    walk(thing)
    return tuple(found.items())


def _names(code: types.CodeType) -> set[str]:
    """The names that a function's code and the functions inside it may look up in their module."""
    return set(code.co_names).union(*(_names(inner) for inner in code.co_consts if isinstance(inner, types.CodeType)))


def real_array(name: str, given: Any, shape: tuple[int, ...], what: str) -> jax.Array:
    """What the user's own function returned, as an array. Raises InputError for another shape, or for no real numbers.

    Args:
        name: of the function. given: what it returned. shape: that it should have.
        what: it should hold, for messages.
    """
    try:
        found = jnp.asarray(given)
        real = jnp.issubdtype(found.dtype, jnp.number) and not jnp.issubdtype(found.dtype, jnp.complexfloating)
    except (TypeError, ValueError, OverflowError):
        found, real = None, False
    if found is None or not real or found.shape != shape:
        said = arguments.shown(given) if getattr(given, "shape", None) is None else f"{given.dtype} {list(given.shape)}"
        raise InputError(f"{name} returned {said}: return {shape[0]} numbers, {what}.")
    return found


@contextlib.contextmanager
def same_each_round(name: str, *things: Any) -> Iterator[None]:
    """Raises InputError where the lines within, which are run once for all rounds, draw random numbers of NumPy's or
    Python's, or change an attribute of one of the things.

    Those numbers belong to all threads, so that this is for lines of the user's own: what another thread draws beside
    lines of the package is nobody's fault.

    Args:
        name: of the user's own function that is called within, for messages.
        things: that the user's own lines may have set something in.
    """
    drawn, held = _drawn(), [_held(thing) for thing in things]
    yield
    if _drawn() != drawn:
        raise InputError(
            f"{name} draws random numbers by NumPy or Python, which happens once, when the rounds are compiled, and "
            "not in every round: draw them by jax.random from the key that is given."
        )
    for thing, before in zip(things, held, strict=True):
        for attribute, value in _held(thing).items():
            if attribute in before and _same(value, before[attribute]):
                continue
            if attribute in before or any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(value)):
                raise InputError(
                    f"{name} changes {type(thing).__name__}.{attribute}, which happens once, when the rounds are "
                    "compiled, and not in every round: compute it from what is given, or keep it in the state of a "
                    "bandit_rft.contract.Learner."
                )


def _drawn() -> tuple[Any, ...]:
    """Where the random numbers of NumPy and Python that have no owner stand."""
    return _state(np.random.get_state(legacy=False)), random.getstate()  # noqa: NPY002 (the user's draws are meant)


def _state(values: Any) -> Any:
    """The state of a generator of NumPy's, as something to compare."""
    if isinstance(values, Mapping):
        return {name: _state(value) for name, value in values.items()}
    return values.tobytes() if isinstance(values, np.ndarray) else values


def _held(thing: Any) -> dict[str, Any]:
    """The attributes of an object but for what cached properties keep; of a generator of NumPy's its state."""
    return {
        name: _Generator(_state(value.bit_generator.state)) if isinstance(value, np.random.Generator) else value
        for name, value in getattr(thing, "__dict__", {}).items()
        if not isinstance(inspect.getattr_static(type(thing), name, None), functools.cached_property)
    }


class _Generator(NamedTuple):
    state: Any


def _same(one: Any, other: Any) -> bool:
    by_value = type(one) in (_Generator, bool, int, float, str) and type(one) is type(other)
    return one is other or (by_value and one == other)
