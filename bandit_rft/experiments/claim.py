"""A claim, registered before its runs, and the judgement of it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from bandit_rft.errors import InputError
from bandit_rft.experiments.effects import Effect, holm
from bandit_rft.experiments.experiment import Experiment
from bandit_rft.experiments.outcomes import Results, Shares

Direction = Literal["above", "below", "within"]
LEVEL = 0.05  # family-wise, over all claims that are judged together


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A statement with the test that decides on it.

    Attributes:
        id: such as "A3"; unique.
        statement: what is claimed, as a sentence.
        source: who claims it.
        experiments: whose runs it needs.
        effect: what `measure` gives, with its unit, as a phrase.
        measure: outcomes -> the effect by stratum (the crossed values, in words).
        direction: "above" or "below" the threshold, or "within" the margin around 0.
        threshold: of "above" and "below".
        margin: effects of at most this size count as none; None: every effect counts.
        expected: what theory predicts for the effect by stratum, or None where no law holds.
        shares: outcomes -> by stratum, condition and unit, (seeds of which something holds, seeds), shown with Wilson's
            intervals beside the verdict; None: the effect is no share.
        tiers: those at which it can be decided.

    Raises:
        InputError: "within" without a margin, or a margin that is not positive.
    """

    id: str
    statement: str
    source: str
    experiments: tuple[Experiment, ...]
    effect: str
    measure: Callable[[Results], Mapping[str, Effect]]
    direction: Direction
    threshold: float = 0.0
    margin: float | None = None
    expected: Callable[[], Mapping[str, float]] | None = None
    shares: Callable[[Results], Shares] | None = None
    tiers: tuple[str, ...] = ("simulation", "tiny", "small", "paper")

    def __post_init__(self) -> None:
        if self.margin is None and self.direction == "within":
            raise InputError(f"Claim {self.id} says within, and no margin: give one.")
        if self.margin is not None and not self.margin > 0:
            raise InputError(f"Claim {self.id} has the margin {self.margin}: give a number above 0.")


def digest_of(paths: Sequence[Path], experiments: Sequence[Experiment]) -> str:
    """SHA-256 of a claim's files, its own and those that it takes a measure of, and of its experiments as data.

    A result of other text, or of other conditions, is void. The statistics and tests that claims share, and the
    tier, are not in it.
    """
    texts = [path.read_text(encoding="utf-8") for path in paths]
    whole = {"files": texts, "experiments": [one.to_json() for one in experiments]}
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """The verdict on a claim, or on one stratum of it.

    Attributes:
        verdict: "supported", "refuted", "equivalent" (of no more than the margin), "mixed" (strata differ),
            "underpowered", or "untested": the tier has nothing that it could be measured on.
        reason: why a claim could not be measured on what there is, as a sentence; None otherwise.
        effect, interval: the estimate with its 95% interval; None for a claim of several strata.
        p_value: adjusted, of the verdict's own test; None where it is underpowered or mixed.
        needed: units, more than there are, that would decide an underpowered one at the level that the first step of
            Holm's correction leaves a test, were the estimate and the spread to stay; None: no number of units.
        expected: what theory predicts, or None.
        strata: by name, of a whole claim.
    """

    verdict: str
    effect: Effect | None = None
    interval: tuple[float, float] | None = None
    p_value: float | None = None
    needed: int | None = None
    expected: float | None = None
    strata: Mapping[str, Judgement] | None = None
    reason: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        found: dict[str, Any] = {"verdict": self.verdict}
        if self.effect is not None and self.interval is not None:
            found |= {
                "effect": self.effect.value,
                "interval": [end if math.isfinite(end) else None for end in self.interval],
                "units": self.effect.units,
            }
            if self.effect.alike:
                found["alike"] = True
        found |= {
            name: value
            for name in ("p_value", "needed", "expected", "reason")
            if (value := getattr(self, name)) is not None
        }
        if self.strata is not None:
            found["strata"] = {name: one.to_json() for name, one in self.strata.items()}
        return found


