"""Best-arm identification against rules written once more in plain Python, published weights, and exact laws."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import minimize

from bandit_rft import InputError, arms
from bandit_rft.best_arm import LUCB, SequentialHalving, TrackAndStop, identify, optimal_weights
from bandit_rft.best_arm.halving import _binomial, _hypergeometric, _share_above
from bandit_rft.best_arm.track_and_stop import _divergence

FOUR = [0.8, 0.5, 0.45, 0.3]


def d(p: float, q: float) -> float:
    """The Bernoulli divergence, in plain Python."""
    first = 0.0 if p == 0 else p * math.log(p / q)
    return first + (0.0 if p == 1 else (1 - p) * math.log((1 - p) / (1 - q)))


def stream(key: int, seed: int, means: list[float]):
    """A seed's order of the arms, and its uniform numbers in blocks of 512 as the package draws them."""
    generator = np.random.default_rng([key, seed])
    mean = generator.permutation(means)
    return mean, (float(u) for _ in itertools.count() for u in generator.random(512))


def cost(weight: np.ndarray, mean: np.ndarray) -> float:
    """min over rivals of the two-arm cost of `weight`, written out."""
    best = int(np.argmax(mean))
    every = []
    for rival in range(len(mean)):
        if rival != best:
            m = (weight[best] * mean[best] + weight[rival] * mean[rival]) / (weight[best] + weight[rival])
            every.append(weight[best] * d(mean[best], m) + weight[rival] * d(mean[rival], m))
    return min(every)


@pytest.mark.parametrize(
    ("means", "published"),
    [
        ([0.5, 0.45, 0.43, 0.4], [0.417, 0.390, 0.136, 0.057]),
        ([0.3, 0.21, 0.2, 0.19, 0.18], [0.336, 0.251, 0.177, 0.132, 0.104]),
    ],
)
def test_the_weights_of_garivier_and_kaufmann(means: list[float], published: list[float]) -> None:
    """The two instances of the paper's section 6, to their three digits."""
    np.testing.assert_allclose(optimal_weights(means), published, atol=6e-4)


def test_close_means_have_their_weights() -> None:
    """Of two arms 2e-8 apart each has half: their divergence cancelled to noise, and the weights were .28 and .72."""
    np.testing.assert_allclose(optimal_weights([0.5, 0.49999998]), 0.5, atol=1e-5)
    np.testing.assert_allclose(
        _divergence(np.array([0, 1, 0, 0.2]), np.array([0, 1, 0.5, 0.6])), [0, 0, math.log(2), d(0.2, 0.6)]
    )
    for means in ([1e-10, 5e-10], [0.5, 0.4999999995], [0.9, 1 - 1e-10]):  # gave halves, whatever the means
        with pytest.raises(InputError, match="1e-08 or more below"):
            optimal_weights(means)


@pytest.mark.parametrize("means", [FOUR, [0.2, 0.9], [0.6, 0.1, 0.59]])
def test_no_other_weights_are_better(means: list[float]) -> None:
    """Against a general optimiser over the simplex, started at random: catches a bisection that stops elsewhere."""
    mean = np.asarray(means)
    ours = cost(optimal_weights(means), mean)
    found = [
        -minimize(
            lambda z: -cost(np.exp(z) / np.exp(z).sum(), mean), start, method="Nelder-Mead", options={"xatol": 1e-9}
        ).fun
        for start in np.random.default_rng(0).normal(size=(5, mean.size))
    ]
    assert max(found) <= ours * (1 + 1e-5)
    assert max(found) >= ours * (1 - 1e-3)


def test_lucb_pull_for_pull() -> None:
    """Every seed's number of pulls and answer, against the rule in scalars on the same random numbers."""
    found = identify(arms.Bernoulli(FOUR), LUCB(delta=0.1, epsilon=0.02), seeds=12, key=3)
    for seed in range(12):
        mean, uniform = stream(3, seed, FOUR)
        n, total = [0] * 4, [0] * 4

        def pull(arm: int, mean=mean, uniform=uniform, n=n, total=total) -> None:
            n[arm] += 1
            total[arm] += next(uniform) < mean[arm]

        for arm in range(4):
            pull(arm)
        while True:
            average = [total[a] / n[a] for a in range(4)]
            beta = [math.sqrt(math.log(5 * 4 * sum(n) ** 4 / (4 * 0.1)) / (2 * n[a])) for a in range(4)]
            h = max(range(4), key=lambda a: average[a])
            rival = max((a for a in range(4) if a != h), key=lambda a: average[a] + beta[a])
            if average[rival] + beta[rival] - (average[h] - beta[h]) < 0.02:
                break
            pull(h)
            pull(rival)
        assert (found.pulls[seed], bool(found.correct[seed])) == (sum(n), mean[h] == 0.8)
    assert found.stopped.all()


