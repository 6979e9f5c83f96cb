"""`theory_for`: the exact laws and the bounds of the catalogue that apply to a learner on a table of arms."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from bandit_rft import arguments, signals, theory
from bandit_rft.arms import Classes, Needle
from bandit_rft.contract import LearnerFactory
from bandit_rft.learners import (
    KLUCB,
    MOSS,
    UCB,
    UCB1,
    ExploreUntilSuccess,
    SoftmaxPolicyGradient,
    Subsampled,
    SuccessiveElimination,
    ThompsonBeta,
    TsallisINF,
)
from bandit_rft.loop.checks import require_arms, require_learner
from bandit_rft.theory import Bound, Prediction

Instance = dict[str, Any]  # means and counts, as the bounds take them

_UPPER: Mapping[type, Callable[[Any, Instance, int], list[Bound]]] = {
    UCB1: lambda learner, table, rounds: [theory.ucb1_bound(rounds=rounds, **table)],
    UCB: lambda learner, table, rounds: [theory.ucb_alpha_bound(rounds=rounds, alpha=learner.alpha, **table)],
    KLUCB: lambda learner, table, rounds: [theory.kl_ucb_bound(rounds=rounds, c=learner.c, **table)],
    ThompsonBeta: lambda learner, table, rounds: [theory.thompson_bound(rounds=rounds, **table)],
    TsallisINF: lambda learner, table, rounds: [theory.tsallis_inf_stochastic_bound(rounds=rounds, **table)],
    MOSS: lambda learner, table, rounds: [theory.moss_bound(rounds=rounds, **table)],
    SuccessiveElimination: lambda learner, table, rounds: [theory.successive_elimination_bound(rounds=rounds, **table)],
}
_CONSISTENT = (UCB1, UCB, KLUCB, ThompsonBeta)  # regret below any power of T on every table of rewards in [0, 1]
_MOST_LOG_COUNT = 600.0  # of arms of one mean, as a float holds them and the bounds add them up


def theory_for(arms: Any, learner: Any, rounds: int) -> tuple[Prediction | Bound, ...]:
    """What the catalogue knows of a learner's regret on these arms: exact laws first, then bounds.

    Args:
        arms: an arm set. Bounds are known for tables whose means never change (`Classes` and its kinds).
        learner: a learner, a list, or a dict of them by name; what several share is given once.
        rounds: T, at least 1.

    Returns:
        Predictions and bounds of T rounds, possibly none. Bounds may be vacuous at this horizon; they say so.

    Raises:
        InputError: rounds below 1, or arms and learner that do not fit.

    Example:
        >>> from bandit_rft import arms, learners, theory_for
        >>> [law.name for law in theory_for(arms.Bernoulli([0.2, 0.8]), learners.UCB1(), rounds=2000)]
        ['ucb1_bound', 'lai_robbins']
    """
    rounds = arguments.whole("rounds", rounds)
    if isinstance(learner, Mapping):
        learner = list(learner.values())
    several: list[Any] = [learner] if hasattr(learner, "bind") or not isinstance(learner, Iterable) else list(learner)
    require_arms(arms)
    for one in several:
        require_learner(one)
    found: dict[tuple[str, bytes], Prediction | Bound] = {}
    for one in several:
        for law in (*exact_laws(arms, one, rounds)[0], *bounds_of(arms, one, rounds)):
            curve = law.uncapped if isinstance(law, Bound) else law.regret
            found.setdefault((law.name, curve.tobytes()), law)
    return tuple(sorted(found.values(), key=lambda law: isinstance(law, Bound)))


def exact_laws(arms: Any, learner: LearnerFactory, rounds: int) -> tuple[tuple[Prediction, ...], str]:
    """(the exact laws of mean curves, one or none; then why none applies). Raises InputError: rounds below 1."""
    arguments.whole("rounds", rounds)
    if _sweeps(arms, learner, rounds):
        found = theory.fresh_arm_sweep(arms.average_mean, rounds, arms.best_mean, log_arms=arms.log_arms)
        return (found,), ""
    if not isinstance(arms, Needle):
        return (), "the catalogue's exact laws are for Needle arms (deterministic rewards 0 and 1)"
    if isinstance(learner, SoftmaxPolicyGradient):
        if not is_jump_chain(arms, learner):
            return (), "the exact jump chain is for one optimal arm, the raw reward and one rollout per round"
        step = learner.step_size * (signals.of_one(learner.signal, learner.eps) or 0.0)
        return (theory.pg_jump_single(arms.p0, step, rounds, log_arms=arms.log_arms),), ""
    if isinstance(learner, ExploreUntilSuccess):
        if learner.replacement:
            return (theory.explore_until_success(arms.p0, rounds, rollouts=learner.rollouts),), ""
        if arms.uniform_base:
            found = theory.explore_until_success(
                rounds=rounds, replacement=False, log_arms=arms.log_arms, optimal=arms.optimal
            )
            return (found,), ""
        return (), "exploring without replacement has an exact law for the uniform base policy only (p0 = none)"
    return (), f"the catalogue has no exact law for {type(learner).__name__}"


def is_jump_chain(arms: Any, learner: Any) -> bool:
    """Whether a run is the exact jump chain: plain steps on the reward of one pull a round, or on a multiple of it, one
    needle.
    """
    if not isinstance(arms, Needle) or not isinstance(learner, SoftmaxPolicyGradient):
        return False
    own = learner.rollouts == 1 and bool(signals.of_one(learner.signal, learner.eps))
    return arms.optimal == 1 and own and learner.plain


def bounds_of(arms: Any, learner: LearnerFactory, rounds: int) -> tuple[Bound, ...]:
    """The bounds of regret that apply: the learner's own, and what no consistent learner beats."""
    if not isinstance(arms, Classes) or max(arms.log_counts) > _MOST_LOG_COUNT:
        return ()
    if type(learner) not in _UPPER or not (arms.sigma is None or arms.sigma == 0) or not arms.means_within(0.0, 1.0):
        return ()
    means, place = np.unique(arms.mean_of_class, return_inverse=True)
    counts = np.bincount(place, weights=np.exp(arms.log_counts))
    table: Instance = {"means": means.tolist(), "counts": np.maximum(np.rint(counts), 1.0).tolist()}
    if type(learner) is TsallisINF and table["counts"][-1] > 1:
        return ()  # its theorem is for one best arm
    if type(learner) is ThompsonBeta and arms.sigma is not None:
        return ()  # and this one for rewards of 0 and 1 by chance
    found = _UPPER[type(learner)](learner, table, rounds)
    if arms.sigma is None and isinstance(learner, _CONSISTENT) and getattr(learner, "alpha", 4) > 2:
        found.append(theory.lai_robbins(rounds=rounds, **table))
    return tuple(bound for bound in found if np.any(bound.uncapped != 0))  # where the best arm always pays, some are 0


def _sweeps(arms: Any, learner: Any, rounds: int) -> bool:
    """Whether the learner pulls each arm once before any twice, to the end of the run."""
    if not isinstance(arms, Classes) or math.log(rounds) > arms.log_arms + 1e-12:
        return False
    if isinstance(learner, Subsampled):
        return False
    bound = learner.bind(arms, rounds=rounds, row_capacity=None)
    return bool(bound.notes)
