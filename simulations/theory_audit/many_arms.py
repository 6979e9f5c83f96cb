"""Audit of section E, many arms."""

from __future__ import annotations

from typing import Any

import numpy as np

from bandit_rft import arms, learners, run
from simulations.theory_audit.case import Case, Measured, exact, joined, of_seeds
from simulations.theory_audit.infinite_arms import CASES as INFINITE
from simulations.theory_audit.many_arms_long import CASES as LONG
from simulations.theory_audit.many_arms_rates import CASES as RATES

ROUNDS = (5, 15, 40, 100, 250)
AFTER = [t - 1 for t in ROUNDS]  # a curve's index after so many rounds
SEEDS = 4000


def _regret(key: int, table: Any, learner: Any, rounds: tuple[int, ...] = ROUNDS, seeds: int = SEEDS) -> Measured:
    history = run(table, learner, rounds=max(rounds), seeds=seeds, key=key)
    return of_seeds(history.regret()[:, [t - 1 for t in rounds]])


def _value(key: int, table: Any, learner: Any, rounds: tuple[int, ...] = ROUNDS, seeds: int = SEEDS) -> Measured:
    history = run(table, learner, rounds=max(rounds), seeds=seeds, key=key)
    return of_seeds(history.value[:, [t - 1 for t in rounds]])


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


def _explore(instance: str, x: Any, predict: Any, measure: Any, **more: Any) -> Case:
    label = {"x_label": "rounds", "y_label": "regret, rewards"} | {k: more.pop(k) for k in ("y_label",) if k in more}
    return Case(
        entry="explore_until_success", instance=instance, x=x, predict=predict, measure=measure, **label, **more
    )


