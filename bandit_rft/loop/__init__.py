"""`run`: the one loop under every simulation and every fine-tuning run.

A jittable arm set takes the scan loop (one compiled `lax.scan`, vmapped over seeds, sharded over devices); any other
the host loop, seed by seed, or, where the learner can, all seeds together with the rewards computed by Python between
two compiled halves of a round. All have the same contract and the same keys. Tests hold them equal.

Keys: seed s has fold_in(key, s); its round r has fold_in(·, r), split once into the learner's draw and the arms'
rewards; its initial state has fold_in(·, 2^32 − 1). A seed's path thus depends neither on the number of seeds, nor on
where a run was cut and resumed.

Simulations compute in float64 inside a local context: JAX's global precision stays as the user set it. An LLM's own
arrays keep their dtypes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import warnings
from typing import Any

import jax

from bandit_rft import arguments, keys
from bandit_rft.contract import ArmSet, LearnerFactory
from bandit_rft.errors import InputError, SweepWarning
from bandit_rft.history import History
from bandit_rft.loop.chunk_recorder import ChunkRecorder
from bandit_rft.loop.host import Recorder, host_loop
from bandit_rft.loop.one_round import Progress
from bandit_rft.loop.scan import scan_loop
from bandit_rft.loop.together import together_loop

__all__ = ["ChunkRecorder", "Progress", "Recorder", "describe", "run"]


def run(
    arms: ArmSet,
    learner: LearnerFactory,
    rounds: int,
    seeds: int = 1,
    key: keys.Key = 0,
    *,
    row_capacity: int | None = None,
    loop: str = "auto",
    recorder: Recorder | ChunkRecorder | None = None,
    progress: Progress | None = None,
) -> History:
    """Let `learner` pull `arms` for `rounds` rounds, once a seed.

    Args:
        arms: what can be pulled: `bandit_rft.arms`, or an LLM's prompt (`llm_bridge.PromptArms`).
        learner: a factory of `bandit_rft.learners`, or `llm_bridge.FineTune`.
        rounds: T ≥ 1.
        seeds: independent repetitions S ≥ 1.
        key: a whole number from 0 to 2^63 − 1, or a JAX key, typed or raw. It is part of the history's config; the same
            key gives the same history, bit by bit.
        row_capacity: rows of a tabular simulation; None takes the most that this run can need.
        loop: "auto", or force "scan", "host" or "together".
        recorder: told of every round (host loop) or of every chunk of rounds (the other two: a `ChunkRecorder`).
        progress: called as rounds complete.

    Returns:
        The history, [S, T, G] rewards in float64.

    Raises:
        InputError: rounds or seeds below one, arms and learner that do not fit, a bad key, a reward that is NaN or
            infinite.
        RowCapacityError: the row capacity was exceeded; its message names the round.

    Warns:
        SweepWarning: the horizon does not exceed the arms that the learner tries first, one by one; the history's notes
            say it too, with the exact regret that this implies.

    Example:
        >>> from bandit_rft import arms, learners, run
        >>> needle = arms.Needle(log10_arms=100, optimal=1, p0=0.05)
        >>> history = run(needle, learners.SoftmaxPolicyGradient(step_size=0.5), rounds=50, seeds=4, key=0)
        >>> history.rewards.shape, round(float(history.value[0, 0]), 12)
        ((4, 50, 1), 0.05)
    """
    rounds, seeds = arguments.whole("rounds", rounds), arguments.whole("seeds", seeds)
    if not hasattr(arms, "jittable"):
        raise InputError(f"arms is {type(arms).__name__}, no arm set: give one of bandit_rft.arms.")
    if isinstance(learner, type) or not hasattr(learner, "bind"):
        given = learner.__name__ if isinstance(learner, type) else type(learner).__name__
        raise InputError(f"learner is {given}, no learner: make one, such as learners.UCB1().")
    base_key = keys.as_key(key)
    if rounds >= 2**31:
        raise InputError(f"rounds is {rounds}: a run holds fewer than 2^31 rounds.")
    if loop not in ("auto", "scan", "host", "together"):
        raise InputError(f"loop is {loop!r}: choose auto, scan, host or together.")
    if loop == "scan" and not arms.jittable:
        raise InputError(f"{type(arms).__name__} cannot be traced, so it cannot take the scan loop: use loop='auto'.")
    by_round = by_chunk = None
    if isinstance(recorder, ChunkRecorder):
        by_chunk = recorder
    else:
        by_round = recorder
    able = not arms.jittable and hasattr(arms, "pull_seeds") and hasattr(learner, "bind_seeds")
    if loop == "together" and not able:
        raise InputError(
            f"{type(arms).__name__} and {type(learner).__name__} cannot run their seeds together: use loop='auto'."
        )
    unasked = by_chunk is not None or (seeds > 1 and by_round is None and getattr(learner, "whole_rounds", False))
    together = loop == "together" or (loop == "auto" and able and unasked)
    host = not together and (loop == "host" or not arms.jittable)
    if by_round is not None and not host:
        raise InputError("A recorder is told of each round by the host loop: set loop='host'.")
    if by_chunk is not None and host:
        raise InputError(f"{type(recorder).__name__} is told of chunks of rounds, which only the scan loop has.")
    config = {
        "arms": describe(arms),
        "learner": describe(learner),
        "rounds": rounds,
        "seeds": seeds,
        "key": keys.recorded(key),
        "row_capacity": row_capacity,
    }
    with _float64() if arms.jittable else contextlib.nullcontext():
        if together:
            bound = learner.bind_seeds(arms, rounds=rounds)  # type: ignore[attr-defined]
            history = together_loop(arms, bound, rounds, seeds, base_key, config, progress, by_chunk)
        elif host:
            bound = learner.bind(arms, rounds=rounds, row_capacity=row_capacity)
            history = host_loop(arms, bound, rounds, seeds, base_key, config, by_round, progress)
        else:
            history = scan_loop(arms, learner, rounds, seeds, base_key, config, row_capacity, progress, by_chunk)
    for note in history.notes:
        warnings.warn(note, SweepWarning, stacklevel=2)
    return history


def describe(thing: Any) -> dict[str, Any]:
    """A factory or arm set as plain JSON values: its type and its fields, long lists cut to their length."""
    fields: dict[str, Any] = {"type": type(thing).__name__}
    if dataclasses.is_dataclass(thing):
        for entry in dataclasses.fields(thing):
            value = getattr(thing, entry.name)
            if isinstance(value, (str, int, float, bool, type(None))):
                fields[entry.name] = value
            elif isinstance(value, (tuple, list)) and all(isinstance(v, (int, float, str)) for v in value[:32]):
                fields[entry.name] = list(value) if len(value) <= 32 else f"{len(value)} values"
            else:
                fields[entry.name] = getattr(value, "name", type(value).__name__)
    return fields


def _float64() -> contextlib.AbstractContextManager[Any]:
    return jax.enable_x64(True)
