"""Sequences, Adam, transfer and prompts: extremes of the numbers, identities between entries, and refusals."""

import warnings
from typing import Any

import numpy as np
import pytest

from bandit_rft import arms, policies, theory, verifiers
from bandit_rft.errors import InputError
from bandit_rft.theory.policy_gradient.adam import SPREADS

FINITE = ("value", "regret")


def law_of(prediction: Any) -> Any:
    assert prediction.law is not None
    return prediction.law


def curves(make):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        prediction = make()
    for name in FINITE:
        assert np.all(np.isfinite(getattr(prediction, name)))
        assert np.all(np.diff(getattr(prediction, name)) >= 0)
    return prediction


# ---------------------------------------------------------------------------------------------------- one sequence (F2)


def test_one_token_is_a_table() -> None:
    """Catches a factor that is right only for H > 1."""
    flow, table = (
        theory.prefix_tree_flow(50, 1, 0.5, 2000, p0=0.01),
        theory.pg_ode(0.01, 0.5, 2000, log_arms=np.log(50)),
    )
    np.testing.assert_allclose(flow.value, table.value, rtol=1e-11)
    np.testing.assert_allclose(flow.regret, table.regret, rtol=1e-11)
    assert flow.mean_hitting_time(0.5) == table.mean_hitting_time(0.5)
    jump = theory.prefix_tree_jump(50, 1, 0.5, 300, p0=0.01)
    np.testing.assert_allclose(jump.value, theory.pg_jump_single(0.01, 0.5, 300, np.log(50)).value, rtol=1e-12)


@pytest.mark.parametrize("p0", [1e-300, 1e-20, 0.3, 1 - 1e-9])
@pytest.mark.parametrize("length", [1, 7, 300])
@pytest.mark.parametrize(("step_size", "rounds"), [(1e-6, 10), (1.0, 10**9), (1e2, 10**9)])
def test_flow_at_the_extremes(p0: float, length: int, step_size: float, rounds: int) -> None:
    """Catches overflow, a bracket that misses the root, and digits lost where p has hardly moved."""
    prediction = curves(lambda: theory.prefix_tree_flow(1000, length, step_size, rounds, p0=p0))
    assert prediction.value[0] == pytest.approx(p0, rel=1e-10)
    # Further up a plateau of 1/p0 rounds leaves no digits for what comes after it.
    level = min(2 * p0, (1 + p0) / 2)
    time = law_of(prediction).time_to(level)
    assert law_of(prediction).value(np.array([time]))[0] == pytest.approx(level, rel=1e-9)


def test_a_tiny_step_moves_p_by_its_derivative() -> None:
    """dp/dt = rate H p^2 (1-q)^2 at the start: catches a wrong power of p or H."""
    p0, length, step = 0.04, 5, 1e-6
    q = p0 ** (1 / length)
    value = theory.prefix_tree_flow(20, length, step, 2, p0=p0).value
    assert (value[1] - value[0]) / (step * 20 / 19) == pytest.approx(length * p0**2 * (1 - q) ** 2, rel=1e-6)


def test_plateau_is_length_times_shorter_only_while_tokens_are_unlikely() -> None:
    """The usual 1/(eta H p0) needs q0 << 1; with likely tokens it is 1/(eta H p0 (1-q0)^2), longer than on flat
    arms.
    """
    unlikely = law_of(theory.prefix_tree_flow(10**6, 4, 1.0, 2)).time_to(0.5)
    assert unlikely == pytest.approx(1e24 / 4, rel=1e-4)
    flat = theory.pg_ode(0.05, 1.0, 2, kappa=1.0).mean_hitting_time(0.5)
    assert law_of(theory.prefix_tree_flow(10**6, 50, 1.0, 2, p0=0.05)).time_to(0.5) > 3 * flat


