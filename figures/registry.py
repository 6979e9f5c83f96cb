"""The figures by name, and which run folders each can show."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bandit_rft.errors import InputError
from bandit_rft.run_folder import CONFIG, read_json
from figures import (
    correct_arms,
    finetune_run,
    infinite_arms,
    needle_regret,
    regret_against_arms,
    signals_compared,
)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A figure.

    Attributes:
        summary: what it shows, one line.
        accepts: config.json -> whether the figure can show that run.
        draw: (run folders, folder for the PNGs or None) -> PNGs written.
    """

    summary: str
    accepts: Callable[[Mapping[str, Any]], bool]
    draw: Callable[[Sequence[Path], Path | None], list[Path]]


_STUDIES = {
    regret_against_arms: "regret against the number of arms at a fixed horizon",
    correct_arms: "tables against token policies as the correct arms grow in number",
    infinite_arms: "infinitely many arms against the bound sqrt(2n)",
    signals_compared: "learning signals at an equal number of pulls",
}


def _of_study(module: Any, summary: str) -> Entry:
    return Entry(
        summary=f"{summary} (simulations.{module.NAME})",
        accepts=module.accepts,
        draw=lambda runs, out: [module.draw(run, out) for run in runs],
    )


FIGURES: Mapping[str, Entry] = MappingProxyType(
    {
        needle_regret.NAME: Entry(
            summary="a needle among K arms: regret and Pass@1, simulation against theory; all runs in one figure",
            accepts=needle_regret.accepts,
            draw=lambda runs, out: [needle_regret.draw(runs, out)],
        ),
        finetune_run.NAME: Entry(
            summary="a real fine-tuning run: reward and Pass@1 beside the jump chain; one figure a run",
            accepts=finetune_run.accepts,
            draw=lambda runs, out: [finetune_run.draw(run, out) for run in runs],
        ),
    }
    | {module.NAME: _of_study(module, summary) for module, summary in _STUDIES.items()}
)


def find_runs(folders: Iterable[str | Path]) -> list[Path]:
    """The run folders among these and directly inside them.

    Raises:
        InputError: one of them is none and holds none.
    """
    found: list[Path] = []
    for folder in map(Path, folders):
        inside = [folder] if (folder / CONFIG).is_file() else sorted(path.parent for path in folder.glob(f"*/{CONFIG}"))
        if not inside:
            raise InputError(f"{folder} is no run folder and holds none: give --run the folder of a finished run.")
        found += inside
    return found


def draw(names: Sequence[str], folders: Iterable[str | Path], out: Path | None = None) -> list[Path]:
    """Draw the named figures (all that apply, where none is named) from saved runs; returns the PNGs written.

    Raises:
        InputError: an unknown name, no run, or no run that a named figure can show.
    """
    for name in names:
        if name not in FIGURES:
            raise InputError(f"There is no figure {name!r}: choose one of {', '.join(FIGURES)}.")
    runs = [(run, read_json(run / CONFIG)) for run in find_runs(folders)]
    written: list[Path] = []
    for name in names or FIGURES:
        shown = [run for run, config in runs if FIGURES[name].accepts(config)]
        if shown:
            written += FIGURES[name].draw(shown, out)
        elif names:
            raise InputError(
                f"None of the {len(runs)} runs is one that {name} can show ({FIGURES[name].summary}): "
                "give another --run."
            )
    if not written:
        raise InputError(f"No figure shows these {len(runs)} runs: there are {', '.join(FIGURES)}.")
    return written
