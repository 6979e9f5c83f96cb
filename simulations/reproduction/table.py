"""The table of claims, as Markdown and for a terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

HEAD = """# Claims, judged

Made by `bandit-rft reproduce --tier simulation` and the other tiers named below, then
`python -m simulations.reproduction.reproduce runs/reproduce-simulation …`. Every claim and its test stand in a file of
[simulations/reproduction/claims](../simulations/reproduction/claims), written before the runs that judge it; a verdict
carries the digest of that file and of its experiments, and is void where they have changed since; where the statistics
that claims share change, the tiers are judged again.

A verdict is *supported*, *refuted*, *equivalent* (of no more than the margin that was fixed beforehand), *mixed* (the
strata differ), *underpowered* or *untested* (the tier has nothing to measure it on), with 95% intervals (Student's t
over questions, on tables over seeds); the level of 5% is kept over all tests of a tier (Holm). Units needed are those,
more than there are, at which a test would decide after that correction, were effect and spread to stay. A dash for an
end of an interval is no bound: too few units, units that are all alike, or, of rounds to one half, fewer than nine in
ten seeds that get there, so that their mean is known from below alone.

![Effects, thresholds and margins at the simulation tier](claims.png)
"""


def decimals(claim: Mapping[str, Any]) -> int:
    """Of a claim's effect and interval: three, or as many as show its threshold and its margin with two digits, so that
    the reader sees on which side of them an effect lies."""
    sizes = [abs(size) for name in ("threshold", "margin") if (size := claim.get(name))]
    # Rounded first: the logarithm of .01 squared is not quite -4.
    return max([3, *(1 + math.ceil(round(-math.log10(size), 9)) for size in sizes)])


def estimate(claim: Mapping[str, Any], one: Mapping[str, Any]) -> str:
    """The effect of a claim's stratum with its interval: 0.123 [0.045, 0.201]; unbounded ends are dashes."""
    places = decimals(claim)
    value, low, high = ("–" if x is None else f"{x:.{places}f}" for x in (one["effect"], *one["interval"]))
    return f"{value} [{low}, {high}]"


def test_of(claim: Mapping[str, Any]) -> str:
    """The test in words."""
    margin = "" if claim["margin"] is None else f"; within ±{claim['margin']:g} counts as none"
    if claim["direction"] == "within":
        return f"within ±{claim['margin']:g}"
    return f"{claim['direction']} {claim['threshold']:g}{margin}"


def markdown(records: Sequence[Mapping[str, Any]]) -> str:
    """docs/claims.md, of one record for each tier."""
    lines = [HEAD]
    for record in records:
        plain = f"{record['seeds']} seeds, {record['rounds']} rounds"  # of a record that was made before "sizes" was
        lines += [
            f"## Tier {record['tier']}: {record.get('sizes') or plain}",
            "",
            *(f"{line}\n" for line in record.get("short", ())),
            *_metric(record),
            *_alike(record),
            "| claim | statement | test | stratum | effect [95%] | units | verdict |",
            "| --- | --- | --- | --- | --- | --- | --- |",
        ]
        for claim in record["claims"]:
            head = f"| {claim['id']} | {claim['statement']} ({claim['source']}) | {claim['effect']}: {test_of(claim)} |"
            if len(claim["strata"]) != 1:
                lines.append(f"{head} all | | | **{claim['verdict']}**{_reason(claim)} |")
                head = "| | | |"
            for label, one in claim["strata"].items():
                needed = f", {one['needed']} units needed" if one.get("needed") else ""
                bold = one["verdict"] if head == "| | | |" else f"**{one['verdict']}**"
                lines.append(f"{head} {label} | {estimate(claim, one)} | {_units(one)} | {bold}{needed} |")
        lines.append("")
        lines += _shares(record) + _variance(record)
    return "\n".join(lines)


PARTS = ("question", "seed", "evaluation")  # of the variance of final test Pass@1


def _reason(claim: Mapping[str, Any]) -> str:
    """Why it could not be measured, where that is known."""
    return f" ({claim['reason'].rstrip('.')})" if claim.get("reason") else ""


def _units(one: Mapping[str, Any]) -> str:
    return f"{one['units']}, all alike" if one.get("alike") else str(one["units"])


def _metric(record: Mapping[str, Any]) -> list[str]:
    if not record.get("metric"):
        return []
    said = f"±{1.96 * record['metric']['error']:.3f}"
    return [f"A single point of test Pass@1, one response to each question, is known to {said} (95%, binomial).", ""]


def _alike(record: Mapping[str, Any]) -> list[str]:
    """What stands in for Student's t, where some units of the record are all alike."""
    if not any(one.get("alike") for claim in record["claims"] for one in claim["strata"].values()):
        return []
    return [
        "Shares of seeds have Wilson's and Newcombe's intervals. Units that are *all alike* show no spread: their "
        "interval is that of what may be unseen, since a share of 3.7/N of all units may differ (95%), by as much as "
        "the bounds of the effect let them.",
        "",
    ]


def _shares(record: Mapping[str, Any]) -> list[str]:
    lines = []
    for claim in record["claims"]:
        for label, conditions in claim.get("shares", {}).items():
            for condition, units in conditions.items():
                said = "; ".join(f"{k} of {n} [{low:.2f}, {high:.2f}]" for k, n, low, high in units.values())
                lines.append(f"| {claim['id']} | {label} | {condition} | {said} |")
    if not lines:
        return []
    head = "Shares of seeds, with Wilson's 95% intervals, one question or table after the other:"
    return [head, "", "| claim | stratum | condition | seeds |", "| --- | --- | --- | --- |", *lines, ""]


def _variance(record: Mapping[str, Any]) -> list[str]:
    if not record.get("variance"):
        return []
    lines = [
        "Variance of final test Pass@1, in units of 10^-4, by where it comes from: the training question (within a "
        "base model and task), the training seed, and the evaluation's own responses (random effects; "
        "`bandit_rft.experiments.variance`), with 95% intervals over questions. An estimate below 0 says that there is "
        "nothing to be seen.",
        "",
        "| condition | stratum | questions | question | seed | evaluation |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for one in record["variance"]:
        split = " | ".join(scaled(one[name]) for name in PARTS)
        lines.append(f"| {one['condition']} | {one['stratum']} | {one['questions']} | {split} |")
    return [*lines, ""]


def scaled(values: Sequence[float | None]) -> str:
    """A variance with its interval, in units of 10^-4; unbounded ends as dashes."""
    value, low, high = ("–" if value is None else f"{1e4 * value:.2f}" for value in values)
    return f"{value} [{low}, {high}]"


def terminal(record: Mapping[str, Any]) -> str:
    """A line for each claim and stratum."""
    lines = []
    for claim in record["claims"]:
        lines.append(f"{claim['id']}: {claim['verdict']}{_reason(claim)}. {claim['statement']}")
        for label, one in claim["strata"].items():
            lines.append(f"    {label}: {estimate(claim, one)}, {_units(one)} units, {one['verdict']}")
    return "\n".join(lines)
