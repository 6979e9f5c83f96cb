"""`run`: the one loop under every simulation and every fine-tuning run.

A jittable arm set takes the scan loop (one compiled `lax.scan`, vmapped over seeds, sharded over devices); any other
the host loop, with the same contract and the same keys. A test holds the two equal.

Keys: seed s has fold_in(key, s); its round r has fold_in(·, r), split once into the learner's draw and the arms'
rewards; its initial state has fold_in(·, 2^32 − 1). A seed's path thus depends neither on the number of seeds, nor on
where a run was cut and resumed.

Simulations compute in float64 inside a local context: JAX's global precision stays as the user set it. An LLM's own
arrays keep their dtypes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from bandit_rft.contract import ArmSet, Learner, LearnerFactory
from bandit_rft.errors import InputError, RowCapacityError
from bandit_rft.history import History

INIT_FOLD = 2**32 - 1  # no run has this many rounds: a round counter is an int32
CHUNK_NUMBERS = 2**23  # numbers that one chunk of rounds may hand back (64 MiB of float64)

# Called with (rounds done, rounds in all, mean reward of the newest rounds, seconds since the start).
Progress = Callable[[int, int, float, float], None]


class Recorder(Protocol):
    """What the host loop tells of each round, so that a run folder can be written, and continued, as it happens."""

    def resume(self, seed: int, state: Any) -> tuple[int, Any, list[dict[str, Any]]] | None:
        """(rounds already done, state after them, their records) for this seed, or None to start afresh; `state` is a
        template.
        """
        ...

    def record(self, seed: int, round_index: int, record: dict[str, Any], state: Any, arms: Any) -> None:
        """One round done: its record (plain JSON values), the state after it, and the arms that were pulled."""
        ...


def run(
    arms: ArmSet,
    learner: LearnerFactory,
    rounds: int,
    seeds: int = 1,
    key: int | jax.Array = 0,
    *,
    row_capacity: int | None = None,
    loop: str = "auto",
    recorder: Recorder | None = None,
    progress: Progress | None = None,
) -> History:
    """Let `learner` pull `arms` for `rounds` rounds, once a seed.

    Args:
        arms: what can be pulled: `bandit_rft.arms`, or an LLM's prompt (`llm_bridge.PromptArms`).
        learner: a factory of `bandit_rft.learners`, or `llm_bridge.FineTune`.
        rounds: T ≥ 1.
        seeds: independent repetitions S ≥ 1.
        key: an int or a JAX key. It is part of the history's config; the same key gives the same history, bit by bit.
        row_capacity: rows of a tabular simulation; None takes the most that this run can need.
        loop: "auto", or force "scan" or "host".
        recorder: told of every round (host loop only).
        progress: called as rounds complete.

    Returns:
        The history, [S, T, G] rewards in float64.

    Raises:
        InputError: rounds or seeds below one, arms and learner that do not fit, a reward that is NaN or infinite.
        RowCapacityError: the row capacity was exceeded; its message names the round.

    Example:
        >>> from bandit_rft import arms, learners, run
        >>> needle = arms.Needle(log10_arms=100, optimal=1, p0=0.05)
        >>> history = run(needle, learners.SoftmaxPolicyGradient(step_size=0.5), rounds=50, seeds=4, key=0)
        >>> history.rewards.shape, round(float(history.value[0, 0]), 12)
        ((4, 50, 1), 0.05)
    """
    for name, number in (("rounds", rounds), ("seeds", seeds)):
        if number != int(number) or number < 1:
            raise InputError(f"{name} is {number}: give a whole number of at least 1.")
    if rounds >= 2**31:
        raise InputError(f"rounds is {rounds}: a run holds fewer than 2^31 rounds.")
    if loop not in ("auto", "scan", "host"):
        raise InputError(f"loop is {loop!r}: choose auto, scan or host.")
    if loop == "scan" and not arms.jittable:
        raise InputError(f"{type(arms).__name__} cannot be traced, so it cannot take the scan loop: use loop='auto'.")
    if recorder is not None and arms.jittable and loop != "host":
        raise InputError("A recorder is told of each round by the host loop: set loop='host'.")
    rounds, seeds = int(rounds), int(seeds)
    whole = (int, np.integer)
    config = {
        "arms": describe(arms),
        "learner": describe(learner),
        "rounds": rounds,
        "seeds": seeds,
        "key": int(key) if isinstance(key, whole) else np.asarray(jax.random.key_data(key)).tolist(),
        "row_capacity": row_capacity,
    }
    host = loop == "host" or not arms.jittable
    with _float64() if arms.jittable else contextlib.nullcontext():
        base_key = jax.random.key(int(key)) if isinstance(key, whole) else key
        if host:
            bound = learner.bind(arms, rounds=rounds, row_capacity=row_capacity)
            return _host_loop(arms, bound, rounds, seeds, base_key, config, recorder, progress)
        return _scan_loop(arms, learner, rounds, seeds, base_key, config, row_capacity, progress)


def describe(thing: Any) -> dict[str, Any]:
    """A factory or arm set as plain JSON values: its type and its fields, long lists cut to their length."""
    fields: dict[str, Any] = {"type": type(thing).__name__}
    if dataclasses.is_dataclass(thing):
        for entry in dataclasses.fields(thing):
            value = getattr(thing, entry.name)
            if isinstance(value, (str, int, float, bool, type(None))):
                fields[entry.name] = value
            elif isinstance(value, (tuple, list)) and all(isinstance(v, (int, float, str)) for v in value):
                fields[entry.name] = list(value) if len(value) <= 32 else f"{len(value)} values"
            else:
                fields[entry.name] = getattr(value, "name", type(value).__name__)
    return fields


def _float64() -> contextlib.AbstractContextManager[Any]:
    return jax.enable_x64(True)


def _round_keys(seed_key: jax.Array, round_index: jax.Array | int) -> tuple[jax.Array, jax.Array]:
    act_key, pull_key = jax.random.split(jax.random.fold_in(seed_key, round_index))
    return act_key, pull_key


def _round(
    arms: ArmSet, bound: Learner, seed_key: jax.Array, round_index: Any, state: Any
) -> tuple[Any, dict[str, Any], Any]:
    """One round of the contract: (state after, what happened, arms pulled). Both loops run exactly this."""
    act_key, pull_key = _round_keys(seed_key, round_index)
    pulled, info = bound.act(act_key, state)
    rewards = arms.pull(pull_key, pulled)
    mean = arms.mean(pulled)
    value = info.value if info.value is not None else (None if mean is None else jnp.mean(mean))
    state = bound.update(state, pulled, rewards)
    return (
        state,
        {"rewards": rewards, "pulled_mean": mean, "value": value, "metrics": dict(bound.metrics(state))},
        pulled,
    )


# ---------------------------------------------------------------------------------------------------------------- scan
# loop


@functools.lru_cache(maxsize=64)
def _compile_cached(arms: Any, learner: Any, rounds: int, row_capacity: int | None) -> tuple[Callable, Callable]:
    return _compile(arms, learner, rounds, row_capacity)


def _compile(arms: ArmSet, learner: LearnerFactory, rounds: int, row_capacity: int | None) -> tuple[Callable, Callable]:
    """(init, chunk) jitted and vmapped over seeds."""
    bound = learner.bind(arms, rounds=rounds, row_capacity=row_capacity)

    def init(seed_key: jax.Array) -> Any:
        return bound.init(jax.random.fold_in(seed_key, INIT_FOLD))

    def chunk(seed_key: jax.Array, state: Any, start: jax.Array, length: int) -> tuple[Any, Any, jax.Array]:
        def step(state: Any, round_index: jax.Array) -> tuple[Any, Any]:
            state, record, _ = _round(arms, bound, seed_key, round_index, state)
            return state, record

        state, records = jax.lax.scan(step, state, start + jnp.arange(length, dtype=jnp.int32))
        overflowed = bound.overflowed(state) if bound.overflowed else False
        return state, records, jnp.asarray(overflowed)

    return (
        jax.jit(jax.vmap(init)),
        jax.jit(
            lambda keys, state, start, length: jax.vmap(functools.partial(chunk, length=length), (0, 0, None))(
                keys, state, start
            ),
            static_argnums=3,
            donate_argnums=1,
        ),
    )


def _scan_loop(
    arms: ArmSet,
    learner: LearnerFactory,
    rounds: int,
    seeds: int,
    base_key: jax.Array,
    config: Mapping[str, Any],
    row_capacity: int | None,
    progress: Progress | None,
) -> History:
    try:
        init, chunk = _compile_cached(arms, learner, rounds, row_capacity)
    except TypeError:  # an arm set or learner of the user's own that cannot be hashed is compiled each time
        init, chunk = _compile(arms, learner, rounds, row_capacity)
    seed_keys = jax.vmap(functools.partial(jax.random.fold_in, base_key))(jnp.arange(seeds, dtype=jnp.uint32))
    seed_keys = _shard(seed_keys)
    state = init(seed_keys)
    start_time = time.monotonic()
    pieces: list[Any] = []
    for start, length in _chunks(rounds, seeds, getattr(learner, "rollouts", 1), watched=progress is not None):
        state, records, overflowed = chunk(seed_keys, state, jnp.asarray(start, jnp.int32), length)
        if bool(jnp.any(overflowed)):
            raise RowCapacityError(
                f"Row capacity {row_capacity} was exceeded between rounds {start} and {start + length}: "
                "raise row_capacity (None takes the most that the run can need)."
            )
        records = jax.tree.map(np.asarray, jax.device_get(records))
        _check_rewards(records["rewards"], arms, start)
        pieces.append(records)
        if progress is not None:
            progress(start + length, rounds, float(records["rewards"].mean()), time.monotonic() - start_time)
    joined = jax.tree.map(lambda *parts: np.concatenate(parts, axis=1).astype(np.float64), *pieces)
    value = joined["value"]
    return History(
        rewards=joined["rewards"],
        value=np.full((seeds, rounds), np.nan) if value is None else value,
        pulled_mean=joined["pulled_mean"],
        best_mean=arms.best_mean,
        metrics=joined["metrics"],
        config=config,
        final_state=state,
    )


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


def _shard(seed_keys: jax.Array) -> jax.Array:
    """Spread the seeds over all local devices where they divide evenly; the jitted loop follows its input."""
    devices = jax.local_devices()
    if len(devices) == 1 or seed_keys.shape[0] % len(devices):
        return seed_keys
    return jax.device_put(seed_keys, NamedSharding(Mesh(np.asarray(devices), ("seed",)), PartitionSpec("seed")))


def _check_rewards(rewards: np.ndarray, arms: ArmSet, start: int) -> None:
    """Refuse a reward that is not a finite number: one NaN would silently void everything after it."""
    if np.all(np.isfinite(rewards)):
        return
    seed, offset, rollout = np.argwhere(~np.isfinite(rewards))[0]
    raise InputError(
        f"{type(arms).__name__} gave the reward {rewards[seed, offset, rollout]} in round {start + offset} "
        f"(seed {seed}, rollout {rollout}): rewards must be finite numbers."
    )


# ---------------------------------------------------------------------------------------------------------------- host
# loop


def _host_loop(
    arms: ArmSet,
    bound: Learner,
    rounds: int,
    seeds: int,
    base_key: jax.Array,
    config: Mapping[str, Any],
    recorder: Recorder | None,
    progress: Progress | None,
) -> History:
    """The same rounds one by one: for arm sets whose rewards are computed by Python (an LLM's verifier)."""
    start_time = time.monotonic()
    one_round = functools.partial(_round, arms, bound)
    if arms.jittable:
        one_round = jax.jit(one_round)
    all_records: list[list[dict[str, Any]]] = []
    state: Any = None
    for seed in range(seeds):
        seed_key = jax.random.fold_in(base_key, seed)
        state = bound.init(jax.random.fold_in(seed_key, INIT_FOLD))
        done, records = 0, []
        resumed = recorder.resume(seed, state) if recorder is not None else None
        if resumed is not None:
            done, state, records = resumed
        for round_index in range(done, rounds):
            state, outcome, pulled = one_round(seed_key, round_index, state)
            record = _plain(outcome)
            _check_rewards(np.asarray(record["rewards"], np.float64)[None, None], arms, round_index)
            if bound.overflowed is not None and bool(bound.overflowed(state)):
                raise RowCapacityError(f"The row capacity was exceeded in round {round_index}: raise row_capacity.")
            records.append(record)
            if recorder is not None:
                recorder.record(seed, round_index, record, state, pulled)
            if progress is not None:
                recent = float(np.mean([r["rewards"] for r in records[-20:]]))
                progress(seed * rounds + round_index + 1, seeds * rounds, recent, time.monotonic() - start_time)
        all_records.append(records)
    return _history_of(all_records, arms.best_mean, config, state)


def _plain(outcome: Mapping[str, Any]) -> dict[str, Any]:
    """A round's outcome as JSON values; float32 and float64 survive exactly."""
    to_list = lambda value: None if value is None else np.asarray(value, np.float64).tolist()  # noqa: E731
    return {
        "rewards": to_list(outcome["rewards"]),
        "pulled_mean": to_list(outcome["pulled_mean"]),
        "value": to_list(outcome["value"]),
        "metrics": {name: float(value) for name, value in outcome["metrics"].items()},
    }


def _history_of(
    all_records: list[list[dict[str, Any]]], best_mean: float | None, config: Mapping[str, Any], final_state: Any
) -> History:
    def stack(name: str) -> np.ndarray | None:
        if all_records[0][0][name] is None:
            return None
        return np.asarray([[record[name] for record in records] for records in all_records], dtype=np.float64)

    rewards = stack("rewards")
    value = stack("value")
    assert rewards is not None
    names = all_records[0][0]["metrics"]
    return History(
        rewards=rewards,
        value=np.full(rewards.shape[:2], np.nan) if value is None else value,
        pulled_mean=stack("pulled_mean"),
        best_mean=best_mean,
        metrics={n: np.asarray([[r["metrics"][n] for r in records] for records in all_records]) for n in names},
        config=config,
        final_state=final_state,
    )
