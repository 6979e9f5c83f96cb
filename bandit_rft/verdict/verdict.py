"""What a comparison of a history with theory says: agreement, with its numbers, bands and fits."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np

from bandit_rft import notebook
from bandit_rft.errors import InputError

__all__ = ["Band", "Fit", "HistoryLike", "Verdict", "require_finite"]


class HistoryLike(Protocol):
    """What is read of a `bandit_rft.history.History`."""

    @property
    def rewards(self) -> np.ndarray: ...

    @property
    def value(self) -> np.ndarray: ...

    @property
    def best_mean(self) -> float | np.ndarray | None: ...

    def regret(self) -> np.ndarray: ...


def require_finite(what: str, values: np.ndarray) -> None:
    """Raises InputError for a NaN or an infinity, which no comparison of means would notice: neither is beyond a
    threshold. values [seeds, rounds, ...].
    """
    broken = np.argwhere(~np.isfinite(values))
    if broken.size:
        seed, round_ = broken[0][:2]
        raise InputError(
            f"The history's {what} of seed {seed} in round {round_} is {values[tuple(broken[0])]:g}: leave out the "
            "broken rounds or seeds."
        )


class Band(NamedTuple):
    """A curve of means over seeds with its band, simultaneous over all rounds and quantities; float64 [R] each.

    Attributes:
        quantity: "value", "regret", "reward" or "total reward".
        at: rounds. mean: over seeds. low, high: mean -+ threshold x standard error. predicted: the theory's.
    """

    quantity: str
    at: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    predicted: np.ndarray


class Fit(NamedTuple):
    """One number that sums up a curve, fitted to the history and to the prediction in the same way.

    Attributes:
        name: "exponent" (of regret in the rounds) or "constant" (before ln t).
        measured, low, high: over the last decade of rounds, with its 95% interval over seeds.
        predicted: the same fit of the predicted curve; NaN where it has none.
    """

    name: str
    measured: float
    low: float
    high: float
    predicted: float

    @property
    def agrees(self) -> bool:
        """Whether the predicted number lies in the interval."""
        return bool(self.low <= self.predicted <= self.high)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The outcome of `compare`.

    Attributes:
        agrees: nothing that was tested refuses the prediction (True also where nothing could be tested: see `tested`).
        tested: whether any test was possible.
        max_z: the largest |z| over rounds and quantities; infinity where a round without spread is off; 0 if untested.
        threshold: what max_z may reach at the stated false-alarm rate.
        false_alarm: probability of refusing a true prediction.
        quantity, round, observed, predicted, standard_error: where max_z was reached, in the quantity's own unit; the
            round counts from 0, and for a bound it is the number of rounds behind the regret. predicted is the bound
            where there is one.
        path_error: largest |value - value forced by the run's own rewards|, or None where not applicable.
        path_agrees: whether that is within rounding, or None.
        seeds, rounds: the history's.
        spread: "law" (exact standard deviations) or "sample".
        prediction: its name.
        relation: "equal" for a prediction, "upper" or "lower" for a bound.
        bands: the curves that were compared.
        fits: exponent and constant of the regret over the last decade of rounds; no part of `agrees`.
        notes: what was not possible, or limits the verdict.

    Example:
        >>> from bandit_rft import arms, compare, learners, run, theory
        >>> table = arms.Needle(log10_arms=2, p0=0.1)
        >>> history = run(table, learners.SoftmaxPolicyGradient(step_size=0.5), rounds=50, seeds=8, key=0)
        >>> law = theory.pg_jump_single(p0=0.1, step_size=0.5, rounds=50, log_arms=table.log_arms)
        >>> compare(history, law).agrees
        True
    """

    agrees: bool
    tested: bool
    max_z: float
    threshold: float
    false_alarm: float
    quantity: str
    round: int
    observed: float
    predicted: float
    standard_error: float
    path_error: float | None
    path_agrees: bool | None
    seeds: int
    rounds: int
    spread: str
    prediction: str
    relation: str = "equal"
    bands: tuple[Band, ...] = field(default=(), compare=False)  # arrays have no truth value
    fits: tuple[Fit, ...] = ()
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return notebook.line("Verdict", [self.line()])

    def _repr_html_(self) -> str:
        curves = []
        if self.bands:
            shown = next((band for band in self.bands if band.quantity == self.quantity), self.bands[0])
            curves = [(f"{shown.quantity}, measured", shown.mean), ("theory", shown.predicted)]
        rows = {"threshold": f"{self.threshold:.3g}", "largest |z|": f"{self.max_z:.3g}"} if self.tested else {}
        return notebook.html(self.report().splitlines()[0], curves, rows | dict(enumerate(self.notes, 1)))

    def line(self) -> str:
        """The verdict in one line: a falsified prediction reads as plainly as a kept one."""
        if not self.tested:
            return f"{self.prediction}: not tested ({'; '.join(self.notes) or 'nothing could be compared'})"
        outcome = "agrees" if self.agrees else "FALSIFIED"
        return (
            f"{self.prediction}: {outcome}; {self.quantity} {self._when()}: {self._said()} {self.predicted:.4g}, "
            f"measured {self.observed:.4g} ± {self.standard_error:.2g}"
        )

    def _when(self) -> str:
        return f"at round {self.round}" if self.relation == "equal" else f"after {self.round} rounds"

    def _said(self) -> str:
        return {"equal": "predicted", "upper": "at most", "lower": "at least"}[self.relation]

    def report(self) -> str:
        """The verdict in a few lines with its numbers."""
        if not self.tested:
            head = f"NOT TESTED: {self.prediction}"
        else:
            head = f"{'AGREES with' if self.agrees else 'REFUSES'} {self.prediction}"
        seeds = "1 seed" if self.seeds == 1 else f"{self.seeds} seeds"
        lines = [f"{head} ({seeds}, {self.rounds} rounds, false-alarm rate {self.false_alarm:g})"]
        if self.tested:
            lines += [
                f"  largest |z| {self.max_z:.2f}, threshold {self.threshold:.2f} over all rounds at once",
                f"  there: {self.quantity} {self._when()}: observed {self.observed:.6g}, "
                f"{self._said()} {self.predicted:.6g}, standard error {self.standard_error:.2g} ({self.spread})",
            ]
        if self.path_error is not None:
            outcome = "within rounding" if self.path_agrees else "NOT within rounding"
            lines.append(
                f"  each run against the value its own rewards force: off by at most {self.path_error:.2g}, {outcome}"
            )
        for fit in self.fits:
            lines.append(
                f"  {fit.name} of the regret, last decade: {fit.measured:.3g} [{fit.low:.3g}, {fit.high:.3g}], "
                f"predicted {fit.predicted:.3g}"
            )
        return "\n".join(lines + [f"  note: {note}" for note in self.notes])