@pytest.mark.parametrize(
    ("target", "factor"), [((3, 3, 3, 3), 16.0), ((3, 3, 5, 5), 8.0), ((3, 4, 5, 6), 4.0), ((3, 3, 3, 5), 10.0)]
)
def test_shared_positions_gain_the_squared_counts_not_h_squared(target: tuple[int, ...], factor: float) -> None:
    """kappa of one softmax for all positions is sum_v n_v^2 (large V): H^2 holds only for one repeated token."""
    length, vocabulary = 4, 100_000
    uniform = arms.TokenSequences(vocabulary, length, verifiers.Needle(target), policy=policies.LogLinear())
    bound = uniform.policy.bind(vocabulary, length, uniform.verifier)
    assert bound.kappa is not None
    assert float(bound.kappa(bound.init())) == pytest.approx(factor, rel=1e-3)


def test_sharing_multiplies_time() -> None:
    """Catches H entering the shared law elsewhere than in the rate."""
    shared = theory.prefix_tree_flow(10, 4, 0.01, 1000, p0=0.1, position_shared=True)
    own = theory.prefix_tree_flow(10, 4, 0.04, 1000, p0=0.1)
    np.testing.assert_allclose(shared.value, own.value, rtol=1e-12)


def test_jump_law_of_sequences_agrees_with_its_own_samples() -> None:
    """Catches moments taken of another chain than the samples: the law is a subclass that swaps the logits."""
    prediction = theory.prefix_tree_jump(100, 6, 1.0, 200, p0=0.1)
    sample = law_of(prediction).sample(np.random.default_rng(0), 20_000, np.array([20, 60, 199])).value
    error = sample.std(axis=0) / np.sqrt(len(sample))
    assert np.all(np.abs(sample.mean(axis=0) - prediction.value[[20, 60, 199]]) < 4.5 * error)
    waits = 1 / law_of(prediction).successes_to(0.9)
    assert prediction.mean_hitting_time(0.9) == pytest.approx(waits.sum())


# ------------------------------------------------------------------------------------------- fine-tuning (F1, F3 to F5)


def test_predict_is_the_table_where_kappa_is_the_table_s() -> None:
    """Catches kappa applied twice, or not at all."""
    mine, table = theory.rft_predict(0.02, 10 / 9, 0.3, 200), theory.pg_jump_single(0.02, 0.3, 200, np.log(10))
    np.testing.assert_allclose(mine.value, table.value, rtol=1e-13)
    assert mine.name == "rft_predict"
    assert law_of(mine).value_given_rewards(np.zeros((1, 5, 1))) is None


def test_fit_recovers_kappa_from_its_own_curve() -> None:
    curve = theory.rft_predict(0.05, 0.7, 0.5, 200).value
    assert theory.kappa_fit(curve, 0.05, 0.5) == pytest.approx(0.7, rel=1e-3)


@pytest.mark.parametrize("curve", [np.full(50, 0.05), np.full(50, 1.0)])
def test_fit_refuses_a_curve_that_no_kappa_explains(curve: np.ndarray) -> None:
    """Catches the end of the search range handed out as an estimate."""
    with pytest.raises(InputError, match="No kappa"):
        theory.kappa_fit(curve, 0.05, 0.5, 1.0)


def test_table_kappa_from_its_gram() -> None:
    """1/m + 1/(K-m) from the unit features of a table; one vector added to all features changes nothing."""
    policy, correct = np.full(7, 1 / 7), np.arange(7) < 3
    assert theory.kernel_kappa(np.eye(7), policy, correct) == pytest.approx(1 / 3 + 1 / 4)
    shifted = np.eye(7) + np.linspace(-1, 1, 7)
    assert theory.kernel_kappa(shifted @ shifted.T, policy, correct) == pytest.approx(1 / 3 + 1 / 4)


def test_flow_ignores_a_constant_advantage_and_drives_logit_p() -> None:
    """d logit p/dt = eta kappa p (1-p) follows from the velocities of log pi: two entries, one identity."""
    generator = np.random.default_rng(0)
    policy, correct = generator.dirichlet(np.ones(6)), np.arange(6) < 2
    features = generator.normal(size=(6, 3))
    features = features - policy @ features
    gram = features @ features.T
    p = policy[correct].sum()
    moved = theory.kernel_flow(gram, policy, correct.astype(float), 0.3)
    np.testing.assert_allclose(theory.kernel_flow(gram, policy, correct - 5.0, 0.3), moved, atol=1e-12)
    kappa = theory.kernel_kappa(gram, policy, correct)
    assert (policy * moved)[correct].sum() / (p * (1 - p)) == pytest.approx(0.3 * kappa * p * (1 - p))


