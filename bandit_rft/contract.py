"""The contract: what can be pulled, who learns, and what a round hands on.

A table of 10^100 arms, a toy token policy and an LLM all satisfy these protocols, so that one `run` serves them all
(a response is an arm, generating is pulling, the verifier is the reward).

    learner = learners.SoftmaxPolicyGradient(step_size=0.5)        a factory: hyper-parameters only, frozen
    bound   = learner.bind(arms, rounds=400)                        a `Learner`: pure functions over a state
    state   = bound.init(key)
    arms_pulled, info = bound.act(key, state)                       which arms, and what the policy knew of itself
    rewards = arms.pull(key, arms_pulled)                           [G]
    state   = bound.update(state, arms_pulled, rewards)

An arm is never one integer id: int32 cannot index 50,000^2 arms. `act` hands on a pytree that the arm set understands
(`rows.Pulls` for tables, token arrays for an LLM).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax

Array = jax.Array
PyTree = Any


class Info(NamedTuple):
    """What a learner says of its own choice, before the rewards are known.

    Attributes:
        value: float scalar, the policy's exact expected reward this round given the past (Pass@1 for a 0/1 reward);
            None where it has no closed form, in which case the pulled arms' true means stand in for it.
        best_mean: float scalar, the best mean this round where it differs by seed or round; None where the arm set's
            own `best_mean` holds.
    """

    value: Array | None
    best_mean: Array | None = None


def no_metrics(state: PyTree) -> dict[str, Array]:
    """The metrics of a learner that logs none."""
    del state
    return {}


class Redraws(NamedTuple):
    """How a learner has groups drawn again that teach nothing (dynamic sampling; `loop.redraws`). B groups a round.

    Attributes:
        most: further draws of a round at most.
        dead: rewards [R] -> bool [B], the groups to draw again.
        again: (key, state, arms, dead) -> arms drawn anew.
        cost: (arms, dead) -> what drawing these groups cost, sums by name: "pulls" and, of responses, "tokens". None in
            place of `dead`: all groups.
        merged: (dead, (arms, rewards), (arms, rewards) drawn anew) -> both with the dead groups' in place. None: every
            row was drawn anew, and those of dead groups are taken, of arrays [R, ...].
    """

    most: int
    dead: Callable[[Array], Array]
    again: Callable[[Array, PyTree, PyTree, Array], PyTree]
    cost: Callable[[PyTree, Any], dict[str, Any]]
    merged: Callable[[Any, tuple[PyTree, Any], tuple[PyTree, Any]], tuple[PyTree, Any]] | None = None


class Learner(NamedTuple):
    """A learner bound to an arm set: pure functions over a frozen state. All hyper-parameters are closed over.

    Attributes:
        init: key -> state.
        act: (key, state) -> (arms, info); `arms` holds G pulls.
        update: (state, arms, rewards [G]) -> state. Policy gradients move by step size × the mean over the round's
            rollouts of signal × ∇ log π(arm), on tables and on weights alike.
        rollouts: G, the pulls of a round.
        overflowed: state -> bool, whether the row capacity was exceeded (the run then stops).
        metrics: state -> scalars by name, read after `update` (loss, gradient norm, …).
        notes: sentences that whoever reads the history must know (K ≥ T under an index that sweeps fresh arms, say).
        redraws: how groups that teach nothing are drawn again within a round; None: they are not. A round's metrics
            then hold what all its draws cost, and `update` gets the last draw of every group.
        check: (first round, records [S, L, ...] of L rounds, () -> what the arm set keeps of their arms) -> None, on
            the host; raises InputError where the records show that a seed is lost. None: rewards alone are checked.
    """

    init: Callable[[Array], PyTree]
    act: Callable[[Array, PyTree], tuple[PyTree, Info]]
    update: Callable[[PyTree, PyTree, Array], PyTree]
    rollouts: int = 1
    overflowed: Callable[[PyTree], Array | bool] | None = None
    metrics: Callable[[PyTree], Mapping[str, Array]] = no_metrics
    notes: tuple[str, ...] = ()
    redraws: Redraws | None = None
    check: Callable[[int, Mapping[str, Any], Callable[[], Any]], None] | None = None


@runtime_checkable
class LearnerFactory(Protocol):
    """Hyper-parameters, frozen; `bind` closes a `Learner` over them and the arm set.

    A factory may name some of its float fields in a class attribute `traced`: the scan loop then passes their values as
    arguments of one compiled function. `bind` meets traced values there, and must not decide anything by them.
    """

    def bind(self, arms: Any, *, rounds: int, row_capacity: int | None = None) -> Learner:
        """The learner for these arms. Raises InputError where the two do not fit."""
        ...


@runtime_checkable
class ArmSet(Protocol):
    """What can be pulled.

    An arm set may also have
        kept(arms) -> arrays          a pytree of what of a round's arms can be read afterwards: `run` hands it to its
                                      recorder, beside the history;
        pull_seeds(keys, arms)        rewards [S, G] of the arms of S seeds at once, a sequence of each seed's arms or
                                      one pytree of leaves [S, ...] (host loop);
        tables, holding(tables)       a pytree of arrays, and the same arm set with others in their place, which may be
                                      traced: the scan loop passes them as arguments, so that arm sets which differ in
                                      nothing else are one compiled function;
        alike                         beside these, hashable: arm sets of one class that are equal in it and have
                                      tables of the same shapes differ in nothing else, and are compiled once;
        counts() -> numbers by name   running totals of what went wrong in pulls, such as answers that a verifier had no
                                      time for: a round's increase stands among its metrics, of all seeds together.

    A learner factory may have `bind_seeds(arms, rounds, seeds)`: a traceable `Learner` for all seeds together in the
    host loop, or None.

    Attributes:
        jittable: whether `pull` may be traced: True takes the scan loop, False the host loop.
        best_mean: the best arm's mean reward, or None where it is unknown (then no regret is reported).
    """

    @property
    def jittable(self) -> bool: ...

    @property
    def best_mean(self) -> float | None: ...

    def pull(self, key: Array, arms: PyTree) -> Array:
        """Rewards [G] of the G arms pulled."""
        ...

    def mean(self, arms: PyTree) -> Array | None:
        """True means [G] of the G arms pulled, or None where they are unknown."""
        ...
