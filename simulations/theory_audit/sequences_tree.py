"""Audit of F12, decisions with a kernel: a small policy of shared features is trained, in NumPy, and its tree given.

Three decisions of three choices; logits are features times weights that all decisions share, so that what one decision
learns moves the others. Two paths are right, and a third is right in half of its responses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bandit_rft.theory.response_tree import ResponseTree
from simulations.theory_audit.case import Case, Measured, of_seeds

ROUNDS = (0, 5, 10, 20, 40)
AT = list(ROUNDS)
NODE = np.repeat([0, 1, 2], 3)
CHILD = np.array([1, 2, -1, -1, -1, -1, -1, -1, -1])
REWARD = np.array([0, 0, 0, 1, 0, 0, 0, 1, 0.5])
LEAVES = ((0, 3), (0, 4), (0, 5), (1, 6), (1, 7), (1, 8), (2,))
RIGHT = np.array([REWARD[leaf[-1]] for leaf in LEAVES])
PATHS = np.array([[edge in leaf for edge in range(9)] for leaf in LEAVES], np.float64)
VISITS = np.array([[NODE[edge] in {NODE[e] for e in leaf} for edge in range(9)] for leaf in LEAVES], np.float64)
_FIXED = np.random.default_rng(12)
FEATURES, TEST_FEATURES, START = _FIXED.normal(size=(9, 6)), _FIXED.normal(size=(9, 6)), _FIXED.normal(size=6) * 0.5
TEST_FEATURES = 0.6 * FEATURES + 0.4 * TEST_FEATURES
Signal = Callable[[np.ndarray], np.ndarray]


def log_q_of(logits: np.ndarray) -> np.ndarray:
    """[S, 9] ln of each edge's probability at its decision."""
    parts = [part - np.logaddexp.reduce(part, axis=1, keepdims=True) for part in np.split(logits, 3, axis=1)]
    return np.concatenate(parts, axis=1)


def tree_of(features: np.ndarray, *, bent: bool = False, errs: tuple[float, float] = (1.0, 0.0)) -> ResponseTree:
    base = START @ features.T
    log_q = log_q_of((np.sin(base) if bent else base)[None])[0]
    if bent:
        features = features * np.cos(base)[:, None]
    q = np.exp(log_q)
    same = NODE[:, None] == NODE
    scores = features - np.where(same, q, 0.0) @ features
    return ResponseTree(
        NODE,
        CHILD,
        errs[1] + (errs[0] - errs[1]) * REWARD,
        log_q,
        scores @ scores.T,
        coordinates=scores.astype(np.float32),
        dimension=6,
        truth=None if errs == (1.0, 0.0) else REWARD,
    )


def cross_kernel() -> np.ndarray:
    """Inner products of the test question's scores with those of the trained one."""
    found = []
    for features in (TEST_FEATURES, FEATURES):
        q = np.exp(log_q_of((START @ features.T)[None])[0])
        found.append(features - np.where(NODE[:, None] == NODE, q, 0.0) @ features)
    return found[0] @ found[1].T


