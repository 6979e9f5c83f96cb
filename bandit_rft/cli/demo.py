"""`bandit-rft demo`: the whole idea in minutes, from a table of 10^100 arms to a real language model, with figures."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from functools import partial

from bandit_rft.cli.options import add_options, given
from bandit_rft.settings.finetune import FineTuneConfig
from bandit_rft.settings.options import option, path, settle, shared

HELP = "simulation, theory and a real fine-tuning run in minutes, ending in figures"
DESCRIPTION = (
    "Simulate a needle among 10^2 and 10^100 arms, fine-tune a language model on one question with one rollout per "
    "round and the raw reward, hold both against the same theory, and draw the figures."
)
_same = partial(shared, FineTuneConfig, group=None)


@dataclass(frozen=True, kw_only=True)
class DemoConfig:
    """What the demo shows; every field is an option of the command and documented there."""

    out: str = option("runs/demo", "folder of the demo's runs", type=path, metavar="FOLDER")
    model: str = _same(
        "model",
        default="tiny-llama",
        help="an embedded model, 8 seeds at once and no download; or a name, folder, .gguf file or hub id, one seed",
    )
    rounds: int | None = _same(
        "rounds",
        default=None,
        none=True,
        help="rounds of the fine-tuning run; none: 300 on an embedded model, 60 on others, half of it with --quick",
    )
    quick: bool = option(False, "fewer seeds, rounds and test questions: about half the time")
    key: int = _same("key")

    def __post_init__(self) -> None:
        settle(self)


def options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add_options(parser, DemoConfig)


def run(arguments: argparse.Namespace) -> int:
    """Simulations, then the real run, then the figures."""
    from llm_bridge.demo import demo

    demo(**vars(DemoConfig(**given(arguments, DemoConfig))))
    return 0