def test_track_and_stop_pull_for_pull() -> None:
    """As above. The weights are the package's own, held against an optimiser in another test."""
    means = [0.8, 0.4, 0.3]
    found = identify(arms.Bernoulli(means), TrackAndStop(delta=0.2), seeds=1, key=5)
    for seed in range(1):
        mean, uniform = stream(5, seed, means)
        n, total = np.zeros(3), np.zeros(3)
        for arm in range(3):
            n[arm], total[arm] = 1, next(uniform) < mean[arm]
        while True:
            average, t = total / n, n.sum()
            top = np.flatnonzero(average == average.max())
            evidence = cost(n, np.clip(average, 1e-12, 1 - 1e-12))
            if len(top) == 1 and evidence > math.log(2 * t * 2 / 0.2):
                break
            if n.min() < math.sqrt(t) - 1.5:
                arm = int(np.argmin(n))
            elif len(top) > 1:
                arm = int(np.argmax(t * (average == average.max()) / len(top) - n))
            else:
                arm = int(np.argmax(t * optimal_weights(np.clip(average, 1e-9, 1 - 1e-9)) - n))
            n[arm] += 1
            total[arm] += next(uniform) < mean[arm]
        assert found.pulls[seed] == n.sum()


@pytest.mark.parametrize("rule", [TrackAndStop(delta=0.1), LUCB(delta=0.1)])
def test_errors_are_within_delta(rule) -> None:
    """60 runs: 17 errors or more have probability 5e-5 where delta is kept; the seed is fixed."""
    found = identify(arms.Bernoulli([0.85, 0.15]), rule, seeds=60, key=0)
    assert found.stopped.all()
    assert stats.binom.sf(60 - found.correct.sum() - 1, 60, 0.1) > 1e-4


