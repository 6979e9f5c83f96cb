"""Audit of the identities of a verifiable reward (F8 to F10): pass@k, entropy, the norm of the gradient."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.stats import binom

from bandit_rft import arms, learners, run
from simulations.theory_audit.case import Case, Measured, exact, of_seeds
from simulations.theory_audit.explicit_groups import softmax, symmetric_policy

PROBABILITIES = (0.03, 0.1, 0.3, 0.5, 0.8)

KS = (1, 2, 4, 8, 16)


def _any_of_first(key: int) -> Measured:
    history = run(
        arms.Needle(log10_arms=6, p0=0.07),
        learners.SoftmaxPolicyGradient(step_size=0.1, rollouts=16),
        rounds=1,
        seeds=3000,
        key=key,
    )
    return of_seeds(np.stack([history.rewards[:, 0, :k].max(axis=1) for k in KS], axis=1))


def _subset_share(samples: int, correct: int, k: int) -> float:
    found = [any(i < correct for i in subset) for subset in itertools.combinations(range(samples), k)]
    return float(np.mean(found))


def _mixed_questions(key: int) -> Measured:
    generator = np.random.default_rng(key)
    p = generator.beta(0.2, 0.6, size=20_000)
    return of_seeds(np.stack([generator.random((p.size, 16))[:, :k].min(axis=1) < p for k in KS], axis=1))


def _from_copies(key: int) -> Measured:
    """pass@k of independent draws at p = .1: what samples in identical pairs are to estimate."""
    del key
    return exact([1 - 0.9**k for k in (2, 4, 8)])


PASS_CASES = (
    Case(
        entry="pass_at_k",
        instance="first k of 16 real pulls of a needle, p = .07",
        x=KS,
        x_label="k",
        y_label="share with a success",
        predict=lambda f: [f(0.07, k) for k in KS],
        measure=_any_of_first,
    ),
    Case(
        entry="pass_at_k",
        instance="questions of p ~ Beta(.2, .6), the formula at the average p = .25",
        x=KS,
        x_label="k",
        y_label="share with a success",
        predict=lambda f: [f(0.25, k) for k in KS],
        measure=_mixed_questions,
        inside=False,
        why="Questions differ: the average of pass@k is below pass@k of the average.",
    ),
    Case(
        entry="pass_at_k_estimate",
        instance="share of the subsets of 4 of 12 samples with a success",
        x=(1, 2, 4, 8, 9, 12),
        x_label="correct samples",
        y_label="share of subsets",
        predict=lambda f: [f(12, c, 4) for c in (1, 2, 4, 8, 9, 12)],
        measure=lambda key: exact([_subset_share(12, c, 4) for c in (1, 2, 4, 8, 9, 12)]),
    ),
    Case(
        entry="pass_at_k_estimate",
        instance="averaged over the law of the correct among 20 samples, p = .15",
        x=(1, 2, 5, 10),
        x_label="k",
        y_label="mean estimate",
        predict=lambda f: [sum(binom.pmf(c, 20, 0.15) * f(20, c, k) for c in range(21)) for k in (1, 2, 5, 10)],
        measure=lambda key: exact([1 - 0.85**k for k in (1, 2, 5, 10)]),
    ),
    Case(
        entry="pass_at_k_estimate",
        instance="20 samples in ten identical pairs, p = .1: the mean estimate",
        x=(2, 4, 8),
        x_label="k",
        y_label="pass@k",
        predict=lambda f: [sum(binom.pmf(c, 10, 0.1) * f(20, 2 * c, k) for c in range(11)) for k in (2, 4, 8)],
        measure=_from_copies,
        inside=False,
        why="The samples are not independent: pairs are copies (a cache, a temperature near 0).",
    ),
)


def _policy(p: float) -> np.ndarray:
    return np.append(p, (1 - p) * np.array([0.5, 0.3, 0.15, 0.05]))


REWARDS = np.array([1.0, 0.0, 0.5, 0.0, 1.0])


def _entropy(policy: np.ndarray) -> Any:
    return -(policy * np.log(policy)).sum()


def _entropy_slope(p: float, step_size: float) -> float:
    """Derivative of the entropy along one rollout's update, averaged over the arms, by a complex step."""
    policy = _policy(p)
    mean = sum(policy[a] * REWARDS[a] * (np.eye(5)[a] - policy) for a in range(5))
    weight = np.exp(np.log(policy) + 1e-30j * step_size * mean)
    return float(_entropy(weight / weight.sum()).imag / 1e-30)


def _entropy_after_one_rollout(p: float, step_size: float) -> float:
    policy = _policy(p)
    after = [_entropy(softmax(np.log(policy) + step_size * REWARDS[a] * (np.eye(5)[a] - policy))) for a in range(5)]
    return float(policy @ after - _entropy(policy))


