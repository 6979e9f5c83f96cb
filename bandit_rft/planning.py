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
from scipy import stats

from bandit_rft import arguments, signals, theory
from bandit_rft.errors import InputError
from bandit_rft.planned import COVERAGE, Comparison, Option, Plan, Times
from bandit_rft.theory.compared import chain_of_decisions
from bandit_rft.theory.laws.tree_law import TreeJumpLaw
from bandit_rft.theory.laws.tree_rounds_law import TreeRoundsLaw
from bandit_rft.theory.policy_gradient.mean_update import by_mean_update
from bandit_rft.theory.response_tree import ResponseTree
from bandit_rft.theory.sequences.tree import MOST_ROLLOUTS, law_on, on_tree
from bandit_rft.theory.update_settings import UpdateSettings

__all__ = ["COVERAGE", "Comparison", "Plan", "Times", "plan"]

GROUPS = (1, 2, 4, 8, 16, 32, 64)  # sizes among which the cheapest is looked for

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
        NoLawError: a signal without a law for such groups.

    Example:
        >>> from bandit_rft import plan
        >>> found = plan(p0=0.18, kappa=40.0, signal="grpo", rollouts=2, step_size=0.005, level=0.8)
        >>> round(found.dead_group_probability, 3), found.rounds_to_level.mean, found.law
        (0.705, 101.0, 'tree_rounds')
    """
    _check_asked(rollouts, budget, tokens, against, seeds)
    if tree is not None:
        p0, kappa = tree.p0, tree.kappa
    p0, level = arguments.fraction("p0", p0), arguments.fraction("level", level)
    kappa, step_size = arguments.positive("kappa", kappa), arguments.positive("step_size", step_size)
    if not _GAINS[0] <= step_size * kappa <= _GAINS[1]:
        raise InputError(
            f"step_size is {step_size:g} and kappa is {kappa:g}: their product is the logit gain of a success, and "
            f"plans are made where it is between {_GAINS[0]:g} and {_GAINS[1]:g}."
        )
    baseline_rollouts = arguments.whole("baseline_rollouts", baseline_rollouts, 0)
    signals.check_window(window, signal, rollouts, baseline_rollouts, {"extra": "baseline_rollouts"})
    settings = UpdateSettings.among(locals(), extra_rollouts=baseline_rollouts)
    if level <= p0:
        raise InputError(f"level is {level:g} and p0 is {p0:g}: give a level above p0.")
    grown = tree or chain_of_decisions(p0, kappa, arguments.whole("decisions", decisions))
    law, at_once = law_on(grown, settings), dataclasses.replace(settings, delay=0)
    times, group = _times(law, level), settings.group
    pulls = None if times.mean is None else _pulled(law, int(times.mean))
    found = Plan(
        p0=p0,
        kappa=kappa,
        signal=signal,
        rollouts=settings.rollouts,
        step_size=settings.step_size,
        level=level,
        law="tree_jump" if isinstance(law, TreeJumpLaw) else "tree_rounds",
        dead_group_probability=float(theory.dead_group_probability(p0, group)),
        idle_probability=_idle(settings, p0),
        rounds_to_level=times,
        pulls=pulls,
        tokens=None if tokens is None or pulls is None else arguments.positive("tokens", tokens) * pulls,
        cheapest=None if settings.delay else _cheapest(p0, kappa, at_once, level),
        delay=settings.delay,
        undelayed=_times(law_on(grown, at_once), level).mean if settings.delay else None,
        window=window,
        dynamic_sampling=dynamic_sampling,
        baseline_rollouts=baseline_rollouts,
        first_round_pulls=_pulled(law, 1)
        if not dynamic_sampling
        else float(theory.dynamic_sampling_pulls(p0, group, dynamic_sampling)),
        _curve=lambda rounds: on_tree(grown, settings, rounds),
    )
    if budget is not None:
        found = dataclasses.replace(found, budget=_bought(law, arguments.whole("budget", budget, group)))
    if against is not None:
        if times.mean is None:
            raise InputError(
                "This design does not reach the level, so there is no round to compare it at: give a lower level."
            )
        other = law_on(grown, _plain(settings, *against))
        found = dataclasses.replace(found, against=_compared(law, other, against, int(times.mean), seeds))
    return found


def _check_asked(rollouts: int, budget: int | None, tokens: float | None, against: Any, seeds: int | None) -> None:
    """Raises InputError for what is out of range, before any law is followed."""
    rollouts = arguments.whole("rollouts", rollouts, most=MOST_ROLLOUTS)
    if budget is not None:
        arguments.whole("budget", budget, rollouts)
    if tokens is not None:
        arguments.positive("tokens", tokens)
    if seeds is not None:
        arguments.whole("seeds", seeds)
        if against is None:
            raise InputError(f"seeds is {seeds}, of two designs to tell apart: give against too.")
    if against is not None:
        if not isinstance(against, tuple | list) or len(against) != 2:
            raise InputError(
                f"against is {arguments.shown(against)}: give a signal and a number of rollouts, such as ('grpo', 8)."
            )
        signals.make(against[0])
        arguments.whole("The group of against", against[1], most=MOST_ROLLOUTS)


def _plain(settings: UpdateSettings, signal: str, rollouts: int) -> UpdateSettings:
    """Another signal and group, and neither a window nor dead groups again nor rollouts for the baseline alone."""
    own = {"window": None, "dynamic_sampling": 0, "extra_rollouts": 0}
    return dataclasses.replace(settings, signal=signal, rollouts=rollouts, **own)


def _times(law: Law, level: float) -> Times:
    mean = law.mean_time(level, law.searched)
    if not math.isfinite(mean):
        return Times(None, None, None)
    ends = [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2]
    within = min(law.searched, max(64, math.ceil(6 * mean)))
    low, high = np.quantile(law.hits(level, within, ends[1]), ends, method="inverted_cdf")
    return Times(float(mean), *(float(end) if math.isfinite(end) else None for end in (low, high)))


def _pulled(law: Law, rounds: int) -> float:
    """Responses of the first rounds, in the mean."""
    return float(rounds if isinstance(law, TreeJumpLaw) else law.pulled(rounds).sum())


def _idle(settings: UpdateSettings, p: float) -> float:
    """Probability that all signals of a round are 0."""
    signal, compared = settings.signal, settings.group if settings.window is None else settings.window
    failed, right = (1 - p) ** compared, p**compared
    if signal in ("raw", "psr", "maxrl") or (signal == "grpo" and compared == 1):
        return (1 - p) ** settings.rollouts
    if signal == "signed":
        return 0.0
    if signal == "nsr":
        return p**settings.rollouts
    if signal == "pass_at_k":  # k is the whole group: one that is right teaches where it is the only one
        return 1 - settings.rollouts * p * (1 - p) ** (settings.group - 1)
    return (failed + right) ** (settings.dynamic_sampling + 1)


def _cheapest(p0: float, kappa: float, settings: UpdateSettings, level: float) -> Option | None:
    """By the mean-field law, which is quick and the same for all."""
    found = []
    for signal in signals.NAMES:
        for rollouts in GROUPS:
            if rollouts == 1 and signal in (*signals.CENTRED, "pass_at_k"):
                continue  # a group of one: GRPO's is the raw reward, and the others are 0
            try:
                law = by_mean_update(p0, kappa, _plain(settings, signal, rollouts), 1)
                rounds = law.mean_hitting_time(level)
            except InputError:  # a law that has no such group
                continue
            if math.isfinite(rounds):
                found.append(Option(signal, rollouts, float(rounds), float(rounds) * rollouts))
    return min(found, key=lambda one: one.pulls, default=None)


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
    curves = [one.curves(round_ + 1) for one in (law, other)]
    difference = float(curves[0].value[-1] - curves[1].value[-1])
    spread = math.sqrt(sum(float(one.value_sd[-1]) ** 2 for one in curves))

    def power(number: int) -> float:
        """Of a two-sided z test at 5%."""
        if spread == 0:
            return float(difference != 0)
        shift, cut = abs(difference) * math.sqrt(number) / spread, stats.norm.ppf(0.975)
        return float(stats.norm.sf(cut - shift) + stats.norm.cdf(-cut - shift))

    given = None if seeds is None else power(arguments.whole("seeds", seeds))
    needed = next((number for number in range(2, 10_001) if power(number) >= 0.8), None)
    return Comparison(*against, round_, difference, spread, seeds, given, needed)
