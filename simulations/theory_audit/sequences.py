"""Audit of sections F and G: one correct sequence (F2); trees, language models and many prompts in the files beside."""

from __future__ import annotations

from typing import Any

import numpy as np

from bandit_rft import arms, learners, policies, run, verifiers
from simulations.theory_audit import (
    sequences_adam,
    sequences_features,
    sequences_fine_tuning,
    sequences_prompts,
    sequences_tree,
    sequences_tree_rounds,
)
from simulations.theory_audit.case import Case, Measured, exact, of_seeds

ROUNDS = (25, 50, 100, 200, 400)
AT = list(ROUNDS)


def _history(
    key: int,
    target: tuple[int, ...],
    policy: Any,
    *,
    vocabulary: int = 1000,
    rounds: int = 401,
    rollouts: int = 1,
    seeds: int = 2000,
) -> Any:
    sequences = arms.TokenSequences(vocabulary, len(target), verifiers.Needle(target), policy=policy, p0=0.05)
    learner = learners.SoftmaxPolicyGradient(step_size=0.5, rollouts=rollouts)
    return run(sequences, learner, rounds=rounds, seeds=seeds, key=key)


def _value(key: int, target: tuple[int, ...], policy: Any, **options: Any) -> Measured:
    return of_seeds(_history(key, target, policy, **options).value[:, AT])


def _regret_sd(key: int) -> Measured:
    """Seed-to-seed standard deviation of the cumulative regret, over 20 groups of 100 seeds."""
    gap = 1 - _history(key, (3, 1, 4, 1), policies.PrefixTree()).value
    regret = np.cumsum(gap, axis=1)[:, AT].reshape(20, 100, len(AT))
    return of_seeds(regret.std(axis=1, ddof=1))


def _first_rounds(key: int, levels: tuple[float, ...]) -> Measured:
    value = _history(key, (3, 1, 4, 1), policies.PrefixTree(), rounds=600).value
    assert np.all(value[:, -1] >= max(levels)), "a seed has not arrived: the mean would be cut short"
    return of_seeds(np.stack([np.argmax(value >= level, axis=1) for level in levels], axis=1))