def _trained(
    key: int,
    step: float,
    *,
    seeds: int = 2000,
    rollouts: int = 1,
    signal: Signal = lambda r: r,
    adam: bool = False,
    beta: float = 0.0,
    bent: bool = False,
    delay: int = 0,
    errs: tuple[float, float] = (1.0, 0.0),
    epochs: int = 1,
) -> tuple[np.ndarray, np.ndarray]:
    """(Pass@1, that of the test question) before each of 41 rounds, [S, 41] each; the weights themselves are moved."""
    generator = np.random.default_rng(key)
    weights = np.repeat(START[None], seeds, axis=0)
    first, second = np.zeros((2, seeds, 6))
    value, test = np.empty((2, seeds, max(ROUNDS) + 1))
    heard: list[tuple[np.ndarray, np.ndarray]] = []
    for t in range(value.shape[1]):
        base = weights @ FEATURES.T
        log_q = log_q_of(np.sin(base) if bent else base)
        path = np.exp(log_q @ PATHS.T)
        value[:, t] = path @ RIGHT
        test[:, t] = np.exp(log_q_of(weights @ TEST_FEATURES.T) @ PATHS.T) @ RIGHT
        update = np.zeros((seeds, 9))
        total = np.cumsum(path, axis=1)
        leaf = (total[:, None, :] < generator.random((seeds, rollouts, 1))).sum(axis=2).clip(max=6)
        paid = errs[1] + (errs[0] - errs[1]) * RIGHT[leaf]
        heard.append((leaf, signal((generator.random((seeds, rollouts)) < paid).astype(np.float64))))
        leaf, advantage = heard[max(t - delay, 0)]
        if t < delay:
            advantage = np.zeros_like(advantage)
        for epoch in range(epochs):
            if epoch:
                update = np.zeros((seeds, 9))
                base = weights @ FEATURES.T
                log_q = log_q_of(np.sin(base) if bent else base)
                path = np.exp(log_q @ PATHS.T)
            for g in range(rollouts):
                update += advantage[:, g, None] * (PATHS[leaf[:, g]] - VISITS[leaf[:, g]] * np.exp(log_q)) / rollouts
            if beta:
                drift = path * ((log_q - log_q_of((START @ FEATURES.T)[None])) @ PATHS.T)
                update -= beta * (drift @ PATHS - np.exp(log_q) * (drift @ VISITS))
            gradient = (update * np.cos(base) if bent else update) @ FEATURES
            if adam:
                first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
                gradient = first / (1 - 0.9 ** (t + 1)) / (np.sqrt(second / (1 - 0.999 ** (t + 1))) + 1e-8)
            weights = weights + step * gradient
    return value, test


def _value(key: int, step: float, **options: Any) -> Measured:
    return of_seeds(_trained(key, step, **options)[0][:, AT])


def _grpo(rewards: np.ndarray) -> np.ndarray:
    centred = rewards - rewards.mean(axis=1, keepdims=True)
    return centred / (rewards.std(axis=1, ddof=1, keepdims=True) + 1e-6)


def _rloo(rewards: np.ndarray) -> np.ndarray:
    return (rewards - rewards.mean(axis=1, keepdims=True)) * rewards.shape[1] / (rewards.shape[1] - 1)


_DRAWN = "The law is itself a mean over runs that it draws."
_PASS = {"x": ROUNDS, "x_label": "round", "y_label": "Pass@1"}

