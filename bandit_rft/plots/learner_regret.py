"""Learners on one arm set, or on several: cumulative regret from their run folders, with the laws and bounds on top."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bandit_rft.errors import UnknownOptimumError
from bandit_rft.history import History
from bandit_rft.plots import needle_regret, several, style
from bandit_rft.presets.config import Simulation, read
from bandit_rft.presets.simulate import bounds, predict
from bandit_rft.runs import MANIFEST, read_history, read_json
from bandit_rft.theory import Bound, Prediction

NAME = "learner_regret"


def accepts(config: Mapping[str, Any]) -> bool:
    """Whether a run's config.json is one that this figure shows: a simulation that no other figure is made for."""
    return config.get("command") == "simulate" and not needle_regret.accepts(config)


def theory_of(config: Simulation) -> list[Prediction | Bound]:
    """The laws and bounds that apply to a simulation."""
    law, _ = predict(config)
    return [*([law] if law is not None else []), *bounds(config)]


def in_order(runs: Iterable[Path]) -> list[Path]:
    """Run folders as they were run, one after another, which is as their learners were named."""

    def started(folder: Path) -> tuple[str, str]:
        manifest = read_json(folder / MANIFEST) if (folder / MANIFEST).exists() else {}
        return str(manifest.get("started", "")), folder.name

    return sorted(runs, key=started)


def draw(runs: Sequence[str | Path], out: str | Path | None = None) -> list[Path]:
    """Draw a figure for each arm set and horizon among the runs; returns the PNGs.

    Args:
        runs: run folders of simulations.
        out: folder of the PNGs; by default figures/ of the run, or of the folder that holds the runs.

    Raises:
        InputError: a folder that is no simulation; UnknownOptimumError: no run's best mean is known.
    """
    groups: dict[str, list[tuple[Path, Simulation, History]]] = {}
    for folder in in_order(map(Path, runs)):
        config, history = read(folder), read_history(folder)
        if history.best_mean is None or history.pulled_mean is None:
            continue
        same = json.dumps([dict(config.arms), config.rounds], sort_keys=True, default=str)
        groups.setdefault(same, []).append((folder, config, history))
    if not groups:
        raise UnknownOptimumError(
            f"No run of these {len(runs)} knows its best arm's mean, so none has a regret to draw."
        )
    written = []
    for place, group in enumerate(groups.values()):
        folders = [folder for folder, _, _ in group]
        base = Path(out) if out is not None else (folders[0] if len(group) == 1 else folders[0].parent) / "figures"
        name = f"{NAME}.png" if place == 0 else f"{NAME}-{place + 1}.png"
        written.append(_draw(group, base / name))
    return written


def _draw(group: Sequence[tuple[Path, Simulation, History]], path: Path) -> Path:
    histories: dict[str, History] = {}
    for _, config, history in group:
        name, copies = config.name, 1
        while name in histories:
            copies += 1
            name = f"{config.name} ({copies})"
        histories[name] = history
    laws = [law for _, config, _ in group for law in theory_of(config)]
    with style.panels(1, 1, width=5.2, height=3.4) as (figure, axes):
        # A bound may be a hundred times the regret that it bounds: on logarithms both are seen.
        several.regret(histories, theory=laws, ax=axes, xscale="log", yscale="log")
        largest = max(float(history.regret().mean(axis=0).max()) for history in histories.values())
        axes.set_ylim(bottom=max(largest, 1e-6) / 1e3)
        axes.set_xlim(1, next(iter(histories.values())).rounds)
        several.legend(axes, "lower right", ours=True)
        style.title(axes, title_of([config for _, config, _ in group]))
        return style.save(figure, path, runs={folder.name: folder for folder, _, _ in group})


def title_of(configs: Sequence[Simulation]) -> str:
    """The arms, how many there are, and how often each learner was run."""
    first, log_arms = configs[0], getattr(configs[0].make_arms(), "log_arms", None)
    if log_arms is None:
        arms = ""
    elif log_arms < math.log(1e7):
        arms = f" arms, K = {round(math.exp(log_arms)):,}"
    else:
        arms = f" arms, K = 10^{log_arms / math.log(10):.4g}"
    seeds = " and ".join(sorted({str(config.seeds) for config in configs}, key=int))
    return f"{first.arms['type']}{arms}, {seeds} seeds"