def explicit_halving(rng: np.random.Generator, means: np.ndarray, budget: int) -> tuple[int, int]:
    """The paper's algorithm on explicit arms: (the arm named, pulls)."""
    left, stages, pulls = np.arange(means.size), math.ceil(math.log2(means.size)), 0
    for _ in range(stages):
        each = budget // (left.size * stages)
        pulls += each * left.size
        total = rng.binomial(each, means[left]) + rng.random(left.size) / 2  # ties uniform
        left = left[np.argsort(-total)[: (left.size + 1) // 2]]
    return int(left[0]), pulls


def test_halving_by_classes_is_halving_arm_by_arm() -> None:
    """Each class's share of the arms named, chi-square at level 1e-4 against 4000 explicit runs (seeds fixed).

    Catches a tie broken by class, a boundary in the wrong half, a survivor counted twice.
    """
    counts, means = [1, 5, 13], [0.6, 0.5, 0.3]
    table = arms.Classes(log_counts=np.log(counts).tolist(), means=means)
    flat, budget, runs = np.repeat(means, counts), 400, 4000
    rng = np.random.default_rng(1)
    theirs = [explicit_halving(rng, flat, budget) for _ in range(runs)]
    ours = [SequentialHalving(budget).play(table, np.random.default_rng([2, s])) for s in range(runs)]
    assert {pulls for _, pulls in ours} == {pulls for _, pulls in theirs}
    seen = np.array(
        [
            [sum(mean == m for mean, _ in ours) for m in means],
            [sum(flat[arm] == m for arm, _ in theirs) for m in means],
        ]
    )
    assert stats.chi2_contingency(seen[:, seen.sum(axis=0) > 0]).pvalue > 1e-4


def test_halving_finds_one_arm_of_ten_to_the_hundred() -> None:
    table = arms.Classes(log_counts=[0.0, 100 * math.log(10)], means=[0.5, 0.1])
    few = identify(table, SequentialHalving(10**100 * 400), seeds=20, key=0)
    many = identify(table, SequentialHalving(10**105), seeds=20, key=0)
    assert many.correct.all()
    assert not few.correct.all()  # one pull an arm and stage: it falls out where it fails while others do not
    assert 10**104 < many.pulls[0] <= 10**105


def test_halving_counts_beyond_the_largest_float() -> None:
    """Whole numbers above 1e308 were multiplied with floats: an OverflowError, and of 2^53 + 1 pulls of an arm of mean
    1 a sum that is one short.
    """
    huge = identify(arms.Needle(log10_arms=400, p0=0.5), SequentialHalving(10**404), seeds=1, key=0)
    assert huge.correct.all()
    assert huge.mean_pulls == math.inf
    table = arms.Classes(log_counts=[0.0, 100 * math.log(10)], means=[0.5, 0.1])
    assert identify(table, SequentialHalving(10**450), seeds=1, key=0).correct.all()
    close = arms.Classes(log_counts=[0.0, 0.0], means=[1e-200, 0.0])
    with pytest.raises(InputError, match="too close for 10\\^400 pulls"):
        identify(close, SequentialHalving(2 * 10**400), seeds=1, key=0)
    assert _share_above(1.0, 2**53 + 1, 0, 2**53 + 1, 2**53 + 2) == 1.0
    assert _share_above(0.0, 2**53 + 1, 0, 1, 2**53 + 2) == 0.0


@pytest.mark.parametrize(("trials", "share"), [(10**20, 1e-18), (10**100, 1e-98), (10**30, 0.3), (10**25, 0.9)])
def test_binomials_of_huge_counts(trials: int, share: float) -> None:
    """Mean and variance over 4000 draws, each within 5 standard errors (6e-7 a row)."""
    generator = np.random.default_rng(0)
    drawn = [_binomial(generator, trials, share) for _ in range(4000)]
    over, under = share.as_integer_ratio()
    spread = math.sqrt(trials * share * (1 - share))
    z = np.array([float(x - Fraction(trials * over, under)) / spread for x in drawn])
    assert abs(z.mean()) < 5 / math.sqrt(4000)
    assert abs(z.var() - 1) < 5 * math.sqrt(2.1 / 4000)


@pytest.mark.parametrize(
    ("good", "bad", "draws"),
    [
        (2_000_000, 10**12, 600_000),
        (3_000_000, 10**9, 5 * 10**8),
        (7, 10**9, 3 * 10**8),
        (10**9, 10**9, 5),
        (10**30, 10**31, 10**20),
    ],
)
def test_draws_without_replacement_of_huge_counts(good: int, bad: int, draws: int) -> None:
    """Mean and variance of 2,000 draws against the law's own, five standard errors each (one in 2e5 fails). Catches the
    normal law where few are expected: of 2e6 among 1e12, half of 600,000 draws were said to hold none, not 30%."""
    generator, total = np.random.default_rng(7), good + bad
    found = [_hypergeometric(generator, good, bad, draws) for _ in range(2000)]
    mean = Fraction(draws * good, total)
    variance = float(mean * Fraction(bad * (total - draws), total * (total - 1)))
    left = np.array([float(count - mean) for count in found])
    assert abs(left.mean()) < 5 * math.sqrt(variance / 2000)
    assert abs((left**2).mean() / variance - 1) < 5 * math.sqrt((2 + 1 / variance) / 2000)
    if draws == 600_000:  # Poisson's law
        assert abs(np.mean(np.array(found) == 0) - math.exp(-float(mean))) < 0.05


@pytest.mark.parametrize(
    ("table", "rule", "said"),
    [
        (arms.Gaussian([0.1, 0.2]), LUCB(delta=0.1), "Bernoulli"),
        (arms.Bernoulli([0.5, 0.5]), TrackAndStop(delta=0.1), "several"),
        (arms.Bernoulli([0.5]), LUCB(delta=0.1), "two"),
        (arms.Classes(log_counts=[0.0, 200.0], means=[0.9, 0.1]), TrackAndStop(delta=0.1), "SequentialHalving"),
        (arms.Bernoulli([0.5, 0.1]), SequentialHalving(1), "budget"),
        (arms.Gaussian([0.1, 0.2]), SequentialHalving(100), "Bernoulli"),
    ],
)
def test_what_does_not_fit_is_a_sentence(table, rule, said: str) -> None:
    with pytest.raises(InputError, match=said):
        identify(table, rule, seeds=1, key=0)


def test_a_run_that_does_not_end_is_given_up() -> None:
    found = identify(arms.Bernoulli([0.5, 0.499]), LUCB(delta=0.01), seeds=3, key=0, most_pulls=100)
    assert not found.stopped.any()
    assert max(found.pulls) <= 100