def _batch_regret(key: int, p0: float, batch: int, pulls: tuple[int, ...]) -> Measured:
    """Regret by pull; inside a batch every pull is a draw of the same policy."""
    rounds = -(-max(pulls) // batch)
    learner = learners.ExploreUntilSuccess(rollouts=batch)
    history = run(arms.Needle(log10_arms=100, p0=p0), learner, rounds=rounds, seeds=SEEDS, key=key)
    loss = np.repeat(1.0 - history.value, batch, axis=1)
    return of_seeds(np.cumsum(loss, axis=1)[:, [t - 1 for t in pulls]])


def _enumerated(chance: list[float], value: Any, pulls: int = 1) -> dict[str, np.ndarray]:
    """Mean and spread of the regret, spread of the value, and the size of the value's moves, over runs that differ only
    in the round of their first success: `chance` of each such round (the last: of none), and the value [runs, rounds].
    """
    weight, value = np.asarray(chance)[:, None], np.asarray(value, dtype=np.float64)
    regret = np.cumsum(pulls * (1.0 - value), axis=1)
    mean = (weight * regret).sum(axis=0)
    centred = value - (weight * value).sum(axis=0)
    with np.errstate(invalid="ignore"):
        jump = (weight * np.abs(centred) ** 3).sum(axis=0) / (weight * centred**2).sum(axis=0)
    return {
        "regret": mean,
        "regret_sd": np.sqrt((weight * (regret - mean) ** 2).sum(axis=0)),
        "value_sd": np.sqrt((weight * centred**2).sum(axis=0)),
        "value_jump": jump,
    }


def _two_levels(p0: float, after: float, rounds: int, batch: int = 1, pulls: int = 1) -> dict[str, np.ndarray]:
    """`_enumerated` for a value p0 until the batch of the first success ends, `after` from then on."""
    group = 1.0 - (1.0 - p0) ** (batch * pulls)
    batches = -(-rounds // batch)
    chance = [group * (1.0 - group) ** b for b in range(batches)] + [(1.0 - group) ** batches]
    value = [np.where(np.arange(rounds) // batch > b, after, p0) for b in range(batches + 1)]
    return _enumerated(chance, value, pulls)


def _committed(p0: float, explore: int, rounds: int) -> dict[str, np.ndarray]:
    late = np.arange(rounds) >= explore
    bad = (1.0 - p0) ** explore
    return _enumerated([1.0 - bad, bad], [np.where(late, 1.0, p0), np.where(late, 0.0, p0)])


def _moments(entry: str, instance: str, at: tuple[int, ...], call: dict[str, Any], truth: Any) -> list[Case]:
    """The exact spread of a law against enumeration, at the rounds `at` counted from 0."""
    labels = {
        "regret": "regret, rewards",
        "regret_sd": "standard deviation of the regret",
        "value_sd": "standard deviation of the value",
        "value_jump": "E|v - Ev|^3 / Var v of the value",
    }
    return [
        Case(
            entry=entry,
            instance=f"{label}, {instance}, by enumeration",
            x=at,
            x_label="round",
            y_label=label,
            predict=lambda f, name=name: getattr(f(**call), name)[list(at)],
            measure=lambda key, name=name: exact(truth()[name][list(at)]),
        )
        for name, label in labels.items()
    ]


def _without(number: int, optimal: int) -> arms.Needle:
    return arms.Needle(log10_arms=float(np.log10(number)), optimal=optimal)


EXPLORE = (
    _explore(
        "with replacement, needle among 10^100 arms, p0 = .03",
        ROUNDS,
        lambda f: f(p0=0.03, rounds=250).regret[AFTER],
        lambda key: _regret(key, arms.Needle(log10_arms=100, p0=0.03), learners.ExploreUntilSuccess()),
    ),
    _explore(
        "with replacement, 4 rollouts a round, needle among 10^100 arms, p0 = .03",
        ROUNDS,
        lambda f: f(p0=0.03, rounds=250, rollouts=4).regret[AFTER],
        lambda key: _regret(key, arms.Needle(log10_arms=100, p0=0.03), learners.ExploreUntilSuccess(rollouts=4)),
    ),
    _explore(
        "value, 2 rollouts a round, needle among 10^100 arms, p0 = .6",
        (1, 2, 3),
        lambda f: f(p0=0.6, rounds=3, rollouts=2).value,
        lambda key: _value(
            key, arms.Needle(log10_arms=100, p0=0.6), learners.ExploreUntilSuccess(rollouts=2), (1, 2, 3)
        ),
        y_label="value",
    ),
    _explore(
        "without replacement, 4 of 200 arms",
        ROUNDS[:4],
        lambda f: f(rounds=250, replacement=False, log_arms=np.log(200), optimal=4).regret[AFTER[:4]],
        lambda key: _regret(key, _without(200, 4), learners.ExploreUntilSuccess(replacement=False), ROUNDS[:4]),
    ),
    _explore(
        "without replacement, 10^99 of 10^100 arms",
        ROUNDS[:4],
        lambda f: f(rounds=250, replacement=False, log_arms=100 * np.log(10), optimal=10**99).regret[AFTER[:4]],
        lambda key: _regret(
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
        lambda key: _regret(
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
        lambda key: _regret(
            key, arms.Classes([98 * np.log(10), 99 * np.log(10)], [0.9, 0.1]), learners.ExploreUntilSuccess()
        ),
        inside=False,
        why="Rewards are noisy: a success of a bad arm is kept for ever, and regret grows linearly.",
    ),
)

FRESH = (
    Case(
        entry="epsilon_greedy_regret",
        instance="1 of 50 arms, epsilon = .1",
        x=ROUNDS,
        x_label="rounds",
        y_label="regret, rewards",
        predict=lambda f: f(p0=0.02, rounds=250, epsilon=0.1).regret[AFTER],
        measure=lambda key: _regret(key, _without(50, 1), learners.EpsilonGreedy(epsilon=0.1)),
    ),
    Case(
        entry="epsilon_greedy_regret",
        instance="value, 5 of 20 arms, epsilon = .4",
        x=(1, 2, 4, 8, 16),
        x_label="round",
        y_label="value",
        predict=lambda f: f(p0=0.25, rounds=16, epsilon=0.4).value[[0, 1, 3, 7, 15]],
        measure=lambda key: _value(key, _without(20, 5), learners.EpsilonGreedy(epsilon=0.4), (1, 2, 4, 8, 16)),
    ),
    Case(
        entry="epsilon_greedy_regret",
        instance="1 of 50 arms, epsilon = .1, initial value .5",
        x=ROUNDS,
        x_label="rounds",
        y_label="regret, rewards",
        predict=lambda f: f(p0=0.02, rounds=250, epsilon=0.1).regret[AFTER],
        measure=lambda key: _regret(key, _without(50, 1), learners.EpsilonGreedy(epsilon=0.1, initial_value=0.5)),
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
        measure=lambda key: _regret(
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
        measure=lambda key: _value(
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
        measure=lambda key: _regret(
            key, _without(30, 3), learners.Subsampled(learners.ExploreThenCommit(), size=20), seeds=2000
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
        measure=lambda key: _regret(key, _without(200, 4), learners.ExploreUntilSuccess(replacement=False), ROUNDS[:4]),
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
        measure=lambda key: _gap(key, _without(30, 3), (1, 3, 6, 11, 21)),
        inside=False,
        why="Few arms and none drawn twice: the chance of a success rises with every failure.",
    ),
)


def _gap(key: int, table: Any, rounds: tuple[int, ...]) -> Measured:
    value, error = _value(key, table, learners.ExploreUntilSuccess(replacement=False), rounds, seeds=8000)
    return Measured(1.0 - value, error)


MOMENTS = (
    *_moments(
        "explore_until_success",
        "p0 = .1, 3 rollouts",
        (1, 2, 4, 8),
        {"p0": 0.1, "rounds": 9, "rollouts": 3},
        lambda: _two_levels(0.1, 1.0, 9, pulls=3),
    ),
    *_moments(
        "epsilon_greedy_regret",
        "p0 = .1, epsilon = .3",
        (1, 4, 8, 16, 30),
        {"p0": 0.1, "rounds": 31, "epsilon": 0.3},
        lambda: _two_levels(0.1, 1.0 - 0.3 * 0.9, 31),
    ),
    *_moments(
        "batch_explore_regret",
        "p0 = .1, batches of 4",
        (5, 9, 14, 30),
        {"p0": 0.1, "rounds": 31, "batch": 4},
        lambda: _two_levels(0.1, 1.0, 31, batch=4),
    ),
    *_moments(
        "explore_then_commit_regret",
        "p0 = .1, 6 arms",
        (6, 8, 16),
        {"p0": 0.1, "rounds": 17, "explore": 6},
        lambda: _committed(0.1, 6, 17),
    ),
)

CASES: tuple[Case, ...] = (*EXPLORE, *LONG, *FRESH, *MOMENTS, *INFINITE, *RATES)
