"""All seeds at once where rewards are computed by Python: an LLM's verifier reads the texts of every seed's responses.

A round is `act` (compiled, vmapped over seeds), then the rewards, then `update` (compiled, vmapped). It draws from the
keys of the other two loops, so a seed's rewards are theirs. Its weights are theirs up to float32 rounding, for matrix
products of several seeds are computed together.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bandit_rft.contract import Learner
from bandit_rft.history import History
from bandit_rft.loop.chunk_recorder import ChunkRecorder, recorded_chunks
from bandit_rft.loop.one_round import INIT_FOLD, Progress, check_rewards, round_keys
from bandit_rft.loop.store import Store


def together_loop(
    arms: Any,
    bound: Learner,
    rounds: int,
    seeds: int,
    base_key: jax.Array,
    config: Mapping[str, Any],
    progress: Progress | None,
    recorder: ChunkRecorder | None,
) -> History:
    """The history of all seeds.

    Args:
        arms: has `pull_seeds(keys [S], arms [S, ...]) -> rewards [S, G]`, and may have `kept` (`ArmSet`).
        bound: a learner whose functions can be traced.
        rounds, seeds: T and S.
        base_key, config, progress, recorder: as of the scan loop.

    Raises:
        InputError: a reward that is NaN or infinite.
    """
    keys = jax.vmap(functools.partial(jax.random.fold_in, base_key))(jnp.arange(seeds, dtype=jnp.uint32))
    act = jax.jit(lambda keys, state: jax.vmap(bound.act)(keys, state)[0])
    update = jax.jit(jax.vmap(bound.update), donate_argnums=0)
    both = jax.jit(jax.vmap(round_keys, (0, None)))
    state = jax.jit(jax.vmap(lambda key: bound.init(jax.random.fold_in(key, INIT_FOLD))))(keys)
    keep = getattr(arms, "kept", None)
    store, begin, start_time = Store(seeds, rounds), 0, time.monotonic()
    if recorder is not None:
        recorder.groups(1)
        resumed = recorder.resume(state)
        if resumed is not None:
            records, state = resumed
            begin = records["rewards"].shape[1]
            store.add(0, records)
    chunks = ((start, 1) for start in range(rounds)) if recorder is None else recorded_chunks(begin, rounds, recorder)
    for start, length in chunks:
        found, kept = [], []
        for round_index in range(start, start + length):
            act_keys, pull_keys = both(keys, jnp.asarray(round_index, jnp.int32))
            pulled = act(act_keys, state)
            rewards = np.asarray(arms.pull_seeds(pull_keys, pulled))
            check_rewards(rewards[:, None], arms, round_index)
            if keep is not None and recorder is not None:
                kept.append(jax.device_get(keep(pulled)))
            state = update(state, pulled, jnp.asarray(rewards))
            metrics = {name: np.asarray(value) for name, value in bound.metrics(state).items()}
            found.append({"rewards": rewards, "metrics": metrics})
        stacked = jax.tree.map(lambda *parts: np.stack(parts, axis=1), *found)
        records = {"pulled_mean": None, "value": None, "best_mean": None, **stacked}
        read_later = jax.tree.map(lambda *parts: np.stack(parts, axis=1), *kept) if kept else None
        if recorder is not None:
            recorder.check(start, records, read_later)
        store.add(start, records)
        if recorder is not None:
            recorder.record(store.history(arms.best_mean, config, bound.notes, None, start + length), state, read_later)
        if progress is not None:
            progress(start + length, rounds, float(records["rewards"].mean()), time.monotonic() - start_time)
    return store.history(arms.best_mean, config, bound.notes, state, rounds)
