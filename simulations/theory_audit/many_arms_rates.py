"""Audit of section E, published rates: exponents fitted to simulations, or computed without any learner."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.special import betaln
from scipy.stats import norm

from bandit_rft import arms, learners, run
from bandit_rft.regret import scaling_exponent
from simulations.theory_audit.case import Case, Measured, exact, of_seeds
from simulations.theory_audit.infinite_arms import targets, two_targets

HORIZONS = (100, 300, 900)
BETAS = (0.5, 1.0, 2.0, 4.0)


def _run_strategy_exponent(beta: float) -> float:
    """Exponent of the strategy that keeps the first arm with n^(1/(beta+1)) successes running, these being 10^4 and
    10^6, on Bernoulli arms with means of Beta(1, beta): expected pulls and failures are summed, not simulated.
    """
    regret, horizons = [], []
    for length in (10**4, 10**6):
        pulls = float(length) ** (beta + 1.0)
        horizons.append(pulls)
        lasts = beta * np.exp(betaln(np.arange(length + 1) + 1.0, beta))  # P(first run >= k)
        tries = lasts[:-1].sum() - length * lasts[-1]  # E[pulls; fails before]
        gap = np.exp(betaln(length + 1.0, beta + 1.0) - betaln(length + 1.0, beta))  # of the arm kept
        regret.append((1.0 - lasts[-1]) / lasts[-1] + (pulls - tries / lasts[-1]) * gap)
    return float(np.log(regret[1] / regret[0]) / np.log(horizons[1] / horizons[0]))


def _oracle_exponent(beta: float) -> float:
    """How fast the gap of the best of n means of Beta(1, beta) falls, from n = 10^8 to 10^10."""
    # P(gap > g) = (1 - g^beta)^n, whose mean is B(1/beta, n + 1)/beta.
    mean = [np.exp(betaln(1.0 / beta, n + 1.0)) / beta for n in (1e8, 1e10)]
    return float(-np.log(mean[1] / mean[0]) / np.log(1e2))


def _fitted(key: int, make: Callable[[int], Any], seeds: int, less: Callable[[int], float] = lambda n: 0.0) -> Measured:
    """Exponent of the mean final regret, less what is known of the benchmark, over three horizons."""
    final = []
    for horizon in HORIZONS:
        history = run(arms.Reservoir(), make(horizon), rounds=horizon, seeds=seeds, key=key + horizon)
        final.append(history.regret()[:, -1] - less(horizon))
    growth = scaling_exponent(HORIZONS, final)
    return Measured(np.array([growth.slope]), np.array([growth.standard_error]))


def _subsampled(learner: Any) -> Callable[[int], Any]:
    """On sqrt(T) arms of the reservoir, which are K = sqrt(T) arms drawn from the prior."""
    return lambda horizon: learners.Subsampled(learner, size=round(horizon**0.5))


def _best_of_root(horizon: int) -> float:
    """Regret against 1 less that against the best of sqrt(T) uniform means."""
    return horizon / (round(horizon**0.5) + 1.0)


def _annealed(key: int, seeds: int, table: Any = None, prior: Any = "uniform") -> Measured:
    """Exponent of annealed softmax greedy's regret against the best of its arms: sqrt(T) of a prior, or a table."""
    horizons, final = (1000, 3000, 9000), []
    for horizon in horizons:
        few = arms.Instances(prior, arms=round(horizon**0.5)) if table is None else table
        history = run(few, learners.AnnealedSoftmax(scale=3.0), rounds=horizon, seeds=seeds, key=key + horizon)
        final.append(history.regret()[:, -1])
    growth = scaling_exponent(horizons, final)
    return Measured(np.array([growth.slope]), np.array([growth.standard_error]))


def _curve(key: int, table: Any, learner: Any, rounds: tuple[int, ...], seeds: int) -> Measured:
    history = run(table, learner, rounds=max(rounds), seeds=seeds, key=key)
    return of_seeds(history.regret()[:, [t - 1 for t in rounds]])


def _grid_regret(rounds: float, arms_: int, batches: int) -> float:
    """sqrt(K) times the worst term of the best grid: t_1 for the blind batch, t_m / sqrt(t_{m-1}) for the m-th."""

    def last(first: float) -> float:
        end = first
        for _ in range(batches - 1):
            end = first * end**0.5
        return np.log(end) - np.log(rounds)

    return arms_**0.5 * np.asarray(brentq(last, 1.0, rounds)).item()


def _two_batches(rounds: float) -> float:
    """The minimax regret of explore-then-commit on two Gaussian arms, gaps up to 1, over the time of the commitment."""
    gap = np.geomspace(1e-6, 1.0, 4000)
    times = np.geomspace(rounds**0.5, rounds**0.9, 2000)
    worst = [np.max(gap * (t / 2 + (rounds - t) * norm.sf(gap * t**0.5 / 2))) for t in times]
    return float(np.min(worst))