ENTROPY_CASES = (
    Case(
        entry="entropy_rate",
        instance="5 arms of rewards 1, 0, .5, 0, 1, derivative along the mean update",
        x=PROBABILITIES,
        x_label="probability of the first arm",
        y_label="entropy per round, nats",
        predict=lambda f: [f(_policy(p), REWARDS, 0.3) for p in PROBABILITIES],
        measure=lambda key: exact([_entropy_slope(p, 0.3) for p in PROBABILITIES]),
    ),
    Case(
        entry="entropy_rate",
        instance="5 arms of rewards 1, 0, .5, 0, 1, one rollout at step 2",
        x=PROBABILITIES,
        x_label="probability of the first arm",
        y_label="entropy per round, nats",
        predict=lambda f: [f(_policy(p), REWARDS, 2.0) for p in PROBABILITIES],
        measure=lambda key: exact([_entropy_after_one_rollout(p, 2.0) for p in PROBABILITIES]),
        inside=False,
        why="One rollout and a large step: the change has terms of second order in the step.",
    ),
    Case(
        entry="symmetric_entropy",
        instance="3 of 20 arms, every arm listed",
        x=PROBABILITIES,
        x_label="p",
        y_label="entropy, nats",
        predict=lambda f: f(np.asarray(PROBABILITIES), 3, np.log(20)),
        measure=lambda key: exact([_entropy(symmetric_policy(p, 3, 20)) for p in PROBABILITIES]),
    ),
    Case(
        entry="symmetric_entropy",
        instance="3 of 20 arms, correct ones with shares .8, .15, .05 of p",
        x=PROBABILITIES,
        x_label="p",
        y_label="entropy, nats",
        predict=lambda f: f(np.asarray(PROBABILITIES), 3, np.log(20)),
        measure=lambda key: exact(
            [_entropy(np.append(p * np.array([0.8, 0.15, 0.05]), np.full(17, (1 - p) / 17))) for p in PROBABILITIES]
        ),
        inside=False,
        why="The correct arms are not equally likely: one rollout at a time makes one of them win.",
    ),
)

FEATURES = np.random.default_rng(5).standard_normal((30, 7))


def _shared(bias: float) -> tuple[np.ndarray, np.ndarray]:
    """A log-linear policy over 30 answers that share 7 features, and which are correct; a bias moves p."""
    logit = FEATURES @ np.linspace(-0.5, 0.5, 7) + np.where(np.arange(30) < 4, bias, 0.0)
    return softmax(logit), np.arange(30) < 4


def _gap(bias: float) -> float:
    """κ from the policy's scores: squared distance of the mean features of correct and of wrong answers."""
    policy, correct = _shared(bias)
    good = policy[correct] @ FEATURES[correct] / policy[correct].sum()
    bad = policy[~correct] @ FEATURES[~correct] / policy[~correct].sum()
    return float(np.sum((good - bad) ** 2))


def _slope_of(bias: float, rewards: np.ndarray) -> float:
    """Norm of the gradient of the expected reward in the 7 parameters, by complex steps."""
    policy, _ = _shared(bias)
    slopes = []
    for j in range(7):
        weight = policy * np.exp(1e-30j * FEATURES[:, j])
        slopes.append(((weight / weight.sum()) @ rewards).imag / 1e-30)
    return float(np.linalg.norm(slopes))


BIASES = (-4.0, -2.0, 0.0, 2.0, 4.0)


def _norm_case(rewards: np.ndarray, instance: str, level: Callable[[float], float], inside: bool, why: str) -> Case:
    return Case(
        entry="gradient_norm",
        instance=instance,
        x=BIASES,
        x_label="bias of the correct answers, nats",
        y_label="norm of the gradient",
        predict=lambda f: [f(level(bias), _gap(bias)) for bias in BIASES],
        measure=lambda key: exact([_slope_of(bias, rewards) for bias in BIASES]),
        inside=inside,
        why=why,
    )


def _pass_at_1(bias: float) -> float:
    policy, correct = _shared(bias)
    return float(policy[correct].sum())


GRADIENT_CASES = (
    _norm_case(
        np.where(np.arange(30) < 4, 1.0, 0.0), "log-linear policy, 30 answers, 7 shared features", _pass_at_1, True, ""
    ),
    _norm_case(
        np.where(np.arange(30) < 4, 0.8, 0.3),
        "the same with noisy rewards of means .8 and .3, their variance taken",
        lambda bias: 0.3 + 0.5 * _pass_at_1(bias),
        False,
        "The rewards are noisy: most of their variance is not the policy's doing.",
    ),
)

CASES: tuple[Case, ...] = (*PASS_CASES, *ENTROPY_CASES, *GRADIENT_CASES)
