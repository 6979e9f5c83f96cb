"""Audit of the bounds that know the gaps: Lai and Robbins, confidence bounds, elimination, explore-then-commit."""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import rel_entr

from bandit_rft import arms, learners
from simulations.theory_audit.bounds_runs import (
    ARMS,
    GAPS,
    MEANS,
    MOVING,
    NOISY,
    REGRET,
    ROUNDS,
    TEXT,
    regret_curve,
    regret_of_runs,
    upto,
)
from simulations.theory_audit.case import Case, exact

_AT = (100, 300, 1000, 2000)
_RUNS = (100, 300, 1000)
_TIME = np.asarray(_AT, dtype=float)
_NOISE = "Normal rewards of standard deviation 3: they leave [0, 1] and its tails."
_MOVES = "The arms change places every 100 rounds, and regret is against the best of the moment."


def _curve(entry: str, instance: str, predict: Any, measured: Any = None, **more: Any) -> Case:
    """A case over the rounds _AT: measured numbers, or a learner's regret on `table`."""
    if measured is not None:
        more["measure"] = lambda key: exact(measured)
    return Case(
        entry=entry, instance=instance, **({"x": _AT, "x_label": ROUNDS, "y_label": REGRET, "predict": predict} | more)
    )


def _simulated(learner: Any, table: Any = ARMS, seeds: int = 100) -> Any:
    return lambda key: regret_curve(table, learner, _AT, seeds, key)


# Lai and Robbins: the divergence in sixty digits
_SMALL = (1e-9, 1e-4, 0.02, 0.1, 0.4)


def _divergence(worse: Decimal, best: Decimal) -> Decimal:
    return worse * (worse / best).ln() + (1 - worse) * ((1 - worse) / (1 - best)).ln()


def _constants() -> list[float]:
    with localcontext() as context:
        context.prec = 60
        worse = Decimal("0.5")
        # Of the means as floats hold them: .5 + 1e-9 is a little off.
        best = [Decimal(0.5 + gap) for gap in _SMALL]
        return [float(3 * (mean - worse) / _divergence(worse, mean)) for mean in best]


_CLOSE = (0.52, 0.5, 0.49)


def _close_constant() -> float:
    with localcontext() as context:
        context.prec = 60
        best, *others = (Decimal(mean) for mean in _CLOSE)
        return float(sum((best - worse) / _divergence(worse, best) for worse in others))


_KL = rel_entr(0.9 - GAPS, 0.9) + rel_entr(0.1 + GAPS, 0.1)
_CONSTANT = float(np.sum(GAPS / _KL))

_LAI_ROBBINS = (
    Case(
        entry="lai_robbins_constant",
        instance="three arms of mean .5 below one that is better by little or much, in 60 digits",
        x=_SMALL,
        x_label="gap",
        y_label="constant, in rewards",
        predict=lambda f: [f([0.5 + gap, 0.5], counts=[1, 3]) for gap in _SMALL],
        measure=lambda key: exact(_constants()),
    ),
    Case(
        entry="lai_robbins_constant",
        instance="normal rewards: 2 sigma^2 / gap",
        x=(0.5, 1.0, 3.0),
        x_label="sigma",
        y_label="constant, in rewards",
        predict=lambda f: [f([2.0, 1.5, 1.0], sigma=sigma) for sigma in (0.5, 1.0, 3.0)],
        measure=lambda key: exact([2 * sigma**2 * (1 / 0.5 + 1 / 1.0) for sigma in (0.5, 1.0, 3.0)]),
    ),
    _curve(
        "lai_robbins", f"the formula, {TEXT}", lambda f: f(MEANS, 2000).uncapped[upto(_AT)], _CONSTANT * np.log(_TIME)
    ),
    _curve(
        "lai_robbins",
        "the formula, gaps of .02 and .03: nearly 2 mu (1 - mu) / gap",
        lambda f: f(_CLOSE, 2000).uncapped[upto(_AT)],
        measure=lambda key: exact(_close_constant() * np.log(_TIME)),
    ),
    _curve(
        "lai_robbins",
        "the formula, normal rewards of standard deviation 3",
        lambda f: f([2.0, 1.5], 2000, sigma=3.0).uncapped[upto(_AT)],
        2 * 9 / 0.5 * np.log(_TIME),
    ),
    _curve(
        "lai_robbins",
        f"UCB1, {TEXT}",
        lambda f: f(MEANS, 2000).value[upto(_AT)],
        measure=_simulated(learners.UCB1()),
        relation="lower",
    ),
    _curve(
        "lai_robbins",
        f"KL-UCB, {TEXT}",
        lambda f: f(MEANS, 2000).value[upto(_AT)],
        measure=_simulated(learners.KLUCB()),
        relation="lower",
        inside=False,
        why="T is finite: a learner that is optimal as T grows may lie below the curve before.",
    ),
    _curve(
        "thompson_bound",
        f"the formula with epsilon = 1/4, {TEXT}",
        lambda f: f(MEANS, 2000, 0.25).uncapped[upto(_AT)],
        1.25 * _CONSTANT * np.log(_TIME),
    ),
    _curve(
        "thompson_bound",
        "the limit, gaps of .02 and .03: nearly 2 mu (1 - mu) / gap",
        lambda f: f(_CLOSE, 2000).uncapped[upto(_AT)],
        measure=lambda key: exact(_close_constant() * np.log(_TIME)),
    ),
    _curve(
        "thompson_bound",
        f"Thompson sampling, {TEXT}",
        lambda f: f(MEANS, 2000).value[upto(_AT)],
        measure=_simulated(learners.ThompsonBeta()),
        relation="upper",
    ),
    _curve(
        "thompson_bound",
        "Thompson sampling, one arm pays always, the other half the time",
        lambda f: f([1.0, 0.5], 2000).value[upto(_AT)],
        measure=_simulated(learners.ThompsonBeta(), arms.Bernoulli([1.0, 0.5])),
        relation="upper",
        inside=False,
        why="The term that does not grow with T is left out, and here it is all.",
    ),
)

