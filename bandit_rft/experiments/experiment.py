"""What is run: a run's design choices, and experiments that change one of them at a time."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bandit_rft import arguments
from bandit_rft.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One run's design choices. As it stands it is the minimalist configuration of arXiv 2601.14599.

    Attributes:
        signal: of `bandit_rft.signals`.
        rollouts: responses per question and round that are learned from, G.
        extra_rollouts: more, which enter the signal's mean and spread alone.
        reward_wrong: reward of a wrong response; -1: negative rewards.
        pool: training questions, one in the minimalist configuration.
        questions: of them per round, B, all different.
        score_window: last scores of a question that give its mean and spread; None: this round's.
        optimizer: "sgd", whose step is in units of 1/kappa, or "adamw", whose step is the learning rate.
        step: of the optimiser.
        p0: bin of the training question's Pass@1 before training, by the tier's name for it.
        model: the base model, or on a table the kind of policy.
        task: where the questions come from.
        learner: further settings of the tier's learner, by the learner's own names, such as {"temperature": 0.7}: any
            design choice that has no field here. Plain values.
    """

    signal: str = "raw"
    rollouts: int = 1
    extra_rollouts: int = 0
    reward_wrong: float = 0.0
    pool: int = 1
    questions: int = 1
    score_window: int | None = None
    optimizer: str = "sgd"
    step: float = 0.2
    p0: str = "0.25"
    model: str = ""
    task: str = ""
    learner: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def pulls(self) -> int:
        """Responses that are generated each round."""
        return self.questions * (self.rollouts + self.extra_rollouts)

    def to_json(self) -> dict[str, Any]:
        """Plain values. Without `learner` where it is empty: what names a run is as it was before there was one."""
        found = dataclasses.asdict(self)
        return found if self.learner else {name: value for name, value in found.items() if name != "learner"}

    def learner_of(self, kind: type, decided: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
        """All that a tier's learner is made with.

        Args:
            kind: the learner's class, a dataclass.
            decided: by its names, what the other fields of the setting say.
            defaults: what the tier sets where `learner` does not.

        Raises:
            InputError: `learner` has a name that the class lacks, or that another field of the setting decides.
        """
        known = [entry.name for entry in dataclasses.fields(kind) if entry.init]
        for name in self.learner:
            if name not in known:
                raise InputError(
                    f"An experiment gives the learner {name!r}{arguments.nearest(name, known)}, which {kind.__name__} "
                    f"has not: choose one of {', '.join(one for one in known if one not in decided)}."
                )
            if name in decided:
                raise InputError(
                    f"An experiment gives the learner {name!r}, which other fields of the setting decide: use those."
                )
        return {**defaults, **self.learner, **decided}


# By factor, its levels at a tier; each changes fields of `Setting` that go together.
Levels = Mapping[str, tuple[Mapping[str, Any], ...]]


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A question about design choices, as conditions that are compared; the same object at every tier.

    Attributes:
        name: short; claims name it.
        question: what it asks, as a sentence.
        base: the setting that all conditions start from.
        conditions: name -> the fields of `Setting` that it changes.
        strata: factors, such as "optimiser", at whose levels every condition is run, and its answer given apart.
        pooled: factors, such as "base model", at whose levels every condition is run, and its answer given together.

    What levels a factor has is the tier's to say; one that it does not know has a single level that changes nothing.

    Raises:
        InputError: no condition, a field that `Setting` lacks, or settings of the learner that are no plain values.
    """

    name: str
    question: str
    conditions: Mapping[str, Mapping[str, Any]]
    base: Setting = Setting()
    strata: tuple[str, ...] = ()
    pooled: tuple[str, ...] = ("base model", "task")

    def __post_init__(self) -> None:
        if not self.conditions:
            raise InputError(f"Experiment {self.name} has no condition: give at least one.")
        known = {entry.name for entry in dataclasses.fields(Setting)}
        strange = sorted({name for changes in self.conditions.values() for name in changes} - known)
        if strange:
            raise InputError(
                f"Experiment {self.name} changes {strange[0]!r}, which no setting has: choose one of "
                f"{', '.join(sorted(known))}."
            )
        for name in self.conditions:
            learner = self.setting(name).learner
            try:
                json.dumps(dict(learner))
            except (TypeError, ValueError):
                raise InputError(
                    f"Experiment {self.name} gives the learner of {name!r} {arguments.shown(learner)}: give numbers, "
                    "texts or lists of them, by name."
                ) from None

    def setting(self, condition: str, level: Mapping[str, Any] | None = None) -> Setting:
        """The setting of a condition at a level of the factors; what it changes itself goes before.

        Raises:
            InputError: no such condition.
        """
        if condition not in self.conditions:
            raise InputError(
                f"Experiment {self.name} has no condition {condition!r}: choose one of {', '.join(self.conditions)}."
            )
        return dataclasses.replace(self.base, **{**(level or {}), **self.conditions[condition]})

    def to_json(self) -> dict[str, Any]:
        """Plain values: all that decides what is run, and what is compared with what."""
        return {
            "name": self.name,
            "base": self.base.to_json(),
            "conditions": {name: dict(changes) for name, changes in self.conditions.items()},
            "strata": list(self.strata),
            "pooled": list(self.pooled),
        }

    def settings(self, levels: Levels) -> list[Setting]:
        """Of every condition at every level, each once."""
        found = [
            self.setting(name, stratum | pool)
            for stratum in combined(levels, self.strata)
            for pool in combined(levels, self.pooled)
            for name in self.conditions
        ]
        return list(dict.fromkeys(found))


def combined(levels: Levels, factors: tuple[str, ...]) -> list[dict[str, Any]]:
    """Every combination of the factors' levels, as fields of `Setting`."""
    return [
        {name: value for level in chosen for name, value in level.items()}
        for chosen in itertools.product(*(levels.get(factor, ({},)) for factor in factors))
    ]
