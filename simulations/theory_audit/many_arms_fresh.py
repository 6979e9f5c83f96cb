"""Audit of other ways to find a correct arm among many: epsilon-greedy, commitment, batches; and of simple regret."""

from __future__ import annotations

from typing import Any

import numpy as np

from bandit_rft import arms, learners, run
from simulations.theory_audit.case import Case, Measured, exact, joined, of_seeds
from simulations.theory_audit.many_arms_runs import AFTER, ROUNDS, SEEDS, few_arms, regret_after, value_in


def _least_simple_regret(number: int, optimal: int, pulls: int) -> float:
    """The least expected gap of the arm named after so many pulls, over all policies and all ways to name an arm."""

    def gap(wrong: int, right: int, left: int) -> float:
        fresh = number - wrong - right
        chance = (optimal - right) / fresh if fresh else 0.0
        if left == 0:
            named = [1.0 - chance] if fresh else []
            return min([*named, *([0.0] if right else []), *([1.0] if wrong else [])])
        options = [gap(wrong, right, left - 1)] if wrong or right else []
        if fresh:
            found = gap(wrong, right + 1, left - 1) if chance else 0.0
            missed = gap(wrong + 1, right, left - 1) if chance < 1 else 0.0
            options.append(chance * found + (1.0 - chance) * missed)
        return min(options)

    return gap(0, 0, pulls)


