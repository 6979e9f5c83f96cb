"""GSPO, CISPO and truncated importance: the papers' and verl's formulas in torch, and the exact policy gradient."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bandit_rft import objectives
from bandit_rft.errors import InputError
from llm_bridge import FineTune, PromptArms
from llm_bridge.training.policy_gradient import Objective, objective_sums
from tests.llm_bridge import toy
from tests.llm_bridge.updates import PLAIN, assert_moved, by_hand, full_log_probs

ROWS, LENGTH = 5, 7
LOW, HIGH, DUAL, CAP = 0.15, 0.3, 1.2, 1.5
MASK = np.arange(LENGTH) < np.array([7, 1, 3, 5, 6])[:, None]
SIGNAL = np.array([1.0, -2.0, 0.5, -0.5, 1.5])


def numbers():
    """(current, old and the sampler's log-probabilities), [R, T]; some ratios leave the clip on either side."""
    rng = np.random.default_rng(1)
    current = rng.normal(-1.5, 0.7, (ROWS, LENGTH))
    old = current + rng.normal(0, 0.8, (ROWS, LENGTH))
    return current, old, old + rng.normal(0, 0.5, (ROWS, LENGTH))


def ours(current, old, aggregation, sampler=None, **objective):
    """(loss, sums, gradient in the log-probabilities); padding holds what must not matter."""
    f32 = lambda v: jnp.asarray(v, jnp.float32)  # noqa: E731
    poison = f32(np.where(MASK, 0.0, np.inf))
    given = Objective(**({"clipped": True, "dual_clipped": False, "kl": None, "remat": False} | objective))
    values = {"clip_low": LOW, "clip_high": HIGH, "dual_clip": DUAL, "importance_cap": CAP}
    values = {name: f32(value) for name, value in values.items()}
    weights = objectives.aggregation_weights(jnp.asarray(MASK), aggregation)
    behind = None if sampler is None else f32(sampler) + poison

    def loss(log_probs):
        return objective_sums(
            given, log_probs, f32(old) + poison, None, f32(SIGNAL), weights, values, sampler_log_probs=behind
        )

    (value, sums), gradient = jax.value_and_grad(loss, has_aux=True)(f32(current))
    return float(value), {name: float(value) for name, value in sums.items()}, np.asarray(gradient)


def theirs(torch, current, per_token, aggregation):
    """(loss, gradient) of a function of torch log-probabilities and mask that gives verl's pg_losses [R, T]."""
    x, m = torch.tensor(current, requires_grad=True), torch.tensor(MASK, dtype=torch.float64)
    losses = per_token(x, m) * m
    rows = {"seq-mean-token-mean": losses.sum(-1) / m.sum(-1), "seq-mean-token-sum": losses.sum(-1)}
    total = losses.sum() / m.sum() if aggregation == "token-mean" else rows[aggregation].mean()
    total.backward()
    return total.item(), x.grad.numpy()


@pytest.mark.parametrize("aggregation", ["token-mean", "seq-mean-token-sum", "seq-mean-token-mean"])
@pytest.mark.parametrize("kind", ["gspo", "gspo-dual", "cispo"])
def test_gspo_and_cispo_are_verls(kind, aggregation):
    """compute_policy_loss_gspo (GSPO-token) and compute_policy_loss_cispo in torch float64, and their pg_clipfrac.

    Catches a mean over padding, a ratio whose gradient leaks into other tokens or vanishes, a clip per token in place
    of per response, and CISPO's gradient flowing through its weight.
    """
    torch = pytest.importorskip("torch")
    current, old, _ = numbers()
    a, behind, shares = torch.tensor(SIGNAL)[:, None], torch.tensor(old), {}

    def per_token(x, m):
        difference = x - behind
        if kind == "cispo":
            ratio = torch.exp(torch.clamp(difference, -20, 20))
            weight = torch.clamp(ratio, 1 - LOW, 1 + HIGH)
            shares["clipped"] = float(((weight != ratio) * m).sum())
            return -weight.detach() * a * x
        mean = (difference * m).sum(-1) / m.sum(-1)
        ratio = torch.exp(torch.clamp(x - x.detach() + mean.detach()[:, None], max=10))
        first, second = -a * ratio, -a * torch.clamp(ratio, 1 - LOW, 1 + HIGH)
        shares["clipped"] = float(((second > first) * m).sum())
        losses = torch.maximum(first, second)
        return torch.where(a < 0, torch.minimum(-a * DUAL, losses), losses) if kind == "gspo-dual" else losses

    want, gradient = theirs(torch, current, per_token, aggregation)
    ratio = "cispo" if kind == "cispo" else "sequence"
    loss, sums, got = ours(current, old, aggregation, ratio=ratio, dual_clipped=kind == "gspo-dual")
    assert loss == pytest.approx(want, rel=1e-5)
    np.testing.assert_allclose(got, gradient, atol=2e-6)
    assert sums["clipped"] == shares["clipped"]
    assert 0 < sums["clipped"] < MASK.sum()


def test_averaged_by_sequences_gspo_is_the_papers_objective():
    """1/G Σ min(s·A, clip(s)·A), s = (π(y)/π_old(y))^(1/|y|), differentiated through s itself: no GSPO-token in it."""
    torch = pytest.importorskip("torch")
    current, old, _ = numbers()
    x, m, a = torch.tensor(current, requires_grad=True), torch.tensor(MASK), torch.tensor(SIGNAL)
    s = torch.exp(torch.where(m, x - torch.tensor(old), 0.0).sum(-1) / m.sum(-1))
    (-torch.minimum(s * a, torch.clamp(s, 1 - LOW, 1 + HIGH) * a).mean()).backward()
    np.testing.assert_allclose(
        ours(current, old, "seq-mean-token-mean", ratio="sequence")[2], x.grad.numpy(), atol=2e-6
    )


@pytest.mark.parametrize("ratio", ["sequence", "cispo"])
def test_on_policy_every_ratio_is_reinforce(ratio):
    """Catches a factor of the length, and a weight of the clip's bound in place of 1."""
    current, _, _ = numbers()
    plain = ours(current, current, "seq-mean-token-sum", clipped=False)
    found = ours(current, current, "seq-mean-token-sum", ratio=ratio)
    np.testing.assert_allclose(found[2], plain[2], atol=1e-7)
    assert found[1]["clipped"] == found[1]["outside"] == 0.0


@pytest.mark.parametrize("level", ["token", "sequence"])
@pytest.mark.parametrize("clipped", [True, False])
def test_truncated_importance_is_verls(level, clipped):
    """pg_losses × min(exp(old − rollout), C), of tokens and of whole responses; without a ratio, old is the policy's.

    Catches a weight that is differentiated, one upside down, and padding in the response's product.
    """
    torch = pytest.importorskip("torch")
    current, old, sampler = numbers()
    sampler = sampler if clipped else current + 0.3 * (old - current)
    a = torch.tensor(SIGNAL)[:, None]

    def per_token(x, m):
        gap = ((torch.tensor(old) if clipped else x.detach()) - torch.tensor(sampler)) * m
        gap = gap.sum(-1, keepdim=True) if level == "sequence" else gap
        weight = torch.clamp(torch.exp(torch.clamp(gap, -20, 20)), max=CAP)
        if not clipped:
            return -a * x * weight
        ratio = torch.exp(x - torch.tensor(old))
        return torch.maximum(-a * ratio, -a * torch.clamp(ratio, 1 - LOW, 1 + HIGH)) * weight

    want, gradient = theirs(torch, current, per_token, "seq-mean-token-sum")
    arrays = (current, old) if clipped else (current, sampler)
    loss, _, got = ours(
        *arrays, "seq-mean-token-sum", sampler=sampler if clipped else None, clipped=clipped, truncated=level
    )
    assert loss == pytest.approx(want, rel=1e-5)
    np.testing.assert_allclose(got, gradient, atol=2e-6)


@pytest.fixture(scope="module")
def arms():
    """A model of four tokens: of three at most there are 40 responses, and all can be written down."""
    small = toy.model(spread=5.0, vocabulary=4, width=8, mlp_width=8, layers=1, heads=2, kv_heads=1, head_dim=4)
    return PromptArms(small, "ab", lambda text: 0.0)


def everything(length):
    """All responses of at most so many tokens: (tokens [N, length], lengths [N])."""
    tokens, lengths = [], []
    for size in range(1, length + 1):
        for head in itertools.product((1, 2, 3), repeat=size - 1):
            for last in range(4) if size == length else (0,):
                tokens.append([*head, last, *[0] * (length - size)])
                lengths.append(size)
    return np.array(tokens, np.int32), np.array(lengths, np.int32)


@pytest.mark.parametrize(
    ("length", "settings"),
    [
        (3, {"clip": None, "importance_level": "sequence", "micro_batch": 16}),
        (3, {"old_log_probs": "trainer", "importance_level": "sequence"}),
        (1, {"clip": None}),
    ],
    ids=["reinforce", "ppo", "one-token"],
)
def test_the_corrected_update_is_the_exact_policy_gradient_in_expectation(arms, length, settings):
    """Sampled by other weights: the sum over all responses, each by its probability there, is ∇ Σ π(y)·R(y).

    Through `FineTune`: the rewards of all responses are N·q(y)·R(y), so that the round's mean is the expectation.
    Catches a ratio of the wrong two policies, one that stops short of the whole response, and no correction at all:
    uncorrected the update is off by more than a tenth.
    """
    model = arms.model
    tokens, lengths = everything(length)
    inside = np.arange(length) < lengths[:, None]
    prompt = jnp.asarray(model.encode("ab"))
    sampler = jax.tree.map(lambda leaf: leaf * 1.4 if leaf.ndim > 1 else leaf, model.params)

    def scores(params):
        found = full_log_probs(params, prompt, jnp.asarray(tokens), jnp.float32(1.0), graphdef=model.graphdef)
        return jnp.where(inside, found, 0.0)

    drawn = scores(sampler)
    chance = np.exp(np.asarray(drawn, np.float64).sum(1))
    assert chance.sum() == pytest.approx(1.0, rel=1e-5)
    value = np.random.default_rng(3).uniform(0, 1, len(tokens)).astype(np.float32)
    want = jax.grad(lambda params: jnp.sum(jnp.exp(scores(params).sum(1)) * value))(model.params)
    rollouts = dataclasses.replace(by_hand(tokens, drawn), lengths=lengths)
    rewards = jnp.asarray(len(tokens) * chance * value, jnp.float32)
    common = PLAIN | {"rollouts": len(tokens), "learning_rate": 0.5, "max_tokens": length}

    def updated(**given):
        bound = FineTune(model, **(common | given)).bind(arms, rounds=1)
        state = bound.init(jax.random.key(0))
        return state.params, bound.update(state, rollouts, rewards)

    before, after = updated(**settings, truncated_importance=1e9)
    assert_moved(before, after.params, want, 0.5, rtol=1e-3)
    assert float(after.metrics["effective_sample_size"]) < 0.99
    with pytest.raises(AssertionError):
        assert_moved(*(before, updated(clip=None)[1].params), want, 0.5, rtol=0.1)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"ratio": "sequence", "clip": None}, "give clip a number"),
        ({"ratio": "cispo", "dual_clip": 3.0}, "leave out dual_clip"),
        ({"dual_clip": 3.0, "clip": None}, "without a clip there is no ratio"),
        ({"kl_weighted": True, "kl_coefficient": 0.0}, "kl_coefficient is 0"),
        ({"ratio": "gspo"}, "choose one of token, sequence, cispo"),
        ({"truncated_importance": 2.0}, "give old_log_probs trainer"),
        ({"truncated_importance": 2.0, "clip": None, "replay": 1}, "give old_log_probs trainer"),
        ({"truncated_importance": 0.0, "clip": None}, "give a finite number above 0"),
        ({"importance_level": "sequence"}, "give truncated_importance"),
    ],
)
def test_what_has_no_meaning_is_refused(arms, settings, words):
    with pytest.raises(InputError, match=words):
        FineTune(arms.model, **settings)
