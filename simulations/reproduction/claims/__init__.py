"""One claim a file, each with its test, written before the runs that decide on it: to add one is to add a file.

A file defines `CLAIM`. Changing it voids the result that was judged by it, since results carry its digest. What claims
share is outside the digest, as `digests` says: who changes that judges the tiers again.
"""

from __future__ import annotations

import importlib
import re
from pathlib import Path

from bandit_rft.errors import InputError
from bandit_rft.experiments import Claim, digest_of

HERE = Path(__file__).parent


def claims() -> dict[str, Claim]:
    """id -> claim, of every file in this folder, in the order of their names."""
    found: dict[str, Claim] = {}
    for path in sorted(HERE.glob("[!_]*.py")):
        claim = importlib.import_module(f"{__name__}.{path.stem}").CLAIM
        if claim.id in found:
            raise InputError(f"Two claims are called {claim.id}: give {path.name} another id.")
        found[claim.id] = claim
    return found


def digests() -> dict[str, str]:
    """id -> digest of what is a claim's own: its file, the claims' files that it takes a measure of, and theirs, and
    its experiments.

    A verdict rests on more: the statistics of `Outcome`, the effects, intervals and tests of `bandit_rft.experiments`,
    `half_times`, and the tier. They are shared by claims, and a change of them voids no result by itself.
    """
    found = {}
    for path in sorted(HERE.glob("[!_]*.py")):
        claim = importlib.import_module(f"{__name__}.{path.stem}").CLAIM
        found[claim.id] = digest_of([path, *sorted(_taken(path) - {path})], claim.experiments)
    return found


def _taken(path: Path) -> set[Path]:
    """The claims' files that one takes something of, at any number of removes."""
    found: set[Path] = set()
    left = [path]
    while left:
        names = re.findall(rf"^from {re.escape(__name__)}\.(\w+) import", left.pop().read_text(), re.MULTILINE)
        new = {HERE / f"{name}.py" for name in names} - found
        found |= new
        left += new
    return found
