"""Audit of section E, infinitely many Bernoulli arms with uniform means."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from bandit_rft import arms, learners, run
from simulations.theory_audit.case import Case, Measured, exact, joined, of_seeds

SHORT = (1, 2, 4, 9, 16, 30)
PULLS = (30, 100, 300)
LONG = (30_000, 100_000, 300_000)
UNIFORM = arms.Reservoir("uniform")


def _failing(successes: int, failures: int) -> float:
    """E[1 - theta] of a uniform mean after so many rewards of 1 and 0."""
    return (failures + 1) / (successes + failures + 2)


def _one_failure(rounds: int) -> float:
    """Expected failures, by dynamic programming over the run of the arm in hand."""
    after = np.zeros(rounds + 1)
    for left in range(1, rounds + 1):
        run_so_far = np.arange(rounds - left + 1)
        fails = 1.0 / (run_so_far + 2)
        after = fails * (1.0 + after[0]) + (1.0 - fails) * after[1 : rounds - left + 2]
    return float(after[0])


def _best_run(rounds: int, length: int) -> float:
    """Expected failures of the strategy that gives up, by dynamic programming."""

    @cache
    def cost(left: int, failed: int, longest: int, now: int) -> float:
        if left == 0:
            return 0.0
        if now == length:
            return left * _failing(length, 0)
        if failed == length:
            return left * _failing(longest, 1)
        fails = _failing(now, 0)
        lost = 1.0 + cost(left - 1, failed + 1, max(longest, now), 0)
        return fails * lost + (1.0 - fails) * cost(left - 1, failed, longest, now + 1)

    return cost(rounds, 0, 0, 0)


def two_targets(rounds: int, first: int, second: int, failures: int) -> float:
    """Expected failures, by dynamic programming over what the arm in hand has paid: [failures, successes]."""
    lost, won = np.arange(failures)[:, None], np.arange(second)[None, :]
    fails = (lost + 1) / (won + lost + 2)
    kept = (np.arange(failures) + 1) / (second + np.arange(failures) + 2)  # second successes: kept, whatever comes
    after = np.zeros((failures, second))
    for left in range(rounds):
        succeeds = np.concatenate([after[:, 1:], left * kept[:, None]], axis=1)
        failed = np.concatenate([after[1:], np.full((1, second), after[0, 0])])
        failed[0, :first] = after[0, 0]
        after = fails * (1.0 + failed) + (1.0 - fails) * succeeds
    return float(after[0, 0])


def targets(rounds: int, failures: int) -> tuple[int, int]:
    return int((rounds / 2) ** (1 / 3) + 1e-12), int(failures * (rounds / 2) ** 0.5)


def _final(key: int, learner: Any, rounds: tuple[int, ...], seeds: int, table: Any = UNIFORM) -> Measured:
    """Regret of separate runs to each horizon."""
    found = []
    for horizon in rounds:
        capacity = min(horizon + 1, 201)
        history = run(table, learner, rounds=horizon, seeds=seeds, key=key + horizon, row_capacity=capacity)
        found.append(of_seeds(history.regret()[:, -1]))
    return joined(found)


def _one_failure_curve(key: int, rounds: tuple[int, ...], seeds: int) -> Measured:
    history = run(UNIFORM, learners.OneFailure(), rounds=max(rounds), seeds=seeds, key=key)
    return of_seeds(history.regret()[:, [t - 1 for t in rounds]])


def _arm_by_arm(key: int, rounds: int, first: int, second: int, failures: int, seeds: int) -> Measured:
    """Two targets simulated an arm at a time; the regret is that of the means."""
    generator = np.random.default_rng([key, rounds])
    left, regret = np.full(seeds, rounds), np.zeros(seeds)
    searching = np.arange(seeds)
    while searching.size:
        mean = generator.random(searching.size)
        won = np.floor(np.log(generator.random(searching.size)) / np.log(mean))
        pulls = np.where(won < first, won + 1, 0)
        passed = np.flatnonzero(won >= first)
        if failures > 1:
            won[passed] += generator.negative_binomial(failures - 1, 1.0 - mean[passed])
        pulls[passed] = np.where(won[passed] < second, won[passed] + failures, rounds)
        pulls = np.minimum(pulls, left[searching])
        regret[searching] += pulls * (1.0 - mean)
        left[searching] -= pulls.astype(np.int64)
        searching = searching[left[searching] > 0]
    return of_seeds(regret)


def _case(entry: str, instance: str, x: Any, predict: Any, measure: Any, **more: Any) -> Case:
    return Case(
        entry=entry,
        instance=instance,
        x=x,
        x_label="pulls n",
        y_label=more.pop("y_label", "regret, rewards"),
        predict=predict,
        measure=measure,
        **more,
    )


CASES: tuple[Case, ...] = (
    _case(
        "berry_lower",
        "by hand",
        (1, 50, 800),
        lambda f: f([1, 50, 800]).value,
        lambda key: exact([2**0.5, 10.0, 40.0]),
    ),
    _case(
        "berry_lower",
        "two targets, m = 3",
        (100, 300),
        lambda f: f((100, 300)).value,
        lambda key: _final(key, learners.TwoTarget(failures=3), (100, 300), 1000),
        relation="lower",
    ),
    _case(
        "berry_lower",
        "two targets, m = 3, by dynamic programming",
        (10, 20, 30, 50),
        lambda f: f((10, 20, 30, 50)).value,
        lambda key: exact([two_targets(n, *targets(n, 3), 3) for n in (10, 20, 30, 50)]),
        relation="lower",
        inside=False,
        why="Few pulls: the bound is asymptotic.",
    ),
    _case(
        "berry_lower",
        "two targets, m = 10, arm by arm",
        LONG,
        lambda f: f(LONG).value,
        lambda key: joined([_arm_by_arm(key, n, *targets(n, 10), 10, 20_000) for n in LONG]),
        relation="lower",
    ),
    _case(
        "berry_lower",
        "one failure, few pulls, by dynamic programming",
        SHORT,
        lambda f: f(SHORT).value,
        lambda key: exact([_one_failure(n) for n in SHORT]),
        relation="lower",
        inside=False,
        why="Few pulls: the bound is asymptotic, and no regret can exceed n/2 here.",
    ),
    _case(
        "berry_lower",
        "means of Beta(1, .5), two targets of the uniform case",
        PULLS,
        lambda f: f(PULLS).value,
        lambda key: _final(key, learners.TwoTarget(failures=3), PULLS, 200, arms.Reservoir(arms.Beta(1.0, 0.5))),
        relation="lower",
        inside=False,
        why="Good arms are more frequent than under the uniform law.",
    ),
    _case(
        "one_failure_regret",
        "by dynamic programming",
        (1, 2, 10, 100, 1000),
        lambda f: f(1000).regret[[0, 1, 9, 99, 999]],
        lambda key: exact([_one_failure(n) for n in (1, 2, 10, 100, 1000)]),
    ),
    _case(
        "one_failure_regret",
        "20,000 pulls, by dynamic programming",
        (1, 20_000),
        lambda f: f(20_000).regret[[0, -1]],
        lambda key: exact([_one_failure(n) for n in (1, 20_000)]),
    ),
    _case(
        "one_failure_regret",
        "loss of a pull, by dynamic programming",
        (1, 2, 10, 100, 1000),
        lambda f: 1.0 - f(1000).value[[0, 1, 9, 99, 999]],
        lambda key: exact([_one_failure(n) - _one_failure(n - 1) for n in (1, 2, 10, 100, 1000)]),
        y_label="1 - value",
    ),
    _case(
        "one_failure_regret",
        "uniform reservoir",
        (10, 30, 100, 300),
        lambda f: f(300).regret[[9, 29, 99, 299]],
        lambda key: _one_failure_curve(key, (10, 30, 100, 300), 2000),
    ),
    _case(
        "one_failure_regret",
        "12 arms of uniform spacing, all of which fail",
        (10, 30, 100, 300),
        lambda f: f(300).regret[[9, 29, 99, 299]],
        lambda key: of_seeds(
            run(
                arms.Bernoulli(((np.arange(12) + 0.5) / 12).tolist()),
                learners.OneFailure(),
                rounds=300,
                seeds=2000,
                key=key,
            ).regret("realised")[:, [9, 29, 99, 299]]
        ),
        inside=False,
        why="Arms run out, and the best mean is below 1.",
    ),
    _case(
        "best_run_regret",
        "gives up, by dynamic programming",
        (1, 4, 9, 20, 40),
        lambda f: f((1, 4, 9, 20, 40)),
        lambda key: exact([_best_run(n, int(n**0.5)) for n in (1, 4, 9, 20, 40)]),
    ),
    _case(
        "best_run_regret",
        "never gives up, by dynamic programming",
        (1, 4, 9, 40, 400, 30_000),
        lambda f: f((1, 4, 9, 40, 400, 30_000), give_up=False),
        lambda key: exact([two_targets(n, int(n**0.5), int(n**0.5), 1) for n in (1, 4, 9, 40, 400, 30_000)]),
    ),
    _case(
        "best_run_regret",
        "run length 4, 20 to 60 pulls, by dynamic programming",
        (20, 40, 60),
        lambda f: f((20, 40, 60), 4),
        lambda key: exact([_best_run(n, 4) for n in (20, 40, 60)]),
    ),
    _case(
        "best_run_regret",
        "uniform reservoir, learner BestRun",
        PULLS,
        lambda f: f(PULLS),
        lambda key: _final(key, learners.BestRun(), PULLS, 800),
    ),
    _case(
        "best_run_regret",
        "never gives up, arm by arm",
        LONG,
        lambda f: f(LONG, give_up=False),
        lambda key: joined([_arm_by_arm(key, n, int(n**0.5), 0, 1, 40_000) for n in LONG]),
    ),
    _case(
        "best_run_regret",
        "means of Beta(1, 2), learner BestRun",
        PULLS,
        lambda f: f(PULLS),
        lambda key: _final(key, learners.BestRun(), PULLS, 200, arms.Reservoir(arms.Beta(1.0, 2.0))),
        inside=False,
        why="Good arms are rarer than under the uniform law.",
    ),
    _case(
        "two_target_regret",
        "m = 3, by dynamic programming",
        (2, 4, 20, 200, 1500, 30_000),
        lambda f: f((2, 4, 20, 200, 1500, 30_000)),
        lambda key: exact([two_targets(n, *targets(n, 3), 3) for n in (2, 4, 20, 200, 1500, 30_000)]),
    ),
    _case(
        "two_target_regret",
        "m = 1 and 2, 30 pulls, by dynamic programming",
        (1, 2),
        lambda f: [f(30, m) for m in (1, 2)],
        lambda key: exact([two_targets(30, *targets(30, m), m) for m in (1, 2)]),
    ),
    _case(
        "two_target_regret",
        "uniform reservoir, learner TwoTarget, m = 3",
        PULLS,
        lambda f: f(PULLS),
        lambda key: _final(key, learners.TwoTarget(failures=3), PULLS, 800),
    ),
    _case(
        "two_target_regret",
        "m = 6, arm by arm",
        LONG,
        lambda f: f(LONG, 6),
        lambda key: joined([_arm_by_arm(key, n, *targets(n, 6), 6, 40_000) for n in LONG]),
    ),
    _case(
        "two_target_regret",
        "means of Beta(1, 2), learner TwoTarget, m = 3",
        PULLS,
        lambda f: f(PULLS),
        lambda key: _final(key, learners.TwoTarget(failures=3), PULLS, 200, arms.Reservoir(arms.Beta(1.0, 2.0))),
        inside=False,
        why="Good arms are rarer than under the uniform law.",
    ),
)