def test_rare_success_leaves_one_per_fold() -> None:
    """p = 1e-300: given a success in the fold there is exactly one; catches 0/0 in the conditional binomial."""
    policy, correct = np.array([1e-300, 0.5, 0.5]), np.array([True, False, False])
    sd = theory.kappa_estimator_sd(np.eye(3), policy, correct, 8)
    # delta = e_1 - (e_2 + e_3)/2, kappa = 1.5, C = Sigma_b/3 with Sigma_b = (e_2 - e_3)(e_2 - e_3)^T/4: tr C^2 = 1/36.
    assert sd == pytest.approx(np.sqrt(1 / 36) / 1.5)


# ----------------------------------------------------------------------------------------------------------- Adam (F6)


def test_quoted_constants_of_adam() -> None:
    assert theory.adam_jump(1.0) == pytest.approx(31.77, abs=0.005)
    assert theory.adam_jump(1.0, beta2=0.95) == pytest.approx(5.84, abs=0.005)
    assert theory.adam_jump(1.0, step=10**6) == pytest.approx(theory.adam_jump(1.0), rel=1e-12)
    # Early, about sqrt(n) learning rates; at the first step of all, and without momentum, exactly one.
    assert theory.adam_jump(1.0, step=100) == pytest.approx(10.0, rel=0.05)
    assert theory.adam_jump(1.0, 0.0, 0.5, step=1) == pytest.approx(1.0)


@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize("p0", [1e-300, 1e-20, 0.3, 1 - 1e-9])
@pytest.mark.parametrize(("rate", "rounds"), [(1e-6, 10), (1.0, 10**9), (1e2, 10**9)])
def test_adam_flow_at_the_extremes(spread: str, p0: float, rate: float, rounds: int) -> None:
    prediction = curves(lambda: theory.adam_flow(p0, rate, 1.0, rounds, spread=spread))
    assert prediction.value[0] == pytest.approx(p0, rel=1e-10)
    level = min(2 * p0, (1 + p0) / 2)
    time = law_of(prediction).time_to(level)
    assert law_of(prediction).value(np.array([time]))[0] == pytest.approx(level, rel=1e-9)


def test_adam_flow_flags_rare_successes() -> None:
    assert theory.adam_flow(0.005, 1e-3, 1.0, 10).flags
    assert not theory.adam_flow(0.05, 1e-3, 1.0, 10).flags


# ------------------------------------------------------------------------------------------------------ prompts (F7, G)


def test_one_prompt_is_the_flow_of_exact_gradients() -> None:
    one, table = theory.contexts_flow([0.01], [[1.3]], 0.5, 3000), theory.pg_ode(0.01, 0.5, 3000, kappa=1.3)
    np.testing.assert_allclose(one.value, table.value, rtol=1e-7)
    np.testing.assert_allclose(one.regret, table.regret, rtol=1e-7)


def test_opposed_prompts() -> None:
    """The sign of an off-diagonal entry: interference pulls the weaker prompt down at first."""
    prediction = theory.contexts_flow([0.3, 0.05], [[1.0, -0.8], [-0.8, 1.0]], 0.5, 50)
    assert prediction.value_by_prompt.shape == (2, 50)
    assert prediction.value_by_prompt[1, -1] < 0.05 < 0.3 < prediction.value_by_prompt[0, -1]


@pytest.mark.parametrize(("p0", "step_size", "rounds"), [(1e-300, 1e2, 10**9), (0.5, 1e2, 10**9), (0.2, 1e-6, 1000)])
def test_contexts_at_the_extremes(p0: float, step_size: float, rounds: int) -> None:
    curves(lambda: theory.contexts_flow([p0, 0.4], np.eye(2), step_size, rounds))


def test_slope_of_itself_is_one_and_scales_do_not_matter() -> None:
    delta = np.array([1e200, -2e200, 3e199])
    assert theory.transfer_slope(delta, delta) == pytest.approx(1.0)
    assert theory.transfer_slope(-2 * delta * 1e-300, delta * 1e-300) == pytest.approx(-2.0)


