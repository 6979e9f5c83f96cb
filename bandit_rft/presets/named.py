"""The named simulations of `bandit-rft simulate NAME`; each answers one question."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from bandit_rft.errors import InputError
from bandit_rft.presets.config import Simulation, read
from bandit_rft.runs import config_hash


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Attributes: question, what it answers, one line; config, what is run."""

    question: str
    config: Simulation


_NEEDLE = {"type": "Needle", "log10_arms": 100, "optimal": 1, "p0": 0.05}
_SOFTMAX = {"type": "SoftmaxPolicyGradient", "step_size": 0.5, "signal": "raw", "rollouts": 1}

_ALL = (
    Preset(
        question="One correct answer among 10^100: does policy gradient follow the jump chain from its p0 alone?",
        config=Simulation(name="needle", arms=_NEEDLE, learner=_SOFTMAX),
    ),
    Preset(
        question="The same from the same p0 among 100 answers: does the number of arms matter?",
        config=Simulation(
            name="needle-1e2", arms={**_NEEDLE, "log10_arms": 2}, learner=_SOFTMAX, key=1
        ),  # draws of its own
    ),
    Preset(
        question="The minimalist configuration (one rollout, raw reward) from p0 = 0.2 in small steps, as on an LLM.",
        config=Simulation(
            name="minimalist",
            arms={**_NEEDLE, "log10_arms": 1000, "p0": 0.2},
            learner={**_SOFTMAX, "step_size": 0.1},
            rounds=1000,
            seeds=256,
        ),
    ),
    Preset(
        question="GRPO with eight rollouts per round on the needle: what does the group's normalisation buy?",
        config=Simulation(
            name="grpo", arms=_NEEDLE, learner={**_SOFTMAX, "signal": "grpo", "rollouts": 8}, rounds=200, seeds=256
        ),
    ),
    Preset(
        question="Explore until the first success, then keep it: the benchmark among so many arms.",
        config=Simulation(name="explore", arms=_NEEDLE, learner={"type": "ExploreUntilSuccess", "replacement": True}),
    ),
    Preset(
        question="UCB1 on five Bernoulli arms: the textbook's logarithmic regret.",
        config=Simulation(
            name="ucb1",
            arms={"type": "Bernoulli", "means": [0.1, 0.3, 0.5, 0.7, 0.9]},
            learner={"type": "UCB1"},
            rounds=2000,
            seeds=128,
        ),
    ),
    Preset(
        question="Thompson sampling on the same five arms: how much below UCB1?",
        config=Simulation(
            name="thompson",
            arms={"type": "Bernoulli", "means": [0.1, 0.3, 0.5, 0.7, 0.9]},
            learner={"type": "ThompsonBeta"},
            rounds=2000,
            seeds=128,
        ),
    ),
)

PRESETS: Mapping[str, Preset] = MappingProxyType({preset.config.name: preset for preset in _ALL})


def preset(name: str, **changes: object) -> Simulation:
    """The configuration of a preset, with some of its fields changed.

    Raises:
        InputError: no preset of that name.
    """
    if name not in PRESETS:
        raise InputError(f"There is no simulation {name!r}: choose one of {', '.join(PRESETS)}, or give a TOML file.")
    return dataclasses.replace(PRESETS[name].config, **changes)  # type: ignore[arg-type]


def configuration(source: str) -> Simulation:
    """The configuration of a preset, or that of a TOML file, a run folder or its config.json.

    Raises:
        InputError: no such preset or file, or one that is not a simulation's.
    """
    is_file = source not in PRESETS and (Path(source).suffix in (".toml", ".json") or Path(source).exists())
    return read(source) if is_file else preset(source)


def default_folder(config: Simulation, *, changed: bool) -> Path:
    """runs/NAME, with a hash of a preset or file whose settings were changed."""
    return Path("runs") / (f"{config.name}-{config_hash(config.to_json())[:8]}" if changed else config.name)
