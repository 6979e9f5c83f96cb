"""Runs on token sequences against the theory: jump chains, waiting times, drift; and the loop's own promises.

The learner's factory here does what `SoftmaxPolicyGradient.bind` does with token arms. Bugs caught: a step not
divided by G, a reward handed to another rollout, a base policy off p0, a key used twice, a run that retraces.
"""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from bandit_rft import run
from bandit_rft.arms.token_sequences import TokenSequences
from bandit_rft.contract import ArmSet, Learner
from bandit_rft.errors import InputError
from bandit_rft.learners import token_policy_gradient
from bandit_rft.policies import LogLinear, PrefixTree, Product
from bandit_rft.verifiers import AnswerToken, HashFraction, ModularSum, Needle

PRODUCT, SHARED, TREE = Product(), LogLinear(), PrefixTree()


@dataclass(frozen=True)
class Gradient:
    step_size: float
    signal: str = "raw"
    rollouts: int = 1
    eps: float = 1e-6

    def bind(self, arms, *, rounds: int, row_capacity: int | None = None) -> Learner:
        return token_policy_gradient.bind(
            arms,
            step_size=self.step_size,
            signal=self.signal,
            rollouts=self.rollouts,
            eps=self.eps,
            rounds=rounds,
            row_capacity=row_capacity,
        )


def logit(p: np.ndarray) -> np.ndarray:
    return np.log(p) - np.log1p(-p)


def jump_chain(p0: float, length: int, vocabulary: int, step: float, jumps: int) -> np.ndarray:
    """p after 0 … jumps successes: z_h += step (1 − q_h) V/(V − 1), p = q^H (docs/theory.md, F2, all q alike)."""
    z = logit(np.asarray(p0 ** (1 / length)))
    path = []
    for _ in range(jumps + 1):
        q = 1 / (1 + np.exp(-z))
        path.append(q**length)
        z = z + step * (1 - q) * vocabulary / (vocabulary - 1)
    return np.asarray(path)


@pytest.mark.parametrize("policy", [PRODUCT, TREE], ids=["product", "tree"])
def test_needle_follows_its_jump_chain(policy) -> None:
    """p depends only on the successes so far, and is the chain's to 1e-12, in every round of 16 seeds."""
    arms = TokenSequences(1000, 8, Needle((5, 1, 999, 0, 5, 5, 2, 3)), policy, p0=0.1)
    history = run(arms, Gradient(1.5), 120, 16, key=3)
    before = np.cumsum(history.rewards[:, :, 0], axis=1) - history.rewards[:, :, 0]
    chain = jump_chain(0.1, 8, 1000, 1.5, 120)
    np.testing.assert_allclose(history.value, chain[before.astype(int)], rtol=1e-11)
    assert before.max() > 60


def test_rounds_to_the_tenth_success_have_their_mean() -> None:
    """E[T] = Σ 1/p_n, Var = Σ (1 − p_n)/p_n² over 10 jumps; 400 seeds; z-score under 4 (false-alarm rate 6e-5)."""
    arms = TokenSequences(100, 5, Needle((1, 2, 3, 4, 5)), p0=0.08)
    history = run(arms, Gradient(1.0), 600, 400, key=11)
    successes = np.cumsum(history.rewards[:, :, 0], axis=1)
    assert successes[:, -1].min() >= 10
    waited = np.argmax(successes >= 10, axis=1) + 1
    chain = jump_chain(0.08, 5, 100, 1.0, 9)
    mean, variance = np.sum(1 / chain), np.sum((1 - chain) / chain**2)
    assert abs(waited.mean() - mean) < 4 * math.sqrt(variance / 400)


@pytest.mark.parametrize(
    ("policy", "verifier", "p0"),
    [(PRODUCT, Needle((1, 1)), 0.2), (SHARED, AnswerToken(2), None), (TREE, ModularSum(3, 1), None)],
    ids=["product", "shared", "tree"],
)
def test_drift_is_eta_kappa_p_q(policy, verifier, p0: float | None) -> None:
    """E[Δz] of one small step of RLOO (4 rollouts) is ηκp(1 − p): 6,000 replicates, z-score under 4 (rate 6e-5
    each).
    """
    step, replicates = 1e-3, 6_000
    arms = TokenSequences(4, 2, verifier, policy, p0=p0)
    with jax.enable_x64(True):
        bound = Gradient(step, "rloo", 4).bind(arms, rounds=3)
        exact = policy.bind(4, 2, verifier, p0, touches=12)

        # Move off the base policy first: uniform under ModularSum has κ = 0.
        start = jax.jit(exact.step)(exact.init(), jnp.asarray([[1, 0], [2, 2]], jnp.int32), jnp.asarray([0.9, 0.4]))

        def one(key: jax.Array) -> jax.Array:
            tokens, _ = bound.act(key, start)
            after = exact.log_success(bound.update(start, tokens, arms.pull(key, tokens)))
            return after[0] - after[1]

        (log_p, log_q), kappa = jax.jit(lambda params: (exact.log_success(params), exact.kappa(params)))(start)
        drift = step * float(kappa * jnp.exp(log_p + log_q))
        moved = np.asarray(jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(2), replicates))) - float(
            log_p - log_q
        )
    error = moved.std() / math.sqrt(replicates)
    assert drift > 6 * error  # the test has power
    # Second order: the step's own curvature, below step · drift times a small constant.
    assert abs(moved.mean() - drift) < 4 * error + 20 * step * drift


