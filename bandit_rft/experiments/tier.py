"""A tier: what stands behind a setting, and the plan of runs that experiments ask of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bandit_rft.experiments.experiment import Experiment, Levels, Setting
from bandit_rft.experiments.outcomes import Outcome


@dataclass(frozen=True)
class Unit:
    """What a setting is run on: a question of a model's task, or a table.

    Attributes:
        name: by which outcomes are found; unique in its tier.
        place: the question's place in its task's training split, or 0.
        width: of its prompt in tokens, or 0: runs of one setting that have the same are one compiled program. It says
            in which order runs are made, and is in no digest.
    """

    name: str
    place: int = 0
    width: int = 0


class Tier(Protocol):
    """What a tier must know.

    Attributes:
        name: of the tier.
        seeds: of a run, unless `seeds_of` says otherwise.
        rounds: of a run, unless `rounds_of` says otherwise.
        levels: of the factors that experiments cross.
        version: raised when the same settings would be run differently; part of each run's digest.
    """

    name: str
    seeds: int
    rounds: int
    levels: Levels
    version: int

    def seeds_of(self, setting: Setting) -> int:
        """Seeds of a run of this setting."""
        ...

    def rounds_of(self, setting: Setting) -> int:
        """Rounds of a run of this setting."""
        ...

    def planned(self, setting: Setting) -> int:
        """How many units a setting has, without choosing them."""
        ...

    def units(self, setting: Setting, folder: Path) -> Sequence[Unit]:
        """The units that a setting is run on; `folder` keeps what choosing them took (scans)."""
        ...

    def run(self, setting: Setting, unit: Unit, folder: Path) -> Outcome:
        """Run it. `folder` is its own; a run that was killed there goes on."""
        ...

    def seconds(self, setting: Setting) -> float:
        """CPU-seconds that a run takes, about, from what was measured once."""
        ...


@dataclass(frozen=True)
class Job:
    """One run: a setting on a unit.

    Attributes:
        digest: of all that decides its outcome; names its folder.
    """

    setting: Setting
    unit: Unit
    digest: str


def digest(tier: Tier, setting: Setting, unit: Unit) -> str:
    """16 hex digits of SHA-256."""
    whole = {
        "tier": tier.name,
        "version": tier.version,
        "seeds": tier.seeds_of(setting),
        "rounds": tier.rounds_of(setting),
        "setting": setting.to_json(),
        "unit": [unit.name, unit.place],
    }
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()[:16]


def plan(tier: Tier, experiments: Iterable[Experiment], folder: Path) -> list[Job]:
    """Every run that the experiments need, each once, in their order."""
    settings = dict.fromkeys(setting for experiment in experiments for setting in experiment.settings(tier.levels))
    return [
        Job(setting, unit, digest(tier, setting, unit)) for setting in settings for unit in tier.units(setting, folder)
    ]
