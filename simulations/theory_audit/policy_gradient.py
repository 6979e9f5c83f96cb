"""Audit of section A beside the single correct arm: several correct arms, published rates, clipping and delay."""

from __future__ import annotations

import itertools
from decimal import Decimal, localcontext
from typing import Any

import numpy as np

from bandit_rft import arms, learners, run
from simulations.theory_audit.case import Case, Measured, exact, of_seeds

STEPS = (0.1, 0.5, 1.0, 3.0)
OPTIMAL = (1, 10, 100, 1000)


def _hitting_times(rounds: int, seeds: int, key: int, needle: dict[str, Any], **learner: Any) -> np.ndarray:
    """First round with Pass@1 >= 1/2 of each seed; `rounds` where there was none."""
    history = run(arms.Needle(**needle), learners.SoftmaxPolicyGradient(**learner), rounds=rounds, seeds=seeds, key=key)
    reached = history.value >= 0.5
    return np.where(reached.any(axis=1), reached.argmax(axis=1), rounds).astype(float)


def _table_chain(p0: float, step: float, optimal: int, seeds: int, key: int, wrong: float = np.inf) -> np.ndarray:
    """Rounds to Pass@1 >= 1/2 of softmax policy gradient on m correct and `wrong` wrong arms, success by success.

    A failure's raw signal is 0, so that only the rounds of successes need to be drawn: exact in law.
    """
    generator = np.random.default_rng(key)
    logit = np.full((seeds, optimal), np.log(p0 / optimal) - np.log1p(-p0))  # against all wrong arms together
    elapsed, live, found = np.zeros(seeds), np.arange(seeds), np.zeros(seeds)
    while live.size:
        weight = np.exp(logit)
        policy = weight / (1.0 + weight.sum(axis=1, keepdims=True))
        p = policy.sum(axis=1)
        done = p >= 0.5
        found[live[done]] = elapsed[done]
        live, logit, policy, p = live[~done], logit[~done], policy[~done], p[~done]
        elapsed = elapsed[~done] + generator.geometric(p)
        drawn = generator.random((live.size, 1)) * p[:, None]
        arm = np.minimum((np.cumsum(policy, axis=1) < drawn).sum(axis=1), optimal - 1)
        logit += step * ((1.0 - p) / wrong)[:, None] - step * policy
        logit[np.arange(live.size), arm] += step
    return found


def _chain_moments(p0: float, step: float, arms_in_all: float = np.inf) -> tuple[float, float]:
    """Mean and variance of the rounds to 1/2 with one correct arm: waits are Geometric, added up one by one."""
    odds, mean, variance = p0 / (1 - p0), 0.0, 0.0
    while odds < 1:
        p = odds / (1 + odds)
        mean, variance = mean + 1 / p, variance + (1 - p) / p**2
        odds *= np.exp(step * (1 - p) * (1 + 1 / (arms_in_all - 1)))
    return mean, variance


