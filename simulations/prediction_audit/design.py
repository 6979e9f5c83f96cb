"""What the prediction audit runs, written before any of its runs: tiers, conditions, and how questions are drawn."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from bandit_rft.runs import read_json, to_json, write_atomically
from llm_bridge.data import datasets
from llm_bridge.language_model import LanguageModel
from llm_bridge.measuring.evaluate import evaluate

MODELS = ("tiny-llama", "tiny-qwen2", "tiny-olmo2")
TASKS = ("tiny-addition", "tiny-stories")
MAX_TOKENS = 32
SCANNED, SCAN_SAMPLES, RESPONSES, SEEDS = 64, 128, 256, 16
# Bins of p0, as [low, high): about a half, a quarter, one in twenty, one in a hundred. Below, no run is long enough.
BINS = {"0.5": (0.35, 0.65), "0.25": (0.15, 0.35), "0.05": (0.03, 0.08), "0.01": (0.005, 0.02)}
PER_BIN = 1
# Questions on which the law was developed: no part of the verdict.
DEVELOPED = {
    ("tiny-llama", "tiny-addition"): {1, 24, 27},
    ("tiny-llama", "tiny-stories"): {3, 30},
    ("tiny-qwen2", "tiny-addition"): {17, 33},
    ("tiny-qwen2", "tiny-stories"): {7, 9},
}
COORDINATES = 4096
TEST_QUESTIONS, TEST_RESPONSES, TEST_SEEDS, TEST_SAMPLES = 24, 64, 8, 32
BOOTSTRAPS = 40  # law runs behind a stated interval
MOST_ROUNDS = 3000
SCAN_KEY, MEASURE_KEY, RUN_KEY = 101, 102, 103


NAMED = ("optimizer", "step", "signal", "rollouts")


@dataclass(frozen=True)
class Condition:
    """A learner, and the bins of p0 whose questions it is run on: runs from p0 = .01 and groups of 8 take longest.

    step: over κ under sgd; the learning rate under adamw.
    """

    optimizer: Literal["sgd", "adamw"]
    step: float
    signal: str = "raw"
    rollouts: int = 1
    bins: tuple[str, ...] = ("0.5", "0.25", "0.05")

    @property
    def named(self) -> tuple[str | float | int, ...]:
        """By which a row is known, in the order of `NAMED`."""
        return (self.optimizer, self.step, self.signal, self.rollouts)


ALL = ("0.5", "0.25", "0.05", "0.01")
CONDITIONS = (
    Condition("sgd", 0.2),
    Condition("sgd", 0.7, bins=ALL),
    Condition("adamw", 1e-4),
    Condition("adamw", 3e-4, bins=ALL),
    Condition("sgd", 0.2, "grpo", 8, bins=("0.25",)),
    Condition("sgd", 0.2, "signed", 8, bins=("0.25",)),
    Condition("sgd", 0.2, "maxrl", 8, bins=("0.25",)),
)


@dataclass(frozen=True)
class Tier:
    """What a study runs."""

    models: tuple[str, ...]
    tasks: tuple[str, ...]
    conditions: tuple[Condition, ...]


TIERS = {"tiny": Tier(MODELS, TASKS, CONDITIONS)}


def choose(model: LanguageModel, task: str, folder: Path) -> dict[str, list[int]]:
    """Questions by bin of p0, from the scan, which is kept."""
    path = folder / f"scan-{model.name}-{task}.json"
    data = datasets.load(task, "train")
    if not path.exists():
        examples = [data.example(index) for index in range(SCANNED)]
        found = evaluate(model, examples, key=SCAN_KEY, max_tokens=MAX_TOKENS, samples=SCAN_SAMPLES, batch=512)
        write_atomically(path, to_json({"successes": [int(right) for right in found.per_question]}))
    p0 = np.array(read_json(path)["successes"]) / SCAN_SAMPLES
    free = [index for index in range(SCANNED) if index not in DEVELOPED.get((model.name, task), ())]
    return {name: [index for index in free if low <= p0[index] < high][:PER_BIN] for name, (low, high) in BINS.items()}
