"""`compare` with bounds, and what a verdict carries beside its yes or no. Catches a bound read at the wrong round, a
falsified one that passes, an asymptotic one that refuses, and a band that is not the test's own.
"""

import numpy as np
import pytest

from bandit_rft import arms, compare, learners, run, theory
from bandit_rft.errors import InputError
from bandit_rft.theory.bound import Bound


class Record:
    """A history of seeds with regret `slope` t each round plus noise of standard deviation sd."""

    def __init__(self, slope: float, sd: float, seeds: int = 100, rounds: int = 50) -> None:
        noise = sd * np.random.default_rng(0).standard_normal((seeds, 1))
        self.curves = np.arange(1, rounds + 1) * (slope + noise)
        self.rewards = np.zeros((seeds, rounds, 1))
        self.value = np.full((seeds, rounds), 1 - slope)
        self.best_mean = 1.0

    def regret(self) -> np.ndarray:
        return self.curves


def bound(values, kind="upper", **options):
    at = np.arange(1, len(values) + 1)
    trivial = at * 1.0 if kind == "upper" else 0.0 * at
    return theory.Bound(name="a bound", kind=kind, at=at, uncapped=np.asarray(values), trivial=trivial, **options)


def test_a_bound_is_falsified_three_standard_errors_beyond_it() -> None:
    record = Record(slope=0.5, sd=0.1)  # standard error .01 t: three of them are .03 t
    t = np.arange(1, 51)
    for slope, kind, agrees in [
        (0.45, "upper", False),
        (0.49, "upper", True),
        (0.6, "upper", True),
        (0.55, "lower", False),
        (0.51, "lower", True),
    ]:
        verdict = compare(record, bound(slope * t, kind))
        assert verdict.tested
        assert verdict.agrees is agrees, (slope, kind)
        assert ("FALSIFIED" in verdict.line()) is not agrees
    early = np.full(50, 100.0)
    early[3] = 1.0  # true regret after 4 rounds is 2
    verdict = compare(record, bound(early))
    assert (verdict.agrees, verdict.round, verdict.predicted) == (False, 4, 1.0)
    assert "regret after 4 rounds: at most 1" in verdict.line()
    assert "at most 1, standard error" in verdict.report()


def test_what_cannot_be_tested_says_so() -> None:
    record = Record(slope=0.5, sd=0.1)
    asymptotic = compare(record, bound(np.full(50, 1e-3), asymptotic=True))
    assert (asymptotic.tested, asymptotic.agrees) == (False, True)
    assert "asymptotic" in asymptotic.line()
    unread = compare(record, bound(np.full(50, 1e-3), confirmed=False))
    assert (unread.tested, unread.agrees) == (False, True)
    assert "NOT TESTED" in unread.report()
    assert "not confirmed against the paper" in unread.report()
    assert not compare(Record(0.5, 0.1, seeds=1), bound(np.full(50, 1e-3))).tested
    with pytest.raises(InputError, match="simple regret"):
        compare(record, bound(np.ones(50), quantity="simple regret"))
    assert "vacuous" in compare(record, bound(np.full(50, 1e3))).report()


def test_a_regret_that_is_no_number_is_refused() -> None:
    """NaN is beyond no bound, so that a history of NaN kept every one."""
    broken = Record(slope=0.5, sd=0.1)
    broken.curves[2, 7] = np.nan
    with pytest.raises(InputError, match="regret of seed 2 in round 7 is nan"):
        compare(broken, bound(0.9 * np.arange(1, 51)))


def test_a_vacuous_bound_is_never_kept() -> None:
    """Catches "AGREES" for T times the gap and more above, for a lower bound of 0 or beyond what can be, and for a
    bound outside its assumptions: each is a number that every learner keeps."""
    record = Record(slope=0.5, sd=0.1)
    t = np.arange(1.0, 51.0)
    vacuous = [
        bound(np.full(50, 1e3)),
        bound(1.0 * t),
        bound(0.0 * t, "lower"),
        bound(2.0 * t, "lower", cap=0.5 * t),
        bound(0.6 * t, flags=("alpha is below 2.",)),
    ]
    for one in vacuous:
        verdict = compare(record, one)
        assert (verdict.tested, verdict.agrees) == (False, True)
        assert "NOT TESTED" in verdict.report()
        assert "AGREES" not in verdict.report()
        assert "not tested" in verdict.line()
    table, rounds = arms.Bernoulli([0.4, 0.5]), 50
    history = run(table, learners.UCB1(), rounds=rounds, seeds=4)
    assert "NOT TESTED" in compare(history, theory.ucb1_bound([0.4, 0.5], rounds=rounds)).report()