def _tests(claim: Claim, effect: Effect) -> dict[str, float]:
    """verdict -> one-sided p-value of the test that would give it."""
    found: dict[str, float] = {}
    if claim.direction == "above":
        found = {"supported": effect.above(claim.threshold), "refuted": effect.below(claim.threshold)}
    elif claim.direction == "below":
        found = {"supported": effect.below(claim.threshold), "refuted": effect.above(claim.threshold)}
    if claim.margin is not None:
        # Two one-sided tests (Schuirmann 1987): beyond neither end of the margin.
        found["equivalent"] = max(effect.above(-claim.margin), effect.below(claim.margin))
        if claim.direction == "within":
            found["refuted"] = 2 * min(effect.above(claim.margin), effect.below(-claim.margin))
    return found


def judge_all(claims: Sequence[Claim], results: Results) -> dict[str, Judgement]:
    """By claim, its judgement; the level of 5% is kept over all tests of all of them (Holm).

    A claim that cannot be measured on the outcomes is "untested", with the reason: the others keep their judgement.
    """
    measured: dict[str, Mapping[str, Effect]] = {}
    reasons: dict[str, str] = {}
    for claim in claims:
        try:
            measured[claim.id] = claim.measure(results)
        except InputError as error:
            measured[claim.id], reasons[claim.id] = {}, str(error)
    tests = [
        (claim.id, stratum, verdict, p)
        for claim in claims
        for stratum, effect in measured[claim.id].items()
        for verdict, p in _tests(claim, effect).items()
    ]
    adjusted = holm([p for *_, p in tests])
    decided: dict[tuple[str, str], dict[str, float]] = {}
    for (name, stratum, verdict, _), p in zip(tests, adjusted, strict=True):
        if p < LEVEL:
            decided.setdefault((name, stratum), {})[verdict] = p
    found = {}
    for claim in claims:
        expected = {} if claim.expected is None else claim.expected()
        strata = {
            stratum: _stratum(
                claim, effect, decided.get((claim.id, stratum), {}), expected.get(stratum), LEVEL / len(tests)
            )
            for stratum, effect in measured[claim.id].items()
        }
        found[claim.id] = replace(_whole(strata), reason=reasons.get(claim.id))
    return found


def judge(claim: Claim, results: Results) -> Judgement:
    """The judgement of one claim alone."""
    return judge_all([claim], results)[claim.id]


def _stratum(
    claim: Claim, effect: Effect, decided: Mapping[str, float], expected: float | None, level: float
) -> Judgement:
    # What is smaller than the margin counts as nothing, even where it is surely not 0.
    verdict = next((name for name in ("equivalent", "supported", "refuted") if name in decided), "underpowered")
    return Judgement(
        verdict=verdict,
        effect=effect,
        interval=effect.interval(),
        p_value=decided.get(verdict),
        needed=_needed(claim, effect, level) if verdict == "underpowered" else None,
        expected=expected,
    )


def _needed(claim: Claim, effect: Effect, level: float) -> int | None:
    """The fewest units at which one of the tests of `_tests` has a p-value of the level, if one has it at all."""
    ways: list[tuple[float, float]] = []  # (distance to the end that decides, confidence of the two-sided interval)
    if claim.direction != "within":
        ways.append((abs(effect.value - claim.threshold), 1 - 2 * level))
    if claim.margin is not None:
        ways.append((claim.margin - abs(effect.value), 1 - 2 * level))
        if claim.direction == "within":  # its refusal is to both sides
            ways.append((abs(effect.value) - claim.margin, 1 - level))
    return min((units for way in ways if (units := effect.units_needed(*way)) is not None), default=None)


def _whole(strata: Mapping[str, Judgement]) -> Judgement:
    if not strata:
        return Judgement(verdict="untested", strata={})
    if len(strata) == 1:
        only = next(iter(strata.values()))
        return Judgement(**{**vars(only), "strata": dict(strata)})
    verdicts = {one.verdict for one in strata.values()}
    known = verdicts - {"underpowered"}
    if len(known) > 1:
        verdict = "mixed"
    elif len(verdicts) == 1:
        (verdict,) = verdicts
    else:
        verdict = "underpowered"
    return Judgement(verdict=verdict, strata=dict(strata))
