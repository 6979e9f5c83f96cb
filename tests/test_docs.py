"""Every snippet and every command of the README and of the documentation's pages.

A page's ```python blocks run in order, as one program, in an empty folder; a ```text block right behind one is what it
prints. Its `bandit-rft` lines are parsed by the command line's own parser. `docs/own-code.md` has a test of its own.
"""

import contextlib
import io
import re
import shlex
from pathlib import Path

import matplotlib as mpl
import pytest

from bandit_rft.cli import parser

ROOT = Path(__file__).resolve().parents[1]
OWN_TEST = {"own-code.md"}
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^    (bandit-rft (?:[^\n]*\\\n)*[^\n]*)$", re.MULTILINE)
SNIPPETS = [page for page in PAGES if page.name not in OWN_TEST and BLOCK.search(page.read_text())]
LINES = [
    (page.name, re.sub(r"\\\n\s*", "", line).split("  ")[0].rstrip())
    for page in PAGES
    if page.name not in OWN_TEST
    for line in COMMAND.findall(page.read_text())
]


@pytest.mark.parametrize("page", SNIPPETS, ids=lambda page: page.name)
def test_the_pages_snippets_run_and_print_what_it_says(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches a snippet that an interface has left behind, and a number that the code no longer gives."""
    monkeypatch.chdir(tmp_path)
    mpl.use("Agg")
    names: dict[str, object] = {"__name__": "__main__"}
    for code, output in BLOCK.findall(page.read_text()):
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile(code, page.name, "exec"), names)
        if output:
            assert printed.getvalue() == output


@pytest.mark.parametrize(("page", "line"), LINES, ids=lambda text: text[:60])
def test_the_pages_commands_are_the_command_lines_own(page: str, line: str) -> None:
    """Catches an option that was renamed, or never was."""
    if re.search(r"\b[A-Z]\b|\[", line):
        pytest.skip("a form with placeholders")
    parser().parse_args(shlex.split(line, comments=True)[1:])


def test_every_relative_link_of_the_readme_and_the_pages_leads_somewhere() -> None:
    """Catches a page that was moved."""
    lost = []
    for page in PAGES:
        for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
            if "://" not in link and not (page.parent / link).exists():
                lost.append((page.name, link))
    assert not lost