@pytest.mark.parametrize(
    ("policy", "verifier", "signal"),
    [
        (PRODUCT, Needle(tuple(range(1000))), "raw"),
        (PRODUCT, AnswerToken(77_777), "grpo"),
        (SHARED, AnswerToken(77_777), "raw"),
        (TREE, Needle(tuple(range(1000))), "raw"),
        (TREE, Needle(tuple(range(1000))), "signed"),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_a_hundred_thousand_tokens_at_a_thousand_positions(policy, verifier, signal: str) -> None:
    """10^5000 arms: finite, exact at the start, and learning where the answer is one token."""
    arms = TokenSequences(100_000, 1000, verifier, policy, p0=0.2)
    assert arms.log_arms == pytest.approx(5000 * math.log(10))
    # A shared softmax moves H tokens at once: its step must be of order 1/H.
    step = 1e-3 if policy is SHARED else 0.5
    history = run(arms, Gradient(step, signal, 2 if signal == "grpo" else 1), 40, 1, key=1)
    assert np.all(np.isfinite(history.value))
    assert history.value[0, 0] == pytest.approx(0.2, rel=1e-10)
    assert np.all((history.value > 0) & (history.value <= 1))
    if signal == "raw" and policy is not SHARED:
        assert history.value[0, -1] > history.value[0, 0]


def test_scan_and_host_loops_agree_and_seeds_are_prefixes() -> None:
    arms = TokenSequences(20, 3, AnswerToken(2), p0=0.3)
    learner = Gradient(2.0, "rloo", 3)
    scan = run(arms, learner, 12, 2, key=5)
    host = run(arms, learner, 12, 2, key=5, loop="host")
    np.testing.assert_array_equal(scan.rewards, host.rewards)
    np.testing.assert_allclose(scan.value, host.value, rtol=1e-12)
    np.testing.assert_array_equal(run(arms, learner, 12, 1, key=5).rewards[0], scan.rewards[0])


def test_unstructured_verifier_reports_the_pulled_means() -> None:
    """HashFraction has no closed form: the value is the mean of the arms pulled, and it still learns."""
    arms = TokenSequences(30, 4, HashFraction(0.3))
    history = run(arms, Gradient(4.0, "raw", 4), 400, 8, key=1)
    np.testing.assert_array_equal(history.value, history.rewards.mean(-1))
    assert abs(history.rewards[:, 0].mean() - 0.3) < 4 * math.sqrt(0.3 * 0.7 / 32)  # false-alarm rate 6e-5
    assert history.rewards[:, -40:].mean() > 0.8


def test_keys_are_consumed_once_and_differ_by_round() -> None:
    """Choice and fresh token come from different keys: across draws they are uncorrelated (chi-square, level 1e-4).

    At V = 4 with one slot of probability ½, which uniform token follows must not depend on how the position before
    fell.
    """
    with jax.enable_x64(True):
        policy = PRODUCT.bind(4, 2, Needle((0, 0)), 0.25, touches=0)
        draws = np.asarray(jax.jit(policy.sample, static_argnums=2)(jax.random.key(3), policy.init(), 20_000))
    table = np.histogram2d(draws[:, 0], draws[:, 1], bins=4)[0]
    assert stats.chi2_contingency(table).pvalue > 1e-4
    arms = TokenSequences(1000, 4, HashFraction(0.5))
    rewards = run(arms, Gradient(1e-9), 64, 4, key=0).rewards[:, :, 0]
    assert len({tuple(row) for row in rewards.tolist()}) == 4
    assert 0 < rewards.mean() < 1


def test_one_trace_per_run() -> None:
    traced = []

    @dataclass(frozen=True)
    class Counting(Gradient):
        def bind(self, arms, *, rounds: int, row_capacity: int | None = None) -> Learner:
            bound = super().bind(arms, rounds=rounds, row_capacity=row_capacity)

            def update(state, tokens, rewards):
                traced.append(1)
                return bound.update(state, tokens, rewards)

            return bound._replace(update=update)

    arms = TokenSequences(20, 3, Needle((1, 2, 3)), p0=0.2)
    run(arms, Counting(0.5), 30, 3, key=0)
    run(arms, Counting(0.5), 30, 3, key=1)
    assert len(traced) <= 2  # a scan may look at its body twice; a second run must not


def test_running_out_of_rows_stops_the_run() -> None:
    with pytest.raises(InputError, match="apacity"):
        run(TokenSequences(1000, 4, AnswerToken(1), p0=0.5), Gradient(0.5), 200, 1, key=0, row_capacity=3)


def test_it_is_an_arm_set() -> None:
    arms = TokenSequences(50_000, 20, AnswerToken(7))
    assert isinstance(arms, ArmSet)
    assert arms.best_mean == 1.0
    assert hash(arms) == hash(TokenSequences(50_000, 20, AnswerToken(7)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TokenSequences(1, 5, AnswerToken(0)), "vocabulary_size is 1"),
        (lambda: TokenSequences(10, 0, AnswerToken(0)), "length is 0"),
        (lambda: TokenSequences(10, 5, AnswerToken(10)), "outside the vocabulary"),
        (lambda: TokenSequences(10, 5, 3), "verifier is 3"),  # type: ignore[arg-type]
        (lambda: TokenSequences(10, 5, AnswerToken(1), policy=3), "policy is 3"),  # type: ignore[arg-type]
        (lambda: TokenSequences(10, 5, AnswerToken(1), policy=LogLinear), "policy is"),  # type: ignore[arg-type]
        (lambda: LogLinear([[1.0, 2.0], [3.0]]), "features"),
        (lambda: TokenSequences(10, 5, Needle((1, 2))), "has 2 tokens"),
        (lambda: TokenSequences(10, 5, HashFraction(0.1), p0=0.5), "leave p0 out"),
        (lambda: token_policy_gradient.bind("arms", step_size=1.0, rounds=1), "TokenSequences or Contexts"),  # type: ignore[arg-type]
    ],
)
def test_bad_input_is_refused_at_once(make, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()
