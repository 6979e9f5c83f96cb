"""Several learners on one arm set: what `bandit-rft simulate ucb1 thompson kl-ucb --arms bernoulli10` runs."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bandit_rft import by_name
from bandit_rft.arguments import nearest
from bandit_rft.errors import InputError, UnknownOptimumError
from bandit_rft.loop import Progress
from bandit_rft.loop.one_round import bound_of
from bandit_rft.presets.config import LEARNERS, Simulation, from_values, read
from bandit_rft.presets.named import PRESETS
from bandit_rft.presets.simulate import Outcome, simulate
from bandit_rft.regret import compare_learners
from bandit_rft.runs import CONFIG

DEFAULT_ARMS = "bernoulli10"
ROUNDS, SEEDS = 10_000, 64

# Arm sets by a name of their own; those of the presets have the preset's name.
ARM_SETS: Mapping[str, Mapping[str, Any]] = {
    DEFAULT_ARMS: {"type": "Bernoulli", "means": [0.05, 0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.85, 0.95]},
    "bernoulli2": {"type": "Bernoulli", "means": [0.4, 0.6]},
    "bernoulli5": PRESETS["ucb1"].config.arms,
    "million": {"type": "Classes", "log_counts": [math.log(999_000), math.log(1_000)], "means": [0.5, 0.9]},
}
_NICKNAMES: Mapping[str, Mapping[str, Any]] = {
    "thompson": {"type": "ThompsonBeta"},
    "softmax": {"type": "SoftmaxPolicyGradient", "step_size": 0.1},
}


@dataclass(frozen=True, kw_only=True)
class Outcomes:
    """What several learners gave on one arm set. Attributes: folder, with a run folder for each; outcomes by name."""

    folder: Path
    outcomes: Mapping[str, Outcome]

    def summary(self) -> str:
        """Each learner's numbers with what theory says of them, then their differences in pairs."""
        parts = [outcome.summary() for outcome in self.outcomes.values()]
        return "\n\n".join([*parts, *filter(None, [differences(self.outcomes)])])


def differences(outcomes: Mapping[str, Outcome]) -> str:
    """The paired comparison with the first learner, as text; empty where there is none to make."""
    if len(outcomes) < 2:
        return ""
    try:
        return compare_learners({name: one.history for name, one in outcomes.items()}).report()
    except (UnknownOptimumError, InputError) as error:  # one seed, or an unknown optimum
        return f"no paired comparison: {error}"


def is_learner(name: str) -> bool:
    """Whether a name of the command line is a learner's."""
    return by_name.is_own(name) or _plain(name) in _learners()


def configurations(names: Sequence[str], arms: str | None, settings: Sequence[str] = ()) -> dict[str, Simulation]:
    """A simulation for each learner, by the name typed.

    Args:
        names: of learners, or own code as file.py:Name.
        arms: a name of `ARM_SETS`, a preset, a TOML file or run folder, or own code; None: `DEFAULT_ARMS`.
        settings: "key=value" texts. A learner's own argument is NAME.argument; an argument without a name goes to every
            learner that has it.

    Raises:
        InputError: an unknown name, one given twice, or a setting that nothing takes.
    """
    table, found = _arms(DEFAULT_ARMS if arms is None else arms), {}
    for name in names:
        slug = _slug(name)
        if slug in found:
            raise InputError(f"The learner {name} is given twice: name each once.")
        values = {"name": slug, "arms": table, "learner": _learner(name), "rounds": ROUNDS, "seeds": SEEDS}
        found[slug] = from_values(values, name)
    return {
        name: config.with_settings(own)
        for (name, config), own in zip(found.items(), _shared(found, settings), strict=True)
    }


def simulate_all(
    configs: Mapping[str, Simulation],
    out: str | Path,
    *,
    progress: Callable[[str], Progress | None] = lambda name: None,
) -> Outcomes:
    """Run each configuration into its own folder inside `out`, once all are known to be possible.

    Raises:
        InputError: arms, learner or counts that are refused, or a folder that holds something else.
    """
    folder = Path(out)
    if (folder / CONFIG).exists():
        raise InputError(f"{folder} holds one run, and several are to be written into it: choose another --out.")
    for config in configs.values():
        bound_of(config.make_learner(), config.make_arms(), config.rounds, config.row_capacity)
    outcomes = {name: simulate(config, folder / name, progress=progress(name)) for name, config in configs.items()}
    return Outcomes(folder=folder, outcomes=outcomes)


def learner_names() -> list[str]:
    """The learners' names in small letters, nicknames included."""
    return list(_learners())


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _learners() -> dict[str, Mapping[str, Any]]:
    return {**{name.lower(): {"type": name} for name in LEARNERS}, **_NICKNAMES}


def _learner(name: str) -> Mapping[str, Any]:
    if by_name.is_own(name):
        return {"type": name}
    known = _learners()
    if _plain(name) not in known:
        raise InputError(
            f"There is no learner {name!r}{nearest(name, known)}: choose among {', '.join(known)}, or your "
            "own as file.py:Name."
        )
    return known[_plain(name)]


def _arms(name: str) -> Mapping[str, Any]:
    if name in ARM_SETS:
        return ARM_SETS[name]
    if name in PRESETS:
        return PRESETS[name].config.arms
    if by_name.is_own(name):
        return {"type": name}
    if Path(name).suffix in (".toml", ".json") or Path(name).exists():
        return read(name).arms
    known = [*ARM_SETS, *PRESETS]
    raise InputError(
        f"--arms {name!r} is unknown{nearest(name, known)}: choose one of {', '.join(known)}, or give a TOML file."
    )


def _slug(name: str) -> str:
    """The name as that of a folder: of own code the class alone."""
    return re.sub(r"[^\w.-]", "-", name.rpartition(":")[2])


def _shared(configs: Mapping[str, Simulation], settings: Sequence[str]) -> list[list[str]]:
    """The settings of each configuration, in `Simulation.with_settings`' own words."""
    own: dict[str, list[str]] = {name: [] for name in configs}
    for setting in settings:
        key = setting.partition("=")[0].strip()
        table, dot, rest = key.partition(".")
        if dot and table in configs:
            own[table].append(f"learner.{rest}{setting[len(key) :]}")
            continue
        if key.removeprefix("learner.") == "type" or (not dot and key == "type"):
            raise InputError(f"--set {setting!r} names no learner: name the learners before the options.")
        argument = key.removeprefix("learner.")
        takers = [name for name, config in configs.items() if argument in _arguments(config)]
        if (dot and table == "learner") or (not dot and takers):
            if not takers:
                raise InputError(f"--set {key}: none of {', '.join(configs)} has the argument {argument}.")
            for name in takers:
                own[name].append(f"learner.{argument}{setting[len(key) :]}")
            continue
        if dot and table != "arms":
            raise InputError(f"--set {key} names none of the learners: write one of {', '.join(configs)}, or arms.")
        for changed in own.values():
            changed.append(setting)
    return list(own.values())


def _arguments(config: Simulation) -> Mapping[str, Any]:
    kind = by_name.resolve(config.learner["type"], LEARNERS, "learner")
    return inspect.signature(kind).parameters
