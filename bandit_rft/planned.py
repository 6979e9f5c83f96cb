"""What `bandit_rft.plan` returns, and how it is told."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bandit_rft import notebook, theory
from bandit_rft.regret.power import TEST
from bandit_rft.theory.laws.tree_law import TreeJumpLaw
from bandit_rft.theory.laws.tree_rounds_law import TreeRoundsLaw

__all__ = ["COVERAGE", "Comparison", "Option", "Plan", "Times"]

COVERAGE = 0.8  # of the band over single runs
_WRITTEN_OUT = 1e12  # up to which a number is shown with all its digits
_FOLLOWED = {"tree_jump": TreeJumpLaw.searched, "tree_rounds": TreeRoundsLaw.searched}  # rounds


@dataclass(frozen=True)
class Times:
    """Rounds until a single run's Pass@1 is at the level: their mean, and the band that holds 80% of runs.

    The mean is None where some runs do not arrive within what the law is followed for, and so is an end of the band
    that lies beyond. By `tree_jump` the mean is the sum of the waits 1/p, however long.
    """

    mean: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Option:
    """A signal and a group size, with what reaching the level costs in the mean over single runs, by the law that a
    plan of that design has: without a window, dead groups drawn again, or rollouts for the baseline alone."""

    signal: str
    rollouts: int
    rounds: float
    pulls: float
    law: str


@dataclass(frozen=True)
class Comparison:
    """Two designs after as many rounds as the first's mean curve takes to the level.

    Attributes:
        signal, rollouts: of the other design.
        round: at which they are compared.
        difference: of mean Pass@1, this design less the other.
        spread: root of the sum of both variances over seeds.
        seeds, power: of the test with so many seeds of each; None where no number was given.
        seeds_for_80: seeds of each that give a power of .8; None where more than 10,000.
        test: whose power it is, by runs drawn from both laws.
    """

    signal: str
    rollouts: int
    round: int
    difference: float
    spread: float
    seeds: int | None
    power: float | None
    seeds_for_80: int | None
    test: str = TEST


@dataclass(frozen=True)
class Plan:
    """What a run will take.

    Attributes:
        p0, kappa, signal, rollouts, step_size, level: as given.
        law: the entry of the catalogue that gives the times.
        dead_group_probability: at the start, of a group whose rewards are all equal (entry `dead_group_probability`).
        idle_probability: at the start, of a round that teaches nothing under this signal; they differ for signals that
            compare no responses, for groups that are drawn again, and for a window, which is taken to be full.
        rounds_to_level: of single runs, in rounds.
        reached: share of the runs that arrive within what the law is followed for: 4,096 rounds of `tree_rounds`,
            20,000 successes of `tree_jump`.
        mean_curve: round at which the mean of Pass@1 over runs is at the level; None where it is not, within the
            rounds that the law follows. Runs that are late hold the mean down, so that it may lie above the band.
        pulls: responses until a run is at the level, in the mean over runs, those of dead groups and for the baseline
            among them; None where some runs do not arrive.
        tokens: the same, with a mean response length; None without one.
        cheapest: the signal and group size with the fewest pulls to the level at this step size, of the three signals
            that the mean-field law `pg_group` ranks first; None where not all of their runs reach it, and with a
            delay, of which that ranking knows nothing.
        budget: responses that can be paid for, and what they buy: Pass@1 in the mean, and the band of single runs.
        against: another design, and the seeds that tell it apart.
        delay: rounds from sampling a response to learning from it.
        undelayed: rounds to the level in the mean without the delay; None without one, and where not reached.
        window: scores of the question that give mean and spread, None: the round's.
        dynamic_sampling: how often a dead group is drawn again at most.
        baseline_rollouts: responses per round that enter the signal alone.
        first_round_pulls: responses of the first round in the mean (entry `dynamic_sampling_pulls` where dead groups
            are drawn again).

    Example:
        >>> from bandit_rft import plan
        >>> found = plan(p0=0.18, kappa=40.0, signal="grpo", rollouts=2, step_size=0.005, level=0.8)
        >>> round(found.dead_group_probability, 3), round(found.rounds_to_level.mean, 1), found.law
        (0.705, 101.4, 'tree_rounds')
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
    reached: float
    mean_curve: float | None
    pulls: float | None
    tokens: float | None
    cheapest: Option | None
    budget: dict[str, float] | None = None
    against: Comparison | None = None
    delay: int = 0
    undelayed: float | None = None
    window: int | None = None
    dynamic_sampling: int = 0
    baseline_rollouts: int = 0
    first_round_pulls: float = math.nan
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
            f"{self.signal}, {_rollouts(self.rollouts)} per round, p0 = {self.p0:g}, kappa = {self.kappa:g}, step "
            f"{self.step_size:g} ({self.step_size * self.kappa:.2g}/kappa)",
            f"rounds to Pass@1 = {self.level:g}: {_shown(times.mean)} in the mean, single runs {_shown(times.low)} to "
            f"{_shown(times.high)} ({COVERAGE:.0%}; {self.law}); their mean curve: {_shown(self.mean_curve)}",
            f"responses: {_shown(self.pulls)}" + ("" if self.tokens is None else f", {_shown(self.tokens)} tokens"),
            f"groups whose rewards are all equal at the start: {self.dead_group_probability:.1%}; rounds that teach "
            f"nothing under this signal: {self.idle_probability:.1%}",
        ]
        followed = _FOLLOWED[self.law]
        if self.reached < 1.0:
            some = f"reached by {self.reached:.1%} of runs, the others" if self.reached > 0.0 else "not reached:"
            lines.append(f"{some} not within the {followed:,} rounds that {self.law} is followed for")
        if self.delay:
            lines.insert(2, self._price())
        lines += self._drawn()
        if self.cheapest is not None:
            best = self.cheapest
            lines.append(
                f"cheapest at this step size: {best.signal}, {_rollouts(best.rollouts)}: "
                f"{_counted(best.pulls, 'response')} in {_counted(best.rounds, 'round')} in the mean ({best.law})"
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
                f"against {other.signal}, {_rollouts(other.rollouts)}, after {other.round} rounds: Pass@1 differs by "
                f"{other.difference:+.3f}, seeds by {other.spread:.3f};{power} {needed} for a power of .8 "
                f"({other.test})"
            )
        return "\n".join(lines)

    def _drawn(self) -> list[str]:
        """What a round draws and compares beside its rollouts."""
        said = []
        if self.window is not None:
            said.append(
                f"mean and spread: of the question's newest {self.window} scores, as old as the rounds that drew them"
            )
        if self.dynamic_sampling:
            said.append(
                f"dead groups are drawn again up to {self.dynamic_sampling} times: {self.first_round_pulls:.1f} "
                "responses in the first round in the mean"
            )
        if self.baseline_rollouts:
            said.append(f"{self.baseline_rollouts} more responses per round serve the baseline alone")
        return said

    def _price(self) -> str:
        said = f"learned from {self.delay} rounds late, without a ratio: "
        if self.rounds_to_level.mean is None or self.undelayed is None:
            return said + f"the level takes {_shown(self.undelayed)} rounds without the delay"
        more = self.rounds_to_level.mean - self.undelayed
        return said + f"{more:,.0f} rounds ({more / self.undelayed:.0%}) more than the {_shown(self.undelayed)} without"


def _public(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name: value for name, value in pairs if not name.startswith("_")}


def _rollouts(number: int) -> str:
    return _counted(number, "rollout")


def _counted(number: float, what: str) -> str:
    said = _shown(number)
    return f"{said} {what}" if said == "1" else f"{said} {what}s"


def _shown(number: float | None) -> str:
    if number is None:
        return "not reached"
    return f"{number:,.0f}" if abs(number) < _WRITTEN_OUT else f"{number:.3g}"