def _case(entry: str, instance: str, x: Any, predict: Any, measure: Any, x_label: str, **more: Any) -> Case:
    return Case(
        entry=entry,
        instance=instance,
        x=x,
        x_label=x_label,
        y_label=more.pop("y_label", "exponent"),
        predict=predict,
        measure=measure,
        **more,
    )


NEEDLE_ROUNDS = (100, 300, 1000, 3000)

CASES: tuple[Case, ...] = (
    _case(
        "wang_exponent",
        "run strategy on means of Beta(1, beta), runs of 10^4 to 10^6",
        BETAS,
        lambda f: [f(beta).upper for beta in BETAS],
        lambda key: exact([_run_strategy_exponent(beta) for beta in BETAS]),
        "beta",
        tolerance=0.005,
        why="An exponent between two finite horizons; what the search takes from the horizon falls by a power of it.",
    ),
    _case(
        "wang_exponent",
        "by hand: beta 1/3 and 1/2, best mean below 1",
        (1, 2, 3, 4, 5, 6),
        lambda f: [*f(1 / 3, best_mean_is_one=False), *f(1 / 2, best_mean_is_one=False)],
        lambda key: exact([1 / 4, 1 / 2, 1 / 6, 1 / 3, 1 / 2, 1 / 4]),
        "lower, upper, arms of the first, then of the second",
    ),
    _case(
        "wang_exponent",
        "by hand: number of arms of UCB-F, best mean 1",
        (0.5, 1, 3),
        lambda f: [f(0.5).arms, f(1.0).arms, f(3.0).arms],
        lambda key: exact([1 / 3, 1 / 2, 3 / 4]),
        "beta",
    ),
    _case(
        "wang_exponent",
        "lower bound: two targets on uniform means, 10^3 to 10^5 pulls, by dynamic programming",
        (1,),
        lambda f: [f(1.0).lower],
        lambda key: exact(
            np.log10(two_targets(10**5, *targets(10**5, 3), 3) / two_targets(10**3, *targets(10**3, 3), 3)) / 2
        ),
        "beta",
        relation="lower",
    ),
    _case(
        "wang_exponent",
        "UCB-F on uniform means, 100 to 900 pulls",
        (1,),
        lambda f: [f(1.0).upper],
        lambda key: _fitted(key, lambda horizon: learners.UCBF(beta=1.0), 100),
        "beta",
        relation="upper",
        inside=False,
        why="Few pulls: UCB-F still explores its sqrt(n) arms, and its regret is nearly linear.",
    ),
    _case(
        "annealed_softmax_exponent",
        "by hand: alpha 0, .3, .5, .9",
        (0.0, 0.3, 0.5, 0.9),
        lambda f: [f(0.0), f(0.3), f(0.5), f(0.9)],
        lambda key: exact([1.0, 0.7, 0.5, 0.9]),
        "alpha",
    ),
    _case(
        "annealed_softmax_exponent",
        "sqrt(T) uniform Bernoulli arms, T = 1000 to 9000",
        (0.5,),
        lambda f: [f(0.5)],
        lambda key: _annealed(key, 100),
        "alpha",
        tolerance=0.1,
        why="Powers of ln T, which bend the curve at a finite T.",
    ),
    _case(
        "annealed_softmax_exponent",
        "two arms of means .6 and .5, T = 1000 to 9000",
        (0.0,),
        lambda f: [f(0.0)],
        lambda key: _annealed(key, 400, arms.Bernoulli([0.6, 0.5])),
        "alpha",
        tolerance=0.05,
        why="The first rounds, which explore.",
    ),
    _case(
        "annealed_softmax_exponent",
        "sqrt(T) arms whose means come from Beta(1, 3): few good ones",
        (0.5,),
        lambda f: [f(0.5)],
        lambda key: _annealed(key, 100, prior=arms.Beta(1.0, 3.0)),
        "alpha",
        relation="upper",
        inside=False,
        why="The prior's mass within eps of its top is of order eps^3.",
    ),
    _case(
        "bayati_bounds",
        "by hand: alpha .3, .5, .9",
        range(12),
        lambda f: [*f(0.3), *f(0.5), *f(0.9)],
        lambda key: exact([0.3, 0.3, 0.3, 0.85, 0.5, 0.5, 0.5, 0.75, 0.5, 0.9, 0.5, 0.9]),
        "lower, UCB, subsampled UCB, greedy of each alpha",
    ),
    _case(
        "bayati_bounds",
        "greedy on sqrt(T) uniform Bernoulli arms, T = 100 to 900",
        (0.5,),
        lambda f: [f(0.5).greedy],
        lambda key: _fitted(key, _subsampled(learners.Greedy()), 400, _best_of_root),
        "alpha",
        relation="upper",
    ),
    _case(
        "bayati_bounds",
        "lower bound: greedy on sqrt(T) uniform Bernoulli arms, T = 100 to 900",
        (0.5,),
        lambda f: [f(0.5).lower],
        lambda key: _fitted(key, _subsampled(learners.Greedy()), 400, _best_of_root),
        "alpha",
        relation="lower",
    ),
    _case(
        "bayati_bounds",
        "UCB1 on sqrt(T) uniform Bernoulli arms, T = 100 to 900",
        (0.5,),
        lambda f: [f(0.5).subsampled],
        lambda key: _fitted(key, _subsampled(learners.UCB1()), 100, _best_of_root),
        "alpha",
        relation="upper",
        inside=False,
        why="Small T: UCB1 still explores all of its arms, and its regret is nearly linear.",
    ),
    _case(
        "quantile_lower",
        "by hand",
        (2, 100, 10_000),
        lambda f: f((2, 100, 10_000), 0.25, 0.5, 3.0).value,
        lambda key: exact([0.75, 37.5, 24.0 * 4 * np.log(10.0)]),
        "rounds",
        y_label="regret, rewards",
    ),
    _case(
        "quantile_lower",
        "a fifth of the arms better by 1, unit noise, Thompson on 20 arms",
        HORIZONS,
        lambda f: f(HORIZONS, 0.2, 1.0).value,
        lambda key: _curve(
            key,
            arms.Reservoir(arms.TwoPoint(0.2), sigma=1.0),
            learners.Subsampled(learners.ThompsonGaussian(), size=20),
            HORIZONS,
            400,
        ),
        "rounds",
        y_label="regret, rewards",
        relation="lower",
    ),
    _case(
        "quantile_lower",
        "deterministic rewards, a fifth of the arms pays",
        NEEDLE_ROUNDS,
        lambda f: f(NEEDLE_ROUNDS, 0.2, 1.0).value,
        lambda key: _curve(
            key, arms.Needle(log10_arms=100, p0=0.2), learners.ExploreUntilSuccess(), NEEDLE_ROUNDS, 400
        ),
        "rounds",
        y_label="regret, rewards",
        relation="lower",
        inside=False,
        why="No noise: one success identifies an optimal arm, and regret stays below 1/p*.",
    ),
    _case(
        "batched_minimax",
        "the best grid, by root finding: 10^6 rounds, 7 arms",
        (1, 2, 3, 5, 9),
        lambda f: [f(1e6, 7, m) for m in (1, 2, 3, 5, 9)],
        lambda key: exact([_grid_regret(1e6, 7, m) for m in (1, 2, 3, 5, 9)]),
        "batches",
        y_label="regret over its constant",
        tolerance=1e-6,
        why="The root finder's tolerance.",
    ),
    _case(
        "batched_minimax",
        "growth of the minimax regret of two batches, two Gaussian arms, computed",
        (1e6, 1e7, 1e8),
        lambda f: [f(t, 2, 2) / f(1e5, 2, 2) for t in (1e6, 1e7, 1e8)],
        lambda key: exact([_two_batches(t) / _two_batches(1e5) for t in (1e6, 1e7, 1e8)]),
        "rounds",
        y_label="regret over that of 10^5 rounds",
        tolerance=0.02,
        why="Finite T: gap and time lie on a grid, and the first batch is not yet negligible.",
    ),
    _case(
        "carpentier_valko",
        "best of n means of Beta(1, beta), known exactly, 10^8 to 10^10",
        (2.0, 3.0, 5.0),
        lambda f: [f(beta) for beta in (2.0, 3.0, 5.0)],
        lambda key: exact([_oracle_exponent(beta) for beta in (2.0, 3.0, 5.0)]),
        "beta",
        tolerance=1e-3,
        why="An exponent between two finite numbers of arms.",
    ),
    _case(
        "carpentier_valko",
        "by hand: beta .5, 1, 4 without and with small variance",
        range(6),
        lambda f: [f(0.5), f(1.0), f(4.0), f(0.5, True), f(1.0, True), f(4.0, True)],
        lambda key: exact([0.5, 0.5, 0.25, 1.0, 1.0, 0.25]),
        "the six in order",
    ),
    _case(
        "carpentier_valko",
        "means known exactly, beta = 1",
        (1.0,),
        lambda f: [f(1.0)],
        lambda key: exact([_oracle_exponent(1.0)]),
        "beta",
        inside=False,
        why="One pull tells an arm's mean: there is no noise to average out.",
    ),
)
