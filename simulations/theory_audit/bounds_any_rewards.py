"""Audit of the bounds that hold for any gaps: EXP3, EXP3-IX, Tsallis-INF, MOSS, minimax, Bayesian regret."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from bandit_rft import arms, learners, run
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
from simulations.theory_audit.case import Case, Measured, exact

_AT = (100, 300, 1000, 2000)
_RUNS = (100, 300, 1000)
_TIME = np.asarray(_AT, dtype=float)
_FIVE = arms.Bernoulli([0.9, 0.5, 0.5, 0.5, 0.5])
_NEAR = arms.Bernoulli([0.55, 0.5, 0.5, 0.5, 0.5])
_MANY = arms.Needle(log10_arms=4, optimal=100)
_MOVES = "The arms change places every 100 rounds, and regret is against the best of the moment."
_UNTUNED = "A learning rate a hundredth of the one that the bound is for."


def _formula(entry: str, instance: str, predict: Any, measured: Any) -> Case:
    return Case(
        entry=entry,
        instance=instance,
        x=_AT,
        x_label=ROUNDS,
        y_label=REGRET,
        predict=predict,
        measure=lambda key: exact(measured),
    )


def _curve(entry: str, instance: str, predict: Any, table: Any, learner: Any, seeds: int = 100, **more: Any) -> Case:
    """A learner without a horizon: its regret at _AT."""
    return Case(
        entry=entry,
        instance=instance,
        **(
            {
                "x": _AT,
                "x_label": ROUNDS,
                "y_label": REGRET,
                "predict": lambda f: predict(f).value[upto(_AT)],
                "measure": lambda key: regret_curve(table, learner, _AT, seeds, key),
                "relation": "upper",
            }
            | more
        ),
    )


def _runs(entry: str, instance: str, predict: Any, table: Any, learner: Any, seeds: int = 100, **more: Any) -> Case:
    """A learner tuned to its horizon: its regret after a run of each length."""
    factory = learner if not hasattr(learner, "bind") else lambda _: learner
    tuned = {
        "x": _RUNS,
        "measure": lambda key: regret_of_runs(table, factory, _RUNS, seeds, key),
        "predict": lambda f: predict(f).value[upto(_RUNS)],
    }
    return dataclasses.replace(_curve(entry, instance, predict, table, learner, **more), **tuned)


def _slow(rounds: int) -> float:
    return 0.01 * float(np.sqrt(2 * np.log(5) / (5 * rounds)))


_EXP3 = (
    *(
        _formula(
            "exp3_bound",
            f"the formula, {form} form, seven arms",
            lambda f, form=form: f(7, 2000, form).uncapped[upto(_AT)],
            constant * np.sqrt(_TIME * 7 * np.log(7)),
        )
        for form, constant in (("loss", np.sqrt(2)), ("gain", 2 * np.sqrt(np.e - 1)))
    ),
    *(
        case
        for form in ("loss", "gain")
        for case in (
            _runs(
                "exp3_bound",
                f"{form} form, Bernoulli .9 and four of .5",
                lambda f, form=form: f(5, 1000, form),
                _FIVE,
                learners.EXP3(form),
            ),
            _runs(
                "exp3_bound",
                f"{form} form, Bernoulli .55 and four of .5",
                lambda f, form=form: f(5, 1000, form),
                _NEAR,
                learners.EXP3(form),
            ),
            _runs(
                "exp3_bound",
                f"{form} form, 100 of 10^4 arms pay 1",
                lambda f, form=form: f(10**4, 1000, form),
                _MANY,
                learners.EXP3(form),
                seeds=4,
            ),
        )
    ),
    _runs(
        "exp3_bound",
        "loss form with a learning rate of a hundredth",
        lambda f: f(5, 1000, "loss"),
        _FIVE,
        lambda rounds: learners.EXP3("loss", learning_rate=_slow(rounds)),
        inside=False,
        why=_UNTUNED,
    ),
    _runs(
        "exp3_bound",
        "loss form, .9, .6 and .5 moving about",
        lambda f: f(3, 1000, "loss"),
        MOVING,
        learners.EXP3("loss"),
        inside=False,
        why=_MOVES,
    ),
)

_HARD = arms.Deterministic([1.0, 0.5, 0.5, 0.5, 0.5])


def _exceeded(rounds: tuple[int, ...], failure: float, key: int) -> Measured:
    """What the realised regret exceeds with that probability; the arms' rewards are fixed, so the best arm is known."""
    found = [
        np.quantile(run(_HARD, learners.EXP3IX(), T, seeds=400, key=key).regret("realised")[:, -1], 1 - failure)
        for T in rounds
    ]
    return exact(found)


