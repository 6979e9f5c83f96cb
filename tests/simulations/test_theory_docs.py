"""The theory's pages: as generated, every link leads somewhere, every entry has its plot, its derivation and its test.
Catches a page edited by hand, a heading of the derivations renamed, and an entry that nobody derives or tests.
"""

import json
import re
from pathlib import Path

import pytest

from bandit_rft import theory
from simulations.theory_docs import DOCS, anchor, files_that_test, pages

PAGES = pages(json.loads((DOCS / "theory-audit.json").read_text()))


@pytest.mark.parametrize("name", list(PAGES))
def test_the_page_is_what_the_generator_makes(name: str) -> None:
    assert (DOCS / name).read_text() == PAGES[name], "run: python -m simulations.theory_docs"


@pytest.mark.parametrize("name", list(PAGES))
def test_every_link_leads_somewhere(name: str) -> None:
    headings: dict[Path, set[str]] = {}
    for target in re.findall(r"\]\(([^)]+)\)", PAGES[name]):
        file, _, fragment = target.partition("#")
        path = (DOCS / (file or name)).resolve()
        assert path.exists(), target
        if fragment:
            if path not in headings:
                headings[path] = {
                    anchor(line.lstrip("#").strip()) for line in path.read_text().splitlines() if line.startswith("#")
                }
            assert fragment in headings[path], target


@pytest.mark.parametrize("name", list(theory.catalogue()))
def test_an_entry_has_all_that_a_reader_needs(name: str) -> None:
    entry = theory.catalogue()[name]
    assert entry.kind in ("prediction", "bound", "quantity")
    assert re.fullmatch(r"[A-G]\d*(\.\d)?", entry.section), entry.section
    assert entry.assumptions
    assert entry.formula
    assert entry.derivation or "derived" not in entry.source.split(";")[0], "says that it is derived, and not where"
    assert (DOCS / "theory" / f"{name}.png").exists(), "run: bandit-rft figures theory_entries"
    assert files_that_test(name)
    for parameter in entry.units:
        assert re.search(rf"\b{parameter}\b", entry.signature), parameter
