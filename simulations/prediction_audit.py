"""Held against real runs: the half-time that each law predicts before a fine-tuning run, and the one that is measured.

    bandit-rft simulate prediction-audit --set tier=tiny --out runs/prediction-audit

Questions are drawn by a rule that was written before any run of them: every question of the first `SCANNED` training
questions of a task is measured with `SCAN_SAMPLES` responses; in each bin of p0 the first `PER_BIN` questions in order
are taken, without those on which the law was developed (`DEVELOPED`). Each is then measured anew, from fresh responses,
and every condition of `CONDITIONS` is run on it, with seeds that none of the measurements used.

The half-time is the round at which the mean reward over seeds, made monotone (isotonic regression), is at one half; and
at three quarters where the question starts too near one half for that to test a law. Its interval is a bootstrap over
seeds. The stated 80% interval of the tree law is that of the same estimator on runs drawn from the law, each from a
tree of resampled responses: what 16 seeds would show if the law held.
"""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from scipy.optimize import isotonic_regression

import bandit_rft
from bandit_rft import theory
from bandit_rft.errors import InputError
from bandit_rft.keys import as_key
from bandit_rft.runs import read_json, read_lines, to_json, to_line, write_atomically
from bandit_rft.theory import compared
from llm_bridge import FineTune, load_model
from llm_bridge.bandits.question_arms import verifier_of
from llm_bridge.bandits.token_arms import TokenPromptArms
from llm_bridge.data import datasets
from llm_bridge.language_model import LanguageModel
from llm_bridge.measuring.evaluate import evaluate
from llm_bridge.measuring.measure import Measurement, measure

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
BOOTSTRAPS = 40  # law runs behind a stated interval
MOST_ROUNDS = 3000
SCAN_KEY, MEASURE_KEY, RUN_KEY = 101, 102, 103


@dataclass(frozen=True)
class Condition:
    """A learner. step: over κ under sgd; the learning rate under adamw."""

    optimizer: str
    step: float
    signal: str = "raw"
    rollouts: int = 1


CONDITIONS = (
    Condition("sgd", 0.2),
    Condition("sgd", 0.7),
    Condition("adamw", 1e-4),
    Condition("adamw", 3e-4),
    Condition("sgd", 0.2, "grpo", 8),
    Condition("sgd", 0.2, "signed", 8),
)


def half_time(rewards: np.ndarray, level: float) -> float:
    """The round at which the mean reward over seeds, made monotone, is at the level; inf where it is never.

    Args:
        rewards: [S, T, G].
        level: of Pass@1.
    """
    curve = isotonic_regression(rewards.mean(axis=(0, 2))).x
    reached = np.flatnonzero(curve >= level)
    return float(reached[0]) if reached.size else math.inf


def interval(rewards: np.ndarray, level: float, draws: int = 400) -> tuple[float, float]:
    """95%, by a bootstrap over seeds."""
    generator = np.random.default_rng(0)
    seeds = rewards.shape[0]
    found = [half_time(rewards[generator.integers(0, seeds, seeds)], level) for _ in range(draws)]
    low, high = np.quantile(found, [0.025, 0.975], method="inverted_cdf")
    return float(low), float(high)


def level_of(p0: float) -> float:
    """Of Pass@1: one half, and three quarters from where one half is too near."""
    return 0.5 if p0 < 0.35 else 0.75


def _prediction(summary: theory.Summary, condition: Condition, step: float, rounds: int) -> theory.Prediction:
    return theory.predict(
        summary,
        step_size=step,
        rounds=rounds,
        signal=condition.signal,
        rollouts=condition.rollouts,
        eps=1e-6,
        optimizer="adam" if condition.optimizer == "adamw" else "sgd",
    )


def predicted(summary: theory.Summary, condition: Condition, step: float, level: float) -> dict[str, float | None]:
    """By law, rounds until the mean curve is at the level; None where a law does not apply."""
    found: dict[str, float | None] = dict.fromkeys(compared.LAWS)
    if condition.optimizer == "sgd":
        found |= theory.times_to(
            summary, step_size=step, level=level, signal=condition.signal, rollouts=condition.rollouts, eps=1e-6
        )
    else:
        law: Any = _prediction(summary, condition, step, 1).law
        found["tree"] = compared.mean_curve_time(law, level)
        found["one_over_p0"] = 1 / summary.p0
    return {name: None if value is None or math.isinf(value) else value for name, value in found.items()}


