"""Rewards of bandit_rft's own runs, and the same rewards as each trainer would have written them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from bandit_rft import arms, learners, run, verifiers

ROUNDS, ROLLOUTS, SIGNAL = 80, 32, "mean_baseline"
PROMPTS = (0.02, 0.05, 0.1, 0.3, 0.6, 0.8, 0.01, 0.2)


def within(seeds: int, key: int = 5) -> np.ndarray:
    """float [S, T, G]: softmax policy gradient on one correct arm of 10^100, where the law is exact."""
    learner = learners.SoftmaxPolicyGradient(step_size=0.3, signal=SIGNAL, rollouts=ROLLOUTS)
    return _rewards(arms.Needle(log10_arms=100, p0=0.15), learner, seeds, key)


def noisy(seeds: int, key: int = 5) -> np.ndarray:
    """The same with a verifier that refuses a quarter of the right responses."""
    learner = learners.SoftmaxPolicyGradient(step_size=0.5, signal=SIGNAL, rollouts=ROLLOUTS)
    return _rewards(arms.Noisy(arms.Needle(log10_arms=100, p0=0.15), true_positive=0.75), learner, seeds, key)


def falling(seeds: int, key: int = 5) -> np.ndarray:
    """Four tokens must all be right, each with logits of its own: kappa falls to about a tenth as they are learnt."""
    table = arms.TokenSequences(50_000, 4, verifiers.Needle((1, 2, 3, 4)), p0=0.1)
    learner = learners.SoftmaxPolicyGradient(step_size=1.0, signal=SIGNAL, rollouts=2 * ROLLOUTS)
    return _rewards(table, learner, seeds, key)


def spread(seeds: int, key: int = 5) -> np.ndarray:
    """Eight prompts with logits of their own that start from different p0; the responses of a round side by side."""
    table = arms.Contexts(50_000, 1, [verifiers.AnswerToken(place) for place in range(8)], batch="all", p0=PROMPTS)
    learner = learners.SoftmaxPolicyGradient(step_size=8.0, signal=SIGNAL, rollouts=ROLLOUTS)
    return _rewards(table, learner, seeds, key)


def _rewards(table, learner, seeds: int, key: int) -> np.ndarray:
    found = np.asarray(run(table, learner, rounds=ROUNDS, seeds=seeds, key=key).rewards, np.float64)
    return found.reshape(seeds, ROUNDS, -1)


def dead_share(rewards: np.ndarray, prompts: int) -> np.ndarray:
    """float [T], share of groups whose rewards [T, B × G] are all equal."""
    groups = rewards.reshape(len(rewards), prompts, -1).mean(axis=2)
    return np.mean((groups == 0) | (groups == 1), axis=1)


def trl(means: np.ndarray, path: Path, dead: np.ndarray | None = None) -> Path:
    """trainer_state.json."""
    history = [
        {"step": step, "reward": float(np.float32(mean)), "reward_std": 0.3, "learning_rate": 1e-6, "epoch": 0.1}
        for step, mean in enumerate(means, start=1)
    ]
    for record, share in zip(history, [] if dead is None else dead, strict=dead is not None):
        record["frac_reward_zero_std"] = float(share)
    history.append({"step": len(means), "train_runtime": 3.0, "train_loss": 0.1})
    path.write_text(json.dumps({"best_metric": None, "global_step": len(means), "log_history": history}))
    return path


def verl_console(means: np.ndarray, path: Path) -> Path:
    """Console output with other lines between, and validation alone at step 0."""
    lines = ["\x1b[36m(TaskRunner pid=7)\x1b[0m step:0 - val-core/gsm8k/acc/mean@1:0.1", "Training Progress:   1%|"]
    for step, mean in enumerate(means, start=1):
        lines.append(
            f"\x1b[36m(TaskRunner pid=7)\x1b[0m step:{step} - actor/pg_loss:-0.012 - actor/lr:1e-06 - "
            f"critic/score/mean:{float(mean)!r} - critic/score/max:1.0 - "
            f"critic/rewards/mean:np.float64({float(mean)!r}) - perf/mfu/actor:0.3"
        )
        lines.append("WARNING: step: nothing to see")
    path.write_text("\n".join(lines))
    return path


def verl_lines(means: np.ndarray, path: Path) -> Path:
    """The file logger's JSON lines."""
    path.write_text(
        "".join(
            json.dumps({"step": step, "data": {"critic/score/mean": mean, "actor/lr": 1e-6}}) + "\n"
            for step, mean in enumerate(means.tolist(), start=1)
        )
    )
    return path


def tunix_lines(means: np.ndarray, path: Path) -> Path:
    """JSON lines of the names that its metrics logger gives."""
    path.write_text(
        "".join(
            json.dumps({"step": step, "global/train/rewards/overall": mean, "global/eval/rewards/overall": 0.5}) + "\n"
            for step, mean in enumerate(means.tolist())
        )
    )
    return path


def wandb_csv(means: np.ndarray, path: Path) -> Path:
    """A chart's export by Weights & Biases."""
    lines = ['"Step","run 1 - train/reward","run 1 - train/reward__MIN","run 1 - train/reward__MAX"']
    lines += [f'"{step}","{mean}","{mean}","{mean}"' for step, mean in enumerate(means.tolist())]
    path.write_text("\n".join(lines) + "\n")
    return path


def tensorboard(means: np.ndarray, path: Path) -> Path:
    """A folder with an event file, by tensorboardX."""
    from tensorboardX import SummaryWriter

    with SummaryWriter(str(path)) as writer:
        for step, mean in enumerate(means.tolist()):
            writer.add_scalar("train/rewards/overall", mean, step)
            writer.add_scalar("eval/rewards/overall", 0.5, step)
    return path


def two_arms(
    p0: float, gain: float, group: int, prompts: int, rounds: int, runs: int, filtered: bool = False
) -> np.ndarray:
    """int [R, T, B], right responses of each group: GRPO on a softmax of two arms, written without the package."""
    generator = np.random.default_rng(0)
    logit, found = np.full((runs, 1), np.log(p0 / (1 - p0))), []
    for _ in range(rounds):
        chance = 1 / (1 + np.exp(-logit))
        right = generator.binomial(group, chance, (runs, prompts))
        while filtered and np.any(dead := (right == 0) | (right == group)):
            right = np.where(dead, generator.binomial(group, chance, (runs, prompts)), right)
        found.append(right)
        mean = right / group
        spread = np.sqrt(mean * (1 - mean) * group / (group - 1)) + 1e-6
        up, down = mean * (1 - mean) / spread, -(1 - mean) * mean / spread
        logit = logit + gain * np.mean(up * (1 - chance) + down * (0 - chance), axis=1, keepdims=True)
    return np.stack(found, axis=1)
