"""Arguments of Python: what counts as a number."""

from typing import Any

import numpy as np
import pytest

import bandit_rft
from bandit_rft import arms, learners, regret, theory, verifiers
from bandit_rft.errors import InputError


@pytest.mark.parametrize("yes", [True, np.bool_(True)])
def test_a_yes_is_no_number(yes: Any) -> None:
    """Catches a switch in a number's place, which would be one round, one seed or certain success."""
    needle = arms.Needle(log10_arms=2, optimal=1, p0=0.1)
    with pytest.raises(InputError, match=r"^rounds is .*True"):
        bandit_rft.run(needle, learners.Uniform(), rounds=yes, seeds=2, key=0)
    with pytest.raises(InputError, match=r"^seeds is .*True"):
        bandit_rft.run(needle, learners.Uniform(), rounds=2, seeds=yes, key=0)
    with pytest.raises(InputError, match=r"^p0 is .*True"):
        theory.pg_jump_single(p0=yes, step_size=0.5, rounds=10)
    with pytest.raises(InputError, match=r"^step_size is .*True"):
        learners.SoftmaxPolicyGradient(step_size=yes)


def test_whole_numbers_of_other_types_are_whole_numbers() -> None:
    needle = arms.Needle(log10_arms=2, optimal=1, p0=0.1)
    runs = [
        bandit_rft.run(needle, learners.Uniform(), rounds=rounds, seeds=2, key=0).rewards
        for rounds in (3, np.int32(3), np.float64(3.0))
    ]
    np.testing.assert_array_equal(runs[0], runs[1])
    np.testing.assert_array_equal(runs[0], runs[2])


PG = learners.SoftmaxPolicyGradient
ONE = verifiers.Needle((1,))


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (lambda: PG(0.5, "grpo", 2.0, window=4.0), ("rollouts", "window")),
        (
            lambda: PG(0.5, "rloo", np.int64(2), extra_rollouts=1.0, epochs=2.0, replay=1.0),
            ("rollouts", "epochs", "replay"),
        ),
        (lambda: PG(0.5, "rloo", 2, dynamic_sampling=3.0), ("dynamic_sampling",)),
        (lambda: PG(0.5, "pass_at_k", 3, k=2.0), ("k",)),
        (lambda: learners.NaturalPolicyGradient(0.5, "pass_at_k", 3.0, k=2.0), ("rollouts", "k")),
        (lambda: learners.ExploreUntilSuccess(rollouts=2.0), ("rollouts",)),
        (lambda: learners.ExploreThenCommit(2.0), ("pulls_per_arm",)),
        (lambda: learners.Subsampled(learners.UCB1(), 2.0), ("size",)),
        (lambda: learners.BestRun(2.0), ("run_length",)),
        (lambda: learners.TwoTarget(2.0), ("failures",)),
        (lambda: arms.TokenSequences(10.0, 1.0, ONE), ("vocabulary_size", "length")),
        (lambda: arms.Contexts(10.0, 1.0, [ONE]), ("vocabulary_size", "length")),
    ],
)
def test_a_whole_float_is_kept_as_the_whole_number_that_it_is(make: Any, names: tuple[str, ...]) -> None:
    """2.0 passed the check, and was a TypeError of JAX when the run began."""
    made = make()
    for name in names:
        assert type(getattr(made, name)) is int, name


def test_a_whole_float_runs_as_its_whole_number() -> None:
    table = arms.Bernoulli([0.2, 0.8])
    whole, real = (bandit_rft.run(table, learners.SoftmaxPolicyGradient(0.5, rollouts=n), 3).rewards for n in (2, 2.0))
    np.testing.assert_array_equal(whole, real)


