"""Audit of section A, rare correct arms: how long one of them takes to take over."""

from __future__ import annotations

import itertools
from decimal import Decimal, localcontext

import numpy as np

from simulations.theory_audit.case import Case, Measured, exact, of_seeds
from simulations.theory_audit.simulated import hitting_times

STEPS = (0.1, 0.5, 1.0, 3.0)


OPTIMAL = (1, 10, 100, 1000)


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
            hitting_times(1001, 1000, key, {"log10_arms": 100, "optimal": 3, "p0": 0.003}, step_size=2.0)[:, None]
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
                    hitting_times(1000, 600, key, {"log10_arms": 100, "p0": 0.01}, step_size=step)
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
)
