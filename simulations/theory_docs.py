"""The theory's pages, generated from the catalogue and the audit: docs/theory.md and docs/theory-audit.md.

    python -m simulations.theory_docs --restore runs/theory-audit     a run folder of docs/theory-audit.json again
    bandit-rft simulate theory-audit --out runs/theory-audit
    python -m simulations.theory_docs --run runs/theory-audit     writes both pages and docs/theory-audit.json
    bandit-rft figures theory_entries --run runs/theory-audit --out docs/theory      and the plots

A test holds the pages equal to what this makes of docs/theory-audit.json.
"""

from __future__ import annotations

import argparse
import inspect
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bandit_rft import theory
from bandit_rft.errors import InputError
from bandit_rft.runs import MANIFEST, read_json, to_json, write_atomically
from bandit_rft.theory.catalogue import UNCONFIRMED
from simulations.theory_audit.audit import RESULT, restore

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
SECTIONS = {
    "A": "Softmax policy gradient with the raw reward",
    "B": "Groups of rollouts",
    "C": "Exact simulation and sweeps over fresh arms",
    "D": "Classic bounds",
    "E": "Many arms",
    "F": "Token sequences and language models",
    "G": "Many prompts",
}


def anchor(heading: str) -> str:
    """The fragment that GitHub gives a heading."""
    kept = re.sub(r"[^\w\- ]", "", heading.lower())
    return kept.strip().replace(" ", "-")


def theory_page(records: Sequence[Mapping[str, Any]]) -> str:
    """docs/theory.md."""
    entries = theory.catalogue()
    lines = [
        "# The theory",
        "",
        "Generated from the catalogue by `python -m simulations.theory_docs`; every entry is a function of",
        "`bandit_rft.theory`, listed by `bandit-rft theory` and evaluated by `bandit-rft theory NAME --set key=value`.",
        "p is Pass@1, z = logit p, K the number of arms, m of them correct, eta the step size, G the rollouts a round,",
        "kappa the squared gradient gap. In the plots a line is the prediction and a point what a simulation gave,",
        "with four standard errors; hollow points lie outside the entry's assumptions. The numbers are in",
        "[the audit](theory-audit.md).",
        "",
    ]
    for letter, title in SECTIONS.items():
        inside = [name for name, entry in entries.items() if entry.section.startswith(letter)]
        lines.append(f"- {title}: " + ", ".join(f"[`{name}`](#{anchor(name)})" for name in inside))
    for letter, title in SECTIONS.items():
        lines += ["", f"## {title}"]
        for name, entry in entries.items():
            if entry.section.startswith(letter):
                lines += ["", *_entry(entry, [record for record in records if record["entry"] == name])]
    return "\n".join(lines) + "\n"


def _entry(entry: theory.Entry, records: Sequence[Mapping[str, Any]]) -> list[str]:
    code = Path(inspect.getsourcefile(entry.function) or "").resolve().relative_to(ROOT)
    links = [f"[code](../{code})"]
    if entry.derivation:
        links.insert(0, f"[derivation](derivations.md#{anchor(entry.derivation)})")
    links += [f"[test](../{path})" for path in files_that_test(entry.name)]
    links.append(f"[audit](theory-audit.md#{anchor(entry.name)})")
    outcome = _outcome(records)
    lines = [
        f"### `{entry.name}`",
        "",
        entry.summary,
        "",
        "$$" + entry.formula.replace("\n", " ") + "$$",
        "",
        f"`{entry.signature}` is a {entry.kind} ({entry.section}). {outcome}",
        "",
        " · ".join(links),
        "",
        f"![{entry.name}: prediction and simulation](theory/{entry.name}.png)",
        "",
        "| argument | meaning |",
        "| --- | --- |",
        *(f"| `{parameter}` | {meaning.replace('|', chr(92) + '|')} |" for parameter, meaning in entry.units.items()),
        "",
        "Assumes:",
        "",
        *(f"- {assumption}" for assumption in entry.assumptions),
        "",
        f"Source: {entry.source}.".replace("..", "."),
    ]
    if not entry.confirmed:
        lines.append(UNCONFIRMED)
    return lines


def _outcome(records: Sequence[Mapping[str, Any]]) -> str:
    inside = [record for record in records if record["inside"]]
    refuted = [record for record in inside if not record["holds"]]
    outside = [record for record in records if not record["inside"] and not record["holds"]]
    said = f"Kept in {len(inside) - len(refuted)} of {len(inside)} simulations inside its assumptions"
    if outside:
        said += f"; seen to break outside them in {len(outside)}"
    return said + "."


