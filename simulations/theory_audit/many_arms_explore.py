"""Audit of exploring until the first success, on many arms and on few."""

from __future__ import annotations

from typing import Any

import numpy as np

from bandit_rft import arms, learners
from simulations.theory_audit.case import Case, exact
from simulations.theory_audit.many_arms_runs import AFTER, ROUNDS, few_arms, regret_after, value_in


def _least_regret(number: int, optimal: int, horizon: int) -> float:
    """The least expected regret of any policy on `number` exchangeable arms, `optimal` of them correct, by dynamic
    programming: what is known of the arms is how many were found wrong and how many correct.
    """
    known: dict[tuple[int, int, int], float] = {}

    def cost(wrong: int, right: int, left: int) -> float:
        if left == 0:
            return 0.0
        if (wrong, right, left) not in known:
            fresh = number - wrong - right
            options = []
            if right:
                options.append(cost(wrong, right, left - 1))
            if wrong:
                options.append(1.0 + cost(wrong, right, left - 1))
            if fresh:
                chance = (optimal - right) / fresh
                found = cost(wrong, right + 1, left - 1) if chance else 0.0
                missed = 1.0 + cost(wrong + 1, right, left - 1) if chance < 1 else 0.0
                options.append(chance * found + (1.0 - chance) * missed)
            known[wrong, right, left] = min(options)
        return known[wrong, right, left]

    return cost(0, 0, horizon)


def _explore(instance: str, x: Any, predict: Any, measure: Any, **more: Any) -> Case:
    label = {"x_label": "rounds", "y_label": "regret, rewards"} | {k: more.pop(k) for k in ("y_label",) if k in more}
    return Case(
        entry="explore_until_success", instance=instance, x=x, predict=predict, measure=measure, **label, **more
    )


CASES = (
    _explore(
        "with replacement, needle among 10^100 arms, p0 = .03",
        ROUNDS,
        lambda f: f(p0=0.03, rounds=250).regret[AFTER],
        lambda key: regret_after(key, arms.Needle(log10_arms=100, p0=0.03), learners.ExploreUntilSuccess()),
    ),
    _explore(
        "with replacement, 4 rollouts a round, needle among 10^100 arms, p0 = .03",
        ROUNDS,
        lambda f: f(p0=0.03, rounds=250, rollouts=4).regret[AFTER],
        lambda key: regret_after(key, arms.Needle(log10_arms=100, p0=0.03), learners.ExploreUntilSuccess(rollouts=4)),
    ),
    _explore(
        "value, 2 rollouts a round, needle among 10^100 arms, p0 = .6",
        (1, 2, 3),
        lambda f: f(p0=0.6, rounds=3, rollouts=2).value,
        lambda key: value_in(
            key, arms.Needle(log10_arms=100, p0=0.6), learners.ExploreUntilSuccess(rollouts=2), (1, 2, 3)
        ),
        y_label="value",
    ),
    _explore(
        "without replacement, 4 of 200 arms",
        ROUNDS[:4],
        lambda f: f(rounds=250, replacement=False, log_arms=np.log(200), optimal=4).regret[AFTER[:4]],
        lambda key: regret_after(key, few_arms(200, 4), learners.ExploreUntilSuccess(replacement=False), ROUNDS[:4]),
    ),
    _explore(
        "without replacement, 10^99 of 10^100 arms",
        ROUNDS[:4],
        lambda f: f(rounds=250, replacement=False, log_arms=100 * np.log(10), optimal=10**99).regret[AFTER[:4]],
        lambda key: regret_after(
            key,
            arms.Needle(log10_arms=100, optimal=10**99),
            learners.ExploreUntilSuccess(replacement=False),
            ROUNDS[:4],
        ),
    ),
    _explore(
        "without replacement, 10^1000 of 10^1001 arms",
        ROUNDS[:4],
        lambda f: f(rounds=250, replacement=False, log_arms=1001 * np.log(10), optimal=10**1000).regret[AFTER[:4]],
        lambda key: regret_after(
            key,
            arms.Needle(log10_arms=1001, optimal=10**1000),
            learners.ExploreUntilSuccess(replacement=False),
            ROUNDS[:4],
        ),
    ),
    _explore(
        "the best policy on 7 arms, 2 correct, by dynamic programming",
        (1, 2, 3, 4, 5, 6, 7, 8),
        lambda f: f(rounds=8, replacement=False, log_arms=np.log(7), optimal=2).regret,
        lambda key: exact([_least_regret(7, 2, t) for t in range(1, 9)]),
    ),
    _explore(
        "the best policy on 5 arms, 4 correct, by dynamic programming",
        (1, 2, 3, 4),
        lambda f: f(rounds=4, replacement=False, log_arms=np.log(5), optimal=4).regret,
        lambda key: exact([_least_regret(5, 4, t) for t in range(1, 5)]),
    ),
    _explore(
        "value on 3 arms, 1 correct, by enumeration",
        (1, 2, 3, 4),
        lambda f: f(rounds=4, replacement=False, log_arms=np.log(3), optimal=1).value,
        lambda key: exact([1 / 3, 1 / 3 + 2 / 3 / 2, 1.0, 1.0]),
        y_label="value",
    ),
    _explore(
        "noisy rewards, arms of mean .9 and .1",
        ROUNDS,
        lambda f: f(p0=0.1, rounds=250).regret[AFTER],
        lambda key: regret_after(
            key, arms.Classes([98 * np.log(10), 99 * np.log(10)], [0.9, 0.1]), learners.ExploreUntilSuccess()
        ),
        inside=False,
        why="Rewards are noisy: a success of a bad arm is kept for ever, and regret grows linearly.",
    ),
)
