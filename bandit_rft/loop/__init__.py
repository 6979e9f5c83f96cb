"""`run`: the one loop under every simulation and every fine-tuning run.

A jittable arm set takes the scan loop (one compiled `lax.scan`, vmapped over seeds, sharded over devices); any other
the host loop, which computes the rewards of all seeds by Python in the middle of every round. Both have the same
contract and the same keys. Tests hold them equal.

Keys: seed s has fold_in(key, s); its round r has fold_in(·, r), split once into the learner's draw and the arms'
rewards; its initial state has fold_in(·, 2^32 − 1). A seed's path thus depends neither on the number of seeds, nor on
where a run was cut and resumed.

Simulations compute in float64 inside a local context: JAX's global precision stays as the user set it. An LLM's own
arrays keep their dtypes.
"""

from __future__ import annotations

import contextlib
import warnings
from typing import Any

import jax

from bandit_rft import arguments, keys, own_code, signal_checks
from bandit_rft.contract import ArmSet, LearnerFactory
from bandit_rft.errors import InputError, SweepWarning
from bandit_rft.history import History
from bandit_rft.loop.checks import require_arms, require_learner
from bandit_rft.loop.description import describe
from bandit_rft.loop.host import Each, Seeds, Together, host_loop
from bandit_rft.loop.one_round import Progress, bound_of
from bandit_rft.loop.recorder import Recorder
from bandit_rft.loop.scan import scan_loop

__all__ = ["Progress", "Recorder", "describe", "run"]


def run(
    arms: ArmSet,
    learner: LearnerFactory,
    rounds: int,
    seeds: int = 1,
    key: keys.Key = 0,
    *,
    row_capacity: int | None = None,
    loop: str = "auto",
    recorder: Recorder | None = None,
    progress: Progress | None = None,
) -> History:
    """Let `learner` pull `arms` for `rounds` rounds, once per seed.

    Args:
        arms: what can be pulled: `bandit_rft.arms`, or an LLM's prompt (`llm_bridge.PromptArms`).
        learner: a factory of `bandit_rft.learners`, or `llm_bridge.FineTune`.
        rounds: T ≥ 1.
        seeds: independent repetitions S ≥ 1.
        key: a whole number from 0 to 2^63 − 1, or a JAX key, typed or raw. It is part of the history's config; the same
            key gives the same history, bit by bit.
        row_capacity: rows of a tabular simulation; None takes the most that this run can need.
        loop: "auto", or force "scan" or "host".
        recorder: told of every chunk of rounds.
        progress: called as rounds complete.

    Returns:
        The history, [S, T, G] rewards in float64.

    Raises:
        InputError: rounds or seeds below one, arms and learner that do not fit, a bad key, a reward that is NaN or
            infinite; of the user's own learner, arm set or signal what is told in `bandit_rft.own_code`, or numbers of
            another shape than the contract's.
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
    require_arms(arms)
    require_learner(learner)
    base_key = keys.as_key(key)
    if rounds >= 2**31:
        raise InputError(f"rounds is {rounds}: a run holds fewer than 2^31 rounds.")
    if loop not in ("auto", "scan", "host"):
        raise InputError(f"loop is {loop!r}: choose auto, scan or host.")
    if loop == "scan" and not arms.jittable:
        raise InputError(f"{type(arms).__name__} cannot be traced, so it cannot take the scan loop: use loop='auto'.")
    host = loop == "host" or not arms.jittable
    config = {
        "arms": describe(arms),
        "learner": describe(learner),
        "rounds": rounds,
        "seeds": seeds,
        "key": keys.recorded(key),
        "row_capacity": row_capacity,
    }
    with _float64() if arms.jittable else contextlib.nullcontext():
        try:
            if host:
                of_run = _seeds_on_the_host(arms, learner, rounds, seeds, row_capacity)
                history = host_loop(arms, of_run, rounds, seeds, base_key, config, recorder, progress)
            else:
                history = scan_loop(arms, learner, rounds, seeds, base_key, config, row_capacity, progress, recorder)
        except own_code.UNTRACEABLE as error:
            signal_checks.refuse_untraceable(getattr(learner, "signal", None), getattr(learner, "rollouts", 1))
            own_code.refuse_untraceable(error)
            raise
    for note in history.notes:
        warnings.warn(note, SweepWarning, stacklevel=2)
    return history


def _seeds_on_the_host(
    arms: ArmSet, learner: LearnerFactory, rounds: int, seeds: int, row_capacity: int | None
) -> Seeds:
    """All seeds together where arms and learner can, and the learner finds it worth while; else each by itself."""
    bind_seeds = getattr(learner, "bind_seeds", None)
    if bind_seeds is not None and not arms.jittable and hasattr(arms, "pull_seeds"):
        together = bind_seeds(arms, rounds=rounds, seeds=seeds)
        if together is not None:
            return Together(arms, together)
    return Each(arms, bound_of(learner, arms, rounds, row_capacity))


def _float64() -> contextlib.AbstractContextManager[Any]:
    return jax.enable_x64(True)