def _batch_regret(key: int, p0: float, batch: int, pulls: tuple[int, ...]) -> Measured:
    """Regret by pull; inside a batch every pull is a draw of the same policy."""
    rounds = -(-max(pulls) // batch)
    learner = learners.ExploreUntilSuccess(rollouts=batch)
    history = run(arms.Needle(log10_arms=100, p0=p0), learner, rounds=rounds, seeds=SEEDS, key=key)
    loss = np.repeat(1.0 - history.value, batch, axis=1)
    return of_seeds(np.cumsum(loss, axis=1)[:, [t - 1 for t in pulls]])


def _gap(key: int, table: Any, rounds: tuple[int, ...]) -> Measured:
    value, error = value_in(key, table, learners.ExploreUntilSuccess(replacement=False), rounds, seeds=8000)
    return Measured(1.0 - value, error)


CASES = (
    Case(
        entry="epsilon_greedy_regret",
        instance="1 of 50 arms, epsilon = .1",
        x=ROUNDS,
        x_label="rounds",
        y_label="regret, rewards",
        predict=lambda f: f(p0=0.02, rounds=250, epsilon=0.1).regret[AFTER],
        measure=lambda key: regret_after(key, few_arms(50, 1), learners.EpsilonGreedy(epsilon=0.1)),
    ),
    Case(
        entry="epsilon_greedy_regret",
        instance="value, 5 of 20 arms, epsilon = .4",
        x=(1, 2, 4, 8, 16),
        x_label="round",
        y_label="value",
        predict=lambda f: f(p0=0.25, rounds=16, epsilon=0.4).value[[0, 1, 3, 7, 15]],
        measure=lambda key: value_in(key, few_arms(20, 5), learners.EpsilonGreedy(epsilon=0.4), (1, 2, 4, 8, 16)),
    ),
    Case(
        entry="epsilon_greedy_regret",
        instance="1 of 50 arms, epsilon = .1, initial value .5",
        x=ROUNDS,
        x_label="rounds",
        y_label="regret, rewards",
        predict=lambda f: f(p0=0.02, rounds=250, epsilon=0.1).regret[AFTER],
        measure=lambda key: regret_after(key, few_arms(50, 1), learners.EpsilonGreedy(epsilon=0.1, initial_value=0.5)),
        inside=False,
        why="An arm never pulled is preferred to one that failed, and the arms run out: the search is shorter.",
    ),
    Case(
        entry="explore_then_commit_regret",
        instance="20 of 10^100 arms, p0 = .1",
        x=ROUNDS,
        x_label="rounds",
        y_label="regret, rewards",
        predict=lambda f: f(p0=0.1, rounds=250, explore=20).regret[AFTER],
        measure=lambda key: regret_after(
            key,
            arms.Needle(log10_arms=100, optimal=10**99),
            learners.Subsampled(learners.ExploreThenCommit(), size=20),
        ),
    ),
    Case(
        entry="explore_then_commit_regret",
        instance="value, 6 of 10^100 arms, p0 = .1",
        x=(1, 6, 7, 12),
        x_label="round",
        y_label="value",
        predict=lambda f: f(p0=0.1, rounds=12, explore=6).value[[0, 5, 6, 11]],
        measure=lambda key: value_in(
            key,
            arms.Needle(log10_arms=100, optimal=10**99),
            learners.Subsampled(learners.ExploreThenCommit(), size=6),
            (1, 6, 7, 12),
        ),
    ),
    Case(
        entry="explore_then_commit_regret",
        instance="20 of 30 arms, 3 correct",
        x=ROUNDS,
        x_label="rounds",
        y_label="regret, rewards",
        predict=lambda f: f(p0=0.1, rounds=250, explore=20).regret[AFTER],
        measure=lambda key: regret_after(
            key, few_arms(30, 3), learners.Subsampled(learners.ExploreThenCommit(), size=20), seeds=2000
        ),
        inside=False,
        why="No arm is drawn twice, and there are few: 20 of 30 find one of 3 more surely than 20 of many.",
    ),
    Case(
        entry="batch_explore_regret",
        instance="batches of 8, needle among 10^100 arms, p0 = .03",
        x=(4, 20, 40, 100, 250),
        x_label="pulls",
        y_label="regret, rewards",
        predict=lambda f: f(p0=0.03, rounds=250, batch=8).regret[[3, 19, 39, 99, 249]],
        measure=lambda key: _batch_regret(key, 0.03, 8, (4, 20, 40, 100, 250)),
    ),
    Case(
        entry="batch_explore_regret",
        instance="the limit, batches of 4 to 64, p0 = .05",
        x=(4, 16, 64),
        x_label="batch",
        y_label="regret, rewards",
        predict=lambda f: [f(p0=0.05, rounds=320, batch=b).regret[-1] for b in (4, 16, 64)],
        measure=lambda key: joined([_batch_regret(key + b, 0.05, b, (320,)) for b in (4, 16, 64)]),
    ),
    Case(
        entry="batch_explore_regret",
        instance="4 of 200 arms, none drawn twice, batch of 1",
        x=ROUNDS[:4],
        x_label="pulls",
        y_label="regret, rewards",
        predict=lambda f: f(p0=0.02, rounds=250, batch=1).regret[AFTER[:4]],
        measure=lambda key: regret_after(
            key, few_arms(200, 4), learners.ExploreUntilSuccess(replacement=False), ROUNDS[:4]
        ),
        inside=False,
        why="Fresh arms are drawn without replacement from a few.",
    ),
    Case(
        entry="simple_regret_fresh",
        instance="1 less the value after N pulls, 10^99 of 10^100 arms",
        x=(0, 2, 5, 10, 20),
        x_label="pulls",
        y_label="simple regret",
        predict=lambda f: f(0.1, [0, 2, 5, 10, 20]),
        measure=lambda key: _gap(key, arms.Needle(log10_arms=100, optimal=10**99), (1, 3, 6, 11, 21)),
    ),
    Case(
        entry="simple_regret_fresh",
        instance="the best policy and recommendation on 10^6 arms, 10^5 correct, by dynamic programming",
        x=(0, 1, 2, 4, 8),
        x_label="pulls",
        y_label="simple regret",
        predict=lambda f: f(0.1, [0, 1, 2, 4, 8]),
        measure=lambda key: exact([_least_simple_regret(10**6, 10**5, n) for n in (0, 1, 2, 4, 8)]),
        tolerance=1e-4,
        why="Drawn without replacement from 10^6 arms, which the formula takes for infinitely many.",
    ),
    Case(
        entry="simple_regret_fresh",
        instance="3 of 30 arms",
        x=(0, 2, 5, 10, 20),
        x_label="pulls",
        y_label="simple regret",
        predict=lambda f: f(0.1, [0, 2, 5, 10, 20]),
        measure=lambda key: _gap(key, few_arms(30, 3), (1, 3, 6, 11, 21)),
        inside=False,
        why="Few arms and none drawn twice: the chance of a success rises with every failure.",
    ),
)