HISTORY = bandit_rft.History(
    rewards=np.ones((4, 40, 1)),
    value=np.linspace(0.1, 0.9, 160).reshape(4, 40),
    pulled_mean=np.ones((4, 40, 1)),
    best_mean=1.0,
)
CURVES = np.cumsum(1 - HISTORY.value, axis=1)
LAW = theory.pg_jump_single(p0=0.1, step_size=0.5, rounds=40)
TOKENS = arms.TokenSequences(10, 1, ONE)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: arms.TokenSequences(10, 1, ONE, p0="0.1"), "p0"),
        (lambda: arms.Contexts(10, 1, [ONE], p0="0.1"), "p0"),
        (lambda: arms.Contexts(10, 1, [ONE], p0=[2.0]), "p0"),
        (lambda: PG(0.5).bind(TOKENS, rounds=2, row_capacity="7"), "row_capacity"),
        (lambda: PG(0.5).bind(TOKENS, rounds=2, row_capacity=2.5), "row_capacity"),
        (lambda: learners.Greedy(initial_value="x"), "initial_value"),
        (lambda: learners.EpsilonGreedy(0.1, initial_value=None), "initial_value"),
        (lambda: learners.ThompsonGaussian(prior_mean="x"), "prior_mean"),
        (lambda: learners.ExploreUntilSuccess(replacement="no"), "replacement"),  # a text was true, "no" too
        (lambda: learners.UCBF(best_mean_is_one=0), "best_mean_is_one"),
        (lambda: theory.explore_until_success(0.1, 5, "no"), "replacement"),
        (lambda: theory.wang_exponent(0.5, "no"), "best_mean_is_one"),
        (lambda: theory.carpentier_valko(0.5, "no"), "small_variance"),
        (lambda: theory.best_run_regret(10, give_up="no"), "give_up"),
        (lambda: bandit_rft.verdict_on_log("log.csv", dynamic_sampling="no"), "dynamic_sampling"),
        (lambda: regret.scaling_exponent([1.0, 2.0], [[1.0, 2.0]] * 2, paired="no"), "paired"),
        (lambda: arms.Gaussian([0.1], sigma=None), "sigma"),  # they were Bernoulli arms under another name
        (lambda: arms.Drifting(arms.Bernoulli([0.2, 0.8]), changes=(10**10,)), "changes"),
        (lambda: arms.zipf_log_mass([1.0], "x"), "exponent"),
        (lambda: arms.zipf_log_mass([-5.0, 3.0]), "log_counts"),
        (lambda: arms.zipf_log_mass("x"), "log_counts"),
        (lambda: verifiers.HashFraction("x"), "fraction"),
        (lambda: regret.band(CURVES, confidence="x"), "confidence"),
        (lambda: regret.band("x"), "curves"),
        (lambda: regret.band(CURVES, draws=0.5), "draws"),
        (lambda: regret.growth_exponent(CURVES, window=5), "window"),
        (lambda: regret.growth_exponent(CURVES, window=(1, "x")), "window"),
        (lambda: regret.growth_exponent(CURVES, confidence="x"), "confidence"),
        (lambda: regret.log_constant(["x"]), "curves"),
        (lambda: regret.scaling_exponent(["a", "b"], [[1.0, 2.0]] * 2), "values"),
        (lambda: regret.scaling_exponent([1, 2], 3), "samples"),
        (lambda: regret.hitting_time(HISTORY, 0.5).quantile("x"), "q"),
        (lambda: regret.hitting_time(HISTORY, 0.5).restricted_mean(confidence=None), "confidence"),
        (lambda: regret.quantile_level(arms.Bernoulli([0.2, 0.8]), q="x"), "q"),
        (lambda: regret.quantile_level(arms.Bernoulli([0.2, 0.8]), log_top="x"), "log_top"),
        (lambda: regret.regret_curve(HISTORY, "satisficing", level="x"), "level"),
        (lambda: bandit_rft.compare(HISTORY, LAW, false_alarm="x"), "false_alarm"),
        (lambda: bandit_rft.compare(HISTORY, LAW, tolerance="x"), "tolerance"),
        (lambda: LAW.hitting_time_quantile("x", 0.5), "level"),
    ],
)
def test_what_is_no_number_is_named_in_a_sentence(call: Any, name: str) -> None:
    """Catches TypeError, ValueError and OverflowError of Python, NumPy or JAX."""
    with pytest.raises(InputError, match=name) as refused:
        call()
    assert "\n" not in str(refused.value)


def test_a_number_of_numpy_is_a_mass() -> None:
    """np.float32(.05) was "not iterable"."""
    assert arms.Contexts(10, 1, [ONE, ONE], p0=np.float32(0.05)).p0 == (float(np.float32(0.05)),) * 2
    assert arms.Contexts(10, 1, [ONE, ONE], p0=np.asarray([0.05, 0.1])).p0 == (0.05, 0.1)
