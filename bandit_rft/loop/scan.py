"""The scan loop: one compiled `lax.scan`, vmapped over seeds, on every device, or on every core of a CPU.

Several devices share the seeds, as evenly as they can; a seed's path does not depend on the device that it is on.

XLA runs a scan of small operations on one core. On a CPU the seeds are therefore divided into equal groups, one a core,
and the one compiled scan is run on all of them at once; a seed's path does not depend on its group.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import inspect
import time
import types
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bandit_rft import own_code
from bandit_rft.contract import ArmSet, Learner, LearnerFactory
from bandit_rft.errors import RowCapacityError
from bandit_rft.history import History
from bandit_rft.loop import executables
from bandit_rft.loop.checks import RECORDED, check_records
from bandit_rft.loop.groups import handed_over, number_of_groups, shard, split, whole
from bandit_rft.loop.one_round import INIT_FOLD, Progress, bound_of, one_round
from bandit_rft.loop.recorder import MOST_ROUNDS, Recorder, recorded_chunks
from bandit_rft.loop.store import Store
from bandit_rft.random_bits import quick

_PLAIN = {bool, int, float, str, type(None)}
# What a compiled loop is given beside keys and state: the learner's traced fields by name, and the arm set's tables.
Values = tuple[Mapping[str, jax.Array], Any]
CHUNK_NUMBERS = 2**23  # numbers that one chunk of rounds may hand back (64 MiB of float64)


class _Compiled:
    """(init, chunk) of one arm set and learner, vmapped over seeds, compiled once for each shape.

    The learner's `traced` fields and the arm set's `tables` are arguments of both, so that a sweep over the former
    compiles nothing anew, and arm sets whose tables have the same shapes are one program.
    """

    def __init__(self, arms: ArmSet, learner: LearnerFactory, rounds: int, row_capacity: int | None) -> None:
        self.arms, self.bound = arms, bound_of(learner, arms, rounds, row_capacity)

        def bind(values: Values) -> tuple[ArmSet, Learner]:
            traced, tables = values
            held = arms if tables is None else arms.holding(tables)  # type: ignore[attr-defined]
            return held, _with(learner, traced).bind(held, rounds=rounds, row_capacity=row_capacity)

        def init(values: Values, seed_key: jax.Array) -> Any:
            return bind(values)[1].init(jax.random.fold_in(seed_key, INIT_FOLD))

        def chunk(
            values: Values, seed_key: jax.Array, state: Any, start: jax.Array, length: int
        ) -> tuple[Any, dict[str, Any]]:
            held, bound = bind(values)

            def step(state: Any, round_index: jax.Array) -> tuple[Any, Any]:
                state, record, _ = one_round(held, bound, seed_key, round_index, state)
                overflowed = bound.overflowed(state) if bound.overflowed else False
                return state, record | {"overflowed": jnp.asarray(overflowed)}

            return jax.lax.scan(step, state, start + jnp.arange(length, dtype=jnp.int32))

        keep = getattr(arms, "kept", None)

        def part(
            values: Values, seed_key: jax.Array, state: Any, start: jax.Array, length: jax.Array
        ) -> tuple[Any, dict[str, Any]]:
            held, bound = bind(values)

            @jax.jit  # so that the shapes and the loop share one trace
            def step(state: Any, round_index: jax.Array) -> tuple[Any, Any]:
                state, record, pulled = one_round(held, bound, seed_key, round_index, state)
                overflowed = bound.overflowed(state) if bound.overflowed else False
                read_later = {} if keep is None else {"kept": keep(pulled)}
                return state, record | read_later | {"overflowed": jnp.asarray(overflowed)}

            def body(offset: jax.Array, carry: tuple[Any, Any]) -> tuple[Any, Any]:
                state, record = step(carry[0], start + offset)
                return state, jax.tree.map(lambda all, one: all.at[offset].set(one), carry[1], record)

            shapes = jax.eval_shape(step, state, start)[1]
            empty = jax.tree.map(lambda one: jnp.zeros((MOST_ROUNDS, *one.shape), one.dtype), shapes)
            return jax.lax.fori_loop(jnp.zeros_like(length), length, body, (state, empty))

        self.init = jax.jit(jax.vmap(init, (None, 0)))
        self.chunk = jax.jit(
            lambda values, keys, state, start, length: jax.vmap(
                functools.partial(chunk, length=length), (None, 0, 0, None)
            )(values, keys, state, start),
            static_argnums=4,
            donate_argnums=2,
        )
        # Its length is traced: however a run is cut, the same program runs its rounds, to the same bits.
        self.part = jax.jit(jax.vmap(part, (None, 0, 0, None, None)), donate_argnums=2)
        self._ready: dict[tuple[Any, ...], Callable] = {}

    def prepared(self, values: Any, keys: jax.Array, state: Any, start: jax.Array, length: int | jax.Array) -> Callable:
        """The chunk (of an int) or part (of a traced length), compiled ahead for these shapes: threads that called the
        jitted one would each trace it."""
        shape = (keys.shape, str(keys.dtype), length if isinstance(length, int) else None)
        if shape not in self._ready:
            lowered = (self.chunk if isinstance(length, int) else self.part).lower(values, keys, state, start, length)
            self._ready[shape] = executables.executable(lowered, jax.tree.structure(state))
        return self._ready[shape]


class _Structure:
    """A learner but for the values of its traced fields, or an arm set but for its tables: equal where one compiled
    function serves both."""

    def __init__(self, thing: Any, key: Any) -> None:
        self.thing, self.key = thing, key

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Structure) and self.key == other.key


def _of_learner(learner: Any) -> _Structure | None:
    if not _is_by_value(learner):
        return None
    traced = getattr(learner, "traced", ())
    fields = [field.name for field in dataclasses.fields(learner)] if traced else []
    rest = tuple((name, getattr(learner, name)) for name in fields if name not in traced)
    return _Structure(learner, (type(learner), rest) if traced else learner)


def _of_arms(arms: Any) -> _Structure | None:
    if hasattr(arms, "alike") and _is_exchangeable(arms):
        shapes = [(np.shape(table), str(jnp.asarray(table).dtype)) for table in jax.tree.leaves(arms.tables)]
        return _Structure(arms, (type(arms), arms.alike, tuple(shapes)))
    return _Structure(arms, arms) if _is_by_value(arms) else None


def _values(arms: Any, learner: Any) -> Values:
    traced = {name: jnp.asarray(getattr(learner, name), dtype=float) for name in getattr(learner, "traced", ())}
    return traced, jax.tree.map(jnp.asarray, arms.tables) if _is_exchangeable(arms) else None


def _is_exchangeable(arms: Any) -> bool:
    """Whether the arm set's tables are given to the compiled loop: one of the names alone is the user's own."""
    return hasattr(arms, "tables") and hasattr(arms, "holding")


def _with(learner: Any, values: Mapping[str, Any]) -> Any:
    """A copy that holds traced values; it skips __post_init__, whose checks the learner itself has passed."""
    if not values:
        return learner
    changed = copy.copy(learner)
    for name, value in values.items():
        object.__setattr__(changed, name, value)
    return changed


def _is_by_value(thing: Any) -> bool:
    """Whether a thing is equal to another by all that it holds, and cannot change: only then does one compiled function
    serve both. An object of a plain class is equal to itself alone, whatever is set in it from run to run, unless its
    class says that it `never_changes`.
    """
    kind = type(thing)
    if kind in _PLAIN or getattr(kind, "never_changes", False):
        return True
    if kind in (tuple, frozenset):  # of 10^5 means, say: most of its entries are looked at by their types alone
        return set(map(type, thing)) <= _PLAIN or all(map(_is_by_value, thing))
    if isinstance(thing, functools.partial):
        return all(map(_is_by_value, (thing.func, thing.args, *thing.keywords.values())))
    if isinstance(thing, types.MethodType):
        return _is_by_value(thing.__self__)
    if isinstance(thing, type) or callable(getattr(thing, "__wrapped__", None)) or inspect.isroutine(thing):
        return True  # code; what it reads from elsewhere is `own_code.read_by`
    if not dataclasses.is_dataclass(thing):
        return kind.__hash__ not in (None, object.__hash__)
    names = {field.name for field in dataclasses.fields(thing)}
    beside = [name for name in getattr(thing, "__dict__", {}) if name not in names]
    kept = (functools.cached_property,)  # follow from the fields
    return (
        kind.__dataclass_params__.frozen  # type: ignore[attr-defined]
        and kind.__hash__ not in (None, object.__hash__)
        and all(isinstance(inspect.getattr_static(kind, name, None), kept) for name in beside)
        and all(_is_by_value(getattr(thing, name)) for name in names)
    )


@functools.lru_cache(maxsize=64)
def _cached(arms: _Structure, learner: _Structure, rounds: int, row_capacity: int | None, read: Any) -> _Compiled:
    del read  # what own code reads from around it: another value of a global is another program
    return _Compiled(arms.thing, learner.thing, rounds, row_capacity)


def _compiled(
    arms: ArmSet, learner: LearnerFactory, rounds: int, row_capacity: int | None
) -> tuple[_Compiled, Learner]:
    """The compiled functions, and the learner bound to these very arms."""
    alike = _of_arms(arms), _of_learner(learner)
    if alike[0] is not None and alike[1] is not None:
        with contextlib.suppress(TypeError):  # of a field that cannot be hashed
            read = own_code.read_by(arms), own_code.read_by(learner)
            found = _cached(*alike, rounds, row_capacity, read)
            others = found.arms is not arms and alike[0].key is not arms
            return found, bound_of(learner, arms, rounds, row_capacity) if others else found.bound
    found = _Compiled(arms, learner, rounds, row_capacity)  # of the user's own, which may have changed: each time
    return found, found.bound


def forget() -> None:
    """Drop the compiled loops of earlier runs, which `jax.clear_caches` leaves: those of language models are large."""
    _cached.cache_clear()
    executables.forget()


def scan_loop(
    arms: ArmSet,
    learner: LearnerFactory,
    rounds: int,
    seeds: int,
    base_key: jax.Array,
    config: Mapping[str, Any],
    row_capacity: int | None,
    progress: Progress | None,
    recorder: Recorder | None = None,
) -> History:
    """All seeds at once. Raises RowCapacityError, or InputError for a reward that is not finite."""
    compiled, bound = _compiled(arms, learner, rounds, row_capacity)
    seed_keys = jax.vmap(functools.partial(jax.random.fold_in, base_key))(jnp.arange(seeds, dtype=jnp.uint32))
    number = number_of_groups(seeds)
    if recorder is not None:
        number = recorder.groups(number)
    own = seeds // number  # of a group; on several devices it may be filled up with copies of a seed
    groups = [shard(keys) for keys in jnp.split(quick(seed_keys), number)]
    values = _values(arms, learner)
    states = [compiled.init(values, keys) for keys in groups]
    start_time = time.monotonic()
    store = Store(seeds, rounds)
    begin = 0
    if recorder is not None:
        # What goes on is held once: the loop keeps neither the groups' first states nor the one state that is read.
        first, like = handed_over(states, seeds)
        resumed = recorder.resume(first)
        if resumed is not None:
            records, first = resumed
            begin = records["rewards"].shape[1]
            store.add(0, records)
            resumed = None
        states = [first]
        del first
        states = split(states, like)
    with ThreadPoolExecutor(len(groups)) as threads:
        chunks = _chunks(rounds, seeds, bound.rollouts, watched=progress is not None)
        for start, length in chunks if recorder is None else recorded_chunks(begin, rounds, recorder):
            asked = length if recorder is None else jnp.asarray(length, jnp.int32)
            outcomes = _run_chunk(compiled, values, threads, groups, states, start, asked)
            states = [state for state, _ in outcomes]
            records = jax.tree.map(
                lambda *parts, length=length: np.concatenate([np.asarray(part)[:own, :length] for part in parts]),
                *jax.device_get([record for _, record in outcomes]),
            )
            overflowed, kept = records.pop("overflowed"), records.pop("kept", None)
            if overflowed.any():
                good = int(np.argmax(overflowed.any(axis=0)))
                # A policy that is no number touches every row: that is what is to be told of it.
                seen = {name: records[name] for name in RECORDED}
                check_records(jax.tree.map(lambda values, end=good + 1: values[:, :end], seen), arms, start)
                store.add(start, jax.tree.map(lambda values, good=good: values[:, :good], records))
                raise RowCapacityError(
                    f"Row capacity {row_capacity} was exceeded in round {start + good}: raise row_capacity (None takes "
                    "the most that the run can need).",
                    history=store.history(arms.best_mean, config, bound.notes, None, start + good),
                )
            if recorder is not None:
                recorder.check(start, records, kept)
            if bound.check is not None:
                bound.check(start, records, functools.partial(dict, kept or {}))
            check_records(records, arms, start)
            store.add(start, records)
            if recorder is not None:
                so_far = store.history(arms.best_mean, config, bound.notes, None, start + length)
                recorder.record(so_far, whole(states, seeds), kept)
            if progress is not None:
                progress(start + length, rounds, float(records["rewards"].mean()), time.monotonic() - start_time)
    final_state = whole(states, seeds)
    return store.history(arms.best_mean, config, bound.notes, final_state, rounds)


def _run_chunk(
    compiled: _Compiled,
    values: Values,
    threads: ThreadPoolExecutor,
    groups: list[jax.Array],
    states: list[Any],
    start: int,
    length: int | jax.Array,
) -> list[tuple[Any, dict[str, Any]]]:
    """(state, records) of each group after `length` rounds; of a traced length, records of `MOST_ROUNDS`."""
    first = jnp.asarray(start, jnp.int32)
    traced = () if isinstance(length, int) else (length,)
    if len(groups) == 1 and not traced:
        return [compiled.chunk(values, groups[0], states[0], first, length)]
    run_one = compiled.prepared(values, groups[0], states[0], first, length)

    def on_a_core(keys: jax.Array, state: Any) -> Any:
        with jax.enable_x64(True):  # the context of the caller, which a thread does not inherit
            return jax.block_until_ready(run_one(values, keys, state, first, *traced))

    return list(threads.map(on_a_core, groups, states))


def _chunks(rounds: int, seeds: int, rollouts: int, *, watched: bool) -> Iterator[tuple[int, int]]:
    """(start, length) of the scans: few enough to stay cheap, small enough for memory and for progress; two lengths at
    most.
    """
    longest = max(1, CHUNK_NUMBERS // (seeds * (2 * rollouts + 1)))
    if watched:
        longest = min(longest, max(100, -(-rounds // 20)))
    start = 0
    while start < rounds:
        length = min(longest, rounds - start)
        yield start, length
        start += length