def _first_explosion(step: float, number: int) -> float:
    """E min of `number` copies of sum_n e^{-step n} E_n, from its partial fractions in 90 digits."""
    with localcontext() as context:
        context.prec = 90
        q, terms = (Decimal(-step)).exp(), int(np.sqrt(400 / step)) + 2
        product, limit = [Decimal(1)], Decimal(1)
        for k in range(1, terms + 1):
            product.append(product[-1] * (1 - q**k))
        for k in range(1, int(210 / step) + 2):
            limit *= 1 - q**k
        factor = [(-1) ** n * q ** (n * (n + 1) // 2) / product[n] / limit for n in range(terms)]
        rate = [1 / q**n for n in range(terms)]

        def survival(y: float) -> float:
            at = Decimal(y)
            return float(sum(a * (-b * at).exp() for a, b in zip(factor, rate, strict=True)) ** number)

        top = 1 / (1 - np.exp(-step)) + 40.0
        edges = np.geomspace(1e-7, top, 65)
        node, weight = np.polynomial.legendre.leggauss(12)
        total = edges[0]
        for left, right in itertools.pairwise(edges):
            y = (left + right) / 2 + (right - left) / 2 * node
            total += (right - left) / 2 * sum(w * survival(at) for w, at in zip(weight, y, strict=True))
    return float(total)


EXPLOSIONS = ((0.05, 1), (0.28, 2), (0.28, 300), (0.6, 10**6), (1.0, 10**3), (2.0, 10))


def _takeover_means(key: int) -> Measured:
    parts = [
        of_seeds(_table_chain(1e-6, 1.0, m, seeds, key + m) * 1e-6 / m)
        for m, seeds in zip(OPTIMAL, (8000, 8000, 4000, 1000), strict=True)
    ]
    return Measured(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _takeover_spreads(key: int) -> Measured:
    found, error = [], []
    for optimal, step in zip((2, 20, 200), (0.05, 0.5, 4.0), strict=True):
        time = _table_chain(1e-6, step, optimal, 6000, key + optimal) * 1e-6 / optimal
        gap = (time - time.mean()) ** 2
        found.append(time.std())
        error.append(gap.std() / np.sqrt(time.size) / 2 / time.std())
    return Measured(np.asarray(found), np.asarray(error))


def _ppo_value(key: int, needle: dict[str, Any], rounds: tuple[int, ...], **learner: Any) -> Measured:
    history = run(
        arms.Needle(**needle), learners.SoftmaxPolicyGradient(**learner), rounds=rounds[-1] + 1, seeds=1000, key=key
    )
    return of_seeds(history.value[:, list(rounds)])


PPO_ROUNDS = (20, 40, 80, 160, 240)
# step size, epochs; the clip is .2
PPO = ((0.02, 20), (0.1, 10), (0.5, 4))


def _ppo_times(key: int, settings: tuple[tuple[float, int], ...]) -> Measured:
    needle = {"log10_arms": 100, "p0": 0.02}
    times = [
        _hitting_times(900, 250, key, needle, step_size=step, clip=0.2, epochs=epochs) for step, epochs in settings
    ]
    return of_seeds(np.stack(times, axis=1))


def _compounded(p0: float, step: float, clip: float, level: float) -> float:
    """Waits 1/p added up while p, multiplied by the most that one success can give, lies below the level."""
    p, total = p0, 0.0
    while p < level:
        total += 1 / p
        p *= (1 + clip) * np.exp(step * (1 + clip))
    return total


REWARDS = np.array([1.0, 0.9, 0.6, 0.3, 0.0])


def _exact_gaps(step: float, start: np.ndarray, rounds: tuple[int, ...]) -> np.ndarray:
    """Value gap at round t = 1, 2, ... of exact gradient ascent on five arms."""
    logit, found = np.log(start), []
    for t in range(1, max(rounds) + 1):
        policy = np.exp(logit - logit.max())
        policy /= policy.sum()
        if t in rounds:
            found.append(REWARDS[0] - policy @ REWARDS)
        logit = logit + step * policy * (REWARDS - policy @ REWARDS)
    return np.asarray(found)


GAP_ROUNDS = (1, 10, 100, 1000, 10000)
UNIFORM = np.full(5, 0.2)
SKEWED = np.array([0.02, 0.9, 0.03, 0.03, 0.02])


def _least_best(step: float, start: np.ndarray, rounds: int) -> float:
    """The best arm's least probability over the run."""
    logit, least = np.log(start), 1.0
    for _ in range(rounds):
        policy = np.exp(logit - logit.max())
        policy /= policy.sum()
        least = min(least, float(policy[0]))
        logit = logit + step * policy * (REWARDS - policy @ REWARDS)
    return least


def _supervised_time(p0: float, step: float, level: float, number: int) -> float:
    """Rounds to the level of gradient ascent on ln pi(first arm) over `number` logits."""
    logit, t = np.zeros(number), 0
    logit[0] = np.log(p0) - np.log((1 - p0) / (number - 1))
    while True:
        policy = np.exp(logit - logit.max())
        policy /= policy.sum()
        if policy[0] >= level:
            return float(t)
        logit, t = logit - step * policy, t + 1
        logit[0] += step


def _grpo_times(key: int) -> Measured:
    history = run(
        arms.Needle(log10_arms=100, p0=0.01),
        learners.SoftmaxPolicyGradient(step_size=2.0, signal="grpo", rollouts=8),
        rounds=150,
        seeds=200,
        key=key,
    )
    reached = [history.value >= level for level in (0.02, 0.5)]
    return of_seeds(np.stack([np.where(at.any(axis=1), at.argmax(axis=1), 150) for at in reached], axis=1))


# Three correct arms of which one is ahead, and a wrong arm that holds half the mass.
FLOW_POLICY = np.concatenate([[0.04], [0.03] * 2, [0.5], np.full(16, 0.4 / 16)])
FLOW_CORRECT = np.arange(20) < 3
FLOW_CLASSES: dict[str, Any] = {
    "masses": [0.04, 0.06, 0.5, 0.4],
    "log_counts": np.log([1, 2, 1, 16]),
    "correct": [True, True, False, False],
}
FLOW_ROUNDS = (500, 1000, 2000, 4000)
REGRET_ROUNDS = (1, 10, 100, 1000, 4000)
ODE_SAMPLED = (20, 40, 80, 160)


def _flow(step: float, rounds: tuple[int, ...], measured: str) -> np.ndarray:
    """Pass@1, regret or the leading arm's share after exact gradient ascent on all 20 logits."""
    logit, lost, found = np.log(FLOW_POLICY), 0.0, []
    for t in range(max(rounds) + 1):
        policy = np.exp(logit - logit.max())
        policy /= policy.sum()
        p = policy[FLOW_CORRECT].sum()
        lost += 1 - p
        if t in rounds:
            found.append({"value": p, "regret": lost}[measured])
        logit = logit + step * policy * (FLOW_CORRECT - p)
    return np.asarray(found)


def _drift_apart(step: float, least: float) -> float:
    """d ln(pi_0/pi_1)/dt along the numerical gradient of p, with pi_0, pi_1 multiplied by `least` at first."""
    policy = FLOW_POLICY.copy()
    policy[:2] *= least
    logit = np.log(policy)

    def value(at: np.ndarray) -> float:
        return float(np.exp(at)[FLOW_CORRECT].sum() / np.exp(at).sum())

    nudge = 1e-5 * np.eye(20)[:2]
    gradient = [(value(logit + d) - value(logit - d)) / 2e-5 for d in nudge]
    return step * (gradient[0] - gradient[1])


def _takeover_medians(key: int) -> Measured:
    time = np.stack([_table_chain(1e-6, step, 10, 6000, key) * 1e-7 for step in (0.5, 1.0, 2.0)], axis=1)
    # One standard error of the median is half the way between the quantiles that many places to either side.
    places = np.quantile(time, 0.5 + 0.5 / np.sqrt(len(time)) * np.array([-1.0, 0.0, 1.0]), axis=0)
    return Measured(places[1], (places[2] - places[0]) / 2)


CASES = (
    Case(
        entry="pg_monopoly",
        instance="steps .05 to 2, 1 to 10^6 correct arms: partial fractions in 90 digits",
        x=range(1, 1 + len(EXPLOSIONS)),
        x_label="step, correct arms: " + "; ".join(f"{step:g}, {number}" for step, number in EXPLOSIONS),
        y_label="mean rounds to a takeover, in m/p0",
        predict=lambda f: [f(p0=1e-3, step_size=step, optimal=m).mean * 1e-3 / m for step, m in EXPLOSIONS],
        measure=lambda key: exact([_first_explosion(step, number) for step, number in EXPLOSIONS]),
        tolerance=2e-8,
        why="The quadratures of either side.",
    ),
    Case(
        entry="pg_monopoly",
        instance="m correct arms of very many, p0 = 1e-6, step 1, success by success",
        x=OPTIMAL,
        x_label="correct arms m",
        y_label="mean rounds to Pass@1 = 1/2, in m/p0",
        predict=lambda f: [f(p0=1e-6, step_size=1.0, optimal=m).mean * 1e-6 / m for m in OPTIMAL],
        measure=_takeover_means,
    ),
    Case(
        entry="pg_monopoly",
        instance="steps .05, .5 and 4 with 2, 20 and 200 correct arms, p0 = 1e-6, success by success",
        x=(2, 20, 200),
        x_label="correct arms m",
        y_label="standard deviation of the rounds to Pass@1 = 1/2, in m/p0",
        predict=lambda f: [
            f(p0=1e-6, step_size=step, optimal=m).sd * 1e-6 / m for m, step in ((2, 0.05), (20, 0.5), (200, 4.0))
        ],
        measure=_takeover_spreads,
    ),
    Case(
        entry="pg_monopoly",
        instance="three correct of 10^100 arms, p0 = .003, step 2, round by round",
        x=(150, 300, 500, 700, 1000),
        x_label="round t",
        y_label="P(Pass@1 < 1/2 at round t)",
        predict=lambda f: f(p0=0.003, step_size=2.0, optimal=3).survival([150, 300, 500, 700, 1000]),
        measure=lambda key: of_seeds(
            _hitting_times(1001, 1000, key, {"log10_arms": 100, "optimal": 3, "p0": 0.003}, step_size=2.0)[:, None]
            > np.array([150, 300, 500, 700, 1000])
        ),
        tolerance=0.02,
        why="p0 = .003 is small, not infinitesimal.",
    ),
    Case(
        entry="pg_monopoly",
        instance="ten correct arms of very many, p0 = 1e-6, success by success: the median",
        x=(0.5, 1.0, 2.0),
        x_label="step size",
        y_label="median rounds to Pass@1 = 1/2, in m/p0",
        predict=lambda f: [f(p0=1e-6, step_size=step, optimal=10).quantile(0.5) * 1e-7 for step in (0.5, 1.0, 2.0)],
        measure=_takeover_medians,
    ),
    Case(
        entry="pg_monopoly",
        instance="m correct arms and one wrong arm, p0 = 1e-3, step 1, success by success",
        x=(1, 10, 100),
        x_label="correct arms m",
        y_label="mean rounds to Pass@1 = 1/2, in m/p0",
        predict=lambda f: [f(p0=1e-3, step_size=1.0, optimal=m).mean * 1e-3 / m for m in (1, 10, 100)],
        measure=lambda key: of_seeds(
            np.stack([_table_chain(1e-3, 1.0, m, 2000, key, wrong=1.0) * 1e-3 / m for m in (1, 10, 100)], axis=1)
        ),
        inside=False,
        why="One wrong arm holds most of the mass: each success lowers its logit, which lifts every correct arm.",
    ),
    Case(
        entry="pg_monopoly",
        instance="m correct arms of very many, p0 = .2, step 1, success by success",
        x=(1, 10, 100),
        x_label="correct arms m",
        y_label="mean rounds to Pass@1 = 1/2, in m/p0",
        predict=lambda f: [f(p0=0.2, step_size=1.0, optimal=m).mean * 0.2 / m for m in (1, 10, 100)],
        measure=lambda key: of_seeds(
            np.stack([_table_chain(0.2, 1.0, m, 2000, key) * 0.2 / m for m in (1, 10, 100)], axis=1)
        ),
        inside=False,
        why="p0 = .2 is not small.",
    ),
    Case(
        entry="pg_cold_start",
        instance="one correct arm of very many, p0 = 1e-9: the waits added up",
        x=STEPS,
        x_label="step size",
        y_label="mean rounds to Pass@1 = 1/2, in 1/p0",
        predict=lambda f: [f(p0=1e-9, step_size=step).mean * 1e-9 for step in STEPS],
        measure=lambda key: exact([_chain_moments(1e-9, step)[0] * 1e-9 for step in STEPS]),
        tolerance=1e-6,
        why="p0 = 1e-9 is not 0.",
    ),
    Case(
        entry="pg_cold_start",
        instance="one correct arm of three, p0 = 1e-9: the waits added up",
        x=STEPS,
        x_label="step size",
        y_label="coefficient of variation of the rounds to Pass@1 = 1/2",
        predict=lambda f: [
            found.sd / found.mean for found in (f(p0=1e-9, step_size=step, kappa=1.5) for step in STEPS)
        ],
        measure=lambda key: exact(
            [np.sqrt(variance) / mean for mean, variance in (_chain_moments(1e-9, step, 3) for step in STEPS)]
        ),
        tolerance=1e-6,
        why="p0 = 1e-9 is not 0.",
    ),
    Case(
        entry="pg_cold_start",
        instance="needle among 10^100 arms, p0 = .01, round by round",
        x=(0.5, 1.0, 3.0),
        x_label="step size",
        y_label="mean rounds to Pass@1 = 1/2",
        predict=lambda f: [f(p0=0.01, step_size=step).mean for step in (0.5, 1.0, 3.0)],
        measure=lambda key: of_seeds(
            np.stack(
                [
                    _hitting_times(1000, 600, key, {"log10_arms": 100, "p0": 0.01}, step_size=step)
                    for step in (0.5, 1.0, 3.0)
                ],
                axis=1,
            )
        ),
        tolerance=0.05,
        why="p0 = .01 is small, not infinitesimal.",
    ),
    Case(
        entry="pg_cold_start",
        instance="one correct arm of very many, p0 = .2: the waits added up",
        x=STEPS,
        x_label="step size",
        y_label="mean rounds to Pass@1 = 1/2, in 1/p0",
        predict=lambda f: [f(p0=0.2, step_size=step).mean * 0.2 for step in STEPS],
        measure=lambda key: exact([_chain_moments(0.2, step)[0] * 0.2 for step in STEPS]),
        inside=False,
        why="p0 = .2 is not small.",
    ),
    Case(
        entry="ppo_jump_single",
        instance="needle among 10^100 arms, p0 = .05, clip .2, four epochs of step .15",
        x=PPO_ROUNDS,
        x_label="round",
        y_label="Pass@1",
        predict=lambda f: f(p0=0.05, step_size=0.15, rounds=241, clip=0.2, epochs=4).value[list(PPO_ROUNDS)],
        measure=lambda key: _ppo_value(
            key, {"log10_arms": 100, "p0": 0.05}, PPO_ROUNDS, step_size=0.15, clip=0.2, epochs=4
        ),
    ),
    Case(
        entry="ppo_jump_single",
        instance="one correct arm of three, p0 = .1, no clip, three epochs of step .1",
        x=PPO_ROUNDS,
        x_label="round",
        y_label="Pass@1",
        predict=lambda f: f(p0=0.1, step_size=0.1, rounds=241, log_arms=np.log(3), clip=None, epochs=3).value[
            list(PPO_ROUNDS)
        ],
        measure=lambda key: _ppo_value(
            key, {"log10_arms": np.log10(3), "p0": 0.1}, PPO_ROUNDS, step_size=0.1, epochs=3
        ),
    ),
    Case(
        entry="ppo_jump_single",
        instance="ten correct arms of 10^3, p0 = .05, clip .2, four epochs of step .15",
        x=PPO_ROUNDS,
        x_label="round",
        y_label="Pass@1",
        predict=lambda f: f(p0=0.05, step_size=0.15, rounds=241, clip=0.2, epochs=4).value[list(PPO_ROUNDS)],
        measure=lambda key: _ppo_value(
            key, {"log10_arms": 3, "optimal": 10, "p0": 0.05}, PPO_ROUNDS, step_size=0.15, clip=0.2, epochs=4
        ),
        inside=False,
        why="Ten correct arms share the successes; the law is for one.",
    ),
    Case(
        entry="ppo_clip_floor",
        instance="needle among 10^100 arms, p0 = .02, clip .2",
        x=[step for step, _ in PPO],
        x_label="step size (epochs 20, 10, 4)",
        y_label="mean rounds to Pass@1 = 1/2",
        predict=lambda f: [f(p0=0.02, step_size=step, clip=0.2) for step, _ in PPO],
        measure=lambda key: _ppo_times(key, PPO),
        relation="lower",
    ),
    Case(
        entry="ppo_clip_floor",
        instance="waits added up while p compounds by its most",
        x=(0.0, 0.1, 0.5, 2.0),
        x_label="step size",
        y_label="least mean rounds to Pass@1 = .4",
        predict=lambda f: [f(p0=0.003, step_size=step, clip=0.3, level=0.4) for step in (0.0, 0.1, 0.5, 2.0)],
        measure=lambda key: exact([_compounded(0.003, step, 0.3, 0.4) for step in (0.0, 0.1, 0.5, 2.0)]),
    ),
    Case(
        entry="ppo_clip_floor",
        instance="the floor of small steps against steps of .5 and 2, p0 = .02, clip .2",
        x=(0.5, 2.0),
        x_label="step size (four epochs)",
        y_label="mean rounds to Pass@1 = 1/2",
        predict=lambda f: [f(p0=0.02, step_size=0.0, clip=0.2)] * 2,
        measure=lambda key: _ppo_times(key, ((0.5, 4), (2.0, 4))),
        relation="lower",
        inside=False,
        why="Steps are not small: the first epoch is never clipped and the last one may overshoot.",
    ),
    Case(
        entry="mei_2020_gap",
        instance="five arms, uniform start, step 2/5",
        x=GAP_ROUNDS,
        x_label="round t",
        y_label="value gap",
        predict=lambda f: f(rounds=10000, log_arms=np.log(5)).value[np.array(GAP_ROUNDS) - 1],
        measure=lambda key: exact(_exact_gaps(0.4, UNIFORM, GAP_ROUNDS)),
        relation="upper",
    ),
    Case(
        entry="mei_2020_gap",
        instance="five arms, the second best with .9 of the mass at the start, step 2/5",
        x=GAP_ROUNDS,
        x_label="round t",
        y_label="value gap",
        predict=lambda f: f(rounds=10000, smallest_probability=_least_best(0.4, SKEWED, 10000)).value[
            np.array(GAP_ROUNDS) - 1
        ],
        measure=lambda key: exact(_exact_gaps(0.4, SKEWED, GAP_ROUNDS)),
        relation="upper",
    ),
    Case(
        entry="mei_2020_gap",
        instance="5/(C^2 t) by hand, C = 1/20",
        x=GAP_ROUNDS,
        x_label="round t",
        y_label="the theorem's number",
        predict=lambda f: f(rounds=10000, log_arms=np.log(20)).uncapped[np.array(GAP_ROUNDS) - 1],
        measure=lambda key: exact([5 * 400 / t for t in GAP_ROUNDS]),
    ),
    Case(
        entry="exact_gradient_gap",
        instance="five arms, uniform start, step 2",
        x=GAP_ROUNDS,
        x_label="round t",
        y_label="value gap",
        predict=lambda f: f(rounds=10000, step_size=2.0, log_arms=np.log(5), start_gap=0.44).value[
            np.array(GAP_ROUNDS) - 1
        ],
        measure=lambda key: exact(_exact_gaps(2.0, UNIFORM, GAP_ROUNDS)),
        relation="upper",
    ),
    Case(
        entry="exact_gradient_gap",
        instance="the recursion d -> d - C^2 eta (1 - eta/4) d^2 as reciprocals by hand, eta = 1, C = 1/20, d = .5",
        x=GAP_ROUNDS,
        x_label="round t",
        y_label="the bound",
        predict=lambda f: f(rounds=10000, step_size=1.0, smallest_probability=0.05, start_gap=0.5).uncapped[
            np.array(GAP_ROUNDS) - 1
        ],
        measure=lambda key: exact([1 / (2 + 0.75 / 400 * (t - 1)) for t in GAP_ROUNDS]),
    ),
    Case(
        entry="cold_start_floor",
        instance="explore until success, p0 = .02, one to 32 rollouts",
        x=(1, 8, 32),
        x_label="rollouts a round",
        y_label="mean rounds before the first success, itself counted",
        predict=lambda f: [f(p0=0.02, rollouts=g) for g in (1, 8, 32)],
        measure=lambda key: exact([sum((1 - 0.02) ** (g * t) for t in range(3000)) for g in (1, 8, 32)]),
        tolerance=1e-9,
        why="The sum is cut after 3,000 rounds.",
    ),
    Case(
        entry="cold_start_floor",
        instance="GRPO with 8 rollouts, step 2, needle among 10^100 arms, p0 = .01",
        x=(0.02, 0.5),
        x_label="level of Pass@1",
        y_label="mean rounds to the level",
        predict=lambda f: [f(p0=0.01, rollouts=8)] * 2,
        measure=_grpo_times,
        relation="lower",
    ),
    Case(
        entry="log_likelihood_time",
        instance="gradient ascent on ln p over four logits, step .01",
        x=(1e-6, 1e-4, 1e-2),
        x_label="Pass@1 at the start",
        y_label="rounds to Pass@1 = .7",
        predict=lambda f: [f(p0=p0, step_size=0.01, level=0.7, kappa=4 / 3) for p0 in (1e-6, 1e-4, 1e-2)],
        measure=lambda key: exact([_supervised_time(p0, 0.01, 0.7, 4) for p0 in (1e-6, 1e-4, 1e-2)]),
        tolerance=0.01,
        why="A step of .01 is small, not infinitesimal, and rounds are whole.",
    ),
    Case(
        entry="log_likelihood_time",
        instance="gradient ascent on ln p over four logits, step 3",
        x=(1e-6, 1e-4, 1e-2),
        x_label="Pass@1 at the start",
        y_label="rounds to Pass@1 = .7",
        predict=lambda f: [f(p0=p0, step_size=3.0, level=0.7, kappa=4 / 3) for p0 in (1e-6, 1e-4, 1e-2)],
        measure=lambda key: exact([_supervised_time(p0, 3.0, 0.7, 4) for p0 in (1e-6, 1e-4, 1e-2)]),
        inside=False,
        why="A step of 3 is no gradient flow.",
    ),
    Case(
        entry="lattimore_step_size",
        instance="Theorem 1's expression by hand: gaps .2 and .5, k = 10, n = 1000; gaps .1 and 1, k = 100, n = 10^6",
        x=(1, 2),
        x_label="instance",
        y_label="largest step size",
        predict=lambda f: [
            f(smallest_gap=0.2, largest_gap=0.5, rounds=1000, log_arms=np.log(10)),
            f(smallest_gap=0.1, largest_gap=1.0, rounds=10**6, log_arms=np.log(100)),
        ],
        measure=lambda key: exact([0.04 / (60 * np.log(1e4)), 0.01 / (120 * np.log(1e8))]),
    ),
    Case(
        entry="pg_ode_general",
        instance="exact gradients, 3 of 20 arms correct, one of them ahead, step .02",
        x=FLOW_ROUNDS,
        x_label="round",
        y_label="Pass@1",
        predict=lambda f: f(**FLOW_CLASSES, step_size=0.02, rounds=4001).value[list(FLOW_ROUNDS)],
        measure=lambda key: exact(_flow(0.02, FLOW_ROUNDS, "value")),
        tolerance=0.01,
        why="A step of .02 is small, not infinitesimal.",
    ),
    Case(
        entry="pg_ode_general",
        instance="exact gradients, 3 of 20 arms correct, one of them ahead, step .05",
        x=REGRET_ROUNDS,
        x_label="round",
        y_label="cumulative regret",
        predict=lambda f: f(**FLOW_CLASSES, step_size=0.05, rounds=4001).regret[list(REGRET_ROUNDS)],
        measure=lambda key: exact(_flow(0.05, REGRET_ROUNDS, "regret")),
        tolerance=0.01,
        why="A step of .05 is small, not infinitesimal.",
    ),
    Case(
        entry="pg_ode_general",
        instance="one rollout a round, 3 of 20 arms correct, one of them ahead, step .5",
        x=ODE_SAMPLED,
        x_label="round",
        y_label="Pass@1",
        predict=lambda f: f(**FLOW_CLASSES, step_size=0.5, rounds=161).value[list(ODE_SAMPLED)],
        measure=lambda key: of_seeds(
            run(
                arms.Bernoulli(FLOW_CORRECT.astype(float).tolist(), FLOW_POLICY.tolist()),
                learners.SoftmaxPolicyGradient(step_size=0.5),
                rounds=161,
                seeds=1000,
                key=key,
            ).value[:, list(ODE_SAMPLED)]
        ),
        inside=False,
        why="Sampled rollouts: the mean over seeds is not the flow's.",
    ),
    Case(
        entry="path_instability",
        instance="numerical gradient of p over 20 logits, step .3, two correct arms at 1, 1/2 and 1/10 of a start",
        x=(1.0, 0.5, 0.1),
        x_label="factor of both arms' probability before normalisation",
        y_label="d ln(ratio)/dt",
        predict=lambda f: [
            f(first=0.04 * c / whole, second=0.03 * c / whole, p=(0.07 * c + 0.03) / whole, step_size=0.3)
            for c, whole in ((c, 0.93 + 0.07 * c) for c in (1.0, 0.5, 0.1))
        ],
        measure=lambda key: exact([_drift_apart(0.3, c) for c in (1.0, 0.5, 0.1)]),
        tolerance=1e-6,
        why="Central differences.",
    ),
)
