"""The host loop: the same rounds one by one, for arm sets whose rewards are computed by Python (an LLM's verifier)."""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping
from typing import Any, Protocol

import jax
import numpy as np

from bandit_rft.contract import ArmSet, Learner
from bandit_rft.errors import RowCapacityError
from bandit_rft.history import History
from bandit_rft.loop.one_round import INIT_FOLD, Progress, check_rewards, one_round


class Recorder(Protocol):
    """What the host loop tells of each round, so that a run folder can be written, and continued, as it happens."""

    def resume(self, seed: int, state: Any) -> tuple[int, Any, list[dict[str, Any]]] | None:
        """(rounds already done, state after them, their records) for this seed, or None to start afresh; `state` is a
        template.
        """
        ...

    def record(self, seed: int, round_index: int, record: dict[str, Any], state: Any, arms: Any) -> None:
        """One round done: its record (plain JSON values), the state after it, and the arms that were pulled. It may add
        to the record's metrics, the same ones in every round.
        """
        ...


def host_loop(
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
    step = functools.partial(one_round, arms, bound)
    if arms.jittable:
        step = jax.jit(step)
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
            state, outcome, pulled = step(seed_key, round_index, state)
            record = _plain(outcome)
            check_rewards(np.asarray(record["rewards"], np.float64)[None, None], arms, round_index)
            if bound.overflowed is not None and bool(bound.overflowed(state)):
                shown = [past[:round_index] for past in [*all_records, records]]
                raise RowCapacityError(
                    f"The row capacity was exceeded in round {round_index} (seed {seed}): raise row_capacity.",
                    history=_history_of(shown, arms.best_mean, config, None, bound.notes) if round_index else None,
                )
            records.append(record)
            if recorder is not None:
                recorder.record(seed, round_index, record, state, pulled)
            if progress is not None:
                recent = float(np.mean([r["rewards"] for r in records[-20:]]))
                progress(seed * rounds + round_index + 1, seeds * rounds, recent, time.monotonic() - start_time)
        all_records.append(records)
    return _history_of(all_records, arms.best_mean, config, state, bound.notes)


def _plain(outcome: Mapping[str, Any]) -> dict[str, Any]:
    """A round's outcome as JSON values; float32 and float64 survive exactly."""
    # 0.0 is added so that a loss of −0.0 is kept as 0.0.
    to_list = lambda value: None if value is None else (np.asarray(value, np.float64) + 0.0).tolist()  # noqa: E731
    return {
        "rewards": to_list(outcome["rewards"]),
        "pulled_mean": to_list(outcome["pulled_mean"]),
        "value": to_list(outcome["value"]),
        "best_mean": to_list(outcome["best_mean"]),
        "metrics": {name: float(value) + 0.0 for name, value in outcome["metrics"].items()},
    }


def _history_of(
    all_records: list[list[dict[str, Any]]],
    best_mean: float | None,
    config: Mapping[str, Any],
    final_state: Any,
    notes: tuple[str, ...],
) -> History:
    def stack(name: str) -> np.ndarray | None:
        if all_records[0][0].get(name) is None:
            return None
        return np.asarray([[record[name] for record in records] for records in all_records], dtype=np.float64)

    rewards, value, varying = stack("rewards"), stack("value"), stack("best_mean")
    assert rewards is not None
    names = all_records[0][0]["metrics"]
    return History(
        rewards=rewards,
        value=np.full(rewards.shape[:2], np.nan) if value is None else value,
        pulled_mean=stack("pulled_mean"),
        best_mean=best_mean if varying is None else varying,
        notes=notes,
        metrics={n: np.asarray([[r["metrics"][n] for r in records] for records in all_records]) for n in names},
        config=config,
        final_state=final_state,
    )
