"""Audit of F3 and F5, fine-tuning from p0 and kappa: token sequences, and a softmax over arms with feature vectors."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from bandit_rft import arms, learners, policies, run, verifiers
from simulations.theory_audit.case import Case, Measured, exact, of_seeds

ROUNDS = (50, 100, 200, 300)
TOY_ROUNDS = (50, 100, 150, 200)
FITTED = (0.25, 0.5, 1.0, 2.0)


@functools.lru_cache
def _many_arms(noise: float) -> tuple[np.ndarray, float]:
    """(features [300, 20], kappa): three correct arms 1 apart from the others, and noise of that length on each."""
    features = noise * np.random.default_rng(1).normal(size=(300, 20)) / np.sqrt(20)
    features[:3, 0] += 1.0
    return features, float(np.sum((features[:3].mean(axis=0) - features[3:].mean(axis=0)) ** 2))


def _fine_tuned(key: int, noise: float) -> Measured:
    """Pass@1 of 2000 softmax policies on such features, one rollout a round, raw reward; step size .5/kappa."""
    features, kappa = _many_arms(noise)
    generator, seeds = np.random.default_rng(key), 2000
    theta, policy = np.zeros((seeds, 20)), np.full((seeds, 300), 1 / 300)
    value = np.empty((seeds, max(TOY_ROUNDS) + 1))
    for t in range(value.shape[1]):
        value[:, t] = policy[:, :3].sum(axis=1)
        right = np.flatnonzero(generator.random(seeds) < value[:, t])
        if right.size:
            below = np.cumsum(policy[right, :3], axis=1)
            arm = (below < generator.random((right.size, 1)) * below[:, -1:]).sum(axis=1)
            theta[right] += 0.5 / kappa * (features[arm] - policy[right] @ features)
            logit = theta[right] @ features.T
            weight = np.exp(logit - logit.max(axis=1, keepdims=True))
            policy[right] = weight / weight.sum(axis=1, keepdims=True)
    return of_seeds(value[:, list(TOY_ROUNDS)])


def _sequences(key: int, verifier: verifiers.Needle, p0: float = 0.05, step_size: float = 0.5) -> Measured:
    sequences = arms.TokenSequences(1000, len(verifier.target), verifier, policy=policies.Product(), p0=p0)
    history = run(sequences, learners.SoftmaxPolicyGradient(step_size=step_size), rounds=301, seeds=2000, key=key)
    return of_seeds(history.value[:, list(ROUNDS)])


@functools.lru_cache
def _chain(kappa: float, p0: float, rounds: int) -> np.ndarray:
    """Mean Pass@1 over 20,000 runs, step .5: each success moves logit p by .5 kappa (1-p)."""
    generator = np.random.default_rng(11)
    logit, curve = np.full(20_000, np.log(p0 / (1 - p0))), np.empty(rounds)
    for t in range(curve.size):
        p = 1 / (1 + np.exp(-logit))
        curve[t] = p.mean()
        logit = logit + (generator.random(p.size) < p) * 0.5 * kappa * (1 - p)
    return curve


def _predicted_toy(f: Callable, noise: float) -> np.ndarray:
    kappa = _many_arms(noise)[1]
    return f(0.01, kappa, 0.5 / kappa, max(TOY_ROUNDS) + 1).value[list(TOY_ROUNDS)]


CASES = (
    Case(
        entry="rft_predict",
        instance="one token of 1000, p0 = .05, step .5",
        x=ROUNDS,
        x_label="round",
        y_label="Pass@1",
        predict=lambda f: f(0.05, 1000 / 999, 0.5, 301).value[list(ROUNDS)],
        measure=lambda key: _sequences(key, verifiers.Needle((7,))),
    ),
    Case(
        entry="rft_predict",
        instance="one token of 1000, p0 = .6, step .5",
        x=ROUNDS,
        x_label="round",
        y_label="Pass@1",
        predict=lambda f: f(0.6, 1000 / 999, 0.5, 301).value[list(ROUNDS)],
        measure=lambda key: _sequences(key, verifiers.Needle((7,)), 0.6),
    ),
    Case(
        entry="rft_predict",
        instance="one token of 1000, p0 = .02, step .05",
        x=ROUNDS,
        x_label="round",
        y_label="Pass@1",
        predict=lambda f: f(0.02, 1000 / 999, 0.05, 301).value[list(ROUNDS)],
        measure=lambda key: _sequences(key, verifiers.Needle((7,)), 0.02, 0.05),
    ),
    Case(
        entry="rft_predict",
        instance="300 arms of 20 features, 3 correct, noise .3 beside class means 1 apart, eta kappa = .5",
        x=TOY_ROUNDS,
        x_label="round",
        y_label="Pass@1",
        predict=lambda f: _predicted_toy(f, 0.3),
        measure=lambda key: _fine_tuned(key, 0.3),
        tolerance=0.05,
        why="kappa changes a little along the run, and successes differ in what they move.",
    ),
    Case(
        entry="rft_predict",
        instance="300 arms of 20 features, 3 correct, noise 1, eta kappa = .5",
        x=TOY_ROUNDS,
        x_label="round",
        y_label="Pass@1",
        predict=lambda f: _predicted_toy(f, 1.0),
        measure=lambda key: _fine_tuned(key, 1.0),
        tolerance=0.05,
        inside=False,
        why="Scores spread within a class as far as the classes lie apart.",
    ),
    Case(
        entry="rft_predict",
        instance="300 arms of 20 features, 3 correct, noise 2, eta kappa = .5",
        x=TOY_ROUNDS,
        x_label="round",
        y_label="Pass@1",
        predict=lambda f: _predicted_toy(f, 2.0),
        measure=lambda key: _fine_tuned(key, 2.0),
        tolerance=0.05,
        inside=False,
        why="Scores spread far beyond delta: an answer that succeeds is learnt by heart.",
    ),
    Case(
        entry="rft_predict",
        instance="needle of 8 tokens of 1000, product policy, p0 = .05, step .5; kappa of the start",
        x=ROUNDS,
        x_label="round",
        y_label="Pass@1",
        predict=lambda f: f(0.05, 8 * (1 - 0.05**0.125) ** 2 / 0.95**2 * 1000 / 999, 0.5, 301).value[list(ROUNDS)],
        measure=lambda key: _sequences(key, verifiers.Needle((3, 1, 4, 1, 5, 9, 2, 6))),
        inside=False,
        why="kappa falls along the run: from 8 (1-q)^2/(1-p)^2 at the start, q = p^(1/8), to 1/8 at p = 1.",
    ),
    Case(
        entry="kappa_fit",
        instance="mean of 20,000 runs of the chain, p0 = .05, step .5, all of 50 rounds",
        x=FITTED,
        x_label="kappa of the chain",
        y_label="kappa fitted",
        predict=lambda f: [f(_chain(kappa, 0.05, 50), 0.05, 0.5, 1.0) for kappa in FITTED],
        measure=lambda key: exact(FITTED),
        tolerance=0.03,
        why="A curve of finitely many runs.",
    ),
    Case(
        entry="kappa_fit",
        instance="mean of 20,000 runs of the chain, p0 = .6, step .5, a quarter of 400 rounds",
        x=FITTED,
        x_label="kappa of the chain",
        y_label="kappa fitted",
        predict=lambda f: [f(_chain(kappa, 0.6, 400), 0.6, 0.5, 0.25) for kappa in FITTED],
        measure=lambda key: exact(FITTED),
        tolerance=0.03,
        why="A curve of finitely many runs.",
    ),
    Case(
        entry="kappa_fit",
        instance="mean of 20,000 runs of the chain, p0 = .05, taken for step size 1",
        x=FITTED,
        x_label="kappa of the chain",
        y_label="kappa fitted",
        predict=lambda f: [f(_chain(kappa, 0.05, 50), 0.05, 1.0, 1.0) for kappa in FITTED],
        measure=lambda key: exact(FITTED),
        tolerance=0.03,
        inside=False,
        why="The step size was another: only step size x kappa can be fitted.",
    ),
)
