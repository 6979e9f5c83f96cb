"""Learners on common random numbers: their difference in regret, seed by seed, with a band over all rounds at once.

Seed s of every history of one key draws its arms, and the rewards of round t, from the same random numbers
(`bandit_rft.keys`), so what luck the rewards bring to two learners cancels in their difference.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bandit_rft import arguments, notebook
from bandit_rft.errors import InputError
from bandit_rft.history import History
from bandit_rft.regret.bands import band

_NAMED = 3  # differences that a line shows


@dataclass(frozen=True, kw_only=True, eq=False)
class LearnerDifference:
    """One learner's regret less the baseline's, over the seeds that both have; every array is float64 [T].

    Attributes:
        name, baseline: the two learners.
        mean: average of the difference over the seeds, after each round; below 0 the learner is the better one.
        low, high: the band of that mean, simultaneous over all rounds and all differences of the comparison.
        variance_ratio: variance of the difference at the last round over that of independent runs: so small a share of
            the seeds is enough here. Estimated from the same seeds; NaN where neither learner's regret varies.
    """

    name: str
    baseline: str
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    variance_ratio: float

    @property
    def differs(self) -> bool:
        """Whether the band leaves 0 at any round."""
        return bool(np.any((self.low > 0) | (self.high < 0)))


@dataclass(frozen=True, kw_only=True, eq=False)
class LearnerComparison:
    """What `compare_learners` found.

    Attributes:
        differences: of each learner but the baseline, in the order given.
        confidence: with which all differences lie in their bands at all rounds.
        seeds, rounds: S and T of the histories. kind: of regret.
    """

    differences: tuple[LearnerDifference, ...]
    confidence: float
    seeds: int
    rounds: int
    kind: str

    def independent_seeds(self, name: str) -> float:
        """Seeds that each of two learners would need, run independently, for a difference as precise as this one;
        infinity where the difference does not vary at all, NaN where nothing does. Raises InputError: no such learner.
        """
        for one in self.differences:
            if one.name == name:
                ratio = one.variance_ratio
                return self.seeds / ratio if ratio > 0 else (math.nan if math.isnan(ratio) else math.inf)
        raise InputError(
            f"{name!r} is no learner of this comparison: choose {', '.join(d.name for d in self.differences)}."
        )

    def __repr__(self) -> str:
        shown = [
            f"{one.name} - {one.baseline} {one.mean[-1]:.4g} in [{one.low[-1]:.4g}, {one.high[-1]:.4g}]"
            for one in self.differences[:_NAMED]
        ]
        more = len(self.differences) - len(shown)
        said = f"{self.confidence:.0%} sure: " + "; ".join(shown) + (f"; and {more} more" if more else "")
        about = f"regret after {self.rounds} rounds, {self.seeds} seeds each on the same random numbers"
        return notebook.line("LearnerComparison", [about, said])

    def _repr_html_(self) -> str:
        title, *rest = self.report().splitlines()
        curves = [(f"{one.name} - {one.baseline}", one.mean) for one in self.differences]
        return notebook.html(
            title.rstrip(":"),
            curves,
            {one.name: line.strip() for one, line in zip(self.differences, rest, strict=True)},
        )

    def report(self) -> str:
        """A line for each difference: at the last round, its band, from where it leaves 0, and the seeds saved."""
        lines = [
            f"Difference in regret after {self.rounds} rounds, {self.seeds} seeds in pairs, "
            f"{self.confidence:.3g} band over all rounds at once:"
        ]
        for one in self.differences:
            beyond = np.flatnonzero((one.low > 0) | (one.high < 0))
            said = f"differs, first at round {beyond[0] + 1}" if beyond.size else "no difference shown"
            seeds = self.independent_seeds(one.name)
            saved = (
                "neither regret differs between seeds"
                if math.isnan(seeds)
                else f"its variance over seeds is {one.variance_ratio:.2g} times that of learners on random numbers of "
                f"their own, so that independent runs would need {seeds:.0f} seeds each"
                if math.isfinite(seeds)
                else "every seed gave the same difference"
            )
            lines.append(
                f"  {one.name} - {one.baseline}: {one.mean[-1]:.4g} [{one.low[-1]:.4g}, {one.high[-1]:.4g}], {said}; "
                f"{saved}"
            )
        return "\n".join(lines)


def named(histories: Any, least: int = 1) -> dict[str, History]:
    """Histories by name: of one history or several, the names of their learners, numbered where two are alike.

    Raises:
        InputError: fewer than `least`, or something else than histories.
    """
    if isinstance(histories, Mapping):
        found: dict[str, Any] = {str(name): history for name, history in histories.items()}
    elif isinstance(histories, History | str | bytes) or not isinstance(histories, Iterable):
        found = {_learner(histories, 0): histories}
    else:
        found = {}
        for place, history in enumerate(histories):
            name = label = _learner(history, place)
            copies = 1
            while label in found:
                copies += 1
                label = f"{name} ({copies})"
            found[label] = history
    for name, history in found.items():
        if not isinstance(history, History):
            raise InputError(
                f"{name} is {type(history).__name__}, no history: give what bandit_rft.run returns, one, a list, or a "
                "dict of names."
            )
    if len(found) < least:
        raise InputError(f"{len(found)} histories are given: give at least {least}.")
    return found


def compare_learners(
    histories: Mapping[str, History] | Iterable[History],
    *,
    baseline: str | None = None,
    kind: str = "pseudo",
    confidence: float = 0.95,
) -> LearnerComparison:
    """Each learner's regret against a baseline's, on common random numbers: histories of one key, seeds and arms.

    The band is the simultaneous one of `band` (largest |t| under a wild bootstrap over seeds), taken over the rounds of
    all differences together. Measured misses of a stated 5% are said there; few or skewed seeds miss more often.

    Args:
        histories: two or more, by name or in a list, of which the first is the baseline unless it is named.
        baseline: the name of the learner that the others are compared with.
        kind: of regret, as `History.regret` names them.
        confidence: that all differences lie in their bands at all rounds, in (0, 1).

    Returns:
        The differences with their bands, and how many seeds of independent runs they are worth.

    Raises:
        InputError: fewer than two histories or seeds; other arms, keys, seeds, rounds or rollouts; a history that does
            not say them; a baseline that is not among the histories.
        UnknownOptimumError: the best arm's mean is unknown.

    Example:
        >>> from bandit_rft import arms, compare_learners, learners, run
        >>> table = arms.Bernoulli([0.2, 0.8])
        >>> both = {name: run(table, one, rounds=200, seeds=16) for name, one in
        ...         {"UCB1": learners.UCB1(), "Thompson": learners.ThompsonBeta()}.items()}
        >>> found = compare_learners(both)
        >>> found.differences[0].name, bool(found.differences[0].mean[-1] < 0)
        ('Thompson', True)
    """
    found = named(histories, least=2)
    first = next(iter(found)) if baseline is None else baseline
    if not isinstance(first, str) or first not in found:
        raise InputError(f"baseline is {arguments.shown(first)}: choose one of {', '.join(found)}.")
    confidence = arguments.fraction("confidence", confidence)
    _require_pairs(found)
    regrets = {name: history.regret(kind) for name, history in found.items()}
    base = regrets.pop(first)
    curves = np.concatenate([regret - base for regret in regrets.values()], axis=1)
    over = band(curves, confidence=confidence, kind="simultaneous")
    rounds = base.shape[1]
    differences = []
    for place, (name, regret) in enumerate(regrets.items()):
        part = slice(place * rounds, (place + 1) * rounds)
        apart = float(np.var(regret[:, -1], ddof=1) + np.var(base[:, -1], ddof=1))
        together = float(np.var(regret[:, -1] - base[:, -1], ddof=1))
        differences.append(
            LearnerDifference(
                name=name,
                baseline=first,
                mean=over.mean[part],
                low=over.low[part],
                high=over.high[part],
                variance_ratio=together / apart if apart > 0 else math.nan,
            )
        )
    return LearnerComparison(
        differences=tuple(differences), confidence=confidence, seeds=base.shape[0], rounds=rounds, kind=kind
    )


def _require_pairs(found: Mapping[str, History]) -> None:
    """Refuse histories whose seeds did not meet the same random numbers on the same arms."""
    (first, base), *others = found.items()
    for name, history in found.items():
        if not isinstance(history.config.get("arms"), Mapping) or "key" not in history.config:
            raise InputError(
                f"{name} does not say its arms and key, so its seeds cannot be paired: give what run returns."
            )
    if base.seeds < 2:
        raise InputError(f"{first} has one seed, and a band needs two or more: run with seeds=16, say.")
    for name, history in others:
        for what in ("rounds", "rollouts", "seeds"):
            ours, theirs = getattr(history, what), getattr(base, what)
            if ours != theirs:
                raise InputError(f"{name} has {what} = {ours} and {first} has {theirs}: run both with the same number.")
        if _text(_arms(history)) != _text(_arms(base)):
            ours, theirs = _apart(_arms(history), _arms(base))
            raise InputError(f"{name} and {first} had other arms ({ours} and {theirs}): run both on one arm set.")
        if _words(history) != _words(base):
            raise InputError(
                f"{name} has the key {history.config['key']} and {first} {base.config['key']}, so their seeds are not "
                "paired: run both with the same key."
            )


def _words(history: History) -> list[int]:
    """A recorded key as its two words, however it was given."""
    key = history.config["key"]
    return key if isinstance(key, list) else [key >> 32, key & 0xFFFFFFFF]


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def _arms(history: History) -> dict[str, Any]:
    """The arms as the history records them; of own code in a run folder, with what its files were."""
    arms, sources = dict(history.config["arms"]), history.config.get("sources")
    if not isinstance(sources, Mapping) or not sources:
        return arms
    text = _text(arms)
    return arms | {"sources": {name: record for name, record in sources.items() if _text(name) in text}}


def _apart(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> tuple[str, str]:
    """The first thing in which two records of arms differ, as each has it."""
    for name in [*ours, *theirs]:
        if _text(ours.get(name)) != _text(theirs.get(name)):
            shown = [arguments.shown(one[name]) if name in one else "none" for one in (ours, theirs)]
            return (shown[0], shown[1]) if name == "type" else (f"{name} {shown[0]}", shown[1])
    return arguments.shown(ours), arguments.shown(theirs)


def _learner(history: Any, place: int) -> str:
    config = getattr(history, "config", {})
    learner = config.get("learner") if isinstance(config, Mapping) else None
    kind = learner.get("type") if isinstance(learner, Mapping) else None
    return str(kind) if kind else f"history {place + 1}"