# ------------------------------------------------------------------------------------------------------------- refusals

TWO = ([0.5, 0.5], [True, False])


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: theory.prefix_tree_flow(1, 3, 0.1, 10), "vocabulary_size"),
        (lambda: theory.prefix_tree_flow(10, 400, 0.1, 10), "too small for a float"),
        (lambda: theory.prefix_tree_jump(10, 10**7, 0.1, 10, p0=0.1), "up to 1000000 tokens"),
        (lambda: theory.prefix_tree_jump(10, 3, -0.1, 10), "step_size"),
        (lambda: theory.rft_predict(0.1, 0.0, 0.1, 10), "kappa"),
        (lambda: theory.kappa_fit([0.1], 0.1, 0.1), "two or more"),
        (lambda: theory.kappa_fit([0.1, 1.2], 0.1, 0.1), "between 0 and 1"),
        (lambda: theory.kernel_kappa(np.eye(3), *TWO), "2 x 2"),
        (lambda: theory.kernel_kappa([[1, 2], [0, 1]], *TWO), "not symmetric"),
        (lambda: theory.kernel_kappa(-np.eye(2), *TWO), "positive semi-definite"),
        (lambda: theory.kernel_kappa(np.eye(2), [0.5, 0.4], [True, False]), "sum to 1"),
        (lambda: theory.kernel_kappa(np.eye(2), [0.5, 0.5], [True, True]), "both a positive"),
        (lambda: theory.kernel_flow(np.eye(2), [0.5, 0.5], [1.0, 0.0], 0.1), "not that of scores"),
        (lambda: theory.kappa_estimator_sd(np.eye(2), *TWO, 7), "even"),
        (lambda: theory.kappa_estimator_sd(np.ones((2, 2)), *TWO, 8), "kappa is 0"),
        (lambda: theory.adam_jump(1e-3, 0.9995, 0.99), "sqrt"),
        (lambda: theory.adam_flow(0.1, 1e-3, 1.0, 10, spread="none"), "choose one of"),
        (lambda: theory.contexts_flow([0.1, 1.0], np.eye(2), 0.1, 10), "every prompt"),
        (lambda: theory.contexts_flow([0.1, 0.2], [[1, 2], [2, 1]], 0.1, 10), "semi-definite"),
        (lambda: theory.transfer_slope([1.0], [0.0]), "delta_train is zero"),
        (lambda: theory.transfer_slope([1.0, 2.0], [1.0]), "same length"),
    ],
)
def test_refusals_say_what_is_wrong(call, said: str) -> None:
    with pytest.raises(InputError, match=said):
        call()


def test_a_weighted_loss() -> None:
    """Equal weights give kappa p(1 - p) times the weight; light correct answers can even lose to what they share."""
    generator = np.random.default_rng(3)
    policy = generator.dirichlet(np.ones(6))
    scores = generator.standard_normal((6, 3))
    scores -= policy @ scores
    gram, correct = scores @ scores.T, np.arange(6) < 2
    p = policy[:2].sum()
    told = theory.weighted_drift(gram, policy, correct, np.full(6, 0.25), 2.0)
    assert told == pytest.approx(2.0 * 0.25 * theory.kernel_kappa(gram, policy, correct) * p * (1 - p), rel=1e-12)
    # The one correct answer that is still taught points away from what correct answers have in common.
    features = np.array([[1.0, 0.0], [-2.0, 0.5], [0.0, 0.0]])
    shares = np.array([0.45, 0.05, 0.5])
    features -= shares @ features
    found = theory.weighted_drift(features @ features.T, shares, [1, 1, 0], [0.0, 1.0, 1.0], 1.0)
    delta = features[:2].T @ shares[:2] / 0.5 - features[2]
    assert found == pytest.approx(0.05 * features[1] @ delta, rel=1e-12)
    assert found < 0
    with pytest.raises(InputError, match="weights must be 6"):
        theory.weighted_drift(gram, policy, correct, [1.0], 1.0)
