"""Linear bandits with features: path by path against NumPy on the same random numbers, and the laws that they obey."""

import jax
import numpy as np
import pytest
from scipy import stats

from bandit_rft import InputError, arms, learners, run
from bandit_rft.keys import Purpose
from bandit_rft.regret import scaling_exponent

TABLE = arms.LinearContexts(arms=6, dimension=3, sigma=0.3)


def replayed(learner, rounds: int, seed: int, first: float) -> tuple[np.ndarray, np.ndarray]:
    """(regret of each round, whether theta is inside its ellipsoid) of one seed, by normal equations solved anew.

    first: regret of the first round, in which all arms of LinUCB tie (the estimate is 0, and features have length 1).
    """
    regret, inside, xs, rs = [], [], [], []
    with jax.enable_x64(True):
        own = jax.random.fold_in(jax.random.key(7), seed)
        theta = np.asarray(TABLE.start(jax.random.fold_in(own, Purpose.INITIAL_STATE)))
        for t in range(rounds):
            act_key, pull_key = jax.random.split(jax.random.fold_in(own, t))
            features_key, index_key = jax.random.split(act_key)
            x = np.asarray(jax.random.normal(features_key, (6, 3), dtype=float))
            x = x / np.sqrt((x**2).sum(axis=1, keepdims=True))
            v = np.eye(3) + sum((np.outer(a, a) for a in xs), np.zeros((3, 3)))
            estimate = np.linalg.solve(v, sum((r * a for r, a in zip(rs, xs, strict=True)), np.zeros(3)))
            if isinstance(learner, learners.LinUCB):
                beta = 0.3 * np.sqrt(2 * np.log(np.sqrt(np.linalg.det(v)) / 0.05)) + 1.0
                index = [a @ estimate + beta * np.sqrt(a @ np.linalg.inv(v) @ a) for a in x]
            else:
                normal = np.asarray(jax.random.normal(index_key, (3,), dtype=float))
                index = x @ (estimate + 0.3 * np.linalg.cholesky(np.linalg.inv(v)) @ normal)
            loss = (x @ theta).max() - x @ theta
            arm = int(np.argmin(np.abs(loss - first)) if t == 0 else np.argmax(index))
            regret.append(loss[arm])
            xs.append(x[arm])
            rs.append(x[arm] @ theta + 0.3 * float(jax.random.normal(pull_key, (1,), dtype=float)[0]))
            v = v + np.outer(x[arm], x[arm])
            estimate = np.linalg.solve(v, sum(r * a for r, a in zip(rs, xs, strict=True)))
            beta = 0.3 * np.sqrt(2 * np.log(np.sqrt(np.linalg.det(v)) / 0.05)) + 1.0
            inside.append(np.sqrt((estimate - theta) @ v @ (estimate - theta)) <= beta)
    return np.array(regret), np.array(inside)


@pytest.mark.parametrize("learner", [learners.LinUCB(), learners.LinTS()])
def test_a_run_is_the_normal_equations(learner) -> None:
    """Every round's regret, to 1e-9. Catches an inverse that drifts, a width without its ridge term."""
    history = run(TABLE, learner, rounds=40, seeds=2, key=7)
    ours = np.diff(history.regret("pulled"), axis=1, prepend=0.0)
    for seed in range(2):
        regret, inside = replayed(learner, 40, seed, ours[seed, 0])
        np.testing.assert_allclose(ours[seed], regret, atol=1e-9)
        np.testing.assert_array_equal(history.metrics["covered"][seed] > 0, inside)


def test_the_ellipsoid_holds_theta_in_every_round() -> None:
    """Theorem 2 at delta = .05: of 300 seeds at most 15 miss on average; 30 or more have probability 3e-4."""
    history = run(TABLE, learners.LinUCB(delta=0.05), rounds=300, seeds=300, key=0)
    missed = int((history.metrics["covered"].min(axis=1) < 1).sum())
    assert stats.binom.sf(missed - 1, 300, 0.05) > 1e-4


@pytest.mark.parametrize("learner", [learners.LinUCB(), learners.LinTS()])
def test_regret_grows_no_faster_than_the_root_of_time(learner) -> None:
    """The exponent over T = 250 to 4000 less four standard errors (3e-5) is at most 1/2, and its regret is below the
    theorem's 4 sqrt(T d ln(1 + T/d)) (1 + sigma sqrt(2 ln(1/delta) + d ln(1 + T/d))).
    """
    horizons = (250, 1000, 4000)
    history = run(TABLE, learner, rounds=4000, seeds=100, key=1)
    regret = history.regret("pulled")
    growth = scaling_exponent(horizons, [regret[:, t - 1] for t in horizons])
    assert growth.slope - 4 * growth.standard_error <= 0.5
    log = np.log(1 + 4000 / 3)
    bound = 4 * np.sqrt(4000 * 3 * log) * (1 + 0.3 * np.sqrt(2 * np.log(20) + 3 * log))
    assert regret[:, -1].mean() < bound
    # A learner that does not learn loses in proportion to T: what the exponent would be if theta were ignored.
    fixed = run(TABLE, learners.LinUCB(width=0.0, ridge=1e12), rounds=1000, seeds=100, key=1).regret("pulled")
    assert fixed[:, -1].mean() > regret[:, 999].mean()


def test_what_does_not_fit_is_a_sentence() -> None:
    with pytest.raises(InputError, match="features"):
        run(arms.Bernoulli([0.1, 0.2]), learners.LinUCB(), 5)
    with pytest.raises(InputError, match="LinearContexts"):
        run(TABLE, learners.UCB1(), 5)
    with pytest.raises(InputError, match="theta"):
        arms.LinearContexts(arms=2, dimension=3, theta=[1.0])