_UCB = (
    _curve(
        "ucb1_bound",
        f"the formula, {TEXT}",
        lambda f: f(MEANS, 2000).uncapped[upto(_AT)],
        np.sum(8 / GAPS) * np.log(_TIME) + (1 + np.pi**2 / 3) * GAPS.sum(),
    ),
    _curve(
        "ucb1_bound",
        f"UCB1, {TEXT}",
        lambda f: f(MEANS, 2000).value[upto(_AT)],
        measure=_simulated(learners.UCB1()),
        relation="upper",
    ),
    _curve(
        "ucb1_bound",
        "UCB1, the same means in noise of standard deviation 3",
        lambda f: f(MEANS, 2000).value[upto(_AT)],
        measure=_simulated(learners.UCB1(), NOISY),
        relation="upper",
        inside=False,
        why=_NOISE,
    ),
    _curve(
        "ucb_alpha_bound",
        f"the formula at alpha = 2.5, {TEXT}",
        lambda f: f(MEANS, 2000, 2.5).uncapped[upto(_AT)],
        np.sum(2 * 2.5 / GAPS) * np.log(_TIME) + 2 * 2.5 / 0.5,
    ),
    _curve(
        "ucb_alpha_bound",
        f"UCB(2.5), {TEXT}",
        lambda f: f(MEANS, 2000, 2.5).value[upto(_AT)],
        measure=_simulated(learners.UCB(alpha=2.5)),
        relation="upper",
    ),
    _curve(
        "ucb_alpha_bound",
        "UCB(2.01), the same means moving about",
        lambda f: f(MEANS, 2000, 2.01).value[upto(_AT)],
        measure=_simulated(learners.UCB(alpha=2.01), MOVING),
        relation="upper",
        inside=False,
        why=_MOVES,
    ),
)


_LEVELS = (2, 3, 100, 2000)


def _kl_ucb(c: float, means: tuple[float, float, float]) -> np.ndarray:
    """The bound at _LEVELS with levels of its own search, by relative entropies and plain sums."""
    best, *others = means

    def divergence(p: float, q: float) -> float:
        return float(rel_entr(p, q) + rel_entr(1 - p, 1 - q))

    def growth(time: np.ndarray) -> np.ndarray:
        return np.log(time) + c * np.log(np.maximum(np.log(time), 1.0))

    def integral(time: float) -> float:
        u = np.log(time)
        tail = (np.maximum(u, 1.0) ** (1 - c) - 1) / (1 - c) if c != 1 else np.log(np.maximum(u, 1.0))
        return float(min(u, 1.0) + tail)

    def pulls(levels: Any, worse: float, time: int) -> float:
        x, y = levels
        if not worse < x < y < best:
            return np.inf
        failures = float(np.exp(-growth(np.array(3.0)))) + integral(time - 1) - integral(3) if time > 3 else 0.0
        return (
            1
            + float(growth(np.array(time - 1.0))) / divergence(x, y)
            + 1 / np.expm1(divergence(x, worse))
            + failures / np.expm1(divergence(y, best))
        )

    total = np.zeros(len(_LEVELS))
    for worse in others:
        start = [worse + 0.25 * (best - worse), worse + 0.75 * (best - worse)]
        found = minimize(pulls, start, (worse, 2000), method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-10})
        total += (best - worse) * np.array([pulls(found.x, worse, time) for time in _LEVELS])
    return total


