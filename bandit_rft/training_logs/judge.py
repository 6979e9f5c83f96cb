"""Inside, outside or not tested: the law fitted on the first fifth of a log against the rest of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bandit_rft import arguments, notebook, signals
from bandit_rft.errors import InputError
from bandit_rft.run_law import FIT_SHARE
from bandit_rft.training_logs.assumptions import Assumption, blocks, holm, tested
from bandit_rft.training_logs.fitting import Fit, fit
from bandit_rft.training_logs.following import Follower, Parameters, Signal
from bandit_rft.training_logs.limits import LEAST_ROWS, limits, untestable
from bandit_rft.training_logs.log import TrainingLog

__all__ = ["Band", "LogVerdict", "judge"]

FALSE_ALARM = 0.05
_OUTSIDE_REGION = 1e-3  # probability that the region of start and gain leaves the true ones out
_REGION = 6.9  # nats: half the quantile of chi squared with two degrees at that probability
_FROM_REGION = 25  # points of it whose law the rest is held against
_RUNS = 1000  # drawn from each
_WIDE = 0.8  # of the band's mean width, above which it says nothing
_LEARNT = 3.3  # nats by which a gain must be likelier than none: half of chi squared's 99% quantile
_NEAR = 2.0  # nats within which two explanations are not told apart
_DRAWN = np.random.SeedSequence(20)


@dataclass(frozen=True)
class Band:
    """The rest of the curve in up to eight blocks; a list of one number for each.

    Attributes:
        step: the middle of each block.
        observed: mean reward. low, high: between which it lies under the law, all blocks at once.
    """

    step: list[float]
    observed: list[float]
    low: list[float]
    high: list[float]


@dataclass(frozen=True, kw_only=True)
class LogVerdict:
    """What was found of a log.

    Attributes:
        verdict: "INSIDE", "OUTSIDE" or "NOT TESTED".
        reason: why nothing was tested, or which assumption fell; one sentence.
        source, column: the file and the name of its rewards.
        law: the entry of the catalogue that the rest was held against.
        signal, rollouts, prompts: of a round; rollouts of the first, where they change.
        rounds, rows: of the log. fitted_on: rows at its start that the law was fitted on.
        false_alarm: probability at most of OUTSIDE where the law holds.
        p0: reward at the start, as fitted.
        kappa_times_step: {value, low, high}, logit gain per unit of signal; 95%; high is None where it has no end.
        kappa: the same over the step size; None where that was not given.
        assumptions: the tests, the most telling first; empty where nothing was tested.
        fell: names of those that fell. explains_best: the name of the one that the log speaks for most; None without.
        explains_as_well: names of those that are within two nats of it.
        band: of the rest.
        notes: what limits the verdict.
        log: the rows that were judged.
    """

    verdict: str
    reason: str
    source: str
    column: str
    law: str
    signal: str
    rollouts: int
    prompts: int
    rounds: int
    rows: int
    fitted_on: int = 0
    false_alarm: float = FALSE_ALARM
    p0: float | None = None
    kappa_times_step: dict[str, Any] | None = None
    kappa: dict[str, Any] | None = None
    assumptions: tuple[Assumption, ...] = ()
    fell: tuple[str, ...] = ()
    explains_best: str | None = None
    explains_as_well: tuple[str, ...] = ()
    band: Band | None = None
    notes: tuple[str, ...] = ()
    log: TrainingLog | None = field(default=None, repr=False, compare=False)

    def __repr__(self) -> str:
        return notebook.line("LogVerdict", [f"{self.verdict}: {self.reason}"])

    def _repr_html_(self) -> str:
        curves = [] if self.log is None else [(f"{self.column} by row", self.log.reward)]
        return notebook.html(
            f"{self.verdict}: {self.reason}", curves, dict(enumerate(self.report().splitlines()[1:], 1))
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        found = {name: value for name, value in vars(self).items() if name != "log"}
        found["assumptions"] = [one.to_json() for one in self.assumptions]
        found["band"] = None if self.band is None else vars(self.band)
        return found

    def report(self) -> str:
        """As lines to read."""
        asked = "1 prompt" if self.prompts == 1 else f"{self.prompts} prompts"
        group = np.array([self.rollouts]) if self.log is None else self.log.group
        rollouts = " to ".join(f"{size}" for size in dict.fromkeys([int(group.min()), int(group.max())]))
        lines = [
            f"{self.verdict}: {self.reason}",
            f"{self.source}, {self.column}: {self.rounds:,} rounds in {self.rows:,} rows; {self.signal}, "
            f"{asked} of {rollouts} rollouts; law {self.law} of one decision, "
            f"false-alarm rate at most {self.false_alarm:g}",
        ]
        if self.kappa_times_step is not None:
            gain = self.kappa_times_step
            lines.append(
                f"fitted on the first {self.fitted_on} rows: p0 = {self.p0:.3f}, kappa x step = {gain['value']:.3g} "
                f"[{_interval(gain['low'], gain['high'])}]"
                + ("" if self.kappa is None else f", kappa = {self.kappa['value']:.3g}")
            )
        if self.band is not None:
            lines.append("the rest, in blocks:  step  reward  [low, high] under the law")
            lines += [
                f"  {step:8.0f}  {seen:.3f}  [{low:.3f}, {high:.3f}]" + ("" if low <= seen <= high else "  outside")
                for step, seen, low, high in zip(*vars(self.band).values(), strict=True)
            ]
        for one in self.assumptions:
            number = "" if one.estimate is None else f"; {one.quantity} {one.estimate:.3g}"
            if one.low is not None and one.high is not None:
                less, more = " or less" if one.low_open else "", " or more" if one.high_open else ""
                number += f" [{one.low:.2g}{less}, {one.high:.2g}{more}]"
            state = "FELL" if one.name in self.fell else "held"
            lines.append(f"  {state}  {one.name}: p = {one.p_holm:.2g} (Holm){number}")
        return "\n".join(lines + [f"  note: {note}" for note in self.notes])


def judge(
    log: TrainingLog,
    *,
    signal: str,
    prompts: int = 1,
    ddof: int = 1,
    eps: float = 1e-6,
    step_size: float | None = None,
    reward_right: float = 1.0,
    reward_wrong: float = 0.0,
    dynamic_sampling: bool = False,
    why_not: str = "",
) -> LogVerdict:
    """Hold a log against the law of one decision with constant κ.

    Args:
        log: of one run.
        signal, ddof, eps: of the update, as `bandit_rft.signals` has them.
        prompts: of a round.
        step_size: η, so that κ can be told from the gain; None: it is not.
        reward_right, reward_wrong: what the signal is taken of, where the log's rewards are 1 and 0.
        dynamic_sampling: whether groups of equal rewards were drawn anew until they differed.
        why_not: what is known already to rule the law out, one sentence.

    Raises:
        InputError: an argument out of range, or a signal that never learns from such a group.
    """
    signals.make(signal, ddof=ddof, eps=eps)
    if step_size is not None:
        step_size = arguments.positive("step_size", step_size)
    rows = log.merged()
    notes = rows.notes + limits(rows)
    told: dict[str, Any] = {
        "source": log.source,
        "column": log.column,
        "signal": signal,
        "rollouts": int(log.group[0]),
        "prompts": prompts,
        "rounds": int(log.rounds.sum()),
        "rows": log.rows,
        "law": "tree_jump" if signals.of_one(signal, eps) and np.all(log.responses == 1) else "tree_rounds",
        "log": rows,
        "notes": notes,
    }
    if dynamic_sampling and np.any(log.group < 3):
        raise InputError(
            f"dynamic_sampling leaves of groups of {int(np.min(log.group))} those of reward 1/2 alone, which say "
            "nothing: give rollouts of 3 or more."
        )
    of = Signal(signal, ddof, eps, reward_right, reward_wrong, dynamic_sampling)
    follower = Follower(rows, of)
    fitted_on = _fit_rows(rows)
    why_not = why_not or untestable(log, rows.part(slice(0, fitted_on)) if rows.rows >= LEAST_ROWS else rows)
    if why_not:
        return LogVerdict(verdict="NOT TESTED", reason=why_not, **told)
    early = Follower(rows.part(slice(0, fitted_on)), of)
    first = fit(early)
    late = Follower(rows.part(slice(fitted_on, None)), of)
    band, p = _held(first, early, late)
    told |= {"fitted_on": fitted_on, "band": band, "p0": 1 / (1 + math.exp(-first.start))}
    gain = {"value": first.gain, "low": first.low, "high": first.high if math.isfinite(first.high) else None}
    told["kappa_times_step"] = gain
    if step_size is not None:
        told["kappa"] = {name: None if value is None else value / step_size for name, value in gain.items()}
    plain, found = tested(rows, follower)
    still = float(follower.likelihood(Parameters.plain(*_still(rows)))[0][0])
    learnt = plain.nats - still > _LEARNT
    if float(np.mean(np.subtract(band.high, band.low))) > _WIDE:
        told["notes"] = (
            *notes,
            f"the first fifth leaves kappa x step in [{_interval(first.low, first.high)}], so that nearly every "
            "curve is inside the band of the rest: the tests of the whole log alone say something",
        )
    else:
        found.append(
            Assumption(
                name="curve",
                holds="the rest of the curve is that of kappa fitted on the first fifth",
                otherwise="the rest of the curve leaves the band of kappa fitted on the first fifth",
                p=p,
                evidence=0.0,
            )
        )
    return _concluded(holm(found), learnt, told)


def _interval(low: float, high: float | None) -> str:
    return f"{low:.2g}, {'no end' if high is None or math.isinf(high) else f'{high:.2g}'}"


def _still(log: TrainingLog) -> tuple[np.ndarray, np.ndarray]:
    """(start, gain) of a policy that does not move."""
    share = log.successes.sum() / log.responses.sum()
    return np.array([math.log(share) - math.log1p(-share)]), np.zeros(1)


def _concluded(found: list[Assumption], learnt: bool, told: dict[str, Any]) -> LogVerdict:
    found = sorted(found, key=lambda one: (one.p_holm, -one.evidence))
    fell = [one for one in found if one.p_holm < FALSE_ALARM]
    told |= {"assumptions": tuple(found), "fell": tuple(one.name for one in fell)}
    if not fell:
        if learnt:
            return LogVerdict(verdict="INSIDE", reason="nothing that was tested speaks against the law.", **told)
        reason = (
            "the reward does not rise by more than chance would have it, so that there is no law to hold it against."
        )
        return LogVerdict(verdict="NOT TESTED", reason=reason, **told)
    named = [one for one in fell if one.name != "curve"]
    if not named:
        reason = "the rest of the curve leaves the band, and no tested assumption says why."
        return LogVerdict(verdict="OUTSIDE", reason=reason, **told)
    # A fall of the reward is what no other of these explains.
    best = next((one for one in named if one.name == "reward_never_falls"), None)
    best = best or max(named, key=lambda one: one.evidence)
    near = tuple(one.name for one in named if one is not best and one.evidence > best.evidence - _NEAR)
    told |= {"explains_best": best.name, "explains_as_well": near}
    also = f"; {' and '.join(near)} would explain it as well" if near else ""
    return LogVerdict(verdict="OUTSIDE", reason=f"{best.otherwise}{also}.", **told)


def _fit_rows(log: TrainingLog) -> int:
    """Rows of the first fifth of the rounds."""
    passed = np.cumsum(log.rounds)
    return max(1, int(np.searchsorted(passed, FIT_SHARE * passed[-1], side="right")))


def _held(first: Fit, early: Follower, late: Follower) -> tuple[Band, float]:
    """The band of the rest, and its p-value: the largest over laws in the region that the first rounds leave (Berger
    and Boos 1994), so that the error of the fit costs no false alarm.
    """
    generator = np.random.default_rng(_DRAWN)
    region = first.region(_REGION)
    gains = np.argsort(region[:, 1])
    chosen = region[gains[np.unique(np.linspace(0, len(gains) - 1, _FROM_REGION).astype(int))]]
    chosen = np.concatenate([chosen, [[first.start, math.log(first.gain)]]])
    reached = early.followed(Parameters.plain(chosen[:, 0], np.exp(chosen[:, 1])))
    start, unknown = np.repeat(reached.logit[:, 0], _RUNS), np.repeat(np.sqrt(reached.variance), _RUNS)
    if np.any(unknown):
        start += unknown * generator.standard_normal(len(start))
    begun = Parameters.plain(start, np.repeat(np.exp(chosen[:, 1]), _RUNS))
    drawn = _in_blocks(late.drawn(begun, generator), late.log).reshape(len(chosen), _RUNS, -1)
    observed = _in_blocks((late.log.successes / late.log.responses)[None], late.log)[0]
    lows, highs, ps = zip(*(_ranked(runs, observed) for runs in drawn), strict=True)
    middle = [float(np.mean(late.log.step[part])) for part in blocks(late.log.rows)]
    band = Band(middle, observed.tolist(), np.min(lows, axis=0).tolist(), np.max(highs, axis=0).tolist())
    return band, min(1.0, max(ps) + _OUTSIDE_REGION)


def _ranked(runs: np.ndarray, observed: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """(low, high) float64 [blocks] of the band of one law's runs [R, blocks], all blocks at once, and a p-value.

    A curve is as extreme as its most extreme block, by its rank among the runs: single blocks are far from normal.
    """
    number = len(runs)
    ordered = np.sort(runs, axis=0)

    def rank(curves: np.ndarray) -> np.ndarray:
        """The least number [N] of runs, over blocks, at or beyond the curves [N, blocks] on either side."""
        beyond = [
            np.minimum(
                np.searchsorted(column, values, side="right"), number - np.searchsorted(column, values, side="left")
            )
            for column, values in zip(ordered.T, curves.T, strict=True)
        ]
        return np.min(beyond, axis=0)

    own, theirs = rank(observed[None])[0], rank(runs)
    p = (1 + np.sum(theirs <= own + 1)) / (1 + number)
    least = max(int(np.quantile(theirs, FALSE_ALARM)), 1)
    return ordered[least - 1], ordered[number - least], float(p)


def _in_blocks(reward: np.ndarray, log: TrainingLog) -> np.ndarray:
    """Mean rewards [P, blocks] of rewards [P, T], by responses."""
    weight = log.responses.astype(np.float64)
    return np.stack([reward[:, part] @ weight[part] / weight[part].sum() for part in blocks(log.rows)], axis=1)
