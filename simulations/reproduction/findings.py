"""docs/findings.md: what the judged claims say to a researcher, each number taken from docs/claims.json.

    python -m simulations.reproduction.findings

The sentences are in findings_text.md. Where one has a number it names it, [[TIER: CLAIM: STRATUM]], and gets the
effect with its interval, or [[TIER: CLAIM]], and gets the verdict. Tiers that are not in claims.json are listed.
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
    held = {(record["tier"], claim["id"]): claim for record in records for claim in record["claims"]}

    def said(match: re.Match[str]) -> str:
        parts = [part.strip() for part in match[1].split(":")]
        claim = held.get((parts[0], parts[1])) if len(parts) in (2, 3) else None
        if claim is None or (len(parts) == 3 and parts[2] not in claim["strata"]):
            raise InputError(f"findings_text.md names {match[0]}, which claims.json has not: correct one of the two.")
        if len(parts) == 2:
            return f"*{claim['verdict']}*"
        return table.estimate(claim, claim["strata"][parts[2]])

    return _NAMED.sub(said, text) + "\n".join(["", *_unsettled(records), ""])


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
