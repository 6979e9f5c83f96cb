"""What a fine-tuning run will take, before it is paid for: rounds to a level, groups that teach nothing, pulls, power.

    from bandit_rft import plan

    plan(p0=0.18, kappa=40.0, signal="grpo", rollouts=2, step_size=0.005, level=0.8).dead_group_probability   # 0.705

The policy is taken for one decision whose gradient has squared norm κ (or for H equal decisions), and plain gradient
steps of a fixed size are followed round by round: `tree_jump` for the raw reward of one rollout, `tree_rounds` for any
other signal and group, both of the catalogue. A tree of measured responses takes its place where there is one.

With a delay, a round learns from the responses of so many rounds before, as an asynchronous trainer does, without a
ratio; the same law follows it, and says what the delay costs.

Left out: ratios that correct for a delay, optimisers other than plain gradient steps, PPO's clip, length weighting,
test questions.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import stats

from bandit_rft import arguments, notebook, signals, theory
from bandit_rft.errors import InputError
from bandit_rft.theory.compared import chain_of_decisions
from bandit_rft.theory.laws.tree_law import TreeJumpLaw, TreeRoundsLaw
from bandit_rft.theory.response_tree import ResponseTree
from bandit_rft.theory.sequences.tree import jump_law, rounds_law

__all__ = ["Comparison", "Plan", "Times", "plan"]

COVERAGE = 0.8  # of the band over single runs
GROUPS = (1, 2, 4, 8, 16, 32, 64)  # sizes among which the cheapest is looked for
# Of these a group is compared with itself: one whose rewards are all equal teaches nothing.
_CENTRED = ("mean_baseline", "rloo", "grpo", "maxrl_centred")

_MOST_ROLLOUTS = 16_384  # of a group, whose responses are drawn one by one in a thousand runs
_WRITTEN_OUT = 1e12  # up to which a number is shown with all its digits

Law = TreeJumpLaw | TreeRoundsLaw
_FOLLOWED = {"tree_jump": TreeJumpLaw.searched, "tree_rounds": TreeRoundsLaw.searched}  # rounds


@dataclass(frozen=True)
class Times:
    """Rounds until Pass@1 is at the level: that of the mean curve, and the band that holds 80% of single runs; None
    where it is not reached within the rounds that the law follows."""

    mean: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Option:
    """A signal and a group size, with what reaching the level costs by the mean-field law `pg_group`."""

    signal: str
    rollouts: int
    rounds: float
    pulls: float
    law: str = "pg_group"


@dataclass(frozen=True)
class Comparison:
    """Two designs after as many rounds as the first takes to the level.

    Attributes:
        signal, rollouts: of the other design.
        round: at which they are compared.
        difference: of mean Pass@1, this design less the other.
        spread: root of the sum of both variances over seeds.
        seeds, power: of a two-sided test at 5% with so many seeds of each; None where no number was given.
        seeds_for_80: seeds of each that give a power of .8; None where more than 10,000.
    """

    signal: str
    rollouts: int
    round: int
    difference: float
    spread: float
    seeds: int | None
    power: float | None
    seeds_for_80: int | None


@dataclass(frozen=True)
class Plan:
    """What a run will take.

    Attributes:
        p0, kappa, signal, rollouts, step_size, level: as given.
        law: the entry of the catalogue that gives the times.
        dead_group_probability: at the start, of a group whose rewards are all equal (entry `dead_group_probability`).
        idle_probability: at the start, of a group that teaches nothing under this signal; they differ for signals that
            compare no responses.
        rounds_to_level: in rounds.
        pulls: responses until the mean curve is at the level; None where it is not reached.
        tokens: the same, with a mean response length; None without one.
        cheapest: the signal and group size with the fewest pulls to the level at this step size; None where no law
            reaches it, and with a delay, of which that law knows nothing.
        budget: responses that can be paid for, and what they buy: Pass@1 in the mean, and the band of single runs.
        against: another design, and the seeds that tell it apart.
        delay: rounds from sampling a response to learning from it.
        undelayed: rounds to the level of the mean curve without the delay; None without one, and where not reached.

    Example:
        >>> from bandit_rft import plan
        >>> found = plan(p0=0.18, kappa=40.0, signal="grpo", rollouts=2, step_size=0.005, level=0.8)
        >>> round(found.dead_group_probability, 3), found.rounds_to_level.mean, found.law
        (0.705, 101.0, 'tree_rounds')
    """

    p0: float
    kappa: float
    signal: str
    rollouts: int
    step_size: float
    level: float
    law: str
    dead_group_probability: float
    idle_probability: float
    rounds_to_level: Times
    pulls: float | None
    tokens: float | None
    cheapest: Option | None
    budget: dict[str, float] | None = None
    against: Comparison | None = None
    delay: int = 0
    undelayed: float | None = None
    _curve: Callable[[int], theory.Prediction] | None = field(default=None, repr=False, compare=False)

    def __repr__(self) -> str:
        return notebook.line("Plan", self.report().splitlines()[:2])

    def _repr_html_(self) -> str:
        title, *rest = self.report().splitlines()
        return notebook.html(title, rows=dict(enumerate(rest, 1)))

    def prediction(self, rounds: int) -> theory.Prediction:
        """The law's curve with its bands, as `bandit_rft.plots` and `compare` take it."""
        assert self._curve is not None
        return self._curve(rounds)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return dataclasses.asdict(dataclasses.replace(self, _curve=None), dict_factory=_public)

    def report(self) -> str:
        """As lines to read."""
        times = self.rounds_to_level
        lines = [
            f"{self.signal}, {self.rollouts} rollouts per round, p0 = {self.p0:g}, kappa = {self.kappa:g}, step "
            f"{self.step_size:g} ({self.step_size * self.kappa:.2g}/kappa)",
            f"rounds to Pass@1 = {self.level:g}: {_shown(times.mean)}, single runs {_shown(times.low)} to "
            f"{_shown(times.high)} ({COVERAGE:.0%}; {self.law})",
            f"responses: {_shown(self.pulls)}" + ("" if self.tokens is None else f", {_shown(self.tokens)} tokens"),
            f"groups whose rewards are all equal at the start: {self.dead_group_probability:.1%}; that teach nothing "
            f"under this signal: {self.idle_probability:.1%}",
        ]
        followed = _FOLLOWED[self.law]
        if times.mean is None:
            lines.append(f"not reached: not within the {followed:,} rounds that {self.law} is followed for")
        if self.delay:
            lines.insert(2, self._price())
        if self.cheapest is not None:
            best = self.cheapest
            lines.append(
                f"cheapest at this step size: {best.signal}, {best.rollouts} rollouts: {_shown(best.pulls)} responses "
                f"in {_shown(best.rounds)} rounds ({best.law})"
            )
        if self.budget is not None:
            held = self.budget
            lines.append(
                f"{_shown(held['pulls'])} responses buy {_shown(held['rounds'])} rounds"
                f"{' and more, which the law is not followed for' if held['rounds'] >= followed else ''}: "
                f"Pass@1 {held['mean']:.3f}, "
                f"single runs {held['low']:.3f} to {held['high']:.3f} ({self.law})"
            )
        if self.against is not None:
            other = self.against
            power = "" if other.power is None else f" {other.seeds} seeds of each have power {other.power:.2f},"
            needed = "over 10,000" if other.seeds_for_80 is None else other.seeds_for_80
            lines.append(
                f"against {other.signal}, {other.rollouts} rollouts, after {other.round} rounds: Pass@1 differs by "
                f"{other.difference:+.3f}, seeds by {other.spread:.3f};{power} {needed} for a power of .8"
            )
        return "\n".join(lines)

    def _price(self) -> str:
        said = f"learned from {self.delay} rounds late, without a ratio: "
        if self.rounds_to_level.mean is None or self.undelayed is None:
            return said + f"the level takes {_shown(self.undelayed)} rounds without the delay"
        more = self.rounds_to_level.mean - self.undelayed
        return said + f"{more:,.0f} rounds ({more / self.undelayed:.0%}) more than the {_shown(self.undelayed)} without"


