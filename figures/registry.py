"""The figures by name, and which run folders each can show."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bandit_rft.errors import InputError
from bandit_rft.plots import finetune, finetune_prediction, learner_regret, needle_regret, seed_bands
from bandit_rft.runs import CONFIG, read_json
from figures import (
    claims,
    conditions,
    correct_arms,
    drift_multipliers,
    hitting_times,
    infinite_arms,
    prediction_half_times,
    regime_map,
    regret_against_arms,
    signals_compared,
    takeover,
    theory_entries,
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
    regime_map: "who learns within the horizon, by the number of arms and the base policy's mass",
    drift_multipliers: "the drift of each signal against the size of the group",
    hitting_times: "the first round with Pass@1 of a half, over seeds, against the exact law",
    prediction_half_times: "half-times of fine-tuning runs, predicted and measured, by law",
    claims: "the papers' claims, each effect with its interval, threshold and margin",
    takeover: "the time until one of m correct arms takes over, against the urn's law",
}


def _of_study(module: Any, summary: str) -> Entry:
    return Entry(
        summary=f"{summary} ({getattr(module, 'STUDY', f'simulations.{module.NAME}')})",
        accepts=module.accepts,
        draw=lambda runs, out: [module.draw(run, out) for run in runs],
    )


def _own(out: Path | None, run: Path, runs: Sequence[Path]) -> Path | None:
    """The folder of one run's figure: several runs must not overwrite one another in `out`."""
    return out if out is None or len(runs) == 1 else out / run.name


FIGURES: Mapping[str, Entry] = MappingProxyType(
    {
        needle_regret.NAME: Entry(
            summary="a needle among K arms: regret and Pass@1, simulation against theory; all runs in one figure",
            accepts=needle_regret.accepts,
            draw=lambda runs, out: [needle_regret.draw(runs, out)],
        ),
        seed_bands.NAME: Entry(
            summary="single runs of the minimalist configuration and the law's bands; one figure per run",
            accepts=seed_bands.accepts,
            draw=lambda runs, out: [seed_bands.draw(run, _own(out, run, runs)) for run in runs],
        ),
        learner_regret.NAME: Entry(
            summary="regret of learners with the laws and bounds that apply; one figure for each arm set",
            accepts=learner_regret.accepts,
            draw=learner_regret.draw,
        ),
        finetune.NAME: Entry(
            summary="a fine-tuning run of one seed or many: reward and Pass@1 beside its law; one figure per run",
            accepts=finetune.accepts,
            draw=lambda runs, out: [finetune.draw(run, _own(out, run, runs)) for run in runs],
        ),
        finetune_prediction.NAME: Entry(
            summary="a fine-tuning run beside the law that bandit-rft predict chose for it; one figure per run",
            accepts=finetune_prediction.accepts,
            draw=lambda runs, out: [
                finetune_prediction.draw(run, _own(out, run, runs)) for run in runs if finetune_prediction.ready(run)
            ],
        ),
        theory_entries.NAME: Entry(
            summary="the theory's entries, prediction against simulation; one figure per entry (theory-audit)",
            accepts=theory_entries.accepts,
            draw=lambda runs, out: [path for run in runs for path in theory_entries.draw(run, out)],
        ),
        conditions.NAME: Entry(
            summary="training and test Pass@1 by design choice; one figure for each model, task and optimiser "
            "(bandit-rft reproduce)",
            accepts=conditions.accepts,
            draw=lambda runs, out: [path for run in runs for path in conditions.draw(run, _own(out, run, runs))],
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
        them = "this run" if len(runs) == 1 else f"these {len(runs)} runs"
        raise InputError(f"No figure shows {them}: there are {', '.join(FIGURES)}.")
    return written
