"""Dynamic sampling on tables: the learner against its definition, what its pulls cost, and the law's limits."""

import jax
import numpy as np
import pytest

from bandit_rft import arms, learners, run, theory
from bandit_rft.errors import InputError
from bandit_rft.keys import Purpose
from bandit_rft.regret import regret_curve

TABLE = arms.Bernoulli((1.0, 0.0), base_mass=(0.1, 0.9))
STEP, GROUP, MOST = 0.4, 3, 2


def learner(**changes) -> learners.SoftmaxPolicyGradient:
    return learners.SoftmaxPolicyGradient(
        **{"step_size": STEP, "signal": "mean_baseline", "rollouts": GROUP, "dynamic_sampling": MOST} | changes
    )


def test_a_run_is_the_definition_round_by_round() -> None:
    """On two arms the rewards tell the arms, and z moves by 2 A (r - p). Catches a first draw that is learned from, a
    living group drawn again, a draw too many, and draws that share a key.
    """
    rounds, seeds = 10, 20
    history = run(TABLE, learner(), rounds, seeds, key=5)
    pulls = history.metrics["pulls"]
    assert set(np.unique(pulls)) == {GROUP, 2 * GROUP, 3 * GROUP}
    alive = np.ptp(history.rewards, axis=2) > 0
    assert (alive | (pulls == (MOST + 1) * GROUP)).all()
    for seed in range(seeds):
        z = np.log(0.1 / 0.9)
        for t in range(rounds):
            p = 1 / (1 + np.exp(-z))
            assert history.value[seed, t] == pytest.approx(p, rel=1e-9)
            rewards = history.rewards[seed, t]
            z += STEP * np.mean((rewards - rewards.mean()) * 2 * (rewards - p))
    # The further draws are the learner's own, by the keys that are promised.
    bound = learner().bind(TABLE, rounds=1)
    with jax.enable_x64(True):
        for seed in range(seeds):
            key = jax.random.fold_in(jax.random.fold_in(jax.random.key(5), seed), 0)
            state = bound.init(jax.random.key(0))
            further = jax.random.fold_in(key, Purpose.FURTHER_DRAW)
            keys = [key, *(jax.random.fold_in(further, draw) for draw in (1, 2))]
            groups = [np.asarray(bound.act(jax.random.split(own)[0], state)[0].mean) for own in keys]
            drawn = next((place for place, group in enumerate(groups) if np.ptp(group)), MOST)
            np.testing.assert_array_equal(groups[drawn], history.rewards[seed, 0])
            assert pulls[seed, 0] == (drawn + 1) * GROUP


def test_both_loops_and_any_number_of_seeds_draw_alike() -> None:
    whole = run(TABLE, learner(), 8, 6, key=1)
    for other in (run(TABLE, learner(), 8, 6, key=1, loop="host"), run(TABLE, learner(), 8, 2, key=1)):
        np.testing.assert_array_equal(whole.rewards[: other.seeds], other.rewards)
        np.testing.assert_array_equal(whole.metrics["pulls"][: other.seeds], other.metrics["pulls"])
        np.testing.assert_allclose(whole.value[: other.seeds], other.value, rtol=1e-12)
    never = run(TABLE, learner(dynamic_sampling=0), 8, 6, key=1)
    assert "pulls" not in never.metrics
    first = whole.metrics["pulls"][:, 0] == GROUP
    np.testing.assert_array_equal(whole.rewards[first, 0], never.rewards[first, 0])


def test_every_pull_costs_regret() -> None:
    """Catches regret of the last draws alone."""
    history = run(TABLE, learner(), 8, 6, key=1)
    want = np.cumsum(history.metrics["pulls"] * (1 - history.value), axis=1)
    np.testing.assert_allclose(history.regret(), want)
    np.testing.assert_allclose(regret_curve(history, "quantile", level=1.0), want)
    for kind in ("pulled", "realised"):
        with pytest.raises(InputError, match="not kept"):
            history.regret(kind)
    with pytest.raises(InputError, match="not kept"):
        regret_curve(history, "satisficing", level=0.5)


def test_pulls_that_are_drawn_again_take_no_rows() -> None:
    """10^100 arms: only arms of the group that is learned from leave their row."""
    needle = arms.Needle(log10_arms=100, p0=0.3)
    history = run(needle, learner(dynamic_sampling=50), 6, 4, key=0)
    assert int(history.final_state.rows.used.max()) <= 2 + 6 * GROUP
    assert (np.ptp(history.rewards, axis=2) > 0).all()


def test_the_law_per_pull_is_that_without_further_draws() -> None:
    for p in (1e-9, 0.2, 0.97):
        for most in (0, 1, 7):
            drawn = theory.dynamic_sampling_drift("rloo", p, 5, most)
            dead = p**5 + (1 - p) ** 5
            assert drawn == pytest.approx(sum(dead**n for n in range(most + 1)), rel=1e-9)
            own = theory.drift_multiplier("grpo", p, 5, 0, 0.1)
            assert theory.dynamic_sampling_drift("grpo", p, 5, most, 0, 0.1) == pytest.approx(own * drawn, rel=1e-12)
    without_end = theory.dynamic_sampling_drift("grpo", np.array([0.2, 0.9]), 5)
    alive = 1 - theory.dead_group_probability(np.array([0.2, 0.9]), 5)
    np.testing.assert_allclose(without_end, theory.drift_multiplier("grpo", np.array([0.2, 0.9]), 5) / alive)
    # Rare successes: 1 - d = G p keeps its digits where d rounds to one.
    assert theory.dynamic_sampling_drift("rloo", 1e-20, 5) == pytest.approx(2e19, rel=1e-9)


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: learner(signal="raw"), "under 'raw' a group of equal rewards teaches"),
        (lambda: learner(signal=lambda rewards: rewards), "under a function"),
        (lambda: learner(signal="running_baseline"), "teaches"),
        (lambda: learner(rollouts=1), "at least 2 rollouts"),
        (lambda: learner(window=9), "leave out window or dynamic_sampling"),
        (lambda: learner(dynamic_sampling=-1), "dynamic_sampling is -1"),
        (lambda: learner().bind(arms.Delayed(TABLE, 2), rounds=3), "without delay"),
        (lambda: theory.dynamic_sampling_drift("raw", 0.1, 4), "teaches"),
        (lambda: theory.dynamic_sampling_drift("grpo", 0.1, 1), "at least 2"),
        (lambda: theory.dynamic_sampling_drift("grpo", 0.1, 4, -1), "most is -1"),
        (lambda: theory.dynamic_sampling_drift("grpo", 5e-324, 4), "give most"),
    ],
)
def test_what_makes_no_sense_is_refused(call, word: str) -> None:
    with pytest.raises(InputError, match=word):
        call()
