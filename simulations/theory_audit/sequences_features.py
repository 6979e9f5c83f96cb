"""Audit of F1 and F4, scores as a kernel: a softmax over seven arms with feature vectors, in NumPy."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np

from simulations.theory_audit.case import Case, Measured, exact, of_seeds

SCALES = (0.0, 0.5, 1.0, 2.0, 4.0)
CORRECT = np.array([1, 1, 0, 0, 0, 0, 0], dtype=bool)
ADVANTAGE = np.array([1.0, 0.4, -0.2, 0.0, 0.3, -1.0, 0.1])
Logits = Callable[[np.ndarray], np.ndarray]


def _seven_arms() -> tuple[np.ndarray, np.ndarray]:
    """(features [7, 4], a direction of parameters [4]), fixed."""
    generator = np.random.default_rng(7)
    return generator.normal(size=(7, 4)), generator.normal(size=4)


FEATURES, DIRECTION = _seven_arms()


def _straight(theta: np.ndarray) -> np.ndarray:
    return FEATURES @ theta


def _bent(theta: np.ndarray) -> np.ndarray:
    return np.sin(FEATURES @ theta) * 2


def _log_policy(logits: Logits, theta: np.ndarray) -> np.ndarray:
    logit = logits(theta)
    return logit - np.log(np.exp(logit).sum())


def _gradient(function: Callable[[np.ndarray], np.ndarray], theta: np.ndarray) -> np.ndarray:
    """By complex steps: exact to rounding, and without any formula of a score."""
    size = 1e-30
    columns = [np.imag(function(theta + 1j * size * unit)) / size for unit in np.eye(theta.size)]
    return np.stack(columns, axis=-1)


def _logit_p(logits: Logits, theta: np.ndarray) -> np.ndarray:
    policy = np.exp(_log_policy(logits, theta))
    return np.log(policy[CORRECT].sum() / policy[~CORRECT].sum())


def _kappa(logits: Logits) -> np.ndarray:
    """|grad logit p|^2 at each scale."""
    return np.array([np.sum(_gradient(lambda w: _logit_p(logits, w), s * DIRECTION) ** 2) for s in SCALES])


def _policy(logits: Logits, scale: float) -> np.ndarray:
    return np.exp(_log_policy(logits, scale * DIRECTION))


def _score_gram(scale: float) -> np.ndarray:
    """<s_a, s_b> of the straight policy: features less their mean under the policy."""
    centred = FEATURES - _policy(_straight, scale) @ FEATURES
    return centred @ centred.T


def _ascended(step_size: float, small: float) -> np.ndarray:
    """Change of log pi(a) per round: gradient ascent on E[A] by a step that is `small` times the true one."""
    theta = DIRECTION
    ascent = step_size * _gradient(lambda w: np.exp(_log_policy(_straight, w)) @ ADVANTAGE, theta)
    if small == 0.0:
        return np.imag(_log_policy(_straight, theta + 1e-30j * ascent)) / 1e-30
    return (_log_policy(_straight, theta + small * ascent) - _log_policy(_straight, theta)) / small


ARMS = tuple(range(1, 8))
FOLDS = (8, 16, 32, 64)


def _fold_deltas(generator: np.random.Generator, rollouts: int, number: int) -> np.ndarray:
    """[number, 4]: mean score of the correct less that of the wrong, of folds that have both."""
    policy = _policy(_straight, 1.0)
    counts = generator.multinomial(rollouts, policy, size=20 * number)
    right = counts[:, CORRECT].sum(axis=1)
    counts, right = counts[(right > 0) & (right < rollouts)], right[(right > 0) & (right < rollouts)]
    assert len(counts) >= number
    sums = counts[:, CORRECT] @ FEATURES[CORRECT], counts[:, ~CORRECT] @ FEATURES[~CORRECT]
    return (sums[0] / right[:, None] - sums[1] / (rollouts - right)[:, None])[:number]


def _estimates(key: int, *, split: bool) -> Measured:
    """sd(kappa estimated)/kappa, by drawing."""
    generator = np.random.default_rng(key)
    policy = _policy(_straight, 1.0)
    weight = np.where(CORRECT, policy / policy[CORRECT].sum(), -policy / policy[~CORRECT].sum())
    kappa = np.sum((weight @ FEATURES) ** 2)
    found = np.empty((40, len(FOLDS)))
    for batch, column in np.ndindex(found.shape):
        rollouts = FOLDS[column]
        first = _fold_deltas(generator, rollouts // 2 if split else rollouts, 1000)
        second = _fold_deltas(generator, rollouts // 2, 1000) if split else first
        found[batch, column] = np.std(np.sum(first * second, axis=1)) / kappa
    return of_seeds(found)


def _enumerated() -> np.ndarray:
    """sd(kappa estimated)/kappa with 4, 6, 8 and 10 rollouts, from all 7^N folds of N = 2 ... 5."""
    policy, found = _policy(_straight, -0.2), []
    for fold in (2, 3, 4, 5):
        drawn = np.array(list(itertools.product(range(7), repeat=fold)))
        right = CORRECT[drawn].sum(axis=1)
        drawn, right = drawn[(right > 0) & (right < fold)], right[(right > 0) & (right < fold)]
        weight = policy[drawn].prod(axis=1)
        weight /= weight.sum()
        share = np.where(CORRECT[drawn], 1 / right[:, None], -1 / (fold - right)[:, None])
        delta = np.einsum("nf,nfd->nd", share, FEATURES[drawn])
        # The folds are independent: E <a, b>^2 = tr(M^2), M = E[a a^T].
        moment, kappa = delta.T * weight @ delta, np.sum((weight @ delta) ** 2)
        found.append(np.sqrt(np.trace(moment @ moment) - kappa**2) / kappa)
    return np.asarray(found)


CASES = (
    Case(
        entry="kernel_kappa",
        instance="softmax over 7 arms with 4 features: scores",
        x=SCALES,
        x_label="length of the parameters",
        y_label="kappa",
        predict=lambda f: [f(_score_gram(s), _policy(_straight, s), CORRECT) for s in SCALES],
        measure=lambda key: exact(_kappa(_straight)),
    ),
    Case(
        entry="kernel_kappa",
        instance="softmax over 7 arms with 4 features: features instead of scores",
        x=SCALES,
        x_label="length of the parameters",
        y_label="kappa",
        predict=lambda f: [f(FEATURES @ FEATURES.T, _policy(_straight, s), CORRECT) for s in SCALES],
        measure=lambda key: exact(_kappa(_straight)),
    ),
    Case(
        entry="kernel_kappa",
        instance="logits that bend (2 sin of the straight ones), inner products kept from the start",
        x=SCALES,
        x_label="length of the parameters",
        y_label="kappa",
        predict=lambda f: [f(4 * FEATURES @ FEATURES.T, _policy(_bent, s), CORRECT) for s in SCALES],
        measure=lambda key: exact(_kappa(_bent)),
        inside=False,
        why="gram belongs to other parameters than the policy.",
    ),
    Case(
        entry="kernel_flow",
        instance="softmax over 7 arms with 4 features, step .3: velocity",
        x=ARMS,
        x_label="arm",
        y_label="d log pi(a)/dt, nats per round",
        predict=lambda f: f(_score_gram(1.0), _policy(_straight, 1.0), ADVANTAGE, 0.3),
        measure=lambda key: exact(_ascended(0.3, 0.0)),
    ),
    Case(
        entry="kernel_flow",
        instance="softmax over 7 arms with 4 features, one whole step of 3",
        x=ARMS,
        x_label="arm",
        y_label="change of log pi(a), nats",
        predict=lambda f: f(_score_gram(1.0), _policy(_straight, 1.0), ADVANTAGE, 3.0),
        measure=lambda key: exact(_ascended(3.0, 1.0)),
        inside=False,
        why="A step of 3 is not small.",
    ),
    Case(
        entry="kappa_estimator_sd",
        instance="softmax over 7 arms with 4 features, two folds",
        x=FOLDS,
        x_label="rollouts in both folds",
        y_label="sd/kappa",
        predict=lambda f: [f(_score_gram(1.0), _policy(_straight, 1.0), CORRECT, n) for n in FOLDS],
        measure=lambda key: _estimates(key, split=True),
    ),
    Case(
        entry="kappa_estimator_sd",
        instance="softmax over 7 arms with 4 features, all folds enumerated",
        x=(4, 6, 8, 10),
        x_label="rollouts in both folds",
        y_label="sd/kappa",
        predict=lambda f: [f(_score_gram(-0.2), _policy(_straight, -0.2), CORRECT, n) for n in (4, 6, 8, 10)],
        measure=lambda key: exact(_enumerated()),
    ),
    Case(
        entry="kappa_estimator_sd",
        instance="softmax over 7 arms with 4 features, squared length of one fold's delta",
        x=FOLDS,
        x_label="rollouts",
        y_label="sd/kappa",
        predict=lambda f: [f(_score_gram(1.0), _policy(_straight, 1.0), CORRECT, n) for n in FOLDS],
        measure=lambda key: _estimates(key, split=False),
        inside=False,
        why="Not split in two folds: another estimator, and biased.",
    ),
)
