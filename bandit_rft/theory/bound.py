"""What a theorem hands on that is no prediction: a bound on a curve, capped at what holds without any theorem."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bandit_rft import notebook
from bandit_rft.errors import InputError

__all__ = ["Bound"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Bound:
    """An upper or lower bound on an expected quantity after so many rounds.

    Attributes:
        name: the catalogue's name for it.
        kind: "upper" or "lower".
        quantity: what is bounded: "pseudo-regret", "Bayesian regret", "simple regret", "value gap".
        at: int64 [N], the rounds T after which it holds, increasing.
        uncapped: float64 [N], the theorem's own number; infinity where it says nothing.
        trivial: float64 [N], what holds anyway: T times the largest gap above (regret), 0 below.
        cap: float64 [N], what the quantity cannot exceed, T times the largest gap: a lower bound stays below it; None
            where it is unknown.
        confirmed: whether the constants were read in the source or derived here. Where False the shape is the source's
            and the constant may not be, so that `compare` tests nothing.
        asymptotic: whether the source claims it only as T → ∞; a finite run then cannot refute it.
        tuned: whether the learner is tuned to the horizon, so that each T is a run of its own; see `of_one_run`.
        flags: assumptions that the arguments break; the bound is then a number without a theorem.
        assumptions, formula, source: as in the catalogue.
        parameters: the arguments it was made with.

    Example:
        >>> from bandit_rft import theory
        >>> bound = theory.ucb1_bound([0.2, 0.8], rounds=1000)
        >>> bound.value.shape, round(float(bound.value[-1]), 1)
        ((1000,), 94.7)
    """

    name: str
    kind: str
    at: np.ndarray
    uncapped: np.ndarray
    trivial: np.ndarray
    cap: np.ndarray | None = None
    quantity: str = "pseudo-regret"
    confirmed: bool = True
    asymptotic: bool = False
    tuned: bool = False
    flags: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()
    formula: str = ""
    source: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in ("upper", "lower"):
            raise InputError(f"kind is {self.kind!r}: choose upper or lower.")

    def __repr__(self) -> str:
        return notebook.line("Bound", self.report().splitlines()[:1])

    def _repr_html_(self) -> str:
        curves = [("bound", self.value)]
        if not self.vacuous:
            curves.append(("trivial bound" if self.kind == "upper" else "0", self.trivial))
        rows = {"formula": self.formula, "source": self.source} | dict(enumerate(self.assumptions, 1))
        return notebook.html(self.report().splitlines()[0], curves, {name: said for name, said in rows.items() if said})

    @property
    def value(self) -> np.ndarray:
        """float64 [N], the bound: never worse than the trivial one, and no lower bound above what can be."""
        if self.kind == "upper":
            return np.minimum(self.uncapped, self.trivial)
        value = np.maximum(self.uncapped, self.trivial)
        return value if self.cap is None else np.minimum(value, self.cap)

    @property
    def vacuous(self) -> bool:
        """Whether at the horizon it says no more than what holds without it, or a lower bound more than can be."""
        last, trivial = float(self.uncapped[-1]), float(self.trivial[-1])
        if self.kind == "upper":
            return not last < trivial
        return not (last > trivial and (self.cap is None or last <= self.cap[-1]))

    @property
    def of_one_run(self) -> Bound:
        """What one run can be held against: where the learner is tuned to the horizon, nothing but its last round."""
        if not self.tuned:
            return self
        cap = None if self.cap is None else self.cap[-1:]
        last = {"at": self.at[-1:], "uncapped": self.uncapped[-1:], "trivial": self.trivial[-1:], "cap": cap}
        return dataclasses.replace(self, **last)

    @property
    def rounds(self) -> int:
        """The horizon."""
        return int(self.at[-1])

    def report(self) -> str:
        """One or two lines with its numbers."""
        sign = "<=" if self.kind == "upper" else ">="
        said = f"vacuous (the theorem's own number is {self.uncapped[-1]:.6g})" if self.vacuous else "not vacuous"
        lines = [f"{self.name}: {self.quantity} after {self.rounds} rounds {sign} {self.value[-1]:.6g}, {said}"]
        if not self.confirmed:
            lines.append("  constant not confirmed against the paper: a comparison with it is no test")
        if self.asymptotic:
            lines.append("  asymptotic: claimed as T goes to infinity, no finite run can refute it")
        return "\n".join([*lines, *(f"  outside its assumptions: {flag}" for flag in self.flags)])
