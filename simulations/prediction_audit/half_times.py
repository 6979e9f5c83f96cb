"""One condition on one question: predicted, run with many seeds, and measured."""

from __future__ import annotations

import dataclasses
import math
import time
from typing import Any

import numpy as np
from scipy.optimize import isotonic_regression

import bandit_rft
from bandit_rft import theory
from bandit_rft.loop import Progress
from bandit_rft.theory import compared
from llm_bridge import FineTune
from llm_bridge.data import datasets
from llm_bridge.language_model import LanguageModel
from llm_bridge.measuring.measure import Measurement
from simulations.prediction_audit.design import BOOTSTRAPS, MOST_ROUNDS, RUN_KEY, Condition, Tier, arms_of, run_key

LATE = 0.75  # of Pass@1, where one half is too near or comes too soon
FEW = 5  # successes of a seed, below which a half-time tests no law
BATCHES = 128  # of seeds drawn from the law itself


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
    return 0.5 if p0 < 0.35 else LATE


def level_of_row(summary: theory.Summary, condition: Condition, step: float) -> float:
    """`level_of`, and three quarters too where the tree law expects so few successes before one half that this tests no
    law. Nothing that a run shows enters: lucky runs would be held at another level than unlucky ones.
    """
    level = level_of(summary.p0 if summary.tree is None else summary.tree.p0)
    until = predicted(summary, condition, step, level)["tree"]
    if level == LATE or until is None:
        return level
    value = _prediction(summary, condition, step, max(1, math.ceil(until))).value
    return LATE if condition.rollouts * value[: int(until)].sum() < FEW else level


def successes(rewards: np.ndarray, time: float) -> float:
    """How many a seed had before that round; NaN where there is none. Rewards [S, T, G]."""
    return float(rewards[:, : int(time)].sum() / rewards.shape[0]) if math.isfinite(time) else math.nan


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


def stated(
    measured: Measurement, condition: Condition, step: float, level: float, rounds: int, seeds: int
) -> tuple[float, float]:
    """The tree law's 80% interval of the half-time that so many seeds show, measurement and seeds both uncertain."""
    assert measured.tree is not None
    generator = np.random.default_rng(RUN_KEY)
    found = []
    at = np.arange(rounds)
    while len(found) < BOOTSTRAPS:
        tree = measured.tree.sample.resampled(generator)
        if tree is None or not tree.p0 > 0:  # nothing right was drawn: by that sample, it is never learnt
            found.append(math.inf)
            continue
        summary = dataclasses.replace(measured.summary(), tree=dataclasses.replace(tree, counted=math.nan, pruned=0.0))
        law: Any = _prediction(summary, condition, step, 1).law
        drawn = law.sample(generator, seeds, at).total_reward
        rewards = np.diff(drawn, axis=1, prepend=0.0)
        found.append(half_time(rewards[:, :, None], level))
    low, high = np.quantile(found, [0.1, 0.9], method="inverted_cdf")
    return float(low), float(high)


def shown_by_itself(law: Any, said: float, level: float, rounds: int, seeds: int) -> float | None:
    """Mean log2 of the predicted half-time over the one that so many seeds show, in runs drawn from the law itself.

    It is not 0, and the bias of a law that is right: a mean over few seeds is at the level, by chance, somewhat before
    its expectation is, and a half-time is a whole number. None where no batch of seeds has a half-time above 0.
    """
    drawn = law.sample(np.random.default_rng(RUN_KEY), BATCHES * seeds, np.arange(rounds)).total_reward
    rewards = np.diff(drawn, axis=1, prepend=0.0)[:, :, None]
    times = np.array([half_time(part, level) for part in np.split(rewards, BATCHES)])
    times = times[(times > 0) & np.isfinite(times)]
    return float(np.log2(said / times).mean()) if times.size else None


def learner_of(tier: Tier, model: LanguageModel, condition: Condition, step: float) -> FineTune:
    """The minimalist learner: nothing but the signal and the optimiser's step."""
    return FineTune(
        model,
        signal=condition.signal,
        rollouts=condition.rollouts,
        learning_rate=step,
        optimizer=condition.optimizer,
        max_tokens=tier.max_tokens,
        kl_coefficient=0.0,
        gradient_clip=None,
        weight_decay=0.0,
    )


def foretold(
    measured: Measurement, condition: Condition, step: float, level: float, rounds: int, seeds: int
) -> dict[str, Any]:
    """What the laws say of a row whose run is of so many rounds: its fields `predicted`, `tree_interval_80` and
    `tree_shows`, the bias (`shown_by_itself`) that its half-time has where the tree law is right.
    """
    low, high = stated(measured, condition, step, level, 2 * rounds, seeds)
    summary = measured.summary()
    said = predicted(summary, condition, step, level)
    law, time = _prediction(summary, condition, step, 1).law, said["tree"]
    return {
        "predicted": said,
        "tree_interval_80": [value if math.isfinite(value) else None for value in (low, high)],
        "tree_shows": None if not time else shown_by_itself(law, time, level, rounds, seeds),
    }


def row(
    tier: Tier,
    model: LanguageModel,
    task: str,
    question: int,
    condition: Condition,
    measured: Measurement,
    seconds: float | None,
    *,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Predict, run, and measure one condition on one question.

    The field "right" holds how many of each seed's responses of a round were right, [S, T].

    seconds: that the measurement took; None where it went on after it had been killed.
    progress: of the run, as `bandit_rft.run` takes it.
    """
    example = datasets.load(task, "train").example(question)
    summary = measured.summary()
    tree = summary.tree
    assert tree is not None
    tree.refuse()
    step = condition.step / tree.kappa if condition.optimizer == "sgd" else condition.step
    start = time.monotonic()
    level = level_of_row(summary, condition, step)
    said = predicted(summary, condition, step, level)
    law_seconds = time.monotonic() - start
    times = [said.get(name) for name in ("tree", "h_decision_chain")]
    longest = max((time for time in times if time is not None), default=MOST_ROUNDS)
    rounds = min(MOST_ROUNDS, max(40, math.ceil(2.2 * longest)))
    learner, arms = learner_of(tier, model, condition, step), arms_of(model, example)
    key = run_key(model.name, task, question, condition)
    start = time.monotonic()
    rewards = bandit_rft.run(arms, learner, rounds, seeds=tier.seeds, key=key, progress=progress).rewards
    took, found = time.monotonic() - start, half_time(rewards, level)
    low, high = interval(rewards, level)
    return {
        "tier": tier.name,
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
        "successes_at_half_time": successes(rewards, found) if math.isfinite(found) else None,
        **foretold(measured, condition, step, level, rounds, tier.seeds),
        "rounds": rounds,
        "key": key,
        "run_seconds": took,
        "measure_seconds": seconds,
        "law_seconds": law_seconds,
        "right": rewards.sum(axis=2).astype(int).tolist(),
    }
