"""The host loop: rounds one by one, for arm sets whose rewards are computed by Python (an LLM's verifier reads texts).

A round is `act` of every seed, then the rewards of all of them, then `update` of every seed. The seeds are computed
    each by itself    `Each`: the very numbers of a run of that seed alone
    together          `Together`: both halves of the round compiled and vmapped over seeds, where the learner can
                      (`bind_seeds`); equal up to float32 rounding, for matrix products of several seeds are one product
Both draw from the keys of the scan loop.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from bandit_rft.contract import ArmSet, Learner
from bandit_rft.errors import RowCapacityError
from bandit_rft.history import History
from bandit_rft.loop.checks import RECORDED, check_records
from bandit_rft.loop.one_round import INIT_FOLD, Progress, acted, after_pull, one_round, round_keys
from bandit_rft.loop.recorder import Recorder, recorded_chunks
from bandit_rft.loop.store import Store


class Seeds(Protocol):
    """All seeds of a run, round by round."""

    bound: Learner

    def init(self, keys: jax.Array) -> Any:
        """The state of seeds with these keys [S]."""
        ...

    def round(self, keys: jax.Array, round_index: int, state: Any) -> tuple[Any, dict[str, Any], Any, bool]:
        """(state after the round, its record [S, ...], the arms that were pulled, whether a row capacity was
        exceeded).
        """
        ...

    def kept(self, pulled: Any) -> Any:
        """What the arm set keeps of pulled arms, [S, ...]; None where it keeps nothing."""
        ...


class Each:
    """Every seed by itself. The state is a tuple of the seeds' states, or the only seed's own."""

    def __init__(self, arms: ArmSet, bound: Learner) -> None:
        self.arms, self.bound = arms, bound
        self.step = jax.jit(functools.partial(one_round, arms, bound)) if arms.jittable else self._step

    def init(self, keys: jax.Array) -> Any:
        return _one_or_all([self.bound.init(jax.random.fold_in(key, INIT_FOLD)) for key in keys])

    def round(self, keys: jax.Array, round_index: int, state: Any) -> tuple[Any, dict[str, Any], Any, bool]:
        states = state if len(keys) > 1 else (state,)
        if self.arms.jittable or not hasattr(self.arms, "pull_seeds"):
            found = [self.step(key, round_index, own) for key, own in zip(keys, states, strict=True)]
        else:
            found = self._round(keys, round_index, states)
        states, outcomes, pulled = zip(*found, strict=True)
        full = self.bound.overflowed
        overflowed = full is not None and any(bool(full(own)) for own in states)
        record = jax.tree.map(lambda *parts: np.stack([np.asarray(part, np.float64) for part in parts]), *outcomes)
        return _one_or_all(states), record, pulled, overflowed

    def kept(self, pulled: Any) -> Any:
        keep = getattr(self.arms, "kept", None)
        if keep is None:
            return None
        return jax.tree.map(lambda *parts: np.stack(parts), *[jax.device_get(keep(own)) for own in pulled])

    def _step(self, key: jax.Array, round_index: int, state: Any) -> tuple[Any, dict[str, Any], Any]:
        return one_round(self.arms, self.bound, key, round_index, state)

    def _round(self, keys: jax.Array, round_index: int, states: Any) -> list[tuple[Any, dict[str, Any], Any]]:
        """As `one_round` of each seed, but that the rewards of all are asked for at once."""
        draws = [round_keys(key, round_index) for key in keys]
        choices = [acted(self.arms, self.bound, act_key, own) for (act_key, *_), own in zip(draws, states, strict=True)]
        pulled = [arms for arms, _ in choices]
        rewards = self.arms.pull_seeds(jnp.stack([pull_key for _, pull_key, _ in draws]), pulled)  # type: ignore[attr-defined]
        return [
            after_pull(self.arms, self.bound, round_key, own, arms, info, reward)
            for (*_, round_key), own, (arms, info), reward in zip(draws, states, choices, rewards, strict=True)
        ]


class Together:
    """All seeds in two compiled halves of a round, vmapped. The state's leaves are [S, ...].

    Args:
        arms: has `pull_seeds(keys [S], arms [S, ...]) -> rewards [S, G]`, and may have `kept` (`ArmSet`).
        bound: a learner whose functions can be traced.
    """

    def __init__(self, arms: Any, bound: Learner) -> None:
        self.arms, self.bound = arms, bound
        self.act = jax.jit(lambda keys, state: jax.vmap(bound.act)(keys, state)[0])
        self.update = jax.jit(jax.vmap(bound.update), donate_argnums=0)
        self.keys = jax.jit(jax.vmap(round_keys, (0, None)))

    def init(self, keys: jax.Array) -> Any:
        return jax.jit(jax.vmap(lambda key: self.bound.init(jax.random.fold_in(key, INIT_FOLD))))(keys)

    def round(self, keys: jax.Array, round_index: int, state: Any) -> tuple[Any, dict[str, Any], Any, bool]:
        act_keys, pull_keys, _ = self.keys(keys, jnp.asarray(round_index, jnp.int32))
        pulled = self.act(act_keys, state)
        rewards = np.asarray(self.arms.pull_seeds(pull_keys, pulled))
        state = self.update(state, pulled, jnp.asarray(rewards))
        metrics = {name: np.asarray(value) for name, value in self.bound.metrics(state).items()}
        record = {"rewards": rewards, "pulled_mean": None, "value": None, "best_mean": None, "metrics": metrics}
        return state, record, pulled, False

    def kept(self, pulled: Any) -> Any:
        keep = getattr(self.arms, "kept", None)
        return None if keep is None else jax.device_get(keep(pulled))


def host_loop(
    arms: ArmSet,
    seeds_of_run: Seeds,
    rounds: int,
    seeds: int,
    base_key: jax.Array,
    config: Mapping[str, Any],
    recorder: Recorder | None,
    progress: Progress | None,
) -> History:
    """The history of all seeds.

    Raises:
        InputError: a reward that is NaN or infinite, or what the learner's own check refuses.
        RowCapacityError: of a tabular learner; it has the history of the rounds before.
    """
    keys = jax.vmap(functools.partial(jax.random.fold_in, base_key))(jnp.arange(seeds, dtype=jnp.uint32))
    notes, counts = seeds_of_run.bound.notes, getattr(arms, "counts", dict)
    state = seeds_of_run.init(keys)
    store, begin, start_time, recent = Store(seeds, rounds), 0, time.monotonic(), 0.0
    if recorder is not None:
        recorder.groups(1)
        resumed = recorder.resume(state)
        if resumed is not None:
            records, state = resumed
            begin = records["rewards"].shape[1]
            store.add(0, records)
    for start, length in _chunks(begin, rounds, recorder):
        found, kept = [], []
        for round_index in range(start, start + length):
            before = counts()
            state, record, pulled, overflowed = seeds_of_run.round(keys, round_index, state)
            if seeds_of_run.bound.check is not None:
                kept_of_round = functools.partial(_kept, seeds_of_run, pulled)
                seeds_of_run.bound.check(round_index, _stacked([record]), kept_of_round)
            of_round = {name: record[name] for name in RECORDED}
            check_records(_stacked([of_round]), arms, round_index)
            if overflowed:
                for place, past in enumerate(found):
                    store.add(start + place, _stacked([past]))
                raise RowCapacityError(
                    f"The row capacity was exceeded in round {round_index}: raise row_capacity (None takes the most "
                    "that the run can need).",
                    history=store.history(arms.best_mean, config, notes, None, round_index) if round_index else None,
                )
            for name, value in counts().items():
                record["metrics"][name] = np.full(seeds, value - before[name], np.float64)
            found.append(record)
            if recorder is not None:
                kept.append(seeds_of_run.kept(pulled))
            if progress is not None:
                recent += (float(record["rewards"].mean()) - recent) / min(round_index + 1 - begin, 20)
                progress(round_index + 1, rounds, recent, time.monotonic() - start_time)
        records = _stacked(found)
        read_later = _stacked(kept) if kept and kept[0] is not None else None
        if recorder is not None:
            recorder.check(start, records, read_later)
        store.add(start, records)
        if recorder is not None:
            recorder.record(store.history(arms.best_mean, config, notes, None, start + length), state, read_later)
    return store.history(arms.best_mean, config, notes, state, rounds)


def _kept(seeds_of_run: Seeds, pulled: Any) -> Any:
    kept = seeds_of_run.kept(pulled)
    return None if kept is None else _stacked([kept])


def _chunks(begin: int, rounds: int, recorder: Recorder | None) -> Iterator[tuple[int, int]]:
    if recorder is None:
        return ((start, 1) for start in range(begin, rounds))
    return recorded_chunks(begin, rounds, recorder)


def _stacked(rounds: list[Any]) -> Any:
    """[S, L, ...] of L rounds' [S, ...]; None stays None."""
    return jax.tree.map(lambda *parts: np.stack(parts, axis=1), *rounds)


def _one_or_all(states: Any) -> Any:
    return states[0] if len(states) == 1 else tuple(states)
