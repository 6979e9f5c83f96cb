"""p0 and κ against full enumeration: a policy of 31 responses, each with its score by plain reverse mode."""

import dataclasses

import flax.nnx as nnx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bandit_rft import theory
from bandit_rft.errors import InputError
from llm_bridge.measuring.evaluate import wilson
from llm_bridge.measuring.measure import measure
from tests.llm_bridge import toy

PROMPT = "abc"


def correct(text: str) -> float:
    return float(text[:1] in ("a", "c") and text != "")


class Exact:
    """Every response of at most two tokens over six (0 ends it): probabilities, scores, and the numbers they give."""

    def __init__(self):
        self.model = toy.model(1, spread=5.0, vocabulary=6)
        prompt = np.asarray(self.model.encode(PROMPT))
        self.responses = [(0,)] + [(a, b) for a in range(1, 6) for b in range(6)]
        rows = np.array([[*prompt, r[0], r[-1]] for r in self.responses], np.int32)
        second = jnp.array([len(r) == 2 for r in self.responses])

        def log_probs(params):
            logits = jax.nn.log_softmax(
                nnx.merge(self.model.graphdef, params)(jnp.asarray(rows))[:, len(prompt) - 1 : -1]
            )
            chosen = jnp.take_along_axis(logits, jnp.asarray(rows)[:, len(prompt) :, None], axis=-1)[..., 0]
            return chosen[:, 0] + jnp.where(second, chosen[:, 1], 0.0)

        self.log_policy = np.asarray(jax.jit(log_probs)(self.model.params), np.float64)
        score = jax.jit(jax.grad(lambda params, chosen: chosen @ log_probs(params)))
        gradients = [
            jax.tree.leaves(score(self.model.params, chosen)) for chosen in jnp.eye(len(rows), dtype=jnp.float32)
        ]
        self.scores = np.array(
            [np.concatenate([np.asarray(x, np.float64).ravel() for x in leaves]) for leaves in gradients]
        )
        decode = self.model.tokenizer.decode
        self.good = np.array([correct(decode(list(r), skip_special_tokens=True)) > 0.5 for r in self.responses])
        policy = np.exp(self.log_policy)
        self.p0 = policy[self.good].sum()
        weights = np.where(self.good, policy / self.p0, -policy / (1 - self.p0))
        self.kappa = float(np.sum((weights @ self.scores) ** 2))

    def rows_of(self, tokens, lengths):
        return np.array(
            [self.responses.index(tuple(int(x) for x in t[:n])) for t, n in zip(tokens, lengths, strict=True)]
        )


@pytest.fixture(scope="module")
def exact():
    found = Exact()
    assert np.exp(found.log_policy).sum() == pytest.approx(1.0, abs=1e-5)
    assert 0.2 < found.p0 < 0.8
    return found


def estimate(scores, good):
    """κ̂ by its definition: every pair of different rollouts, from the Gram matrix."""
    gram = scores @ scores.T
    pairs = ~np.eye(len(good), dtype=bool)
    gg, bb = np.outer(good, good) & pairs, np.outer(~good, ~good) & pairs
    return gram[gg].mean() + gram[bb].mean() - 2 * gram[np.outer(good, ~good)].mean()


def sampled_rows(exact, key, rollouts):
    some = exact.model.generate(PROMPT, rollouts=rollouts, max_tokens=2, key=key)
    return exact.rows_of(some.tokens, some.lengths)


def test_every_number_is_its_definition_on_the_sampled_rollouts(exact):
    """κ̂ from all pairs, its delete-one jackknife by leaving each rollout out in turn, and the covariance traces."""
    key = jax.random.key(5)
    got = measure(exact.model, PROMPT, correct, key=key, max_tokens=2, rollouts=24, batch=8)
    rows = sampled_rows(exact, key, 24)
    scores, good = exact.scores[rows], exact.good[rows]
    assert (got.successes, got.rollouts, got.distinct) == (good.sum(), 24, len(set(rows)))
    assert (got.p0_low, got.p0_high) == wilson(int(good.sum()), 24)
    assert got.kappa == pytest.approx(estimate(scores, good), rel=1e-3)
    assert got.kappa == pytest.approx(got.kernel_correct + got.kernel_wrong - 2 * got.kernel_between)
    without = np.array([estimate(np.delete(scores, i, axis=0), np.delete(good, i)) for i in range(24)])
    variance = sum((n - 1) / n * np.sum((w - w.mean()) ** 2) for w in (without[good], without[~good]) for n in [len(w)])
    assert got.kappa_standard_error == pytest.approx(np.sqrt(variance), rel=2e-3)
    for noise, group in ((got.noise_correct, good), (got.noise_wrong, ~good)):
        assert noise == pytest.approx(np.var(scores[group], axis=0, ddof=1).sum(), rel=1e-3)
    lengths = np.array([len(exact.responses[row]) for row in rows])
    assert got.mean_length == pytest.approx(lengths.mean())
    assert got.truncated == pytest.approx(np.mean([exact.responses[row][-1] != 0 for row in rows]))
    assert got.note == ""


