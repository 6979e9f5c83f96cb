"""Signals against definitions worked by hand, and the fixed points that users trip over."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bandit_rft import arms, learners, run, signals, verifiers
from bandit_rft.errors import InputError
from bandit_rft.learners import token_policy_gradient

REWARDS = [1.0, 0.0, 0.0, 1.0, 0.0]


def of(name: str, rewards: list[float], **options) -> np.ndarray:
    with jax.enable_x64(True):
        return np.asarray(signals.make(name, **options)(jnp.asarray(rewards)))


def test_definitions() -> None:
    np.testing.assert_allclose(of("raw", REWARDS), REWARDS)
    np.testing.assert_allclose(of("signed", REWARDS), [1, -1, -1, 1, -1])
    np.testing.assert_allclose(of("mean_baseline", REWARDS), [0.6, -0.4, -0.4, 0.6, -0.4])
    # leave-one-out: 1 − 1/4, 0 − 2/4
    np.testing.assert_allclose(of("rloo", REWARDS), [0.75, -0.5, -0.5, 0.75, -0.5])
    sample, population = np.std(REWARDS, ddof=1), np.std(REWARDS)
    np.testing.assert_allclose(of("grpo", REWARDS), (np.asarray(REWARDS) - 0.4) / (sample + 1e-6))
    np.testing.assert_allclose(of("grpo", REWARDS, ddof=0, eps=1e-8), (np.asarray(REWARDS) - 0.4) / (population + 1e-8))


def test_group_of_one_follows_verl() -> None:
    assert of("rloo", [1.0]).tolist() == [1.0]
    np.testing.assert_allclose(of("grpo", [1.0]), [1 / (1 + 1e-6)], rtol=1e-15)
    assert of("mean_baseline", [1.0]).tolist() == [0.0]


@pytest.mark.parametrize("value", [0.0, 1.0, 0.1])
def test_dead_group_is_exactly_zero(value: float) -> None:
    """0.1 three times has a mean that rounds: a std taken from it would turn noise of 1e-17 into signals of order
    one.
    """
    for options in ({"eps": 0.0}, {"eps": 1e-6}, {"eps": 0.0, "ddof": 0}):
        assert of("grpo", [value] * 3, **options).tolist() == [0.0, 0.0, 0.0]


def test_signals_of_successes_and_failures() -> None:
    np.testing.assert_allclose(of("maxrl", REWARDS), [2.5, 0, 0, 2.5, 0])
    np.testing.assert_allclose(of("maxrl_centred", REWARDS), [1.5, -1, -1, 1.5, -1])
    np.testing.assert_allclose(of("psr", REWARDS), REWARDS)
    np.testing.assert_allclose(of("nsr", REWARDS), [0, -1, -1, 0, -1])
    np.testing.assert_allclose(of("psr", REWARDS) + of("nsr", REWARDS), of("signed", REWARDS))
    assert of("maxrl", [1.0]).tolist() == [1.0]


@pytest.mark.parametrize("name", ["maxrl", "maxrl_centred"])
def test_groups_without_success_have_no_maxrl_signal(name: str) -> None:
    """Catches 0/0, and a negative mean that turns the direction of learning round."""
    for rewards in ([0.0, 0.0, 0.0], [-1.0, -1.0, 1.0], [0.0]):
        assert of(name, rewards).tolist() == [0.0] * len(rewards)
    assert of("maxrl_centred", [0.1] * 3).tolist() == [0.0] * 3


def test_pass_at_k_is_what_a_rollout_adds_to_the_best_of_others() -> None:
    """Against every choice of k − 1 others, rewards with ties and below 0 among them. Catches weights of order
    statistics off by one, and tied rewards told apart.
    """
    generator = np.random.default_rng(3)
    for group in range(1, 7):
        for k in range(1, group + 1):
            rewards = generator.integers(-1, 3, group) / 2
            want = []
            for own in range(group):
                sets = itertools.combinations(np.delete(rewards, own), k - 1)
                want.append(k * np.mean([max(rewards[own] - max(s), 0.0) if s else rewards[own] for s in sets]))
            np.testing.assert_allclose(of("pass_at_k", rewards.tolist(), k=k), want, atol=1e-12)


def test_pass_at_k_keeps_its_digits_in_large_groups() -> None:
    """Catches binomials that overflow. Of 1000 rollouts the single correct one beats every set of 63 others."""
    with jax.enable_x64(False):
        found = np.asarray(signals.pass_at_k(jnp.zeros(1000, jnp.float32).at[7].set(1.0), k=64))
    assert found.dtype == np.float32
    assert found[7] == 64.0
    assert np.count_nonzero(found) == 1


@pytest.mark.parametrize("signal", ["maxrl", "pass_at_k", "psr"])
def test_failures_take_no_rows_where_they_teach_nothing(signal: str) -> None:
    """Catches a table of 10^100 arms that splits off a row for each wrong arm pulled, for signals that leave it."""
    table = arms.Needle(log10_arms=100, p0=0.1)
    learner = learners.SoftmaxPolicyGradient(
        step_size=0.5, signal=signal, rollouts=8, k=3 if signal == "pass_at_k" else None
    )
    plain = learners.SoftmaxPolicyGradient(step_size=0.5, rollouts=8)
    sizes = [
        [leaf.shape for leaf in jax.tree.leaves(one.bind(table, rounds=1000).init(jax.random.key(0)))]
        for one in (learner, plain)
    ]
    assert sizes[0] == sizes[1]


def test_a_function_that_gives_no_number_for_each_reward_is_refused() -> None:
    """By every learner that takes one. Catches signals that are broadcast, or of which the first are taken."""
    for own, said in ((jnp.mean, r"float64 \[\] for 2 rewards"), (lambda r: r[:1], r"float64 \[1\] for 2")):
        for learner in (learners.SoftmaxPolicyGradient, learners.NaturalPolicyGradient):
            with pytest.raises(InputError, match=said):
                learner(step_size=0.1, signal=own, rollouts=2)
        tokens = arms.TokenSequences(3, 2, verifiers.Needle((2, 1)))
        with pytest.raises(InputError, match=said):
            token_policy_gradient.bind(tokens, step_size=0.1, signal=own, rollouts=2, rounds=1)
    # For the host loop, where arm sets are Python, it may be NumPy's.
    assert learners.SoftmaxPolicyGradient(step_size=0.1, signal=lambda r: np.asarray(r) - 0.5, rollouts=2)


def above_mean(rewards):
    return np.asarray(rewards) - np.mean(rewards)


@pytest.mark.parametrize("loop", ["scan", "host"])
def test_a_signal_of_numpy_is_refused_by_name_where_rounds_are_compiled(loop: str) -> None:
    """By both loops, for both compile the rounds of a table. Catches JAX's traceback about a tracer, which names
    neither the signal nor what to do, and one that is blamed for what another part of the learner does."""
    table, tokens = arms.Bernoulli([0.2, 0.8]), arms.TokenSequences(3, 2, verifiers.Needle((2, 1)))
    for learner, on in (
        (learners.SoftmaxPolicyGradient(step_size=0.1, signal=above_mean, rollouts=2), table),
        (learners.NaturalPolicyGradient(step_size=0.1, signal=above_mean, rollouts=2), table),
        (learners.SoftmaxPolicyGradient(step_size=0.1, signal=above_mean, rollouts=2), tokens),
    ):
        with pytest.raises(InputError, match=r"^The signal above_mean reads .* compiled .*: use jax.numpy in it"):
            run(on, learner, rounds=2, loop=loop)

    class Reading:
        signal, rollouts = staticmethod(lambda rewards: rewards), 1

        def bind(self, arms, *, rounds, row_capacity=None):
            bound = learners.UCB1().bind(arms, rounds=rounds, row_capacity=row_capacity)
            return bound._replace(act=lambda key, state: bound.act(key, state) if float(state.time) else None)

    with pytest.raises(InputError, match=r"^<lambda> of Reading\.bind reads the numbers") as error:
        run(table, Reading(), rounds=2, loop=loop)
    assert isinstance(error.value.__cause__, jax.errors.ConcretizationTypeError)


def test_refusals() -> None:
    with pytest.raises(InputError, match="k is 9 and a group has 8 rollouts"):
        learners.SoftmaxPolicyGradient(step_size=0.1, signal="pass_at_k", rollouts=8, k=9)
    with pytest.raises(InputError, match="k is 9 and a group has 8 rollouts"):
        learners.NaturalPolicyGradient(step_size=0.1, signal="pass_at_k", rollouts=8, k=9)
    with pytest.raises(InputError, match="k = 4 and 3 rollouts"):
        of("pass_at_k", [1.0, 0.0, 0.0], k=4)
    with pytest.raises(InputError, match="k is 0"):
        signals.make("pass_at_k", k=0)
    with pytest.raises(InputError, match="Signal 'gae' is unknown"):
        signals.make("gae")
    with pytest.raises(InputError, match="ddof is 2"):
        signals.make("grpo", ddof=2)
    with pytest.raises(InputError, match="eps is -1"):
        signals.make("grpo", eps=-1)


@pytest.mark.parametrize("kind", [learners.SoftmaxPolicyGradient, learners.NaturalPolicyGradient])
def test_settings_that_a_signal_has_not_are_refused(kind: type) -> None:
    """A k of another signal did nothing, and ddof and eps of the running baseline were not looked at."""
    for signal in ("raw", "rloo", signals.raw):
        with pytest.raises(InputError, match=r"k is 2 and the signal is .*, which has no k"):
            kind(0.1, signal, 4, k=2)
    own = ["raw", signals.raw, *(["running_baseline"] if kind is learners.SoftmaxPolicyGradient else [])]
    for signal in own:
        with pytest.raises(InputError, match="ddof is 7"):
            kind(0.1, signal, ddof=7)
        with pytest.raises(InputError, match="eps is -3"):
            kind(0.1, signal, eps=-3)
    if "running_baseline" in own:
        with pytest.raises(InputError, match="running_baseline', which has no k"):
            kind(0.1, "running_baseline", 4, k=2)