def _public(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name: value for name, value in pairs if not name.startswith("_")}


def _shown(number: float | None) -> str:
    if number is None:
        return "not reached"
    return f"{number:,.0f}" if abs(number) < _WRITTEN_OUT else f"{number:.3g}"


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
        against: (signal, rollouts) of another design, to be told apart. seeds: of each.
        delay: rounds from sampling a response to learning from it (`finetune --delay` with `--clip none`), of both
            designs.

    Raises:
        InputError: a number out of range, or a level that is not above p0.
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
    rollouts, delay = arguments.whole("rollouts", rollouts), arguments.whole("delay", delay, 0)
    if level <= p0:
        raise InputError(f"level is {level:g} and p0 is {p0:g}: give a level above p0.")
    signals.make(signal)  # a name that is none is refused here
    grown = tree or chain_of_decisions(p0, kappa, arguments.whole("decisions", decisions))
    name, law = _law(grown, step_size, signal, rollouts, ddof, eps, delay)
    times = _times(law, level)
    undelayed = _times(_law(grown, step_size, signal, rollouts, ddof, eps, 0)[1], level).mean if delay else None
    pulls = None if times.mean is None else times.mean * rollouts
    found = Plan(
        p0=p0,
        kappa=kappa,
        signal=signal,
        rollouts=rollouts,
        step_size=step_size,
        level=level,
        law=name,
        dead_group_probability=float(theory.dead_group_probability(p0, rollouts)),
        idle_probability=_idle(signal, p0, rollouts),
        rounds_to_level=times,
        pulls=pulls,
        tokens=None if tokens is None or pulls is None else arguments.positive("tokens", tokens) * pulls,
        cheapest=None if delay else _cheapest(p0, kappa, step_size, level, ddof, eps),
        delay=delay,
        undelayed=undelayed,
        _curve=lambda rounds: _prediction(name, grown, step_size, rounds, signal, rollouts, ddof, eps, delay),
    )
    if budget is not None:
        found = dataclasses.replace(found, budget=_bought(law, arguments.whole("budget", budget, rollouts), rollouts))
    if against is not None:
        if times.mean is None:
            raise InputError(
                "This design does not reach the level, so there is no round to compare it at: give a lower level."
            )
        _, other = _law(grown, step_size, *against, ddof, eps, delay)
        found = dataclasses.replace(found, against=_compared(law, other, against, int(times.mean), seeds))
    return found


