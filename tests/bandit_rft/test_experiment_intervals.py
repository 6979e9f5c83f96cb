"""Intervals of shares and of units that are all alike: published numbers, coverage by enumeration, and what claims get.

Catches certainty from units that happen to be alike, and a share judged by a spread that its seeds do not show.
"""

import math

import numpy as np
import pytest
from scipy import stats

from bandit_rft.experiments import (
    Experiment,
    Outcome,
    Results,
    Setting,
    difference,
    intervals,
    less_size,
    mean_effect,
    widest,
)
from bandit_rft.experiments.effects import share, share_difference


def test_published_and_independent_numbers() -> None:
    """Newcombe 1998, 56/70 less 48/80; Wilson and Clopper-Pearson as scipy has them."""
    assert intervals.newcombe_apart(0.05, (56, 70), (48, 80)) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    for alpha, k, n in ((0.05, 0, 7), (0.01, 3, 10), (0.2, 9, 9)):
        known = stats.binomtest(k, n).proportion_ci(1 - alpha, method="wilson")
        assert intervals.wilson(alpha, k, n) == pytest.approx((known.low, known.high), abs=1e-12)
    exact = stats.binomtest(0, 256).proportion_ci(0.95, method="exact").high
    assert intervals.unseen(0.05, 0.25, 256, (0.0, 1.0)) == pytest.approx((0.25 - 0.25 * exact, 0.25 + 0.75 * exact))
    assert intervals.unseen(0.05, 3.0, 10, (1.0, math.inf))[1] == math.inf
    # Swapping both conditions mirrors the interval; without discordant pairs it is still no point.
    low, high = intervals.newcombe_paired(0.05, 20, 9, 3, 8)
    assert intervals.newcombe_paired(0.05, 20, 3, 9, 8) == pytest.approx((-high, -low))
    assert low < 6 / 40 < high
    assert intervals.newcombe_paired(0.05, 40, 0, 0, 0)[1] > 0.08


def test_the_interval_of_alike_units_covers_and_students_does_not() -> None:
    """N units, each 0 but with a chance of .01, then 1. Over all outcomes of N = 40: t's interval misses the mean .01
    wherever all are 0, in 67 of 100 samples; the one used there never does.
    """
    chance, units = 0.01, 40
    missed = {True: 0.0, False: 0.0}
    for ones in range(4):
        values = (np.arange(units) < ones).astype(float)
        for honest in missed:
            low, high = mean_effect(values, (0.0, 1.0) if honest else None).interval()
            missed[honest] += stats.binom.pmf(ones, units, chance) * (not low <= chance <= high)
    assert missed[False] > 0.6
    assert missed[True] < 0.03


def test_a_paired_difference_of_rare_shares_covers() -> None:
    """Every outcome of 12 pairs whose cells have chances .8, .12, .03, .05: at least 93% of 95%, where t has 82%."""
    cells, pairs = np.array([0.8, 0.12, 0.03, 0.05]), 12
    truth, covered, by_t = 0.09, 0.0, 0.0
    for a in range(pairs + 1):
        for b in range(pairs + 1 - a):
            for c in range(pairs + 1 - a - b):
                counts = np.array([a, b, c, pairs - a - b - c])
                weight = stats.multinomial.pmf(counts, pairs, cells)
                left = np.repeat([1.0, 1.0, 0.0, 0.0], counts)
                right = np.repeat([1.0, 0.0, 1.0, 0.0], counts)
                low, high = share_difference(left, right, paired=True).interval()
                covered += weight * (low <= truth <= high)
                low, high = mean_effect(left - right).interval()
                by_t += weight * (low <= truth <= high)
    assert covered > 0.93 > by_t


def test_a_p_value_and_its_interval_say_the_same() -> None:
    """At the end of the interval of confidence 1 - alpha the one-sided p-value is alpha / 2."""
    draw = np.random.default_rng(0)
    one, other = (draw.random(40) < 0.7).astype(float), (draw.random(40) < 0.4).astype(float)
    alike = np.full(30, 0.25)
    effects = [
        share(one),
        share_difference(one, other, paired=True),
        share_difference(one, other[:25], paired=False),
        mean_effect(alike, (0.0, 1.0)),
        difference(alike, np.full(9, 1.0), (0.0, 1.0)),
        difference(alike, draw.random(9), (0.0, 1.0)),
    ]
    for effect in effects:
        for alpha in (0.05, 0.002):
            low, high = effect.interval(1 - alpha)
            assert low < effect.value < high
            assert effect.above(low) == pytest.approx(alpha / 2, rel=1e-6)
            assert effect.below(high) == pytest.approx(alpha / 2, rel=1e-6)
        assert effect.above(effect.value) == 1
        assert effect.below(effect.value - 0.1) == 1
    assert mean_effect(alike, (0.0, 1.0)).above(-0.01) < 1e-29  # no mean is outside the bounds
    unbounded = mean_effect(alike, (-math.inf, math.inf))
    assert unbounded.interval() == (-math.inf, math.inf)
    assert unbounded.above(0.0) == 0.5


def test_units_needed_by_alike_ones() -> None:
    effect = mean_effect(np.zeros(20), (-1.0, 1.0))
    needed = effect.units_needed(0.03)
    assert needed is not None
    assert mean_effect(np.zeros(needed), (-1.0, 1.0)).interval()[1] == pytest.approx(0.03, rel=0.1)
    assert mean_effect(np.zeros(20), (-1.0, math.inf)).units_needed(0.03) is None


