"""The laws of a model side by side: how long each says that the mean curve takes to a level of Pass@1."""

from __future__ import annotations

import math

import numpy as np

from bandit_rft import arguments
from bandit_rft.errors import InputError
from bandit_rft.theory.applicable import laws_of
from bandit_rft.theory.checks import check_start
from bandit_rft.theory.laws.tree_law import TreeJumpLaw
from bandit_rft.theory.laws.tree_rounds_law import TreeRoundsLaw
from bandit_rft.theory.policy_gradient.dynamic_sampling import dynamic_sampling_pulls
from bandit_rft.theory.policy_gradient.mean_update import by_mean_update
from bandit_rft.theory.response_tree import ResponseTree
from bandit_rft.theory.sequences.tree import law_on
from bandit_rft.theory.summary import Summary
from bandit_rft.theory.update_settings import UpdateSettings

__all__ = ["LAWS", "chain_of_decisions", "mean_curve_time", "times_to"]

LAWS = ("tree", "constant_kappa_chain", "h_decision_chain", "flow", "one_over_p0")

_SLIGHTEST = 2.0**-52  # chance of a wrong decision that a float still tells beside that of a right one
_MOST_DECISIONS = 1000  # the kernel has four times their square of numbers


def chain_of_decisions(p0: float, kappa: float, decisions: int = 1) -> ResponseTree:
    """One correct path of H equal decisions, right or wrong, with p0 and κ; H = 1 is the chain of constant κ.

    Each has a kernel c of its own: κ(1 − p)² = H c (1 − q)², q = p^(1/H), so that κ falls as the decisions are learnt.

    Raises:
        InputError: a number out of range, or decisions so nearly certain that no float tells them from certain ones.
    """
    p0, kappa = check_start(p0), arguments.positive("kappa", kappa)
    decisions = arguments.whole("decisions", decisions, most=_MOST_DECISIONS)
    q, wrong = p0 ** (1 / decisions), -math.expm1(math.log(p0) / decisions)
    if wrong < _SLIGHTEST:
        raise InputError(
            f"p0 is {p0!r} and decisions is {decisions}: a float does not tell the probability that each is right from "
            "1. Give fewer decisions, or a smaller p0."
        )
    c = kappa * (1 - p0) ** 2 / (decisions * wrong**2)
    score = np.kron(np.eye(decisions), np.array([[wrong], [-q]]))
    child = np.full(2 * decisions, -1)
    child[:-2:2] = np.arange(1, decisions)
    reward = np.zeros(2 * decisions)
    reward[-2] = 1.0
    return ResponseTree(
        node=np.repeat(np.arange(decisions), 2),
        child=child,
        reward=reward,
        log_prob=np.tile([math.log(p0) / decisions, math.log(wrong)], decisions),
        gram=c * score @ score.T,
    )


def mean_curve_time(law: TreeJumpLaw | TreeRoundsLaw, level: float, most: int | None = None) -> float:
    """The first round before whose update the mean over runs of Pass@1 is at the level; inf where it is not among the
    first `most` rounds (None: `law.searched`), so that a run that never arrives costs seconds.
    """
    return law.mean_time(level, law.searched if most is None else most)


def times_to(
    summary: Summary,
    *,
    step_size: float,
    level: float = 0.5,
    signal: str = "raw",
    rollouts: int = 1,
    ddof: int = 1,
    eps: float = 0.0,
    window: int | None = None,
    dynamic_sampling: int = 0,
    extra_rollouts: int = 0,
    k: int | None = None,
) -> dict[str, float]:
    """Rounds until the mean Pass@1 of plain gradient steps is at the level, by each law that applies.

    Args:
        summary: with a tree, or without: then only the laws of p0 and κ.
        step_size, signal, rollouts, ddof, eps, window, dynamic_sampling, extra_rollouts, k: as `theory.predict` takes
            them.
        level: of Pass@1, in (0, 1).

    Returns:
        By name, those of `LAWS`: the tree law; the chain of constant κ and that of H equal decisions, H the mean number
        of decisions in a correct response of the tree; the flow of the mean update; and 1/(G p0), the wait for the
        first success, G all rollouts that a round draws. Without a tree, or where `theory.predict` leaves it out, the
        first and third are left out; of a verifier that errs and of a forest there is the tree law alone.

    Raises:
        InputError: an argument out of range.
        NoLawError: `theory.predict` has no law for this policy and learner.

    Example:
        >>> from bandit_rft import arms, summarize, theory
        >>> sorted(theory.times_to(summarize(arms.Needle(2, p0=0.05)), step_size=0.5))
        ['constant_kappa_chain', 'flow', 'h_decision_chain', 'one_over_p0', 'tree']
    """
    level = arguments.fraction("level", level)
    settings = UpdateSettings.among(locals(), delay=summary.delay)
    laws = laws_of(summary, settings)
    if summary.p0 >= level:
        raise InputError(f"level is {level} and Pass@1 is {summary.p0:.3f} at the start: give a level above it.")

    def time(tree: ResponseTree) -> float:
        return mean_curve_time(law_on(tree, settings), level)

    found = {} if laws.tree is None else {"tree": time(laws.tree)}
    if not laws.numbers:
        return found
    found["constant_kappa_chain"] = time(chain_of_decisions(summary.p0, summary.kappa))
    if laws.tree is not None:
        decisions = max(1, round(laws.tree.decisions))
        found["h_decision_chain"] = time(chain_of_decisions(summary.p0, summary.kappa, decisions))
    if not summary.delay:  # the two that are left know of no delay
        pulls = float(settings.group)
        if dynamic_sampling:
            pulls = float(dynamic_sampling_pulls(summary.p0, settings.group, dynamic_sampling))
        flow = by_mean_update(summary.p0, summary.kappa, settings, 1).mean_hitting_time(level)
        found |= {"flow": flow, "one_over_p0": 1 / (pulls * summary.p0)}
    return found