def _check_asked(rollouts: int, budget: int | None, tokens: float | None, against: Any, seeds: int | None) -> None:
    """Raises InputError for what is out of range, before any law is followed."""
    rollouts = arguments.whole("rollouts", rollouts, most=_MOST_ROLLOUTS)
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
        arguments.whole("The group of against", against[1], most=_MOST_ROLLOUTS)


def _law(
    tree: ResponseTree, step_size: float, signal: str, rollouts: int, ddof: int, eps: float, delay: int
) -> tuple[str, Law]:
    if signal in ("raw", "psr") and rollouts == 1 and not delay:
        return "tree_jump", jump_law(tree, step_size)
    return "tree_rounds", rounds_law(tree, step_size, signal, rollouts, ddof=ddof, eps=eps, delay=delay)


def _prediction(
    name: str,
    tree: ResponseTree,
    step_size: float,
    rounds: int,
    signal: str,
    rollouts: int,
    ddof: int,
    eps: float,
    delay: int,
) -> theory.Prediction:
    if name == "tree_jump":
        return theory.tree_jump(tree, step_size, rounds)
    return theory.tree_rounds(tree, step_size, rounds, signal, rollouts, ddof=ddof, eps=eps, delay=delay)


def _times(law: Law, level: float) -> Times:
    mean = law.mean_time(level, law.searched)
    if not math.isfinite(mean):
        return Times(None, None, None)
    ends = [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2]
    within = min(law.searched, max(64, math.ceil(6 * mean)))
    low, high = np.quantile(law.hits(level, within, ends[1]), ends, method="inverted_cdf")
    return Times(float(mean), *(float(end) if math.isfinite(end) else None for end in (low, high)))


def _idle(signal: str, p: float, rollouts: int) -> float:
    """Probability that all signals of a group are 0."""
    failed, right = (1 - p) ** rollouts, p**rollouts
    if signal in ("raw", "psr", "maxrl") or (signal == "grpo" and rollouts == 1):
        return failed
    if signal == "signed":
        return 0.0
    if signal == "nsr":
        return right
    return failed + right


def _cheapest(p0: float, kappa: float, step_size: float, level: float, ddof: int, eps: float) -> Option | None:
    """By the mean-field law, which is quick and the same for all."""
    found = []
    for signal in signals.NAMES:
        for rollouts in GROUPS:
            if rollouts == 1 and signal in (*_CENTRED, "pass_at_k"):
                continue  # a group of one: GRPO's is the raw reward, and the others are 0
            try:
                law = theory.pg_group(signal, p0, step_size, 1, rollouts, kappa=kappa, ddof=ddof, eps=eps)
                rounds = law.mean_hitting_time(level)
            except InputError:  # a law that has no such group
                continue
            if math.isfinite(rounds):
                found.append(Option(signal, rollouts, float(rounds), float(rounds) * rollouts))
    return min(found, key=lambda one: one.pulls, default=None)


def _bought(law: Law, budget: int, rollouts: int) -> dict[str, float]:
    rounds = min(budget // rollouts, law.searched)
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