_KL_UCB = (
    *(
        _curve(
            "kl_ucb_bound",
            f"the formula with c = {c:g}, Bernoulli {', '.join(f'{mean:g}' for mean in means)}",
            lambda f, c=c, means=means: f(means, 2000, c).uncapped[upto(_LEVELS)],
            measure=lambda key, c=c, means=means: exact(_kl_ucb(c, means)),
            x=_LEVELS,
            tolerance=1e-4,
            why="The levels are those of two searches, each at its own stopping rule.",
        )
        for c, means in ((0.0, MEANS), (3.0, MEANS), (0.0, (0.1, 0.095, 0.092)))
    ),
    _curve(
        "kl_ucb_bound",
        "the formula, one arm pays always: pulls up to the first failure",
        lambda f: f([1.0, 0.5, 0.2], 2000, counts=[1, 2, 3]).uncapped[upto(_AT)],
        np.full(4, 2 * 0.5 / 0.5 + 3 * 0.8 / 0.8),
    ),
    *(
        _curve(
            "kl_ucb_bound",
            f"KL-UCB with c = {c:g}, {TEXT}",
            lambda f, c=c: f(MEANS, 2000, c).value[upto(_AT)],
            measure=_simulated(learners.KLUCB(c=c), seeds=60),
            relation="upper",
        )
        for c in (0.0, 3.0)
    ),
    _curve(
        "kl_ucb_bound",
        "KL-UCB, means 1, .5 and .2",
        lambda f: f([1.0, 0.5, 0.2], 2000).value[upto(_AT)],
        measure=_simulated(learners.KLUCB(), arms.Bernoulli([1.0, 0.5, 0.2]), 60),
        relation="upper",
    ),
    _curve(
        "kl_ucb_bound",
        "KL-UCB, the same means moving about",
        lambda f: f(MEANS, 2000).value[upto(_AT)],
        measure=_simulated(learners.KLUCB(), MOVING, 60),
        relation="upper",
        inside=False,
        why=_MOVES,
    ),
)

_ELIMINATION = (
    _curve(
        "successive_elimination_bound",
        f"the formula, {TEXT}",
        lambda f: f(MEANS, 2000).uncapped[upto(_AT)],
        np.sum(32 / GAPS) * np.log(_TIME) + GAPS.sum() + 2 * 3 * 0.4 / _TIME**2,
    ),
    _curve(
        "successive_elimination_bound",
        "successive elimination, Bernoulli .95 and .05",
        lambda f: f([0.95, 0.05], 1000).value[upto(_RUNS)],
        measure=lambda key: regret_of_runs(
            arms.Bernoulli([0.95, 0.05]), lambda _: learners.SuccessiveElimination(), _RUNS, 100, key
        ),
        x=_RUNS,
        relation="upper",
    ),
)

_NORMAL = (0.5, 0.0, -0.2)
_BELOW = np.array([0.5, 0.7])


def _explored(pulls: int, sigma: float) -> np.ndarray:
    wrong = np.exp(-pulls * _BELOW**2 / (4 * sigma**2))
    return pulls * _BELOW.sum() + np.maximum(_TIME - pulls * 3, 0) * np.sum(_BELOW * wrong)


def _tuned(rounds: int) -> learners.ExploreThenCommit:
    unit = 0.5**2 / 4
    return learners.ExploreThenCommit(pulls_per_arm=max(1, int(np.ceil(np.log(rounds * unit) / unit))))


_COMMIT = (
    *(
        _curve(
            "explore_then_commit_bound",
            f"the formula, m = 40 and sigma = {sigma:g}",
            lambda f, sigma=sigma: f(_NORMAL, 2000, 40, sigma).uncapped[upto(_AT)],
            _explored(40, sigma),
        )
        for sigma in (1.0, 0.5)
    ),
    _curve(
        "explore_then_commit_bound",
        "m = 20, normal rewards of means .5, 0 and -.2",
        lambda f: f(_NORMAL, 2000, 20).value[upto(_AT)],
        measure=_simulated(learners.ExploreThenCommit(pulls_per_arm=20), arms.Gaussian(_NORMAL), 400),
        relation="upper",
    ),
    _curve(
        "explore_then_commit_bound",
        "m = 40, the same in noise of standard deviation 4",
        lambda f: f(_NORMAL, 2000, 40).value[upto(_AT)],
        measure=_simulated(learners.ExploreThenCommit(pulls_per_arm=40), arms.Gaussian(_NORMAL, sigma=4.0), 400),
        relation="upper",
        inside=False,
        why="Noise four times as large as the sigma that the bound was given.",
    ),
    _curve(
        "tuned_explore_then_commit_bound",
        "the formula, sigma = 2",
        lambda f: f(1.0, 2000, 2.0).uncapped[upto(_AT)],
        1.0 + 4 * 4.0 / 1.0 * (1 + np.log(_TIME / 16)),
    ),
    _curve(
        "tuned_explore_then_commit_bound",
        "normal rewards, gap .5, each horizon with its own m",
        lambda f: f(0.5, 1000).value[upto(_RUNS)],
        measure=lambda key: regret_of_runs(arms.Gaussian([0.5, 0.0]), _tuned, _RUNS, 400, key),
        x=_RUNS,
        relation="upper",
    ),
    _curve(
        "tuned_explore_then_commit_bound",
        "the same m in noise of standard deviation 4",
        lambda f: f(0.5, 1000).value[upto(_RUNS)],
        measure=lambda key: regret_of_runs(arms.Gaussian([0.5, 0.0], sigma=4.0), _tuned, _RUNS, 400, key),
        x=_RUNS,
        relation="upper",
        inside=False,
        why="Noise four times as large as the learner was tuned to.",
    ),
)

CASES = (*_LAI_ROBBINS, *_UCB, *_KL_UCB, *_ELIMINATION, *_COMMIT)