def test_a_multiple_of_an_effect_keeps_its_interval_and_its_p_values() -> None:
    """Catches units that are all alike and become certain once their effect is halved or moved."""
    for effect in (
        mean_effect(np.full(30, 0.25), (0.0, 1.0)),
        mean_effect([0.1, 0.2, 0.4]),
        difference(np.full(3, 1.0), np.full(3, 2.0), (0.0, math.inf)),
    ):
        low, high = effect.interval()
        half, mirrored = effect.scaled(0.5, -1.0), effect.scaled(-2.0)
        assert (half.value, half.alike, half.units) == (effect.value / 2 - 1, effect.alike, effect.units)
        assert half.interval() == pytest.approx((low / 2 - 1, high / 2 - 1))
        assert mirrored.interval() == pytest.approx((-2 * high, -2 * low))
        assert half.above(-1.0) == pytest.approx(effect.above(0.0))
        assert mirrored.below(0.0) == pytest.approx(effect.above(0.0))


def test_best_less_worst_keeps_its_level_though_the_data_choose_them() -> None:
    """Three groups of 8 whose means are one: the lower end of the 90% interval is above 0 in at most 5 of 100. Of 150
    draws more than 18 would be with a chance of 1 in 4,000; Welch's of the best and the worst is in more. A range of .5
    is found, and is above .2 and below .8.
    """
    draw, found, by_welch = np.random.default_rng(0), 0, 0
    for _ in range(150):
        groups = list(draw.normal(0.2, 0.19, (3, 8)))
        found += widest(groups, (-1.0, 1.0)).missing(0.1)[0] > 0
        groups.sort(key=np.mean)
        by_welch += difference(groups[-1], groups[0]).above(0.0) < 0.05
    assert found <= 18 < by_welch
    wide = widest([draw.normal(mean, 0.05, 8) for mean in (0.3, 0.5, 0.0)], (-1.0, 1.0))
    assert wide.value == pytest.approx(0.5, abs=0.1)  # five standard errors
    assert max(wide.above(0.2), wide.below(0.8)) < 1e-3
    two = [draw.normal(mean, 0.1, 8) for mean in (0.0, 0.1)]
    assert widest(two).missing(0.1)[1] == pytest.approx(difference(two[1], two[0]).missing(0.1)[1])
    alike = widest([np.full(4, 0.1), np.full(4, 0.4)], (-1.0, 1.0))
    assert alike.interval()[0] < 0.0 < alike.interval()[1]  # four that are alike say little


def test_an_effect_less_the_size_of_another_covers_whatever_their_dependence() -> None:
    """Both of the same units, once as they are and once mirrored: of 300 intervals of 95%, more than 28 miss with a
    chance of at most 1 in 1,000. Catches standard errors added as if they were independent, and ends that are lost."""
    draw, missed = np.random.default_rng(1), 0
    for number in range(300):
        noise = draw.normal(0.0, 1.0, 12)
        sign = 1 if number % 2 else -1
        found = less_size(mean_effect(3.0 + noise), mean_effect(sign * (-2.0 + noise)))
        low, high = found.interval()
        missed += not low <= 1.0 <= high
        assert low < found.value < high
    assert missed <= 28
    alike = less_size(mean_effect(np.full(3, 0.5), (-1.0, 1.0)), mean_effect([0.1, 0.2, 0.15]))
    assert alike.interval()[0] < -0.2


def outcome(train: np.ndarray) -> Outcome:
    return Outcome(train=train, evaluated=np.zeros(0, int), test=np.zeros((train.shape[0], 0)), p0=0.1, pulls=1)


def test_results_choose_the_interval_by_what_is_measured() -> None:
    """One table, whose 64 seeds all learn under both conditions. Catches t for a share, a bound that is not the
    statistic's own, and an interval of width 0.
    """
    experiment = Experiment(name="made up", question="?", conditions={"a": {}, "b": {"signal": "signed"}}, strata=())
    settings = {name: experiment.setting(name, {}) for name in experiment.conditions}
    assert all(isinstance(one, Setting) for one in settings.values())
    held = {(settings["a"], "table"): outcome(np.ones((64, 30))), (settings["b"], "table"): outcome(np.ones((64, 30)))}
    results = Results(held, {})
    unit = 1 - 0.025 ** (1 / 64)
    drop = results.paired(experiment, "a", "b", Outcome.largest_training_drop)["all"]
    assert drop.alike
    assert drop.interval() == pytest.approx((-unit, unit))
    level = results.level(experiment, "a", Outcome.final_train)["all"]
    assert level.interval() == pytest.approx((1 - unit, 1.0))
    counted = results.paired(experiment, "a", "b", Outcome.learnt)["all"]
    assert counted.interval() == pytest.approx(intervals.newcombe_paired(0.05, 64, 0, 0, 0))
    assert results.level(experiment, "b", Outcome.learnt)["all"].interval() == pytest.approx(
        intervals.wilson(0.05, 64, 64)
    )
    apart = results.apart(experiment, "a", "b", Outcome.learnt)["all"]
    assert apart.interval() == pytest.approx(intervals.newcombe_apart(0.05, (64, 64), (64, 64)))
    # Of two questions the units are questions, and shares of seeds are their numbers.
    both = held | {(settings["a"], "other"): outcome(np.ones((64, 30)))}
    of_two = Results(both, {}).level(experiment, "a", Outcome.learnt)["all"]
    assert of_two.units == 2
    assert of_two.interval() == pytest.approx((0.025**0.5, 1.0))