def test_a_bound_of_another_setting_is_refused_in_a_sentence() -> None:
    """Catches a bound of a longer or shorter horizon that is read up to where it goes, one of other arms, and one of
    single pulls for rounds of many."""
    table = arms.Bernoulli([0.2, 0.8])
    history = run(table, learners.UCB1(), rounds=50, seeds=4)
    grouped = run(table, learners.SoftmaxPolicyGradient(step_size=0.1, rollouts=2), rounds=50, seeds=4)
    for given, rounds, means, said in [
        (history, 49, [0.2, 0.8], "50 rounds and ucb1_bound was made for 49"),
        (history, 60, [0.2, 0.8], "made for 60"),
        (history, 50, [0.2, 0.9], "best mean is 0.9"),
        (grouped, 50, [0.2, 0.8], "2 rollouts"),
    ]:
        with pytest.raises(InputError, match=said):
            compare(given, theory.ucb1_bound(means, rounds=rounds))


def test_a_bound_is_capped_and_says_when_it_is_vacuous() -> None:
    loose = bound([5.0, 5.0, 5.0, 5.0])
    np.testing.assert_array_equal(loose.value, [1, 2, 3, 4])
    assert loose.vacuous
    assert not bound([5.0] * 6).vacuous
    assert bound([-1.0, -1.0], kind="lower").vacuous
    np.testing.assert_array_equal(bound([-1.0, 2.0], kind="lower").value, [0, 2])
    assert "vacuous (the theorem" in loose.report()


def test_bands_are_those_of_the_test() -> None:
    """A prediction agrees exactly where it lies inside every band."""
    prediction = theory.pg_jump_single(0.05, 0.5, 60)
    generator = np.random.default_rng(3)
    curves = prediction.law.sample(generator, 400, np.arange(60))
    rewards = np.diff(curves.total_reward, axis=1, prepend=0.0)[..., None]

    class Run:
        best_mean = 1.0
        value = curves.value

        def __init__(self):
            self.rewards = rewards

        def regret(self):
            return curves.regret

    for shift, agrees in [(1.0, True), (2.0, False)]:
        told = theory.pg_jump_single(0.05, 0.5 * shift, 60)
        verdict = compare(Run(), told)
        inside = all(
            np.all((band.predicted >= band.low - 1e-9) & (band.predicted <= band.high + 1e-9)) for band in verdict.bands
        )
        assert verdict.max_z <= verdict.threshold if agrees else verdict.max_z > verdict.threshold
        assert inside is agrees
        assert {band.quantity for band in verdict.bands} == {"value", "regret"}


def test_fits_sum_up_the_growth_of_regret() -> None:
    prediction = theory.explore_until_success(0.02, 200)
    curves = prediction.law.sample(np.random.default_rng(1), 2000, np.arange(200))

    class Run:
        best_mean = 1.0
        value = curves.value
        rewards = np.diff(curves.total_reward, axis=1, prepend=0.0)[..., None]

        def regret(self):
            return curves.regret

    fits = {fit.name: fit for fit in compare(Run(), prediction).fits}
    assert set(fits) == {"exponent", "constant"}
    assert all(fit.agrees for fit in fits.values())
    at = np.unique(np.rint(np.geomspace(20, 200, 64)).astype(int))  # even in ln t
    slope = np.polyfit(np.log(at), np.log(prediction.regret[at - 1]), 1)[0]
    assert fits["exponent"].predicted == pytest.approx(slope, abs=0.01)


@pytest.mark.parametrize(
    ("table", "learner", "bound"),
    [
        (arms.Bernoulli([0.0, 1.0]), learners.EXP3("loss"), theory.exp3_bound(2, 1000, "loss")),
        (arms.Bernoulli([0.0, 1.0]), learners.EXP3IX(), theory.exp3_ix_bound(2, 1000)),
        (
            arms.Bernoulli([0.75, 0.25]),
            learners.ExploreThenCommit(22),
            theory.tuned_explore_then_commit_bound(0.5, 1000, sigma=0.5),
        ),
    ],
)
def test_a_run_that_is_tuned_to_its_horizon_is_held_against_its_end_alone(table, learner, bound) -> None:
    """Catches a theorem on runs of T rounds that is tested in the middle of a longer one, which it says nothing of."""
    history = run(table, learner, rounds=1000, seeds=64, key=0)
    verdict = compare(history, bound)
    assert verdict.tested
    assert verdict.agrees
    assert verdict.bands[0].at.tolist() == [999]  # the last round, from 0
    with pytest.raises(AssertionError):  # the middle of the run is beyond the bounds of shorter ones
        assert (history.regret().mean(axis=0) <= bound.value).all()


def test_few_seeds_are_refused_as_rarely_as_many() -> None:
    """A bound that holds with equality, and normal regrets of three seeds: refused in .00135 of 4,000 studies, below 16
    but for one in 1,000 runs. Catches three standard errors of three seeds, which refuse 4%."""
    draw, refused = np.random.default_rng(2), 0
    bound = Bound(name="made up", kind="upper", at=np.array([1]), uncapped=np.ones(1), trivial=np.full(1, 9.0))
    for _ in range(4000):
        history = Record(slope=1.0, sd=0.0, seeds=3, rounds=1)
        history.curves = 1.0 + 0.1 * draw.normal(size=(3, 1))
        refused += not compare(history, bound).agrees
    assert refused < 16
