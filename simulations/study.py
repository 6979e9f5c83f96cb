"""What the studies share: their command line, and the measures that they take of a history."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from bandit_rft import History
from bandit_rft.errors import InputError
from bandit_rft.runs.progress import ProgressLine
from bandit_rft.sweep import SweepResult


class Study(Protocol):
    """A study: a sweep into a folder."""

    def __call__(self, out: Path | None, seeds: int, progress: Any = None) -> SweepResult: ...


def final_value(history: History) -> np.ndarray:
    """float64 [S], the policy's exact expected reward before the last update (Pass@1)."""
    return history.value[:, -1]


def regret_a_pull(history: History) -> np.ndarray:
    """float64 [S], pseudo-regret over the whole run divided by the number of pulls."""
    return history.regret()[:, -1] / (history.rounds * history.rollouts)


def main_of(study: Study, description: str | None, *, seeds: int) -> None:
    """Run a study from the command line; bad input ends in one sentence and exit code 2."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the sweep; a rerun continues there")
    parser.add_argument("--seeds", type=int, default=seeds, help=f"independent repetitions of each point ({seeds})")
    given = parser.parse_args()
    try:
        with ProgressLine(f"sweeping into {given.out}") as line:
            result = study(given.out, given.seeds, progress=line)
    except InputError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None
    print(result.report())
