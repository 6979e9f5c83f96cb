"""Token policies against dense tables over all V^H sequences, differentiated by jax.grad; sampling against its law.

The oracle knows nothing of lumps, slots or trees: it holds every parameter, takes ln π of every sequence from the
definition and every gradient from automatic differentiation. Bugs caught: a slot that does not inherit the lump's
logit, a drift that misses the lump, a shared prefix that is counted twice, a lost factor in κ, a fresh token that
repeats a touched one.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from bandit_rft import arms, learners, run
from bandit_rft.errors import InputError
from bandit_rft.policies import LogLinear, PrefixTree, Product
from bandit_rft.verifiers import AnswerToken, HashFraction, ModularSum, Needle

V, H = 3, 3
SEQUENCES = np.asarray(list(itertools.product(range(V), repeat=H)), np.int32)
FEATURES = np.asarray([[1.0, 0.5], [0.2, -1.0], [1.0, 0.5]])  # positions 0 and 2 share a row
POLICIES = {
    "product": Product(),
    "shared": LogLinear(),
    "features": LogLinear(features=FEATURES),
    "tree": PrefixTree(),
}
NEEDLE, REPEATED, ANSWER, SUM = Needle((2, 0, 2)), Needle((1, 1, 1)), AnswerToken(0, position=1), ModularSum(5, 2)
PAIRS = [(name, verifier) for name in ("product", "tree") for verifier in (NEEDLE, ANSWER, SUM)]
PAIRS += [("shared", REPEATED), ("shared", SUM), ("features", NEEDLE), ("features", SUM)]


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def bind(factory, *arguments, **options):
    """The bound policy with every function compiled."""
    policy = factory.bind(*arguments, **options)
    return policy._replace(
        init=jax.jit(policy.init),
        sample=jax.jit(policy.sample, static_argnums=2),
        log_prob=jax.jit(policy.log_prob),
        step=jax.jit(policy.step),
        log_success=policy.log_success and jax.jit(policy.log_success),
        kappa=policy.kappa and jax.jit(policy.kappa),
    )


def node_of(prefix: tuple[int, ...]) -> int:
    """Row of a prefix in a dense tree: prefixes in order of length, then as numbers in base V."""
    first = sum(V**h for h in range(len(prefix)))
    return first + sum(token * V**i for i, token in enumerate(reversed(prefix)))


def dense_log_probs(name: str, theta: jax.Array) -> jax.Array:
    """ln π of all 27 sequences from a full table of parameters."""
    if name == "tree":
        log_pi = jax.nn.log_softmax(theta, axis=-1)
        nodes = np.asarray([[node_of(tuple(y[:h])) for h in range(H)] for y in SEQUENCES.tolist()])
        return jnp.sum(log_pi[nodes, SEQUENCES], axis=1)
    if name != "product":
        features = np.ones((H, 1)) if name == "shared" else FEATURES
        theta = jnp.asarray(features) @ theta
    return jnp.sum(jax.nn.log_softmax(theta, axis=-1)[np.arange(H), SEQUENCES], axis=1)


def dense_zero(name: str) -> jax.Array:
    rows = {"product": H, "shared": 1, "features": 2, "tree": sum(V**h for h in range(H))}[name]
    return jnp.zeros((rows, V))


@pytest.mark.parametrize(("name", "verifier"), PAIRS, ids=lambda value: getattr(value, "name", value))
def test_path_by_path_against_the_dense_table(name: str, verifier) -> None:
    """25 rounds of 3 rollouts with signals of both signs and zeros: ln π of every sequence, p, 1 − p and κ agree to
    1e-10.
    """
    policy = bind(POLICIES[name], V, H, verifier, touches=75)
    correct = np.asarray(verifier.reward(jnp.asarray(SEQUENCES))) > 0

    def logit_p(theta: jax.Array) -> jax.Array:
        log_pi = dense_log_probs(name, theta)
        return jax.nn.logsumexp(log_pi[correct]) - jax.nn.logsumexp(log_pi[~correct])

    @jax.jit
    def dense_step(theta: jax.Array, chosen: jax.Array, coefficient: jax.Array) -> jax.Array:
        return theta + jax.grad(lambda t: jnp.sum(coefficient * dense_log_probs(name, t)[chosen]))(theta)

    @jax.jit
    def dense_facts(theta: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        return dense_log_probs(name, theta), logit_p(theta), jnp.sum(jax.grad(logit_p)(theta) ** 2)

    assert policy.log_success is not None
    assert policy.kappa is not None
    log_success, kappa = policy.log_success, policy.kappa
    facts = jax.jit(
        lambda params: (policy.log_prob(params, jnp.asarray(SEQUENCES)), log_success(params), kappa(params))
    )
    params, theta = policy.init(), dense_zero(name)
    generator = np.random.default_rng(3)
    for t in range(25):
        ours, (log_p, log_q), our_kappa = facts(params)
        theirs, z, their_kappa = dense_facts(theta)
        np.testing.assert_allclose(ours, theirs, atol=1e-10)
        np.testing.assert_allclose(np.exp(log_p) + np.exp(log_q), 1, atol=1e-12)
        np.testing.assert_allclose(log_p - log_q, z, atol=1e-9)
        np.testing.assert_allclose(our_kappa, their_kappa, rtol=1e-8)
        tokens = policy.sample(jax.random.fold_in(jax.random.key(5), t), params, 3)
        coefficient = jnp.asarray(generator.normal(size=3) * np.asarray([1, 1, t % 2]))
        params = policy.step(params, tokens, coefficient)
        theta = dense_step(theta, np.asarray(tokens) @ np.asarray([9, 3, 1]), coefficient)
    assert not bool(policy.overflowed(params))


@pytest.mark.parametrize("name", POLICIES)
def test_samples_follow_the_policy(name: str) -> None:
    """Chi-square of 40,000 draws over the 27 sequences after uneven steps; false-alarm rate 1e-4 each, fixed seed."""
    policy = bind(POLICIES[name], V, H, touches=2)
    tokens = jnp.asarray([[0, 2, 2], [0, 1, 0]], jnp.int32)
    params = policy.step(policy.init(), tokens, jnp.asarray([1.3, -0.7]))
    draws = np.asarray(policy.sample(jax.random.key(11), params, 40_000)) @ np.asarray([9, 3, 1])
    expected = np.exp(np.asarray(policy.log_prob(params, jnp.asarray(SEQUENCES))))
    np.testing.assert_allclose(expected.sum(), 1, atol=1e-12)
    assert expected.max() > 1.5 / 27
    assert stats.chisquare(np.bincount(draws, minlength=27), expected * 40_000).pvalue > 1e-4


@pytest.mark.parametrize("factory", [Product(), PrefixTree()], ids=["product", "tree"])
def test_lumped_tokens_are_drawn_evenly_and_never_touched_ones(factory) -> None:
    """V = 7 with 3 touched tokens: the four others share the lump evenly (chi-square, level 1e-4)."""
    policy = bind(factory, 7, 1, touches=3)
    params = policy.step(policy.init(), jnp.asarray([[5], [1], [2]], jnp.int32), jnp.asarray([0.9, -0.5, 0.2]))
    draws = np.asarray(policy.sample(jax.random.key(2), params, 40_000))[:, 0]
    expected = np.exp(np.asarray(policy.log_prob(params, jnp.arange(7, dtype=jnp.int32)[:, None])))
    np.testing.assert_allclose(expected.sum(), 1, atol=1e-12)
    assert stats.chisquare(np.bincount(draws, minlength=7), expected * 40_000).pvalue > 1e-4


def test_one_hot_features_are_the_product_policy() -> None:
    verifier, tokens = ModularSum(3, 1), jnp.asarray([[0, 1, 2], [2, 2, 0]], jnp.int32)
    facts = []
    for factory in (Product(), LogLinear(features=np.eye(3))):
        policy = bind(factory, 4, 3, verifier)
        params = policy.step(policy.init(), tokens, jnp.asarray([0.8, -0.3]))
        assert policy.log_success is not None
        assert policy.kappa is not None
        facts.append([*policy.log_success(params), policy.kappa(params), *policy.log_prob(params, tokens)])
    np.testing.assert_allclose(facts[0], facts[1], rtol=1e-12)


def test_kappa_of_a_needle_has_its_closed_form() -> None:
    """At q per position: product and tree κ = H(1 − q)²V/(V − 1)/(1 − p)², one shared softmax H times that."""
    vocabulary, length, p0 = 50, 6, 0.02
    q = p0 ** (1 / length)
    one = length * (1 - q) ** 2 * vocabulary / (vocabulary - 1) / (1 - p0) ** 2
    for factory, expected in ((Product(), one), (PrefixTree(), one), (LogLinear(), length * one)):
        policy = bind(factory, vocabulary, length, Needle((7,) * length), p0)
        assert policy.log_success is not None
        assert policy.kappa is not None
        np.testing.assert_allclose(policy.log_success(policy.init())[0], np.log(p0), rtol=1e-12)
        np.testing.assert_allclose(policy.kappa(policy.init()), expected, rtol=1e-10)


@pytest.mark.parametrize(
    ("factory", "verifier", "p0"),
    [
        (Product(), Needle((1, 2, 3, 4)), 1e-300),
        (PrefixTree(), Needle((1, 2, 3, 4)), 1e-300),
        (LogLinear(), Needle((5, 5, 5, 5)), 1e-200),
        (Product(), AnswerToken(4), 1 - 1e-9),
        (LogLinear(), AnswerToken(4), 1 - 1e-9),
        (LogLinear(), Needle((1, 2, 1, 2)), 0.05),
        (LogLinear(features=np.eye(4)), Needle((1, 2, 3, 4)), 0.3),
    ],
    ids=str,
)
def test_base_mass_is_met_and_both_tails_keep_their_digits(factory, verifier, p0: float) -> None:
    policy = bind(factory, 1000, 4, verifier, p0)
    params = policy.init()
    assert policy.log_success is not None
    assert policy.kappa is not None
    log_p, log_q = policy.log_success(params)
    np.testing.assert_allclose(log_p, np.log(p0), rtol=1e-9, atol=1e-14)
    if p0 > 0.5:
        np.testing.assert_allclose(np.exp(log_q), 1 - p0, rtol=1e-3)  # p0 itself is rounded to 1e-16
    assert np.isfinite(policy.kappa(params))


def test_uniform_policy_far_below_the_smallest_float() -> None:
    """p = 50000^(−1000) = e^−10820: ln p and κ are exact although p itself is 0 in float64."""
    for factory in (Product(), PrefixTree()):
        policy = bind(factory, 50_000, 1000, Needle((3,) * 1000), touches=0)
        assert policy.log_success is not None
        assert policy.kappa is not None
        log_p, log_q = policy.log_success(policy.init())
        np.testing.assert_allclose(log_p, -1000 * np.log(50_000), rtol=1e-13)
        assert log_q == 0
        np.testing.assert_allclose(policy.kappa(policy.init()), 1000 * (1 - 1 / 50_000), rtol=1e-12)


@pytest.mark.parametrize("factory", [Product(), PrefixTree()], ids=["product", "tree"])
def test_running_out_of_room_is_noticed(factory) -> None:
    policy = bind(factory, 50, 4, touches=1)
    params = policy.init()
    for _ in range(2):
        params = policy.step(params, jnp.asarray([[1, 2, 3, 4]], jnp.int32), jnp.ones(1))
    assert not bool(policy.overflowed(params))  # the same sequence twice needs no further room
    params = policy.step(params, jnp.asarray([[7, 8, 9, 10]], jnp.int32), jnp.zeros(1))
    assert not bool(policy.overflowed(params))  # nor does one that does not move
    for first in (11, 12):
        params = policy.step(params, jnp.asarray([[first, 8, 9, 10]], jnp.int32), jnp.ones(1))
    assert bool(policy.overflowed(params))


def test_no_closed_form_is_none_not_a_guess() -> None:
    for factory in (Product(), LogLinear(), PrefixTree()):
        policy = factory.bind(5, 3, HashFraction(0.2))
        assert policy.log_success is None
        assert policy.kappa is None


@pytest.mark.parametrize(
    ("factory", "verifier", "p0", "message"),
    [
        (Product(), ModularSum(3), 0.5, "leave p0 out"),
        (Product(), HashFraction(0.1), 0.5, "leave p0 out"),
        (Product(), Needle((1, 2)), 1.0, "strictly between"),
        (PrefixTree(), AnswerToken(1), 0.5, "Needle alone"),
        (LogLinear(), Needle((1, 2)), 0.3, "at most 0.25"),
        (LogLinear(features=[[1.0], [2.0], [3.0]]), Needle((1, 2)), 0.1, "3 rows"),
    ],
)
def test_impossible_base_policies_are_refused(factory, verifier, p0: float, message: str) -> None:
    with pytest.raises(InputError, match=message):
        factory.bind(10, 2, verifier, p0)


def test_features_must_be_a_finite_table() -> None:
    with pytest.raises(InputError, match="finite numbers"):
        LogLinear(features=[[np.nan, 1.0]])


def test_parameters_beyond_memory_are_refused() -> None:
    with pytest.raises(InputError, match="row_capacity"):
        Product().bind(100_000, 5000, AnswerToken(1), touches=10_000_000)


@pytest.mark.parametrize("policy", [Product(), PrefixTree()], ids=lambda policy: policy.name)
def test_a_policy_whose_every_token_was_moved_stays_a_policy(policy) -> None:
    """Once no token is left without a logit of its own, nothing may be left of the lump. Catches the lump that grew
    without bound under negative signals, and the token outside V that was drawn of it.
    """
    sequences = arms.TokenSequences(3, 2, Needle((2, 1)), policy=policy)
    learner = learners.SoftmaxPolicyGradient(step_size=2.0, signal="signed")
    history = run(sequences, learner, rounds=300, seeds=50, key=0)
    bound = policy.bind(3, 2, sequences.verifier, None, touches=300)
    every = jnp.asarray(list(itertools.product(range(3), repeat=2)), jnp.int32)
    with jax.enable_x64(True):
        log_prob = jax.vmap(lambda params: bound.log_prob(params, every))(history.final_state)
    np.testing.assert_allclose(np.exp(log_prob).sum(axis=1), 1, rtol=1e-9)
    assert np.isfinite(history.value).all()
