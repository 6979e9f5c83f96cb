"""What the prediction audit runs, written before any of its runs: tiers, conditions, and how questions are drawn."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bandit_rft.runs import read_json, to_json, write_atomically
from llm_bridge.bandits.question_arms import PromptArms, QuestionArms, verifier_of
from llm_bridge.bandits.token_arms import TokenPromptArms, TokenQuestionArms, speaks_tiny
from llm_bridge.data import datasets
from llm_bridge.data.datasets import Example
from llm_bridge.language_model import LanguageModel
from llm_bridge.measuring.evaluate import evaluate

# Bins of p0, as [low, high): about a half, a quarter, one in twenty, one in a hundred. Below, no run is long enough.
BINS = {"0.5": (0.35, 0.65), "0.25": (0.15, 0.35), "0.05": (0.03, 0.08), "0.01": (0.005, 0.02)}
# Questions on which the law was developed: no part of the verdict.
DEVELOPED = {
    ("tiny-llama", "tiny-addition"): {1, 24, 27},
    ("tiny-llama", "tiny-stories"): {3, 30},
    ("tiny-qwen2", "tiny-addition"): {17, 33},
    ("tiny-qwen2", "tiny-stories"): {7, 9},
}
COORDINATES = 4096
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


def named(tier: Tier, model: LanguageModel, task: str, question: int, condition: Condition) -> dict[str, Any]:
    """What a record is known by."""
    row = {"tier": tier.name, "model": model.name, "task": task, "question": question}
    return row | dict(zip(NAMED, condition.named, strict=True))


def run_key(model: str, task: str, question: int, condition: Condition) -> int:
    """The key of a row's run: no two rows share one, so that their chances are independent."""
    return RUN_KEY + zlib.crc32(f"{model}, {task}, {question}, {condition.named}".encode())


@dataclass(frozen=True, kw_only=True)
class Tests:
    """How the test curve is predicted and measured: test questions, responses to each behind its tree, seeds of the
    run, and responses to each question behind a measured Pass@1."""

    questions: int
    responses: int
    seeds: int
    samples: int


@dataclass(frozen=True, kw_only=True)
class Tier:
    """What a study runs, on which models, and with how many draws.

    Attributes:
        models, tasks, conditions: what is crossed.
        max_tokens: longest response.
        scanned, scan_samples: training questions that are looked at, and responses to each, to fill the bins.
        per_bin: questions of each bin, the first ones.
        responses: behind each measurement.
        seeds: of each run.
        batch: responses sampled together, to bound memory.
        tests: of the test curves; None: there are none.
    """

    name: str
    models: tuple[str, ...]
    tasks: tuple[str, ...]
    conditions: tuple[Condition, ...]
    max_tokens: int
    scanned: int
    scan_samples: int
    responses: int
    seeds: int
    batch: int
    per_bin: int = 1
    tests: Tests | None = None


ALL = ("0.5", "0.25", "0.05", "0.01")
TINY = Tier(
    name="tiny",
    models=("tiny-llama", "tiny-qwen2", "tiny-olmo2"),
    tasks=("tiny-addition", "tiny-stories"),
    conditions=(
        Condition("sgd", 0.2),
        Condition("sgd", 0.7, bins=ALL),
        Condition("adamw", 1e-4),
        Condition("adamw", 3e-4, bins=ALL),
        Condition("sgd", 0.2, "grpo", 8, bins=("0.25",)),
        Condition("sgd", 0.2, "signed", 8, bins=("0.25",)),
        Condition("sgd", 0.2, "maxrl", 8, bins=("0.25",)),
    ),
    max_tokens=32,
    scanned=64,
    scan_samples=128,
    responses=256,
    seeds=16,
    batch=512,
    tests=Tests(questions=24, responses=64, seeds=8, samples=32),
)
# A real model: few seeds, and steps at which a run takes minutes. The first design had one question of each of three
# bins. No question that was scanned has p0 above .13, so that it had one row, which was refused by a comparison with a
# noisy count (6 of 128); no run had been made when it was changed to three questions of the bin that exists.
SMALL = Tier(
    name="small",
    models=("smollm2-135m",),
    tasks=("arithmetic",),
    conditions=(Condition("sgd", 0.7, bins=("0.05",)), Condition("adamw", 1e-5, bins=("0.05",))),
    max_tokens=24,
    scanned=32,
    scan_samples=64,
    responses=128,
    seeds=4,
    batch=32,
    per_bin=3,
)
TIERS = {tier.name: tier for tier in (TINY, SMALL)}


def choose(tier: Tier, model: LanguageModel, task: str, folder: Path) -> dict[str, list[int]]:
    """Questions by bin of p0, from the scan, which is kept."""
    path = folder / f"scan-{model.name}-{task}.json"
    data = datasets.load(task, "train")
    if not path.exists():
        examples = [data.example(index) for index in range(tier.scanned)]
        found = evaluate(
            model,
            examples,
            key=SCAN_KEY,
            max_tokens=tier.max_tokens,
            samples=tier.scan_samples,
            batch=tier.batch,
        )
        write_atomically(path, to_json({"successes": [int(right) for right in found.per_question]}))
    p0 = np.array(read_json(path)["successes"]) / tier.scan_samples
    free = [index for index in range(tier.scanned) if index not in DEVELOPED.get((model.name, task), ())]
    return {
        name: [index for index in free if low <= p0[index] < high][: tier.per_bin] for name, (low, high) in BINS.items()
    }


def arms_of(model: LanguageModel, example: Example) -> TokenQuestionArms | QuestionArms:
    """The responses to one question: rewarded on the device where the model's tokens are read there."""
    if speaks_tiny(model):
        return TokenPromptArms(model, example.prompt, example.answer)
    return PromptArms(model, example.prompt, verifier_of(None, example))