def _exact_gradient(
    shape: tuple[int, int], step_size: float, p0: float, *, shared: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """(p, cumulative 1 - p) at the rounds EXACT.

    By exact gradient ascent on all V logits of each of the H prefixes along the correct sequence of token 0s.
    """
    vocabulary, length = shape
    token = p0 ** (1 / length)
    logit = np.zeros((length, vocabulary))
    logit[:, 0] = np.log(token / (1 - token) * (vocabulary - 1))
    value = np.empty(max(EXACT) + 1)
    for t in range(value.size):
        policy = np.exp(logit) / np.exp(logit).sum(axis=1, keepdims=True)
        value[t] = policy[:, 0].prod()
        gradient = value[t] * (np.eye(vocabulary)[0] - policy)
        logit += step_size * (gradient.sum(axis=0) if shared else gradient)
    return value[list(EXACT)], np.cumsum(1 - value)[list(EXACT)]


EXACT = (0, 300, 1000, 3000, 10_000)

CASES = (
    *sequences_features.CASES,
    *sequences_fine_tuning.CASES,
    Case(
        entry="prefix_tree_jump",
        instance="needle of 8 tokens among 1000^8, prefix tree, p0 = .05, step .5",
        x=ROUNDS,
        x_label="round",
        y_label="Pass@1",
        predict=lambda f: f(1000, 8, 0.5, 401, p0=0.05).value[AT],
        measure=lambda key: _value(key, (3, 1, 4, 1, 5, 9, 2, 6), policies.PrefixTree()),
    ),
    Case(
        entry="prefix_tree_jump",
        instance="needle of 4 tokens, prefix tree, p0 = .05, step .5: time to a level",
        x=(0.25, 0.5, 0.75, 0.9),
        x_label="level of Pass@1",
        y_label="mean first round at that level",
        predict=lambda f: [f(1000, 4, 0.5, 10, p0=0.05).mean_hitting_time(x) for x in (0.25, 0.5, 0.75, 0.9)],
        measure=lambda key: _first_rounds(key, (0.25, 0.5, 0.75, 0.9)),
    ),
    Case(
        entry="prefix_tree_jump",
        instance="needle of 4 tokens, prefix tree, p0 = .05, step .5: spread of the regret",
        x=ROUNDS,
        x_label="round",
        y_label="standard deviation of cumulative regret",
        predict=lambda f: f(1000, 4, 0.5, 401, p0=0.05).regret_sd[AT],
        measure=_regret_sd,
    ),
    Case(
        entry="prefix_tree_jump",
        instance="one token of 100, 4 times, one softmax for all positions, p0 = .05, step .5",
        x=ROUNDS,
        x_label="round",
        y_label="Pass@1",
        predict=lambda f: f(100, 4, 0.5, 401, p0=0.05, position_shared=True).value[AT],
        measure=lambda key: _value(key, (3, 3, 3, 3), policies.LogLinear(), vocabulary=100, seeds=1000),
    ),
    Case(
        entry="prefix_tree_jump",
        instance="8 rollouts a round, needle of 8 tokens, p0 = .05, step .5",
        x=ROUNDS,
        x_label="round",
        y_label="Pass@1",
        predict=lambda f: f(1000, 8, 0.5, 401, p0=0.05).value[AT],
        measure=lambda key: _value(key, (3, 1, 4, 1, 5, 9, 2, 6), policies.PrefixTree(), rollouts=8, seeds=500),
        inside=False,
        why="Eight rollouts share a step: smaller moves, less randomness.",
    ),
    Case(
        entry="prefix_tree_flow",
        instance="exact gradients, 4 tokens of 10, p0 = .05, step .01",
        x=EXACT,
        x_label="round",
        y_label="Pass@1",
        predict=lambda f: f(10, 4, 0.01, 10_001, p0=0.05).value[list(EXACT)],
        measure=lambda key: exact(_exact_gradient((10, 4), 0.01, 0.05)[0]),
        tolerance=0.005,
        why="A step of .01 is small, not infinitesimal.",
    ),
    Case(
        entry="prefix_tree_flow",
        instance="exact gradients, 3 tokens of 6, uniform start, step .01: regret",
        x=EXACT,
        x_label="round",
        y_label="cumulative regret",
        predict=lambda f: f(6, 3, 0.01, 10_001).regret[list(EXACT)],
        measure=lambda key: exact(_exact_gradient((6, 3), 0.01, 1 / 216)[1]),
        tolerance=0.005,
        why="A step of .01 is small, not infinitesimal.",
    ),
    Case(
        entry="prefix_tree_flow",
        instance="exact gradients, one softmax for 4 positions, 10 tokens, p0 = .05, step .003",
        x=EXACT,
        x_label="round",
        y_label="Pass@1",
        predict=lambda f: f(10, 4, 0.003, 10_001, p0=0.05, position_shared=True).value[list(EXACT)],
        measure=lambda key: exact(_exact_gradient((10, 4), 0.003, 0.05, shared=True)[0]),
        tolerance=0.005,
        why="A step of .003 is small, not infinitesimal.",
    ),
    Case(
        entry="prefix_tree_flow",
        instance="one rollout a round, needle of 8 tokens, p0 = .05, step .5",
        x=ROUNDS,
        x_label="round",
        y_label="Pass@1",
        predict=lambda f: f(1000, 8, 0.5, 401, p0=0.05).value[AT],
        measure=lambda key: _value(key, (3, 1, 4, 1, 5, 9, 2, 6), policies.PrefixTree(), seeds=500),
        inside=False,
        why="Sampled rollouts: the mean over seeds is that of the jump chain, not the flow's.",
    ),
    *sequences_adam.CASES,
    *sequences_prompts.CASES,
    *sequences_tree.CASES,
    *sequences_tree_rounds.CASES,
)