_IX = (
    _formula(
        "exp3_ix_bound",
        "the formula in expectation, seven arms",
        lambda f: f(7, 2000).uncapped[upto(_AT)],
        3 / np.sqrt(2) * np.sqrt(_TIME * 7 * np.log(7)),
    ),
    _formula(
        "exp3_ix_bound",
        "the formula with probability 95%, seven arms",
        lambda f: f(7, 2000, 0.05).uncapped[upto(_AT)],
        2 * np.sqrt(2 * 7 * _TIME * np.log(7)) + (np.sqrt(7 * _TIME / (2 * np.log(7))) + 1) * np.log(40),
    ),
    _runs("exp3_ix_bound", "Bernoulli .9 and four of .5", lambda f: f(5, 1000), _FIVE, learners.EXP3IX()),
    _runs("exp3_ix_bound", "Bernoulli .55 and four of .5", lambda f: f(5, 1000), _NEAR, learners.EXP3IX()),
    Case(
        entry="exp3_ix_bound",
        instance="95% quantile over 400 runs, fixed rewards 1 and four of .5",
        x=_RUNS,
        x_label=ROUNDS,
        y_label="95% quantile of the realised regret, in rewards",
        predict=lambda f: f(5, 1000, 0.05).value[upto(_RUNS)],
        measure=lambda key: _exceeded(_RUNS, 0.05, key),
        relation="upper",
    ),
    _runs(
        "exp3_ix_bound",
        "a learning rate of a hundredth",
        lambda f: f(5, 1000),
        _FIVE,
        lambda rounds: learners.EXP3IX(learning_rate=_slow(rounds)),
        inside=False,
        why=_UNTUNED,
    ),
)


def _late(time: np.ndarray) -> np.ndarray:
    """The stochastic bound on means .9, .1 and .0, written out."""
    gaps, any_rewards = np.array([0.8, 0.9]), (4 * np.sqrt(3) - 2) * np.sqrt(time)
    start = 100.0
    slope = (1 + 2 / (1 + np.sqrt(0.99))) ** 2
    first = 1 / (start * gaps - 4 * np.sqrt(start))
    with np.errstate(invalid="ignore"):
        growth = 2 / gaps * np.log((np.sqrt(time)[:, None] * gaps - 4) / (10 * gaps - 4))
    late = 2 * (4 * np.sqrt(3 * start) - 2 * np.sqrt(start)) + slope * np.sum(first + growth, axis=1)
    return np.where(time < start, any_rewards, np.fmin(any_rewards, late))


_LONG = (50, 1000, 10_000, 1_000_000)

_TSALLIS = (
    _formula(
        "tsallis_inf_bound",
        "the formula, seven arms",
        lambda f: f(7, 2000).uncapped[upto(_AT)],
        4 * np.sqrt(7 * _TIME) - 2 * np.sqrt(_TIME),
    ),
    _curve("tsallis_inf_bound", f"Tsallis-INF, {TEXT}", lambda f: f(3, 2000), ARMS, learners.TsallisINF(), 40),
    _curve("tsallis_inf_bound", "Bernoulli .55 and four of .5", lambda f: f(5, 2000), _NEAR, learners.TsallisINF(), 40),
    _curve(
        "tsallis_inf_bound",
        "Tsallis-INF, .9, .6 and .5 moving about",
        lambda f: f(3, 2000),
        MOVING,
        learners.TsallisINF(),
        40,
        inside=False,
        why=_MOVES,
    ),
    Case(
        entry="tsallis_inf_stochastic_bound",
        instance="the formula, means .9, .1 and 0",
        x=_LONG,
        x_label=ROUNDS,
        y_label=REGRET,
        predict=lambda f: f([0.9, 0.1, 0.0], 1_000_000).uncapped[upto(_LONG)],
        measure=lambda key: exact(_late(np.asarray(_LONG, dtype=float))),
    ),
    _curve(
        "tsallis_inf_stochastic_bound",
        f"Tsallis-INF, {TEXT}",
        lambda f: f(MEANS, 2000),
        ARMS,
        learners.TsallisINF(),
        40,
    ),
    _curve(
        "tsallis_inf_stochastic_bound",
        "Tsallis-INF, .9, .6 and .5 moving about",
        lambda f: f(MEANS, 2000),
        MOVING,
        learners.TsallisINF(),
        40,
        inside=False,
        why=_MOVES,
    ),
)

