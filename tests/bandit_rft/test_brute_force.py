"""Rows against brute force at K = 200: in law over thousands of seeds, and path by path under shared draws.

Each law test is one two-sample Kolmogorov–Smirnov test at level 1e-3 (its false-alarm rate, conservative for discrete
statistics); the seeds are fixed, so a pass is repeatable. Bugs they catch: a split that drops or doubles an arm, a
shared update that forgets multiplicities, draws of one arm counted as two, a wrong maximum over untouched arms.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from bandit_rft import arms, learners, run
from tests.bandit_rft import brute_force

COUNTS, MEANS = [5, 45, 150], [0.9, 0.5, 0.1]
BASE_MASS = [0.2, 0.3, 0.5]
SEEDS = 3000
LEVEL = 1e-3


def table(base: bool) -> arms.Classes:
    log_mass = np.log(BASE_MASS).tolist() if base else None
    return arms.Classes(log_counts=np.log(COUNTS).tolist(), means=MEANS, base_log_mass=log_mass)


def explicit_base(base: bool) -> np.ndarray:
    return np.repeat(np.asarray(BASE_MASS) / COUNTS, COUNTS) if base else np.full(sum(COUNTS), 1 / sum(COUNTS))


@pytest.mark.parametrize(
    ("signal", "rollouts", "step", "base"),
    [
        ("raw", 1, 0.5, True),
        ("raw", 1, 2.0, False),
        ("signed", 1, 0.5, True),
        ("mean_baseline", 4, 2.0, True),
        ("rloo", 3, 1.0, False),
        ("grpo", 4, 1.0, True),
        ("grpo", 16, 1.0, False),  # 16 draws among 5 + 45 + 150 arms: repeated draws of one arm are common
    ],
)
def test_policy_gradient_agrees_in_law(signal: str, rollouts: int, step: float, base: bool) -> None:
    rounds = 60
    history = run(
        table(base),
        learners.SoftmaxPolicyGradient(step_size=step, signal=signal, rollouts=rollouts),
        rounds,
        SEEDS,
        key=7,
    )
    mean = brute_force.explicit_means(COUNTS, MEANS)
    values, regret = brute_force.policy_gradient(
        mean, explicit_base(base), step, signal, rollouts, rounds, SEEDS, seed=11
    )
    for ours, theirs in (
        (history.value[:, -1], values[:, -1]),
        (history.value[:, rounds // 2], values[:, rounds // 2]),
        (history.regret("pulled")[:, -1], regret),
    ):
        assert stats.ks_2samp(ours, theirs).pvalue > LEVEL


def test_law_test_can_fail() -> None:
    """The same comparison notices a step size that is 20% off: the tests above have power."""
    mean = brute_force.explicit_means(COUNTS, MEANS)
    values, _ = brute_force.policy_gradient(mean, explicit_base(True), 0.6, "raw", 1, 60, SEEDS, seed=11)
    history = run(table(True), learners.SoftmaxPolicyGradient(step_size=0.5), 60, SEEDS, key=7)
    assert stats.ks_2samp(history.value[:, -1], values[:, -1]).pvalue < LEVEL


def test_thompson_agrees_in_law() -> None:
    history = run(table(False), learners.ThompsonBeta(), 60, 2000, key=3)
    regret = brute_force.thompson(brute_force.explicit_means(COUNTS, MEANS), 60, 2000, seed=5)
    assert stats.ks_2samp(history.regret("pulled")[:, -1], regret).pvalue > LEVEL


def test_ucb1_agrees_in_law() -> None:
    history = run(table(False), learners.UCB1(), 400, 1000, key=3)
    regret = brute_force.ucb1(brute_force.explicit_means(COUNTS, MEANS), 400, 1000, seed=5)
    assert stats.ks_2samp(history.regret("pulled")[:, -1], regret).pvalue > LEVEL


@pytest.mark.parametrize("replacement", [True, False])
def test_explore_until_success_agrees_in_law(replacement: bool) -> None:
    # 12 arms and 20 rounds: without replacement some seeds run out of arms and start over.
    needle = arms.Classes(
        log_counts=np.log([2, 10]).tolist(), means=[0.3, 0.05], base_log_mass=np.log([0.3, 0.7]).tolist()
    )
    history = run(needle, learners.ExploreUntilSuccess(replacement=replacement), 20, SEEDS, key=3)
    base = np.repeat([0.15, 0.07], [2, 10])
    mean = brute_force.explicit_means([2, 10], [0.3, 0.05])
    regret = brute_force.explore_until_success(mean, base, replacement, 20, SEEDS, seed=5)
    assert stats.ks_2samp(history.regret("pulled")[:, -1], regret).pvalue > LEVEL


@pytest.mark.parametrize(
    ("signal", "rollouts"),
    [("raw", 1), ("mean_baseline", 4), ("grpo", 8), ("rloo", 6), ("maxrl", 5), ("nsr", 3), ("pass_at_k", 3)],
)
def test_policy_gradient_path_by_path(signal: str, rollouts: int) -> None:
    """Shared draws: the explicit policy (every arm its own logit) and the rows give every arm the same probability,
    each round.

    An explicit arm is matched to a pull by class and logit: arms that share both are interchangeable, which is the
    claim itself.
    """
    with jax.enable_x64(True):
        arm_set, step, rounds = table(True), 1.5, 80
        bound = learners.SoftmaxPolicyGradient(step_size=step, signal=signal, rollouts=rollouts).bind(
            arm_set, rounds=rounds
        )
        act, update, pull = jax.jit(bound.act), jax.jit(bound.update), jax.jit(arm_set.pull)
        state = bound.init(jax.random.key(0))
        class_of = np.repeat(np.arange(3), COUNTS)
        theta = np.log(explicit_base(True))
        worst = 0.0
        for t in range(rounds):
            act_key, pull_key = jax.random.split(jax.random.fold_in(jax.random.key(1), t))
            pulls, _ = act(act_key, state)
            rewards = pull(pull_key, pulls)
            chosen: list[int] = []
            for g in range(rollouts):
                if int(pulls.first[g]) != g:
                    chosen.append(chosen[int(pulls.first[g])])
                    continue
                distance = np.abs(theta - float(state.statistic["logit"][pulls.row[g]]))
                distance[class_of != int(pulls.class_index[g])] = np.inf
                distance[chosen] = np.inf
                chosen.append(int(np.argmin(distance)))
                assert distance[chosen[-1]] < 1e-9
            policy = np.exp(theta - theta.max())
            policy /= policy.sum()
            advantage = brute_force.signal_of(signal, np.asarray(rewards)[None])[0]
            theta = theta - step * advantage.mean() * policy
            np.add.at(theta, chosen, step * advantage / rollouts)
            state = update(state, pulls, rewards)

            count = np.asarray(state.rows.count)
            logit = np.repeat(np.asarray(state.statistic["logit"]), count)
            ours = np.exp(logit - logit.max()) / np.exp(logit - logit.max()).sum()
            theirs = np.exp(theta - theta.max()) / np.exp(theta - theta.max()).sum()
            worst = max(worst, float(np.abs(np.sort(ours) - np.sort(theirs)).max()))
            assert np.bincount(np.repeat(np.asarray(state.rows.class_index), count)).tolist() == COUNTS
        assert worst < 1e-13
        if signal not in ("raw", "maxrl", "pass_at_k"):  # under these failures take no rows
            assert int(jnp.sum(state.rows.used)) > 3 + rollouts