def files_that_test(name: str) -> list[str]:
    """The test files that speak of an entry, most mentions first, two at most."""
    found = []
    for path in sorted((ROOT / "tests" / "bandit_rft").glob("test_*.py")):
        text = path.read_text()
        mentions = len(re.findall(rf"\b{name}\b", text))
        if mentions and "theory" in text:
            found.append((-mentions, path.relative_to(ROOT).as_posix()))
    return [path for _, path in sorted(found)[:2]] or ["tests/simulations/test_theory_audit.py"]


def audit_page(records: Sequence[Mapping[str, Any]], about: Mapping[str, Any]) -> str:
    """docs/theory-audit.md."""
    seconds = sum(record["seconds"] for record in records)
    inside = [record for record in records if record["inside"]]
    refuted = [record for record in inside if not record["holds"]]
    outside = [record for record in records if not record["inside"]]
    lines = [
        "# The audit of the theory",
        "",
        "Every entry of [the theory](theory.md) against a simulation, inside its assumptions and just outside.",
        "Generated by `python -m simulations.theory_docs` from what",
        "",
        "    bandit-rft simulate theory-audit --out runs/theory-audit",
        "",
        f"measured: {len(records)} cases, {seconds / 60:.0f} minutes ({about.get('machine', 'somewhere')}). Random",
        "draws are keyed by the name of each case, so that a rerun gives the same numbers.",
        "",
        f"Inside their assumptions {len(inside) - len(refuted)} of {len(inside)} hold and {len(refuted)} are refuted;",
        f"outside, {sum(not record['holds'] for record in outside)} of {len(outside)} break as they may.",
        "",
        "A row shows the point of the case that tells most against the entry. Equal: within four standard errors",
        "and the tolerance that the entry itself allows for; a bound is refuted three standard errors beyond it.",
    ]
    for name in theory.catalogue():
        lines += [
            "",
            f"## {name}",
            "",
            f"[The entry](theory.md#{anchor(name)}).",
            "",
            "| instance | at | predicted | measured | verdict |",
            "| --- | --- | --- | --- | --- |",
        ]
        lines += [_row(record) for record in records if record["entry"] == name]
    return "\n".join(lines) + "\n"


def _row(record: Mapping[str, Any]) -> str:
    at = record["worst"]
    sign = {"equal": "", "upper": "≤ ", "lower": "≥ "}[record["relation"]]
    predicted, error = record["predicted"][at], record["standard_error"][at]
    measured = f"{record['measured'][at]:.4g}" + (f" ± {error:.1g}" if error else "")
    said = {
        (True, True): "kept",
        (True, False): "**refuted**",
        (False, True): "holds outside too",
        (False, False): "breaks",
    }[record["inside"], record["holds"]]
    reason = f" ({record['why'].rstrip('.')})" if record["why"] else ""
    shown = "none" if predicted is None else f"{sign}{predicted:.4g}"
    where = f"{record['x_label']} {record['x'][at]:g}"
    return f"| {record['instance']}: {record['y_label']} | {where} | {shown} | {measured} | {said}{reason} |"


def pages(audit: Mapping[str, Any]) -> dict[str, str]:
    """File name -> text, from what docs/theory-audit.json holds."""
    order = {name: place for place, name in enumerate(theory.catalogue())}
    records = sorted((r for r in audit["cases"] if r["entry"] in order), key=lambda record: order[record["entry"]])
    return {"theory.md": theory_page(records), "theory-audit.md": audit_page(records, audit.get("about", {}))}


def main() -> None:
    """Write the pages. Bad input ends in one sentence and exit code 2."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="folder of the audit (default: docs/theory-audit.json as it is)")
    parser.add_argument("--restore", type=Path, help="make this run folder of docs/theory-audit.json, and no page")
    given = parser.parse_args()
    saved = DOCS / "theory-audit.json"
    try:
        if given.restore is not None:
            restore(given.restore, saved)
            print(given.restore)
            return
        if given.run is not None:
            if not (given.run / RESULT).is_file():
                raise InputError(f"{given.run} holds no {RESULT}: give the folder of bandit-rft simulate theory-audit.")
            manifest = read_json(given.run / MANIFEST)
            about = {name: manifest.get(name) for name in ("commit", "machine", "versions", "started", "finished")}
            write_atomically(saved, to_json({"about": about, **read_json(given.run / RESULT)}))
        for name, text in pages(read_json(saved)).items():
            write_atomically(DOCS / name, text)
            print(DOCS / name)
    except InputError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
