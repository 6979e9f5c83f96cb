"""Policy gradients beyond one plain step, against explicit arms whose objective is differentiated automatically.

Equal in law: the final policy's value, two-sample Kolmogorov–Smirnov at level 1e-4 each, fixed seeds. What they catch:
a ratio to the wrong policy, a clip on the wrong side, a replayed arm looked up in the wrong row, an entropy or KL
gradient without its mean, a lumped row that drifts as one arm.
"""

import jax
import numpy as np
import pytest
from scipy import stats

from bandit_rft import InputError, arms, learners, run
from tests.bandit_rft import explicit

COUNTS, MEANS = [1, 3, 6], [0.9, 0.5, 0.1]
CLASSES = arms.Classes(log_counts=np.log(COUNTS).tolist(), means=MEANS)
FLAT = np.repeat(MEANS, COUNTS)
ROUNDS, SEEDS = 25, 1500

CASES = {
    "clip and epochs": (
        {"clip": 0.2, "epochs": 4, "rollouts": 4, "signal": "mean_baseline"},
        {"clip": 0.2, "epochs": 4},
    ),
    "epochs without clip": ({"epochs": 3}, {"epochs": 3}),
    "replay": ({"replay": 3}, {"replay": 3}),
    "replay of groups, clipped": (
        {"replay": 2, "clip": 0.3, "rollouts": 3, "signal": "rloo"},
        {"replay": 2, "clip": 0.3},
    ),
    "entropy": ({"entropy_coefficient": 0.1}, {"entropy": 0.1}),
    "KL": ({"kl_coefficient": 0.2, "rollouts": 2, "signal": "rloo"}, {"kl": 0.2}),
    "running baseline": ({"signal": "running_baseline"}, {}),
    "extra rollouts": ({"signal": "mean_baseline", "rollouts": 2, "extra_rollouts": 3}, {"extra": 3}),
    "extra rollouts, maxrl": ({"signal": "maxrl", "rollouts": 2, "extra_rollouts": 3}, {"extra": 3}),
    "extra rollouts, leave one out": ({"signal": "rloo", "rollouts": 2, "extra_rollouts": 2}, {"extra": 2}),
}


@pytest.mark.parametrize("name", CASES)
def test_agrees_with_the_differentiated_objective(name: str) -> None:
    ours, theirs = CASES[name]
    history = run(CLASSES, learners.SoftmaxPolicyGradient(step_size=1.0, **ours), ROUNDS + 1, SEEDS, key=3)
    with jax.enable_x64(True):
        oracle = explicit.SurrogateGradient(
            1.0, group=ours.get("rollouts", 1), signal=ours.get("signal", "raw"), **theirs
        )
        value = explicit.play_groups(FLAT, oracle, ROUNDS, SEEDS, seed=7)
    assert stats.ks_2samp(history.value[:, -1], value).pvalue > 1e-4


def test_the_comparison_can_fail() -> None:
    """A clip of .4 instead of .2, and a replay of one round more, are told apart."""
    with jax.enable_x64(True):
        for ours, theirs in (
            ({"clip": 0.2, "epochs": 4, "rollouts": 4, "signal": "mean_baseline"}, {"clip": 0.4, "epochs": 4}),
            ({"replay": 3}, {"replay": 4}),
        ):
            history = run(CLASSES, learners.SoftmaxPolicyGradient(step_size=1.0, **ours), ROUNDS + 1, SEEDS, key=3)
            oracle = explicit.SurrogateGradient(
                1.0, group=ours.get("rollouts", 1), signal=ours.get("signal", "raw"), **theirs
            )
            value = explicit.play_groups(FLAT, oracle, ROUNDS, SEEDS, seed=7)
            assert stats.ks_2samp(history.value[:, -1], value).pvalue < 1e-4


def test_one_epoch_with_a_clip_is_the_plain_step() -> None:
    plain = run(CLASSES, learners.SoftmaxPolicyGradient(step_size=0.5), 30, 8, key=1)
    clipped = run(CLASSES, learners.SoftmaxPolicyGradient(step_size=0.5, clip=0.2), 30, 8, key=1)
    np.testing.assert_array_equal(plain.value, clipped.value)


def test_m_replays_of_a_success_act_like_a_step_m_times_as_long() -> None:
    """docs/theory.md, A3, M η: to first order in η, on one optimal arm among ten, from equal rewards."""
    small = 1e-4
    needle = arms.Needle(log10_arms=1, p0=0.5)
    value = lambda **more: run(needle, learners.SoftmaxPolicyGradient(**more), 12, 64, key=2).value  # noqa: E731
    replayed = value(step_size=small, epochs=3)[:, -1] - 0.5
    longer = value(step_size=3 * small)[:, -1] - 0.5
    np.testing.assert_allclose(replayed, longer, rtol=1e-2)


def test_a_huge_set_stays_finite() -> None:
    huge = arms.Needle(log10_arms=100_000, optimal=10**50, p0=0.2)
    learner = learners.SoftmaxPolicyGradient(
        step_size=0.5,
        signal="rloo",
        rollouts=2,
        clip=0.2,
        epochs=2,
        replay=2,
        entropy_coefficient=1e-3,
        kl_coefficient=0.1,
    )
    assert np.isfinite(run(huge, learner, 20, 8, key=0).value).all()


@pytest.mark.parametrize(
    "learner",
    [
        learners.SoftmaxPolicyGradient(step_size=0.5),
        learners.SoftmaxPolicyGradient(0.5, "rloo", 2, epochs=2, entropy_coefficient=0.1, kl_coefficient=0.1),
        learners.NaturalPolicyGradient(step_size=0.1),
        learners.ExploreUntilSuccess(replacement=False),
    ],
    ids=["one step", "epochs, entropy and KL", "natural", "explore"],
)
def test_arms_without_mass_are_as_if_they_were_not_there(learner) -> None:
    """A class of mass -inf made the whole base policy uniform; in the entropy and KL terms it is 0 times infinity, and
    without replacement it was the least tried of all once every other arm had been.
    """
    counts, means, mass = np.log([1, 2]).tolist(), [0.6, 0.1], np.log([0.2, 0.8]).tolist()
    without = run(arms.Classes(counts, means, mass), learner, 25, 16, key=3)
    beside = arms.Classes([*counts, np.log(4)], [*means, 0.9], [*mass, -np.inf])
    assert not beside.uniform_base
    found = run(beside, learner, 25, 16, key=3)
    np.testing.assert_array_equal(found.rewards, without.rewards)
    np.testing.assert_allclose(found.value, without.value, rtol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"epochs": 0}, "epochs is 0"),
        ({"replay": -1}, "replay is -1"),
        ({"clip": 0.0}, "clip is 0.0"),
        ({"entropy_coefficient": -1.0}, "entropy_coefficient is -1.0"),
        ({"extra_rollouts": 2}, "use mean_baseline, rloo, grpo, maxrl or maxrl_centred"),
    ],
)
def test_refusals(arguments: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        learners.SoftmaxPolicyGradient(step_size=0.5, **arguments)
