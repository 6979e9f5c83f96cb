"""Run folders as the commands leave them, made without a model."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from bandit_rft import arms, learners, run, theory
from bandit_rft.runs import EVALUATIONS, HISTORY, LINES, RESPONSES, RunFolder, to_line
from bandit_rft.runs.reading import round_record
from bandit_rft.runs.rollouts import responses_record

SEEDS, ROUNDS = 5, 40  # of `fine_tuned_seeds`

FINETUNE: dict[str, Any] = {
    "command": "finetune",
    "seeds": 1,
    "model": "toy",
    "data": "arithmetic",
    "index": 3,
    "optimizer": "sgd",
    "signal": "raw",
    "rollouts": 1,
    "epochs": 1,
    "aggregation": "seq-mean-token-sum",
    "kl_coefficient": 0.0,
    "gradient_clip": None,
    "key": 0,
}


def evaluation(round: int, measured: str, successes: int, samples: int, seed: int | None = None) -> dict[str, Any]:
    share = successes / samples
    return {
        "round": round, "measured": measured, "seed": seed, "pass_at_1": share,
        "low": max(share - 0.1, 0.0), "high": min(share + 0.1, 1.0),
        "successes": successes, "samples": samples, "questions": 1 if measured == "train" else samples,
    }  # fmt: skip


def write_rounds(path: Path, rewards: np.ndarray, metrics: dict[str, np.ndarray]) -> None:
    """history.jsonl and responses.jsonl of rewards [S, T, G] and metrics [S, T]; the responses say where they stand."""
    seeds, rounds, rollouts = rewards.shape
    history, responses = [], []
    for t in range(rounds):
        own = rewards[:, t].tolist()
        history.append(round_record(t, own, {name: values[:, t] for name, values in metrics.items()}))
        texts = [[f"text {t}.{s}.{g}" for g in range(rollouts)] for s in range(seeds)]
        tokens, truncated = [[6] * rollouts] * seeds, [[False] * rollouts] * seeds
        responses.append(responses_record(t, rewards=own, texts=texts, tokens=tokens, truncated=truncated))
    (path / LINES).write_text("".join(map(to_line, history)))
    (path / RESPONSES).write_text("".join(map(to_line, responses)))


def simulated(path: Path, log10_arms: float, rounds: int = 40) -> Path:
    config = {
        "command": "simulate", "name": path.name, "key": 0, "rounds": rounds, "seeds": 8,
        "arms": {"type": "Needle", "log10_arms": log10_arms, "p0": 0.1},
        "learner": {"type": "SoftmaxPolicyGradient", "step_size": 0.5},
    }  # fmt: skip
    history = run(arms.Needle(log10_arms, p0=0.1), learners.SoftmaxPolicyGradient(0.5), rounds, seeds=8)
    with RunFolder.claim(path, config) as folder:
        history.save(folder.path / HISTORY)
        folder.write_manifest(key=0)
    return path


def fine_tuned(path: Path, *, rounds: int = 60, kappa: float | None = 2.0, **changes: Any) -> Path:
    """A folder as `bandit-rft finetune` leaves it, its rewards drawn from a jump chain of p0 = .2 and gain .5."""
    config = {**FINETUNE, "rounds": rounds, **changes}
    generator = np.random.default_rng(0)
    law = theory.pg_jump_single(0.2, 0.25, rounds, kappa=2.0).law
    assert law is not None
    logits, successes, rewards = law.logits(rounds + 1), 0, []
    for _ in range(rounds):
        rewards.append(float(generator.random() < 1 / (1 + math.exp(-logits[successes]))))
        successes += int(rewards[-1])
    with RunFolder.claim(path, config) as folder:
        write_rounds(path, np.asarray(rewards)[None, :, None], {"loss": np.zeros((1, rounds))})
        records = [evaluation(0, "train", 13, 64), evaluation(0, "test", 10, 100)]
        records += [evaluation(rounds, "train", 60, 64, 0), evaluation(rounds, "test", 14, 100, 0)]
        (path / EVALUATIONS).write_text("".join(map(to_line, records)))
        measured = None if kappa is None else {"kappa": kappa, "p0": 0.2, "successes": 13, "rollouts": 64}
        folder.resolve(learning_rate=0.25, **({} if measured is None else {"measurement": measured}))
        folder.write_manifest(key=0)
    return path


def fine_tuned_seeds(path: Path, *, done: int = ROUNDS, evaluated: tuple[int, ...] = (20, 40), **changes: Any) -> Path:
    """A folder as `finetune --seeds` leaves it: rewards of seed s with probability (s + 1) / 8."""
    config = {**FINETUNE, "rounds": ROUNDS, "seeds": SEEDS, **changes}
    rng = np.random.default_rng(0)
    rewards = (rng.random((SEEDS, done, 1)) < np.arange(1, SEEDS + 1)[:, None, None] / 8).astype(float)
    metrics = {
        "gradient_norm": rng.random((SEEDS, done)) + 3,
        "kl": np.full((SEEDS, done), np.nan),
        "signal_mean": rewards[:, :, 0] - 0.25,
        "sampler_trainer_gap": np.where(rewards[:, :, 0] > 0, rng.random((SEEDS, done)), np.nan),
        "learning_rate": np.full((SEEDS, done), 0.25),
    }
    records = [evaluation(0, name, 13, 64) for name in ("train", "test")]
    for place in evaluated:
        for name in ("train", "test"):
            records += [evaluation(place, name, 10 + 5 * seed, 64, seed) for seed in range(SEEDS)]
    with RunFolder.claim(path, config) as folder:
        write_rounds(path, rewards, metrics)
        (path / EVALUATIONS).write_text("".join(map(to_line, records)))
        measured = {"kappa": 2.0, "p0": 0.2, "successes": 13, "rollouts": 64}
        folder.resolve(learning_rate=0.25, measurement=measured)
        folder.write_manifest(key=0)
    return path
