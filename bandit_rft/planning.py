"""What a fine-tuning run will take, before it is paid for: rounds to a level, groups that teach nothing, pulls, power.

    from bandit_rft import plan

    plan(p0=0.18, kappa=40.0, signal="grpo", rollouts=2, step_size=0.005, level=0.8).dead_group_probability   # 0.705

The policy is taken for one decision whose gradient has squared norm κ (or for H equal decisions), and plain gradient
steps of a fixed size are followed round by round: `tree_jump` for the raw reward of one rollout, `tree_rounds` for any
other signal and group, both of the catalogue. A tree of measured responses takes its place where there is one.

With a delay, a round learns from the responses of so many rounds before, as an asynchronous trainer does, without a
ratio; the same law follows it, and says what the delay costs. It follows a window of scores with scores as old as they
are, dead groups that are drawn again, every pull counted, and rollouts that serve the baseline alone.

Left out: ratios that correct for a delay, optimisers other than plain gradient steps, PPO's clip, length weighting,
test questions.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from bandit_rft import arguments, signal_checks, signals, theory
from bandit_rft.errors import InputError
from bandit_rft.planned import COVERAGE, Comparison, Option, Plan, Times
from bandit_rft.regret.power import LEAST_SEEDS, Design, power, seeds_for
from bandit_rft.theory.compared import chain_of_decisions, mean_curve_time
from bandit_rft.theory.laws.tree_law import TreeJumpLaw
from bandit_rft.theory.laws.tree_round import idle_probability
from bandit_rft.theory.laws.tree_rounds_law import TreeRoundsLaw
from bandit_rft.theory.policy_gradient.mean_update import by_mean_update
from bandit_rft.theory.response_tree import ResponseTree
from bandit_rft.theory.sequences.tree import MOST_ROLLOUTS, law_on, on_tree
from bandit_rft.theory.update_settings import UpdateSettings

__all__ = ["COVERAGE", "Comparison", "Plan", "Times", "plan"]

GROUPS = (1, 2, 4, 8, 16, 32, 64)  # sizes among which the cheapest is looked for
FOLLOWED = 3  # signals, of those that the mean-field law ranks first, whose own laws are asked for the cheapest

_LATE = 8  # times the cheapest design's responses, after which another design is given up where a run has not arrived
_GAINS = (1e-12, 1e6)  # step size times kappa; typical are 0.2 to 0.5

Law = TreeJumpLaw | TreeRoundsLaw


def plan(
    *,
    p0: float,
    kappa: float,
    signal: str = "raw",
    rollouts: int = 1,
    step_size: float,
    level: float = 0.8,
    decisions: int = 1,
    tree: ResponseTree | None = None,
    ddof: int = 1,
    eps: float = 1e-6,
    budget: int | None = None,
    tokens: float | None = None,
    against: tuple[str, int] | None = None,
    seeds: int | None = None,
    delay: int = 0,
    window: int | None = None,
    dynamic_sampling: int = 0,
    baseline_rollouts: int = 0,
) -> Plan:
    """Plan a run of plain gradient steps.

    Args:
        p0: Pass@1 before training, in (0, 1).
        kappa: the squared gradient gap, nats² per unit² of weights, above 0 (`bandit-rft measure` gives both).
        signal, rollouts: of `bandit_rft.signals`, and responses per round.
        step_size: of the update, which is the mean over the round's rollouts of signal × ∇ log π.
        level: of Pass@1, in (p0, 1).
        decisions: equal decisions in a correct response; κ falls as they are learnt.
        tree: of measured responses; it takes the place of p0, kappa and decisions.
        ddof, eps: of GRPO's standard deviation.
        budget: responses that can be paid for. tokens: mean length of a response.
        against: (signal, rollouts) of another design, to be told apart, without window, dynamic_sampling and
            baseline_rollouts. seeds: of each.
        delay: rounds from sampling a response to learning from it (`finetune --delay` with `--clip none`), of both
            designs.
        window: W, the newest scores of the question, this round's among them, whose mean and spread "grpo" and
            "mean_baseline" take; None: the round's.
        dynamic_sampling: how often a group whose rewards are all equal is drawn again at most; every pull counts.
        baseline_rollouts: more responses per round, which enter the signal alone.

    Raises:
        InputError: a number out of range, two that do not go together, or a level that is not above p0.
        NoLawError: a signal without a law for such groups, or a tree that shows too little of the policy.

    Example:
        >>> from bandit_rft import plan
        >>> found = plan(p0=0.18, kappa=40.0, signal="grpo", rollouts=2, step_size=0.005, level=0.8)
        >>> round(found.dead_group_probability, 3), round(found.rounds_to_level.mean, 1), found.law
        (0.705, 101.4, 'tree_rounds')
    """
    _check_asked(rollouts, budget, tokens, against, seeds)
    if tree is not None:
        _refuse(tree)
        p0, kappa = tree.p0, tree.kappa
    p0, level = arguments.fraction("p0", p0), arguments.fraction("level", level)
    kappa, step_size = arguments.positive("kappa", kappa), arguments.positive("step_size", step_size)
    if not _GAINS[0] <= step_size * kappa <= _GAINS[1]:
        raise InputError(
            f"step_size is {step_size:g} and kappa is {kappa:g}: their product is the logit gain of a success, and "
            f"plans are made where it is between {_GAINS[0]:g} and {_GAINS[1]:g}."
        )
    baseline_rollouts = arguments.whole("baseline_rollouts", baseline_rollouts, 0, most=MOST_ROLLOUTS)
    signal_checks.check_window(window, signal, rollouts, baseline_rollouts, {"extra": "baseline_rollouts"})
    settings = UpdateSettings.among(locals(), extra_rollouts=baseline_rollouts)
    if settings.of_one == 0.0 or window == 1:
        raise InputError(f"{signal} with one rollout is always 0 and nothing is learnt: give 2 rollouts or more.")
    if level <= p0:
        raise InputError(f"level is {level:g} and p0 is {p0:g}: give a level above p0.")
    grown = tree or chain_of_decisions(p0, kappa, arguments.whole("decisions", decisions))
    paid = p0 if tree is None else tree.paid
    law, at_once = law_on(grown, settings), dataclasses.replace(settings, delay=0)
    times, reached, pulls = _to_level(law, level)
    curve_time = mean_curve_time(law, level)
    found = Plan(
        p0=p0,
        kappa=kappa,
        signal=signal,
        rollouts=settings.rollouts,
        step_size=settings.step_size,
        level=level,
        law=_name(law),
        dead_group_probability=float(theory.dead_group_probability(paid, settings.group)),
        idle_probability=idle_probability(settings, paid),
        rounds_to_level=times,
        reached=reached,
        mean_curve=curve_time if math.isfinite(curve_time) else None,
        pulls=pulls,
        tokens=None if tokens is None or pulls is None else arguments.positive("tokens", tokens) * pulls,
        cheapest=None if settings.delay else _cheapest(p0, kappa, grown, at_once, level),
        delay=settings.delay,
        undelayed=_to_level(law_on(grown, at_once), level)[0].mean if settings.delay else None,
        window=window,
        dynamic_sampling=dynamic_sampling,
        baseline_rollouts=baseline_rollouts,
        first_round_pulls=float(
            theory.dynamic_sampling_pulls(paid, settings.group, dynamic_sampling)
            if dynamic_sampling
            else settings.pulls
        ),
        _curve=lambda rounds: on_tree(grown, settings, rounds),
    )
    if budget is not None:
        found = dataclasses.replace(found, budget=_bought(law, arguments.whole("budget", budget, settings.group)))
    if against is not None:
        if found.mean_curve is None:
            raise InputError(
                "This design does not reach the level, so there is no round to compare it at: give a lower level."
            )
        other = law_on(grown, _plain(settings, *against))
        found = dataclasses.replace(found, against=_compared(law, other, against, int(found.mean_curve), seeds))
    return found


def _check_asked(rollouts: int, budget: int | None, tokens: float | None, against: Any, seeds: int | None) -> None:
    """Raises InputError for what is out of range, before any law is followed."""
    rollouts = arguments.whole("rollouts", rollouts, most=MOST_ROLLOUTS)
    if budget is not None:
        arguments.whole("budget", budget, rollouts)
    if tokens is not None:
        arguments.positive("tokens", tokens)
    if seeds is not None:
        arguments.whole("seeds", seeds, LEAST_SEEDS)
        if against is None:
            raise InputError(f"seeds is {seeds}, of two designs to tell apart: give against too.")
    if against is not None:
        if not isinstance(against, tuple | list) or len(against) != 2:
            raise InputError(
                f"against is {arguments.shown(against)}: give a signal and a number of rollouts, such as ('grpo', 8)."
            )
        signals.make(against[0])
        arguments.whole("The group of against", against[1], most=MOST_ROLLOUTS)


def _refuse(tree: ResponseTree) -> None:
    """Raises InputError for a tree of several questions, and NoLawError for one that shows too little."""
    if tree.questions:
        raise InputError(
            f"tree is a forest of {tree.questions} questions, and a plan is of one: give the tree of one, or ask "
            "theory.predict with questions."
        )
    tree.refuse()


def _plain(settings: UpdateSettings, signal: str, rollouts: int) -> UpdateSettings:
    """Another signal and group, and neither a window nor dead groups again nor rollouts for the baseline alone."""
    own = {"window": None, "dynamic_sampling": 0, "extra_rollouts": 0}
    return dataclasses.replace(settings, signal=signal, rollouts=rollouts, **own)


def _name(law: Law) -> str:
    return "tree_jump" if isinstance(law, TreeJumpLaw) else "tree_rounds"


def _to_level(law: Law, level: float) -> tuple[Times, float, float | None]:
    """(rounds of single runs, share of them that arrive, responses in the mean)."""
    runs = law.arrivals(level)
    ends = np.quantile(runs, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2], method="inverted_cdf")
    reached = float(np.isfinite(runs).mean())
    means = (law.mean_hitting_time(level), law.mean_pulls(level)) if reached == 1.0 else (math.inf, math.inf)
    mean, low, high, pulls = (float(value) if math.isfinite(value) else None for value in (means[0], *ends, means[1]))
    return Times(mean, low, high), reached, pulls


def _cheapest(p0: float, kappa: float, tree: ResponseTree, settings: UpdateSettings, level: float) -> Option | None:
    """The mean-field law, which is quick, says each signal's group size and which signals are worth following; what
    those cost, and this design, is asked of the law that a plan of theirs has.
    """
    ranked = sorted(_ranked(p0, kappa, tree, settings, level), key=lambda one: one.pulls)[:FOLLOWED]
    designs = {(one.signal, one.rollouts) for one in ranked}
    if settings == _plain(settings, settings.signal, settings.rollouts):
        designs.add((settings.signal, settings.rollouts))
    best = None
    for signal, rollouts in sorted(designs, key=lambda one: (one != ("raw", 1), one)):  # first the one that is quick
        law = law_on(tree, _plain(settings, signal, rollouts))
        if best is not None and isinstance(law, TreeRoundsLaw):
            within = min(math.ceil(_LATE * best.pulls / rollouts), law.searched)
            if not np.isfinite(law.hits(level, within)).all():
                continue
        times, _, pulls = _to_level(law, level)
        if times.mean is not None and pulls is not None and (best is None or pulls < best.pulls):
            best = Option(signal, rollouts, times.mean, pulls, _name(law))
    return best


def _ranked(p0: float, kappa: float, tree: ResponseTree, settings: UpdateSettings, level: float) -> list[Option]:
    """Each signal at its cheapest group size by the mean-field law, and by the wait for a round that teaches."""
    found: dict[str, Option] = {}
    for signal in signals.NAMES:
        for rollouts in GROUPS:
            if signal == "psr" or (rollouts == 1 and signal not in ("raw", "signed", "nsr")):
                continue  # of rewards 0 and 1 these are the raw reward again, or a group of one that is always 0
            other = _plain(settings, signal, rollouts)
            try:
                rounds = by_mean_update(p0, kappa, other, 1).mean_hitting_time(level)
            except InputError:  # a law that has no such group
                continue
            all_wrong, all_right = (1 - tree.paid) ** rollouts, tree.paid**rollouts
            idle = (signal not in ("signed", "nsr")) * all_wrong + (signal in ("nsr", *signals.CENTRED)) * all_right
            rounds = max(rounds, 1 / (1 - idle) if idle < 1 else math.inf)
            followed = math.inf if other.by_successes and tree.truth is None else TreeRoundsLaw.searched
            if rounds <= followed:
                option = Option(signal, rollouts, rounds, rounds * rollouts, "pg_group")
                found[signal] = min(found.get(signal, option), option, key=lambda one: one.pulls)
    return list(found.values())


def _bought(law: Law, budget: int) -> dict[str, float]:
    rounds = law.searched
    if isinstance(law, TreeJumpLaw):
        rounds = min(budget, rounds)
    else:
        rounds = min(budget // law.settings.pulls, rounds)
        # Groups that are drawn again take more: the round whose mean would pass the budget is not begun.
        rounds = int(np.searchsorted(np.cumsum(law.pulled(rounds)), budget + 1e-9, side="right"))
    at = np.array([rounds])
    low, high = (float(law.value_quantile(q, at)[0]) for q in ((1 - COVERAGE) / 2, (1 + COVERAGE) / 2))
    mean = float(law.curves(rounds + 1).value[-1])
    return {"pulls": float(budget), "rounds": float(rounds), "mean": mean, "low": low, "high": high}


def _compared(law: Law, other: Law, against: tuple[str, int], round_: int, seeds: int | None) -> Comparison:
    one, two = (_design(each, round_) for each in (law, other))
    return Comparison(
        *against,
        round_,
        difference=one.mean - two.mean,
        spread=math.hypot(one.sd, two.sd),
        seeds=seeds,
        power=None if seeds is None else power(one, two, seeds),
        seeds_for_80=seeds_for(one, two, 0.8),
    )


def _design(law: Law, round_: int) -> Design:
    curves = law.curves(round_ + 1)
    runs = law.drawn_values(np.array([round_]))[:, 0]
    return Design(float(curves.value[-1]), float(curves.value_sd[-1]), runs)