def test_kappa_is_unbiased_and_its_error_honest(exact):
    """Sixty independent measurements: the mean within 4 standard errors of the enumerated κ (false alarm 6e-5, and the
    key is fixed), the jackknife error between 0.7 and 2 times the true spread."""
    many = [
        measure(exact.model, PROMPT, correct, key=jax.random.key(100 + i), max_tokens=2, rollouts=32, batch=32)
        for i in range(60)
    ]
    kappas = np.array([m.kappa for m in many])
    assert abs(kappas.mean() - exact.kappa) < 4 * kappas.std(ddof=1) / np.sqrt(len(many))
    # One κ̂ of 32 rollouts has a standard deviation of 1,717 here, by 6,000 draws from the enumerated policy: sixty know
    # the mean to .059 κ, and the estimate of that is itself a fifth off now and then, as κ̂ has a long tail.
    assert kappas.std(ddof=1) / np.sqrt(len(many)) < 0.09 * exact.kappa
    p0 = np.array([m.p0 for m in many])
    assert abs(p0.mean() - exact.p0) < 4 * np.sqrt(exact.p0 * (1 - exact.p0) / (len(many) * 32))
    jackknife = np.sqrt(np.mean([m.kappa_standard_error**2 for m in many]))
    assert 0.7 < jackknife / kappas.std(ddof=1) < 2.0


def test_too_few_successes_give_p0_and_a_reason(exact):
    never = measure(exact.model, PROMPT, lambda text: 0.0, key=jax.random.key(1), max_tokens=2, rollouts=8)
    assert (never.p0, never.p0_low, never.successes) == (0.0, 0.0, 0)
    assert never.p0_high == pytest.approx(wilson(0, 8)[1])
    assert np.isnan(never.kappa)
    assert "two successes and two failures, and there were 0 and 8" in never.note


def test_other_weights_are_measured_as_given(exact):
    """With every weight of the output embedding zero the policy is uniform over tokens: p0 = 2/6."""
    uniform = jax.tree.map(jnp.zeros_like, exact.model.params)
    got = measure(
        exact.model,
        PROMPT,
        correct,
        key=jax.random.key(2),
        max_tokens=2,
        rollouts=256,
        batch=256,
        params=uniform,
        standard_error=False,
    )
    assert abs(got.p0 - 1 / 3) < 4.5 * np.sqrt(2 / 9 / 256)
    assert np.isnan(got.kappa_standard_error)


def test_bad_arguments_are_refused(exact):
    with pytest.raises(InputError, match="rollouts is 0"):
        measure(exact.model, PROMPT, correct, key=jax.random.key(0), max_tokens=2, rollouts=0)
    with pytest.raises(InputError, match="context"):
        measure(exact.model, PROMPT, correct, key=jax.random.key(0), max_tokens=63)


def test_what_is_of_the_tree_alone_is_refused_without_it(exact, tmp_path) -> None:
    """Catches an argument that is taken and does nothing, found out only when there is no tree to look at."""
    given = {"coordinates": 64, "sketched": False, "turning": False, "kept": tmp_path / "scores"}
    for name, value in given.items():
        with pytest.raises(InputError, match=f"^{name} is of the tree, which is not measured: give tree=True"):
            measure(exact.model, PROMPT, correct, key=0, max_tokens=2, rollouts=2, **{name: value})


def test_a_measurement_is_a_summary_for_the_theory() -> None:
    """What `theory.predict` sees of a model: p0, κ and κ's error, and nothing else."""
    found = measure(toy.model(1, spread=5.0, vocabulary=6), PROMPT, correct, key=jax.random.key(0), max_tokens=2)
    summary = found.summary()
    assert (summary.p0, summary.kappa) == (pytest.approx(found.p0), found.kappa)
    assert summary.kappa_standard_error == found.kappa_standard_error > 0
    assert not summary.table
    told = theory.predict(summary, step_size=0.1 / found.kappa, rounds=20)
    assert told.name == "rft_predict"
    assert told.value[0] == pytest.approx(found.p0)
    with pytest.raises(InputError, match=r"0 of 64 rollouts were correct.* within 193 pulls with probability 1/2"):
        dataclasses.replace(found, successes=0).summary()


def test_where_kappa_has_no_estimate_the_tree_has_its_own() -> None:
    """Catches a refusal of the tree law, which needs no estimate of κ, where one success makes it impossible."""
    sampled = {"key": jax.random.key(0), "max_tokens": 2, "tree": True}
    found = measure(toy.model(1, spread=5.0, vocabulary=6), PROMPT, correct, **sampled)
    unknown = dataclasses.replace(found, kappa=float("nan"), note="why it is not known")
    assert found.tree is not None
    assert unknown.summary().kappa == found.tree.tree().kappa > 0
    with pytest.raises(InputError, match=r"kappa is not known.*\(why it is not known\): measure with more"):
        dataclasses.replace(unknown, tree=None).summary()


@pytest.mark.slow
def test_bfloat16_weights_are_measured_and_nearly_the_same(exact):
    """Catches sums in the weights' own type, which lose κ's digits."""
    model = exact.model
    rounded = dataclasses.replace(model, params=jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), model.params))
    options = {"key": jax.random.key(5), "max_tokens": 2, "rollouts": 24, "batch": 8}
    narrow, wide = (measure(these, PROMPT, correct, **options) for these in (rounded, model))
    assert narrow.successes == wide.successes
    assert narrow.kappa == pytest.approx(wide.kappa, rel=0.05)
    assert narrow.kappa_standard_error == pytest.approx(wide.kappa_standard_error, rel=0.1)
