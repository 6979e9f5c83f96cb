"""Every learner on every arm set that it supports, against explicit arms in NumPy: equal in law.

One two-sample Kolmogorov–Smirnov test on the summed loss for each pair, at level 1e-4 (its false-alarm rate; some 370
pairs make 4% for the whole file, and the seeds are fixed). Ten arms and sixty rounds: exploration ends and ties abound.
What they catch: an index off by its constant, a tie broken by position, an untouched arm treated as a pulled one, a
lumped row that forgets its size, a delayed reward that reaches the wrong arm. `test_the_comparison_can_fail` shows
their power. A few pairs run always, one for each learner and each arm set; all of them under the mark slow.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from bandit_rft import InputError, arms, learners, run
from bandit_rft.learners.index import Arm, Setting
from bandit_rft.learners.kl_ucb import upper_bound
from bandit_rft.learners.tabular_update import State
from bandit_rft.learners.tsallis_inf import log_probability
from bandit_rft.rows import Rows
from tests.bandit_rft import explicit

ROUNDS, SEEDS, LEVEL = 60, 1500, 1e-4
COUNTS, MEANS = [1, 3, 6], [0.9, 0.5, 0.1]
FLAT = np.repeat(MEANS, COUNTS)
LOG_COUNTS = np.log(COUNTS).tolist()
BASE = np.repeat([0.3, 0.3 / 3, 0.4 / 6], COUNTS)
MANY = np.linspace(0.05, 0.95, 80)


def fixed(means):
    return lambda rng, seeds: np.tile(means, (seeds, 1))


CLASSES = arms.Classes(log_counts=LOG_COUNTS, means=MEANS)
ARMS = {
    "Classes": (CLASSES, explicit.World(fixed(FLAT))),
    "Classes, base policy": (
        arms.Classes(log_counts=LOG_COUNTS, means=MEANS, base_log_mass=np.log([0.3, 0.3, 0.4]).tolist()),
        explicit.World(fixed(FLAT), base=BASE),
    ),
    "Bernoulli": (arms.Bernoulli(FLAT.tolist()), explicit.World(fixed(FLAT))),
    "Bernoulli, pooled": (arms.Bernoulli(MANY.tolist()), explicit.World(fixed(MANY))),
    "Gaussian": (arms.Gaussian(FLAT.tolist(), sigma=0.5), explicit.World(fixed(FLAT), sigma=0.5)),
    "Classes, Gaussian": (
        arms.Classes(log_counts=LOG_COUNTS, means=MEANS, sigma=0.5),
        explicit.World(fixed(FLAT), sigma=0.5),
    ),
    "Deterministic": (arms.Deterministic(FLAT.tolist()), explicit.World(fixed(FLAT), sigma=0.0)),
    "Needle": (
        arms.Needle(log10_arms=1, optimal=2),
        explicit.World(fixed(np.repeat([1.0, 0.0], [2, 8]))),
    ),
    "Noisy": (
        arms.Noisy(CLASSES, true_positive=0.8, false_positive=0.2),
        explicit.World(fixed(FLAT), noise=(0.8, 0.2)),
    ),
    "Delayed": (arms.Delayed(CLASSES, rounds=5), explicit.World(fixed(FLAT), delay=5)),
    "Drifting": (arms.Drifting(arms.Bernoulli(FLAT.tolist()), step=0.1), explicit.World(fixed(FLAT), step=0.1)),
    "Drifting, changes": (
        arms.Drifting(arms.Bernoulli(FLAT.tolist()), changes=(20, 40)),
        explicit.World(fixed(FLAT), changes=(20, 40)),
    ),
    "Instances": (
        arms.Instances(arms.Beta(2.0, 3.0), arms=10),
        explicit.World(lambda rng, seeds: rng.beta(2.0, 3.0, (seeds, 10))),
    ),
    "Instances, pooled": (
        arms.Instances("uniform", arms=90),
        explicit.World(lambda rng, seeds: rng.random((seeds, 90))),
    ),
    # Sixty rounds touch at most sixty arms and means are independent: 64 columns are exact for a learner that puts all
    # untouched arms before or after a touched one, however many they are. The others have their law in `ENDLESS`.
    "Reservoir": (
        arms.Reservoir("uniform"),
        explicit.World(lambda rng, seeds: rng.random((seeds, 64)), best=1.0),
    ),
}


def ucb1(self, n, mean, t):
    return mean + np.sqrt(2 * np.log(t) / n)


LEARNERS = {
    "Uniform": (learners.Uniform(), explicit.Uniform()),
    "Greedy": (learners.Greedy(), explicit.Index(lambda self, n, mean, t: mean)),
    "Greedy(0)": (learners.Greedy(initial_value=0.0), explicit.Index(lambda self, n, mean, t: mean, first=False)),
    "EpsilonGreedy": (learners.EpsilonGreedy(epsilon=0.2), explicit.EpsilonGreedy(0.2)),
    "EpsilonGreedy, decaying": (learners.EpsilonGreedy(epsilon=5.0, decay=1.0), explicit.EpsilonGreedy(5.0, 1.0)),
    "AnnealedSoftmax": (learners.AnnealedSoftmax(scale=1.5), explicit.AnnealedSoftmax(1.5, 0.5)),
    "ExploreThenCommit": (learners.ExploreThenCommit(pulls_per_arm=3), explicit.ExploreThenCommit(3)),
    "SuccessiveElimination": (learners.SuccessiveElimination(), explicit.SuccessiveElimination()),
    "UCB1": (learners.UCB1(), explicit.Index(ucb1)),
    "UCB": (
        learners.UCB(alpha=0.5),
        explicit.Index(lambda self, n, mean, t: mean + np.sqrt(0.5 * np.log(t) / (2 * n))),
    ),
    "UCBV": (
        learners.UCBV(),
        explicit.Index(lambda s, n, mean, t: explicit.variance_bound(s, n, mean, 1.2 * np.log(t))),
    ),
    "KLUCB": (learners.KLUCB(), explicit.Index(lambda self, n, mean, t: explicit.kl_bound(mean, np.log(t) / n))),
    "MOSS": (
        learners.MOSS(),
        explicit.Index(lambda s, n, mean, t: mean + np.sqrt(np.maximum(np.log(s.rounds / (s.arms * n)), 0) / n)),
    ),
    "UCBF": (
        learners.UCBF(),
        explicit.Subsampled(
            lambda s, n, mean, t: explicit.variance_bound(s, n, mean, 2 * np.log(max(10 * np.log(t), 1))),
            int(np.sqrt(ROUNDS)),
        ),
    ),
    "BayesUCB": (
        learners.BayesUCB(),
        explicit.Index(lambda self, n, mean, t: explicit.beta_bound(self, t), first=False),
    ),
    "SlidingWindowUCB": (learners.SlidingWindowUCB(window=15), explicit.SlidingWindow(15, 0.6)),
    "DiscountedUCB": (learners.DiscountedUCB(discount=0.9), explicit.Discounted(0.9, 0.6)),
    "ThompsonBeta": (learners.ThompsonBeta(), explicit.ThompsonBeta()),
    "ThompsonGaussian": (learners.ThompsonGaussian(), explicit.ThompsonGaussian()),
    "EXP3, gain": (learners.EXP3("gain"), explicit.EXP3Gain()),
    "EXP3, loss": (learners.EXP3("loss"), explicit.EXP3Loss()),
    "EXP3IX": (learners.EXP3IX(), explicit.EXP3IX()),
    "TsallisINF": (learners.TsallisINF(), explicit.TsallisINF()),
    "Subsampled": (learners.Subsampled(learners.UCB1(), size=4), explicit.Subsampled(ucb1, 4)),
    "OneFailure": (learners.OneFailure(), explicit.Index(explicit.one_failure, first=False)),
    "BestRun": (learners.BestRun(), explicit.BestRun()),
    "TwoTarget": (learners.TwoTarget(), explicit.TwoTarget()),
    "SoftmaxPolicyGradient": (learners.SoftmaxPolicyGradient(step_size=0.5), explicit.PolicyGradient(0.5, False)),
    "NaturalPolicyGradient": (learners.NaturalPolicyGradient(step_size=0.05), explicit.PolicyGradient(0.05, True)),
    "ExploreUntilSuccess": (learners.ExploreUntilSuccess(), explicit.ExploreUntilSuccess(True)),
    "ExploreUntilSuccess, once each": (
        learners.ExploreUntilSuccess(replacement=False),
        explicit.ExploreUntilSuccess(False),
    ),
}
# What a learner becomes as K → ∞, where 64 columns would not do; its explicit form at 4000 columns has this law too.
FRESH = explicit.Index(lambda self, n, mean, t: mean)  # a fresh arm each round: the column never pulled comes first
UNTIL_SUCCESS = explicit.Index(
    lambda self, n, mean, t: np.where(self.n == 0, 1.0, np.where(self.total > 0, 2.0, 0.0)), first=False
)
ENDLESS = {
    "Uniform": FRESH,  # a repetition has probability t/K
    "Greedy(0)": UNTIL_SUCCESS,  # ties at 0 are uniform over arms: infinitely many fresh ones against t failed ones
    "EpsilonGreedy": explicit.EpsilonGreedy(0.2, endless=True),
    "EpsilonGreedy, decaying": explicit.EpsilonGreedy(5.0, 1.0, endless=True),
    "ThompsonBeta": FRESH,  # the best of K untouched draws tends to 1, and of K normals to infinity
    "ThompsonGaussian": FRESH,
    "EXP3, gain": FRESH,  # γ = 1
    "EXP3, loss": FRESH,  # no weight ever rises, so a touched arm has at most 1/(K − t)
    "EXP3IX": FRESH,
    "TsallisINF": FRESH,
    "ExploreUntilSuccess": UNTIL_SUCCESS,
    "SoftmaxPolicyGradient": FRESH,  # a touched arm has at most exp(0.5 t)/K
    "NaturalPolicyGradient": UNTIL_SUCCESS,  # a success adds step · K to a logit, more than ln K: the arm has it all
}
UNIT_REWARDS = {
    "ThompsonBeta",
    "BayesUCB",
    "KLUCB",
    "EXP3, gain",
    "EXP3, loss",
    "EXP3IX",
    "TsallisINF",
    "OneFailure",
    "BestRun",
}
AT_ONCE = {"ExploreThenCommit", "EXP3, gain", "EXP3, loss", "EXP3IX", "TsallisINF", "NaturalPolicyGradient"}
AT_ONCE |= {"BestRun", "TwoTarget", "ExploreUntilSuccess, once each"}
# A program with one current arm has no meaning where rewards come late, and its oracle runs out of ten arms.
TWO_TARGET_ON = {"Bernoulli, pooled", "Instances, pooled", "Reservoir"}


def refused(learner: str, arm_set: str) -> bool:
    """Pairs that must be refused with a sentence."""
    if learner in AT_ONCE and arm_set == "Delayed":
        return True
    if learner in UNIT_REWARDS | {"TwoTarget"}:
        return arm_set in ("Gaussian", "Classes, Gaussian")
    return learner in ("UCBF", "Subsampled") and arm_set.startswith("Drifting")


PAIRS = [
    (learner, arm_set)
    for learner in LEARNERS
    for arm_set in ARMS
    if learner != "TwoTarget" or arm_set in TWO_TARGET_ON or refused(learner, arm_set)
]
NAMES = list(ARMS)
ALWAYS = {(learner, NAMES[i % len(NAMES)]) for i, learner in enumerate(LEARNERS)} & set(PAIRS)
ALWAYS |= {("TwoTarget", "Bernoulli, pooled"), ("EpsilonGreedy", "Reservoir"), ("ThompsonGaussian", "Classes")}


@pytest.mark.parametrize(
    ("learner", "arm_set"), [pair if pair in ALWAYS else pytest.param(*pair, marks=pytest.mark.slow) for pair in PAIRS]
)
def test_agrees_in_law(learner: str, arm_set: str) -> None:
    ours, theirs = LEARNERS[learner]
    table, world = ARMS[arm_set]
    if refused(learner, arm_set):
        with pytest.raises(InputError):
            run(table, ours, ROUNDS, seeds=2, key=0)
        return
    if arm_set == "Reservoir":
        theirs = ENDLESS.get(learner, theirs)
    history = run(table, ours, ROUNDS, seeds=SEEDS, key=NAMES.index(arm_set) + 100)
    regret = explicit.play(world, theirs, ROUNDS, SEEDS, seed=5)
    assert stats.ks_2samp(history.regret("pulled")[:, -1], regret).pvalue > LEVEL
    if np.isfinite(history.value).all():  # the policy's own expectation of what was pulled: |z| < 4.5, 7e-6 each
        difference = history.regret("pulled")[:, -1] - history.regret("pseudo")[:, -1]
        error = difference.std(ddof=1) / np.sqrt(SEEDS)
        assert abs(difference.mean()) <= 4.5 * error + 1e-9


@pytest.mark.parametrize(
    ("learner", "theirs"),
    [
        ("UCB1", explicit.Index(lambda self, n, mean, t: mean + np.sqrt(1.6 * np.log(t) / n))),
        ("ThompsonBeta", explicit.ThompsonGaussian()),
        ("EXP3, loss", explicit.EXP3Gain()),
        ("EpsilonGreedy", explicit.EpsilonGreedy(0.3)),
        ("ExploreThenCommit", explicit.ExploreThenCommit(4)),
        ("AnnealedSoftmax", explicit.AnnealedSoftmax(1.5, 0.65)),
        ("SlidingWindowUCB", explicit.SlidingWindow(25, 0.6)),
        ("DiscountedUCB", explicit.Discounted(0.8, 0.6)),
        ("BayesUCB", explicit.Index(lambda self, n, mean, t: explicit.beta_bound(self, t**1.5), first=False)),
    ],
)
def test_the_comparison_can_fail(learner: str, theirs: explicit.Learner) -> None:
    """A neighbouring learner, or a constant 20 to 50% off, is told apart by the same test."""
    history = run(CLASSES, LEARNERS[learner][0], ROUNDS, seeds=SEEDS, key=100)
    regret = explicit.play(ARMS["Classes"][1], theirs, ROUNDS, SEEDS, seed=5)
    assert stats.ks_2samp(history.regret("pulled")[:, -1], regret).pvalue < LEVEL


# ---------------------------------------------------------------- what sixty rounds of regret do not tell from its like


def test_the_two_targets() -> None:
    """T = 128: four successes, and 24 in all at the third failure. A target off by one hardly changes the regret."""
    pulls, total, run_length = (jnp.asarray(row) for row in ([0, 4, 5, 26, 27], [0, 3, 4, 23, 24], [0, 3, 4, 4, 4]))
    with jax.enable_x64(True):
        arm = Arm(*(x.astype(float) for x in (pulls, total, total)), extra={"run": run_length.astype(float)})
        setting = Setting(arms=10.0, log_arms=math.log(10), rounds=128)
        index = learners.TwoTarget().index(None, arm, None, None, setting)  # pyright: ignore[reportArgumentType]
    assert index.tolist() == [1, 0, 2, 0, 3]  # fresh, missed the first, being tried, missed the second, kept


def test_a_subsample_has_its_own_number_of_arms() -> None:
    """The index of a subsample of 4 knows K = 4, not the table's 10 (MOSS divides by it); UCB-F's is floor(sqrt(T))."""
    seen = []

    class Watched(learners.MOSS):
        def index(self, key, arm, time, rows, setting):
            seen.append(setting.arms)
            return super().index(key, arm, time, rows, setting)

    run(CLASSES, learners.Subsampled(Watched(), size=4), 5, key=0)
    assert seen
    np.testing.assert_allclose(seen, 4.0)
    for rounds, size in ((60, 7), (64, 8)):
        state = run(arms.Reservoir("uniform"), learners.UCBF(), rounds, seeds=2, key=0).final_state
        assert (state.rows.used - 1).tolist() == [size, size]  # all rows but the pool's


def test_a_learner_s_own_number_of_arms_is_of_the_subsample() -> None:
    """UCB-F on a subsample of 90 swept all of them, 60 rounds long, in place of the 7 that it takes."""
    state = run(arms.Reservoir("uniform"), learners.Subsampled(learners.UCBF(), 90), 60, seeds=2, key=0).final_state
    assert (state.rows.used - 1).tolist() == [7, 7]
    few = learners.Subsampled(learners.UCBF(), 3).bind(CLASSES, rounds=60).init(jax.random.key(0))
    assert few.rows.capacity == 4
    with pytest.raises(InputError, match="subsample of 90 arms out of 10"):
        learners.Subsampled(learners.UCBF(), 90).bind(CLASSES, rounds=60)


@pytest.mark.parametrize(
    ("learner", "rounds", "size"),
    [(learners.UCBF(beta=0.5), 1000, 10), (learners.UCBF(beta=2), 1000, 100), (learners.UCBF(beta=2), 10**6, 10**4)],
)
def test_a_power_that_is_whole_is_not_rounded_down(learner: learners.UCBF, rounds: int, size: int) -> None:
    """Catches 1000^(2/3) = 99.99999999999997, whose floor is one arm too few."""
    assert learner.subsample_size(Setting(arms=math.inf, log_arms=math.inf, rounds=rounds)) == size


def test_kl_ucb_solves_its_equation() -> None:
    """Newton's steps are enough, to 1e-11, from certain failure to nearly certain success; seven are not."""
    mean = np.concatenate([[0.0, 1e-9, 1e-3], np.linspace(0.01, 0.99, 50), [0.999, 1 - 1e-6]])
    mean, level = (part.ravel() for part in np.meshgrid(mean, np.geomspace(1e-6, 20, 60)))
    with jax.enable_x64(True):
        np.testing.assert_allclose(upper_bound(mean, level), explicit.kl_bound(mean, level), rtol=0, atol=1e-11)


@pytest.mark.parametrize(("loss", "time"), [([0.0, 1e-3], 10**6), ([0.0, 100.0], 1000), ([7.0, 0.0], 10)])
def test_tsallis_inf_solves_its_equation(loss: list[float], time: int) -> None:
    """The probabilities of 1 + 10^5 arms add up to one before anything normalises them. The first case, one arm ahead
    by a hair after a long time, is the hardest: sixteen of Newton's steps are too few.
    """
    with jax.enable_x64(True):
        rows = Rows.of(np.log([1.0, 1e5]), capacity=3)  # one row stays empty
        log_loss = jnp.log(jnp.asarray([*loss, 0.0]))
        state = State(rows=rows, statistic={"log_loss": log_loss}, memory={}, time=jnp.asarray(time, jnp.int32))
        probability = jnp.exp(rows.log_multiplicity + log_probability(state))
        np.testing.assert_allclose(probability.sum(), 1.0, rtol=1e-12)
