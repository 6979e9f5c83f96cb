"""`theory_for`: what the catalogue knows of a learner on arms, and nothing that does not apply."""

import math

import numpy as np
import pytest

from bandit_rft import arms, compare, learners, run, theory, theory_for
from bandit_rft.errors import InputError
from bandit_rft.theory import Bound

TABLE = arms.Bernoulli([0.2, 0.5, 0.8])


def names(found):
    return [law.name for law in found]


@pytest.mark.parametrize(
    ("learner", "want"),
    [
        (learners.UCB1(), ["ucb1_bound", "lai_robbins"]),
        (learners.UCB(alpha=3.0), ["ucb_alpha_bound", "lai_robbins"]),
        (learners.UCB(alpha=1.0), ["ucb_alpha_bound"]),
        (learners.KLUCB(), ["kl_ucb_bound", "lai_robbins"]),
        (learners.ThompsonBeta(), ["thompson_bound", "lai_robbins"]),
        (learners.MOSS(), ["moss_bound"]),
        (learners.SuccessiveElimination(), ["successive_elimination_bound"]),
        (learners.TsallisINF(), ["tsallis_inf_stochastic_bound"]),
        (learners.Greedy(), []),
        (learners.Uniform(), []),
        (learners.Subsampled(learners.UCB1(), 2), []),
    ],
)
def test_each_learner_has_its_own_bounds(learner, want) -> None:
    assert names(theory_for(TABLE, learner, 500)) == want


def test_thompson_s_limit_is_of_bernoulli_rewards_alone() -> None:
    """Arms that always pay .2 and .8 count as that much of a success each time, which is no draw of 0 or 1."""
    assert theory_for(arms.Deterministic([0.2, 0.8]), learners.ThompsonBeta(), 500) == ()
    assert names(theory_for(arms.Deterministic([0.2, 0.8]), learners.UCB1(), 500)) == ["ucb1_bound"]


def test_where_a_theorem_s_assumptions_fail_it_is_not_given() -> None:
    """Rewards outside [0, 1], means that move, late rewards, infinitely many arms, a subclass with another index."""

    class Bolder(learners.UCB1):
        pass

    assert theory_for(arms.Gaussian([0.2, 0.8]), learners.MOSS(), 100) == ()
    assert theory_for(arms.Delayed(TABLE, 3), learners.UCB1(), 100) == ()
    assert theory_for(arms.Noisy(TABLE, true_positive=0.9, false_positive=0.1), learners.UCB1(), 100) == ()
    assert theory_for(TABLE, Bolder(), 100) == ()
    assert names(theory_for(arms.Deterministic([0.2, 0.8]), learners.UCB1(), 100)) == ["ucb1_bound"]
    assert theory_for(arms.Bernoulli([0.2, 0.8, 0.8]), learners.TsallisINF(), 100) == ()


def test_classes_of_arms_count_each_arm() -> None:
    """Catches a bound that takes a class for one arm."""
    lumped = arms.Classes([math.log(3), 0.0], [0.4, 0.7])
    listed = theory.ucb1_bound([0.4, 0.4, 0.4, 0.7], rounds=50)
    [bound, *_] = theory_for(lumped, learners.UCB1(), 50)
    assert isinstance(bound, Bound)
    np.testing.assert_allclose(bound.uncapped, listed.uncapped)


def test_a_horizon_tuned_bound_stands_after_the_last_round_alone() -> None:
    """A run of T rounds is no run of fewer: the theorem says nothing about the way there."""
    [bound] = theory_for(TABLE, learners.MOSS(), 400)
    assert isinstance(bound, Bound)
    assert bound.tuned
    assert bound.of_one_run.at.tolist() == [400]
    assert bound.of_one_run.uncapped[0] == theory.moss_bound([0.2, 0.5, 0.8], rounds=400).uncapped[-1]


def test_more_arms_than_rounds_have_an_exact_law_and_the_runs_keep_it() -> None:
    """False-alarm rate 0.01 at this fixed key."""
    many = arms.Classes([math.log(9e5), math.log(1e5)], [0.3, 0.7])
    law, *bounds = theory_for(many, learners.UCB1(), 60)
    assert law.name == "fresh_arm_sweep"
    assert all(bound.vacuous or bound.asymptotic for bound in bounds)
    verdict = compare(run(many, learners.UCB1(), 60, seeds=64), law)
    assert verdict.tested
    assert verdict.agrees, verdict.report()
    assert names(theory_for(many, learners.ThompsonBeta(), 60)) == ["thompson_bound", "lai_robbins"]


def test_many_learners_share_what_they_share() -> None:
    several = {"UCB1": learners.UCB1(), "Thompson": learners.ThompsonBeta(), "KL-UCB": learners.KLUCB()}
    want = ["ucb1_bound", "lai_robbins", "thompson_bound", "kl_ucb_bound"]
    assert names(theory_for(TABLE, several, 100)) == want
    assert names(theory_for(TABLE, list(several.values()), 100)) == want
    needle = arms.Needle(log10_arms=100, p0=0.05)
    found = theory_for(needle, [learners.UCB1(), learners.SoftmaxPolicyGradient(step_size=0.5)], 100)
    assert names(found)[:2] == ["fresh_arm_sweep", "pg_jump_single"]
    assert "lai_robbins" not in names(theory_for(arms.Needle(log10_arms=1), learners.UCB1(), 100))  # it is 0 there
    with pytest.raises(InputError, match="learner is UCB1, no learner: make one"):  # its class, a TypeError of Python's
        theory_for(arms.Bernoulli([0.2, 0.8]), {"UCB1": learners.UCB1}, rounds=10)
    with pytest.raises(InputError, match="rounds is 0"):
        theory_for(TABLE, several, 0)