def stated(measured: Measurement, condition: Condition, step: float, level: float, rounds: int) -> tuple[float, float]:
    """The tree law's 80% interval of the half-time that so many seeds show, measurement and seeds both uncertain."""
    assert measured.tree is not None
    generator = np.random.default_rng(RUN_KEY)
    found = []
    at = np.arange(rounds)
    while len(found) < BOOTSTRAPS:
        try:
            tree = measured.tree.sample.resampled(generator)
            summary = dataclasses.replace(measured.summary(), tree=dataclasses.replace(tree, counted=math.nan))
        except InputError:  # a draw without a decision
            tree = None
        if tree is None or not tree.p0 > 0:  # nothing right was drawn: by that sample, it is never learnt
            found.append(math.inf)
            continue
        law: Any = _prediction(summary, condition, step, 1).law
        drawn = law.sample(generator, SEEDS, at).total_reward
        rewards = np.diff(drawn, axis=1, prepend=0.0)
        found.append(half_time(rewards[:, :, None], level))
    low, high = np.quantile(found, [0.1, 0.9], method="inverted_cdf")
    return float(low), float(high)


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


def row(
    model: LanguageModel, task: str, question: int, condition: Condition, measured: Measurement, seconds: float
) -> dict[str, Any]:
    """Predict, run, and measure one condition on one question."""
    example = datasets.load(task, "train").example(question)
    summary = measured.summary()
    tree = summary.tree
    assert tree is not None
    tree.refuse()
    step = condition.step / tree.kappa if condition.optimizer == "sgd" else condition.step
    level = level_of(tree.p0)
    start = time.monotonic()
    said = predicted(summary, condition, step, level)
    law_seconds = time.monotonic() - start
    longest = max([value for name, value in said.items() if value is not None and name in ("tree", "h_decision_chain")])
    rounds = min(MOST_ROUNDS, max(40, math.ceil(2.2 * longest)))
    learner = FineTune(
        model,
        signal=condition.signal,
        rollouts=condition.rollouts,
        learning_rate=step,
        optimizer=condition.optimizer,
        max_tokens=MAX_TOKENS,
        kl_coefficient=0.0,
        gradient_clip=None,
        weight_decay=0.0,
    )
    arms = TokenPromptArms(model, example.prompt, example.answer)
    start = time.monotonic()
    rewards = bandit_rft.run(arms, learner, rounds, seeds=SEEDS, key=RUN_KEY + question).rewards
    took = time.monotonic() - start
    found = half_time(rewards, level)
    low, high = interval(rewards, level)
    band = stated(measured, condition, step, level, 2 * rounds)
    return {
        "tier": "tiny",
        "model": model.name,
        "task": task,
        "question": question,
        "optimizer": condition.optimizer,
        "signal": condition.signal,
        "rollouts": condition.rollouts,
        "step": condition.step,
        "step_size": step,
        "p0": tree.p0,
        "p0_counted": tree.counted,
        "kappa": tree.kappa,
        "decisions": tree.decisions,
        "level": level,
        "measured_half_time": found if math.isfinite(found) else None,
        "interval": [low if math.isfinite(low) else None, high if math.isfinite(high) else None],
        "successes_at_half_time": float(rewards[:, : int(found)].sum() / SEEDS) if math.isfinite(found) else None,
        "predicted": said,
        "tree_interval_80": [value if math.isfinite(value) else None for value in band],
        "rounds": rounds,
        "run_seconds": took,
        "measure_seconds": seconds,
        "law_seconds": law_seconds,
    }


