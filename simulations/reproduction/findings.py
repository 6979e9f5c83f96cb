"""docs/findings.md: what the judged claims say to a researcher, each number taken from docs/claims.json.

    python -m simulations.reproduction.findings

The sentences are in findings_text.md. Where one has a number it names it:

    [[TIER: CLAIM]]                                     the verdict
    [[TIER: CLAIM: STRATUM]]                            the effect with its interval
    [[TIER: CLAIM: STRATUM: needed]]                    the units that would decide an underpowered one
    [[TIER: variance: CONDITION: STRATUM: seed]]        of the variance of test Pass@1, what seeds have, in 10^-4; or
                                                        `question`, or `evaluation`

Tiers that are not in claims.json are listed.
A sentence is read again by a person when its verdict changes: a number is kept up to date here, and no wording is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bandit_rft.errors import InputError
from bandit_rft.runs import read_json, write_atomically
from simulations.reproduction import table
from simulations.reproduction.claims import claims
from simulations.reproduction.tiers import QUICKER, TIERS

DOCS = Path(__file__).resolve().parents[2] / "docs"
TEXT = Path(__file__).with_name("findings_text.md")
_NAMED = re.compile(r"\[\[([^\[\]]{1,200})\]\]")


def page(records: Sequence[Mapping[str, Any]], text: str) -> str:
    """The page.

    Args:
        records: of the tiers, as claims.json has them.
        text: with numbers by name.

    Raises:
        InputError: a number that no record has.
    """
    held = _numbers(records)

    def said(match: re.Match[str]) -> str:
        found = held.get(tuple(part.strip() for part in match[1].split(":")))
        if found is None:
            raise InputError(f"findings_text.md names {match[0]}, which claims.json has not: correct one of the two.")
        return found

    return _NAMED.sub(said, text) + "\n".join(["", *_unsettled(records), ""])


def _numbers(records: Sequence[Mapping[str, Any]]) -> dict[tuple[str, ...], str]:
    """All that a sentence may name, by its parts, as it is written."""
    held: dict[tuple[str, ...], str] = {}
    for record in records:
        tier = record["tier"]
        for claim in record["claims"]:
            held[tier, claim["id"]] = f"*{claim['verdict']}*"
            for stratum, one in claim["strata"].items():
                held[tier, claim["id"], stratum] = table.estimate(claim, one)
                if one.get("needed"):
                    held[tier, claim["id"], stratum, "needed"] = str(one["needed"])
        for one in record.get("variance") or ():
            for part in table.PARTS:
                held[tier, "variance", one["condition"], one["stratum"], part] = table.scaled(one[part])
    return held


def _unsettled(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """What no record could settle, found in the records: underpowered, untested, mixed, and claims never run."""
    lines = ["## What could not be settled", ""]
    for record in records:
        for verdict in ("underpowered", "untested", "mixed"):
            names = [claim["id"] for claim in record["claims"] if claim["verdict"] == verdict]
            if names:
                lines.append(f"- {verdict} at tier {record['tier']}: {', '.join(names)}.")
    judged = {claim["id"] for record in records for claim in record["claims"]}
    never = [name for name in claims() if name not in judged]
    if never:
        lines.append(f"- Judged at no tier that has been run, and therefore open: {', '.join(never)}.")
    run = {record["tier"] for record in records}
    absent = [name for name in [*TIERS, *(tier.name for tier in QUICKER.values())] if name not in run]
    if absent:
        lines.append(f"- Tiers that have not been run for this page: {', '.join(absent)}.")
    return lines


def main() -> None:
    """Write docs/findings.md."""
    records = read_json(DOCS / "claims.json")["tiers"]
    write_atomically(DOCS / "findings.md", page(records, TEXT.read_text()))


if __name__ == "__main__":
    main()