_TEN = (50, 200, 800)


def _worst(learner: Any, key: int) -> Measured:
    """The larger of the regrets on the two instances of the proof; the learners treat all arms alike."""
    values, errors = [], []
    for rounds in _TEN:
        step = 0.5 * float(np.sqrt(9 / rounds))
        ends = [
            regret_curve(arms.Gaussian([step, other, *[0.0] * 8]), learner, (rounds,), 200, key)
            for other in (0.0, 2 * step)
        ]
        worst = max(ends, key=lambda end: float(end.value[0]))
        values.append(worst.value)
        errors.append(worst.standard_error)
    return Measured(np.concatenate(values), np.concatenate(errors))


_MINIMAX = (
    _formula(
        "moss_bound",
        f"the formula, {TEXT}",
        lambda f: f(MEANS, 2000).uncapped[upto(_AT)],
        19.5 * np.sqrt(3 * _TIME) + GAPS.sum(),
    ),
    _runs("moss_bound", f"MOSS, {TEXT}", lambda f: f(MEANS, 1000), ARMS, learners.MOSS()),
    _runs(
        "moss_bound",
        "MOSS, two arms, .9 and .1",
        lambda f: f([0.9, 0.1], 1000),
        arms.Bernoulli([0.9, 0.1]),
        learners.MOSS(),
    ),
    _runs(
        "moss_bound",
        "MOSS, the same means in noise of standard deviation 3",
        lambda f: f(MEANS, 1000),
        NOISY,
        learners.MOSS(),
        inside=False,
        why="Normal rewards of standard deviation 3: they leave [0, 1] and its tails.",
    ),
    _formula(
        "minimax_lower",
        "the formula, seven arms, sigma = 2; nothing is said below six rounds",
        lambda f: np.append(f(7, 2000, 2.0).uncapped[upto(_AT[1:])], f(7, 2000, 2.0).uncapped[4]),
        np.append(2 / 27 * np.sqrt(6 * _TIME[1:]), 0.0),
    ),
    *(
        Case(
            entry="minimax_lower",
            instance=f"{type(learner).__name__}, the worse of the proof's two instances, ten arms",
            x=_TEN,
            x_label=ROUNDS,
            y_label=REGRET,
            predict=lambda f: f(10, 800).value[upto(_TEN)],
            measure=lambda key, learner=learner: _worst(learner, key),
            relation="lower",
        )
        for learner in (learners.MOSS(), learners.ThompsonGaussian())
    ),
    _curve(
        "minimax_lower",
        "explore-then-commit, two arms, rewards 1 and 0 without noise",
        lambda f: f(2, 2000),
        arms.Deterministic([1.0, 0.0]),
        learners.ExploreThenCommit(pulls_per_arm=1),
        relation="lower",
        inside=False,
        why="Rewards without noise, and one instance that is not the worst.",
    ),
    _formula(
        "thompson_bayes_bound",
        "the formula, seven arms",
        lambda f: f(7, 2000).uncapped[upto(_AT)],
        np.sqrt(7 * _TIME * np.log(7) / 2),
    ),
    _curve(
        "thompson_bayes_bound",
        "Bayesian regret of Thompson sampling, ten Bernoulli arms of uniform means",
        lambda f: f(10, 2000),
        arms.Instances("uniform", arms=10),
        learners.ThompsonBeta(),
        y_label="Bayesian regret, in rewards",
    ),
    _curve(
        "thompson_bayes_bound",
        "two Bernoulli arms of uniform means",
        lambda f: f(2, 2000),
        arms.Instances("uniform", arms=2),
        learners.ThompsonBeta(),
        y_label="Bayesian regret, in rewards",
    ),
    _curve(
        "thompson_bayes_bound",
        "ten Bernoulli arms whose means are not uniform but .5 or .6",
        lambda f: f(10, 2000),
        arms.Instances(arms.TwoPoint(0.1, 0.6, 0.5), arms=10),
        learners.ThompsonBeta(),
        y_label="Bayesian regret, in rewards",
        inside=False,
        why="The learner's prior is not the one that instances are drawn from.",
    ),
)

CASES = (*_EXP3, *_IX, *_TSALLIS, *_MINIMAX)