def audit(
    out: Path,
    *,
    models: Sequence[str] = MODELS,
    tasks: Sequence[str] = TASKS,
    conditions: Sequence[Condition] = CONDITIONS,
    progress: Callable[[int, int, dict[str, Any]], None] = lambda done, total, row: None,
) -> list[dict[str, Any]]:
    """All rows; those that the folder holds already are not run again.

    Args:
        out: folder, where rows.jsonl grows a line at a time.
        models, tasks, conditions: those of the tier.
        progress: told (rows done, all, the row).
    """
    out.mkdir(parents=True, exist_ok=True)
    path = out / "rows.jsonl"
    rows = [dict(record) for record in read_lines(path)] if path.exists() else []
    named = ("model", "task", "question", "optimizer", "step", "signal", "rollouts")
    done = {tuple(record[name] for name in named) for record in rows}
    loaded = {name: load_model(name) for name in models}
    asked = [
        (name, task, question, condition)
        for condition in conditions
        for name in models
        for task in tasks
        for question in _questions(loaded[name], task, out)
    ]
    kept: dict[tuple[str, str, int], tuple[Measurement, float]] = {}
    for name, task, question, condition in asked:
        if (name, task, question, *dataclasses.astuple(condition)) in done:
            continue
        if (name, task, question) not in kept:
            start = time.monotonic()
            measured = _measured(loaded[name], task, question)
            kept[name, task, question] = measured, time.monotonic() - start
        try:
            rows.append(row(loaded[name], task, question, condition, *kept[name, task, question]))
        except InputError as refused:  # no success in the measurement, or too little of the policy in the tree
            rows.append(_refused(name, task, question, condition, str(refused)))
        with path.open("a") as file:
            file.write(to_line(rows[-1]))
        progress(len(rows), len(asked), rows[-1])
    return rows


def _questions(model: LanguageModel, task: str, out: Path) -> list[int]:
    return sorted({index for some in choose(model, task, out).values() for index in some})


def _measured(model: LanguageModel, task: str, question: int) -> Measurement:
    """p0, kappa and the tree; without the scores themselves, which are large and needed for transfer alone."""
    example = datasets.load(task, "train").example(question)
    found = measure(
        model,
        example.prompt,
        verifier_of(None, example),
        key=jax.random.fold_in(as_key(MEASURE_KEY), question),
        max_tokens=MAX_TOKENS,
        rollouts=RESPONSES,
        batch=64,
        standard_error=False,
        tree=True,
        coordinates=COORDINATES,
    )
    assert found.tree is not None
    return dataclasses.replace(found, tree=dataclasses.replace(found.tree, features=np.empty((0, 0), np.float32)))


def _refused(model: str, task: str, question: int, condition: Condition, why: str) -> dict[str, Any]:
    return {
        "tier": "tiny",
        "model": model,
        "task": task,
        "question": question,
        **dataclasses.asdict(condition),
        "refused": why,
    }


def ratios(rows: Sequence[dict[str, Any]], law: str) -> np.ndarray:
    """log2 (predicted over measured), of rows that have both."""
    pairs = [
        (record["predicted"][law], record["measured_half_time"])
        for record in rows
        if "refused" not in record and record["predicted"].get(law) and record["measured_half_time"]
    ]
    return np.array([math.log2(said / seen) for said, seen in pairs])


def regimes(rows: Sequence[dict[str, Any]]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """(name, rows) of each regime that the summary tells apart."""
    kept = [record for record in rows if "refused" not in record]
    tests = [record for record in kept if (record["successes_at_half_time"] or 0) >= 5]
    yield "sgd, raw", [r for r in tests if (r["optimizer"], r["signal"]) == ("sgd", "raw")]
    yield "sgd, groups of 8", [r for r in tests if r["optimizer"] == "sgd" and r["signal"] != "raw"]
    yield "adamw, raw", [r for r in tests if r["optimizer"] == "adamw"]
    yield "fewer than 5 successes", [r for r in kept if r not in tests]


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown: by regime and law, the median |log2 ratio|, the bias, and how many are within 25%."""
    lines = [
        "| regime | law | rows | median abs log2 | bias (mean log2) | within 25% |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, some in regimes(rows):
        for law in compared.LAWS:
            found = ratios(some, law)
            if found.size:
                within = int((np.abs(found) <= math.log2(1.25)).sum())
                lines.append(
                    f"| {name} | {law} | {found.size} | {np.median(np.abs(found)):.2f} | {found.mean():+.2f} | "
                    f"{within} of {found.size} |"
                )
    return "\n".join(lines)


def covered(rows: Sequence[dict[str, Any]]) -> tuple[int, int]:
    """(rows whose measured half-time lies in the tree law's 80% interval, rows)."""
    pairs = [
        (record["tree_interval_80"], record["measured_half_time"])
        for record in rows
        if "refused" not in record and record["measured_half_time"]
    ]
    inside = sum((low or math.inf) <= seen <= (high or math.inf) for (low, high), seen in pairs)
    return inside, len(pairs)


def write(out: Path, rows: Sequence[dict[str, Any]]) -> None:
    """prediction-audit.json beside the rows."""
    write_atomically(out / "prediction-audit.json", json.dumps({"rows": list(rows)}, indent=1) + "\n")
