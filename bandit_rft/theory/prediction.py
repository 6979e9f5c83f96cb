"""What a theory hands on: mean curves of value and regret, their seed-to-seed spread, and the law where known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from bandit_rft import arguments, notebook
from bandit_rft.errors import InputError

__all__ = ["Curves", "Law", "Means", "Prediction", "rounds_shown"]

Float = np.ndarray

_ALL_SHOWN = 1_000_000  # rounds up to which a closed form is evaluated at every one
_SHOWN = 4096


def rounds_shown(rounds: int) -> np.ndarray:
    """int64 [N], the rounds 0 .. rounds-1 at which a closed form is evaluated: all of a million, else the first
    thousand, then geometrically spaced, and the last.
    """
    if rounds <= _ALL_SHOWN:
        return np.arange(rounds, dtype=np.int64)
    rest = np.rint(np.geomspace(1000, rounds - 1, _SHOWN - 1000)).astype(np.int64)
    return np.unique(np.concatenate([np.arange(1000), rest]))


class Curves(NamedTuple):
    """Independent runs drawn from a law, seen at some rounds; all float64 [seeds, len(at)].

    Attributes:
        value: the policy's expected reward before that round's update, 0 to 1.
        regret: cumulative pseudo-regret up to and including that round, in rewards.
        total_reward: rewards collected up to and including that round, averaged over the round's rollouts.
    """

    value: Float
    regret: Float
    total_reward: Float


class Means(NamedTuple):
    """Mean curves as a `Prediction` holds them, float64 [N] each; reward None where it is the value."""

    value: Float
    regret: Float
    reward: Float | None


@runtime_checkable
class Law(Protocol):
    """The probability law of a whole run, from which means, spreads and hitting times follow. Hashable."""

    def sample(self, generator: np.random.Generator, seeds: int, at: np.ndarray) -> Curves:
        """`seeds` independent runs, recorded at the increasing integer rounds `at`."""
        ...

    def mean_hitting_time(self, level: float) -> float:
        """E[first round whose value >= level]."""
        ...

    def hitting_time_quantile(self, level: float, q: float) -> float:
        """The smallest round t with P(hitting time <= t) >= q."""
        ...

    def value_quantile(self, q: float, at: np.ndarray) -> Float:
        """float64 [N], the smallest v with P(value at round at[i] <= v) >= q."""
        ...

    def value_given_rewards(self, rewards: Float) -> Float | None:
        """The value [seeds, rounds] that rewards [seeds, rounds, rollouts] force, or None where they do not fix it."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Prediction:
    """A prediction for `rounds` rounds, t = 0 .. rounds-1, of an arm set whose best mean is 1. N rounds are shown.

    Attributes:
        name: the catalogue's name for it.
        value: float64 [N], E[policy's expected reward before the update of round t]; value[0] = p0.
        regret: float64 [N], expected cumulative pseudo-regret including round t, in rewards; every rollout counts.
        at: int64 [N], the rounds t shown, or None for every round (N = rounds).
        value_sd: float64 [N], exact seed-to-seed standard deviation of the value, or None where it is unknown.
        regret_sd: float64 [N], that of the cumulative pseudo-regret, or None.
        reward: float64 [N], expected mean reward of the responses that a round learns from, where it is not the value:
            groups that were drawn until their rewards differ are not like all groups. Else None.
        value_jump: float64 [N], E|v - Ev|^3 / Var v, the size of the rare moves that make a mean skewed, or None.
        assumptions: what must hold, one sentence each.
        formula: LaTeX.
        source: where it comes from.
        parameters: the arguments it was made with.
        law: the law of one run, or None where only the mean is predicted.
        flags: assumptions that the arguments break, one sentence each; the numbers then may not hold.
        why: why this law was chosen, where `theory.predict` chose it.
        remeasured: computes the curves that other measurements of the same size would have predicted, drawn from what
            was measured; a verdict counts what they differ by as chance. None: nothing was measured.

    Example:
        >>> from bandit_rft import theory
        >>> curve = theory.pg_ode(p0=0.05, step_size=0.5, rounds=400)
        >>> curve.value.shape, round(float(curve.regret[-1]), 2)
        ((400,), 54.09)
    """

    name: str
    value: Float
    regret: Float
    value_sd: Float | None = None
    regret_sd: Float | None = None
    value_jump: Float | None = None
    assumptions: tuple[str, ...] = ()
    formula: str = ""
    source: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    law: Law | None = None
    at: np.ndarray | None = None
    flags: tuple[str, ...] = ()
    why: str = ""
    reward: Float | None = None
    remeasured: Callable[[], Sequence[Means]] | None = None

    def __repr__(self) -> str:
        return notebook.line(f"Prediction {self.name}", self._numbers())

    def _repr_html_(self) -> str:
        rows = {"formula": self.formula, "source": self.source, "why": self.why}
        rows |= dict(enumerate((*self.assumptions, *(f"outside: {flag}" for flag in self.flags)), 1))
        title = f"Prediction {self.name}: {', '.join(self._numbers())}"
        return notebook.html(title, [("Pass@1, mean", self.value)], {name: said for name, said in rows.items() if said})

    def _numbers(self) -> list[str]:
        return [
            f"{self.rounds} rounds",
            f"Pass@1 {self.value[0]:.4g} to {self.value[-1]:.4g}",
            f"final regret {self.regret[-1]:.4g}",
            *(["outside its assumptions"] if self.flags else []),
        ]

    @property
    def rounds(self) -> int:
        """The horizon."""
        return len(self.value) if self.at is None else int(self.at[-1]) + 1

    @property
    def rollouts(self) -> int:
        """Pulls a round, before a dead group is drawn again."""
        group = int(self.parameters.get("rollouts", 1)) + int(self.parameters.get("extra_rollouts", 0))
        return group * max(1, int(self.parameters.get("questions", 0)))

    def mean_hitting_time(self, level: float) -> float:
        """E[first round t whose value >= level], in rounds; may exceed the horizon.

        Raises:
            InputError: level outside (0, 1), the law of a run is unknown, or a law of simulated rounds does not follow
                all runs to the level.
        """
        return self._law().mean_hitting_time(_check_open("level", level))

    def hitting_time_quantile(self, level: float, q: float) -> float:
        """The smallest round t with P(first round whose value >= level is at most t) >= q; may exceed the horizon. Of a
        law of simulated rounds inf where that is beyond the 4,096 that it follows.

        Raises:
            InputError: level or q outside (0, 1), or the law of a run is unknown.
        """
        return self._law().hitting_time_quantile(_check_open("level", level), _check_open("q", q))

    def value_band(self, coverage: float = 0.9) -> tuple[Float, Float]:
        """(low, high), float64 [N] each: between them lies a run's value in a round with that probability at least.

        Raises:
            InputError: coverage outside (0, 1), or the law of a run is unknown.
        """
        tail = (1.0 - _check_open("coverage", coverage)) / 2.0
        at = np.arange(self.rounds, dtype=np.int64) if self.at is None else self.at
        return self._law().value_quantile(tail, at), self._law().value_quantile(1.0 - tail, at)

    def _law(self) -> Law:
        if self.law is None:
            raise InputError(
                f"{self.name} predicts mean curves only: hitting times need a prediction whose law is known."
            )
        return self.law


def _check_open(name: str, value: float) -> float:
    number = arguments.number(name, value)
    if not 0.0 < number < 1.0:
        raise InputError(f"{name} must lie strictly between 0 and 1, but is {value!r}.")
    return number
