"""Audit of the bounds that hold for any rewards: EXP3, EXP3-IX, Tsallis-INF."""

from __future__ import annotations

import numpy as np

from bandit_rft import arms, learners, run
from simulations.theory_audit.bounds_runs import (
    ARMS,
    AT,
    MEANS,
    MOVES,
    MOVING,
    REGRET,
    ROUNDS,
    RUNS,
    TEXT,
    TIME,
    anytime_learner,
    formula,
    tuned_learner,
    upto,
)
from simulations.theory_audit.case import Case, Measured, exact

_FIVE = arms.Bernoulli([0.9, 0.5, 0.5, 0.5, 0.5])
_NEAR = arms.Bernoulli([0.55, 0.5, 0.5, 0.5, 0.5])
_MANY = arms.Needle(log10_arms=4, optimal=100)
_UNTUNED = "A learning rate a hundredth of the one that the bound is for."


def _slow(rounds: int) -> float:
    return 0.01 * float(np.sqrt(2 * np.log(5) / (5 * rounds)))


_EXP3 = (
    *(
        formula(
            "exp3_bound",
            f"the formula, {form} form, seven arms",
            lambda f, form=form: f(7, 2000, form).uncapped[upto(AT)],
            constant * np.sqrt(TIME * 7 * np.log(7)),
        )
        for form, constant in (("loss", np.sqrt(2)), ("gain", 2 * np.sqrt(np.e - 1)))
    ),
    *(
        case
        for form in ("loss", "gain")
        for case in (
            tuned_learner(
                "exp3_bound",
                f"{form} form, Bernoulli .9 and four of .5",
                lambda f, form=form: f(5, 1000, form),
                _FIVE,
                learners.EXP3(form),
            ),
            tuned_learner(
                "exp3_bound",
                f"{form} form, Bernoulli .55 and four of .5",
                lambda f, form=form: f(5, 1000, form),
                _NEAR,
                learners.EXP3(form),
            ),
            tuned_learner(
                "exp3_bound",
                f"{form} form, 100 of 10^4 arms pay 1",
                lambda f, form=form: f(10**4, 1000, form),
                _MANY,
                learners.EXP3(form),
                seeds=4,
            ),
        )
    ),
    tuned_learner(
        "exp3_bound",
        "loss form with a learning rate of a hundredth",
        lambda f: f(5, 1000, "loss"),
        _FIVE,
        lambda rounds: learners.EXP3("loss", learning_rate=_slow(rounds)),
        inside=False,
        why=_UNTUNED,
    ),
    tuned_learner(
        "exp3_bound",
        "loss form, .9, .6 and .5 moving about",
        lambda f: f(3, 1000, "loss"),
        MOVING,
        learners.EXP3("loss"),
        inside=False,
        why=MOVES,
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
    formula(
        "exp3_ix_bound",
        "the formula in expectation, seven arms",
        lambda f: f(7, 2000).uncapped[upto(AT)],
        3 / np.sqrt(2) * np.sqrt(TIME * 7 * np.log(7)),
    ),
    formula(
        "exp3_ix_bound",
        "the formula with probability 95%, seven arms",
        lambda f: f(7, 2000, 0.05).uncapped[upto(AT)],
        2 * np.sqrt(2 * 7 * TIME * np.log(7)) + (np.sqrt(7 * TIME / (2 * np.log(7))) + 1) * np.log(40),
    ),
    tuned_learner("exp3_ix_bound", "Bernoulli .9 and four of .5", lambda f: f(5, 1000), _FIVE, learners.EXP3IX()),
    tuned_learner("exp3_ix_bound", "Bernoulli .55 and four of .5", lambda f: f(5, 1000), _NEAR, learners.EXP3IX()),
    Case(
        entry="exp3_ix_bound",
        instance="95% quantile over 400 runs, fixed rewards 1 and four of .5",
        x=RUNS,
        x_label=ROUNDS,
        y_label="95% quantile of the realised regret, in rewards",
        predict=lambda f: f(5, 1000, 0.05).value[upto(RUNS)],
        measure=lambda key: _exceeded(RUNS, 0.05, key),
        relation="upper",
    ),
    tuned_learner(
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
    formula(
        "tsallis_inf_bound",
        "the formula, seven arms",
        lambda f: f(7, 2000).uncapped[upto(AT)],
        4 * np.sqrt(7 * TIME) - 2 * np.sqrt(TIME),
    ),
    anytime_learner("tsallis_inf_bound", f"Tsallis-INF, {TEXT}", lambda f: f(3, 2000), ARMS, learners.TsallisINF(), 40),
    anytime_learner(
        "tsallis_inf_bound", "Bernoulli .55 and four of .5", lambda f: f(5, 2000), _NEAR, learners.TsallisINF(), 40
    ),
    anytime_learner(
        "tsallis_inf_bound",
        "Tsallis-INF, .9, .6 and .5 moving about",
        lambda f: f(3, 2000),
        MOVING,
        learners.TsallisINF(),
        40,
        inside=False,
        why=MOVES,
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
    anytime_learner(
        "tsallis_inf_stochastic_bound",
        f"Tsallis-INF, {TEXT}",
        lambda f: f(MEANS, 2000),
        ARMS,
        learners.TsallisINF(),
        40,
    ),
    anytime_learner(
        "tsallis_inf_stochastic_bound",
        "Tsallis-INF, .9, .6 and .5 moving about",
        lambda f: f(MEANS, 2000),
        MOVING,
        learners.TsallisINF(),
        40,
        inside=False,
        why=MOVES,
    ),
)

CASES = (*_EXP3, *_IX, *_TSALLIS)