CASES = (
    Case(
        entry="tree_jump",
        instance="three decisions of shared features, two right paths, step .3",
        predict=lambda f: f(tree_of(FEATURES), 0.3, 41).value[AT],
        measure=lambda key: _value(key, 0.3),
        tolerance=0.01,
        why="The law is a mean over 256 random orders of successes.",
        **_PASS,
    ),
    Case(
        entry="tree_jump",
        instance="three decisions of shared features, two right paths, step .05: spread of Pass@1",
        x=ROUNDS[1:],
        x_label="round",
        y_label="standard deviation of Pass@1",
        predict=lambda f: f(tree_of(FEATURES), 0.05, 41).value_sd[AT[1:]],
        measure=lambda key: of_seeds(
            _trained(key, 0.05, seeds=8000)[0][:, AT[1:]].reshape(40, 200, -1).std(axis=1, ddof=1)
        ),
        tolerance=0.02,
        why="The law is a mean over 256 random orders of successes.",
    ),
    Case(
        entry="tree_jump",
        instance="bent features: logits are sines, and their slopes move",
        predict=lambda f: f(tree_of(FEATURES, bent=True), 0.3, 41).value[AT],
        measure=lambda key: _value(key, 0.3, bent=True),
        inside=False,
        why="The kernel does not stay that of the start.",
        **_PASS,
    ),
    Case(
        entry="tree_rounds",
        instance="8 rollouts of grpo, three decisions of shared features, step .2",
        predict=lambda f: f(tree_of(FEATURES), 0.2, 41, "grpo", 8, eps=1e-6).value[AT],
        measure=lambda key: _value(key, 0.2, rollouts=8, signal=_grpo),
        tolerance=0.02,
        why=_DRAWN,
        **_PASS,
    ),
    Case(
        entry="tree_rounds",
        instance="8 rollouts of grpo, three decisions of shared features, step .2: regret",
        x=ROUNDS,
        x_label="round",
        y_label="cumulative regret (rewards of 8 rollouts a round)",
        predict=lambda f: f(tree_of(FEATURES), 0.2, 41, "grpo", 8, eps=1e-6).regret[AT],
        measure=lambda key: of_seeds(8 * np.cumsum(1 - _trained(key, 0.2, rollouts=8, signal=_grpo)[0], axis=1)[:, AT]),
        tolerance=0.02,
        why=_DRAWN,
    ),
    Case(
        entry="tree_rounds",
        instance="8 rollouts of grpo, three decisions of shared features, step .2: spread of Pass@1",
        x=ROUNDS[1:],
        x_label="round",
        y_label="standard deviation of Pass@1",
        predict=lambda f: f(tree_of(FEATURES), 0.2, 41, "grpo", 8, eps=1e-6).value_sd[AT[1:]],
        measure=lambda key: of_seeds(
            _trained(key, 0.2, seeds=8000, rollouts=8, signal=_grpo)[0][:, AT[1:]]
            .reshape(40, 200, -1)
            .std(axis=1, ddof=1)
        ),
        tolerance=0.1,
        why="The spread of 1,024 drawn runs is good to a few per cent.",
    ),
    Case(
        entry="tree_rounds",
        instance="4 signed rollouts with a KL term of weight .5, step .2",
        predict=lambda f: f(tree_of(FEATURES), 0.2, 41, "signed", 4, kl_coefficient=0.5).value[AT],
        measure=lambda key: _value(key, 0.2, rollouts=4, signal=lambda r: 2 * r - 1, beta=0.5),
        tolerance=0.02,
        why=_DRAWN,
        **_PASS,
    ),
    Case(
        entry="tree_rounds",
        instance="Adam at learning rate .05, one rollout, raw reward",
        # Its float32 sums are equal on two machines to five digits, and no further.
        predict=lambda f: np.round(f(tree_of(FEATURES), 0.05, 41, optimizer="adam").value[AT], 4),
        measure=lambda key: _value(key, 0.05, adam=True),
        tolerance=0.02,
        why=_DRAWN,
        **_PASS,
    ),
    Case(
        entry="tree_rounds",
        instance="4 rollouts of rloo, a verifier of rates .9 and .3 that is heard 3 rounds late, step .5",
        predict=lambda f: f(tree_of(FEATURES, errs=(0.9, 0.3)), 0.5, 41, "rloo", 4, delay=3).value[AT],
        measure=lambda key: _value(key, 0.5, rollouts=4, signal=_rloo, delay=3, errs=(0.9, 0.3)),
        tolerance=0.02,
        why=_DRAWN,
        **_PASS,
    ),
    Case(
        entry="tree_rounds",
        instance="3 epochs on 4 signed rollouts, step .1",
        predict=lambda f: f(tree_of(FEATURES), 0.1, 41, "signed", 4, epochs=3).value[AT],
        measure=lambda key: _value(key, 0.1, rollouts=4, signal=lambda r: 2 * r - 1, epochs=3),
        tolerance=0.02,
        why=_DRAWN,
        **_PASS,
    ),
    Case(
        entry="tree_rounds",
        instance="bent features under 8 rollouts of grpo",
        predict=lambda f: f(tree_of(FEATURES, bent=True), 0.2, 41, "grpo", 8, eps=1e-6).value[AT],
        measure=lambda key: _value(key, 0.2, rollouts=8, signal=_grpo, bent=True),
        inside=False,
        why="The kernel does not stay that of the start.",
        **_PASS,
    ),
    Case(
        entry="tree_transfer",
        instance="another question of similar features, one rollout, raw reward, step .3",
        x=ROUNDS,
        x_label="round",
        y_label="Pass@1 of the test question",
        predict=lambda f: f(tree_of(FEATURES), [(tree_of(TEST_FEATURES), cross_kernel())], 0.3, ROUNDS)[0],
        measure=lambda key: of_seeds(_trained(key, 0.3)[1][:, AT]),
        tolerance=0.02,
        why=_DRAWN,
    ),
)
